"""docs/actions.md says what the code does: steps, settings, rights, kinds of jobs, templates, marks."""

import re
from pathlib import Path

import msgspec

from policies.cluster import act_settings, checkpoint
from policies.cluster.act_settings import ActSettings
from policies.cluster.jobs.gang import RESTARTED, SUSPENDED
from policies.cluster.needs import NEEDS, TEMPLATE_NEEDS, UNPROVEN_NEEDS
from policies.cluster.own_key import annotation_of
from policies.cluster.restart_job import TURNS, UNPROVEN_TURNS
from policies.cluster.template import Template
from policies.cluster.template_files import FOLDER, STEPS
from policies.cluster_view import CHECKPOINT, OWN_CORDON, SNOOZE
from policies.plan import UNDO, StepKind

PAGE = (Path(__file__).parents[3] / "docs" / "actions.md").read_text()


def table(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, without its head."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_kind_of_step_stands_there_with_its_undo() -> None:
    shown = {words(row[0])[0]: (words(row[3]) or ["none"])[0] for row in table("Steps")}

    assert shown == {kind.value: UNDO[kind].value if kind in UNDO else "none" for kind in StepKind}


def examples() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_settings_on_the_page_are_settings() -> None:
    (example,) = [text for text in examples() if text.startswith("steps:")]
    steps = msgspec.yaml.decode(example)["steps"]

    assert set(steps) <= {*ActSettings.__struct_fields__, *(kind.value for kind in STEPS)}
    assert steps["unproven"] == ["PyTorchJob"]


def test_every_right_stands_there_once() -> None:
    shown = [tuple(row) for row in table("Rights")]
    steps = [
        (f"`{kind.value}`", group or "core", resource, verb)
        for kind, needs in NEEDS.items()
        for group, resource, verb in dict.fromkeys(needs)
    ]
    templates = [
        (f"template with {name}", group or "core", resource, verb)
        for name, needs in TEMPLATE_NEEDS.items()
        for group, resource, verb in needs
    ]

    assert shown == [*steps, *templates]


def test_every_kind_of_job_stands_there_with_whether_it_was_tried() -> None:
    proven, unproven = set(), set()
    for kinds, _, tried in table("Restarting jobs"):
        (proven if tried.startswith("yes") else unproven).update(words(kinds))

    assert proven == {kind for _, kind in TURNS}
    assert unproven == {name for name, *_ in UNPROVEN_TURNS.values()} == set(UNPROVEN_NEEDS)


def test_the_template_on_the_page_is_the_one_that_comes_with_us() -> None:
    (example,) = [text for text in examples() if text.startswith("plural:")]
    shipped = (FOLDER / "reset_gpu.janitor.yaml").read_bytes()

    assert msgspec.yaml.decode(example, type=Template) == msgspec.yaml.decode(shipped, type=Template)


def test_every_placeholder_of_the_shipped_templates_stands_there() -> None:
    shown = {name.strip("${}") for row in table("Resets and reboots") for name in words(row[0])}
    used = {name for path in FOLDER.iterdir() for name in re.findall(r"(?<!\$)\$\{(\w+)\}", path.read_text())}

    assert used <= shown


def test_every_mark_stands_there() -> None:
    marks = {mark for row in table("Marks on objects") for mark in words(row[0])}
    ours = {OWN_CORDON, SUSPENDED, RESTARTED, checkpoint.REQUESTED, checkpoint.DONE}
    ours |= {annotation_of("KEY", kind) for kind in ("taint", "label")}

    assert ours == marks - {"[PLN-...]", "watchstander"}
    assert {CHECKPOINT, SNOOZE} <= set(words(PAGE))


def test_every_argument_that_the_code_reads_stands_there() -> None:
    shown = {word.split(":")[0] for row in table("Arguments") for word in words(row[1])}
    source = "".join(path.read_text() for path in Path(act_settings.__file__).parent.rglob("*.py"))
    read = set(re.findall(r'look\.(?:text|seconds)\("(\w+)"', source))

    assert read <= shown
    assert len(read) > 15
