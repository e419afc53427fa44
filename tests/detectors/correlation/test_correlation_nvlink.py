"""A link that fails is told by the card at each end and by the switch between them: one cause, one incident."""

import itertools

import msgspec
import pytest
from correlation_findings import finding, gpu, job, node
from fleet_findings import at

from collectors.kernel_log.xid_catalogue import XID_CATALOGUE, XidDomain
from detectors.correlation import Correlator
from detectors.correlation.nvlink import LINK_SECONDS, LINK_XIDS
from detectors.model import Evidence, Finding, FindingKind, Incident, Severity

K = FindingKind
CRITICAL = Severity.CRITICAL


def link(card: int, since: float, code: int = 74, **more: object) -> Finding:
    made = finding(K.XID, card, since, codes=(code,), severity=CRITICAL, **more)  # type: ignore[arg-type]  # handed on
    return msgspec.structs.replace(made, mark=str(code), id=f"{made.id}-{code}")


def switch(since: float, code: int = 20034, on: str = "a", severity: Severity = CRITICAL) -> Finding:
    made = finding(K.XID, node(on), since, on=on, of=None, severity=severity)
    said = Evidence(f"SXid {code}", made.since_ns, "sxid", float(code))
    return msgspec.structs.replace(made, evidence=(said,), mark=f"sxid-{code}", id=f"{made.id}-{code}")


def in_domain(known: Finding, domain: str) -> Finding:
    return msgspec.structs.replace(known, names={**known.names, "nvlink_domain": domain})


def told(*findings: Finding) -> list[Incident]:
    """Each in a tick of its own, in the order given."""
    correlator = Correlator("c")
    latest = max(known.opened_ns for known in findings)
    for known in findings:
        correlator.update([known], latest)
    return correlator.unresolved


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_both_cards_and_the_switch_are_one_incident_about_the_first_card_in_any_order(order) -> None:
    words = (link(3, 100), link(4, 100.1), switch(100.2))

    (incident,) = told(*(words[i] for i in order))

    assert (incident.subject, incident.kinds) == (gpu(3), (K.XID, K.XID, K.XID))


def test_what_the_link_brought_about_hangs_under_the_same_incident() -> None:
    (incident,) = told(
        link(3, 100),
        link(4, 100.1),
        switch(100.2),
        finding(K.COLLECTIVE_HANG, 4, 103),
        finding(K.JOB_CRASH, job(), 710),
    )

    assert (incident.subject, incident.kinds[-2:]) == (gpu(3), (K.COLLECTIVE_HANG, K.JOB_CRASH))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_lost_card_takes_its_links_along_and_stays_the_root(order) -> None:
    words = (finding(K.GPU_LOST, 3, 100, severity=CRITICAL), switch(99.9), link(5, 100.4))

    (incident,) = told(*(words[i] for i in order))

    assert (incident.kind, incident.subject) == (K.GPU_LOST, gpu(3))


def test_the_ends_of_one_link_may_be_cards_of_two_nodes_of_one_domain() -> None:
    ends = link(3, 100, 149), link(5, 101, 149, on="b", of="other")

    assert len(told(*(in_domain(end, "rack-1.clique-0") for end in ends))) == 1
    assert len(told(in_domain(ends[0], "rack-1.clique-0"), in_domain(ends[1], "rack-2.clique-0"))) == 2
    assert len(told(*ends)) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(link(3, 100), link(4, 100 + LINK_SECONDS + 1), id="two links, one after the other"),
        pytest.param(link(3, 100), link(5, 101, on="b", of="b"), id="links of two nodes that share no domain"),
        pytest.param(link(3, 100), link(4, 101, 31), id="a link and a program's page fault on another card"),
        pytest.param(link(3, 100), link(4, 101, 119), id="a link and the firmware of another card"),
        pytest.param(link(3, 100), link(4, 101, 137), id="a link and a program that may not use one"),
        pytest.param(link(3, 100), finding(K.ECC_UNCORRECTABLE, 4, 101), id="a link and the memory of another card"),
        pytest.param(
            link(4, 100), finding(K.GPU_LOST, 3, 100 + LINK_SECONDS + 1), id="a link, later another card lost"
        ),
        pytest.param(switch(100), switch(101, on="b"), id="switches of two nodes"),
    ],
)
def test_two_faults_stay_two(first: Finding, second: Finding) -> None:
    assert len(told(first, second)) == 2
    assert len(told(second, first)) == 2


def test_a_second_cause_of_one_of_the_cards_stays_an_incident_of_its_own() -> None:
    incidents = told(link(3, 100), link(4, 100.1), finding(K.ECC_UNCORRECTABLE, 4, 95))

    assert [incident.kind for incident in incidents] == [K.ECC_UNCORRECTABLE, K.XID]


def test_what_may_be_ignored_never_leads() -> None:
    (incident,) = told(switch(99.5, 12028, severity=Severity.INFO), link(3, 100))

    assert incident.subject == gpu(3)


def test_many_cards_at_once_are_about_the_node() -> None:
    (incident,) = told(*(link(card, 100 + card / 10) for card in range(8)), switch(101))

    assert incident.subject == node()
    assert "8 GPUs at once; suspect the NVSwitch" in incident.title


def test_many_cards_at_once_after_the_switch_are_about_the_node() -> None:
    (incident,) = told(switch(99.9), *(link(card, 100 + card / 10) for card in range(8)))

    assert incident.subject == node()


def test_links_of_a_whole_domain_are_one_wave_about_it() -> None:
    words = [at(K.XID, where, card, 100 + where / 10, codes=(149,)) for where in range(4) for card in range(4)]
    words = [msgspec.structs.replace(in_domain(known, "d0"), mark="149") for known in words]

    (incident,) = told(*words)

    assert incident.names == {"nvlink_domain": "d0"}


def test_after_a_restart_they_are_one_incident_still() -> None:
    words = (link(3, 100), link(4, 100.1), switch(100.2))
    before = told(*words)
    again = Correlator("c")
    again.restore(before, words)
    hang = finding(K.COLLECTIVE_HANG, 4, 103)

    again.update([hang], hang.opened_ns)

    assert [incident.id for incident in again.unresolved] == [before[0].id]
    assert again.unresolved[0].findings[0] == words[0].id


def test_only_codes_that_the_catalogue_places_at_the_link_are_words_about_links() -> None:
    assert {XID_CATALOGUE[code].domain for code in LINK_XIDS} == {XidDomain.LINK}
