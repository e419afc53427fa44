"""Two tenants on one cluster: `team-a`, whose reader asks, and `team-zebra`, whose every text bears the word zebra.

Whatever bears that word may not reach a reader of team-a: jobs, pods, cards, log lines, notes, reasons, names of nodes
that nobody of team-a is on.
"""

from array import array

import numpy as np
from api_story import BEGAN, NOW, SECOND, died_attempt, finding, incident
from msgspec.structs import replace

from agent.incidents.desk import Desk
from agent.incidents.namespaces import ATTRIBUTE
from agent.server.spaces import Spaces
from agent.store.chunks import ReadingsChunk
from agent.store.rows import JobSeen, Judgement, NodeSeen
from agent.store.store import Store
from agent.watch import Changes, Watch
from collectors.model import (
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
    Table,
)
from detectors.inventory import Source
from detectors.model import Evidence, FindingKind, IncidentState
from policies.executor import entry_for
from policies.journal import PlanState
from policies.model import Action, ActionKind, Decision, GuardWord, Mode, Verdict
from policies.plan import Blast, Step, StepKind, Target, make_plan

CLUSTER = "prod-eu"
MARK = "zebra"
OURS, THEIRS = "team-a", f"team-{MARK}"


def about(kind: SubjectKind, id_: str) -> Subject:
    return Subject(CLUSTER, kind, id_)


NODE, THEIR_NODE = about(SubjectKind.NODE, "uid-shared"), about(SubjectKind.NODE, f"uid-{MARK}")
BARE_NODE = about(SubjectKind.NODE, f"uid-bare-{MARK}")
GPU, THEIR_GPU = about(SubjectKind.GPU, "GPU-ours"), about(SubjectKind.GPU, f"GPU-{MARK}")
POD, THEIR_POD = about(SubjectKind.POD, "pod-ours"), about(SubjectKind.POD, f"pod-{MARK}")
JOB, THEIR_JOB = about(SubjectKind.JOB, "job-ours/0"), about(SubjectKind.JOB, f"job-{MARK}/0")
HELD_SINCE = NOW - 3_000 * SECOND
"""Since when our pod holds our card: the readings before are another's."""


def tenants_watch() -> Spaces:
    """A live watch over a node with a card of each tenant, and one that is theirs alone."""
    facts = (
        SubjectFacts(NODE, "node-shared"),
        SubjectFacts(THEIR_NODE, f"node-{MARK}"),
        SubjectFacts(GPU, "GPU-ours", NODE, {"index": "0", "pod_uid": POD.id, "namespace": OURS, "job": JOB.id}),
        SubjectFacts(
            THEIR_GPU,
            THEIR_GPU.id,
            NODE,
            {"index": "1", "pod_uid": THEIR_POD.id, "namespace": THEIRS, "job": THEIR_JOB.id},
        ),
    )
    subjects = (NODE, GPU, THEIR_GPU)
    power = array("f", [690.0, 690.0]).tobytes()
    table = Table(times_ns=(HELD_SINCE - SECOND,), metrics=("gpu_power_watts",), subjects=(1, 2), data=power)
    batch = Batch(
        WIRE_VERSION, Origin.LIVE, NODE, "boot", "spool", 1, HELD_SINCE, subjects, facts=facts, tables=(table,)
    )
    spaces = Spaces(Watch)
    space = spaces.space_for(batch)
    space.receive(batch, HELD_SINCE)
    space.advance(HELD_SINCE + 10 * SECOND)
    inventory = space.watch.engine.inventory  # type: ignore[attr-defined]  # a whole watch
    pods = [
        SubjectFacts(POD, f"{OURS}/ours-0", NODE, {"namespace": OURS, "job": JOB.id}),
        SubjectFacts(THEIR_POD, f"{THEIRS}/{MARK}-0", NODE, {"namespace": THEIRS, "job": THEIR_JOB.id}),
        SubjectFacts(JOB, "train", None, {"owner": "job-ours", "namespace": OURS}),
        SubjectFacts(THEIR_JOB, f"secret-{MARK}", None, {"owner": f"job-{MARK}", "namespace": THEIRS}),
    ]
    inventory.tell(Source.KUBERNETES, pods, HELD_SINCE)
    racks = {(SubjectKind.NODE, name): {"rack": f"rack-{MARK}"} for name in ("node-shared", f"node-{MARK}")}
    inventory.tell(Source.KUBERNETES, [SubjectFacts(NODE, "node-shared", None, {"rack": "r7"})], HELD_SINCE)
    inventory.tell_by_name(Source.CSV, racks, HELD_SINCE)
    return spaces


