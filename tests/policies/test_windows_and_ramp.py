"""Maintenance windows, and how a wave lets go."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import FixConfiguration
from policies.agenda import Agenda
from policies.around import Crowds
from policies.cluster_view import Place
from policies.guard_settings import WaveSettings, Window
from policies.ramp import allowance, next_step_ns, release_ns
from policies.rules import parse_policy
from policies.windows import is_open

NS = 1_000_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


@pytest.mark.parametrize(
    ("window", "moment", "inside"),
    [
        (Window("w", start="2026-12-01T20:00:00Z", end="2026-12-01T22:00:00Z"), "2026-12-01T20:00", True),
        (Window("w", start="2026-12-01T20:00:00Z", end="2026-12-01T22:00:00Z"), "2026-12-01T22:00", False),
        (Window("w", start="2026-12-01T20:00:00+02:00", end="2026-12-01T22:00:00+02:00"), "2026-12-01T19:00", True),
        (Window("w", from_="08:00", to="18:00"), "2026-12-01T08:00", True),
        (Window("w", from_="08:00", to="18:00"), "2026-12-01T18:00", False),
        (Window("w", from_="22:00", to="06:00", days=("fri",)), "2026-12-04T23:00", True),
        (Window("w", from_="22:00", to="06:00", days=("fri",)), "2026-12-05T05:59", True),
        (Window("w", from_="22:00", to="06:00", days=("fri",)), "2026-12-05T23:00", False),
        (Window("w", from_="22:00", to="06:00", days=("fri",)), "2026-12-04T05:00", False),
        (Window("w", from_="00:00", to="24:00", days=("sat", "sun")), "2026-12-06T23:59", True),
    ],
)
def test_a_window_is_open_from_its_beginning_to_before_its_end(window, moment, inside) -> None:
    assert is_open(window, at(moment)) is inside


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ("{name: w}", "give either `start` and `end`, or `from` and `to`"),
        ("{name: w, start: 2026-12-01T20:00:00, end: 2026-12-02T20:00:00}", "RFC 3339 times with an offset"),
        ("{name: w, start: 2026-12-02T20:00:00Z, end: 2026-12-01T20:00:00Z}", "`end` is not after `start`"),
        ("{name: w, from: 25:00, to: 06:00}", "times of the day in UTC, HH:MM"),
        ("{name: w, from: 22:00, to: 06:00, days: [fryday]}", "no day: 'fryday' (one of mon,"),
    ],
)
def test_a_window_that_means_nothing_is_refused_with_its_line(window, words) -> None:
    with pytest.raises(FixConfiguration) as caught:
        parse_policy(f"version: 1\nrules: []\nguards:\n  windows:\n    - {window}\n".encode(), "p.yaml")

    assert str(caught.value).startswith("p.yaml:5: guards.windows[0] (w): ")
    assert words in str(caught.value)


def test_times_need_no_quotes() -> None:
    text = b"version: 1\nrules: []\nguards:\n  windows: [{name: w, from: 22:00, to: 06:00}]\n"

    assert parse_policy(text, "p").guards.windows[0].from_ == "22:00"


@pytest.mark.parametrize(
    ("seconds", "nodes"), [(-1, 0), (0, 1), (299, 1), (300, 3), (600, 7), (900, 15), (1200, 23), (1500, 31)]
)
def test_the_ramp_doubles_and_then_goes_on_evenly(seconds, nodes) -> None:
    assert allowance(WaveSettings(), 1000 * NS, (1000 + seconds) * NS) == nodes


def test_a_wave_is_held_until_it_is_quiet_and_never_for_good() -> None:
    wave = WaveSettings()

    assert release_ns(wave, 100 * NS, 120 * NS) == 720 * NS
    assert release_ns(wave, 100 * NS, 9000 * NS) == 3700 * NS


@given(
    first=st.integers(1, 20),
    factor=st.floats(1.0, 10.0),
    largest=st.integers(1, 50),
    step=st.integers(1, 900),
    seconds=st.integers(0, 100_000),
)
def test_the_ramp_never_takes_back_what_it_has_allowed_and_never_jumps(first, factor, largest, step, seconds) -> None:
    wave = WaveSettings(first=first, factor=factor, largest=largest, step_seconds=step)
    now = seconds * NS
    later = next_step_ns(wave, 0, now)

    assert now < later <= now + step * NS
    assert allowance(wave, 0, now) > 0
    assert 0 <= allowance(wave, 0, later) - allowance(wave, 0, now) <= max(first, largest)


def test_faults_of_one_kind_near_in_time_make_a_crowd_by_place() -> None:
    crowds = Crowds()
    for index, (since, rack) in enumerate([(0, "r1"), (100, "r1"), (200, "r2"), (5000, "r1")]):
        crowds.note(f"INC-{index}", "xid", [(f"uid-{index}", since * NS, ((Place.RACK, rack),))])
    crowds.note("INC-9", "gpu_lost", [("uid-9", 0, ())])
    near = crowds.near("xid", 100 * NS, ((Place.RACK, "r1"),), 300 * NS)

    assert [(c.place, c.name, c.nodes, c.first_ns, c.last_ns) for c in near] == [
        (Place.FLEET, "", 3, 0, 200 * NS),
        (Place.RACK, "r1", 2, 0, 100 * NS),
    ]
    crowds.drop("INC-0")
    assert crowds.near("xid", 0, (), 50 * NS) == ()


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 100), st.booleans()), max_size=60))
def test_the_agenda_holds_the_last_time_that_was_set(moves) -> None:
    agenda, held = Agenda(), {}
    for name, due, dropped in moves:
        if dropped:
            agenda.drop(name)
            held.pop(name, None)
        else:
            agenda.put(name, due)
            held[name] = due

    assert set(agenda.due(50, 100)) == {name for name, due in held.items() if due <= 50}
    assert len(agenda) == len(held)
