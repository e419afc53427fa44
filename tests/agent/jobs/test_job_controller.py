"""Whether its controller restarts a job that died: told from the pods that Kubernetes lists, else unknown."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from jobs_story import T0, S, Story

from agent.inventory.labels import Mapper
from agent.inventory.objects import Pod
from agent.jobs.card import cards_of
from agent.jobs.record import AttemptState
from agent.settings import InventorySettings
from benchmarks.kube_server import pod
from collectors.model import EventKind, Subject, SubjectKind
from detectors.inventory import Source

RANKS = 4


class Kubernetes:
    """Pods as the API tells them to the watch of a story, at the story's time."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.mapper = Mapper("c", InventorySettings())

    def put(self, name: str, uid: str, phase: str = "Running", restarts: int = 0, created: float | None = None) -> None:
        """A pod is there, new or changed."""
        raw: Any = pod(name, uid, owner="owner-uid", phase=phase)
        made = self.story.at if created is None else created
        raw["metadata"]["creationTimestamp"] = datetime.fromtimestamp(T0 / 1e9 + made, UTC).isoformat()
        raw["status"]["containerStatuses"] = [{"restartCount": restarts}]
        facts = self.mapper.pod(msgspec.convert(raw, Pod))
        if facts:
            self.story.watch.engine.inventory.tell(Source.KUBERNETES, facts, self.now_ns)
        else:
            self.drop(uid, "ended")

    def drop(self, uid: str, because: str) -> None:
        """A pod is gone."""
        for subject in self.mapper.gone(SubjectKind.POD, uid):
            self.story.watch.engine.inventory.untell(Source.KUBERNETES, subject, self.now_ns, because)

    @property
    def now_ns(self) -> int:
        return T0 + round(self.story.at * S)


def runs_and_dies(story: Story, *, kubernetes: bool = True) -> Kubernetes:
    """A job on four cards, each held by a pod that the API knows; it steps, and one rank dies of an exception."""
    cluster = Kubernetes(story)
    if kubernetes:
        for rank in range(RANKS):
            cluster.put(f"llama-{rank}", f"pod-{rank}")
    story.holds(RANKS, pods="pod-" if kubernetes else "")
    story.passes(1)
    story.steps(1, 30)
    story.says(EventKind.TRACEBACK, rank="2")
    story.says(EventKind.PROCESS_EXIT, rank="2", exit_code=1.0)
    story.passes(15)
    story.looks()
    assert story.newest.state is AttemptState.FAILED
    return cluster


def says(story: Story) -> str:
    """What the card says now."""
    story.passes(11)
    story.looks()
    [card] = cards_of(list(story.rows.values()), gpu_hour=0.0, currency="")
    return card.restarting


def test_without_kubernetes_it_is_unknown_and_says_what_would_tell(story: Story) -> None:
    runs_and_dies(story, kubernetes=False)

    assert says(story).startswith("unknown: its pods are not known")
    assert "inventory.kubernetes" in says(story)


def test_while_all_pods_run_the_controller_has_not_noticed(story: Story) -> None:
    runs_and_dies(story)

    assert says(story).startswith(
        "not yet: of its pods 4 running still, so its controller does not take it for failed; nothing has happened"
    )


def test_pods_made_anew_are_a_restart_with_their_phases_and_attempt(story: Story) -> None:
    cluster = runs_and_dies(story)
    for rank in range(RANKS):
        cluster.drop(f"pod-{rank}", "deleted")
    story.passes(2)
    cluster.put("llama-0", "new-0")
    cluster.put("llama-1", "new-1", phase="Pending")

    assert says(story).startswith("yes: since 2026-")
    assert "its pods are made anew, 1 running and 1 pending (attempt 1 of its owner)" in says(story)


