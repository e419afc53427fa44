"""What people ask for: incidents newest first, by the beginning of an id, events of a stretch."""

from typing import Any

import pytest
from store_samples import GPU, NODE, NOW, SECOND, decision, event, incident

from agent.store.store import Store
from agent.watch import Changes
from collectors.errors import GiveUp
from collectors.model import Event, EventKind, Origin, Subject, SubjectKind
from detectors.model import IncidentState

ELSEWHERE = Subject("c2", SubjectKind.NODE, "node-9")


@pytest.fixture
def four(store: Store) -> Store:
    """Four incidents, each a second after the other."""
    store.save(
        Changes(
            incidents=[
                incident("INC-aaaa1111", opened_ns=NOW),
                incident("INC-aaaa2222", opened_ns=NOW + 1 * SECOND, state=IncidentState.RESOLVED),
                incident("INC-bbbb3333", opened_ns=NOW + 2 * SECOND, subject=ELSEWHERE),
                incident("INC-CCCC4444", opened_ns=NOW + 3 * SECOND, origin=Origin.REPLAY),
            ]
        )
    )
    return store


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param({}, "4321", id="all-newest-first"),
        pytest.param({"limit": 2}, "43", id="first-page"),
        pytest.param({"limit": 2, "before_ns": NOW + 2 * SECOND}, "21", id="next-page"),
        pytest.param({"states": [IncidentState.OPEN]}, "431", id="by-state"),
        pytest.param({"states": ["resolved", "acknowledged"]}, "2", id="by-states-as-text"),
        pytest.param({"states": []}, "", id="no-states"),
        pytest.param({"cluster": "c1"}, "421", id="by-cluster"),
        pytest.param({"origin": Origin.REPLAY}, "4", id="by-origin"),
        pytest.param({"cluster": "nowhere"}, "", id="unknown-cluster"),
    ],
)
def test_incidents_are_listed_as_asked(four: Store, asked: dict[str, Any], expected: str) -> None:
    """Every filter narrows, the order stays."""
    assert expected == "".join(found.id[-1] for found in four.incidents(**asked))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param("INC-aaaa1111", "INC-aaaa1111", id="whole"),
        pytest.param("INC-aaaa1", "INC-aaaa1111", id="beginning"),
        pytest.param("inc-BBBB", "INC-bbbb3333", id="any-case"),
        pytest.param("bb", "INC-bbbb3333", id="without-INC"),
        pytest.param("cccc4444", "INC-CCCC4444", id="whole-without-INC"),
        pytest.param("INC-zzzz", None, id="unknown"),
        pytest.param("", None, id="empty"),
        pytest.param("INC-", None, id="nothing-but-INC"),
        pytest.param("%", None, id="no-wildcard"),
        pytest.param("INC-_bbb", None, id="no-single-wildcard"),
        pytest.param("INC-aaaa1111x", None, id="longer-than-an-id"),
        pytest.param("\x00", None, id="nul"),
    ],
)
def test_an_incident_is_found_by_the_beginning_of_its_id(four: Store, asked: str, expected: str | None) -> None:
    """As people type it."""
    found = four.incident(asked)

    assert expected == (found.id if found else None)


def test_an_ambiguous_beginning_names_the_candidates(four: Store) -> None:
    """So that the person can choose."""
    with pytest.raises(GiveUp, match="INC-aaaa1111, INC-aaaa2222"):
        four.incident("aaaa")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param({}, [0, 1, 2, 3], id="oldest-first"),
        pytest.param({"since_ns": NOW + 1}, [1, 2, 3], id="since-is-inside"),
        pytest.param({"until_ns": NOW + 3}, [0, 1, 2], id="until-is-outside"),
        pytest.param({"subject": GPU}, [1], id="by-subject"),
        pytest.param({"cluster": "c2"}, [3], id="by-cluster"),
        pytest.param({"kinds": [EventKind.XID]}, [1, 2], id="by-kind"),
        pytest.param({"kinds": ["xid", "training_step"], "subject": NODE}, [2], id="by-kind-and-subject"),
        pytest.param({"kinds": []}, [], id="no-kinds"),
        pytest.param({"limit": 2}, [0, 1], id="limit"),
    ],
)
def test_events_are_listed_as_asked(store: Store, asked: dict[str, Any], expected: list[int]) -> None:
    """Every filter narrows, the order stays."""
    kept: list[Event] = [
        event(NOW),
        event(NOW + 1, kind=EventKind.XID, subject=GPU),
        event(NOW + 2, kind=EventKind.XID, subject=NODE),
        event(NOW + 3, subject=ELSEWHERE),
    ]
    store.save(Changes(events=kept))

    found = store.events(**({"since_ns": 0, "until_ns": NOW + 9} | asked))

    assert expected == [kept.index(one) for one in found]


def test_decisions_of_an_incident_come_oldest_first(store: Store) -> None:
    """And only its own."""
    store.save(
        Changes(
            decisions=[
                decision("d2", decided_ns=NOW + 1),
                decision("d1"),
                decision("d3", incident="INC-other000"),
            ]
        )
    )

    assert [found.id for found in store.decisions("INC-aaaa1111")] == ["d1", "d2"]
    assert store.decisions("nobody") == []
