"""Decisions: what would be done, why, and what each guard said."""

import pytest
from policy_cases import JOB, NODE, SECOND, crash, ecc, evidence, finding, incident, inventory, xid

from collectors.model import LIVE_ONLY, Origin
from detectors.correlation import Correlator
from detectors.model import FindingKind, IncidentState, Inventory, Severity
from policies.engine import PolicyEngine
from policies.model import ActionKind, Mode, Verdict
from policies.rules import default_rules, parse_rules

K = FindingKind


def decided(*findings, now: float = 140, mode: Mode = Mode.AUDIT, engine: PolicyEngine | None = None, known=None):
    engine = engine or PolicyEngine(default_rules(), mode)
    where = inventory() if known is None else known
    return engine.decide(incident(*findings), findings, where, int(now * SECOND))


def kinds(decision) -> list[ActionKind]:
    return [action.kind for action in decision.actions]


def word(decision, guard: str):
    return next(said for said in decision.guards if said.guard == guard)


def test_an_uncorrectable_error_that_killed_a_job_reads_as_a_person_would_say_it() -> None:
    decision = decided(ecc("nvml", "kernel_log"), crash())

    assert Verdict.WOULD_DO is decision.verdict
    assert (
        decision.reason == "would tell people, cordon node a and restart job b: uncorrectable memory error on GPU 3 "
        "of node a (rank 3), seen by NVML and in the kernel log; "
        "not done: the agent's mode is audit: decide and record, touch nothing"
    )
    assert [(a.kind, a.target, a.undo) for a in decision.actions if a.kind is ActionKind.CORDON] == [
        (ActionKind.CORDON, NODE, "uncordon node a")
    ]
    assert [a.target for a in decision.actions if a.kind is ActionKind.RESTART_JOB] == [JOB]


@pytest.mark.parametrize(
    ("code", "rule", "acts"),
    [
        (79, "gpu-off-the-bus", True),
        (48, "uncorrectable-memory", True),
        (95, "uncorrectable-memory", True),
        (140, "uncorrectable-memory", True),
        (64, "row-remap-failed", True),
        (119, "gsp-hang", True),
        (120, "gsp-hang", True),
        (74, "nvlink", True),
        (62, "gpu-needs-reset", True),
        (94, "contained-memory", False),
        (13, "application-xid", False),
        (31, "application-xid", False),
        (43, "application-xid", False),
        (9999, "application-xid", False),
    ],
)
def test_an_xid_gets_nvidias_own_remedy(code, rule, acts) -> None:
    decision = decided(xid(code, "kernel_log", "nvml"), crash(), now=200)

    assert rule == decision.rule
    assert acts is (ActionKind.CORDON in kinds(decision))


@pytest.mark.parametrize("kind", [k for k in FindingKind if k is not FindingKind.UNUSUAL])
def test_every_kind_gets_a_decision_with_a_reason(kind) -> None:
    decision = decided(finding(kind, evidence("nvml"), severity=Severity.WARNING))

    assert decision.rule
    assert "\n" not in decision.reason
    assert decision.reason


@pytest.mark.parametrize(
    "kind",
    [K.STRAGGLER, K.COLLECTIVE_HANG, K.LOSS_NAN, K.TRAINING_STALL, K.JOB_CRASH, K.GPU_OUT_OF_MEMORY, K.RANK_CRASH],
)
def test_a_fault_of_training_tells_people_and_never_touches_a_node(kind) -> None:
    decision = decided(finding(kind, evidence("nvml"), evidence("training_log")))

    assert kinds(decision) == [ActionKind.NOTIFY]
    assert decision.reason.startswith("would tell people: ")


def test_what_is_merely_worth_knowing_calls_for_nothing_and_says_so() -> None:
    decision = decided(finding(K.POWER_THROTTLE, evidence("nvml"), severity=Severity.INFO))

    assert (decision.verdict, decision.rule, decision.actions) == (Verdict.NOTHING, "informational", ())
    assert "rule informational asks for no action" in decision.reason


def test_one_source_is_not_enough_for_a_cordon() -> None:
    decision = decided(ecc("nvml", "dcgm", "collector"))

    assert Verdict.REFUSED is decision.verdict
    assert word(decision, "G15").reason == "2 independent sources needed, seen by NVML"


def test_a_job_that_died_bears_no_witness_against_hardware() -> None:
    assert not word(decided(ecc("nvml"), crash()), "G15").allows


def test_two_hardware_findings_bear_witness_together() -> None:
    lost = finding(K.GPU_LOST, evidence("nvml"), since=101)
    decision = decided(xid(79, "kernel_log"), lost)

    assert word(decision, "G15").allows
    assert (decision.verdict, decision.rule) == (Verdict.WOULD_DO, "gpu-off-the-bus")


def test_a_restart_is_decided_only_once_the_job_is_hit() -> None:
    engine = PolicyEngine(default_rules())
    correlator, where = Correlator("c"), inventory()
    first = ecc("nvml", "kernel_log")
    (alone,) = correlator.update([first], 130 * SECOND)
    before = engine.decide(alone, [first], where, 140 * SECOND)
    (both,) = correlator.update([crash()], 145 * SECOND)
    after = engine.decide(both, [first, crash()], where, 150 * SECOND)

    assert kinds(before) == [ActionKind.NOTIFY, ActionKind.CORDON]
    assert "left out: no need to restart job: job b has not been interrupted" in before.reason
    assert kinds(after) == [ActionKind.NOTIFY, ActionKind.CORDON, ActionKind.RESTART_JOB]


