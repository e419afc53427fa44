"""A night's incidents for the tests of API, command line and web page: everything that they must be able to show."""

import math

import numpy as np

from agent.jobs.record import AttemptRecord, AttemptState, Checkpoint, Fault, JobNode, SaveState
from agent.store.chunks import ReadingsChunk
from agent.store.rows import JobSeen, NodeSeen
from agent.store.store import Store
from agent.watch import Changes
from collectors.model import Event, EventKind, EventSource, Origin, Subject, SubjectKind
from detectors.goodput import Account, Cause
from detectors.model import Evidence, Finding, FindingKind, Incident, IncidentState, Severity
from policies.executor import entry_for
from policies.journal import PlanState
from policies.model import Action, ActionKind, Decision, GuardWord, Mode, Verdict
from policies.plan import Blast, Step, StepKind, Target, make_plan

SECOND = 10**9
NOW = 1_795_332_730 * SECOND
"""2026-11-22 07:32:10 UTC."""
CLUSTER = "prod-eu"
HOSTILE = (
    "\x1b[2J\x1b]0;pwned\x07<script>alert(1)</script> [bold red]x[/] [link=http://evil]y[/link] "
    "\u202eevil\u202c \u2066z\u2069 :skull: {{7*7}}"
)
HOSTILE_SEEN = "<script>alert(1)</script> [bold red]x[/] [link=http://evil]y[/link] evil z :skull: {{7*7}}"
"""What is left of it as plain text."""


def subject(kind: SubjectKind, id_: str, cluster: str = CLUSTER) -> Subject:
    return Subject(cluster, kind, id_)


NODE = subject(SubjectKind.NODE, "node-uid-7")
JOB = subject(SubjectKind.JOB, "job-uid-llama")
GPUS = [subject(SubjectKind.GPU, f"GPU-{index:08x}-4d1c-9a70") for index in range(8)]
LOST = GPUS[3]
NAMES = {"node": "gpu-node-07", "gpu": "3", "rank": "59", "job": "llama-70b-pretrain"}


def finding(kind: FindingKind, about: Subject, since: int, **changes: object) -> Finding:
    values: dict[str, object] = {
        "id": f"F-{kind.value}",
        "kind": kind,
        "subject": about,
        "severity": Severity.CRITICAL,
        "opened_ns": since + 2 * SECOND,
        "since_ns": since,
        "confidence": 0.9,
        "summary": f"{kind.value} on {about.id}",
        "origin": Origin.LIVE,
        "names": NAMES,
    }
    return Finding(**(values | changes))


BEGAN = NOW - 760 * SECOND
XID_LINE = "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
LOST_FINDINGS = [
    finding(
        FindingKind.XID,
        LOST,
        BEGAN,
        summary="Xid 79 on gpu-node-07 GPU 3: the GPU has fallen off the bus",
        confidence=0.98,
        evidence=(
            Evidence(
                text="The driver reported Xid 79 and NVML lost the GPU 2.1 s later",
                time_ns=BEGAN,
                metric="xid",
                value=79,
                source="kernel_log",
                line=XID_LINE,
            ),
        ),
        related=(JOB, NODE, *GPUS[:3], *GPUS[4:]),
    ),
    finding(
        FindingKind.GPU_LOST,
        LOST,
        BEGAN + 2 * SECOND,
        summary="NVML no longer finds GPU 3 of gpu-node-07",
        evidence=(
            Evidence(
                text="7 of 8 GPUs answer; GPU 3 gives GPU_IS_LOST",
                time_ns=BEGAN + 2 * SECOND,
                metric="gpu_power_watts",
                value=0.0,
                expected=689.7,
                unit="watts",
                source="nvml",
            ),
        ),
    ),
    finding(
        FindingKind.COLLECTIVE_HANG,
        JOB,
        BEGAN + 6 * SECOND,
        severity=Severity.WARNING,
        confidence=0.85,
        summary="63 of 64 ranks of llama-70b-pretrain wait in NCCL at 100 % utilisation and 171 W",
        evidence=(
            Evidence(
                text="The waiting ranks draw a quarter of their own usual power",
                time_ns=BEGAN + 15 * SECOND,
                metric="gpu_power_watts",
                value=171.2,
                expected=691.0,
                unit="watts",
                source="nvml",
            ),
        ),
        names={"job": "llama-70b-pretrain"},
    ),
    finding(
        FindingKind.COLLECTIVE_TIMEOUT,
        JOB,
        BEGAN + 601 * SECOND,
        summary="NCCL's watchdog gave up on rank 12 after 600 s in ALLREDUCE 82898",
        evidence=(
            Evidence(
                text="Rank 12 reports a timeout of operation 82898",
                time_ns=BEGAN + 601 * SECOND,
                metric="collective_timeout",
                value=600.06,
                expected=600.0,
                unit="seconds",
                source="training_log",
                line="[rank12]:[E1122 07:29:31.105032424 ProcessGroupNCCL.cpp:689] [Rank 12] Watchdog caught "
                "collective operation timeout: WorkNCCL(SeqNum=82898, OpType=ALLREDUCE, NumelIn=262144, "
                "NumelOut=262144, Timeout(ms)=600000) ran for 600060 milliseconds before timing out.",
            ),
        ),
        names={"job": "llama-70b-pretrain", "rank": "12"},
    ),
    finding(
        FindingKind.JOB_CRASH,
        JOB,
        BEGAN + 604 * SECOND,
        summary="llama-70b-pretrain ended with exit code 134 on 8 of 8 nodes at step 41,872",
        names={"job": "llama-70b-pretrain"},
    ),
]


