"""The causal table holds together."""

import pytest

from detectors.correlation import EDGES, LAYERS, Edge, Scope, rank_of
from detectors.correlation.table import EDGE, LASTING
from detectors.correlation.title import CAUSE, EFFECT
from detectors.model import FindingKind, Layer


def test_every_kind_has_a_layer_and_a_rank_of_its_own() -> None:
    assert set(FindingKind) == set(LAYERS)
    assert len(FindingKind) == len({rank_of(kind) for kind in FindingKind})


def test_ranks_follow_the_layers() -> None:
    by_rank = [LAYERS[kind] for kind in sorted(FindingKind, key=rank_of)]

    assert sorted(by_rank, key=tuple(Layer).index) == by_rank


def test_a_pair_of_kinds_has_one_edge() -> None:
    assert len(EDGES) == len(EDGE)


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: f"{edge.cause.value}-{edge.effect.value}")
def test_every_edge_has_a_lag_a_window_and_a_source(edge) -> None:
    assert edge.source
    assert edge.lag_seconds > 0
    assert edge.least_seconds < edge.lag_seconds


def each_way(edge: Edge) -> bool:
    """But for words about links: there place decides, of one card the one way, of two the other (`link.causes`)."""
    back = EDGE.get((edge.effect, edge.cause))
    return edge.cause is not edge.effect and back is not None and Scope.LINK not in (edge.scope, back.scope)


@pytest.mark.parametrize(
    "edge",
    [edge for edge in EDGES if each_way(edge)],
    ids=lambda edge: f"{edge.cause.value}-{edge.effect.value}",
)
def test_where_an_edge_goes_each_way_time_alone_decides(edge) -> None:
    back = EDGE[edge.effect, edge.cause]

    # gap = effect - cause; the other way round it is -gap, so the windows touch where one begins at minus the other.
    assert edge.least_seconds == -back.least_seconds


def test_edges_that_go_one_way_make_no_circle() -> None:
    one_way = {(e.cause, e.effect) for e in EDGES if (e.effect, e.cause) not in EDGE}
    left = set(FindingKind)
    while free := {kind for kind in left if not any(c in left and e is kind for c, e in one_way)}:
        left -= free

    assert set() == left


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        ("xid", "gpu_lost"),
        ("gpu_lost", "collective_hang"),
        ("collective_hang", "collective_timeout"),
        ("collective_timeout", "rank_crash"),
        ("collective_timeout", "job_crash"),
        ("gpu_memory_leak", "gpu_memory_pressure"),
        ("gpu_memory_pressure", "gpu_out_of_memory"),
        ("gpu_out_of_memory", "job_crash"),
        ("thermal_throttle", "straggler"),
        ("power_throttle", "straggler"),
        ("straggler", "throughput_drop"),
        ("dataloader_stall", "training_stall"),
        ("dataloader_stall", "throughput_drop"),
        ("grad_norm_spike", "loss_nan"),
        ("loss_divergence", "loss_nan"),
        ("ecc_uncorrectable", "xid"),
        ("xid", "job_crash"),
    ],
)
def test_the_known_chains_are_in_the_table(cause, effect) -> None:
    assert (FindingKind(cause), FindingKind(effect)) in EDGE


def test_unusual_and_clock_offset_cause_nothing_and_follow_from_nothing() -> None:
    ends = {edge.cause for edge in EDGES} | {edge.effect for edge in EDGES}

    assert set() == ends & {FindingKind.UNUSUAL, FindingKind.CLOCK_OFFSET}


def test_every_lasting_kind_causes_something() -> None:
    assert set() == LASTING - {edge.cause for edge in EDGES}


def test_a_title_has_words_for_every_cause_and_every_effect() -> None:
    assert set(FindingKind) == set(CAUSE)
    assert set() == {edge.effect for edge in EDGES} - set(EFFECT)
