"""People's words on nodes outlast the agent: a restart forgets none, and neither prolongs nor shortens any."""

from collections.abc import Iterable, Sequence

import pytest
from cluster_objects import NOW_NS, SECOND_NS, Clock, a_node, live
from hypothesis import given
from hypothesis import strategies as st

from agent.cluster.view import LiveCluster
from agent.cluster.word_book import WordBook
from collectors.errors import GiveUp, RetryLater
from policies.cluster_view import OWN_CORDON, Taken

OURS = {OWN_CORDON: "PLN-1"}
UNCORDON, CORDON = "uncordon_by_person", "cordon_by_person"
HOUR_NS = 3600 * SECOND_NS


class MemoryStore:
    """The newest word of a kind about a node; fails with `error` while there is one."""

    def __init__(self, *said: Taken) -> None:
        self.words = {(one.node, one.what): one for one in said}
        self.error: Exception | None = None
        self.calls = 0

    def keep_node_words(self, said: Sequence[Taken]) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        for one in said:
            held = self.words.get((one.node, one.what))
            if held is None or held.time_ns < one.time_ns:
                self.words[(one.node, one.what)] = one

    def node_words(self) -> list[Taken]:
        if self.error is not None:
            raise self.error
        return sorted(self.words.values(), key=lambda one: one.time_ns)


