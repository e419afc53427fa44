"""What is gathered for a bundle: from the ingest log, from the store, and what is said where neither has it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from migrated_stores import migrated
from msgspec.structs import replace

from agent.bundle import logged, make
from agent.bundle.make import Asked, gather, write
from agent.incidents.look import look_back
from agent.ingest.log import IngestLog
from agent.replay import replay as play_again
from agent.server.history import History
from agent.simulate.scenario import FaultSpec, JobSpec, Scenario
from agent.simulate.simulation import simulate
from agent.store.store import Store, open_store
from agent.watch import Watch
from collectors.model import Event, EventKind, EventSource, Origin, SubjectFacts, SubjectKind
from collectors.recording.batches import BatchRecording
from collectors.recording.bundle import Bundle
from collectors.wire import decode, encode
from detectors.inventory import Source
from detectors.looks import Verdict
from detectors.model import Finding, Incident

pytestmark = pytest.mark.slow

NS = 10**9
JOBS = tuple(
    JobSpec(
        name=name,
        ranks=16,
        start_seconds=5,
        step_seconds=0.5,
        log="torchtitan",
        log_every=1,
        watts=692,
        save_every_seconds=600,
        evaluation_every_seconds=3000,
    )
    for name in ("llm", "other")
)
FAULT = FaultSpec(kind="collective_hang", at=70, lasts=40, job="llm", rank=11)
SCENARIO = Scenario(name="bundled", nodes=4, hours=0.05, jobs=JOBS, faults=(FAULT,))


@dataclass
class Lived:
    """An agent's log, store and watch after a simulated day, as if it had been live."""

    log: IngestLog
    store: Store
    watch: Watch
    incident: Incident
    findings: list[Finding]
    end_ns: int

    def asked(self, **changed: Any) -> Asked:
        decisions = self.store.decisions(self.incident.id)
        live = self.incident.origin is Origin.LIVE
        values = {"now_ns": self.end_ns, "before_s": 900.0, "after_s": 60.0, "live": live} | changed
        return Asked(self.incident, self.findings, decisions, **values)

    def bundle(self, path: Path, log: IngestLog | None = None, **changed: Any) -> Bundle:
        asked = self.asked(**changed)
        found = gather(asked, self.store, log or self.log, self.watch.engine.inventory)
        with path.open("wb") as file:
            write(file, asked, found, self.store)
        return Bundle(path)


def live(folder: Path, origin: Origin = Origin.LIVE, times: int = 1) -> Lived:
    """Through log, watch and store as `agent.server.worker` does it."""
    recording = BatchRecording(next(folder.glob("recording*")))
    log, store = IngestLog(folder / "log"), open_store(migrated(folder / "store.db"))
    for _ in range(times):
        watch, history = Watch(origin, recording.cluster), History(60.0)
        group: list[tuple[int, bytes]] = []
        now_ns = 0
        batches = list(recording.play())
        for received_ns, batch in batches:
            batch = replace(batch, origin=origin)
            group.append((received_ns, encode(batch)))
            now_ns = received_ns if origin is Origin.LIVE else max(now_ns, batch.sent_ns)
            store.save(watch.advance(now_ns))
            watch.receive(batch, now_ns)
            store.keep_readings(history.add(batch))
        store.save(watch.advance(recording.end_ns))
        store.keep_readings(history.take_all())
        if origin is not Origin.LIVE:
            for node, spool, boot in sorted({(b.node, b.spool_id, b.boot_id) for _, b in batches}):
                said = Event(EventKind.COLLECTOR_GOODBYE, node, now_ns, EventSource.COLLECTOR)
                last = replace(
                    batches[-1][1], node=node, spool_id=spool, boot_id=boot, sequence=10**6, sent_ns=now_ns,
                    origin=origin, events=(said,), tables=(), facts=(),
                )  # fmt: skip
                group.append((batches[-1][0], encode(last)))
        log.append(group)
    incident = next(one for one in store.incidents() if one.kind == "collective_hang")
    return Lived(log, store, watch, incident, store.findings(incident.findings), recording.end_ns)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    folder = tmp_path_factory.mktemp("lived")
    simulate(SCENARIO, 7, folder / "recording")
    return live(folder)


def found_in(bundle: Bundle) -> Incident:
    """The incident that it plays to."""
    incidents: dict[str, Incident] = {}
    for _, changes in play_again(bundle):
        incidents.update((one.id, one) for one in changes.incidents)
    assert not bundle.bad
    return next(one for one in incidents.values() if one.kind == "collective_hang")


def what(incident: Incident) -> tuple[Any, ...]:
    return incident.kind, incident.subject, incident.kinds, incident.severity, incident.title


def test_from_the_log_it_is_the_very_same_incident_but_a_replay(lived: Lived, tmp_path: Path) -> None:
    again = found_in(lived.bundle(tmp_path / "x.zip"))

    # people, prices and the end of the recording aside
    assert (again.id, again.findings, again.opened_ns, again.since_ns, *what(again)) == (
        lived.incident.id,
        lived.incident.findings,
        lived.incident.opened_ns,
        lived.incident.since_ns,
        *what(lived.incident),
    )
    assert (lived.incident.origin, again.origin) == (Origin.LIVE, Origin.REPLAY)


