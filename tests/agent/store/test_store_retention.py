"""What has been kept long enough goes, what is open or belongs to something kept stays."""

from pathlib import Path

import pytest
from store_samples import DAY, GPU, NODE, NOW, decision, event, finding, gauges, incident

from agent.store import retention
from agent.store.rows import JobSeen, NodeSeen, Pruned, Retention
from agent.store.store import Store
from agent.watch import Changes
from collectors.model import Origin
from detectors.model import IncidentState

RESOLVED = IncidentState.RESOLVED
LONG_AGO = NOW - 401 * DAY


def test_each_kind_of_data_has_its_own_age(store: Store) -> None:
    """One of each just inside and just outside."""
    keep = Retention(readings_days=1, events_days=2, history_days=3)
    chunk_ns = 119 * 5 * 10**9
    store.keep_readings([gauges(NOW - DAY - chunk_ns), gauges(NOW - DAY - chunk_ns - 1)])
    store.save(
        Changes(
            [finding(f"f{n}", opened_ns=0, cleared_ns=NOW - 3 * DAY - n) for n in range(2)],
            [incident(f"INC-{n}", state=RESOLVED, findings=(), updated_ns=NOW - 3 * DAY - n) for n in range(2)],
            [decision(f"d{n}", incident="", decided_ns=NOW - 3 * DAY - n) for n in range(2)],
            [event(NOW - 2 * DAY - n) for n in range(2)],
        )
    )
    store.save_nodes([NodeSeen("c1", f"n{n}", "", Origin.LIVE, 0, NOW - 3 * DAY - n) for n in range(2)])
    store.save_jobs([JobSeen("c1", f"j{n}", "", Origin.LIVE, 0, NOW - 3 * DAY - n) for n in range(2)])

    assert Pruned(1, 1, 1, 1, 1, 1, 1) == store.prune(NOW, keep)

    assert len(store.readings(GPU, "gpu_power_watts", 0, NOW)[0]) == 120
    assert [found.id for found in store.incidents()] == ["INC-0"]
    assert [found.id for found in store.findings(["f0", "f1"])] == ["f0"]
    assert [event(NOW - 2 * DAY)] == store.events(since_ns=0, until_ns=NOW)
    assert [found.id for found in store.decisions("")] == ["d0"]
    assert ([n.id for n in store.nodes()], [j.id for j in store.jobs()]) == (["n0"], ["j0"])
    assert Pruned() == store.prune(NOW, keep)


def test_what_is_open_stays_however_old(store: Store) -> None:
    """An incident that nobody resolved, with its cleared finding and its decisions; and a finding without incident."""
    store.save(
        Changes(
            [finding("f1", opened_ns=LONG_AGO, cleared_ns=LONG_AGO), finding("f2", opened_ns=LONG_AGO)],
            [incident(opened_ns=LONG_AGO, updated_ns=LONG_AGO, findings=("f1",))],
            [decision(decided_ns=LONG_AGO)],
        )
    )

    assert Pruned() == store.prune(NOW, Retention())


def test_an_incident_takes_its_findings_and_decisions_along(store: Store) -> None:
    """Also a finding that was saved before its incident, and one that it names no longer."""
    old = {"opened_ns": LONG_AGO, "cleared_ns": LONG_AGO}
    store.save(Changes([finding("f1", **old), finding("f2", **old)]))
    store.save(Changes(incidents=[incident(findings=("f1", "f2"))], decisions=[decision(decided_ns=LONG_AGO)]))
    store.save(Changes([finding("f1", **old)]))
    store.save(Changes(incidents=[incident(state=RESOLVED, updated_ns=LONG_AGO, findings=("f1",))]))

    assert Pruned(findings=2, incidents=1, decisions=1) == store.prune(NOW, Retention())


def test_a_finding_stays_as_long_as_its_incident(store: Store) -> None:
    """It cleared long ago, the incident was resolved of late."""
    store.save(
        Changes(
            [finding("f1", opened_ns=LONG_AGO, cleared_ns=LONG_AGO)],
            [incident(state=RESOLVED, opened_ns=LONG_AGO, updated_ns=NOW)],
        )
    )

    assert Pruned() == store.prune(NOW, Retention())
    assert len(store.findings(["f1"])) == 1


def test_the_audit_is_kept(store: Store) -> None:
    """For good: a chain with a beginning cut off could not be verified."""
    store.append_audit(time_ns=0, actor="a", what="w", about="", detail="{}")

    store.prune(NOW, Retention())

    assert len(store.audit()) == 1


def test_many_rows_go_in_small_transactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a batch, many of one instant among them, and every one goes."""
    monkeypatch.setattr(retention, "BATCH", {"events": 10})
    old = [event(LONG_AGO + min(n, 30), line=str(n), subject=NODE) for n in range(95)]
    store.save(Changes(events=[*old, event()]))

    assert Pruned(events=95) == store.prune(NOW, Retention())
    assert [event()] == store.events(since_ns=0, until_ns=NOW + 1)


def test_more_incidents_than_a_batch_go(store: Store) -> None:
    """Batch by batch."""
    store.save(
        Changes(incidents=[incident(f"INC-{n}", state=RESOLVED, updated_ns=LONG_AGO, findings=()) for n in range(1003)])
    )

    assert Pruned(incidents=1003) == store.prune(NOW, Retention())


def test_a_subject_whose_readings_are_gone_can_come_back(store: Store) -> None:
    """Its layout went with the last chunk."""
    store.keep_readings([gauges(LONG_AGO)])
    assert Pruned(readings=1) == store.prune(NOW, Retention())

    store.keep_readings([gauges(NOW)])

    assert len(store.readings(GPU, "gpu_power_watts", 0, NOW * 2)[0]) == 120


def test_pruning_gives_the_space_back(store: Store, store_url: str) -> None:
    """SQLite's file shrinks; PostgreSQL's autovacuum does it in its own time, so there only the rows are counted."""
    store.save(Changes(events=[event(LONG_AGO + n, line="x" * 2000) for n in range(2000)]))
    full = store.size_bytes()

    assert store.prune(NOW, Retention()).events == 2000

    if store_url.startswith("sqlite"):
        assert store.size_bytes() < full / 10
        assert Path(store_url.removeprefix("sqlite:///") + "-wal").stat().st_size == 0