class Book:
    """`NodeWords` without a thread."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def load(self) -> Iterable[Taken]:
        return self.store.node_words()

    def keep(self, word: Taken) -> None:
        self.store.keep_node_words([word])


def restarted(store: MemoryStore, clock: Clock, steps: Sequence[Taken] = ()) -> LiveCluster:
    """A view that knows nothing but what is kept."""
    cluster = live(clock)
    cluster.remember(Book(store), lambda since_ns: [one for one in steps if one.time_ns >= since_ns])
    return cluster


def uncordons(cluster: LiveCluster) -> list[int]:
    """When, in seconds before or after now."""
    return [(one.time_ns - NOW_NS) // SECOND_NS for one in cluster.taken(0) if one.what == UNCORDON]


def said(seconds_ago: int) -> Taken:
    return Taken(NOW_NS - seconds_ago * SECOND_NS, UNCORDON, node="uid-n1")


@pytest.mark.parametrize(
    ("kept", "steps", "node", "expected"),
    [
        pytest.param([said(60)], [], {}, [-60], id="it no longer shows: the word stands"),
        pytest.param([said(60)], [], {"annotations": OURS}, [-60], id="it still shows: said once, then"),
        pytest.param([], [], {"annotations": OURS}, [0], id="nobody looked as it was said: said just now"),
        pytest.param(
            [said(60)],
            [Taken(NOW_NS - 30 * SECOND_NS, "cordon", node="uid-n1")],
            {"annotations": OURS},
            [-60, 0],
            id="cordoned by us since, and uncordoned once more while nobody looked",
        ),
        pytest.param(
            [said(60)],
            [
                Taken(NOW_NS - 90 * SECOND_NS, "cordon", node="uid-n1"),
                Taken(NOW_NS - 30 * SECOND_NS, "cordon", node="uid-n2"),
                Taken(NOW_NS - 30 * SECOND_NS, "taint", node="uid-n1"),
            ],
            {"annotations": OURS},
            [-60],
            id="cordoned by us before, others cordoned and this one tainted since",
        ),
        pytest.param([said(60)], [], {"annotations": OURS, "uid": "uid-new"}, [-60, 0], id="another node of that name"),
    ],
)
def test_a_restart_finds_what_was_said(
    kept: list[Taken], steps: list[Taken], node: dict[str, object], expected: list[int]
) -> None:
    cluster = restarted(MemoryStore(*kept), Clock(), steps)
    cluster.put_nodes([a_node(**node)])  # type: ignore[arg-type]

    assert uncordons(cluster) == expected
    assert cluster.problem(NOW_NS) == ""


def test_what_is_said_is_kept_at_once() -> None:
    store, clock = MemoryStore(), Clock()
    cluster = restarted(store, clock)
    for step in ({"unschedulable": True, "annotations": OURS}, {"annotations": OURS}, {}, {"unschedulable": True}):
        cluster.put_nodes([a_node(**step)])
        clock.now_ns += SECOND_NS

    assert store.node_words() == [
        Taken(NOW_NS + SECOND_NS, UNCORDON, node="uid-n1"),
        Taken(NOW_NS + 3 * SECOND_NS, CORDON, node="uid-n1"),
    ]


def test_while_the_words_cannot_be_read_nothing_may_act_and_what_shows_counts_as_said_just_now() -> None:
    """Once they can, it is as if they always could."""
    store, clock = MemoryStore(said(60)), Clock()
    store.error = RetryLater("the database does not answer")
    book = Book(store)
    cluster = live(clock)
    kept: list[Taken] = []
    book.keep = kept.append  # type: ignore[method-assign]
    cluster.remember(book, lambda since_ns: ())
    cluster.put_nodes([a_node(annotations=OURS)])
    during = cluster.problem(NOW_NS), uncordons(cluster)
    store.error = None
    soon = cluster.problem(NOW_NS + SECOND_NS // 2)
    later = cluster.problem(NOW_NS + 2 * SECOND_NS), uncordons(cluster)

    unread = "what people said on nodes is not known: the database does not answer"
    assert (during, soon, later) == ((unread, [0]), unread, ("", [-60, 0]))
    assert kept == [said(0)]


def test_while_the_journal_is_away_an_uncordon_that_shows_counts_as_said_just_now() -> None:
    """It cannot be told whether it is the one that is kept."""
    cluster = live()

    def away(_since_ns: int) -> list[Taken]:
        raise RetryLater("the database does not answer")

    cluster.remember(Book(MemoryStore(said(60))), away)
    cluster.put_nodes([a_node(annotations=OURS)])

    assert uncordons(cluster) == [-60, 0]


ACTS = {
    "we cordon": {"unschedulable": True, "annotations": OURS},
    "somebody uncordons": {"annotations": OURS},
    "somebody uncordons and clears up": {},
    "somebody cordons": {"unschedulable": True},
}


@given(
    acts=st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.booleans()), max_size=12),
)
def test_a_restart_between_any_two_acts_changes_no_word(acts: list[tuple[str, bool]]) -> None:
    """The newest of each kind is the same with and without restarts, as long as each act was seen."""
    store, clock, steps = MemoryStore(), Clock(), list[Taken]()
    through, again = restarted(MemoryStore(), clock, steps), restarted(store, clock, steps)
    for act, restart in acts:
        clock.now_ns += SECOND_NS
        if act == "we cordon":
            steps.append(Taken(clock.now_ns, "cordon", node="uid-n1"))
        for cluster in (through, again):
            cluster.put_nodes([a_node(**ACTS[act])])  # type: ignore[arg-type]
        if restart:
            clock.now_ns += HOUR_NS
            again = restarted(store, clock, steps)
            again.put_nodes([a_node(**ACTS[act])])  # type: ignore[arg-type]

    def newest(cluster: LiveCluster, what: str) -> int:
        return max((one.time_ns for one in cluster.taken(0) if one.what == what), default=0)

    assert newest(again, UNCORDON) == newest(through, UNCORDON)
    assert store.words.get(("uid-n1", UNCORDON), Taken(0, "")).time_ns == newest(through, UNCORDON)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_the_book_keeps_what_it_could_not_keep_at_first(store: MemoryStore) -> None:
    """Of what waits only the newest of a kind about a node."""
    store.error = RetryLater("away")
    book = WordBook(store, retry_seconds=0.01)
    book.start()
    book.keep(said(60))
    book.keep(said(30))
    book.keep(said(45))
    while store.calls < 3:
        book._thread.join(0.005)
    during = dict(store.words), book.problem
    store.error = None
    book.stop()

    assert (during, store.node_words(), book.problem) == (({}, "away"), [said(30)], "")


def test_the_book_goes_on_after_a_word_that_no_store_takes(store: MemoryStore) -> None:
    store.error = GiveUp("no such value")
    book = WordBook(store)
    book.start()
    book.keep(said(60))
    while store.calls < 1:
        book._thread.join(0.005)
    store.error = None
    book.keep(said(30))
    book.stop()

    assert store.node_words() == [said(30)]


def test_stopping_keeps_what_waits_or_gives_up_on_a_store_that_is_away(store: MemoryStore) -> None:
    store.error = RetryLater("away")
    book = WordBook(store, retry_seconds=3600)
    book.start()
    book.keep(said(60))
    while store.calls < 1:
        book._thread.join(0.005)
    book.stop()

    assert (store.calls, store.words) == (2, {})
