"""Small charts of the readings that an incident's evidence names: the subject itself, its peers, and when it began.

Drawn as SVG by the template from plain numbers, without script, styled by the one stylesheet.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agent.api.words import figure
from agent.store.store import Store
from collectors.model import CATALOGUE, MetricType, Subject, SubjectKind
from detectors.model import Finding, Incident

WIDTH, HEIGHT = 640, 150
"""Of the drawing area, in the SVG's own units."""
BEFORE_NS = 180 * 10**9
AFTER_NS = 60 * 10**9
LONGEST_NS = 20 * 60 * 10**9
MOST_CHARTS = 4
MOST_PEERS = 15
MOST_POINTS = 320
GAP_NS = 30 * 10**9
"""A longer pause between two readings is drawn as a pause."""


@dataclass(frozen=True, slots=True)
class Series:
    """One subject's readings."""

    name: str
    guilty: bool
    lines: list[str]
    """`points` of SVG polylines, one for each stretch without a gap."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One metric over the time of the incident."""

    metric: str
    title: str
    series: list[Series]
    since_x: float
    opened_x: float
    ticks_y: list[tuple[float, str]]
    start_ns: int
    end_ns: int
    summary: str
    """For those who cannot see it."""


def charts_of(
    store: Store,
    incident: Incident,
    findings: Sequence[Finding],
    peers: Sequence[Subject],
    now_ns: int | None,
    since_of: Callable[[Subject], int | None] = lambda _subject: 0,
) -> list[Chart]:
    """At most MOST_CHARTS, in the order in which the evidence names their metrics. `peers` are drawn beside; `now_ns`:
    None for what has a clock of its own. `since_of`: from when on the reader may read a subject; None: never."""
    start = incident.since_ns - BEFORE_NS
    last = incident.resolved_ns or max(incident.updated_ns, incident.opened_ns)
    end = min(last + AFTER_NS, incident.since_ns + LONGEST_NS)
    if now_ns is not None:
        end = min(end, now_ns)
    made = []
    for metric, subjects in _wanted(incident, findings, peers):
        chart = _chart(store, incident, metric, subjects, start, max(end, start + 1), since_of)
        if chart is not None:
            made.append(chart)
        if len(made) == MOST_CHARTS:
            break
    return made


def _wanted(
    incident: Incident, findings: Sequence[Finding], peers: Sequence[Subject]
) -> Iterable[tuple[str, dict[Subject, str]]]:
    """Gauges that the evidence was read from, with the GPUs concerned: the guilty first, by name where known."""
    names: dict[Subject, str] = {}
    for finding in findings:
        if finding.subject.kind is SubjectKind.GPU:
            names.setdefault(finding.subject, _name(finding))
    root = next((finding for finding in findings if finding.id == incident.root), None)
    for finding in (root, *findings) if root is not None else findings:
        for subject in finding.related:
            if subject.kind is SubjectKind.GPU:
                names.setdefault(subject, "")
    for subject in peers:
        names.setdefault(subject, "")
    metrics: dict[str, None] = {}
    for finding in findings:
        for evidence in finding.evidence:
            metric = CATALOGUE.get(evidence.metric)
            if metric is not None and metric.type is MetricType.GAUGE and metric.unit not in ("bitmask", "code"):
                metrics[evidence.metric] = None
    return [(metric, names) for metric in metrics] if names else []


def _name(finding: Finding) -> str:
    rank = f"rank {finding.names['rank']}" if "rank" in finding.names else ""
    gpu = f"GPU {finding.names['gpu']}" if "gpu" in finding.names else ""
    return ", ".join(part for part in (finding.names.get("node", ""), gpu, rank) if part)


def _chart(
    store: Store,
    incident: Incident,
    metric: str,
    subjects: dict[Subject, str],
    start: int,
    end: int,
    since_of: Callable[[Subject], int | None],
) -> Chart | None:
    read: list[tuple[str, bool, list[tuple[int, float]]]] = []
    for subject, name in list(subjects.items())[: MOST_PEERS + 1]:
        since = since_of(subject)
        if since is None or since >= end:
            continue
        times, values = store.readings(subject, metric, max(start, since), end)
        points = [(int(time), float(value)) for time, value in zip(times, values, strict=True) if math.isfinite(value)]
        if len(points) > 1:
            read.append((name, bool(name), thinned(points)))
    if not read:
        return None
    values_seen = [value for _, _, points in read for _, value in points]
    about = CATALOGUE[metric]
    base = 2.0**30 if about.unit == "bytes" else 1.0
    low, high = (end * base for end in bounds(min(values_seen) / base, max(values_seen) / base))

    def x_of(time_ns: int) -> float:
        return round((time_ns - start) / (end - start) * WIDTH, 1)

    def y_of(value: float) -> float:
        return round((high - value) / (high - low) * HEIGHT, 1)

    series = [
        Series(name, guilty, [" ".join(f"{x_of(t)},{y_of(v)}" for t, v in part) for part in stretches(points)])
        for name, guilty, points in read
    ]
    # Peers first, so that the guilty line is drawn over them.
    series.sort(key=lambda one: one.guilty)
    named = ", ".join(name for name, guilty, _ in read if guilty)
    return Chart(
        metric=metric,
        title=about.help.rstrip("."),
        series=series,
        since_x=max(0.0, x_of(incident.since_ns)),
        opened_x=min(float(WIDTH), max(0.0, x_of(incident.opened_ns))),
        ticks_y=[(y_of(value), figure(value, about.unit)) for value in (low, (low + high) / 2, high)],
        start_ns=start,
        end_ns=end,
        summary=f"{metric} of {named or 'the GPUs concerned'}, between {figure(min(values_seen), about.unit)} "
        f"and {figure(max(values_seen), about.unit)}",
    )


def bounds(low: float, high: float) -> tuple[float, float]:
    """Round ends of an axis that holds both; from zero where that wastes less than half of it.

    >>> bounds(169.2, 693.0)
    (0.0, 700.0)
    """
    if low == high == 0:
        return 0.0, 1.0
    if 0 <= low <= high * 0.6:
        low = 0.0
    # A flat line is seen against a hundredth of its height, not against its own noise.
    span = max(high - low, max(abs(low), abs(high)) / 100, 1e-9)
    step = 10.0 ** math.floor(math.log10(span))
    for size in (step / 5, step / 2, step, step * 2):
        if span / size <= 8:
            step = size
            break
    bottom, top = math.floor(low / step) * step, math.ceil(high / step) * step
    return bottom, top if top > bottom else bottom + step


def thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most about MOST_POINTS: of each bucket its least and its greatest, so that no spike is lost."""
    if len(points) <= MOST_POINTS:
        return points
    size = math.ceil(len(points) / (MOST_POINTS // 2))
    kept: list[tuple[int, float]] = []
    for index in range(0, len(points), size):
        bucket = points[index : index + size]
        ends = {min(bucket, key=lambda point: point[1]), max(bucket, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def stretches(points: list[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """The points in pieces without a gap longer than GAP_NS; single points are left out."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for point in points:
        if pieces[-1] and point[0] - pieces[-1][-1][0] > GAP_NS:
            pieces.append([])
        pieces[-1].append(point)
    return [piece for piece in pieces if len(piece) > 1]
