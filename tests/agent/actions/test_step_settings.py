"""Settings of steps: templates are read and kinds of jobs checked before anything starts."""

from pathlib import Path

import msgspec
import pytest

from agent.actions.step_settings import act_settings
from agent.settings import InventorySettings, Settings, StepsSettings
from collectors.errors import FixConfiguration
from policies.cluster.act_settings import ActSettings


def test_the_defaults_of_both_are_the_same() -> None:
    assert act_settings(Settings()) == ActSettings()


def test_every_setting_of_steps_arrives(tmp_path: Path) -> None:
    file = tmp_path / "reboot.yaml"
    file.write_text("{plural: a, object: {kind: A, apiVersion: b/v1}, done: [{path: status.done}]}")
    numbers = {
        field.name: field.default + 1
        for field in msgspec.structs.fields(StepsSettings)
        if isinstance(field.default, int | float)
    }
    steps = StepsSettings(
        **numbers, reset_gpu="janitor", reboot_node=str(file), image="i", namespace="n", unproven=("RayJob",)
    )

    made = act_settings(Settings(steps=steps, inventory=InventorySettings(gpu_resources=("amd.com/gpu",))))

    assert {name: getattr(made, name) for name in numbers} == numbers
    assert {kind: template.plural for kind, template in made.templates.items()} == {
        "reset_gpu": "gpuresets",
        "reboot_node": "a",
    }
    assert (made.image, made.namespace, made.unproven, made.gpu_resources) == ("i", "n", ("RayJob",), ("amd.com/gpu",))


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (StepsSettings(reset_gpu="jobb"), "template of reset_gpu 'jobb': No such file"),
        (StepsSettings(unproven=("PyTorch",)), "steps.unproven: 'PyTorch' is none of JAXJob, Job.volcano, MPIJob"),
    ],
    ids=["template", "kind"],
)
def test_what_will_not_do_is_one_line(steps: StepsSettings, says: str) -> None:
    with pytest.raises(FixConfiguration) as told:
        act_settings(Settings(steps=steps))

    assert str(told.value).startswith(says)
