"""What is put in comes out, whatever it holds, and putting it in again changes nothing."""

import math
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import DAY, GPU, NODE, NOW, SECOND, decision, event, finding, incident

from agent.store.rows import JobSeen, NodeSeen
from agent.store.store import Store, open_store
from agent.watch import Changes
from collectors.errors import GiveUp
from collectors.model import EventKind, Origin, Subject, SubjectKind
from detectors.model import Evidence, IncidentState, Severity

HOSTILE = "a'; DROP TABLE findings; --\n\x1b[31m\u202e %s ? :x \U0001f600"


def test_a_tick_comes_back_as_it_was_saved(store: Store) -> None:
    """Every field of findings, incidents, decisions and events survives."""
    changes = Changes([finding()], [incident()], [decision()], [event()])

    store.save(changes)

    assert changes.findings == store.findings(["f1"])
    assert changes.incidents == store.incidents()
    assert changes.decisions == store.decisions("INC-aaaa1111")
    assert changes.events == store.events(since_ns=NOW, until_ns=NOW + 1)


def test_saving_a_tick_again_changes_nothing(store: Store) -> None:
    """A caller that does not know whether its save went through repeats it without harm."""
    changes = Changes([finding()], [incident()], [decision()], [event(), event()])

    store.save(changes)
    store.save(changes)

    assert [finding()] == store.open_findings()
    assert [incident()] == store.open_incidents()
    assert [decision()] == store.decisions("INC-aaaa1111")
    assert [event()] == store.events(since_ns=0, until_ns=NOW + 1)
    assert len(store.audit()) == 1


def test_a_later_value_replaces_the_earlier_one_of_its_id(store: Store) -> None:
    """A finding that clears and an incident that resolves are no longer open."""
    cleared = finding(cleared_ns=NOW + SECOND, cleared_because="gone", severity=Severity.INFO)
    resolved = incident(state=IncidentState.RESOLVED, resolved_ns=NOW + SECOND, updated_ns=NOW + SECOND)
    store.save(Changes([finding(), finding("f2")], [incident(), incident("INC-bbbb2222", root="f2", findings=("f2",))]))

    store.save(Changes([cleared], [resolved]))

    assert [cleared] == store.findings(["f1"])
    assert [finding("f2")] == store.open_findings()
    assert [open_.id for open_ in store.open_incidents()] == ["INC-bbbb2222"]
    assert resolved == store.incident("INC-aaaa1111")


def test_of_two_values_of_one_id_in_a_tick_the_last_counts(store: Store) -> None:
    """A tick may open and clear at once."""
    cleared = finding(cleared_ns=NOW, cleared_because="at once")

    store.save(Changes([finding(), cleared]))

    assert [cleared] == store.findings(["f1"])


def test_an_empty_tick_writes_nothing(store: Store) -> None:
    """Most ticks change nothing, and a store that is away does not matter to them."""
    store.close()

    store.save(Changes())
    store.save_nodes([])
    store.save_jobs([])
    store.keep_readings([])


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(math.nan, id="nan"),
        pytest.param(math.inf, id="infinity"),
        pytest.param(-math.inf, id="minus-infinity"),
        pytest.param(5e-324, id="least"),
        pytest.param(0.1 + 0.2, id="inexact"),
    ],
)
def test_a_loss_is_kept_bit_by_bit(store: Store, loss: float) -> None:
    """NaN and infinity are values of their own in a training log; JSON knows neither."""
    store.save(
        Changes(
            [finding(evidence=(Evidence("loss", NOW, value=loss, expected=loss),))],
            events=[event(values={"loss": loss})],
        )
    )

    (evidence,) = store.findings(["f1"])[0].evidence
    kept = store.events(since_ns=NOW, until_ns=NOW + 1)[0].values["loss"]
    assert [repr(loss)] * 3 == [repr(kept), repr(evidence.value), repr(evidence.expected)]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        pytest.param(HOSTILE, HOSTILE, id="sql-and-terminal-codes"),
        pytest.param("a\x00b", "a\x00b", id="nul"),
        pytest.param("x" * 1_000_000, "x" * 1_000_000, id="a-megabyte"),
        pytest.param("a\udc80b", "a\ufffd\ufffd\ufffdb", id="lone-surrogate"),
    ],
)
def test_a_hostile_line_is_only_text(store: Store, line: str, kept: str) -> None:
    """Log text may hold anything."""
    told = finding(summary=line, names={"node": line})
    store.save(Changes([told], [incident(title=line)], [decision(reason=line)], [event(line=line)]))
    store.acknowledge("INC-aaaa1111", line, NOW)

    assert store.verify_audit() is None
    assert [kept] == [found.title for found in store.incidents()]
    assert [kept] == [found.reason for found in store.decisions("INC-aaaa1111")]
    assert [kept] == [found.line for found in store.events(since_ns=NOW, until_ns=NOW + 1)]
    assert [(kept, kept)] == [(found.summary, found.names["node"]) for found in store.open_findings()]