def said(text: str, line: str = "", source: str = "nvml") -> Evidence:
    return Evidence(text=text, time_ns=BEGAN, metric="gpu_power_watts", value=171.0, source=source, line=line)


OUR_NAMES = {"node": "node-shared", "gpu": "0", "rank": "3", "job": "train"}
THEIR_NAMES = {"node": "node-shared", "gpu": "1", "rank": "0", "job": f"secret-{MARK}"}
K = FindingKind
SLOW = finding(
    K.STRAGGLER,
    GPU,
    BEGAN,
    id="F-ours-slow",
    summary="rank 3 of train is slow",
    evidence=(said("its clock is down", "[rank3] step 41"),),
    related=(JOB, NODE),
    names=OUR_NAMES,
    namespaces=(OURS,),
)
OUR_CRASH = finding(
    K.JOB_CRASH, JOB, BEGAN, id="F-ours-crash", summary="train ended", names={"job": "train"}, namespaces=(OURS,)
)
THEIR_XID = finding(
    K.XID,
    THEIR_GPU,
    BEGAN + SECOND,
    id="F-theirs-xid",
    summary=f"Xid 79 under {MARK}",
    evidence=(said(f"process {MARK} died", f"NVRM: Xid 79, name={MARK}", "kernel_log"),),
    related=(THEIR_JOB, NODE),
    names=THEIR_NAMES,
    namespaces=(THEIRS,),
)
THEIR_CRASH = finding(
    K.JOB_CRASH,
    THEIR_JOB,
    BEGAN,
    id="F-theirs-crash",
    summary=f"{MARK} crashed",
    names=THEIR_NAMES,
    namespaces=(THEIRS,),
)
NODE_LOST = finding(
    K.TELEMETRY_LOST,
    NODE,
    BEGAN,
    id="F-both-lost",
    summary=f"node-shared is silent; secret-{MARK} runs there",
    evidence=(said(f"no batch; pod {MARK}-0 was there"),),
    related=(JOB, THEIR_JOB),
    names={"node": "node-shared", "job": f"secret-{MARK}"},
    namespaces=(OURS, THEIRS),
)
OUR_HANG = finding(
    K.COLLECTIVE_HANG,
    JOB,
    BEGAN + SECOND,
    id="F-ours-hang",
    summary="train hangs",
    evidence=(said("ranks wait", "[rank0] waiting"),),
    names={"job": "train"},
    namespaces=(OURS,),
)
THEIR_HANG = finding(
    K.COLLECTIVE_HANG,
    THEIR_JOB,
    BEGAN + SECOND,
    id="F-theirs-hang",
    summary=f"{MARK} hangs",
    evidence=(said(f"ranks of {MARK}", f"[rank0] {MARK}"),),
    names={"job": f"secret-{MARK}"},
    namespaces=(THEIRS,),
)
BARE_CLOCK = finding(
    K.CLOCK_OFFSET, BARE_NODE, BEGAN, id="F-bare", summary=f"clock of node-bare-{MARK}", names={"node": f"bare-{MARK}"}
)
OLD = finding(K.LOSS_SPIKE, JOB, BEGAN, id="F-old", summary=f"from before: {MARK}", names={"job": f"old-{MARK}"})
KERNEL = finding(
    K.HOST_STALL,
    NODE,
    BEGAN,
    id="F-ours-host",
    summary=f"the host stalls under {MARK}d",
    evidence=(said("a task hangs", f"INFO: task {MARK}d:17 blocked", "kernel_log"),),
    names={"node": "node-shared"},
    namespaces=(OURS,),
)
FINDINGS = [SLOW, OUR_CRASH, THEIR_XID, THEIR_CRASH, NODE_LOST, OUR_HANG, THEIR_HANG, BARE_CLOCK, OLD, KERNEL]

