"""What the inventory holds of a fleet that changes: names are used again, keys are not."""

import pytest

from collectors.model import Batch, Origin, Subject, SubjectFacts, SubjectKind
from detectors.inventory import Fact, Source
from detectors.model import Inventory

S = 1_000_000_000
NODE, POD, JOB, GPU = SubjectKind.NODE, SubjectKind.POD, SubjectKind.JOB, SubjectKind.GPU


def of(kind: SubjectKind, key: str) -> Subject:
    return Subject("c", kind, key)


def facts(kind: SubjectKind, key: str, name: str = "", node: str = "", **attributes: str) -> SubjectFacts:
    return SubjectFacts(of(kind, key), name or key, of(NODE, node) if node else None, attributes)


def batch(node: str, *told: SubjectFacts, subjects: tuple[Subject, ...] = ()) -> Batch:
    return Batch(1, Origin.LIVE, of(NODE, node), "boot", "spool", 1, 0, subjects, told)


def heard(*batches: tuple[int, Batch]) -> Inventory:
    inventory = Inventory()
    for second, one in batches:
        inventory.learn(one, second * S)
    return inventory


def card(key: str, node: str, index: str = "0", **attributes: str) -> SubjectFacts:
    return facts(GPU, key, f"{node}/gpu{index}", node, index=index, **attributes)


def test_two_jobs_of_one_name_stay_two_jobs() -> None:
    inventory = heard((1, batch("n", facts(JOB, "uid-1", "train"), facts(JOB, "uid-2", "train"))))

    assert (of(JOB, "uid-2"), of(JOB, "uid-1")) == inventory.called(JOB, "train")


def test_a_pod_made_anew_under_its_old_name_is_another_pod_and_the_old_one_is_gone() -> None:
    inventory = Inventory()
    inventory.tell(Source.KUBERNETES, [facts(POD, "p1", "ns/train-0", job="j1")], 1 * S)
    inventory.untell(Source.KUBERNETES, of(POD, "p1"), 5 * S, "deleted")
    inventory.tell(Source.KUBERNETES, [facts(POD, "p2", "ns/train-0", job="j2")], 6 * S)

    assert (of(POD, "p2"), of(POD, "p1")) == inventory.called(POD, "ns/train-0")
    assert {of(POD, "p1"): "deleted"} == {who: gone.because for who, gone in inventory.gone.items()}
    assert of(JOB, "j1") == inventory.job_of(of(POD, "p1"))


def test_renumbered_ranks_keep_their_dates() -> None:
    inventory = heard((10, batch("n", card("g", "n", rank="3"))), (20, batch("n", card("g", "n", rank="7"))))

    assert inventory.history(of(GPU, "g"), "rank") == (
        Fact("3", 10 * S, None, 20 * S),
        Fact("7", 20 * S, Source.COLLECTOR),
    )
    assert [inventory.value_at(of(GPU, "g"), "rank", at * S) for at in (15, 20, 5)] == ["3", "7", None]


def test_a_gpu_that_moves_between_pods_works_for_the_new_pods_job() -> None:
    inventory = heard((1, batch("n", card("g", "n", pod_uid="p1"))))
    inventory.tell(Source.KUBERNETES, [facts(POD, "p1", job="j1"), facts(POD, "p2", job="j2")], 2 * S)
    before = inventory.job_of(of(GPU, "g"))
    inventory.learn(batch("n", card("g", "n", pod_uid="p2")), 3 * S)

    assert (of(JOB, "j1"), of(JOB, "j2")) == (before, inventory.job_of(of(GPU, "g")))
    assert inventory.value_at(of(GPU, "g"), "pod_uid", 2 * S) == "p1"


def test_a_gpu_that_no_pod_and_no_collector_gives_a_job_has_none() -> None:
    inventory = heard((1, batch("n", card("g", "n", pod_uid="unheard-of"))))

    assert inventory.job_of(of(GPU, "g")) is None
    assert inventory.rack_of(of(GPU, "g")) is None
    assert inventory.fact(of(GPU, "g"), "rack") is None


def test_a_node_replaced_under_the_same_name_takes_over_what_files_say_of_the_name() -> None:
    inventory = Inventory()
    inventory.tell_by_name(Source.CSV, {(NODE, "node-a"): {"rack": "r1"}}, 1 * S)
    inventory.learn(batch("uid-1", facts(NODE, "uid-1", "node-a"), card("g1", "uid-1")), 2 * S)
    inventory.learn(batch("uid-2", facts(NODE, "uid-2", "node-a"), card("g2", "uid-2")), 90 * S)

    assert of(SubjectKind.RACK, "r1") == inventory.rack_of(of(GPU, "g2"))
    assert (of(NODE, "uid-2"), of(NODE, "uid-1")) == inventory.called(NODE, "node-a")
    assert inventory.node_of(of(GPU, "g1")) == of(NODE, "uid-1")


def test_a_file_may_name_a_card_by_its_node_and_index() -> None:
    inventory = heard((1, batch("uid-1", facts(NODE, "uid-1", "node-a"), card("g", "uid-1", "3"))))
    inventory.tell_by_name(Source.CSV, {(GPU, "node-a/gpu3"): {"job": "j", "rank": "11"}}, 2 * S)

    assert inventory.names(of(GPU, "g")) == {"node": "node-a", "gpu": "3", "rank": "11", "job": "j"}


