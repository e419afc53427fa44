"""With a view of the cluster a decision comes with its plan."""

import random

import msgspec
import pytest
from cluster_cases import cluster, pod, policy
from policy_cases import SECOND, crash, ecc, incident, inventory

from policies.cluster_view import LaidOutCluster
from policies.engine import PolicyEngine
from policies.model import Mode, Verdict
from policies.rules import Policy, default_policy


def engine_of(view: LaidOutCluster | None, mode: Mode = Mode.ENFORCE, by: Policy | None = None) -> PolicyEngine:
    by = by or policy()
    return PolicyEngine(by.rules, mode, guards=by.guards, view=lambda: view)


def decided(view, *findings, now: float = 140, mode: Mode = Mode.ENFORCE, by: Policy | None = None):
    findings = findings or (ecc("nvml", "kernel_log"), crash())
    return engine_of(view, mode, by).decide(incident(*findings), findings, inventory(), int(now * SECOND))


def steps(decision) -> list[str]:
    return [step.words for step in decision.plan.steps]


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [
        pytest.param(Mode.ENFORCE, Verdict.DO, id="enforce"),
        pytest.param(Mode.APPROVE, Verdict.ASK, id="approve"),
        pytest.param(Mode.AUDIT, Verdict.WOULD_DO, id="audit"),
    ],
)
def test_the_mode_says_whether_a_plan_is_done_asked_for_or_only_shown(mode, verdict) -> None:
    decision = decided(cluster(), mode=mode, by=default_policy())

    assert decision.verdict is verdict, decision.reason
    assert steps(decision) == ["cordon node a", "restart Job train/b, 2 pods"]
    assert [word.guard for word in decision.guards] == [f"G{n}" for n in range(1, 23)]


def test_the_same_incident_in_the_same_cluster_has_the_same_digest_however_it_is_listed() -> None:
    view = cluster(all_pods=[pod(f"b-{i}", "a", gpus=2) for i in range(4)])
    shuffled = msgspec.structs.replace(view, all_nodes=view.all_nodes[::-1], all_pods=view.all_pods[::-1])
    random.Random(1).shuffle(shuffled.all_nodes)

    assert decided(view).plan.digest == decided(shuffled).plan.digest
