"""The watch decides with a view of the cluster, anew when the policy changes, and once after a restart."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "policies"))

from cluster_cases import changed, cluster, policy
from policy_cases import SECOND, crash, ecc, incident, inventory

from agent.watch import Watch
from collectors.model import Origin
from policies.model import Mode, Verdict
from policies.rules import parse_policy

CORDON = policy("[notify, cordon]")


def watch(view=None, mode: Mode = Mode.ENFORCE, origin: Origin = Origin.LIVE, decisions=()) -> Watch:
    """One that goes on from a card with an error that killed its job."""
    made = Watch(origin, "c", policy=CORDON, mode=mode, view=lambda: view)
    made.engine.inventory.facts.update(inventory().facts)
    findings = [ecc("nvml", "kernel_log", origin=origin), crash(origin=origin)]
    made.restore(findings, [incident(*findings)], decisions)
    return made


def test_after_a_restart_what_is_open_is_decided_once() -> None:
    made = watch(cluster())
    first = made.tick(140 * SECOND).decisions
    again = [decision for at in range(145, 200, 5) for decision in made.tick(at * SECOND).decisions]

    assert [(decision.verdict, [step.words for step in decision.plan.steps]) for decision in first] == [
        (Verdict.DO, ["cordon node a"])
    ]
    assert again == []


def test_after_a_restart_nothing_is_decided_that_was_decided_before() -> None:
    (decision,) = watch(cluster()).tick(140 * SECOND).decisions
    made = watch(cluster(), decisions=[decision])

    assert [d for at in range(145, 200, 5) for d in made.tick(at * SECOND).decisions] == []


def test_another_policy_is_held_to_at_the_next_tick() -> None:
    made = watch(cluster(), Mode.APPROVE)
    made.tick(140 * SECOND)
    made.policy.adopt(parse_policy(b"version: 1\nrules: []\n", "p"))
    (decision,) = made.tick(145 * SECOND).decisions

    assert (decision.verdict, decision.rule) == (Verdict.NOTHING, "")


def test_a_guard_that_lets_go_is_noticed_though_no_incident_changes() -> None:
    held = {"view": changed(changed(cluster(), "n7", ready=False), "n8", ready=False)}
    made = Watch(Origin.LIVE, "c", policy=CORDON, mode=Mode.ENFORCE, view=lambda: held["view"])
    made.engine.inventory.facts.update(inventory().facts)
    findings = [ecc("nvml", "kernel_log"), crash()]
    made.restore(findings, [incident(*findings)], [])
    (refused,) = made.tick(140 * SECOND).decisions
    held["view"] = cluster()
    later = [d for at in range(145, 160, 5) for d in made.tick(at * SECOND).decisions]

    assert refused.verdict is Verdict.REFUSED
    assert [decision.verdict for decision in later] == [Verdict.DO]


@pytest.mark.parametrize("origin", [Origin.REPLAY, Origin.TEST])
def test_a_replayed_fault_of_an_existing_node_has_no_plan_also_in_an_agent_that_enforces(origin) -> None:
    (decision,) = watch(cluster(), origin=origin).tick(140 * SECOND).decisions

    assert (decision.verdict, decision.plan, decision.mode) == (Verdict.WOULD_DO, None, Mode.AUDIT)
