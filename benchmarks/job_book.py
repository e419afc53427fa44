"""What the book of jobs costs a tick: `python -m benchmarks.job_book [JOBS]`.

Jobs of 8 to 1,024 ranks that log a step a second each, with a save every five minutes and a finding on one job in a
hundred; an hour of them, a tick a second as a busy fleet has it. No detectors run: this is the book alone.
"""

import random
import resource
import sys
import time
from dataclasses import dataclass

import numpy as np

from agent.jobs.book import JobBook
from collectors.model import Event, EventKind, EventSource, Origin, Subject, SubjectFacts, SubjectKind
from detectors.frame import Columns
from detectors.model import Finding, FindingKind, Inventory, Severity
from detectors.view import Jobs

S = 10**9
T0 = 1_795_000_000 * S


@dataclass
class Engine:
    """As much of the engine as the book asks for."""

    inventory: Inventory
    jobs: Jobs
    columns: Columns


def main(count: int = 1_000, seconds: int = 1_200) -> None:
    """Print milliseconds a tick, and what the rows weigh."""
    rng = random.Random(1)
    inventory, columns, placed = Inventory(), Columns(), Jobs()
    subjects = [Subject("c", SubjectKind.JOB, f"job-{i}") for i in range(count)]
    gpus = []
    for job in subjects:
        for rank in range(rng.choice((8, 8, 8, 16, 64))):
            gpu = Subject("c", SubjectKind.GPU, f"{job.id}-{rank}")
            node = Subject("c", SubjectKind.NODE, f"{job.id}-node-{rank // 8}")
            inventory.facts[gpu] = SubjectFacts(gpu, gpu.id, node, {"job": job.id, "rank": str(rank)})
            gpus.append(gpu)
    inventory.generation += 1
    for gpu in gpus:
        columns.of(gpu)
    placed.follow(inventory, columns)
    engine, book = Engine(inventory, placed, columns), JobBook(Origin.LIVE)
    spent, rows = [], 0
    for second in range(1, seconds + 1):
        now_ns = T0 + second * S
        events = [
            Event(EventKind.TRAINING_STEP, job, now_ns - rng.randrange(S), EventSource.TRAINING_LOG, {"step": second})
            for job in subjects
        ]
        findings = []
        if second % 60 == 0:
            for job in rng.sample(subjects, max(1, count // 100)):
                id_ = f"F-{second}-{job.id}"
                findings.append(
                    Finding(
                        id_,
                        FindingKind.DATALOADER_STALL,
                        job,
                        Severity.WARNING,
                        now_ns,
                        now_ns - 20 * S,
                        0.9,
                        "",
                        Origin.LIVE,
                        cleared_ns=now_ns - S,
                    )
                )
        if second % 300 == 0:
            events += [
                Event(EventKind.CHECKPOINT_START, job, now_ns, EventSource.TRAINING_LOG, {"step": second})
                for job in subjects
            ]
        book.hear(events)
        began = time.thread_time()  # of this thread alone: the machine may be busy with other work
        rows += len(book.tick(now_ns, findings, [], {}, engine))
        spent.append(time.thread_time() - began)
    times = np.array(spent[60:]) * 1000
    weight = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} jobs, {len(gpus)} GPUs, a step a second each, {seconds} ticks of a second:")
    p50, p99, most = np.percentile(times, (50, 99, 100))
    print(
        f"tick p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {most:.1f} ms; {rows / seconds:.1f} rows/s; {weight:.0f} MiB"
    )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
