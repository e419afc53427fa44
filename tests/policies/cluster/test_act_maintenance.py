"""Resets, reboots and checkpoints on the real API server: made once, waited for, and believed only where it shows."""

from pathlib import Path
from typing import Any

import pytest
from acting import Act, Driver, plan_of, refused, target_of

from collectors.errors import FixConfiguration
from policies.cluster.checkpoint import DONE, REQUESTED
from policies.cluster.marks import mark
from policies.cluster.template import Template
from policies.cluster.template_files import FOLDER, load_template, shipped
from policies.journal import Progress, StepState
from policies.plan import StepKind
from testcluster import objects
from testcluster.admin import Admin, Object
from testcluster.commands import NOT_READY
from testcluster.space import Space

IMAGE = "registry.invalid/maintenance:1"
GPU = "GPU-5a1c0000-0000-0000-0000-000000000001"


@pytest.fixture
def cordoned(admin: Admin, node: Object) -> Object:
    """The test's node, out of use; KWOK itself gives no boot id."""
    name = node["metadata"]["name"]
    admin.cordon(name)
    admin.patch("Node", name, {"status": {"nodeInfo": {"bootID": "the-first"}}}, subresource="status")
    return admin.get("Node", name)


def templates(cluster: Space, **names: str) -> dict[str, Any]:
    """Settings with templates that come with Watchstander."""
    found = {kind: load_template(StepKind(kind), name) for kind, name in names.items()}
    return {"templates": found, "image": IMAGE, "namespace": cluster.namespace}


def reboot(cluster: Space) -> dict[str, Any]:
    return templates(cluster, reboot_node="job")


def jobs(admin: Admin, cluster: Space) -> list[Object]:
    return admin.list("Job", cluster.namespace)


def set_status(admin: Admin, thing: Object, status: Any, namespace: str = "") -> None:
    kind = thing.get("kind", "Pod")  # items of lists bear none
    admin.patch(kind, thing["metadata"]["name"], {"status": status}, namespace, subresource="status")


def is_made(look: Progress) -> bool:
    return look.changed


def test_a_reboot_is_over_when_the_node_is_ready_with_a_new_boot_id(
    act: Act, admin: Admin, cluster: Space, cordoned: Object
) -> None:
    driver: Driver = act(StepKind.REBOOT_NODE, cordoned, settings=reboot(cluster))
    before = cordoned["status"]["nodeInfo"]["bootID"]
    driver.run(until=is_made)
    [job] = jobs(admin, cluster)
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert driver.memo["boot_id"] == before
    assert container["command"][-1] == before
    assert job["spec"]["template"]["spec"]["nodeName"] == cordoned["metadata"]["name"]

    name = cordoned["metadata"]["name"]
    admin.patch("Node", name, {"metadata": {"labels": NOT_READY}})
    admin.wait("Node", name, lambda node: not is_ready(node))
    set_status(admin, cordoned, {"nodeInfo": {"bootID": "another"}})
    assert driver.look().detail.startswith(f"Node {name} is to reboot: NotReady, boot id new")
    admin.patch("Node", name, {"metadata": {"labels": dict.fromkeys(NOT_READY)}})

    admin.wait("Node", name, is_ready)
    assert driver.run().detail == f"Node {name} is Ready with a new boot id another"
    assert driver.verify().state is StepState.DONE
    assert len(jobs(admin, cluster)) == 1


def is_ready(node: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])


def test_a_node_that_does_not_come_back_is_told_of(act: Act, cluster: Space, cordoned: Object) -> None:
    driver = act(StepKind.REBOOT_NODE, cordoned, settings=reboot(cluster), arguments={"deadline_seconds": "60"})

    ended = driver.run()

    assert ended.state is StepState.FAILED
    assert "did not come back within 65 s: Ready, boot id the old one" in ended.detail


def test_a_node_that_rebooted_since_the_plan_was_made_is_not_rebooted_again(
    act: Act, admin: Admin, cluster: Space, cordoned: Object
) -> None:
    ended = act(StepKind.REBOOT_NODE, cordoned, settings=reboot(cluster), arguments={"boot_id": "of-yesterday"}).run()

    assert (ended.state, jobs(admin, cluster)) == (StepState.SKIPPED, [])
    assert "has rebooted since the plan was made" in ended.detail


