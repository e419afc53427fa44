"""The played fleet: jobs follow their pods, and each injected fault is found on the card or job it was laid on."""

import pytest
from played_fleet import PlayedFleet, pod

from agent.inject.faults import FAULTS
from collectors.errors import GiveUp
from collectors.model import Origin
from detectors.model import FindingKind, IncidentState

pytestmark = pytest.mark.slow

K = FindingKind
PLACES = [f"gpu-node-{i:02d}" for i in range(4)]
NODE, GPU = "gpu-node-02", 3

FOUND = {
    "xid-79": {K.GPU_LOST},
    "xid-48": {K.ECC_UNCORRECTABLE},
    "ecc-uncorrectable": {K.ECC_UNCORRECTABLE},
    "xid-74": {K.XID},
    "xid-119": {K.XID},
    "row-remap": {K.ROW_REMAP},
    "thermal": {K.THERMAL_THROTTLE},
    "correctable-storm": {K.ECC_CORRECTABLE_STORM},
    "collective-hang": {K.COLLECTIVE_HANG},
    "dataloader-stall": {K.TRAINING_STALL, K.DATALOADER_STALL},
    "rank-crash": {K.RANK_CRASH, K.JOB_CRASH},
    "node-lost": {K.TELEMETRY_LOST},
}
"""The kinds of root that a fault may be found as."""


def training(seconds: float = 45) -> PlayedFleet:
    played = PlayedFleet.of()
    played.run(1).run_job(*PLACES)
    return played.run(seconds)


def test_a_healthy_fleet_says_nothing_and_all_of_it_is_a_test() -> None:
    played = training(120)

    assert played.findings == {}
    assert {batch.origin for batch in played.batches} == {Origin.TEST}
    assert {batch.node.id for batch in played.batches} == {f"uid-node-{i:02d}" for i in range(6)}


def test_a_gpu_says_for_which_pod_job_and_rank_it_works() -> None:
    played = training()
    inventory = played.watch.engine.inventory
    (gpu,) = inventory.called(played.player.world.card(2, 3).subject.kind, "gpu-node-02/gpu3")

    assert inventory.names(gpu) | {"rack": ""} == {
        "node": "gpu-node-02",
        "gpu": "3",
        "rank": "19",
        "job": "training/llama",
        "rack": "",
    }
    assert inventory.attribute(gpu, "pod_uid") == "uid-pod-2-0"


def test_every_fault_that_can_be_laid_is_in_this_table() -> None:
    assert set(FOUND) | {"repair"} == set(FAULTS)


@pytest.mark.parametrize("fault", FOUND)
def test_a_fault_is_one_incident_where_it_was_laid(fault: str) -> None:
    played = training()
    said = played.lay(fault, NODE, GPU)
    played.run(65)

    (first,) = [incident for incident in played.incidents.values() if incident.findings]
    assert first.kind in FOUND[fault]
    assert first.origin is Origin.TEST
    assert NODE in said
    if FAULTS[fault].about == "gpu":
        assert (first.names["node"], first.names["gpu"]) == (NODE, str(GPU))


@pytest.mark.parametrize("fault", ["xid-79", "xid-48", "xid-119", "row-remap", "node-lost"])
def test_repair_ends_what_a_fault_has_opened_about_the_node(fault: str) -> None:
    played = training()
    played.lay(fault, NODE, GPU)
    played.run(40)
    opened = [finding.id for finding in played.findings.values() if finding.names.get("node") == NODE]
    played.lay("repair", NODE)
    played.run(60)
    mine = [played.findings[id_] for id_ in opened]

    assert mine
    assert [finding.kind for finding in mine if finding.cleared_ns is None] == []


def test_a_card_without_a_job_can_be_lost_too() -> None:
    played = training()
    played.lay("xid-79", "gpu-node-05", 1)
    played.run(15)

    assert played.open_kinds() == ["gpu_lost"]


def test_an_interrupted_job_ends_its_pods_and_goes_on_in_new_ones_on_other_nodes() -> None:
    played = training()
    played.lay("xid-79", NODE, GPU)
    played.run(100)
    assert [len(pods) for pods in played.exits] == [4]
    step = max(int(e.values["step"]) for b in played.batches for e in b.events if "step" in e.values)

    played.run_job("gpu-node-00", "gpu-node-01", "gpu-node-04", "gpu-node-03", attempt=1)
    played.batches.clear()
    played.run(60)
    events = [(batch.node.id, event) for batch in played.batches for event in batch.events]

    assert [node for node, event in events if event.kind == "training_start"] == ["uid-node-00"]
    assert max(int(event.values["step"]) for _, event in events if "step" in event.values) > 20
    assert step > 20
    assert played.open_kinds() == ["gpu_lost"]


def test_a_job_that_meets_the_lost_card_again_dies_at_its_start() -> None:
    played = training()
    played.lay("xid-79", NODE, GPU)
    played.run(100)
    played.run_job(*PLACES, attempt=1)
    played.run(60)

    assert [len(pods) for pods in played.exits] == [4, 4]


def test_pods_that_are_deleted_take_their_ranks_with_them_and_the_others_wait_for_them() -> None:
    played = training()
    played.player.pod_gone("uid-pod-1-0")
    played.run(3)
    assert played.said[-1] == "job training/llama: 1 of 4 pods are gone, their ranks end"

    played.run(100)
    assert [sorted(pods) for pods in played.exits] == [["llama-0-bbbbb", "llama-2-bbbbb", "llama-3-bbbbb"]]


def test_a_gang_starts_only_when_all_its_pods_run() -> None:
    played = PlayedFleet.of()
    played.run(1)
    played.player.see_pods([pod(index, name, phase="Pending") for index, name in enumerate(PLACES)])
    played.run(30)
    played.player.see_pods([pod(index, name) for index, name in enumerate(PLACES[:3])])
    played.run(30)
    assert played.said == []

    played.player.see_pods([pod(3, PLACES[3])])
    played.run(5)
    assert [line.partition(":")[0] for line in played.said] == ["job training/llama"]


@pytest.mark.parametrize(
    ("fault", "node", "gpu", "why"),
    [
        ("xid-79", "gpu-node-77", 0, "plays no node gpu-node-77; there are gpu-node-00"),
        ("xid-79", NODE, 8, "has no GPU 8; its GPUs are 0 to 7"),
        ("collective-hang", "gpu-node-05", 0, "no training job runs on gpu-node-05"),
    ],
    ids=["node", "gpu", "job"],
)
def test_what_cannot_be_laid_is_refused_with_the_reason(fault: str, node: str, gpu: int, why: str) -> None:
    with pytest.raises(GiveUp, match=why):
        training().lay(fault, node, gpu)


def test_a_fault_of_a_job_waits_until_its_habit_can_be_known() -> None:
    with pytest.raises(GiveUp, match="no habit yet: again in"):
        training(20).lay("dataloader-stall", NODE)


def test_a_fault_that_passes_is_over_after_the_time_that_was_asked_for() -> None:
    played = training()
    played.lay("collective-hang", NODE, GPU, 15)
    played.run(90)

    assert played.open_kinds() == []
    assert [incident.state for incident in played.incidents.values()] == [IncidentState.RESOLVED]


def test_a_node_without_power_is_not_ready_until_it_is_repaired() -> None:
    played = training()
    played.lay("node-lost", NODE)
    played.run(5)
    assert played.ready == {NODE: False}
    with pytest.raises(GiveUp, match="no power"):
        played.lay("xid-79", NODE)

    played.lay("repair", NODE)
    played.run(20)
    assert played.ready == {NODE: True}
