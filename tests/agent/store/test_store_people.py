"""What people say about incidents is kept on both back ends, outlives the watch's saves, and can be counted."""

import msgspec
import pytest
from store_samples import DAY, GPU, NODE, NOW, SECOND, decision, finding, incident

from agent.incidents.desk import Desk
from agent.store.rows import Feedback, Judgement, KindCount, Retention
from agent.store.store import Store
from agent.watch import Changes
from collectors.errors import GiveUp
from collectors.model import Origin, Subject, SubjectKind
from detectors.model import FindingKind, IncidentState, WordKind

OTHER = incident("INC-bbbb2222", root="f2", findings=("f2",), opened_ns=NOW + 1, title="Xid 31 on GPU 3 of n1")


@pytest.fixture
def desk(store: Store) -> Desk:
    store.save(Changes([finding(), finding("f2"), finding("f3")], [incident(findings=("f1", "f3")), OTHER]))
    return Desk(store)


def held(store: Store, id_: str = "INC-aaaa1111"):
    found = store.incident(id_)
    assert found is not None
    return found


def test_what_a_person_resolved_stays_resolved_when_a_watch_that_has_not_heard_it_saves(
    store: Store, desk: Desk
) -> None:
    desk.resolve(held(store), "ann", NOW + SECOND)
    store.save(Changes(incidents=[incident(updated_ns=NOW + 2 * SECOND)]))

    assert (held(store).state, held(store).resolved_because) == (IncidentState.RESOLVED, "resolved by ann")


def test_a_watch_that_has_heard_the_word_is_saved_again(store: Store, desk: Desk) -> None:
    after = desk.resolve(held(store), "ann", NOW + SECOND)
    back = msgspec.structs.replace(after, state=IncidentState.OPEN, resolved_ns=None, reopened=1)
    store.save(Changes(incidents=[back]))

    assert (held(store).state, held(store).reopened) == (IncidentState.OPEN, 1)


def test_a_snooze_ends_by_itself_also_where_no_watch_runs(store: Store, desk: Desk) -> None:
    until = NOW + 60 * SECOND
    desk.snooze(held(store), "ann", until, NOW, "vendor knows")
    store.wake(until - 1)
    before = held(store).state
    store.wake(until)

    assert (before, held(store).state) == (IncidentState.SNOOZED, IncidentState.OPEN)
    assert held(store).snoozed_until_ns is None


def test_a_snooze_of_what_somebody_has_in_hand_ends_acknowledged(store: Store, desk: Desk) -> None:
    desk.acknowledge(held(store), "ann", NOW)
    desk.snooze(held(store), "ann", NOW + SECOND, NOW)
    store.wake(NOW + SECOND)

    assert IncidentState.ACKNOWLEDGED is held(store).state


def test_an_acknowledgement_ends_a_snooze(store: Store, desk: Desk) -> None:
    desk.snooze(held(store), "ann", NOW + DAY, NOW)
    desk.acknowledge(held(store), "bob", NOW + SECOND)

    assert (held(store).state, held(store).snoozed_until_ns) == (IncidentState.ACKNOWLEDGED, None)


def test_a_merge_moves_the_findings_and_resolves_the_one_that_gave_them(store: Store, desk: Desk) -> None:
    gone, kept = desk.merge(held(store), OTHER, "ann", NOW + SECOND, "one riser card")

    assert (gone.state, gone.findings) == (IncidentState.RESOLVED, ())
    assert gone.resolved_because == f"merged into {OTHER.id} by ann"
    assert {"f1", "f2", "f3"} == set(kept.findings)
    assert [gone, kept] == [held(store, gone.id), held(store, kept.id)]


def test_a_split_makes_a_new_incident_that_is_open(store: Store, desk: Desk) -> None:
    stays, new = desk.split(held(store), ["f3"], "ann", NOW + SECOND)

    assert (stays.findings, new.findings, new.state) == (("f1",), ("f3",), IncidentState.OPEN)
    assert new == held(store, new.id)


@pytest.mark.parametrize(
    ("findings", "says"),
    [
        pytest.param(["f1", "f3"], "would be left", id="all"),
        pytest.param(["nope"], "is no finding of INC-aaaa1111", id="unknown"),
        pytest.param(["f"], "fits 2 findings", id="ambiguous"),
        pytest.param([""], "is no finding", id="empty"),
        pytest.param([], "name the findings", id="none"),
        pytest.param(["f2"], "is no finding", id="another's"),
    ],
)
def test_a_split_that_makes_no_sense_changes_nothing(store: Store, desk: Desk, findings: list[str], says: str) -> None:
    before = held(store)
    with pytest.raises(GiveUp, match=says):
        desk.split(before, findings, "ann", NOW + SECOND)

    assert (before, [], []) == (held(store), store.said(before.id), store.audit())