def test_a_nul_in_a_key_column_becomes_a_replacement_character(store: Store) -> None:
    """PostgreSQL refuses NUL in text; losing the event over it would be worse, and it is still found by its subject."""
    subject = Subject("c\x001", SubjectKind.JOB, "job\udc80")
    store.save(Changes(events=[event(subject=subject)]))

    (kept,) = store.events(since_ns=0, until_ns=NOW + 1, subject=subject)
    assert kept.subject.cluster == "c\ufffd1"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    line=st.text(max_size=200),
    values=st.dictionaries(st.text(string.ascii_letters, max_size=10), st.floats(), max_size=4),
    attributes=st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=3),
    time_ns=st.integers(-(2**63), 2**63 - 2),
)
def test_any_event_survives(
    store: Store, line: str, values: dict[str, float], attributes: dict[str, str], time_ns: int
) -> None:
    """Whatever the text, the floats and the time."""
    saved = event(time_ns, line=line, values=values, attributes=attributes, subject=NODE)

    store.save(Changes(events=[saved]))

    found = store.events(since_ns=time_ns, until_ns=time_ns + 1, subject=NODE)
    # By their spelling: NaN differs from itself, and 0.0 equals -0.0.
    told = [(repr(sorted(e.values.items())), e.attributes, e.line) for e in found]
    assert (repr(sorted(values.items())), attributes, line) in told


@pytest.mark.parametrize("time_ns", [pytest.param(2**63, id="too-late"), pytest.param(-(2**63) - 1, id="too-early")])
def test_a_time_beyond_64_bits_is_refused_with_the_whole_tick(store: Store, time_ns: int) -> None:
    """Nothing of the tick is kept, and the store goes on working."""
    with pytest.raises(GiveUp, match=r"store .*cannot be stored"):
        store.save(Changes([finding()], events=[event(time_ns)]))

    assert store.open_findings() == []
    store.save(Changes([finding()]))
    assert [finding()] == store.open_findings()


@pytest.mark.parametrize("asked", ["\x00", "\udc80", "x" * 100_000, "'; --"])
def test_a_hostile_question_is_only_a_question(store: Store, asked: str) -> None:
    """Ids come out of URLs and chats."""
    assert store.incident(asked) is None
    assert store.findings([asked]) == []
    assert store.decisions(asked) == []
    assert store.nodes(cluster=asked) == []
    assert store.events(since_ns=0, until_ns=NOW, subject=Subject(asked, SubjectKind.GPU, asked)) == []
    assert len(store.readings(Subject(asked, SubjectKind.GPU, asked), asked, 0, NOW)[0]) == 0
    with pytest.raises(GiveUp, match="no incident"):
        store.acknowledge(asked, "ann", NOW)


def test_the_same_time_with_another_text_is_another_event(store: Store) -> None:
    """Only true repeats are dropped."""
    different = [
        event(),
        event(line="step 10 loss 2.6"),
        event(values={"step": 11.0}),
        event(subject=NODE),
        event(kind=EventKind.TRAINING_END),
        event(NOW + 1),
    ]

    store.save(Changes(events=[*different, *different]))

    assert len(different) == len(store.events(since_ns=NOW, until_ns=NOW + 2))


