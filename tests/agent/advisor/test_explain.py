"""Explanations: every kind has one, with the incident's own figures, and nothing in it is made up."""

import msgspec
import pytest

from agent.advisor.explain import CONFIDENCES, Explanation, explain, references
from agent.advisor.explain.kinds import EXPLAINERS
from agent.advisor.explain.kinds.hardware import LOOK_IN, REMEDY
from collectors.kernel_log.xid_catalogue import XID_CATALOGUE, XidDomain
from collectors.model import Origin, Subject, SubjectKind
from detectors.correlation import Correlator
from detectors.model import Evidence, Finding, FindingKind, Incident, IncidentState, Inventory, Severity
from policies.engine import PolicyEngine
from policies.rules import default_rules

K = FindingKind
SECOND = 1_000_000_000
GPU = Subject("c", SubjectKind.GPU, "GPU-3")
NODE = Subject("c", SubjectKind.NODE, "uid-a")
JOB = Subject("c", SubjectKind.JOB, "uid-train")
NAMES = {"node": "a", "gpu": "3", "rank": "3", "job": "train"}
FIGURE = "126 W at 0% utilisation"


def finding(kind: FindingKind, since: float = 100, **more) -> Finding:
    fields = {
        "id": f"F-{kind.value}",
        "kind": kind,
        "subject": GPU,
        "severity": Severity.WARNING,
        "opened_ns": int((since + 10) * SECOND),
        "since_ns": int(since * SECOND),
        "confidence": 0.92,
        "summary": f"{kind.value} on GPU 3 of node a.",
        "origin": Origin.LIVE,
        "evidence": (Evidence(FIGURE, int(since * SECOND), "gpu_power_watts", 126.0, source="nvml"),),
        "related": (NODE, JOB),
        "names": NAMES,
    }
    return Finding(**{**fields, **more})


def xid(*codes: int, kind: FindingKind = K.XID, **more) -> Finding:
    said = tuple(
        Evidence(f"Xid {code} seen in the kernel log", 100 * SECOND, "xid", float(code), source="kernel_log")
        for code in codes
    )
    return finding(kind, evidence=said, **more)


def incident(*findings: Finding) -> Incident:
    """The incident of these findings; `unusual` never opens one, so it is given what a store might hold."""
    correlator = Correlator("c")
    correlator.update(findings, 120 * SECOND)
    if correlator.unresolved:
        return correlator.unresolved[0]
    root = findings[0]
    return Incident(
        id="INC-AAAAAAAA",
        state=IncidentState.OPEN,
        root=root.id,
        findings=(root.id,),
        kind=root.kind,
        subject=root.subject,
        severity=root.severity,
        title="GPU 3 of node a (rank 3): unlike its habit",
        opened_ns=root.opened_ns,
        since_ns=root.since_ns,
        updated_ns=root.opened_ns,
        origin=root.origin,
        names=root.names,
        kinds=(root.kind,),
    )


def explained(*findings: Finding) -> Explanation:
    return explain(incident(*findings), findings, ())


def text_of(explanation: Explanation) -> str:
    return msgspec.json.encode(explanation).decode()


def test_every_kind_has_an_explainer() -> None:
    assert set(FindingKind) == set(EXPLAINERS)


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_is_explained_with_its_own_figures(kind) -> None:
    made = explained(finding(kind))

    assert made.causes
    assert made.check_next
    assert made.do
    assert FIGURE in "".join(cause.text for cause in made.causes)


@pytest.mark.parametrize("kind", FindingKind)
def test_causes_are_ranked_from_most_likely_to_what_it_is_not(kind) -> None:
    ranks = [CONFIDENCES.index(cause.confidence) for cause in explained(finding(kind)).causes]

    assert sorted(ranks) == ranks


@pytest.mark.parametrize("kind", FindingKind)
def test_no_explanation_cites_what_is_not_there(kind) -> None:
    findings = (finding(kind), finding(K.JOB_CRASH, 105) if kind is not K.JOB_CRASH else finding(K.RANK_CRASH, 104))
    cited = {ref for cause in explain(incident(*findings), findings, ()).causes for ref in cause.evidence}

    assert cited
    assert cited <= references(findings)


@pytest.mark.parametrize("kind", FindingKind)
def test_a_finding_without_evidence_or_names_is_still_explained(kind) -> None:
    made = explained(finding(kind, evidence=(), names={}, related=()))

    assert made.causes
    assert "GPU-3" in made.summary or "GPU 3" in made.summary


def test_the_same_incident_gets_the_same_words() -> None:
    assert explained(finding(K.STRAGGLER)) == explained(finding(K.STRAGGLER))


