"""The audit: who said and decided what, in a chain that shows tampering and that two writers cannot fork."""

import json
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import NODE, NOW, SECOND, decision, finding, incident

from agent.store import chain
from agent.store.store import Store, open_store
from agent.store.tables import audit
from agent.watch import Changes
from collectors.errors import GiveUp
from detectors.model import IncidentState
from policies.model import Action, ActionKind, AuditEntry, GuardWord, Mode, Verdict


def say(store: Store, about: str, detail: str = "{}") -> AuditEntry:
    return store.append_audit(time_ns=NOW, actor="ann", what="test", about=about, detail=detail)


def test_entries_are_chained_from_the_first_on(store: Store) -> None:
    """Each names the hash of the one before."""
    first, second = say(store, "one"), say(store, "two")

    assert (first.sequence, first.previous_hash) == (1, chain.FIRST_PREVIOUS_HASH)
    assert (2, first.hash) == (second.sequence, second.previous_hash)
    assert [first, second] == store.audit()
    assert store.verify_audit() is None


def test_entries_are_paged_in_both_directions(store: Store) -> None:
    """`after_sequence` and `limit` hold in both."""
    for n in range(5):
        say(store, str(n))

    assert [entry.sequence for entry in store.audit(after_sequence=2, limit=2)] == [3, 4]
    assert [entry.sequence for entry in store.audit(newest_first=True, limit=2)] == [5, 4]
    assert [entry.sequence for entry in store.audit(newest_first=True, after_sequence=3)] == [5, 4]


def test_an_empty_audit_is_whole(store: Store) -> None:
    """There is nothing to be broken."""
    assert store.verify_audit() is None


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        pytest.param("UPDATE audit SET detail = '[]' WHERE sequence = 3", 3, id="content-changed"),
        pytest.param("UPDATE audit SET time_ns = time_ns + 1 WHERE sequence = 1", 1, id="time-changed"),
        pytest.param("UPDATE audit SET actor = 'bob' WHERE sequence = 5", 5, id="last-one-changed"),
        pytest.param("UPDATE audit SET hash = 'x' WHERE sequence = 2", 2, id="hash-changed"),
        pytest.param("DELETE FROM audit WHERE sequence = 2", 2, id="one-removed"),
        pytest.param("DELETE FROM audit WHERE sequence = 1", 1, id="first-removed"),
        pytest.param("UPDATE audit SET sequence = 0 WHERE sequence = 1", 1, id="renumbered"),
        pytest.param(
            "INSERT INTO audit SELECT 6, time_ns, actor, what, about, detail, 'x', 'y' FROM audit WHERE sequence = 5",
            6,
            id="slipped-in",
        ),
    ],
)
def test_tampering_shows(store: Store, execute: Callable[[str], list[Any]], tampering: str, broken: int) -> None:
    """The first entry that is not what was written is named."""
    for n in range(5):
        say(store, str(n))

    execute(tampering)

    assert broken == store.verify_audit()