def test_one_pod_made_anew_is_not_taken_for_all_of_them(story: Story) -> None:
    cluster = runs_and_dies(story)
    cluster.drop("pod-2", "deleted")
    story.passes(2)
    cluster.put("llama-2", "new-2", phase="Pending")

    assert "its pods are made anew, 1 pending" in says(story)
    pods = story.newest.pods
    assert pods is not None
    assert (pods.running, pods.anew_waiting, pods.anew_running) == (3, 1, 0)


def test_a_container_that_began_anew_in_its_pod_is_a_restart(story: Story) -> None:
    cluster = runs_and_dies(story)
    story.passes(2)
    cluster.put("llama-2", "pod-2", restarts=1, created=0)

    assert says(story) == "yes: containers of 1 pod began anew where they are; no step is made yet"


@pytest.mark.parametrize(
    ("phase", "because"),
    [pytest.param("Failed", "ended", id="ended"), pytest.param("", "deleted", id="deleted")],
)
def test_pods_that_are_gone_without_new_ones_are_no_sign_of_a_restart(story: Story, phase: str, because: str) -> None:
    cluster = runs_and_dies(story)
    for rank in range(RANKS):
        if phase:
            cluster.put(f"llama-{rank}", f"pod-{rank}", phase=phase)
        else:
            cluster.drop(f"pod-{rank}", because)
    story.passes(300)

    assert says(story).startswith(f"no sign of it: all its pods are gone ({because}), none is made anew; nothing has")
    assert "for 5 min" in says(story)


def test_new_pods_that_are_gone_again_are_said(story: Story) -> None:
    cluster = runs_and_dies(story)
    for rank in range(RANKS):
        cluster.drop(f"pod-{rank}", "deleted")
    story.passes(2)
    cluster.put("llama-0", "new-0")
    story.passes(2)
    cluster.drop("new-0", "deleted")

    assert says(story).startswith("no longer: 1 pod made anew since it died are gone again")


def test_pods_known_only_since_a_restart_of_the_agent_are_not_taken_for_new(story: Story) -> None:
    """The API says when a pod was made: first seen is not made."""
    cluster = runs_and_dies(story)
    inventory = story.watch.engine.inventory
    for rank in range(RANKS):
        cluster.drop(f"pod-{rank}", "deleted")
        inventory._forget(Subject("c", SubjectKind.POD, f"pod-{rank}"))
    story.passes(5)
    for rank in range(RANKS):
        cluster.put(f"llama-{rank}", f"pod-{rank}", created=0)

    assert says(story).startswith("not yet: of its pods 4 running still")


def test_the_word_is_kept_over_a_restart_of_the_agent(story: Story) -> None:
    cluster = runs_and_dies(story)
    for rank in range(RANKS):
        cluster.drop(f"pod-{rank}", "deleted")
    story.passes(2)
    cluster.put("llama-0", "new-0")
    before = says(story)
    again = Story(at=story.at + 60)
    again.watch.restore((), (), (), story.rows.values())
    again.holds(0)
    again.passes(20)
    again.looks()

    [card] = cards_of(list(again.rows.values()), gpu_hour=0.0, currency="")
    assert card.restarting == before


def test_a_job_that_steps_again_forgets_what_its_pods_said(story: Story) -> None:
    cluster = runs_and_dies(story)
    cluster.put("llama-2", "pod-2", restarts=1, created=0)
    assert says(story).startswith("yes")
    story.says(EventKind.TRAINING_START)
    story.steps(31, 60)
    story.looks()

    assert story.newest.pods is None


def test_the_image_comes_from_the_container_that_asks_for_gpus(story: Story) -> None:
    raw: Any = pod("llama-0", "pod-0", owner="owner-uid")
    raw["spec"]["containers"][0]["image"] = "registry.example/train@sha256:1"
    raw["spec"]["containers"].insert(0, {"name": "sidecar", "image": "registry.example/proxy"})
    facts = Mapper("c", InventorySettings()).pod(msgspec.convert(raw, Pod))

    assert [one.attributes.get("image") for one in facts] == [None, "registry.example/train@sha256:1"]