def incident(id_: str, findings: list[Finding], **changes: object) -> Incident:
    root = findings[0]
    values: dict[str, object] = {
        "id": id_,
        "state": IncidentState.OPEN,
        "root": root.id,
        "findings": tuple(one.id for one in findings),
        "kind": root.kind,
        "subject": root.subject,
        "severity": root.severity,
        "title": root.summary,
        "opened_ns": root.opened_ns,
        "since_ns": root.since_ns,
        "updated_ns": max(one.opened_ns for one in findings),
        "origin": root.origin,
        "names": root.names,
        "kinds": tuple(one.kind for one in findings),
    }
    return Incident(**(values | changes))


LOST_INCIDENT = incident(
    "INC-7f3a91c2",
    LOST_FINDINGS,
    title="GPU 3 of gpu-node-07 fell off the bus (Xid 79) and took llama-70b-pretrain with it",
)
LOST_DECISION = Decision(
    id="D-7f3a91c2-1",
    incident=LOST_INCIDENT.id,
    rule="gpu-lost",
    mode=Mode.AUDIT,
    verdict=Verdict.WOULD_DO,
    actions=(
        Action(ActionKind.CORDON, NODE, "gpu-node-07", undo="uncordon gpu-node-07"),
        Action(ActionKind.RESTART_JOB, JOB, "llama-70b-pretrain", undo="none: the job starts from its checkpoint"),
    ),
    guards=(
        GuardWord("G1", False, "mode is audit: nothing is touched"),
        GuardWord("G6", True, "1 of 128 nodes would be unavailable; the limit is 3"),
        GuardWord("G15", True, "two independent sources agree: kernel_log and nvml"),
    ),
    reason="Would cordon gpu-node-07 and restart llama-70b-pretrain elsewhere: Xid 79 needs a reset",
    decided_ns=BEGAN + 3 * SECOND,
    origin=Origin.LIVE,
)

HOSTILE_FINDING = finding(
    FindingKind.LOSS_NAN,
    subject(SubjectKind.JOB, "job-uid-evil"),
    NOW - 95 * SECOND,
    severity=Severity.WARNING,
    summary=f"The loss is NaN since step 900; the log says: {HOSTILE}",
    evidence=(
        Evidence(
            text=f"loss of step 900: {HOSTILE}",
            time_ns=NOW - 95 * SECOND,
            metric="training_step",
            value=math.nan,
            expected=math.inf,
            source="training_log",
            line=HOSTILE,
        ),
    ),
    names={"node": "gpu-node-11", "job": HOSTILE},
)
HOSTILE_INCIDENT = incident("INC-badc0de1", [HOSTILE_FINDING], title=f"Loss is NaN: {HOSTILE}")

