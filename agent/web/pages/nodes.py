"""`/nodes`: every node with its GPUs, coloured by the worst open finding; and the jobs."""

from collections import defaultdict
from dataclasses import dataclass

from starlette.requests import Request

from agent.access.cut import Shown, shown
from agent.access.visible_jobs import jobs as jobs_of
from agent.access.visible_nodes import nodes as nodes_of
from agent.api.as_live import as_live_of
from agent.api.contradictions import contradictions_in
from agent.api.operation import now_ns_of
from agent.store.rows import NodeSeen
from agent.store.store import Store
from agent.web.pages.overview import RANK, SILENT_NS
from agent.web.render import View, page, visible_of
from collectors.model import Origin
from detectors.model import Finding, Severity

MOST_NODES = 500
"""On one page: those with findings first, then those unheard of, then by name."""
MOST_GPUS = 32
"""Squares in a row."""
MOST_JOBS = 200
MOST_AGAINST = 50
"""Contradictions; the command lists more."""


@dataclass(frozen=True, slots=True)
class Square:
    """One GPU of a node."""

    index: int
    severity: Severity | None
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One node."""

    node: NodeSeen
    squares: list[Square]
    silent: bool
    findings: list[Finding]
    """Those not about one of its GPUs."""
    worst: Severity | None


def row_of(node: NodeSeen, findings: list[Finding], now_ns: int | None) -> Row:
    """A node with its open findings. `now_ns`: None for what has a clock of its own."""
    by_gpu: dict[int, list[Finding]] = defaultdict(list)
    rest: list[Finding] = []
    for finding in findings:
        index = finding.names.get("gpu", "")
        if index.isascii() and index.isdigit() and int(index) < MOST_GPUS:
            by_gpu[int(index)].append(finding)
        else:
            rest.append(finding)
    count = min(MOST_GPUS, max([node.gpus, *(index + 1 for index in by_gpu)]))
    squares = [
        Square(index, worst_of(by_gpu[index]), tuple(sorted({finding.kind.value for finding in by_gpu[index]})))
        for index in range(count)
    ]
    silent = now_ns is not None and now_ns - node.last_seen_ns > SILENT_NS
    return Row(node, squares, silent, rest, worst_of(findings))


def worst_of(findings: list[Finding]) -> Severity | None:
    """The worst severity; None where nothing is open."""
    return min((finding.severity for finding in findings), key=RANK.__getitem__, default=None)


def nodes_page(request: Request) -> View:
    """GET /nodes"""
    store: Store = request.app.state.store
    now_ns = now_ns_of(request)
    by_node: dict[tuple[str, str, Origin], list[Finding]] = defaultdict(list)
    visible, spaces = visible_of(request), request.app.state.watches
    for finding in store.open_findings():
        if visible.limited and shown(visible.sight, finding) is Shown.HIDDEN:
            continue
        by_node[finding.subject.cluster, finding.names.get("node", ""), finding.origin].append(finding)
    as_live = as_live_of(request)
    mine, hidden = nodes_of(visible, spaces)
    rows = [
        row_of(node, by_node[node.cluster, node.name, node.origin], now_ns if node.origin in as_live else None)
        for node in mine
    ]
    rows.sort(key=lambda row: (3 if row.worst is None else RANK[row.worst], not row.silent, row.node.name))
    listed, jobs_hidden = jobs_of(visible, None)
    jobs = sorted((job for job, _ in listed), key=lambda job: -job.last_seen_ns)
    against, against_hidden = contradictions_in(spaces, visible)
    shows = {
        "against": against[:MOST_AGAINST],
        "more_against": max(0, len(against) - MOST_AGAINST),
        "title": "Nodes - Watchstander",
        "rows": rows[:MOST_NODES],
        "more": max(0, len(rows) - MOST_NODES),
        "jobs": jobs[:MOST_JOBS],
        "hidden": hidden,
        "jobs_hidden": jobs_hidden,
        "against_hidden": against_hidden,
    }
    return View("nodes.html", shows)


ROUTES = [page("/nodes", nodes_page, cut=True)]
