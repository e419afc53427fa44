"""Ten thousand findings in one second: how long the correlator takes, and how much it holds.

    python -m benchmarks.correlation_storm [--findings 10000]

Each storm is told in one tick, then a second tick in which every finding has gained evidence, then one in which all
have cleared.
"""

import argparse
import random
import time
import tracemalloc
from collections.abc import Callable

import msgspec

from collectors.model import Origin, Subject, SubjectKind
from detectors.correlation import Correlator
from detectors.model import Evidence, Finding, FindingKind, Severity

K = FindingKind
NS = 1_000_000_000


def finding(
    kind: FindingKind, card: int, since: float, job: str | None, *, about: SubjectKind = SubjectKind.GPU
) -> Finding:
    """A finding about card number `card` (eight a node, eight nodes a rack), its node or its job."""
    node = card // 8
    subject = {
        SubjectKind.GPU: Subject("c", SubjectKind.GPU, f"GPU-{card}"),
        SubjectKind.NODE: Subject("c", SubjectKind.NODE, f"uid-{node}"),
        SubjectKind.JOB: Subject("c", SubjectKind.JOB, f"uid-{job}"),
    }[about]
    related = [Subject("c", SubjectKind.NODE, f"uid-{node}")]
    names = {"node": f"n{node}", "gpu": str(card % 8), "rank": str(card), "rack": f"r{node // 8}"}
    if job is not None:
        related.append(Subject("c", SubjectKind.JOB, f"uid-{job}"))
        names["job"] = job
    at = int(since * NS)
    return Finding(
        id=f"F-{kind.value}-{subject.id}-{card}",
        kind=kind,
        subject=subject,
        severity=Severity.WARNING,
        opened_ns=101 * NS,
        since_ns=at,
        confidence=0.9,
        summary="as made up",
        origin=Origin.TEST,
        evidence=(Evidence("as made up", at, "made_up", 1.0, 0.0, source="nvml"),),
        related=tuple(one for one in related if one != subject),
        names=names,
    )


def one_kind(count: int) -> list[Finding]:
    """The whole fleet runs hot: one kind, many jobs."""
    return [finding(K.THERMAL_THROTTLE, card, 100, f"j{card // 64}") for card in range(count)]


def one_job(count: int) -> list[Finding]:
    """One job of half as many ranks: every rank times out and dies."""
    half = count // 2
    out = [finding(K.COLLECTIVE_TIMEOUT, card, 90, "big") for card in range(half)]
    return out + [finding(K.RANK_CRASH, card, 92, "big") for card in range(count - half)]


def slow_ranks(count: int) -> list[Finding]:
    """Half heat, half stragglers of the same cards, one job."""
    half = count // 2
    out = [finding(K.THERMAL_THROTTLE, card, 80, "big") for card in range(half)]
    return out + [finding(K.STRAGGLER, card, 90, "big") for card in range(count - half)]


def apart(count: int) -> list[Finding]:
    """A kind that makes no waves, all in one job: as many incidents as findings."""
    return [finding(K.STRAGGLER, card, 100, "big") for card in range(count)]


def everything(count: int) -> list[Finding]:
    """Any kind anywhere, jobs of 64 ranks."""
    made: dict[str, Finding] = {}
    rand = random.Random(1)
    kinds = [kind for kind in K if kind is not K.UNUSUAL]
    while len(made) < count:
        card = rand.randrange(40_000)
        known = finding(rand.choice(kinds), card, rand.uniform(40, 100), f"j{card // 64}")
        made[known.id] = known
    return list(made.values())


def everything_with_unusual(count: int) -> list[Finding]:
    """The same, half of it merely unusual."""
    half = everything(count // 2)
    return half + [finding(K.UNUSUAL, card, 100, f"j{card // 64}") for card in range(count - len(half))]


STORMS: tuple[Callable[[int], list[Finding]], ...] = (
    one_kind,
    one_job,
    slow_ranks,
    apart,
    everything,
    everything_with_unusual,
)


def main() -> None:
    """Print one line a storm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", type=int, default=10_000)
    parser.add_argument("--memory", action="store_true", help="measure memory too (slower)")
    count = parser.parse_args().findings
    memory = parser.parse_args().memory
    print(f"{'storm':26s} {'told s':>7s} {'again s':>8s} {'cleared s':>9s} {'over s':>7s} {'incidents':>9s}  MiB")
    for storm in STORMS:
        findings = storm(count)
        correlator = Correlator("c")
        if memory:
            tracemalloc.start()
        spent = [_timed(lambda: correlator.update(findings, 101 * NS))]  # noqa: B023 - run at once
        held = tracemalloc.get_traced_memory()[0] / 2**20 if memory else float("nan")
        if memory:
            tracemalloc.stop()
        incidents = len(correlator.unresolved)
        again = [msgspec.structs.replace(f, evidence=f.evidence * 2) for f in findings]
        spent.append(_timed(lambda: correlator.update(again, 106 * NS)))  # noqa: B023 - run at once
        cleared = [msgspec.structs.replace(f, cleared_ns=200 * NS) for f in again]
        spent.append(_timed(lambda: correlator.update(cleared, 200 * NS)))  # noqa: B023 - run at once
        spent.append(_timed(lambda: correlator.update([], 240 * NS)))  # noqa: B023 - run at once
        told, more, over, rest = spent
        print(f"{storm.__name__:26s} {told:7.2f} {more:8.2f} {over:9.2f} {rest:7.2f} {incidents:9d}  {held:.0f}")


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