@pytest.mark.parametrize(
    ("into", "says"),
    [
        pytest.param(incident(), "into itself", id="itself"),
        pytest.param(incident("INC-x", origin=Origin.REPLAY), "different clusters or origins", id="a replay"),
        pytest.param(incident("INC-gone"), "no incident INC-gone any more", id="pruned meanwhile"),
    ],
)
def test_a_merge_that_makes_no_sense_changes_nothing(store: Store, desk: Desk, into, says: str) -> None:
    before = held(store)
    with pytest.raises(GiveUp, match=says):
        desk.merge(before, into, "ann", NOW)

    assert (before, []) == (held(store), store.audit())


@pytest.mark.parametrize("late", ["resolve", "snooze", "merge", "into", "split", "acknowledge"])
def test_nothing_is_said_about_what_is_resolved_already(store: Store, desk: Desk, late: str) -> None:
    """Also where it was resolved after the person had looked."""
    seen = held(store)
    desk.resolve(seen, "bob", NOW)
    with pytest.raises(GiveUp, match="is resolved"):
        if late == "resolve":
            desk.resolve(seen, "ann", NOW)
        elif late == "snooze":
            desk.snooze(seen, "ann", NOW + SECOND, NOW)
        elif late == "merge":
            desk.merge(seen, OTHER, "ann", NOW)
        elif late == "into":
            desk.merge(OTHER, seen, "ann", NOW)
        elif late == "split":
            desk.split(seen, ["f3"], "ann", NOW)
        else:
            desk.acknowledge(seen, "ann", NOW)


@pytest.mark.parametrize("until", [NOW, NOW - 1, NOW + 91 * DAY], ids=["now", "past", "too far"])
def test_a_snooze_is_for_a_time_to_come_and_not_for_good(store: Store, desk: Desk, until: int) -> None:
    with pytest.raises(GiveUp):
        desk.snooze(held(store), "ann", until, NOW)


def test_what_is_not_live_is_not_snoozed(store: Store, desk: Desk) -> None:
    with pytest.raises(GiveUp, match="is a replay"):
        desk.snooze(incident(origin=Origin.REPLAY), "ann", NOW + SECOND, NOW)


def test_every_word_stands_in_the_audit_under_the_persons_name_and_the_chain_holds(store: Store, desk: Desk) -> None:
    hostile = "<script>\x1b[2J\x00\ud800"
    desk.snooze(held(store), "ann", NOW + SECOND, NOW, hostile)
    desk.judge(held(store), Judgement.FALSE, "bob", NOW, hostile)
    desk.split(held(store), ["f3"], "cid", NOW)
    desk.merge(held(store), OTHER, "dan", NOW)

    said = [(entry.actor, entry.what, entry.about) for entry in store.audit()]
    assert said == [
        ("ann", "snooze", "INC-aaaa1111"),
        ("bob", "feedback", "INC-aaaa1111"),
        ("cid", "split", "INC-aaaa1111"),
        ("dan", "merge", "INC-aaaa1111"),
    ]
    assert store.verify_audit() is None
    assert [word.kind for word in store.said("INC-aaaa1111")] == [WordKind.SNOOZE, WordKind.SPLIT, WordKind.MERGE]


def test_a_watch_that_starts_is_told_what_people_split_and_what_may_come_back(store: Store, desk: Desk) -> None:
    _, new = desk.split(held(store), ["f3"], "ann", NOW)
    desk.resolve(OTHER, "ann", NOW)

    incidents, apart = store.restorable("c1", Origin.LIVE)

    assert {"INC-aaaa1111", new.id, OTHER.id} == {one.id for one in incidents}
    assert [("INC-aaaa1111", new.id)] == apart


def test_a_merge_makes_a_split_undone(store: Store, desk: Desk) -> None:
    stays, new = desk.split(held(store), ["f3"], "ann", NOW)
    desk.merge(new, stays, "ann", NOW + SECOND)

    assert store.restorable("c1", Origin.LIVE)[1] == []


def test_a_second_judgement_of_one_person_replaces_the_first(store: Store, desk: Desk) -> None:
    desk.judge(held(store), Judgement.FALSE, "ann", NOW)
    desk.judge(held(store), Judgement.TRUE, "ann", NOW + 1, "it was the card")

    assert [Feedback("INC-aaaa1111", Judgement.TRUE, "ann", NOW + 1, "it was the card")] == store.feedback(
        "INC-aaaa1111"
    )


