"""Every number that the simulator takes from somewhere, with where it comes from. docs/simulator.md explains them.

"recordings" are the repository's own (`recordings/README.md`; phases by their `truth.json`, edges of 1.5 s left out);
"facts" are published figures, named beside each; "a choice" is one, and says why. Nothing else in `agent/simulate`
holds a figure about cards, logs or rates.
"""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True, slots=True)
class State:
    """What one card shows in one state."""

    watts: float
    """True mean power."""
    watts_noise: float
    """Standard deviation of the power gauge between looks a second apart."""
    utilisation: tuple[int, int]
    """Least and most per cent, uniform between."""
    clock_mhz: float
    clock_noise: float
    """Standard deviation between looks a second apart; white: the recordings' autocorrelation at 1 s is -0.2 to 0.1."""
    reasons: int = 0
    """NVML's clocks-event bits."""
    nvlink_mbytes: float = 0.0
    """Payload sent, MB/s; as much is received."""


POWER_CAP, IDLE_BIT, HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, POWER_BRAKE = 0x4, 0x1, 0x8, 0x20, 0x40, 0x80

# name: watts, noise, utilisation %, clock MHz, noise, reasons, NVLink MB/s
OFF = State(80.0, 0.4, (0, 0), 345, 0, IDLE_BIT)
"""No process. Recordings: job_end_idle of all seven cards, 76 to 83 W at 345 MHz, reason 0x1."""
ENDING = State(135.0, 0.6, (0, 0), 1980, 0, IDLE_BIT)
"""The two seconds after its process died. Recordings: rank_crash of h200-ddp, 136 W at 1980 MHz, then 83 W at 345."""
STILL = State(126.0, 0.5, (0, 0), 1980, 0)
"""A process holds memory and does nothing. Recordings: dataloader_hang, host_stall, the guilty rank of a hang: 123 to
127 W, utilisation 0."""
SAVING = State(128.0, 0.6, (0, 7), 1980, 0)
"""A rank that writes a checkpoint. Recordings: checkpoint_save, 127 to 130 W, utilisation 0 to 8."""
SAVE_WAIT = State(126.0, 0.8, (100, 100), 1980, 0)
"""A rank that waits for another's save. Recordings: ddp and ddp4, 121 to 131 W at 100 %."""
SPIN = State(167.0, 0.6, (100, 100), 1980, 0)
"""A rank in a collective that does not end. Recordings: collective_hang, rank_crash: 164 to 169 W at 100 %."""
WORK = State(691.5, 2.4, (96, 99), 1838, 36, POWER_CAP, 11_400)
"""Training at the power cap. Recordings: 60 healthy phases of seven cards: 688 to 693 W, gauge noise 1.6 to 5.6 W,
98 to 99 %, 1790 to 1895 MHz by card with 30 to 44 MHz of noise, NVLink 11,400 MB/s."""
EVALUATION = State(694.0, 1.9, (97, 98), 1760, 30, POWER_CAP)
"""Recordings: h200-training evaluation; one look of 43 at 92 % is left out."""
CROWDED = State(691.0, 4.0, (99, 100), 1690, 70, POWER_CAP, 6_000)
"""The guilty card of a compute straggler. Recordings: ddp 690 W at 1673 MHz (noise 121: its extra work pulses), ddp4
692 W at 1698 MHz (noise 34)."""
DENSE = State(691.3, 1.4, (99, 100), 1475, 18, POWER_CAP)
"""Denser work at the same cap. Recordings: power_throttle, 691 W at 1462 to 1487 MHz."""
NAN = State(494.0, 1.2, (96, 99), 1980, 0, 0, 11_400)
"""All values NaN. Recordings: loss_nan, 490 to 500 W at the highest clock."""
DIVERGED = State(685.0, 3.3, (96, 99), 1965, 14, POWER_CAP, 11_400)
"""Recordings: loss_divergence, 680 to 692 W at 1933 to 1980 MHz."""
REST_CLOCK_MHZ, REST_CLOCK_NOISE = 1965.0, 14.0
"""Cards that draw clearly less than the cap. Recordings: innocents of a compute straggler, 1955 and 1970 MHz; bursts of
slow dataloaders, 1970 to 1977 MHz, noise 4 to 27."""
REST_LOAD = 1.19
"""Load share of the ranks that wait for a straggler which makes each step s times longer: 1.19 / s. Recordings: ddp s =
1.36 and 0.867; ddp4 s = 2.37 and 0.509."""
TOP_CLOCK_MHZ, CLOCK_STEP_MHZ = 1980.0, 15.0
"""Recordings: no look above 1980 MHz; all are multiples of 15."""
ENDING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Spread:
    """How cards of one model differ: standard deviations of each card's own constant offset."""

    busy_watts: float = 0.7
    idle_watts: float = 1.5
    """Of all states below 300 W. Recordings: 123.8 to 126.5 W still, 164 to 169 W spinning, by card."""
    busy_clock_mhz: float = 27.0
    """Recordings: means of 1798, 1812, 1832, 1857, 1857, 1858, 1888 MHz at the cap."""
    phase_clock_mhz: float = 6.0
    """The same card from one healthy phase to the next. Recordings: 1786 to 1818 on one card."""
    ambient_celsius: float = 1.5
    """Of `AMBIENT_CELSIUS`. Recordings: fits give 33.6 to 37.8."""