def test_with_a_little_history_a_hang_is_still_found(lived: Lived, tmp_path: Path) -> None:
    bundle = lived.bundle(tmp_path / "x.zip", before_s=40.0)

    assert bundle.start_ns >= lived.incident.since_ns - 40 * NS
    assert bundle.missing == []
    assert what(found_in(bundle)) == what(lived.incident)


def test_where_the_log_is_gone_the_store_gives_readings_and_events_and_the_file_says_what_is_lost(
    lived: Lived, tmp_path: Path
) -> None:
    bundle = lived.bundle(tmp_path / "x.zip", IngestLog(tmp_path / "empty"))

    assert any("without training steps" in line for line in bundle.missing)
    again = found_in(bundle)
    assert (again.kind, again.subject) == (lived.incident.kind, lived.incident.subject)


def test_what_the_log_has_of_later_only_is_not_taken_for_the_incidents_time(lived: Lived, tmp_path: Path) -> None:
    later = IngestLog(tmp_path / "later")
    hour_ns = 3600 * NS
    for record in lived.log.read_from(0):
        batch = decode(record.body)
        later.append([(record.received_ns + hour_ns, encode(replace(batch, sent_ns=batch.sent_ns + hour_ns)))])
    bundle = lived.bundle(tmp_path / "x.zip", later, now_ns=lived.end_ns + hour_ns)

    assert any("the ingest log has nothing of that time any more" in line for line in bundle.missing)
    assert bundle.end_ns < lived.end_ns + hour_ns // 2
    assert found_in(bundle).subject == lived.incident.subject


def test_of_a_large_cluster_only_what_is_involved_is_taken(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (logged, make):
        monkeypatch.setattr(module, "ALL_NODES", 1)
    bundle = lived.bundle(tmp_path / "x.zip")
    inventory = lived.watch.engine.inventory
    (job,) = inventory.called(SubjectKind.JOB, "llm")
    homes = {inventory.node_of(card) for card in inventory.facts if inventory.job_of(card) == job} - {None}

    assert {batch.node for _, batch in bundle.play()} == homes
    assert any("2 other nodes of the cluster were left out" in line for line in bundle.missing)
    assert what(found_in(bundle)) == what(lived.incident)


def test_what_is_too_much_is_shortened_from_its_beginning_and_said(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lived.bundle(tmp_path / "whole.zip")
    monkeypatch.setattr(make, "MOST_BYTES", 200_000)
    bundle = lived.bundle(tmp_path / "x.zip")

    assert bundle.start_ns > whole.start_ns
    assert any("more than" in line and "history" in line for line in bundle.missing)
    assert (tmp_path / "x.zip").stat().st_size < 400_000


def test_of_a_recording_played_twice_one_run_is_taken(tmp_path: Path) -> None:
    simulate(replace(SCENARIO, nodes=2, jobs=JOBS[:1]), 7, tmp_path / "recording")
    twice = live(tmp_path, Origin.REPLAY, times=2)
    again = found_in(bundle := twice.bundle(tmp_path / "x.zip"))

    assert (again.id, what(again)) == (twice.incident.id, what(twice.incident))
    sequences = [(b.node, b.sequence) for _, b in bundle.play()]
    assert len(sequences) == len(set(sequences))


def test_what_the_clusters_api_said_goes_along_and_racks_do_too(lived: Lived, tmp_path: Path) -> None:
    inventory = lived.watch.engine.inventory
    (node, *_) = inventory.called(SubjectKind.NODE, "node-0001")
    told = SubjectFacts(node, "node-0001", None, {"rack": "rack-k8s", "cordoned": "true"})
    inventory.tell(Source.KUBERNETES, [told], lived.end_ns)
    bundle = lived.bundle(tmp_path / "x.zip")
    inventory.untell(Source.KUBERNETES, node, lived.end_ns)

    assert b"rack-k8s" in (bundle.small("inventory.json") or b"")
    assert b"node-0001,rack-k8s" in (bundle.small("inventory.csv") or b"")
    assert found_in(bundle).id == lived.incident.id


def test_without_a_watch_the_inventory_is_said_to_be_missing(lived: Lived, tmp_path: Path) -> None:
    asked = lived.asked()
    found = gather(asked, lived.store, lived.log, None)
    with (tmp_path / "x.zip").open("wb") as file:
        write(file, asked, found, lived.store)

    bundle = Bundle(tmp_path / "x.zip")
    assert any("inventory was not at hand" in line for line in bundle.missing)
    assert found_in(bundle).id == lived.incident.id


def test_missed_looks_into_a_bundle(lived: Lived, tmp_path: Path) -> None:
    lived.bundle(tmp_path / "x.zip")
    _, rows = look_back(tmp_path / "x.zip", "llm", lived.incident.opened_ns + NS)

    assert [row.verdict for row in rows if row.detector == "CollectiveHang"] == [Verdict.OPEN]