def test_live_incidents_are_counted_by_kind_rule_and_newest_judgement(store: Store, desk: Desk) -> None:
    store.save(Changes(decisions=[decision(incident="INC-aaaa1111", rule="gpu-lost")]))
    store.save(Changes([finding("r1")], [incident("INC-replayed", origin=Origin.REPLAY, findings=("r1",), root="r1")]))
    desk.judge(held(store), Judgement.FALSE, "ann", NOW)
    desk.judge(held(store), Judgement.TRUE, "bob", NOW + 1)

    assert [KindCount("xid", "", None, 1), KindCount("xid", "gpu-lost", "true", 1)] == store.judged(0)
    assert store.judged(NOW + 2) == []


def test_a_merged_incident_counts_with_the_one_that_took_it_in(store: Store, desk: Desk) -> None:
    desk.merge(held(store), OTHER, "ann", NOW)

    assert [KindCount("xid", "", None, 1)] == store.judged(0)


def test_occurrences_tell_this_subject_from_others(store: Store) -> None:
    second, third = (Subject("c1", SubjectKind.GPU, f"GPU-{n}") for n in (2, 3))
    old = [incident(f"INC-{n}", opened_ns=NOW - n * DAY) for n in (1, 2, 40)]
    others = [incident("INC-s1", subject=second), incident("INC-s2", subject=second), incident("INC-t", subject=third)]
    node = incident("INC-n", subject=NODE)
    kind = incident("INC-k", kind=FindingKind.STRAGGLER)
    store.save(Changes(incidents=[incident(), *old, *others, node, kind]))

    found = store.occurrences(incident(), NOW - 30 * DAY)

    assert (found.here, found.elsewhere) == (3, (2, 1))


def test_similar_incidents_are_those_of_the_same_subject_before_node_before_job(store: Store) -> None:
    other = Subject("c1", SubjectKind.GPU, "GPU-x")
    asked = incident(names={"node": "n1", "job": "j1"})
    like = [
        incident("INC-job", subject=other, names={"node": "n9", "job": "j1"}, opened_ns=NOW - 1),
        incident("INC-node", subject=other, names={"node": "n1"}, opened_ns=NOW - 2),
        incident("INC-self", subject=GPU, opened_ns=NOW - 3, names={}),
        incident("INC-later", subject=GPU, opened_ns=NOW + 3),
        incident("INC-none", subject=other, names={"node": "n8"}, opened_ns=NOW - 4),
        incident("INC-kind", kind=FindingKind.STRAGGLER, opened_ns=NOW - 5),
    ]
    store.save(Changes(incidents=[asked, *like]))

    assert [one.id for one in store.similar(asked)] == ["INC-self", "INC-node", "INC-job"]


def test_findings_alike_are_those_of_the_kind_that_were_open_in_the_stretch(store: Store) -> None:
    hostile = finding("h", kind=FindingKind.STRAGGLER, summary='"kind":"xid"', opened_ns=NOW)
    over = finding("over", cleared_ns=NOW - 5, opened_ns=NOW - 10)
    late = finding("late", opened_ns=NOW + 100)
    store.save(Changes([finding("f1"), hostile, over, late]))

    assert [one.id for one in store.alike(FindingKind.XID, NOW, NOW + 50, cluster="c1")] == ["f1"]


def test_words_and_feedback_go_with_their_incident(store: Store, desk: Desk) -> None:
    desk.judge(held(store), Judgement.TRUE, "ann", NOW)
    desk.resolve(held(store), "ann", NOW)
    store.prune(NOW + 500 * DAY, Retention())

    assert (store.said("INC-aaaa1111"), store.feedback("INC-aaaa1111")) == ([], [])
    assert [KindCount("xid", "", None, 1)] == store.judged(0)


def test_incidents_of_an_older_store_get_their_features_with_the_migration(store_url: str) -> None:
    from pathlib import Path

    from agent.store import connect, schema
    from agent.store.store import open_store
    from agent.store.tables import incidents

    if store_url.startswith("sqlite"):
        connect.make_file(Path(store_url.removeprefix("sqlite:///")))
    engine = connect.engines(connect.place(store_url), 1.0)[0]
    with engine.begin() as connection:
        schema.upgrade(connection, "0002")
        incidents.save(connection, [incident(), OTHER])
    engine.dispose()
    store = open_store(store_url)

    assert store.occurrences(OTHER, 0).here == 2
    assert [incident().id] == [one.id for one in store.similar(OTHER)]
    store.close()