@pytest.mark.parametrize("kind", [StepKind.REBOOT_NODE, StepKind.RESET_GPU])
def test_a_node_in_use_is_neither_rebooted_nor_reset(
    kind: StepKind, act: Act, admin: Admin, cluster: Space, node: Object
) -> None:
    known = templates(cluster, **{kind.value: "job"})
    pod = cluster.run_job("train", pods=1, gpus=1)[0]

    open_still = act(kind, node, settings=known, arguments={"gpu": GPU}).run()
    admin.cordon(node["metadata"]["name"])
    busy = act(kind, node, settings=known, arguments={"gpu": GPU}).run()

    assert [open_still.state, busy.state] == [StepState.FAILED, StepState.FAILED]
    assert "is not cordoned" in open_still.detail
    assert f"pods with GPUs still run there: {cluster.namespace}/{pod['metadata']['name']}" in busy.detail
    assert [job["metadata"]["name"] for job in jobs(admin, cluster)] == ["train"]


def test_a_reset_is_over_when_its_job_is(act: Act, admin: Admin, cluster: Space, cordoned: Object) -> None:
    known = templates(cluster, reset_gpu="job")
    driver = act(StepKind.RESET_GPU, cordoned, settings=known, arguments={"gpu": GPU})
    driver.run(until=is_made)
    [job] = jobs(admin, cluster)
    assert job["spec"]["template"]["spec"]["containers"][0]["command"][-2:] == ["-i", GPU]
    [pod] = cluster.running(f"batch.kubernetes.io/job-name={job['metadata']['name']}", 1)
    set_status(admin, pod, {"phase": "Succeeded"}, cluster.namespace)

    admin.wait("Job", job["metadata"]["name"], lambda job: job["status"].get("succeeded") == 1, cluster.namespace)
    assert driver.run().state is StepState.DONE
    assert driver.verify().state is StepState.DONE


def test_a_card_that_is_not_known_is_not_reset(act: Act, admin: Admin, cluster: Space, cordoned: Object) -> None:
    driver = act(StepKind.RESET_GPU, cordoned, settings=templates(cluster, reset_gpu="job"))

    assert "which card is to be reset is not known" in refused(driver)
    assert jobs(admin, cluster) == []


def test_a_reset_that_fails_says_so(act: Act, admin: Admin, cluster: Space, cordoned: Object) -> None:
    known = templates(cluster, reset_gpu="job")
    driver = act(StepKind.RESET_GPU, cordoned, settings=known, arguments={"gpu": GPU})
    driver.run(until=is_made)
    [job] = jobs(admin, cluster)
    [pod] = cluster.running(f"batch.kubernetes.io/job-name={job['metadata']['name']}", 1)
    set_status(admin, pod, {"phase": "Failed"}, cluster.namespace)

    ended = driver.run()

    assert ended.state is StepState.FAILED
    assert ended.detail == f"{job['metadata']['name']} has failed"


def test_an_object_that_somebody_deleted_is_not_made_again(
    act: Act, admin: Admin, cluster: Space, cordoned: Object
) -> None:
    known = templates(cluster, reset_gpu="job")
    driver = act(StepKind.RESET_GPU, cordoned, settings=known, arguments={"gpu": GPU})
    driver.run(until=is_made)
    name = jobs(admin, cluster)[0]["metadata"]["name"]
    admin.delete("Job", name, cluster.namespace, propagationPolicy="Background")
    admin.wait_gone("Job", name, cluster.namespace)

    ended = driver.run()

    assert (ended.state, jobs(admin, cluster)) == (StepState.FAILED, [])
    assert ended.detail == f"{name} was deleted before it was over"


