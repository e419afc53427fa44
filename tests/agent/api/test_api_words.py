import math
import unicodedata

import pytest
from api_story import HOSTILE, HOSTILE_SEEN
from hypothesis import given
from hypothesis import strategies as st

from agent.api.words import ago, audit_line, duration, figure, plain, utc, where
from collectors.model import Subject, SubjectKind

GPU = Subject("c", SubjectKind.GPU, "GPU-1")


@pytest.mark.parametrize(
    ("hostile", "seen"),
    [
        pytest.param("\x1b[31mred\x1b[0m", "red", id="colours"),
        pytest.param("a\x1b[2J\x1b[Hb", "ab", id="clear the screen"),
        pytest.param("\x1b]0;title\x07after", "after", id="window title"),
        pytest.param("\x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\", "text", id="hyperlink"),
        pytest.param("\x1b]52;c;cm0gLXJm\x07x", "x", id="clipboard"),
        pytest.param("\x1bPq#0;2\x1b\\x", "x", id="device control"),
        pytest.param("\x9b31mx\x9d0;t\x9cy", "xy", id="eight-bit escapes"),
        pytest.param("\x1b]0;cut", "0;cut", id="an unfinished one hides nothing"),
        pytest.param("\x1b\x1b[31m[31mx", "[31mx", id="one inside another"),
        pytest.param("good\rbad", "good bad", id="carriage return"),
        pytest.param("a\nb\r\nc\td", "a b c d", id="line ends and tabs"),
        pytest.param("a\u2028b\u2029c\x85d", "a b c d", id="other line ends"),
        pytest.param("\u202egnp.exe\u202c", "gnp.exe", id="bidi override"),
        pytest.param("\u2066a\u2069\u200b\u200e\ufeff", "a", id="isolates, zero width, marks"),
        pytest.param("\U000e0041\U000e0042x", "x", id="tags"),
        pytest.param("a\x00\x07\x08\x7fb", "ab", id="controls"),
        pytest.param("\ud800x", "x", id="half of a pair"),
        pytest.param("a" + "\u0301" * 50, "a" + "\u0301" * 3, id="a tower of marks"),
        pytest.param("a" + "\u0301\u200d" * 50, "a" + "\u0301" * 3, id="a tower with joiners between"),
        pytest.param("[bold]x[/] &lt;b&gt; {{ x }}", "[bold]x[/] &lt;b&gt; {{ x }}", id="markup is only text"),
        pytest.param("Größe 日本 ✓ é 🙂", "Größe 日本 ✓ é 🙂", id="people's languages stay"),
        pytest.param(HOSTILE, HOSTILE_SEEN, id="all together"),
    ],
)
def test_plain_leaves_what_can_be_read_and_nothing_that_acts(hostile: str, seen: str) -> None:
    assert seen == plain(hostile)


def test_plain_keeps_lines_where_asked() -> None:
    assert plain("a\r\n\x1b[1mb", keep_lines=True) == "a\nb"


@given(st.text())
def test_plain_never_leaves_a_control_or_format_character(text: str) -> None:
    assert [c for c in plain(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")] == []


@given(st.text(alphabet="\x1b\x9b[]0;31mJ\x07\\abc \u202e\u0301\u200d"))
def test_plain_of_plain_text_changes_nothing(text: str) -> None:
    assert plain(text) == plain(plain(text))


@pytest.mark.parametrize("text", ["\x1b[" + "0" * 10**6, "\x1b]" * 10**5, "\x1b]" + "a" * 10**6, "\u0301" * 10**6])
def test_plain_is_quick_with_a_megabyte_of_malice(text: str) -> None:
    assert "\x1b" not in plain(text)  # the suite's time limit is the test


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (356_400, "4 d 3 h"),
    ],
)
def test_durations_name_their_two_largest_units(seconds: float, words: str) -> None:
    assert words == duration(seconds)


def test_ages_look_back_and_a_clock_that_is_ahead_shows() -> None:
    assert (ago(0, 180 * 10**9), ago(5 * 10**9, 0)) == ("3 min ago", "in 5 s")


def test_times_are_utc_and_one_beyond_the_calendar_is_a_number() -> None:
    assert utc(1_795_332_730 * 10**9) == "2026-11-22 07:32:10 UTC"
    assert f"{10**30} ns" == utc(10**30)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (1.46e9, "hertz", "1.46 GHz"),
        (0.98, "ratio", "98 %"),
        (0.0004, "ratio", "0.04 %"),
        (141 * 2**30, "bytes", "141 GiB"),
        (689.7, "watts", "690 W"),
        (79.0, "", "79"),
        (379_120.4, "tokens/s", "379,120 tokens/s"),
        (4.14159, "seconds", "4.1 s"),
        (0.0, "watts", "0 W"),
        (math.nan, "watts", "NaN"),
        (-math.inf, "", "-infinity"),
        ("NaN", "", "NaN"),
    ],
)
def test_figures_are_written_as_people_do(value: float | str, unit: str, words: str) -> None:
    assert words == figure(value, unit)


@given(st.floats(), st.sampled_from(["", "hertz", "ratio", "bytes", "watts", "bytes/s", "odd"]))
def test_any_figure_has_words(value: float, unit: str) -> None:
    assert figure(value, unit)


def test_a_place_is_told_by_the_names_known_and_else_by_its_id() -> None:
    names = {"job": "llama\x1b[1m", "rank": "59", "node": "n7", "gpu": "3"}

    assert where(names, GPU) == "n7 / GPU 3 / rank 59 / job llama"
    assert where({}, GPU) == "gpu GPU-1"


@pytest.mark.parametrize(
    ("detail", "line"),
    [
        ('{"reason":"no rule","verdict":"would_do"}', "would do: no rule"),
        ('{"title":"GPU lost"}', "GPU lost"),
        ('{"reason":7,"verdict":"nothing"}', '{"reason":7,"verdict":"nothing"}'),
        ("[1]", "[1]"),
        ("not JSON", "not JSON"),
        ("[" * 100_000, "[" * 100_000),
    ],
    ids=["decision", "acknowledgement", "another shape", "no object", "no JSON", "nested"],
)
def test_an_audit_entry_is_told_in_a_sentence_where_it_has_one(detail: str, line: str) -> None:
    assert audit_line(detail) == line
