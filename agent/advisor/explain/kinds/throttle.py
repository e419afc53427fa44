"""Clocks that are held down: by heat, by power."""

from agent.advisor.explain.case import Case, Words, sure
from agent.advisor.explain.model import Cause
from detectors.model import FindingKind, Severity


def thermal_throttle(case: Case) -> Words:
    """The card is hot."""
    return Words(
        (
            Cause(f"{case.place} slows itself down because it is hot: {case.shown()}.", sure(case.root), case.refs()),
            Cause("One card alone: its own cooling (heat sink, thermal paste, a blocked slot).", "possible"),
            Cause("Several cards of the node or rack: fans, inlet air, the room.", "possible"),
            Cause(
                "Not the power limit: the driver names a thermal reason.",
                "ruled out",
                case.refs("gpu_clocks_event_reasons"),
            ),
        ),
        (
            "the temperatures of the other GPUs of the node and of its neighbours in the rack",
            "fan speeds and inlet temperature from the management controller",
        ),
        (
            "tell the data centre; until then every job on the card runs at its pace",
            f"if only {case.place} is hot, take the node out at the next pause and have its cooling checked",
        ),
    )


def power_throttle(case: Case) -> Words:
    """The clock is held down by power."""
    if case.root.severity is Severity.CRITICAL:
        return Words(
            (
                Cause(
                    f"The machine's power supply brakes the card from outside: {case.shown()}.",
                    sure(case.root),
                    case.refs(),
                ),
                Cause("A power supply unit or its feed has failed, or the rack is over its budget.", "likely"),
                Cause("Not the job's load: the software power cap sets another bit.", "ruled out", case.refs()),
            ),
            ("the power supplies and the feed of the node and its neighbours: a brake seldom comes alone",),
            ("tell the data centre at once", "move the job if its nodes share the feed"),
        )
    return Words(
        (
            Cause(
                f"Denser work at the same power limit: {case.shown()}. The card is truly slowed and not faulty.",
                "likely",
                case.refs(),
            ),
            Cause("Somebody lowered the power limit.", "possible", case.refs("gpu_power_watts")),
            Cause("Not heat: no thermal reason is set.", "ruled out", case.refs("gpu_clocks_event_reasons")),
            Cause("Not a slow peer: no rank of the job rests.", "ruled out", case.refs()),
        ),
        (
            "whether the job has entered another phase (longer sequences, another kernel)",
            "`nvidia-smi -q -d POWER`: the limit in force against the card's default",
        ),
        ("nothing, if the work is meant to be dense", "restore the limit, if it was lowered by mistake"),
    )


KINDS = {FindingKind.THERMAL_THROTTLE: thermal_throttle, FindingKind.POWER_THROTTLE: power_throttle}