def test_a_stall_names_data_and_host_alike_and_says_what_would_settle_it() -> None:
    made = explained(finding(K.TRAINING_STALL))
    first, second = made.causes[:2]

    assert "waits for data" in first.text
    assert "host is stuck" in second.text
    assert first.confidence == second.confidence == "possible"
    assert any("data_time" in check for check in made.check_next)
    assert any(c.confidence == "ruled out" and "no rank spins" in c.text for c in made.causes)


def test_a_hang_says_that_the_busy_ranks_are_innocent() -> None:
    assert "idle one is the cause" in explained(finding(K.COLLECTIVE_HANG)).causes[0].text


def test_a_straggler_is_told_by_what_it_does() -> None:
    late = explained(finding(K.STRAGGLER, summary="rank 3 comes late to each step while the others spin at 220 W"))
    busy = explained(finding(K.STRAGGLER, summary="rank 3 computes more, its clock 9% under its habit"))

    assert "host" in late.causes[0].text
    assert any("noisy neighbour" in cause.text for cause in busy.causes)


def test_dense_work_is_no_fault_and_a_power_brake_is_one() -> None:
    dense = explained(finding(K.POWER_THROTTLE, severity=Severity.INFO))
    brake = explained(finding(K.POWER_THROTTLE, severity=Severity.CRITICAL))

    assert "not faulty" in dense.causes[0].text
    assert "power supply" in brake.causes[0].text


@pytest.mark.parametrize("code", XID_CATALOGUE)
def test_every_xid_of_the_catalogue_is_explained_with_its_name_and_nvidias_action(code) -> None:
    made = explained(xid(code))
    entry = XID_CATALOGUE[code]

    assert entry.name.lower() in made.causes[0].text
    assert any(entry.nvidia_action in step for step in made.do)


def test_every_action_and_domain_of_the_catalogue_has_words() -> None:
    actions = {a for x in XID_CATALOGUE.values() for a in (x.nvidia_action, x.investigatory) if a}

    assert set() == actions - set(REMEDY)
    assert set(XidDomain) == set(LOOK_IN)


def test_an_xid_that_nobody_knows_is_called_unknown_and_not_harmless() -> None:
    assert "unknown, not harmless" in explained(xid(9999)).causes[0].text


def test_out_of_memory_after_a_memory_error_is_blamed_on_the_card_and_alone_on_the_job() -> None:
    sick = explained(xid(48, kind=K.ECC_UNCORRECTABLE), finding(K.GPU_OUT_OF_MEMORY, 110))
    alone = explained(finding(K.GPU_OUT_OF_MEMORY))

    assert "uncorrectable memory error (Xid 48); then out of memory" in sick.summary
    assert any("reset the GPU" in step for step in sick.do)
    assert any("do not drain" in step for step in alone.do)


def test_a_contained_memory_error_is_not_treated_like_an_uncontained_one() -> None:
    contained = explained(xid(94, kind=K.ECC_UNCORRECTABLE))
    spread = explained(xid(95, kind=K.ECC_UNCORRECTABLE))

    assert "within one process" in contained.causes[0].text
    assert not any("cordon" in step for step in contained.do)
    assert any("cordon" in step for step in spread.do)


def test_the_summary_tells_place_time_consequences_and_decision() -> None:
    findings = (xid(79, kind=K.GPU_LOST, severity=Severity.CRITICAL), finding(K.JOB_CRASH, 160, subject=JOB))
    made = incident(*findings)
    decision = PolicyEngine(default_rules()).decide(made, findings, Inventory(), 200 * SECOND)
    explanation = explain(made, findings, [decision])

    assert explanation.summary.startswith("GPU 3 of node a (rank 3): the GPU is lost to the driver (Xid 79)")
    assert "Since 1970-01-01 00:01:40 UTC" in explanation.summary
    assert "job crash on GPU 3 of node a (rank 3) 60 s later" in explanation.summary
    assert f"Decided: {decision.reason.rstrip('.')}" in explanation.summary
    assert explanation.do[0].startswith("policy rule gpu-off-the-bus: cordon a, restart job train (not done: ")


def test_a_merged_incident_says_where_it_went() -> None:
    gone = msgspec.structs.replace(
        incident(finding(K.STRAGGLER)), findings=(), resolved_because="its findings belong to INC-BBBBBBBB"
    )

    assert "Its findings belong to INC-BBBBBBBB." in explain(gone, (), ()).summary


@pytest.mark.parametrize("kind", FindingKind)
def test_hostile_text_stays_one_short_line(kind) -> None:
    bad = Evidence("ignore all that\n\x1b[31m<script>" + "A" * 1_000_000, 100 * SECOND, source="training_log")
    made = explained(finding(kind, evidence=(bad,), summary="x\n" * 100_000))

    assert len(text_of(made)) < 8_000
    assert all(c.isprintable() for cause in made.causes for c in cause.text)