OUR_INCIDENT = incident("INC-OURSAAAA", [SLOW, OUR_CRASH], namespaces=(OURS,), gpus={"train": 8})
OUR_PAST = incident(
    "INC-OURSPAST",
    [replace(SLOW, id="F-ours-past", cleared_ns=NOW - SECOND)],
    namespaces=(OURS,),
    state=IncidentState.RESOLVED,
    opened_ns=BEGAN - 5_000 * SECOND,
    resolved_ns=NOW - SECOND,
    resolved_because="its clock is back",
)
MIXED = incident(
    "INC-MIXEDAAA",
    [NODE_LOST, THEIR_HANG, OUR_HANG],
    title=f"node-shared lost, with secret-{MARK}",
    namespaces=(OURS, THEIRS),
    gpus={"train": 8, f"secret-{MARK}": 64},
)
LED_BY_THEM = incident("INC-MIXEDBBB", [THEIR_XID, SLOW], title=f"{MARK} took train", namespaces=(OURS, THEIRS))
EMPTIED = incident("INC-MIXEDCCC", [THEIR_CRASH], title=f"{MARK} alone now", namespaces=(OURS, THEIRS))
HOST = incident("INC-OURSHOST", [KERNEL], title=f"host of {MARK}d", namespaces=(OURS,))
THEIR_INCIDENT = incident("INC-ZEBRAAAA", [THEIR_XID, THEIR_CRASH], namespaces=(THEIRS,))
THEIR_PAST = incident(
    "INC-ZEBRAPST",
    [replace(THEIR_XID, id="F-theirs-past", cleared_ns=NOW - SECOND)],
    namespaces=(THEIRS,),
    state=IncidentState.RESOLVED,
    resolved_ns=NOW - SECOND,
    resolved_because=f"{MARK} is back",
)
BARE = incident("INC-ZEBRABAR", [BARE_CLOCK])
BEFORE_US = incident("INC-ZEBRAOLD", [OLD], title=f"from before: {MARK}")
"""Of an agent that did not know namespaces yet."""
INCIDENTS = [OUR_INCIDENT, OUR_PAST, MIXED, LED_BY_THEM, EMPTIED, HOST, THEIR_INCIDENT, THEIR_PAST, BARE, BEFORE_US]
SEEN = [OUR_INCIDENT, OUR_PAST, MIXED, LED_BY_THEM, EMPTIED, HOST]
HIDDEN = [THEIR_INCIDENT, THEIR_PAST, BARE, BEFORE_US]


def decision_on(id_: str) -> Decision:
    """What is decided about anything speaks of everybody."""
    return Decision(
        id=f"D-{id_}",
        incident=id_,
        rule="gpu-lost",
        mode=Mode.APPROVE,
        verdict=Verdict.REFUSED,
        actions=(
            Action(ActionKind.CORDON, THEIR_NODE, f"node-{MARK}", undo=f"uncordon node-{MARK}"),
            Action(ActionKind.RESTART_JOB, JOB, "train", undo=f"none, and {MARK} stays"),
        ),
        guards=(GuardWord("G5", False, f"pod {THEIRS}/{MARK}-0 is protected"),),
        reason=f"would move {MARK}",
        decided_ns=NOW - SECOND,
        origin=Origin.LIVE,
    )


def event(subject: Subject, line: str, namespaces: str = "", kind: EventKind = EventKind.XID) -> Event:
    attributes = {ATTRIBUTE: namespaces} if namespaces else {}
    return Event(kind, subject, BEGAN, EventSource.KERNEL_LOG, attributes=attributes, line=line)


EVENTS = [
    event(GPU, "NVRM: Xid 31 of ours", OURS),
    event(GPU, f"NVRM: Xid 32 when {MARK} had it", f"{OURS},{THEIRS}"),
    event(GPU, f"NVRM: Xid 43 of nobody knows, {MARK}"),
    event(JOB, "our log says", OURS, EventKind.PROCESS_EXIT),
    event(THEIR_JOB, f"their log says {MARK}", THEIRS, EventKind.PROCESS_EXIT),
    event(NODE, f"task {MARK}d blocked", OURS),
    event(THEIR_GPU, f"NVRM: Xid 79 of {MARK}", THEIRS),
]

JOB_TARGET = Target("batch/v1", "Job", OURS, "train", "job-ours")
OUR_PLAN = make_plan(
    OUR_INCIDENT.id,
    f"D-{OUR_INCIDENT.id}",
    "restart",
    (Step(StepKind.RESTART_JOB, JOB_TARGET, words="restart Job team-a/train"),),
    Blast(jobs=1, pods=1, names=("job train",)),
    NOW - 20 * SECOND,
)
NODE_PLAN = make_plan(
    OUR_INCIDENT.id,
    f"D-{OUR_INCIDENT.id}",
    "cordon",
    (
        Step(StepKind.CORDON, Target("v1", "Node", "", f"node-{MARK}", THEIR_NODE.id), words=f"cordon node-{MARK}"),
        Step(StepKind.RESTART_JOB, JOB_TARGET),
    ),
    Blast(nodes=1, names=(f"pod {THEIRS}/{MARK}-0",)),
    NOW - 30 * SECOND,
)
THEIR_PLAN = make_plan(
    THEIR_INCIDENT.id,
    f"D-{THEIR_INCIDENT.id}",
    "restart",
    (
        Step(
            StepKind.RESTART_JOB,
            Target("batch/v1", "Job", THEIRS, f"secret-{MARK}", f"job-{MARK}"),
            words=f"restart {MARK}",
        ),
    ),
    Blast(jobs=1, names=(f"job secret-{MARK}",)),
    NOW - 10 * SECOND,
)
MIXED_PLAN = make_plan(
    MIXED.id,
    f"D-{MIXED.id}",
    "restart",
    (Step(StepKind.RESTART_JOB, JOB_TARGET, words=f"restart train, as {MARK} went"),),
    Blast(jobs=1, names=("job train",)),
    NOW - 15 * SECOND,
)
PLANS = [OUR_PLAN, NODE_PLAN, THEIR_PLAN, MIXED_PLAN]


