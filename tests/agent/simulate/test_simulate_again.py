"""One card, the same error twice, the job started anew on it between the two: two causes, two incidents."""

from pathlib import Path

import pytest

from agent.scoring.replayed import scored
from agent.scoring.truth import read_truth
from agent.simulate.scenario import FaultSpec, JobSpec, Scenario
from agent.simulate.simulation import simulate

pytestmark = pytest.mark.slow

JOB = JobSpec(
    name="llm",
    ranks=16,
    log="torchtitan",
    log_every=1,
    launcher=True,
    start_seconds=10,
    restart_seconds=40,
    step_seconds=0.5,
    timeout_seconds=60,
    save_every_seconds=3000,
    evaluation_every_seconds=3000,
)


@pytest.mark.parametrize("kind", ["ecc_uncorrectable", "xid", "nvlink_error"])
def test_the_same_error_of_a_card_that_its_job_works_on_again_is_another_cause(kind: str, tmp_path: Path) -> None:
    twice = tuple(FaultSpec(kind=kind, at=at, job="llm", rank=5) for at in (90, 330))
    simulate(Scenario(name="again", nodes=2, hours=0.16, jobs=(JOB,), faults=twice), 5, tmp_path / "out")

    score = scored(tmp_path / "out", read_truth(tmp_path / "out")).as_json()

    told = {key: score[key] for key in ("causes", "incidents", "found", "false", "root_right", "guilty_right")}
    assert told == {"causes": 2, "incidents": 2, "found": 2, "false": 0, "root_right": 2, "guilty_right": 2}