def definition(kind: str, plural: str) -> Object:
    """A CustomResourceDefinition of NVSentinel's janitor with only what our template counts on."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.janitor.dgxc.nvidia.com"},
        "spec": {
            "group": "janitor.dgxc.nvidia.com",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Cluster",
            "versions": [version],
        },
    }


def test_custom_resources_of_a_maintenance_operator_are_made_and_waited_for(
    act: Act, admin: Admin, cluster: Space, cordoned: Object
) -> None:
    for kind, plural in (("GPUReset", "gpuresets"), ("RebootNode", "rebootnodes")):
        admin.create(definition(kind, plural))
        admin.wait("CustomResourceDefinition", f"{plural}.janitor.dgxc.nvidia.com", established)
    known = templates(cluster, reset_gpu="janitor", reboot_node="janitor")
    reset = act(StepKind.RESET_GPU, cordoned, settings=known, arguments={"gpu": GPU})
    reset.run(until=is_made)
    [made] = admin.list("GPUReset")
    assert made["spec"] == {"nodeName": cordoned["metadata"]["name"], "selector": {"uuids": [GPU]}}
    set_status(admin, made, {"phase": "Succeeded"})
    assert reset.run().state is StepState.DONE

    again = act(StepKind.REBOOT_NODE, cordoned, settings=known)
    again.run(until=is_made)
    [made] = admin.list("RebootNode")
    assert made["spec"] == {"nodeName": cordoned["metadata"]["name"], "force": False}
    set_status(admin, cordoned, {"nodeInfo": {"bootID": "another"}})
    assert again.run().state is StepState.DONE


def established(definition: Object) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


@pytest.mark.parametrize(
    ("known", "says"),
    [
        pytest.param({}, "no template for reboot_node: set one", id="none"),
        pytest.param(
            {"reboot_node": Template("wizards", {"apiVersion": "magic.example/v1", "kind": "Wizard"}, ())},
            "the cluster has no wizards of magic.example/v1",
            id="its kind is not installed",
        ),
    ],
)
def test_a_missing_template_or_kind_is_a_setting_to_mend(
    known: dict[str, Template], says: str, act: Act, cordoned: Object
) -> None:
    with pytest.raises(FixConfiguration, match=says):
        act(StepKind.REBOOT_NODE, cordoned, settings={"templates": known}).run()


@pytest.fixture
def job(admin: Admin, cluster: Space) -> Object:
    return admin.create(objects.indexed_job("train", cluster.namespace, 1, 0))


def note(admin: Admin, cluster: Space, **annotations: str) -> dict[str, str]:
    """Annotations of the job, after these were set."""
    noted = {f"watchstander.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    body = {"metadata": {"annotations": noted}}
    found = admin.patch("Job", "train", body, cluster.namespace)
    return dict(found["metadata"].get("annotations", {}))


def test_a_job_that_can_is_asked_to_save_once_and_waited_for(
    act: Act, admin: Admin, cluster: Space, job: Object
) -> None:
    driver = act(StepKind.CHECKPOINT, job, arguments={"how": "annotation"})
    driver.run(until=is_made)
    asked = note(admin, cluster)[REQUESTED]
    assert (asked, driver.look().state) == (mark(driver.plan), StepState.RUNNING)
    note(admin, cluster, checkpoint_done="an earlier one")
    assert driver.look().state is StepState.RUNNING

    note(admin, cluster, checkpoint_done=asked)

    assert driver.run().detail == f"Job {cluster.namespace}/train says that it has saved"
    assert driver.verify().state is StepState.DONE
    assert note(admin, cluster)[DONE] == asked


def test_silence_is_waited_out_and_the_plan_goes_on(act: Act, cluster: Space, job: Object) -> None:
    ended = act(StepKind.CHECKPOINT, job, arguments={"how": "annotation", "deadline_seconds": "60"}).run()

    assert ended.state is StepState.SKIPPED
    assert "did not say within 62 s that it has saved; going on without" in ended.detail


@pytest.mark.parametrize(
    ("how", "says"),
    [("", "does not say how it can save"), ("signal", "asks to be told by 'signal'")],
)
def test_a_job_that_cannot_be_asked_through_the_api_is_not(
    how: str, says: str, act: Act, admin: Admin, cluster: Space, job: Object
) -> None:
    ended = act(plan_of(StepKind.CHECKPOINT, target_of(job), {"how": how} if how else {})).run()

    assert (ended.state, ended.changed) == (StepState.SKIPPED, False)
    assert says in ended.detail
    assert REQUESTED not in note(admin, cluster)


def test_templates_that_come_with_us_are_a_job_and_the_janitor_s_for_each_step() -> None:
    assert {kind: sorted(shipped(kind)) for kind in (StepKind.RESET_GPU, StepKind.REBOOT_NODE)} == {
        StepKind.RESET_GPU: ["janitor", "job"],
        StepKind.REBOOT_NODE: ["janitor", "job"],
    }
    assert len(list(FOLDER.iterdir())) == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("plural: [", "no template: "),
        ("plural: jobs", "no template: Object missing required field `object`"),
        ("{plural: a, object: {kind: A}, done: []}", "object: apiVersion is missing"),
        ("{plural: a, object: {kind: A, apiVersion: b}, done: []}", "done is empty"),
        ("{plural: a, object: {kind: A, apiVersion: b, metadata: {name: x}}, done: [{path: a}]}", "made from the plan"),
        ("{plural: a, object: {kind: A, apiVersion: b}, done: [{path: '$.a'}]}", "is no path such as"),
        ("{plural: a, object: {kind: A, apiVersion: b}, done: [{pth: a}]}", "unknown field `pth`"),
    ],
)
def test_a_template_file_with_a_mistake_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)

    with pytest.raises(FixConfiguration) as told:
        load_template(StepKind.RESET_GPU, str(file))

    assert says in str(told.value)
    assert "\n" not in str(told.value)


def test_a_template_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(FixConfiguration, match="'jbo': No such file or directory; give janitor or job, or a file"):
        load_template(StepKind.RESET_GPU, "jbo")
