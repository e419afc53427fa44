import subprocess
import sys

import pytest

STORM = """
import sys, threading
import msgspec
from collectors.struct_types import learn_structs

sys.setswitchinterval(1e-6)
for number in range(100):
    low = msgspec.defstruct("Low", [("a", int), ("b", dict[str, list[int]], {})], module="agent.storm")
    top = msgspec.defstruct("Top", [("low", low), ("more", list[low], [])], module="agent.storm")
    assert {"agent.storm.Low", "agent.storm.Top"} <= learn_structs()
    together = threading.Barrier(8)

    def decode():
        together.wait()
        msgspec.json.decode(b'{"low": {"a": 1}}', type=top)

    threads = [threading.Thread(target=decode) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@pytest.mark.slow
def test_threads_that_decode_what_was_learnt_for_the_first_time_at_once_live_on() -> None:
    """Without `learn_structs` msgspec ends the process within a few rounds."""
    assert subprocess.run([sys.executable, "-c", STORM], check=False).returncode == 0


@pytest.mark.slow
def test_what_an_agent_decodes_in_threads_of_its_own_is_learnt_where_it_starts() -> None:
    program = """
import agent.server.serve
from collectors.struct_types import learn_structs

print(*learn_structs(), sep="\\n")
"""
    learnt = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    wanted = {"agent.inventory.objects.Page", "agent.inventory.objects.Pod", "detectors.model.finding.Finding"}
    assert [name for name in wanted if name not in learnt] == []