REPLAY_FINDING = finding(
    FindingKind.STRAGGLER,
    subject(SubjectKind.GPU, "GPU-replayed", "recorded"),
    NOW - 86_400 * SECOND,
    severity=Severity.WARNING,
    summary="Rank 1 works at 1.67 GHz where its peers work at 1.95 GHz",
    origin=Origin.REPLAY,
    names={"node": "h200-ddp", "gpu": "1", "rank": "1"},
)
REPLAY_INCIDENT = incident("INC-7f9ea7b0", [REPLAY_FINDING])

PAST_FINDING = finding(
    FindingKind.DATALOADER_STALL,
    subject(SubjectKind.JOB, "job-uid-vision"),
    NOW - 9_000 * SECOND,
    severity=Severity.WARNING,
    summary="vision-vit-l waits 4.1 s per step for data",
    cleared_ns=NOW - 7_200 * SECOND,
    cleared_because="steps take 0.31 s again",
    names={"job": "vision-vit-l"},
)
PAST_INCIDENT = incident(
    "INC-00c4fe11",
    [PAST_FINDING],
    state=IncidentState.RESOLVED,
    resolved_ns=NOW - 7_200 * SECOND,
    resolved_because="all of its findings cleared",
)

EVENTS = [
    Event(
        EventKind.XID,
        LOST,
        BEGAN,
        EventSource.KERNEL_LOG,
        values={"code": 79.0},
        attributes={"pci_bus_id": "0000:3b:00.0"},
        line=XID_LINE,
    ),
    Event(EventKind.GPU_LOST, LOST, BEGAN + 2 * SECOND, EventSource.NVML),
    Event(EventKind.TRAINING_STEP, JOB, BEGAN - SECOND, EventSource.TRAINING_LOG, values={"step": 41_872.0}),
    Event(
        EventKind.PROCESS_EXIT,
        JOB,
        BEGAN + 604 * SECOND,
        EventSource.TRAINING_LOG,
        values={"exit_code": 134.0, "loss": math.nan},
    ),
]


def power_readings() -> ReadingsChunk:
    """13 minutes of power of eight GPUs, every 5 s: the third is lost, the others wait."""
    times = np.arange(BEGAN - 120 * SECOND, NOW, 5 * SECOND, dtype=np.int64)
    wave = 690 + 4 * np.sin(np.arange(len(times)))[:, None] + np.arange(8)[None, :] * 0.7
    values = np.where(times[:, None] < BEGAN + 4 * SECOND, wave, wave - 519).astype(np.float32)
    values[times > BEGAN, 3] = np.nan
    return ReadingsChunk(tuple(GPUS), ("gpu_power_watts",), times, values[:, None, :])


def died_attempt(job: str, name: str) -> AttemptRecord:
    """64 GPUs for ten hours, dead of the lost GPU: 8 of 14 GPU-hours a GPU productive."""
    hours = {Cause.START_UP: 1, Cause.PRODUCTIVE: 8, Cause.CHECKPOINT: 0.5, Cause.FAILURE: 0.5}
    wall = {cause: int(spent * 3600 * SECOND) for cause, spent in hours.items()}
    return AttemptRecord(
        origin=Origin.LIVE,
        cluster=CLUSTER,
        job=job,
        number=1,
        name=name,
        state=AttemptState.FAILED,
        started_ns=NOW - 36_000 * SECOND,
        as_of_ns=NOW,
        account=Account(wall, {cause: 64 * ns for cause, ns in wall.items()}, steps=41_872),
        began_because="first seen",
        base="STEPPING",
        gpus=64,
        nodes=(JobNode("node-uid-7", "gpu-node-07", "580.159"), JobNode("node-uid-8", "gpu-node-08", "580.159")),
        first_step=1,
        last_step=41_872,
        last_step_ns=BEGAN - SECOND,
        pace_ns=650_000_000,
        failed_since_ns=BEGAN,
        saves=(
            Checkpoint(41_000, SaveState.COMPLETE, NOW - 4000 * SECOND, NOW - 3900 * SECOND, f"/ckpt/{name}"),
            Checkpoint(41_800, SaveState.TORN, BEGAN - 20 * SECOND, None, f"/ckpt/{name}"),
        ),
        says_save_ends=True,
        fault=Fault(
            LOST_INCIDENT.id,
            LOST_INCIDENT.kind,
            LOST_INCIDENT.title if job == JOB.id else HOSTILE,
            LOST,
            BEGAN,
            BEGAN + 2 * SECOND,
            NAMES if job == JOB.id else {"node": HOSTILE, "job": HOSTILE},
            NODE.id,
            LOST_INCIDENT.kinds,
            (79,),
            deadly=True,
        ),
        first_rank="59",
        followed=63,
        notes=(f"the log says: {name}",),
    )


