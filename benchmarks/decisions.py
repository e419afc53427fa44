"""What deciding costs: 200 rules, 10,000 open incidents, a view of 5,000 nodes and 40,000 pods.

    python -m benchmarks.decisions                       200 rules, 10,000 incidents
    python -m benchmarks.decisions --rules 20 --incidents 1000 --profile

Every rule has a CEL condition and all but the last do not match, so that each incident asks all of them. Stated are, in
CPU time of the one thread that does it: one decision when all incidents are new (p50, p99), in audit without a view and
in enforce with one (all 22 guards and the plan); and a tick in which nothing, or one incident in a hundred, has changed
while all the others stay open. The view answers from dictionaries, as the agent's own does.
"""

import argparse
import cProfile
import pstats
import time
from collections.abc import Iterable
from statistics import median, quantiles

from collectors.model import Origin, Subject, SubjectFacts, SubjectKind
from detectors.model import Evidence, Finding, FindingKind, Incident, IncidentState, Inventory, Severity
from policies.cluster_view import BudgetView, LaidOutCluster, NodeView, Owner, Place, PodView, Tally
from policies.engine import PolicyEngine
from policies.model import Decision, Mode
from policies.rules import Policy, parse_policy

NS = 1_000_000_000
NODES = 5_000
PODS_A_NODE = 8
OPENED_NS = 1_767_225_600 * NS
CONDITIONS = (
    'xid.codes.exists(code, code in [{n}, {n}1]) && incident.severity == "critical"',
    'node.labels["team"] == "t{n}" || job.namespace == "team-{n}"',
    'incident.confidence > 0.9 && incident.kind == "xid" && node.rack == "none-{n}"',
    'subject.names["node"] == "n{n}x" && sources.exists(source, source == "kernel_log")',
)


class Indexed:
    """A `ClusterView` that answers from dictionaries."""

    def __init__(self, laid: LaidOutCluster) -> None:
        self._nodes = {node.uid: node for node in laid.all_nodes}
        self._on: dict[str, list[PodView]] = {}
        self._of: dict[str, list[PodView]] = {}
        for pod in laid.all_pods:
            self._on.setdefault(pod.node, []).append(pod)
            if pod.owner is not None:
                self._of.setdefault(pod.owner.uid, []).append(pod)
        self._laid = laid
        self._tallies: dict[tuple[Place, str], Tally] = {}
        for node in laid.all_nodes:
            for place, name in ((Place.FLEET, ""), (Place.RACK, node.rack), (Place.POOL, node.pool)):
                held = self._tallies.get((place, name), Tally())
                free = node.gpus - sum(pod.gpus for pod in self._on.get(node.name, ()))
                self._tallies[place, name] = Tally(
                    held.nodes + 1, held.unavailable, held.gpus + node.gpus, held.gpus_free + free
                )

    def problem(self, now_ns: int) -> str:
        return ""

    def leader(self, now_ns: int) -> str:
        return ""

    def paused(self) -> str:
        return ""

    def node(self, uid: str) -> NodeView | None:
        return self._nodes.get(uid)

    def nodes(self) -> Iterable[NodeView]:
        return self._laid.all_nodes

    def tally(self, place: Place, name: str = "") -> Tally:
        return self._tallies.get((place, "" if place is Place.FLEET else name), Tally())

    def pods_on(self, node_name: str) -> Iterable[PodView]:
        return self._on.get(node_name, ())

    def pods_of(self, owner_uid: str) -> Iterable[PodView]:
        return self._of.get(owner_uid, ())

    def namespace_labels(self, namespace: str) -> dict[str, str]:
        return {}

    def budgets(self, namespace: str) -> Iterable[BudgetView]:
        return ()

    def taken(self, since_ns: int) -> Iterable[object]:
        return ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=200)
    parser.add_argument("--incidents", type=int, default=10_000)
    parser.add_argument("--profile", action="store_true", help="where the time goes with a view")
    args = parser.parse_args()
    policy, view = policy_of(args.rules), Indexed(view_of())
    inventory, incidents = incidents_of(args.incidents)
    print(f"{args.rules} rules, {args.incidents:,} open incidents, {NODES:,} nodes, {NODES * PODS_A_NODE:,} pods")
    for name, mode, shown in (("audit, no view", Mode.AUDIT, None), ("enforce, with a view", Mode.ENFORCE, view)):
        engine = PolicyEngine(policy.rules, mode, guards=policy.guards, view=lambda shown=shown: shown)
        profiler = cProfile.Profile()
        if args.profile and shown is not None:
            profiler.enable()
        print(f"{name}: {all_new(engine, incidents, inventory)}")
        profiler.disable()
        print(f"{name}: {ticks(engine, incidents, inventory)}")
        if args.profile and shown is not None:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def all_new(engine: PolicyEngine, incidents: list[tuple[Incident, Finding]], inventory: Inventory) -> str:
    """Decide each for the first time."""
    took: list[float] = []
    verdicts: dict[str, int] = {}
    for incident, finding in incidents:
        began = time.thread_time()
        decision = engine.decide(incident, [finding], inventory, OPENED_NS + 60 * NS)
        took.append(time.thread_time() - began)
        assert isinstance(decision, Decision)
        verdicts[decision.verdict.value] = verdicts.get(decision.verdict.value, 0) + 1
    cuts = quantiles(took, n=100)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    return f"all new: {sum(took):.2f} s, one {median(took) * 1e6:.0f} us p50, {cuts[98] * 1e6:.0f} us p99 ({told})"


