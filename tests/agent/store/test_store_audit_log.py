"""The audit against a hash that was published outside, and its retention behind checkpoints, on both databases."""

from collections.abc import Callable
from typing import Any

import pytest
from store_samples import NOW, SECOND

from agent.store import chain
from agent.store.chain import FirstBroken
from agent.store.store import Store
from policies.model import AuditEntry


def fill(store: Store, count: int, first: int = 0) -> list[AuditEntry]:
    return [
        store.append_audit(time_ns=NOW + n * SECOND, actor="ann", what="note", about=f"e{n}", detail=f'{{"n":{n}}}')
        for n in range(first, first + count)
    ]


def rewritten(store: Store, execute: Callable[[str], list[Any]]) -> None:
    """The whole chain anew, hashes and all, by who knows how."""
    entries = store.audit()
    execute("DELETE FROM audit")
    last = None
    for entry in entries:
        last = chain.next_entry(
            last, time_ns=entry.time_ns, actor="eve", what=entry.what, about=entry.about, detail=entry.detail
        )
        values = ", ".join(f"'{v}'" for v in (last.actor, last.what, last.about, last.detail))
        execute(
            "INSERT INTO audit (sequence, time_ns, actor, what, about, detail, previous_hash, hash) VALUES "  # noqa: S608
            f"({last.sequence}, {last.time_ns}, {values}, '{last.previous_hash}', '{last.hash}')"
        )


def test_a_published_hash_is_found_where_it_stands(store: Store) -> None:
    entries = fill(store, 5)

    found = store.audit_log.check(entries[2].hash, 3)

    assert (found.holds, found.head_at, found.sequence, found.head) == (True, 3, 5, entries[-1].hash)


@pytest.mark.parametrize("known", [True, False], ids=["with-number", "hash-alone"])
@pytest.mark.parametrize("harm", ["rewritten", "cut"])
def test_a_chain_that_was_rewritten_or_cut_holds_by_itself_and_not_against_the_published_hash(
    store: Store, execute: Callable[[str], list[Any]], harm: str, known: bool
) -> None:
    head = fill(store, 5)[-1]
    if harm == "rewritten":
        rewritten(store, execute)
    else:
        execute("DELETE FROM audit WHERE sequence > 3")

    found = store.audit_log.check(head.hash, head.sequence if known else None)

    assert store.audit_log.check().holds
    assert (found.broken_at, found.holds) == (None, False)
    if not known:
        assert found.head_problem == "no entry bears this hash: the chain was rewritten, or cut off before that entry"
    elif harm == "rewritten":
        assert found.head_problem == "entry 5 bears another hash: the chain was rewritten at or before it"
    else:
        assert found.head_problem == "the chain ends at entry 3, the hash was that of entry 5: its end was cut off"


def test_a_hash_under_another_number_is_none_of_this_chain(store: Store) -> None:
    entries = fill(store, 3)

    assert store.audit_log.check(entries[1].hash, 3).head_problem == (
        "the hash stands at entry 2, it was published as that of entry 3"
    )


def test_old_entries_go_behind_a_checkpoint_and_the_rest_verifies(store: Store) -> None:
    entries = fill(store, 10)

    gone = store.audit_log.checkpoint(NOW + 6 * SECOND, NOW + 100 * SECOND, fewest=1)

    found = store.audit_log.check()
    assert (gone, found.holds, found.first, found.sequence) == (6, True, 7, 11)
    assert store.audit_log.check(entries[5].hash, 6).head_at == 6
    assert store.audit_log.check(entries[8].hash).head_at == 9
    assert "went behind the checkpoint at 6" in store.audit_log.check(entries[2].hash, 3).head_problem
    newest = store.audit()[-1]
    assert (newest.what, newest.actor, f'"hash":"{entries[5].hash}"' in newest.detail) == (
        "checkpoint",
        "watchstander",
        True,
    )


def test_a_second_checkpoint_takes_the_first_along(store: Store) -> None:
    fill(store, 10)
    store.audit_log.checkpoint(NOW + 6 * SECOND, NOW + 20 * SECOND, fewest=1)
    fill(store, 10, first=30)

    store.audit_log.checkpoint(NOW + 35 * SECOND, NOW + 100 * SECOND, fewest=1)

    assert store.audit_log.check().holds
    assert [entry.what for entry in store.audit()].count("checkpoint") == 1


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        pytest.param("DELETE FROM audit WHERE sequence = 7", 7, id="first-that-is-kept-removed"),
        pytest.param("UPDATE audit SET actor = 'eve' WHERE sequence = 7", 7, id="first-that-is-kept-changed"),
        pytest.param("DELETE FROM audit WHERE what = 'checkpoint'", 1, id="checkpoint-removed"),
        pytest.param("UPDATE audit SET detail = '{}' WHERE what = 'checkpoint'", 1, id="checkpoint-changed"),
    ],
)
def test_tampering_behind_a_checkpoint_shows(
    store: Store, execute: Callable[[str], list[Any]], statement: str, broken: int
) -> None:
    fill(store, 10)
    store.audit_log.checkpoint(NOW + 6 * SECOND, NOW + 100 * SECOND, fewest=1)

    execute(statement)

    assert store.audit_log.check().broken_at == broken


def test_nothing_goes_where_the_chain_is_broken_or_too_little_would(
    store: Store, execute: Callable[[str], list[Any]]
) -> None:
    fill(store, 10)
    few = store.audit_log.checkpoint(NOW + 6 * SECOND, NOW + 100 * SECOND)
    execute("UPDATE audit SET actor = 'eve' WHERE sequence = 3")
    broken = store.audit_log.checkpoint(NOW + 6 * SECOND, NOW + 100 * SECOND, fewest=1)

    assert (few, broken, len(store.audit())) == (0, 0, 10)
    assert store.audit_log.check().broken_at == 3


def test_the_newest_entry_never_goes(store: Store) -> None:
    fill(store, 3)

    assert store.audit_log.checkpoint(NOW + 10**6 * SECOND, NOW + 10**6 * SECOND, fewest=1) == 2
    assert store.audit_log.check().holds


def test_entries_are_read_a_page_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.store.audit_log._PAGE", 3)
    entries = fill(store, 8)

    assert list(store.audit_log.entries()) == entries
    assert list(store.audit_log.entries(after=5)) == entries[5:]


def test_an_export_verifies_as_the_store_does(store: Store) -> None:
    fill(store, 10)
    store.audit_log.checkpoint(NOW + 6 * SECOND, NOW + 100 * SECOND, fewest=1)
    entries = store.audit()

    def broken_at(some: list[AuditEntry]) -> int | None:
        found = FirstBroken()
        for entry in some:
            found.take(entry)
        return found.broken_at

    assert broken_at(entries) is None
    assert broken_at([*entries[:2], *entries[3:]]) == 9
    assert broken_at(entries[1:]) == 7
    assert broken_at([]) is None