NODE_TARGET = Target("v1", "Node", "", "gpu-node-07", NODE.id)
JOB_TARGET = Target("batch/v1", "Job", "training", "llama-70b-pretrain", JOB.id)
LOST_PLAN = make_plan(
    LOST_INCIDENT.id,
    LOST_DECISION.id,
    "gpu-lost",
    (
        Step(StepKind.CORDON, NODE_TARGET, words="cordon node gpu-node-07"),
        Step(StepKind.RESTART_JOB, JOB_TARGET, {"pods_seen": "8"}, "restart Job training/llama-70b-pretrain, 8 pods"),
    ),
    Blast(nodes=1, pods=8, jobs=1, ranks=64, gpus=64, names=("gpu-node-07", "llama-70b-pretrain")),
    BEGAN + 3 * SECOND,
    deadline_ns=NOW + 3600 * SECOND,
)
HOSTILE_PLAN = make_plan(
    HOSTILE_INCIDENT.id,
    "D-evil",
    "loss",
    (Step(StepKind.RESTART_JOB, Target("batch/v1", "Job", "evil", HOSTILE, "job-uid-evil"), words=HOSTILE),),
    Blast(jobs=1, names=(HOSTILE,)),
    NOW - 90 * SECOND,
)
"""Names of jobs are the users' own."""


def tell_plans(store: Store) -> None:
    """Two that wait for a person."""
    for made in (LOST_PLAN, HOSTILE_PLAN):
        store.journal.open(entry_for(made, PlanState.AWAITING, reason=HOSTILE if made is HOSTILE_PLAN else ""))


def tell(store: Store) -> None:
    """Put all of it into a store."""
    store.save(
        Changes(
            findings=[*LOST_FINDINGS, HOSTILE_FINDING, REPLAY_FINDING, PAST_FINDING],
            incidents=[LOST_INCIDENT, HOSTILE_INCIDENT, REPLAY_INCIDENT, PAST_INCIDENT],
            decisions=[LOST_DECISION],
            events=EVENTS,
        )
    )
    nodes = [
        NodeSeen(
            CLUSTER, f"node-uid-{n}", f"gpu-node-{n:02}", Origin.LIVE, NOW - 10**15, NOW - 3 * SECOND, "580.159", 8
        )
        for n in range(1, 13)
    ]
    nodes[8] = NodeSeen(
        CLUSTER, "node-uid-9", "gpu-node-09", Origin.LIVE, NOW - 10**15, NOW - 300 * SECOND, "580.159", 8
    )
    nodes.append(NodeSeen("recorded", "h200", "h200-ddp", Origin.REPLAY, NOW - 10**14, NOW - 10**14, "580.159", 2))
    store.save_nodes(nodes)
    store.save_jobs(
        [
            JobSeen(
                CLUSTER,
                JOB.id,
                "llama-70b-pretrain",
                Origin.LIVE,
                NOW - 10**15,
                NOW - 150 * SECOND,
                64,
                41_872,
                BEGAN - SECOND,
                "failed",
            ),
            JobSeen(CLUSTER, "job-uid-evil", HOSTILE, Origin.LIVE, NOW - 10**14, NOW - SECOND),
        ]
    )
    store.keep_readings([power_readings()])
    store.save(Changes(jobs=[died_attempt(JOB.id, "llama-70b-pretrain"), died_attempt("job-uid-evil", HOSTILE)]))
    tell_plans(store)
