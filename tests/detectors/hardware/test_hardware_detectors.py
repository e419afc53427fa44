"""Xids and lost cards: one fault, one finding; what passes and what stays."""

import pytest
from simulated_fleet import JOB, NODE, NS, Fleet, event, gpu, working

from collectors.kernel_log.xid_catalogue import XID_CATALOGUE, XidDomain
from collectors.model import EventKind, EventSource, Subject
from detectors.hardware.xid import PASSES
from detectors.model import FindingKind, Severity

K = FindingKind


def xid(fleet: Fleet, code: float, subject: Subject = gpu(1), source: EventSource = EventSource.KERNEL_LOG) -> None:  # noqa: B008
    fleet.say(event(EventKind.XID, subject, fleet.now_ns, source, f"NVRM: Xid: {code}", code=code))


def after(code: float, seconds: float = 1) -> Fleet:
    fleet = working(2, 3)
    xid(fleet, code)
    return fleet.run(seconds)


@pytest.mark.parametrize(
    ("code", "kind", "severity"),
    [
        (79, K.GPU_LOST, Severity.CRITICAL),
        (48, K.ECC_UNCORRECTABLE, Severity.CRITICAL),
        (94, K.ECC_UNCORRECTABLE, Severity.CRITICAL),
        (95, K.ECC_UNCORRECTABLE, Severity.CRITICAL),
        (63, K.ROW_REMAP, Severity.WARNING),
        (64, K.ROW_REMAP, Severity.CRITICAL),
        (74, K.XID, Severity.CRITICAL),
        (119, K.XID, Severity.CRITICAL),
        (13, K.XID, Severity.WARNING),
        (31, K.XID, Severity.WARNING),
        (9999, K.XID, Severity.WARNING),
    ],
    ids=lambda value: str(getattr(value, "value", value)),
)
def test_a_code_is_of_the_kind_and_severity_of_its_fault(code: int, kind: FindingKind, severity: Severity) -> None:
    (finding,) = after(code).open()
    assert (kind, severity, gpu(1)) == (finding.kind, finding.severity, finding.subject)
    assert str(code) in finding.summary


@pytest.mark.parametrize("code", sorted(XID_CATALOGUE))
def test_every_code_of_the_catalogue_gives_one_finding(code: int) -> None:
    assert len(after(code).found) == 1


def test_three_lines_of_one_fault_are_one_finding() -> None:
    fleet = working(2, 3)
    for _ in range(3):
        xid(fleet, 13)
    assert len(fleet.run(1).open()) == 1


def test_different_codes_on_one_card_stand_side_by_side() -> None:
    fleet = working(2, 3)
    xid(fleet, 13)
    xid(fleet, 31)
    assert {f.mark for f in fleet.run(1).open(K.XID)} == {"13", "31"}


def test_a_lost_card_told_by_two_sources_is_one_finding_that_names_both() -> None:
    fleet = after(79)
    fleet.say(event(EventKind.GPU_LOST, gpu(1), fleet.now_ns, EventSource.NVML)).run(1)
    (finding,) = fleet.open()
    assert {e.source for e in finding.evidence} == {"kernel_log", "nvml"}


def test_an_uncorrectable_error_told_by_log_and_counter_is_one_finding() -> None:
    fleet = after(48).add(1, "uncorrected", 1).run(1)
    (finding,) = fleet.open(K.ECC_UNCORRECTABLE)
    assert {e.source for e in finding.evidence} == {"kernel_log", "nvml"}


PASSING = [code for code, entry in sorted(XID_CATALOGUE.items()) if entry.domain in PASSES]


@pytest.mark.parametrize("code", [*PASSING[:1], *(pytest.param(code, marks=pytest.mark.slow) for code in PASSING[1:])])
def test_an_applications_xid_passes_after_five_minutes(code: int) -> None:
    fleet = after(code)
    if fleet.open(K.XID):
        assert fleet.run(295, every=5.0).open(K.XID)
        assert fleet.run(10, every=5.0).open(K.XID) == []


def test_an_applications_xid_that_comes_again_stays() -> None:
    fleet = after(31, 200)
    xid(fleet, 31)
    assert fleet.run(200, every=5.0).open(K.XID)


@pytest.mark.slow
@pytest.mark.parametrize("domain", sorted(set(XidDomain) - PASSES))
def test_a_hardware_xid_stays(domain: XidDomain) -> None:
    code = next(c for c, e in sorted(XID_CATALOGUE.items()) if e.domain is domain and c not in (63, 64))
    assert len(after(code).run(900, every=5.0).open()) == 1


def test_a_row_remap_told_by_the_log_clears_when_the_flags_stay_down() -> None:
    fleet = after(63, 1)
    assert fleet.open(K.ROW_REMAP)
    assert fleet.run(3).open(K.ROW_REMAP) == []


def test_a_row_remap_told_by_the_log_stays_while_its_flag_is_up() -> None:
    fleet = working(2, 3)
    xid(fleet, 63)
    fleet.run(1).set(1, pending=1.0)
    assert fleet.run(60).open(K.ROW_REMAP)


@pytest.mark.parametrize(
    ("told", "severity"), [("true", Severity.CRITICAL), ("false", Severity.INFO), ("", Severity.INFO)]
)
def test_a_switch_error_is_as_grave_as_the_driver_says(told: str, severity: Severity) -> None:
    fleet = working(2, 3)
    fleet.say(event(EventKind.SXID, NODE, fleet.now_ns, EventSource.KERNEL_LOG, attributes={"fatal": told}, code=12028))
    (finding,) = fleet.run(1).open()
    assert (K.XID, severity, "sxid-12028") == (finding.kind, finding.severity, finding.mark)


@pytest.mark.parametrize("values", [{}, {"code": float("nan")}, {"code": float("inf")}], ids=["none", "nan", "inf"])
def test_an_xid_without_a_code_says_nothing(values: dict[str, float]) -> None:
    fleet = working(1, 2)
    fleet.say(event(EventKind.XID, gpu(0), fleet.now_ns, EventSource.KERNEL_LOG, **values))
    assert fleet.run(1).kinds() == []


def test_a_training_log_that_quotes_an_xid_says_nothing_of_the_hardware() -> None:
    fleet = working(1, 2)
    fleet.say(event(EventKind.XID, JOB, fleet.now_ns, EventSource.TRAINING_LOG, code=79))
    assert fleet.run(1).kinds() == []


@pytest.mark.slow
def test_a_lost_card_stays_lost_until_it_answers_again() -> None:
    fleet = working(2, 3)
    fleet.say(event(EventKind.GPU_LOST, gpu(1), fleet.now_ns, EventSource.NVML)).silent.add(1)
    (finding,) = fleet.run(600, every=5.0).open()
    assert (finding.kind, finding.severity) == (K.GPU_LOST, Severity.CRITICAL)
    fleet.say(event(EventKind.GPU_RETURNED, gpu(1), fleet.now_ns, EventSource.NVML)).silent.clear()
    assert fleet.run(2).open() == []
    assert fleet.found[finding.id].cleared_ns is not None
    assert fleet.now_ns - (fleet.found[finding.id].cleared_ns or 0) < 3 * NS
