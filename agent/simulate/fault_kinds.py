"""Every kind of fault by its name."""

from agent.simulate import card_faults, job_faults
from agent.simulate.faults import Begin

KINDS: dict[str, Begin] = {
    one.__name__: one
    for one in (
        card_faults.gpu_lost,
        card_faults.gsp_hang,
        card_faults.nvlink_error,
        card_faults.ecc_uncorrectable,
        card_faults.row_remap,
        card_faults.ecc_correctable_storm,
        card_faults.xid,
        card_faults.thermal_throttle,
        card_faults.rack_cooling,
        card_faults.power_brake,
        card_faults.node_lost,
        card_faults.collector_lost,
        job_faults.job_crash,
        job_faults.rank_crash,
        job_faults.collective_hang,
        job_faults.dataloader_hang,
        job_faults.host_stall,
        job_faults.dataloader_slow,
        job_faults.straggler_host,
        job_faults.straggler_gpu,
        job_faults.power_throttle,
        job_faults.loss_nan,
        job_faults.loss_divergence,
        job_faults.gpu_memory_leak,
    )
}
