"""Property: whatever is cut for a reader of some namespaces holds no text of anything that belongs to another."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.access.authorise import Allowed, Identity, Permission, Refused, Role, Target, authorise
from agent.access.cut import Seen, cut_decision, cut_incident
from agent.access.sight import OutOfReach, sight_of
from collectors.model import Origin, Subject, SubjectKind
from detectors.correlation.report import namespaces_of
from detectors.model import Evidence, Finding, FindingKind, Incident, IncidentState, Severity
from policies.model import Action, ActionKind, Decision, GuardWord, Mode, Verdict

NAMES = ("a", "b", "c", "")
"""The last is one that nobody has told."""
SOMEBODYS = (SubjectKind.GPU, SubjectKind.JOB, SubjectKind.POD, SubjectKind.RANK)
SHARED = (SubjectKind.NODE, SubjectKind.NIC, SubjectKind.LINK)
WIDE = (SubjectKind.RACK, SubjectKind.SWITCH, SubjectKind.CLUSTER, SubjectKind.SERVICE)
THINGS = frozenset({SubjectKind.GPU, *SHARED})


@st.composite
def findings(draw: st.DrawFn, number: int) -> Finding:
    """Every text of it bears its own mark."""
    kind = draw(st.sampled_from((*SOMEBODYS, *SHARED, *WIDE)))
    mark = f"mark{number}x"
    line = draw(st.sampled_from(("", f"line {mark}")))
    evidence = tuple(Evidence(text=f"text {mark}", time_ns=1, line=line) for _ in range(draw(st.integers(0, 2))))
    return Finding(
        id=f"F-{number}",
        kind=draw(st.sampled_from((FindingKind.XID, FindingKind.TELEMETRY_LOST, FindingKind.JOB_CRASH))),
        subject=Subject("prod", kind, f"id{number}" if kind in THINGS else mark),
        severity=draw(st.sampled_from(tuple(Severity))),
        opened_ns=2,
        since_ns=1,
        confidence=0.5,
        summary=f"summary {mark}",
        origin=Origin.LIVE,
        evidence=evidence,
        cleared_ns=draw(st.sampled_from((None, 3))),
        cleared_because=f"because {mark}",
        related=(Subject("prod", SubjectKind.JOB, mark), Subject("prod", SubjectKind.NODE, "n")),
        names={"node": "n", "gpu": str(number), "job": mark, "rank": mark},
        namespaces=tuple(sorted(draw(st.sets(st.sampled_from(NAMES))))),
        mark=mark,
    )


@st.composite
def stories(draw: st.DrawFn) -> tuple[Incident, list[Finding]]:
    members = [draw(findings(number)) for number in range(draw(st.integers(1, 5)))]
    first = members[0]
    marks = " ".join(finding.mark for finding in members)
    return (
        Incident(
            id="INC-1",
            state=draw(st.sampled_from((IncidentState.OPEN, IncidentState.RESOLVED))),
            root=first.id,
            findings=tuple(finding.id for finding in members),
            kind=first.kind,
            subject=first.subject,
            severity=Severity.CRITICAL,
            title=f"title {marks}",
            opened_ns=2,
            since_ns=1,
            updated_ns=3,
            origin=Origin.LIVE,
            resolved_because=f"because {marks}",
            names=dict(first.names),
            kinds=tuple(finding.kind for finding in members),
            gpus={finding.mark: 8 for finding in members},
            namespaces=namespaces_of(members),
        ),
        members,
    )


def told(seen: Seen, decision: Decision) -> str:
    """All that would be handed out."""
    return b"".join(msgspec.json.encode(one) for one in (seen.incident, *seen.findings, decision)).decode()


def decision_about(members: Iterable[Finding]) -> Decision:
    marks = " ".join(finding.mark for finding in members)
    actions = tuple(Action(ActionKind.RESTART_JOB, f.related[0], f.mark, undo=marks) for f in members)
    guards = (GuardWord("G5", False, marks),)
    return Decision("D", "INC-1", "rule", Mode.AUDIT, Verdict.ASK, actions, guards, marks, 3, Origin.LIVE)


READABLE = st.sets(st.sampled_from(("a", "b", "c")), min_size=1)


@given(stories(), READABLE)
def test_nothing_of_what_one_may_not_read_is_left(story: tuple[Incident, list[Finding]], readable: set[str]) -> None:
    incident, members = story
    sight = sight_of(Identity("reader", (Role.READ,), namespaces=tuple(sorted(readable))))
    seen = cut_incident(sight, incident, members)
    if seen is None:
        assert not readable & {name for finding in members for name in finding.namespaces}
        return
    text = told(seen, cut_decision(sight, decision_about(members), seen))

    others = [f for f in members if not f.namespaces or not set(f.namespaces) <= readable]
    assert [finding.mark for finding in others if finding.mark in text] == []
    assert len(seen.findings) + seen.hidden == len(members)
    outlined = [f for f in members if f.id in {one.id for one in seen.findings} and f.mark not in text]
    assert sum(seen.evidence.values()) == sum(len(f.evidence) for f in outlined)


@given(stories())
def test_who_may_read_everything_is_given_the_very_same(story: tuple[Incident, list[Finding]]) -> None:
    incident, members = story
    sight = sight_of(Identity("reader", (Role.READ,)))
    decision = decision_about(members)
    seen = cut_incident(sight, incident, members)

    assert seen == Seen(incident, members)
    assert cut_decision(sight, decision, seen) is decision


@given(stories(), READABLE)
def test_ones_own_incident_is_shown_whole(story: tuple[Incident, list[Finding]], readable: set[str]) -> None:
    incident, members = story
    own = [
        msgspec.structs.replace(
            f, namespaces=tuple(sorted(readable)), subject=Subject("prod", SubjectKind.GPU, f.subject.id)
        )
        for f in members
    ]
    mine = msgspec.structs.replace(incident, namespaces=namespaces_of(own))
    sight = sight_of(Identity("reader", (Role.READ,), namespaces=(*sorted(readable), "d")))

    assert cut_incident(sight, mine, own) == Seen(mine, own)


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        ([(), ()], ()),
        ([("a",), ("b",)], ("a", "b")),
        ([("a",), ()], ("", "a")),
        ([("a",), ("", "a")], ("", "a")),
    ],
    ids=["nobody's", "two", "one-and-nobody", "one-unknown"],
)
def test_an_incident_belongs_to_all_that_its_findings_concern(
    each: list[tuple[str, ...]], expected: tuple[str, ...]
) -> None:
    finding = Finding(
        "F", FindingKind.XID, Subject("p", SubjectKind.GPU, "g"), Severity.INFO, 1, 1, 0.5, "", Origin.LIVE
    )
    members = [msgspec.structs.replace(finding, namespaces=names) for names in each]

    assert namespaces_of(members) == expected
    assert namespaces_of(members, ("z",)) == tuple(sorted({*expected, "z", *(() if all(each) else ("",))}))


def test_a_role_held_in_one_namespace_is_no_role_in_another() -> None:
    by_namespace = (("a", (Role.READ, Role.APPROVE)), ("b", (Role.READ,)))
    who = Identity("jane", (Role.READ, Role.APPROVE), namespaces=("a", "b"), by_namespace=by_namespace)
    sight = sight_of(who)

    assert sight.readable == {"a", "b"}
    assert sight.may(Permission.APPROVE, ("a",))
    assert not sight.may(Permission.APPROVE, ("a", "b"))
    assert not sight.may(Permission.APPROVE, ())
    with pytest.raises(OutOfReach, match="jane may not approve PLN-1: it concerns more than the namespaces"):
        sight.must(Permission.APPROVE, ("a", "b"), "PLN-1")


@pytest.mark.parametrize("namespaces", [(), ("",)], ids=["none", "unnamed"])
def test_a_door_that_cuts_stays_closed_to_who_holds_the_role_nowhere(namespaces: tuple[str, ...]) -> None:
    who = Identity("jane", (Role.ADMIN,), namespaces=namespaces)

    assert isinstance(authorise(who, Permission.READ, Target(cut=True)), Refused)
    assert isinstance(authorise(who, Permission.READ, Target(namespace="")), Refused)


def test_a_door_that_cuts_opens_to_who_holds_the_role_somewhere() -> None:
    who = Identity("jane", (Role.READ,), namespaces=("a",), by_namespace=(("a", (Role.READ,)),))

    assert isinstance(authorise(who, Permission.READ, Target(cut=True)), Allowed)
    assert isinstance(authorise(who, Permission.ACKNOWLEDGE, Target(cut=True)), Refused)
