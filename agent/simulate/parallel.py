"""Who waits for whom: the data, tensor and pipeline groups of a job's ranks."""

from dataclasses import dataclass

import numpy as np

from agent.simulate.cards import Floats, Ints


@dataclass(frozen=True, slots=True)
class Parallel:
    """A layout as Megatron counts ranks: tensor innermost, then data, pipeline outermost."""

    ranks: int
    tensor: int = 1
    pipeline: int = 1

    @property
    def data(self) -> int:
        """Size of a data-parallel group."""
        return self.ranks // (self.tensor * self.pipeline)

    def coordinates(self, rank: int) -> tuple[int, int, int]:
        """(tensor, data, pipeline) place of a rank."""
        return rank % self.tensor, rank // self.tensor % self.data, rank // (self.tensor * self.data)

    def tensor_group(self, rank: int) -> list[int]:
        """The ranks that split a layer with it: they meet many times a step."""
        first = rank - rank % self.tensor
        return list(range(first, first + self.tensor))

    def waits_after(self, guilty: Ints, step_seconds: float, into_step: float) -> Floats:
        """Seconds after which each rank waits for a guilty one that has stopped, shape (ranks,); 0 for the guilty.

        Its tensor group within a layer; its pipeline within a few micro-batches, the further the later; the other
        replicas when they meet at the step's end, of which `into_step` (0 to 1) has passed.
        """
        rank = np.arange(self.ranks)
        data, pipe = rank // self.tensor % self.data, rank // (self.tensor * self.data)
        after = np.full(self.ranks, (1 - into_step) * step_seconds)
        for one in guilty.tolist():
            _, own_data, own_pipe = self.coordinates(one)
            own = data == own_data
            distance = np.abs(pipe - own_pipe) * step_seconds * 0.1
            after = np.where(own, np.minimum(after, distance), after)
        after[guilty] = 0.0
        return after
