"""How much of an attempt's time went where: whole nanoseconds, so that the parts add up exactly."""

import msgspec

from detectors.goodput.cause import LOST, Cause


class Account(msgspec.Struct):
    """Sums of one attempt, or of several.

    `sum(wall_ns.values())` is the attempt's length, `sum(gpu_ns.values())` the integral of its GPUs over it.
    """

    wall_ns: dict[Cause, int] = {}
    gpu_ns: dict[Cause, int] = {}
    """GPU-nanoseconds; time while the number of GPUs was unknown is missing here, and counted in `gpus_unknown_ns`."""
    steps: int = 0
    """Made in the productive time."""
    reworked_steps: int = 0
    gpus_unknown_ns: int = 0

    def put(self, cause: Cause, wall_ns: int, gpu_ns: int | None) -> None:
        """Add a piece of time; `gpu_ns` None where the number of GPUs is unknown."""
        self.wall_ns[cause] = self.wall_ns.get(cause, 0) + wall_ns
        if gpu_ns is None:
            self.gpus_unknown_ns += wall_ns
        else:
            self.gpu_ns[cause] = self.gpu_ns.get(cause, 0) + gpu_ns

    def add(self, other: "Account") -> None:
        """Add another account."""
        for cause, spent in other.wall_ns.items():
            self.wall_ns[cause] = self.wall_ns.get(cause, 0) + spent
        for cause, spent in other.gpu_ns.items():
            self.gpu_ns[cause] = self.gpu_ns.get(cause, 0) + spent
        self.steps += other.steps
        self.reworked_steps += other.reworked_steps
        self.gpus_unknown_ns += other.gpus_unknown_ns

    def copy(self) -> "Account":
        """One of its own."""
        return Account(dict(self.wall_ns), dict(self.gpu_ns), self.steps, self.reworked_steps, self.gpus_unknown_ns)

    @property
    def total_wall_ns(self) -> int:
        """The length of what it accounts for."""
        return sum(self.wall_ns.values())

    @property
    def total_gpu_ns(self) -> int:
        """GPUs times time."""
        return sum(self.gpu_ns.values())

    @property
    def lost_gpu_ns(self) -> int:
        """GPU time of the causes in `LOST`."""
        return sum(self.gpu_ns.get(cause, 0) for cause in LOST)

    def share(self, cause: Cause) -> float:
        """0 to 1: of the GPU time where it is known, else of the wall time; 0.0 of an empty account."""
        spent, total = self.gpu_ns, self.total_gpu_ns
        if not total:
            spent, total = self.wall_ns, self.total_wall_ns
        return spent.get(cause, 0) / total if total else 0.0

    def throughput_share(self, pace_ns: int | None) -> float | None:
        """How fast the productive steps were against the job's own best pace, 0 to 1; None where either is unknown."""
        productive = self.wall_ns.get(Cause.PRODUCTIVE, 0)
        if pace_ns is None or not productive or not self.steps:
            return None
        return min(1.0, self.steps * pace_ns / productive)

    def goodput(self, pace_ns: int | None) -> float | None:
        """Share of the time that was productive times its throughput share; None where the pace is unknown."""
        throughput = self.throughput_share(pace_ns)
        return None if throughput is None else self.share(Cause.PRODUCTIVE) * throughput
