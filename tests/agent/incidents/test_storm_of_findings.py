"""Ten thousand findings in a second: every one is kept, in an incident that can be read, and the store has them all."""

from collections import Counter
from pathlib import Path

import pytest
from migrated_stores import migrated

from agent.store.store import open_store
from agent.watch import Changes
from benchmarks.correlation_storm import NS, finding
from detectors.correlation import Correlator
from detectors.model import Finding, FindingKind, Incident

pytestmark = pytest.mark.slow

COUNT = 10_000


def storm() -> list[Finding]:
    """A fleet that runs hot, Xids among it, and jobs that crash, all within one second."""
    kinds = (FindingKind.THERMAL_THROTTLE, FindingKind.XID, FindingKind.RANK_CRASH, FindingKind.THERMAL_THROTTLE)
    return [finding(kinds[card % 4], card, 100 + card / COUNT, f"j{card // 64}") for card in range(COUNT)]


@pytest.fixture(scope="module")
def told() -> tuple[list[Finding], dict[str, Incident], dict[str, set[str]]]:
    """What a correlator makes of it in one tick, and which findings it says are whose."""
    correlator, findings = Correlator("c"), storm()
    incidents = {one.id: one for one in correlator.update(findings, 101 * NS)}
    return findings, incidents, {one.id: set(one.findings) for one in incidents.values()}


def test_every_finding_is_counted_in_exactly_one_incident(
    told: tuple[list[Finding], dict[str, Incident], dict[str, set[str]]],
) -> None:
    findings, incidents, members = told
    times = Counter(id_ for listed in members.values() for id_ in listed)

    assert set(times.values()) == {1}
    assert times.keys() <= {one.id for one in findings}
    assert sum(len(one.findings) + one.left_out for one in incidents.values()) == COUNT


def test_they_make_an_incident_a_job_and_one_a_wave_each_short_enough_to_read(
    told: tuple[list[Finding], dict[str, Incident], dict[str, set[str]]],
) -> None:
    _, incidents, _ = told
    unresolved = [one for one in incidents.values() if one.resolved_ns is None]

    jobs = -(-COUNT // 64)
    assert len(unresolved) <= jobs + 2
    assert all(len(one.findings) <= 200 for one in unresolved)


def test_the_store_takes_them_in_one_transaction_and_a_repeat_changes_nothing(
    told: tuple[list[Finding], dict[str, Incident], dict[str, set[str]]], tmp_path: Path
) -> None:
    findings, incidents, _ = told
    store = open_store(migrated(tmp_path / "store.db"))
    for _ in range(2):
        store.save(Changes(findings=findings, incidents=list(incidents.values())))

    kept = store.findings([one.id for one in findings])
    assert sorted(kept, key=lambda one: one.id) == sorted(findings, key=lambda one: one.id)
    assert {one.id for one in store.incidents(limit=1000)} == incidents.keys()
    store.close()