SPREAD = Spread()
AMBIENT_CELSIUS, FAST_CELSIUS_PER_WATT, SLOW_CELSIUS_PER_WATT = 34.8, 0.0345, 0.004
FAST_SECONDS, SLOW_SECONDS = 1.0, 60.0
"""Core temperature = ambient + fast x power followed with 1 s + slow x power followed with 60 s. Recordings: least
squares over seven cards, 2.0 to 2.6 degrees residual."""
HBM_AMBIENT_CELSIUS, HBM_FAST, HBM_SLOW = 34.6, 0.0231, 0.0103
"""The same for HBM (1 s and 30 s in the fit; the 60 s filter is shared), residual 1.1 to 1.5 degrees."""
SLOWDOWN_CELSIUS, THERMAL_TARGET_CELSIUS = 89, 87
"""h200-ddp4/nvml_probe.json: temp_threshold_slowdown and temp_threshold_gpu_max."""
BURST_LOOK_SECONDS = 0.2
"""Utilisation follows the work this closely. Recordings: the edges of bursts at 5 Hz."""
ENERGY_STEP_SECONDS = (0.02, 0.1)
"""The energy counter stands still between updates of its own. Recordings: ddp about 20 ms (mean power over 1 s has 2 to
4 W of noise), ddp4 about 100 ms (22 to 32 W)."""
CARD_BYTES, EMPTY_BYTES, DEAD_BYTES = 150_754_820_096, 644_939_776, 950_000_000
"""h200 probe; recordings: memory in use without a process, and after one died beside others that live."""
POWER_LIMIT_WATTS = 700
MODEL, DRIVER = "NVIDIA H200", "580.159.04"
PCI_BUSES = (0x19, 0x3B, 0x4C, 0x5D, 0x9B, 0xBB, 0xCB, 0xDB)
"""A common 8-GPU board; a choice."""
HELD_GIB = (16.0, 120.0)
"""What a job holds on each card, log-uniform. Recordings 16.6 and 19.1 GiB; large models fill the card."""
BELOW_CAP_SHARE, BELOW_CAP_WATTS = 0.2, (560.0, 670.0)
"""A choice: a fifth of the jobs is bound by communication and stays below the cap, at the top clock, as NAN and REST
show that cards do. Without them a rule that needs the cap would look better than it is."""

# throttling: NOT in the recordings
THROTTLED_CLOCK_SHARE = (0.55, 0.8)
"""Of a hot card, log-uniform; power falls with it to 0.6 + 0.4 x share. Facts: gpu-faults 7 (a slowed clock shows at
once), NVML's documentation of the bits; the shares are a choice."""
BRAKE_CLOCK_SHARE = 0.5
"""Facts: NVML, hardware slowdown halves the clock or more (`nvmlClocksThrottleReasonHwSlowdown`)."""
HEAT_SECONDS = (40.0, 240.0)
"""From failed cooling to the throttle, by card; a choice: air in a rack warms in minutes."""
WARM_ROOM_CELSIUS, WARM_ROOM_CLOCK_SHARE = (3.0, 7.0), 0.015
"""Facts: training 1.1, Llama 3: 1 to 2 % of throughput over the day's heat. Never a thermal bit."""


