"""A simulated training job: its ranks' cards, its log, its rhythm, and how it stumbles, dies and comes back."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from agent.simulate import log_lines
from agent.simulate import parameters as p
from agent.simulate.cards import NS, Ints, Place
from agent.simulate.job_plan import JobPlan, Phase, Slow
from agent.simulate.world import World
from collectors.model import Subject, SubjectFacts, SubjectKind


class Job:
    """One job over whole nodes. Methods take effect now, by the world's clock."""

    def __init__(self, world: World, plan: JobPlan, nodes: list[int]) -> None:
        self.world, self.plan = world, plan
        self.subject = Subject(
            world.fleet.cluster, SubjectKind.JOB, f"uid-{plan.name}-{world.rng.integers(1 << 32):08x}"
        )
        self.nodes = list(nodes)
        self.phase = Phase.OFF
        self.attempt = 0
        self.step = 0
        self.saved_step = 0
        self.settled_ns = 0
        """Since when it has been running without a break."""
        self.slow: dict[str, Slow] = {}
        """What slows it now, by the id of the fault."""
        self.when_running: list[Callable[[], None]] = []
        """Called once at the next first step."""
        self.ended = False
        self.before_restart: Callable[[], bool] | None = None
        """Asked before each restart; False: not now, ask again in 10 s."""
        self._token = 0
        self._line_from_ns = self._line_to_ns = 0
        self._left = 1.0
        """Share of the present line's time that is still to come, while it is held up."""
        self._loader_steps = 0
        self._wait_for_data = 0.0
        self._line_waits = 0.0
        """Seconds of the present line that wait for a slow loader."""
        self._collectives = 1000
        self._next_save_ns = self._next_evaluation_ns = 0

    # --- places ---

    @property
    def ranks(self) -> int:
        """World size."""
        return self.plan.parallel.ranks

    def place_of(self, rank: int) -> tuple[int, int]:
        """(node, card) of a rank."""
        wide = self.world.fleet.gpus_per_node
        return self.nodes[rank // wide], rank % wide

    def places(self, ranks: Ints | None = None) -> Place:
        """Of some ranks, or of all."""
        ranks = np.arange(self.ranks) if ranks is None else ranks
        wide = self.world.fleet.gpus_per_node
        return np.array(self.nodes, np.int64)[ranks // wide], ranks % wide

    def others(self, ranks: Ints) -> Ints:
        """All ranks but these."""
        return np.setdiff1d(np.arange(self.ranks), ranks)

    def rank_at(self, node: int, gpu: int) -> int | None:
        """The rank on a card."""
        wide = self.world.fleet.gpus_per_node
        rank = self.nodes.index(node) * wide + gpu if node in self.nodes else -1
        return rank if 0 <= rank < self.ranks else None

    # --- life ---

    def start(self) -> None:
        """Processes come up; a first attempt from step 0, a later one from the last checkpoint."""
        world, plan = self.world, self.plan
        self.attempt += 1
        self._new_phase(Phase.STARTING)
        self.slow.clear()
        for rank in range(self.ranks):
            node, gpu = self.place_of(rank)
            card = world.card(node, gpu)
            card.job, card.rank = self.subject.id, rank
        facts = {"world_size": str(self.ranks), "attempt": str(self.attempt)}
        world.jobs[self.subject.id] = SubjectFacts(self.subject, plan.name, None, facts)
        world.know(self.nodes)
        self._paint_all(p.STILL)
        self._hold(self.places(), min(3 * p.GIB, plan.held_bytes), 1)
        self.say(0, log_lines.START, plan.start_seconds * 0.5)
        if self.saved_step:
            self.step = self.saved_step
            self.say(0, log_lines.RESTORE.format(step=self.saved_step), plan.start_seconds * 0.6)
        lost = [r for r in range(self.ranks) if world.cards.lost[self.place_of(r)]]
        if lost:
            self._soon(plan.start_seconds * 0.4, lambda: self.crash(lost[0], 1, log_lines.NO_DEVICE))
        else:
            self._soon(plan.start_seconds, self._first_step)

    def _first_step(self) -> None:
        self._hold(self.places(), self.plan.held_bytes, 1)
        self._paint_all(self._working())
        self._soon(self.plan.first_step_seconds, self._run)

    def _run(self) -> None:
        self._new_phase(Phase.RUNNING)
        now = self.world.now_ns
        self.settled_ns = now
        self._next_save_ns = now + int(self.plan.save_every_seconds * self.world.uniform((0.5, 1.5)) * NS)
        self._next_evaluation_ns = now + int(self.plan.evaluation_every_seconds * self.world.uniform((0.4, 1.4)) * NS)
        self.step += 1
        self._tell_step(self.plan.first_step_seconds, 0.0)
        self._next_line()
        calls, self.when_running = self.when_running, []
        for call in calls:
            call()

    def finish(self) -> None:
        """The training is over, in order."""
        self.ended = True
        self.say(0, log_lines.ENDED[self.plan.log])
        self._new_phase(Phase.OFF)
        self._end_processes(np.arange(self.ranks), spread=1.0)
        self.world.after(8.0, self.release)

    def release(self) -> None:
        """Its pods are deleted: the cards are free."""
        for node in self.nodes:
            for card in self.world.fleet.nodes[node].cards:
                if card.job == self.subject.id:
                    card.job, card.rank = "", -1
        self.world.know(self.nodes)

    def move(self, node: int, to: int) -> None:
        """Its ranks of one node go to another; between two attempts."""
        for card in self.world.fleet.nodes[node].cards:
            card.job, card.rank = "", -1
        self.nodes[self.nodes.index(node)] = to
        self.world.know([node, to])

    # --- what holds it up ---

    def hang(self, guilty: Ints) -> None:
        """These ranks stop, the others come to wait for them."""
        self._pause(Phase.HELD_UP)
        self._collectives += 7
        self._stop(guilty, p.STILL)

    def stall(self, *, for_data: bool) -> None:
        """All ranks stop at once and none waits in a collective."""
        self._pause(Phase.HELD_UP)
        self._wait_for_data = -1.0 if for_data else 0.0
        self._paint_all(p.STILL)

    def resume(self) -> None:
        """What held it up has passed."""
        if self.phase is not Phase.HELD_UP:
            return
        held = (self.world.now_ns - self._line_to_ns) / NS
        waited = held if self._wait_for_data < 0 else 0.0
        self._wait_for_data = 0.0
        self._new_phase(Phase.RUNNING)
        self.settled_ns = self.world.now_ns
        self.paint()
        self._next_line(share=self._left, data_seconds=waited, held_seconds=held)

    def slow_by(self, fault: str, slow: Slow) -> None:
        """Steps take longer from now on."""
        self.slow[fault] = slow
        self._loader_steps = 0
        self._change_pace()

    def quick_again(self, fault: str) -> None:
        """That has passed."""
        if self.slow.pop(fault, None) is not None:
            self.settled_ns = self.world.now_ns
            self._change_pace()

    def time_out(self, waiting: Ints) -> None:
        """NCCL's watchdog gives up on the waiting ranks; their processes abort, and so does the job."""
        world = self.world
        for rank in waiting.tolist():
            when = world.now_ns + int(world.uniform((0.0, 0.6)) * NS)
            text = log_lines.watchdog(rank, self._collectives, self.plan.timeout_seconds, when)
            self._say_at(rank, text, when)
        first = int(waiting[0]) if len(waiting) else 0
        self._soon(world.uniform(p.JOB_TIMES.abort_seconds), lambda: self._aborted(first))

    def _aborted(self, rank: int) -> None:
        node, gpu = self.place_of(rank)
        self.world.say(
            self.subject,
            self.plan.name,
            node,
            log_lines.torchelastic(gpu, -6, self.world.pid(), self.world.now_ns),
        )
        self._break_down()

    def crash(self, rank: int, code: int, final: str = "") -> None:
        """One rank's process ends with an exit code (negative: a signal) and perhaps a traceback."""
        world = self.world
        for line in log_lines.traceback(rank, final) if final else []:
            self.say(rank, line)
        self._new_phase(Phase.BROKEN)
        dead = np.array([rank])
        self._stop(dead, p.STILL)
        self._end_processes(dead, spread=0.0)
        if self.plan.launcher:
            node, gpu = self.place_of(rank)
            pid = world.pid()

            def notice() -> None:
                text = log_lines.torchelastic(gpu, code, pid, world.now_ns)
                world.say(self.subject, self.plan.name, node, text)
                self._soon(world.uniform(p.JOB_TIMES.teardown_seconds), self._break_down)

            self._soon(world.uniform(p.JOB_TIMES.notice_seconds), notice)
        elif self.ranks > 1:
            waiting = self.others(dead)
            self._soon(self.plan.timeout_seconds, lambda: self.time_out(waiting))
        else:
            self._soon(1.0, self._break_down)

    def wait_until_timeout(self, silent: Ints) -> None:
        """These ranks are hung for good: the watchdog of the others speaks when its time is up."""
        waiting = self.others(silent)
        self._soon(self.plan.timeout_seconds, lambda: self.time_out(waiting))

    def break_off(self, ranks: Ints) -> None:
        """These ranks vanish with their node: no line of theirs."""
        self._new_phase(Phase.BROKEN)
        self._stop(ranks, p.STILL)
        self.wait_until_timeout(ranks)

    def preempt(self) -> None:
        """Its owner takes it down and brings it back later."""
        self.say(0, f"Received SIGTERM; exiting program at iteration {self.step}")
        self.saved_step = self.step
        self._break_down()

    def vanish(self, notice_seconds: float) -> None:
        """All its nodes are gone; its controller finds out after a while."""
        self._new_phase(Phase.BROKEN)
        self._soon(notice_seconds, self._break_down)

    def _break_down(self) -> None:
        """The last processes end; the controller starts new ones after a while."""
        self._new_phase(Phase.BROKEN)
        self._end_processes(np.arange(self.ranks), spread=2.0)
        self.world.after(self.plan.restart_seconds, self._restart)

    def _restart(self) -> None:
        if self.ended:
            return
        if self.before_restart is not None and not self.before_restart():
            self.world.after(10.0, self._restart)
            return
        self.start()

    # --- cards ---

    def paint(self) -> None:
        """Put all its cards into the states that its phase and what slows it make."""
        slow = self._slowest()
        working = self._working()
        if slow is None or slow.kind in ("dense", "nan", "diverged"):
            states = {"dense": p.DENSE, "nan": p.NAN, "diverged": p.DIVERGED}
            self._paint_all(states[slow.kind] if slow else working)
            return
        guilty = np.array(slow.guilty, np.int64)
        others = self.others(guilty)
        cards, now, step = self.world.cards, self.world.now_ns, self.plan.step_seconds
        if slow.kind == "straggler":
            rest = self._resting(slow.stretch)
            cards.put(self.places(others), rest, now)
            if slow.second_process:
                cards.put(self.places(guilty), p.CROWDED, now)
                self._hold(self.places(guilty), self.plan.held_bytes + 0.9 * p.GIB, 2)
            else:
                cards.put(self.places(guilty), working, now)
            return
        width, period = slow.batches * step, slow.batches * step + slow.wait_seconds
        late = self.places(guilty) if len(guilty) else self.places()
        cards.burst(late, p.STILL, self.plan.watts, period, width, now)
        if len(guilty):
            cards.burst(self.places(others), p.SPIN, self.plan.watts, period, width, now)

    def _working(self) -> p.State:
        if self.plan.watts >= p.WORK.watts:
            return p.WORK
        rest = (p.REST_CLOCK_MHZ + 8, p.REST_CLOCK_NOISE)
        return replace(p.WORK, watts=self.plan.watts, clock_mhz=rest[0], clock_noise=rest[1], reasons=0)

    def _resting(self, stretch: float) -> p.State:
        load = min(1.0, p.REST_LOAD / stretch)
        watts = p.STILL.watts + (self.plan.watts - p.STILL.watts) * load
        if watts > 0.985 * p.WORK.watts:
            return self._working()
        reasons = p.POWER_CAP if watts > 0.85 * p.WORK.watts else 0
        noise = 5.5 + 2.0 * (watts < 500)
        return p.State(watts, noise, (97, 100), p.REST_CLOCK_MHZ, p.REST_CLOCK_NOISE, reasons, 11_400 / stretch)

    def _paint_all(self, state: p.State) -> None:
        self.world.cards.put(self.places(), state, self.world.now_ns)

    def _stop(self, guilty: Ints, state: p.State) -> None:
        """The guilty stop now, each other rank when it needs one of them."""
        world = self.world
        world.cards.put(self.places(guilty), state, world.now_ns)
        after = self.plan.parallel.waits_after(guilty, self.plan.step_seconds, world.uniform((0.0, 1.0)))
        after = np.ceil(after * 4) / 4
        for delay in np.unique(after).tolist():
            ranks = np.setdiff1d(np.flatnonzero(after == delay), guilty)
            if len(ranks):
                self._soon(delay, partial(self._spin, ranks))

    def _spin(self, ranks: Ints) -> None:
        self.world.cards.put(self.places(ranks), p.SPIN, self.world.now_ns)

    def _hold(self, at: Place, held: float, processes: int) -> None:
        cards = self.world.cards
        cards.memory[at] = p.EMPTY_BYTES + held
        cards.memory_rate[at] = 0
        cards.processes[at] = processes

    def _end_processes(self, ranks: Ints, spread: float) -> None:
        world = self.world
        for node in np.unique(self.places(ranks)[0]).tolist():
            mine = np.array([r for r in ranks.tolist() if self.place_of(r)[0] == node])
            at = self.places(mine)

            def end(at: Place = at) -> None:
                alive = world.cards.processes[at] > 0
                at = (at[0][alive], at[1][alive])
                world.cards.put(at, p.ENDING, world.now_ns)
                self._hold(at, 0.0, 0)
                world.after(p.ENDING_SECONDS, lambda: self._off(at))

            world.after(world.uniform((0.0, spread)) if spread else 0.0, end)

    def _off(self, at: Place) -> None:
        idle = self.world.cards.processes[at] == 0
        self.world.cards.put((at[0][idle], at[1][idle]), p.OFF, self.world.now_ns)

    # --- steps and the log ---

    def say(self, rank: int, text: str, after_seconds: float = 0.0) -> None:
        """A line of a rank, now or a little later."""
        if after_seconds <= 0:
            self.world.say(self.subject, self.plan.name, self.place_of(rank)[0], text)
            return
        self._soon(after_seconds, lambda: self.say(rank, text))

    def _say_at(self, rank: int, text: str, when_ns: int) -> None:
        node = self.place_of(rank)[0]
        self.world.at(when_ns, lambda: self.world.say(self.subject, self.plan.name, node, text))

    def _slowest(self) -> Slow | None:
        def cost(slow: Slow) -> float:
            return slow.stretch + slow.wait_seconds / (slow.batches * self.plan.step_seconds)

        return max(self.slow.values(), key=cost, default=None)

    def _steps_take(self) -> tuple[float, float]:
        """Seconds until the next line, and for how long its last step waits for data."""
        slow, step = self._slowest(), self.plan.step_seconds
        seconds, waited = 0.0, 0.0
        for number in range(self.step + 1, self.step + 1 + self.plan.log_every):
            waited = 0.0
            if slow is not None and slow.kind == "late loader":
                if self._loader_steps and self._loader_steps % slow.batches == 0:
                    waited = slow.wait_seconds
                self._loader_steps += 1
            elif slow is not None and slow.kind == "late host":
                seconds += slow.wait_seconds
            seconds += waited + step * (slow.stretch if slow else 1.0)
            if number % p.JOB_TIMES.shard_steps == 0:
                seconds += p.JOB_TIMES.shard_seconds
        noise = 1 + float(self.world.rng.normal(0, p.JOB_TIMES.line_noise))
        return seconds * max(noise, 0.5), waited

    def _next_line(self, share: float = 1.0, data_seconds: float = 0.0, held_seconds: float = 0.0) -> None:
        seconds, waited = self._steps_take()
        self._token += 1
        self._line_waits = waited
        self._line_from_ns = self.world.now_ns
        self._line_to_ns = self.world.now_ns + int(seconds * share * NS)
        own = seconds / self.plan.log_every

        def due() -> None:
            self.step += self.plan.log_every
            self._collectives += 30 * self.plan.log_every
            self._tell_step(own + held_seconds, waited + data_seconds)
            self._after_line()

        self._soon(seconds * share, due)

    def _after_line(self) -> None:
        now = self.world.now_ns
        if now >= self._next_save_ns:
            self._save()
        elif now >= self._next_evaluation_ns:
            self._evaluate()
        else:
            self._next_line()

    def _change_pace(self) -> None:
        if self.phase is Phase.RUNNING:
            whole = max(self._line_to_ns - self._line_from_ns, 1)
            share = min(1.0, max(0.0, (self._line_to_ns - self.world.now_ns) / whole))
            self.paint()
            gone = (self.world.now_ns - self._line_from_ns) / NS
            # the line that ends a wait tells it, also where the loader is quick again before its time
            waited = min(gone, self._line_waits)
            self._next_line(share=share, data_seconds=waited, held_seconds=gone if waited else 0.0)

    def _pause(self, phase: Phase) -> None:
        whole = max(self._line_to_ns - self._line_from_ns, 1)
        self._left = min(1.0, max(0.0, (self._line_to_ns - self.world.now_ns) / whole))
        self._line_to_ns = self.world.now_ns
        self._new_phase(phase)

    def _tell_step(self, seconds: float, waited: float) -> None:
        rng, step = self.world.rng, self.step
        kinds = {slow.kind for slow in self.slow.values()}
        tail = float(rng.standard_t(p.TAIL_FREEDOM)) / np.sqrt(p.TAIL_FREEDOM / (p.TAIL_FREEDOM - 2))
        loss = p.LOSS_FLOOR + (p.LOSS_START - p.LOSS_FLOOR) * (step + 8) ** -p.LOSS_POWER + p.LOSS_NOISE * tail
        other = float(rng.standard_t(p.TAIL_FREEDOM))
        norm = p.GRAD_NORM * (1 + 8 / (1 + step / 5)) * float(np.exp(p.GRAD_NORM_SIGMA * 0.7 * other))
        if "nan" in kinds:
            loss = norm = float("nan")
        elif "diverged" in kinds:
            loss, norm = loss * float(rng.uniform(2.5, 4.0)), norm * float(rng.uniform(5, 40))
        said = log_lines.StepLine(step, loss, norm, max(seconds, 1e-3), waited + 0.0004, 32_768.0)
        self.say(0, log_lines.step_line(self.plan.log, said))

    def _save(self) -> None:
        plan, world = self.plan, self.world
        self._new_phase(Phase.SAVING)
        self.say(0, log_lines.save_begins(plan.log, self.step))
        if plan.sharded_save or self.ranks == 1:
            self._paint_all(p.SAVING)
        else:
            self._paint_all(p.SAVE_WAIT)
            world.cards.put(self.places(np.array([0])), p.SAVING, world.now_ns)
        took = plan.save_seconds * float(np.exp(world.rng.normal(0, 0.12)))

        def done() -> None:
            self.saved_step = self.step
            self.say(0, log_lines.save_ends(plan.log, self.step, took))
            self._next_save_ns = world.now_ns + int(plan.save_every_seconds * NS)
            self._go_on()

        self._soon(took, done)

    def _evaluate(self) -> None:
        plan, world = self.plan, self.world
        self._new_phase(Phase.EVALUATING)
        if plan.log == "hugging_face":
            self.say(0, log_lines.EVALUATE)
        self._paint_all(p.EVALUATION if plan.watts >= p.WORK.watts else self._working())

        def done() -> None:
            self.say(0, log_lines.evaluation_ends(plan.log, self.step, p.LOSS_FLOOR + 0.6))
            self._next_evaluation_ns = world.now_ns + int(plan.evaluation_every_seconds * NS)
            self._go_on()

        self._soon(plan.evaluation_seconds * float(np.exp(world.rng.normal(0, 0.05))), done)

    def _go_on(self) -> None:
        self._new_phase(Phase.RUNNING)
        self._loader_steps = 0
        self.paint()
        self._next_line()

    def _new_phase(self, phase: Phase) -> None:
        self.phase = phase
        self._token += 1

    def _soon(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something later, unless the job changes course before: a new phase, another pace, a next line."""
        token = self._token
        self.world.after(seconds, lambda: what() if token == self._token else None)


def settled(job: Job, seconds: float) -> bool:
    """Whether a job has made steps for this long, and nothing slows it."""
    now = job.world.now_ns
    return job.phase is Phase.RUNNING and not job.slow and now - job.settled_ns >= seconds * NS
