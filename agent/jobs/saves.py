"""A job's checkpoints as its log tells of them: complete, torn, or never said to be over."""

from agent.jobs.record import Checkpoint, SaveState

MOST_SAVES = 8


class Saves:
    """The newest few of one job, over all its attempts.

    A log that has ever said that a save is over is held to it: without that word a save is torn when the job dies.
    One that never says it (Hugging Face, nanoGPT) is taken at the next step's word.
    """

    def __init__(self, saves: tuple[Checkpoint, ...] = (), *, says_ends: bool = False) -> None:
        self._saves = [Checkpoint(s.step, s.state, s.started_ns, s.ended_ns, s.path) for s in saves]
        self.says_ends = says_ends

    @property
    def saves(self) -> tuple[Checkpoint, ...]:
        """Oldest first; copies."""
        return tuple(Checkpoint(s.step, s.state, s.started_ns, s.ended_ns, s.path) for s in self._saves)

    def begins(self, step: int | None, time_ns: int, path: str) -> None:
        """The log announces a save. Several ranks may: the same step again is the same save."""
        open_ = self._open()
        if open_ is not None and open_.step == step:
            open_.path = open_.path or path
            return
        if open_ is not None:
            self._left(open_)
        self._put(Checkpoint(step, SaveState.SAVING, time_ns, None, path))

    def ends(self, step: int | None, time_ns: int, path: str) -> None:
        """The log says that a save is over."""
        self.says_ends = True
        for save in reversed(self._saves):
            if save.state is SaveState.SAVING or (save.state is SaveState.ASSUMED and save.step == step):
                save.state, save.ended_ns = SaveState.COMPLETE, time_ns
                save.step = step if step is not None else save.step
                save.path = path or save.path
                return
        newest = self._saves[-1] if self._saves else None
        if newest is not None and newest.state is SaveState.COMPLETE and (step is None or newest.step == step):
            return  # another rank's word of the same save
        self._put(Checkpoint(step, SaveState.COMPLETE, None, time_ns, path))

    def stepped(self) -> bool:
        """A step was made; whether that showed that a save is over."""
        open_ = self._open()
        if open_ is None or self.says_ends:
            return False
        open_.state = SaveState.ASSUMED
        return True

    def died(self) -> bool:
        """The job died or began anew: what was being saved is torn; whether anything was."""
        torn = [save for save in self._saves if save.state is SaveState.SAVING]
        for save in torn:
            save.state = SaveState.TORN
        return bool(torn)

    def _open(self) -> Checkpoint | None:
        return next((save for save in reversed(self._saves) if save.state is SaveState.SAVING), None)

    def _left(self, save: Checkpoint) -> None:
        save.state = SaveState.TORN if self.says_ends else SaveState.ASSUMED

    def _put(self, save: Checkpoint) -> None:
        self._saves.append(save)
        good = next((s for s in reversed(self._saves) if s.good), None)
        while len(self._saves) > MOST_SAVES:
            # the last good one stays however many torn ones follow
            self._saves.pop(1 if self._saves[0] is good else 0)