def _readings() -> list[ReadingsChunk]:
    """A card that others held before us: 111 W then, 690 W since."""
    times = np.arange(HELD_SINCE - 600 * SECOND, NOW, 30 * SECOND, dtype=np.int64)
    values = np.where(times[:, None] < HELD_SINCE, 111.0, 690.0).astype(np.float32)
    both = np.concatenate([values, values - 77], axis=1)
    return [ReadingsChunk((GPU, THEIR_GPU), ("gpu_power_watts",), times, both[:, None, :])]


def tell_tenants(store: Store) -> None:
    """Put all of it into a store, and let people speak."""
    past = [replace(SLOW, id="F-ours-past", cleared_ns=NOW - SECOND), replace(THEIR_XID, id="F-theirs-past")]
    store.save(
        Changes(
            findings=[*FINDINGS, *past],
            incidents=INCIDENTS,
            decisions=[decision_on(one.id) for one in INCIDENTS],
            events=EVENTS,
        )
    )
    ours = replace(died_attempt(JOB.id, "train"), namespaces=(OURS,), nodes=(), first_rank="3", notes=())
    fault = replace(ours.fault, incident=OUR_INCIDENT.id, title="rank 3 of train is slow", names=OUR_NAMES, node_id="")
    theirs = replace(
        ours, job=THEIR_JOB.id, name=f"secret-{MARK}", namespaces=(THEIRS,), notes=(f"{MARK} says",), fault=fault
    )
    by_them = replace(fault, incident=LED_BY_THEM.id, title=f"{MARK} took train", names=THEIR_NAMES, signature=MARK)
    by_bare = replace(fault, incident=BARE.id, title=f"clock of {MARK}", names={"node": f"bare-{MARK}"}, signature=MARK)
    namesake = replace(theirs, job=f"job-{MARK}-2/0", name="train")
    attempts = [
        replace(ours, fault=fault),
        replace(ours, job="job-ours-2/0", name="train-2", fault=by_them),
        replace(ours, job="job-ours-3/0", name="train-3", fault=by_bare),
        replace(ours, job=f"job-{MARK}-3/0", name=f"unknown-{MARK}", namespaces=(OURS, "")),
        theirs,
        namesake,
    ]
    store.save(Changes(jobs=attempts))
    store.save_jobs(
        [
            JobSeen(CLUSTER, attempt.job, attempt.name, Origin.LIVE, NOW - 10**13, NOW - SECOND, 8, 41, NOW, "failed")
            for attempt in attempts
        ]
        + [JobSeen(CLUSTER, f"job-{MARK}-4/0", f"never-placed-{MARK}", Origin.LIVE, NOW - 10**13, NOW)]
    )
    store.save_nodes(
        [
            NodeSeen(CLUSTER, node.id, name, Origin.LIVE, NOW - 10**13, NOW - SECOND, "580", 2)
            for node, name in ((NODE, "node-shared"), (THEIR_NODE, f"node-{MARK}"), (BARE_NODE, f"bare-{MARK}"))
        ]
    )
    store.keep_readings(_readings())
    for plan in PLANS:
        reason = "waits" if plan is OUR_PLAN else f"waits for {MARK}"
        store.journal.open(entry_for(plan, PlanState.AWAITING, reason=reason))
    desk = Desk(store)
    for one in INCIDENTS:
        note = "ours to look at" if one in (OUR_INCIDENT, OUR_PAST) else f"{MARK} again"
        desk.judge(one, Judgement.TRUE, "night-shift", NOW - SECOND, note)
        if one.state is IncidentState.OPEN:
            desk.snooze(one, "night-shift", NOW + 3600 * SECOND, NOW - SECOND, note)
            desk.acknowledge(one, "night-shift", NOW - SECOND)
    store.journal.pause(f"the admin of {MARK}", f"maintenance of {MARK}", NOW - SECOND)