def test_a_long_audit_is_verified_across_pages(
    store: Store, execute: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read at once."""
    monkeypatch.setattr(audit, "_PAGE", 50)
    store.save(Changes(decisions=[decision(f"d{n}") for n in range(170)]))
    assert store.verify_audit() is None

    execute("UPDATE audit SET what = 'x' WHERE sequence = 151")

    assert store.verify_audit() == 151


@given(st.text(), st.text(), st.text())
def test_the_hash_depends_on_every_part(actor: str, about: str, detail: str) -> None:
    """Also on where one part ends and the next begins."""
    entry = chain.next_entry(None, time_ns=NOW, actor=actor, what="w", about=about, detail=detail)

    assert chain.follows(None, entry)
    for changed in (
        msgspec.structs.replace(entry, actor=actor + "x"),
        msgspec.structs.replace(entry, about=about + "x"),
        msgspec.structs.replace(entry, detail=detail + "x"),
        msgspec.structs.replace(entry, time_ns=NOW + 1),
        msgspec.structs.replace(entry, actor=actor + "x", about=about[1:]),
    ):
        assert not chain.follows(None, changed)
    assert not chain.follows(entry, entry)


def test_hostile_words_in_an_entry_do_not_break_the_chain(store: Store) -> None:
    """What the database cannot hold is replaced before the hash is taken."""
    say(store, "a\x00b\udc80", json.dumps("\ud800"))
    say(store, "next")

    assert store.verify_audit() is None


def test_a_new_decision_is_audited_with_all_it_says(store: Store) -> None:
    """In the same transaction, by its own time."""
    store.save(Changes(decisions=[decision()]))

    (entry,) = store.audit()
    assert (entry.actor, entry.what, entry.about, entry.time_ns) == ("watchstander", "decision", "d1", NOW)
    assert decision() == msgspec.json.decode(entry.detail, type=type(decision()))


@pytest.mark.parametrize(
    ("changes", "entries"),
    [
        pytest.param({"decided_ns": NOW + SECOND, "reason": "the same in other words"}, 1, id="only-words"),
        pytest.param({"guards": (GuardWord("G6", True, "2 of 100 nodes"),)}, 1, id="a-guard's-figures"),
        pytest.param({"guards": (GuardWord("G6", False, "6 of 100 nodes"),)}, 2, id="a-guard's-word"),
        pytest.param({"guards": ()}, 2, id="a-guard-fewer"),
        pytest.param({"verdict": Verdict.REFUSED}, 2, id="verdict"),
        pytest.param({"mode": Mode.ENFORCE}, 2, id="mode"),
        pytest.param({"actions": (Action(ActionKind.EVICT, NODE, "n1"),)}, 2, id="action"),
    ],
)
def test_a_decision_is_audited_again_when_it_says_something_else(
    store: Store, changes: dict[str, Any], entries: int
) -> None:
    """Figures that differ at every look would drown the audit."""
    store.save(Changes(decisions=[decision()]))

    store.save(Changes(decisions=[decision(**changes)]))

    assert entries == len(store.audit())
    assert [decision(**changes)] == store.decisions("INC-aaaa1111")


def test_an_acknowledgement_is_kept_and_audited(store: Store) -> None:
    """With who said it."""
    store.save(Changes([finding()], [incident()]))

    acknowledged = store.acknowledge("INC-aaaa1111", "ann", NOW + SECOND)

    assert IncidentState.ACKNOWLEDGED is acknowledged.state
    assert [acknowledged] == store.incidents(states=[IncidentState.ACKNOWLEDGED])
    (entry,) = store.audit()
    assert (
        entry.actor,
        entry.what,
        entry.about,
        entry.time_ns,
    ) == ("ann", "acknowledge", "INC-aaaa1111", NOW + SECOND)


def test_an_acknowledgement_outlasts_the_watch_calling_it_open(store: Store) -> None:
    """The watch does not know of it, and says "open" at every change."""
    store.save(Changes(incidents=[incident()]))
    store.acknowledge("INC-aaaa1111", "ann", NOW)

    store.save(Changes(incidents=[incident(title="worse")]))

    assert [(i.state, i.title) for i in store.open_incidents()] == [(IncidentState.ACKNOWLEDGED, "worse")]


def test_an_acknowledgement_ends_when_the_incident_is_resolved(store: Store) -> None:
    """One that opens again wants a person again."""
    store.save(Changes(incidents=[incident()]))
    store.acknowledge("INC-aaaa1111", "ann", NOW)

    store.save(Changes(incidents=[incident(state=IncidentState.RESOLVED)]))
    assert store.open_incidents() == []
    store.save(Changes(incidents=[incident()]))

    assert [incident()] == store.open_incidents()
    assert IncidentState.ACKNOWLEDGED is store.acknowledge("INC-aaaa1111", "bob", NOW).state


def test_a_second_acknowledgement_changes_nothing(store: Store) -> None:
    """Two people press the button; the first is on record."""
    store.save(Changes(incidents=[incident()]))

    once = store.acknowledge("INC-aaaa1111", "ann", NOW)

    assert once == store.acknowledge("INC-aaaa1111", "bob", NOW + 1)
    assert [entry.actor for entry in store.audit()] == ["ann"]


def test_a_mitigated_incident_stays_mitigated_when_acknowledged(store: Store) -> None:
    """The further state wins; that somebody looks after it is on record."""
    store.save(Changes(incidents=[incident(state=IncidentState.MITIGATED)]))

    assert IncidentState.MITIGATED is store.acknowledge("INC-aaaa1111", "ann", NOW).state
    assert len(store.audit()) == 1


@pytest.mark.parametrize(
    ("state", "asked", "said"),
    [
        pytest.param(IncidentState.RESOLVED, "INC-aaaa1111", "resolved already", id="resolved"),
        pytest.param(IncidentState.OPEN, "INC-nobody00", "no incident INC-nobody00", id="unknown"),
        pytest.param(IncidentState.OPEN, "INC-aaaa", "no incident", id="a-beginning-is-not-enough"),
    ],
)
def test_what_cannot_be_acknowledged_is_said(store: Store, state: IncidentState, asked: str, said: str) -> None:
    """And leaves no trace."""
    store.save(Changes(incidents=[incident(state=state)]))

    with pytest.raises(GiveUp, match=said):
        store.acknowledge(asked, "ann", NOW)

    assert store.audit() == []


def test_two_writers_cannot_fork_the_chain(store_url: str) -> None:
    """Two processes' worth of stores append at once: no entry is lost and the chain is whole."""
    first = open_store(store_url)
    second = open_store(store_url, create=False)
    start = threading.Barrier(4)

    def append(store: Store, name: str) -> None:
        start.wait()
        for n in range(25):
            say(store, f"{name}-{n}")

    threads = [
        threading.Thread(target=append, args=(store, f"{store is first}-{n}"))
        for store in (first, second)
        for n in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(1, 101)) == [entry.sequence for entry in first.audit()]
    assert first.verify_audit() is None
    first.close()
    second.close()