def test_nodes_and_jobs_keep_what_is_known(store: Store) -> None:
    """An update that knows less does not forget the driver or the step, and first and last sight only spread."""
    store.save_nodes([NodeSeen("c1", "n1", "node-1", Origin.LIVE, NOW, NOW + 5, driver="580.1", gpus=8)])
    store.save_jobs([JobSeen("c1", "j1", "job", Origin.LIVE, NOW, NOW + 5, 16, 100, NOW + 4, "running")])

    store.save_nodes([NodeSeen("c1", "n1", "renamed", Origin.LIVE, NOW + 6, NOW + 7, gpus=7)])
    store.save_jobs([JobSeen("c1", "j1", "job", Origin.LIVE, NOW - 1, NOW + 3)])

    assert [NodeSeen("c1", "n1", "renamed", Origin.LIVE, NOW, NOW + 7, "580.1", 7)] == store.nodes()
    assert [JobSeen("c1", "j1", "job", Origin.LIVE, NOW - 1, NOW + 5, 16, 100, NOW + 4, "running")] == store.jobs()


def test_a_replayed_node_is_not_the_live_one(store: Store) -> None:
    """What is not live has its own space."""
    seen = [NodeSeen("c1", "n1", "n", origin, NOW, NOW) for origin in (Origin.LIVE, Origin.REPLAY)]

    store.save_nodes([*seen, NodeSeen("c2", "n1", "n", Origin.LIVE, NOW, NOW)])

    assert seen == store.nodes(cluster="c1")
    assert len(store.nodes()) == 3


def test_what_was_saved_is_there_after_closing_and_opening(store_url: str) -> None:
    """A restart goes on where it stopped."""
    store = open_store(store_url)
    store.save(Changes([finding()], [incident()], [decision()], [event()]))
    store.close()

    again = open_store(store_url)

    assert ([finding()], [incident()]) == (again.open_findings(), again.open_incidents())
    again.close()


def test_a_closed_store_says_so(store: Store) -> None:
    """It does not quietly connect again without its lock."""
    store.close()
    store.close()

    with pytest.raises(GiveUp, match="is closed"):
        store.open_findings()
    with pytest.raises(GiveUp, match="is closed"):
        store.save(Changes([finding()]))


def test_a_store_takes_up_some_space(store: Store, tmp_path: Path) -> None:
    """The size grows with what is kept."""
    before = store.size_bytes()

    store.save(Changes(events=[event(NOW + n, line="x" * 1000) for n in range(500)]))

    assert store.size_bytes() - before > 400_000


def test_findings_are_found_by_when_they_were_open(store: Store) -> None:
    """One that opened before the stretch and cleared in it counts; one that cleared before it does not."""
    store.save(
        Changes(
            [
                finding("before", opened_ns=NOW - DAY, cleared_ns=NOW - 1),
                finding("into", opened_ns=NOW - DAY, cleared_ns=NOW),
                finding("open", opened_ns=NOW - 2 * DAY),
                finding("after", opened_ns=NOW + SECOND),
                finding("elsewhere", subject=Subject("c2", SubjectKind.GPU, "g")),
            ]
        )
    )

    assert [f.id for f in store.findings_between(NOW, NOW + SECOND, cluster="c1")] == ["open", "into"]
    assert [f.id for f in store.findings_between(NOW, NOW + SECOND)] == ["open", "into", "elsewhere"]


def test_findings_come_in_the_order_asked_for(store: Store) -> None:
    """Unknown ids are left out, and more ids than fit into one statement are no matter."""
    store.save(Changes([finding(f"f{n}", subject=GPU) for n in range(1200)]))
    ids = [f"f{n}" for n in reversed(range(1200))]

    assert ids == [f.id for f in store.findings(["nobody", *ids])]
