import subprocess
import sys

import pytest

HEAVY = ("rich", "numpy", "starlette", "uvicorn", "sqlmodel", "sqlalchemy", "pydantic", "sklearn", "scipy", "jinja2")
LIGHT = [
    pytest.param(["version"], 0, id="version"),
    pytest.param(["--help"], 0, id="help"),
    pytest.param(["collect", "--help"], 0, id="collect"),
    pytest.param(["incidents", "--agent", "http://127.0.0.1:1", "--token-file", "/dev/null", "--json"], 3, id="json"),
]
CODE = """
import sys
from agent.cli.main import main
code = main({arguments!r})
print(code, *sorted(set(sys.modules) & set({heavy!r})), file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "code"), LIGHT)
def test_what_runs_on_a_node_loads_nothing_heavy(arguments: list[str], code: int) -> None:
    script = CODE.format(arguments=arguments, heavy=HEAVY)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stderr.splitlines()[-1] == str(code)


@pytest.mark.slow
def test_a_base_install_says_which_extra_a_command_needs() -> None:
    script = """
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rich", "numpy", "shtab"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NotInstalled())
from agent.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    said = {
        command: subprocess.run(
            [sys.executable, "-c", script, *command.split()], capture_output=True, text=True, check=False
        )
        for command in ("detectors", "completion bash", "version")
    }

    assert {command: ran.returncode for command, ran in said.items()} == {
        "detectors": 3,
        "completion bash": 3,
        "version": 0,
    }
    assert said["detectors"].stderr == (
        "watchstander: detectors needs the agent extra: pip install 'watchstander[agent]' (numpy is not installed)\n"
    )


@pytest.mark.slow
def test_an_agent_without_a_cluster_does_not_load_the_kubernetes_client() -> None:
    script = "import sys, agent.server.serve, agent.server.watches; print('kubernetes' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "False"