def test_what_a_file_no_longer_says_is_unknown_again() -> None:
    inventory = heard((1, batch("uid-1", facts(NODE, "uid-1", "node-a"))))
    inventory.tell_by_name(Source.CSV, {(NODE, "node-a"): {"rack": "r1"}}, 2 * S)
    inventory.tell_by_name(Source.CSV, {}, 3 * S)

    assert inventory.rack_of(of(NODE, "uid-1")) is None
    assert frozenset() == inventory.nodes_at("rack", "r1")


def test_collectors_win_on_what_runs_where_the_cluster_on_names_and_layout_and_both_words_are_kept() -> None:
    inventory = heard((1, batch("u", facts(NODE, "u", "ip-10-0-0-1", rack="r9"), card("g", "u", job="seen"))))
    inventory.tell(Source.KUBERNETES, [facts(NODE, "u", "node-a", rack="r1")], 2 * S)
    inventory.tell(Source.KUBERNETES, [facts(GPU, "g", "", job="planned")], 3 * S)

    assert (
        inventory.name_of(of(NODE, "u")),
        inventory.attribute(of(NODE, "u"), "rack"),
        inventory.attribute(of(GPU, "g"), "job"),
    ) == ("node-a", "r1", "seen")
    assert [str(one) for one in inventory.contradictions] == [
        "node node-a: name is 'node-a' by kubernetes, 'ip-10-0-0-1' by collector; the former is believed",
        "node node-a: rack is 'r1' by kubernetes, 'r9' by collector; the former is believed",
        "gpu u/gpu0: job is 'seen' by collector, 'planned' by kubernetes; the former is believed",
    ]


def test_a_contradiction_keeps_its_date_and_ends_with_the_disagreement() -> None:
    inventory = heard((1, batch("u", facts(NODE, "u", "a", rack="r9"))))
    inventory.tell(Source.CSV, [facts(NODE, "u", "", rack="r1")], 2 * S)
    inventory.tell(Source.CSV, [facts(NODE, "u", "", rack="r1", pool="x")], 9 * S)
    since = [one.since_ns for one in inventory.contradictions]
    inventory.tell(Source.CSV, [facts(NODE, "u", "", rack="r9")], 10 * S)

    assert (since, inventory.contradictions) == ([2 * S], [])


def test_a_collector_that_speaks_of_a_deleted_node_brings_it_back() -> None:
    inventory = heard((1, batch("u", facts(NODE, "u", "a"))))
    inventory.tell(Source.KUBERNETES, [facts(NODE, "u", "a", rack="r")], 2 * S)
    inventory.untell(Source.KUBERNETES, of(NODE, "u"), 3 * S, "deleted")
    assert of(NODE, "u") in inventory.gone

    inventory.learn(batch("u", facts(NODE, "u", "a", boot_id="2")), 4 * S)

    assert of(NODE, "u") not in inventory.gone


def test_batches_that_say_nothing_new_change_nothing() -> None:
    one = batch("u", facts(NODE, "u", "a"), card("g", "u"), subjects=(of(GPU, "g"), of(GPU, "h")))
    inventory = heard((1, one))
    generation = inventory.generation
    for second in range(2, 50):
        inventory.learn(one, second * S)

    assert (generation, 1 * S) == (inventory.generation, inventory.known_since_ns[of(GPU, "g")])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("0000:18:00", True),
        ("00000000:18:00.0", True),
        ("18:00", True),
        ("0000:18:00.0", True),
        ("0001:18:00", False),
        ("0000:19:00", False),
        ("", False),
        ("rubbish:zz", False),
    ],
)
def test_a_card_is_found_by_its_pci_address_however_it_is_spelled(asked: str, found: bool) -> None:
    inventory = heard((1, batch("n", card("g", "n", pci_bus_id="0000:18:00.0"))))

    assert (of(GPU, "g") if found else None) == inventory.gpu_at(of(NODE, "n"), asked)


def test_a_card_exchanged_in_its_slot_is_the_one_found_there() -> None:
    inventory = heard(
        (1, batch("n", card("old", "n", pci_bus_id="0000:18:00.0"))),
        (2, batch("n", card("new", "n", pci_bus_id="0000:18:00.0"))),
    )

    assert of(GPU, "new") == inventory.gpu_at(of(NODE, "n"), "0000:18:00")


def test_the_past_of_a_flapping_fact_is_bounded() -> None:
    inventory = Inventory()
    for second in range(1, 500):
        inventory.learn(batch("n", card("g", "n", rank=str(second))), second * S)

    assert len(inventory.history(of(GPU, "g"), "rank")) == 17


def test_a_node_moved_to_another_rack_counts_there() -> None:
    inventory = heard((1, batch("u", facts(NODE, "u", "a"))))
    for second, rack in ((2, "r1"), (3, "r2")):
        inventory.tell(Source.KUBERNETES, [facts(NODE, "u", "a", rack=rack, nvlink_domain="d")], second * S)

    assert (frozenset(), frozenset({of(NODE, "u")})) == (
        inventory.nodes_at("rack", "r1"),
        inventory.nodes_at("rack", "r2"),
    )
    assert of(SubjectKind.SWITCH, "d") == inventory.domain_of(of(NODE, "u"))
