"""Replays: cut anywhere, what was found before the cut is the same; and what is found is what was done."""

import json
import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from recording_cuts import ROOT, cut, phases

from agent.demo.truth import Score, Told, read_phases, score
from agent.replay import replay
from benchmarks.variations import vary
from collectors.recording.folder import Recording
from collectors.recording.play import play
from collectors.sampling.plan import SamplingPlan
from detectors.model import Finding

RECORDINGS = ("h200-training", "h200-ddp", "h200-ddp4")
SLOWEST_S = 15.0
CUTS = 6
Opened = dict[str, tuple[str, str, int, int]]


def all_of(folder: Path, until_ns: int | None = None) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    for _, changes in replay(Recording(folder), until_ns=until_ns):
        found.update((finding.id, finding) for finding in changes.findings)
    return found


@cache
def whole(name: str) -> dict[str, Finding]:
    return all_of(ROOT / name)


def opened(found: dict[str, Finding], before_ns: int) -> Opened:
    return {
        f.id: (f.kind.value, str(f.subject), f.opened_ns, f.since_ns) for f in found.values() if f.opened_ns < before_ns
    }


def instants(name: str, count: int, seed: int) -> list[float]:
    """Uniform over the recording, and half of them near an opening, where a cut can do harm."""
    rng = random.Random(f"{name} {seed}")
    told = phases(name)
    start, end = told[0]["start"], told[-1]["end"]
    near = [p["start"] + rng.uniform(0, 14) for p in told if p["kind"] == "fault"]
    return sorted([rng.uniform(start, end) for _ in range(count - count // 2)] + rng.choices(near, k=count // 2))


def judged(folder: Path, found: dict[str, Finding]) -> Score:
    told = read_phases(folder)
    assert told is not None
    return score(told, [Told(f.kind, f.since_ns / 1e9, f.opened_ns / 1e9, f.names) for f in found.values()])


def check(folder: Path, found: dict[str, Finding]) -> None:
    result = judged(folder, found)
    assert [f.label for f in result.faults if not f.named] == []
    assert [t.kind for t in result.false] == []
    assert [f.label for f in result.faults if f.guilty is False] == []
    assert [f.label for f in result.faults if (f.delay_s or 0.0) > SLOWEST_S] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_every_fault_of_a_recording_is_named_in_time_with_its_guilty_rank_and_nothing_else_is(name: str) -> None:
    check(ROOT / name, whole(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_nothing_found_in_a_recording_stays_open_but_what_its_end_left_so(name: str) -> None:
    last = phases(name)[-1]["start"] if phases(name)[-1]["kind"] == "fault" else phases(name)[-2]["start"]
    stuck = [f.kind.value for f in whole(name).values() if f.cleared_ns is None and f.opened_ns / 1e9 < last - 30]
    assert stuck == []


@pytest.mark.slow
@pytest.mark.parametrize("number", range(CUTS))
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_replay_until_any_instant_gives_what_was_opened_before_it(name: str, number: int) -> None:
    cut_ns = round(instants(name, CUTS, seed=1)[number] * 1e9)
    assert opened(all_of(ROOT / name, cut_ns), 2**63) == opened(whole(name), cut_ns)


@cache
def without_stderr(name: str) -> dict[str, Finding]:
    with TemporaryDirectory() as folder:
        return all_of(cut(ROOT / name, Path(folder) / "whole", 9e9))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(CUTS))
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_that_was_broken_off_gives_what_was_opened_before_it_broke(
    name: str, number: int, tmp_path: Path
) -> None:
    at = instants(name, CUTS, seed=2)[number]
    folder = cut(ROOT / name, tmp_path / "cut", at)
    end_ns = min(round(at * 1e9), Recording(folder).end_ns)
    assert opened(all_of(folder), end_ns) == opened(without_stderr(name), end_ns)


@pytest.mark.slow
def test_a_short_replay_until_an_instant_gives_what_was_opened_before_it(tmp_path: Path) -> None:
    """The quick form: 100 s of one recording with one fault, cut at twelve instants."""
    first = next(p for p in phases("h200-ddp4") if p["kind"] == "fault")
    source = cut(ROOT / "h200-ddp4", tmp_path / "short", first["start"] + 14, from_s=first["start"] - 26)
    found = all_of(source)
    assert len(found) == 1
    rng = random.Random(7)
    opening = next(iter(found.values())).opened_ns
    whole_seconds = [opening, opening + 1, opening - 1]
    for at in [*whole_seconds, *(round((first["start"] + rng.uniform(0, 14)) * 1e9) for _ in range(9))]:
        assert opened(all_of(source, at), 2**63) == opened(found, at), at


@pytest.mark.slow
@pytest.mark.parametrize("offset_s", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", RECORDINGS)
def test_when_within_a_second_the_watch_began_does_not_matter(name: str, offset_s: float, tmp_path: Path) -> None:
    start = Recording(ROOT / name).start_ns / 1e9
    folder = cut(ROOT / name, tmp_path / "later", 9e9, from_s=start + offset_s)
    for extra in (ROOT / name).iterdir():
        if extra.suffix in (".pickle",) or extra.name.endswith("stderr.log"):
            (folder / extra.name).symlink_to(extra)
    (folder / "truth.json").write_text(json.dumps({"phases": phases(name)}))
    check(folder, all_of(folder))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 6, 12, 17])
@pytest.mark.parametrize("name", RECORDINGS)
def test_faults_in_another_order_on_other_ranks_in_other_words_are_named_all_the_same(
    name: str, seed: int, tmp_path: Path
) -> None:
    vary(ROOT / name, tmp_path / "varied", seed)
    check(tmp_path / "varied", all_of(tmp_path / "varied"))


def test_a_replay_says_the_time_of_the_recording_and_never_runs_back(tmp_path: Path) -> None:
    source = cut(ROOT / "h200-ddp", tmp_path / "short", phases("h200-ddp")[0]["start"] + 20)
    recording = Recording(source)
    times = [now for now, _ in replay(recording)]
    assert times == sorted(times)
    assert len(times) == 1 + len(list(play(recording, SamplingPlan())))
