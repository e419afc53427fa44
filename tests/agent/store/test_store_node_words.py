"""People's words on nodes: of each kind about each node the newest is kept, whoever saves in which order."""

import itertools

import pytest
from store_samples import DAY, NOW

from agent.store.rows import Retention
from agent.store.store import Store
from policies.cluster_view import Taken

UNCORDON, CORDON = "uncordon_by_person", "cordon_by_person"
SAID = [Taken(NOW, CORDON, node="a"), Taken(NOW + 1, UNCORDON, node="a"), Taken(NOW + 2, UNCORDON, node="b\ud800\0")]


def test_what_was_said_comes_back_oldest_first(store: Store) -> None:
    store.keep_node_words(SAID[::-1])
    store.keep_node_words([])

    assert [(one.time_ns, one.what) for one in store.node_words()] == [(one.time_ns, one.what) for one in SAID]
    assert store.node_words()[:2] == SAID[:2]
    assert store.node_words(limit=1)[0].time_ns == SAID[2].time_ns


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_of_a_kind_about_a_node_the_newest_stays_in_whatever_order_they_are_saved(
    store: Store, order: tuple[int, ...]
) -> None:
    """Two agents that saw the same keep one."""
    said = [Taken(NOW + at, UNCORDON, node="a") for at in range(3)]
    for at in order:
        store.keep_node_words([said[at]])

    assert store.node_words() == [said[2]]


def test_several_of_one_kind_in_one_save_leave_the_newest(store: Store) -> None:
    store.keep_node_words([Taken(NOW + at, UNCORDON, node="a") for at in (1, 2, 0)])

    assert store.node_words() == [Taken(NOW + 2, UNCORDON, node="a")]


def test_words_go_with_the_history(store: Store) -> None:
    store.keep_node_words([Taken(NOW - 2 * DAY, UNCORDON, node="old"), Taken(NOW, UNCORDON, node="new")])
    store.prune(NOW, Retention(history_days=1))

    assert [one.node for one in store.node_words()] == ["new"]