def ticks(engine: PolicyEngine, incidents: list[tuple[Incident, Finding]], inventory: Inventory) -> str:
    """Twenty ticks of 5 s in which one in a hundred changes, and twenty in which nothing does."""
    by_id = {incident.id: (incident, finding) for incident, finding in incidents}
    calm: list[float] = []
    busy: list[float] = []
    again = 0
    now_ns = OPENED_NS + 65 * NS
    for tick in range(40):
        changed = [incident.id for incident, _ in incidents[tick::100]] if tick % 2 else []
        began = time.thread_time()
        due = engine.due(now_ns)
        for id_ in {*changed, *due}:
            incident, finding = by_id[id_]
            engine.decide(incident, [finding], inventory, now_ns)
        engine.undo_due(now_ns)
        (busy if changed else calm).append(time.thread_time() - began)
        again += len(due)
        now_ns += 5 * NS
    return (
        f"a tick: nothing changed {median(calm) * 1e3:.1f} ms, 1 % changed {median(busy) * 1e3:.1f} ms"
        f" (decided again by themselves: {again / 40:.0f} a tick)"
    )


def policy_of(count: int) -> Policy:
    """Rules that do not match, and at last one that does."""
    lines = ["version: 1", "rules:"]
    for n in range(count - 1):
        lines += [f"  - name: rule-{n}", "    description: d", "    actions: [notify]"]
        lines += [f"    when: '{CONDITIONS[n % len(CONDITIONS)].format(n=n + 1000)}'"]
    lines += ["  - {name: last, description: d, actions: [notify, cordon, restart_job], wait_seconds: 0}"]
    return parse_policy("\n".join(lines).encode(), "benchmark")


def view_of() -> LaidOutCluster:
    """5,000 nodes in 625 racks, eight pods of one GPU on each; jobs of 64 pods."""
    nodes = [
        NodeView(f"n{i}", f"uid-n{i}", {"team": "a", "zone": "b"}, gpus=8, rack=f"r{i // 8}", pool=f"p{i % 4}")
        for i in range(NODES)
    ]
    pods = [
        PodView(
            "team",
            f"p{i}-{k}",
            f"uid-p{i}-{k}",
            f"n{i}",
            Owner("batch/v1", "Job", f"j{i // 8}", f"uid-j{i // 8}"),
            phase="Running",
            gpus=1,
        )
        for i in range(NODES)
        for k in range(PODS_A_NODE)
    ]
    return LaidOutCluster(all_nodes=nodes, all_pods=pods)


def incidents_of(count: int) -> tuple[Inventory, list[tuple[Incident, Finding]]]:
    """Faults of one card each, a minute apart, over all nodes."""
    inventory, made = Inventory(), []
    for n in range(count):
        i = n % NODES
        at_ns = OPENED_NS - n * 60 * NS
        node = Subject("c", SubjectKind.NODE, f"uid-n{i}")
        card = Subject("c", SubjectKind.GPU, f"GPU-{n}")
        job = Subject("c", SubjectKind.JOB, f"uid-j{i // 8}/0")
        inventory.facts[node] = SubjectFacts(node, f"n{i}", None, {"rack": f"r{i // 8}"})
        inventory.facts[card] = SubjectFacts(card, "GPU 0", node, {"index": "0", "job": job.id})
        names = {"node": f"n{i}", "gpu": "0", "job": f"j{i // 8}"}
        evidence = tuple(
            Evidence("Xid 79", OPENED_NS, metric="xid", value=79.0, source=source) for source in ("nvml", "kernel_log")
        )
        finding = Finding(
            f"F-{n}", FindingKind.XID, card, Severity.CRITICAL, at_ns, at_ns, 0.95, "s", Origin.LIVE, evidence,
            related=(node, job), names=names,
        )  # fmt: skip
        incident = Incident(
            f"INC-{n}", IncidentState.OPEN, finding.id, (finding.id,), finding.kind, card, finding.severity, "t",
            at_ns, at_ns, at_ns, Origin.LIVE, names=names, kinds=(finding.kind,),
        )  # fmt: skip
        made.append((incident, finding))
    return inventory, made


if __name__ == "__main__":
    main()
