"""Names of jobs and ranks made of a path are checked when the settings are read."""

from pathlib import Path

import pytest

from collectors.errors import FixConfiguration
from collectors.settings import GpuSettings, LogSettings, load_settings, with_options


def test_templates_proc_and_job_are_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(
        "logs: [{path: /var/log/pods/*/*/*.log, job: '{namespace}/{pod_base}', rank: '{pod_index}'}]\n"
        "gpus: {job: bare}\nhost_proc: /host/proc\npod_logs: /host/pods\n"
    )
    settings = load_settings(path)
    assert settings.logs == (LogSettings("/var/log/pods/*/*/*.log", "{namespace}/{pod_base}", "{pod_index}"),)
    assert (settings.gpus, settings.host_proc, settings.pod_logs) == (GpuSettings("bare"), "/host/proc", "/host/pods")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "logs: [{path: x, job: '{pdo}'}]",
            r"job: no path fills {pdo}; known are {namespace}, {pod}, .* `?\$.logs\[0\]",
        ),
        ("logs: [{path: x, job: 'a{}'}]", r"job: no path fills {}"),
        ("logs: [{path: x, job: y, rank: '{rank}'}]", r"rank: no path fills {rank}"),
        ("logs: [{path: x, job: y, rank: third}]", r"rank: 'third' is neither a figure nor made of placeholders"),
        ("logs: [{path: x, job: y, rank: 1.5}]", r"Expected `int \| str \| null`, got `float`"),
        ("gpus: {jobs: x}", r"unknown field `jobs` - at `\$.gpus`"),
        ("host_proc: 5", r"Expected `str`, got `int` - at `\$.host_proc`"),
    ],
)
def test_a_name_that_no_path_can_fill_stops_the_start_with_one_line(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    with pytest.raises(FixConfiguration, match=says) as caught:
        load_settings(path)
    assert str(caught.value).startswith(f"settings {path}: ")
    assert "\n" not in str(caught.value)


def test_a_template_on_the_command_line_is_checked_too() -> None:
    assert with_options(None, {}, ["/x/*.log={pod}"]).logs == (LogSettings("/x/*.log", "{pod}"),)
    with pytest.raises(FixConfiguration, match=r"command line: job: no path fills {pdo}"):
        with_options(None, {}, ["/x/*.log={pdo}"])