@dataclass(frozen=True, slots=True)
class JobTimes:
    """Rhythm of jobs."""

    step_seconds: tuple[float, float] = (0.3, 1.5)
    """Of a job of 8 ranks, log-uniform; a choice: the recordings' 0.08 s belong to a 0.25 B model."""
    step_growth: float = 0.3
    """times (ranks / 8) to this power: 1,024 ranks take 4.3 times longer; a choice (large runs: 5 to 15 s)."""
    most_step_seconds: float = 6.0
    line_noise: float = 0.004
    """Relative deviation of the time between lines. Recordings: sd 0.000 to 0.001 s of 0.17 s."""
    shard_steps: int = 190
    shard_seconds: float = 0.5
    """A slow step now and then. Recordings: one of 0.58 s every 190 steps (the next shard)."""
    start_seconds: tuple[float, float] = (20.0, 60.0)
    """Imports, NCCL, model build. Recordings: 17 s; larger jobs take longer (facts: training 5, NVRx warm-ups)."""
    first_step_seconds: tuple[float, float] = (3.0, 12.0)
    """Compilation. Recordings: 4.8 to 5.9 s."""
    save_seconds: tuple[float, float] = (3.0, 25.0)
    """Log-uniform by job. Recordings: 3.1 to 5.4 s at 0.25 B parameters."""
    save_every_seconds: tuple[float, float] = (420.0, 1200.0)
    """A choice; facts: training 1.2, hourly checkpoints are usual, Daly's optimum is shorter for large jobs."""
    evaluation_every_seconds: tuple[float, float] = (900.0, 2400.0)
    evaluation_seconds: tuple[float, float] = (10.0, 60.0)
    """Recordings: 12 s. Facts: training 6, MLPerf 11.2 s per 120 s."""
    restart_seconds: tuple[float, float] = (40.0, 120.0)
    """From a crash to the new processes. Facts: training 1.2, warm recovery about 10 min, good restarts 2 min; short
    here so that a packed day has room."""
    timeout_seconds: tuple[float, ...] = (600.0, 600.0, 180.0, 60.0)
    """NCCL's. Facts: training 3.1: 600 s by default; 60 s in the recordings; shorter ones are set by hand."""
    notice_seconds: tuple[float, float] = (0.2, 2.0)
    """From a rank's death to its launcher's line. torchelastic looks every 0.1 s by default."""
    teardown_seconds: tuple[float, float] = (2.0, 20.0)
    """From that line to the last rank's end. Recordings: 25 s after the watchdog in h200-ddp."""
    abort_seconds: tuple[float, float] = (2.0, 25.0)
    """From the watchdog's line to the process's end (dump, then SIGABRT). Recordings: ddp and ddp4."""


JOB_TIMES = JobTimes()
LOSS_START, LOSS_FLOOR, LOSS_POWER = 7.0, 2.1, 0.28
LOSS_NOISE = 0.05
"""Loss = floor + (start - floor) x step^-power + noise. Recordings: 5.7 to 2.5 in 50 steps, and differences between
lines of 0.07, which is sqrt(2) x 0.05."""
GRAD_NORM, GRAD_NORM_SIGMA = 0.9, 0.28
"""Log-normal. Recordings: 0.5 to 1.9 once warmed up; facts: training 2, 20 to 114 of 10,000 healthy steps lie beyond
the usual sigma rules, hence Student's tails below."""
TAIL_FREEDOM = 4.0

# faults
SLOWDOWN = (1.35, 4.0)
"""How many times longer a step takes beside a compute straggler, log-uniform. Recordings: 1.36 and 2.37."""
HOST_DELAY_STEPS = (3.0, 13.0)
"""A late host's delay of each step in steps. Recordings: 1 s of 0.085 s, 11.7. At most `MOST_DELAY_SECONDS`."""
LOADER_WORKERS = (2, 6)
LOADER_WAIT_STEPS = (12.0, 36.0)
"""A slow loader's W batches, then a wait. Recordings: 3 batches and 2.9 s (34 steps)."""
MOST_DELAY_SECONDS = 20.0
LEAK_FILL_SECONDS = (20.0, 400.0)
"""From the habit to a full card. Recordings: 20 s; real leaks are slower, to hours: those need longer windows than a
packed day has."""
STORM_PER_SECOND = (5.0, 3000.0)
"""Facts: gpu-faults 2.3, storms of 60 to 17,657 corrected errors a second; below 1 a second is no storm."""
CORRECTED_PER_DAY = 0.3
"""Healthy cards: a few a day at most."""

FAULT_WEIGHTS: dict[str, float] = {
    "gpu_lost": 9.0,
    "gsp_hang": 1.0,
    "ecc_uncorrectable": 5.5,
    "row_remap": 1.0,
    "ecc_correctable_storm": 2.0,
    "job_crash": 3.5,
    "xid": 3.0,
    "nvlink_error": 1.5,
    "collective_hang": 4.0,
    "rank_crash": 3.0,
    "node_lost": 2.0,
    "collector_lost": 0.7,
    "thermal_throttle": 1.0,
    "power_brake": 0.7,
    "loss_nan": 1.5,
    "loss_divergence": 1.0,
    "straggler_gpu": 3.0,
    "straggler_host": 2.5,
    "dataloader_slow": 3.0,
    "dataloader_hang": 1.5,
    "host_stall": 1.0,
    "gpu_memory_leak": 1.5,
    "power_throttle": 0.8,
}
"""How often each kind is drawn. Facts: training 1.1, Llama 3 in 16,384 GPU x 54 days: faulty GPU 148, HBM 72 and SRAM
19, software 54, network 35, GSP 17, NCCL time-outs 7, silent corruption 6, thermal 6; scaled to about one in sixteen.
Slow kinds, loaders and leaks are not in that table, since nothing died of them: facts training 1.3 (Greyhound: 40 % of
jobs meet slow communication, <2 % slow compute) and 1.4 (loaders 4.4 % of failed GPU time); their weights are a choice,
so that a day shows each kind."""
FAULTS_PER_1000_NODE_DAYS = 6.5
"""Facts: training 1.2, RSC-1. The `day` packs about thirty times as many, to be worth watching."""