def test_a_guard_that_makes_one_wait_lets_go_in_time() -> None:
    engine = PolicyEngine(default_rules())
    findings = [ecc("nvml", "kernel_log")]
    early = decided(*findings, now=110, engine=engine)

    assert (early.verdict, engine.due(129 * SECOND)) == (Verdict.REFUSED, ())
    assert word(early, "G11").reason == "the rule waits 30 s, the incident is 10 s old"
    assert (early.incident,) == engine.due(130 * SECOND)
    assert Verdict.WOULD_DO is decided(*findings, now=130, engine=engine).verdict
    assert engine.due(999 * SECOND) == ()


def test_nothing_is_decided_twice_while_only_figures_move() -> None:
    engine = PolicyEngine(default_rules())
    findings = [ecc("nvml", "kernel_log")]

    assert decided(*findings, now=140, engine=engine) is not None
    assert decided(*findings, now=150, engine=engine) is None
    assert decided(*findings, now=900, engine=engine) is not None, "its evidence has grown stale"


def test_a_restart_of_the_agent_does_not_decide_anew() -> None:
    findings = [ecc("nvml", "kernel_log")]
    again = PolicyEngine(default_rules())
    again.restore([decided(*findings)])

    assert decided(*findings, now=150, engine=again) is None


def test_the_same_incident_at_the_same_time_gives_the_same_decision() -> None:
    assert decided(ecc("nvml"), crash()) == decided(ecc("nvml"), crash())


@pytest.mark.parametrize("origin", [Origin.REPLAY, Origin.TEST])
def test_what_is_not_live_is_decided_in_audit_also_by_an_agent_that_enforces(origin) -> None:
    decision = decided(ecc("nvml", "kernel_log", origin=origin), mode=Mode.ENFORCE)

    assert (decision.mode, decision.verdict) == (Mode.AUDIT, Verdict.WOULD_DO)
    assert not word(decision, "G2").allows
    assert f"the data are a {origin.value}, not live" in decision.reason


def test_a_test_is_decided_in_the_agents_own_mode_where_the_agent_takes_it_for_live() -> None:
    engine = PolicyEngine(default_rules(), Mode.ENFORCE, LIVE_ONLY | {Origin.TEST})

    decision = decided(ecc("nvml", "kernel_log", origin=Origin.TEST), engine=engine)

    assert (decision.mode, decision.origin) == (Mode.ENFORCE, Origin.TEST)
    assert word(decision, "G2").allows


@pytest.mark.parametrize(
    ("agent", "rule", "held"),
    [
        (Mode.AUDIT, "enforce", Mode.AUDIT),
        (Mode.ENFORCE, "audit", Mode.AUDIT),
        (Mode.ENFORCE, "approve", Mode.APPROVE),
        (Mode.ENFORCE, "enforce", Mode.ENFORCE),
    ],
)
def test_the_stricter_mode_wins(agent, rule, held) -> None:
    text = f"version: 1\nrules:\n  - {{name: a, description: d, actions: [cordon], mode: {rule}}}\n"
    decision = decided(ecc("nvml", "kernel_log"), engine=PolicyEngine(parse_rules(text.encode(), "p"), agent))

    assert held is decision.mode
    assert word(decision, "G1").allows is (held is Mode.ENFORCE)


@pytest.mark.parametrize(
    ("findings", "reason"),
    [
        pytest.param([ecc()], "the root finding shows no evidence", id="none"),
        pytest.param([ecc("nvml", "kernel_log", confidence=0.4)], "confidence is 0.40", id="weak"),
        pytest.param(
            [xid(79, "kernel_log", "nvml"), finding(K.TELEMETRY_LOST, since=120, subject=NODE)],
            "telemetry is missing",
            id="silent",
        ),
    ],
)
def test_thin_telemetry_refuses(findings, reason) -> None:
    decision = decided(*findings)

    assert not word(decision, "G14").allows
    assert reason in decision.reason


def test_stale_evidence_refuses() -> None:
    assert "the newest evidence is 700 s old" in decided(ecc("nvml", "kernel_log"), now=800).reason


def test_a_node_that_nobody_knows_is_not_guessed() -> None:
    placeless = ecc("nvml", "kernel_log", names={}, related=())
    decision = decided(placeless, known=Inventory())

    assert kinds(decision) == [ActionKind.NOTIFY]
    assert "cannot cordon: no node is known here" in decision.reason


def test_a_resolved_incident_calls_for_nothing() -> None:
    engine = PolicyEngine(default_rules())
    correlator, where = Correlator("c"), inventory()
    (opened,) = correlator.update([ecc("nvml", "kernel_log")], 130 * SECOND)
    engine.decide(opened, [ecc("nvml", "kernel_log")], where, 140 * SECOND)
    cleared = ecc("nvml", "kernel_log", cleared=200)
    (resolved,) = correlator.update([cleared], 300 * SECOND)
    decision = engine.decide(resolved, [cleared], where, 300 * SECOND)

    assert IncidentState.RESOLVED is resolved.state
    assert (decision.verdict, decision.actions) == (Verdict.NOTHING, ())
    assert engine.decide(resolved, [cleared], where, 310 * SECOND) is None


def test_a_rule_that_cannot_be_judged_counts_as_no_and_is_named() -> None:
    text = (
        "version: 1\nrules:\n  - {name: odd, description: d, actions: [cordon], when: 'subject.names.rack == \"r\"'}\n"
    )
    decision = decided(ecc("nvml", "kernel_log"), engine=PolicyEngine(parse_rules(text.encode(), "p")))

    assert Verdict.NOTHING is decision.verdict
    assert "rule odd could not be judged and counts as no" in decision.reason
    assert "rack" in decision.reason


def test_where_no_rule_matches_nothing_is_done_and_said() -> None:
    decision = decided(ecc("nvml"), engine=PolicyEngine(()))

    assert (decision.verdict, decision.rule) == (Verdict.NOTHING, "")
    assert "nothing to do: no rule is about uncorrectable memory error" in decision.reason
