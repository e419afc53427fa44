"""First sight of a node is its baseline; a roll-out, a deletion and a reboot have their reasons."""

import numpy as np
import pytest

from agent.watch import Changes, Watch
from collectors.model import (
    Batch,
    Event,
    EventKind,
    EventSource,
    MetricType,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
    Table,
)
from collectors.model.metrics import CATALOGUE
from detectors.inventory import Source
from detectors.model import FindingKind

S = 1_000_000_000
T0 = 1_800_000_000 * S
GAUGES = {"gpu_utilization_ratio": 0.99, "gpu_power_watts": 600.0, "gpu_sm_clock_hertz": 1.8e9}


def node(number: int) -> Subject:
    return Subject("c", SubjectKind.NODE, f"uid-{number}")


def cards(number: int, count: int) -> tuple[Subject, ...]:
    return tuple(Subject("c", SubjectKind.GPU, f"GPU-{number}-{i}") for i in range(count))


def table(count: int, at_ns: int, readings: dict[str, float]) -> Table:
    counter = CATALOGUE[next(iter(readings))].type is MetricType.COUNTER
    block = np.array([[[value] * count for value in readings.values()]], "<i8" if counter else "<f4")
    return Table(tuple(readings), tuple(range(count)), (at_ns,), block.tobytes())


