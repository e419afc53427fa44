"""The settings of steps as `policies/cluster` takes them: templates read, kinds of jobs checked."""

import msgspec

from agent.settings import Settings
from collectors.errors import FixConfiguration
from policies.cluster.act_settings import ActSettings
from policies.cluster.restart_job import UNPROVEN_TURNS
from policies.cluster.template_files import STEPS, load_template


def act_settings(settings: Settings) -> ActSettings:
    """FixConfiguration, before anything starts, for a template that will not do or a kind that nobody knows."""
    steps = settings.steps
    known = sorted(name for name, *_ in UNPROVEN_TURNS.values())
    unknown = [name for name in steps.unproven if name not in known]
    if unknown:
        raise FixConfiguration(f"steps.unproven: {unknown[0]!r} is none of {', '.join(known)}")
    names = {kind: getattr(steps, kind.value) for kind in STEPS}
    fields = msgspec.structs.asdict(steps)
    return ActSettings(
        **{name: fields[name] for name in ActSettings.__struct_fields__ if name in fields},
        templates={kind.value: load_template(kind, name) for kind, name in names.items() if name},
        gpu_resources=settings.inventory.gpu_resources,
    )
