"""What readers of single namespaces are found by."""

import pytest
from msgspec.structs import replace
from store_samples import incident

from agent.store.sifted import Belongs, incidents_by_id, incidents_fitting, owners
from agent.store.store import Store
from agent.watch import Changes
from detectors.model import Incident, IncidentState


@pytest.fixture
def told(store: Store) -> list[Incident]:
    """Three of them: two teams', and one from before there were namespaces."""
    made = [
        replace(
            incident(),
            id=f"INC-{name}",
            opened_ns=number,
            namespaces=spaces,
            state=IncidentState.RESOLVED if name == "aa3" else IncidentState.OPEN,
        )
        for number, (name, spaces) in enumerate((("aa1", ("a",)), ("aa2", ("", "b")), ("aa3", ())), 1)
    ]
    store.save(Changes(incidents=made))
    return made


def test_owners_come_newest_first_with_their_namespaces(store: Store, told: list[Incident]) -> None:
    every = owners(store, states=None, cluster=None, origin=None)
    still = owners(store, states=(IncidentState.OPEN,), cluster=told[0].subject.cluster, origin=told[0].origin)

    assert every == [Belongs("INC-aa3", 3, ()), Belongs("INC-aa2", 2, ("", "b")), Belongs("INC-aa1", 1, ("a",))]
    assert still == every[1:]
    assert owners(store, states=None, cluster="another", origin=None) == []


def test_incidents_are_found_by_whole_ids_and_by_all_that_a_beginning_fits(store: Store, told: list[Incident]) -> None:
    ids = [f"INC-{number}" for number in range(1_000)] + [one.id for one in told]

    assert incidents_by_id(store, ids) == {one.id: one for one in told}
    assert [one.id for one in incidents_fitting(store, "aa")] == [one.id for one in told]
    assert [one.id for one in incidents_fitting(store, "INC-aa2")] == ["INC-aa2"]
    assert incidents_fitting(store, "INC-") == incidents_fitting(store, "") == []