class Fleet:
    """Nodes that send to one live watch."""

    def __init__(self, nodes: int, gpus: int = 2) -> None:
        self.watch = Watch(Origin.LIVE, "c")
        self.nodes, self.gpus = nodes, gpus
        self.now_ns = T0
        self.changes = Changes()

    def send(
        self,
        number: int,
        *events: Event,
        look: bool = True,
        boot: str = "boot",
        counters: dict[str, float] | None = None,
        late_s: float = 0.0,
    ) -> None:
        """One batch of one node, now; `late_s`: it waited so long in the spool."""
        there_ns = self.now_ns - int(late_s * S)
        tables = [table(self.gpus, there_ns, GAUGES)] if look else []
        if counters:
            tables.append(table(self.gpus, there_ns, counters))
        facts = tuple(
            SubjectFacts(card, f"n{number}/gpu{i}", node(number), {"index": str(i)})
            for i, card in enumerate(cards(number, self.gpus))
        )
        batch = Batch(
            1,
            Origin.LIVE,
            node(number),
            boot,
            "spool",
            1,
            there_ns,
            cards(number, self.gpus),
            facts,
            tuple(tables),
            events,
        )
        self.watch.receive(batch, self.now_ns)

    def event(self, kind: EventKind, number: int, ago_s: float = 0.0, **values: float) -> Event:
        card = kind in (EventKind.XID, EventKind.GPU_LOST)
        subject = cards(number, 1)[0] if card else node(number)
        source = EventSource.KERNEL_LOG if kind is EventKind.XID else EventSource.COLLECTOR
        return Event(kind, subject, self.now_ns - int(ago_s * S), source, values)

    def pass_s(self, seconds: int, *, silent: frozenset[int] = frozenset(), boot: str = "boot") -> None:
        """All but the silent ones send every five seconds."""
        for _ in range(seconds // 5):
            for number in range(self.nodes):
                if number not in silent:
                    self.send(number, boot=boot)
            self.now_ns += 5 * S
            self.changes.add(self.watch.advance(self.now_ns))

    @property
    def opened(self) -> list[FindingKind]:
        return [finding.kind for finding in {f.id: f for f in self.changes.findings}.values()]

    @property
    def reports(self) -> list[Event]:
        return [event for event in self.changes.events if event.kind is EventKind.AS_FOUND]


@pytest.mark.slow
def test_rolling_our_own_collector_over_a_thousand_nodes_is_no_news() -> None:
    fleet = Fleet(1_000, gpus=1)
    fleet.pass_s(20)
    for wave in range(5):
        rolled = frozenset(range(wave * 200, wave * 200 + 200))
        for number in rolled:
            fleet.send(number, fleet.event(EventKind.COLLECTOR_GOODBYE, number))
        fleet.pass_s(50, silent=rolled)
        for number in rolled:
            fleet.send(number, fleet.event(EventKind.COLLECTOR_START, number), look=False)
        fleet.pass_s(5, silent=rolled)
    fleet.pass_s(40)

    assert (fleet.opened, fleet.changes.incidents, fleet.reports) == ([], [], [])


def test_a_collector_that_starts_slowly_after_a_goodbye_has_time_to_look() -> None:
    fleet = Fleet(2)
    fleet.pass_s(20)
    fleet.send(0, fleet.event(EventKind.COLLECTOR_GOODBYE, 0))
    fleet.pass_s(60, silent=frozenset({0}))
    for _ in range(3):
        fleet.send(0, fleet.event(EventKind.COLLECTOR_START, 0), look=False)
        fleet.pass_s(5, silent=frozenset({0}))
    fleet.pass_s(40)

    assert fleet.opened == []


def test_a_collector_that_comes_back_without_its_cards_is_news() -> None:
    fleet = Fleet(2)
    fleet.pass_s(20)
    fleet.send(0, fleet.event(EventKind.COLLECTOR_GOODBYE, 0))
    fleet.pass_s(30, silent=frozenset({0}))
    for _ in range(8):
        fleet.send(0, look=False)
        fleet.pass_s(5, silent=frozenset({0}))

    assert fleet.opened == [FindingKind.TELEMETRY_LOST] * 2


def test_a_node_that_falls_silent_without_a_word_is_news() -> None:
    fleet = Fleet(3)
    fleet.pass_s(20)
    fleet.pass_s(60, silent=frozenset({1}))

    assert fleet.opened == [FindingKind.TELEMETRY_LOST]


def test_a_deleted_node_is_gone_and_not_silent_and_what_was_open_about_it_closes() -> None:
    fleet = Fleet(3)
    inventory = fleet.watch.engine.inventory
    inventory.tell(Source.KUBERNETES, [SubjectFacts(node(n), f"n{n}") for n in range(3)], T0)
    fleet.pass_s(20)
    fleet.send(1, fleet.event(EventKind.XID, 1, code=48.0))
    fleet.pass_s(10, silent=frozenset({1}))
    inventory.untell(Source.KUBERNETES, node(1), fleet.now_ns, "deleted")
    fleet.pass_s(90, silent=frozenset({1}))
    newest = {finding.id: finding for finding in fleet.changes.findings}

    assert [(f.kind, f.cleared_because) for f in newest.values()] == [
        (FindingKind.ECC_UNCORRECTABLE, "gone: gpu deleted")
    ]


def test_a_reboot_ends_what_lasts_until_the_card_is_reset() -> None:
    fleet = Fleet(1)
    fleet.pass_s(20)
    fleet.send(0, fleet.event(EventKind.XID, 0, code=48.0))
    fleet.pass_s(10)
    fleet.send(0, boot="another")
    fleet.now_ns += 5 * S
    fleet.changes.add(fleet.watch.advance(fleet.now_ns))
    newest = {finding.id: finding for finding in fleet.changes.findings}

    assert [(f.kind, f.cleared_because) for f in newest.values()] == [
        (FindingKind.ECC_UNCORRECTABLE, "the node was rebooted")
    ]


def test_a_lost_card_is_back_when_it_is_read_again_after_a_reboot() -> None:
    fleet = Fleet(1)
    fleet.pass_s(20)
    fleet.send(0, fleet.event(EventKind.GPU_LOST, 0))
    fleet.pass_s(20)  # it is read all the same: no word of its return, and no reboot
    assert fleet.watch.engine.book.of_kind(FindingKind.GPU_LOST)
    fleet.pass_s(20, boot="another")
    newest = {finding.id: finding for finding in fleet.changes.findings}

    assert [(f.kind, f.cleared_because) for f in newest.values()] == [
        (FindingKind.GPU_LOST, "the card answers again after a reboot")
    ]


def test_what_was_there_before_the_first_batch_is_one_report_and_no_finding() -> None:
    fleet = Fleet(2)
    old = [fleet.event(EventKind.XID, 0, ago_s=3600 * (1 + n), code=79.0) for n in range(2)]
    old.append(fleet.event(EventKind.OOM_KILL, 0, ago_s=90))
    counted = {"gpu_ecc_uncorrected_errors_total": 3, "gpu_row_remaps_uncorrected_total": 0}
    fleet.send(0, *old, counters=counted)
    fleet.pass_s(90)

    (report,) = fleet.reports
    assert fleet.opened == []
    assert report.subject == node(0)
    assert report.line == (
        "as found on uid-0: Xid 79 (2 times); oom kill; gpu_ecc_uncorrected_errors_total 6 on GPU 0, 1"
    )
    assert report.values == {"events": 3.0, "gpu_ecc_uncorrected_errors_total": 6.0}


def test_an_event_of_a_minute_ago_is_news() -> None:
    fleet = Fleet(1)
    fleet.send(0, fleet.event(EventKind.XID, 0, ago_s=59, code=79.0))
    fleet.pass_s(10)

    assert fleet.opened == [FindingKind.GPU_LOST]


def test_a_backlog_from_a_spool_is_news_although_it_is_old() -> None:
    fleet = Fleet(1)
    fleet.send(0, fleet.event(EventKind.XID, 0, ago_s=900, code=79.0), late_s=900)
    fleet.pass_s(10)

    assert FindingKind.GPU_LOST in fleet.opened


def test_a_collector_that_starts_anew_and_reads_the_old_log_again_opens_nothing() -> None:
    fleet = Fleet(1)
    fleet.pass_s(100)
    again = fleet.event(EventKind.XID, 0, ago_s=4000, code=79.0)
    fleet.send(0, fleet.event(EventKind.COLLECTOR_START, 0), again)
    fleet.pass_s(10)

    assert fleet.opened == []


def test_a_node_without_a_past_makes_no_report() -> None:
    fleet = Fleet(5)
    fleet.pass_s(120)

    assert fleet.reports == []
