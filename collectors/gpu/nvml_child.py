"""The process that talks to NVML: `python -I -m collectors.gpu.nvml_child`.

It lives apart so that a driver call that never returns takes this process and not the collector. It answers one look
after another on its standard output, tells of Xids between them, and ends when its standard input does. Imports the
standard library and pynvml only: 15 MiB instead of 25.
"""

import importlib
import json
import os
import select
import sys
import time
from typing import Any

from collectors.gpu.nvml_calls import (
    ABSENT_ABOVE,
    CALLS,
    COUNTERS,
    FACTS,
    GAUGES,
    LOST,
    NOT_SUPPORTED,
    UNUSABLE,
    processes,
    text,
)
from collectors.gpu.nvml_frames import OutOfStep, frame, take

EVENT_WAIT_SECONDS = 0.25
"""Between two questions for Xids."""
XID_EVENT = 0x8
MOST_EVENTS = 100
"""Xids told at once; a storm of them goes on at the next question."""


class Unusable(Exception):  # noqa: N818 - says what NVML is
    """NVML must be loaded anew, by a new process."""


class Nvml:
    """NVML as this process has loaded it."""

    def __init__(self, binding: Any) -> None:
        """Loads the library; raises the binding's NVMLError where that fails."""
        self._nvml = binding
        self._error: type[Exception] = binding.NVMLError
        binding.nvmlInit()
        self.driver = text(binding.nvmlSystemGetDriverVersion())
        self.gpus: list[dict[str, str]] = []
        self._handles: list[Any] = []
        self._unsupported: set[tuple[int, str]] = set()
        for index in range(binding.nvmlDeviceGetCount()):
            handle, facts = self._meet(index)
            self._handles.append(handle)
            self.gpus.append(facts)
        self._event_set = self._listen()

    def _meet(self, index: int) -> tuple[Any, dict[str, str]]:
        facts = {"index": str(index)}
        try:
            handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
        except self._error as error:
            return None, {**facts, "lost": str(error)}
        for name, ask in FACTS.items():
            try:
                facts[name] = ask(self._nvml, handle)
            except self._error as error:
                if getattr(error, "value", None) in LOST:
                    facts["lost"] = str(error)
        return handle, facts

    def _listen(self) -> Any:
        """An event set of all GPUs that can tell of Xids; None where none can."""
        try:
            event_set = self._nvml.nvmlEventSetCreate()
        except self._error:
            return None
        heard = False
        for handle in self._handles:
            if handle is not None:
                try:
                    self._nvml.nvmlDeviceRegisterEvents(handle, XID_EVENT, event_set)
                    heard = True
                except self._error:
                    continue
        return event_set if heard else None

    def xids(self) -> list[dict[str, Any]]:
        """Xids since the last call, without waiting."""
        told: list[dict[str, Any]] = []
        while self._event_set is not None and len(told) < MOST_EVENTS:
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._event_set, 0)
            except self._error:
                break
            if event.eventType == XID_EVENT:
                try:
                    uuid = text(self._nvml.nvmlDeviceGetUUID(event.device))
                except self._error:
                    uuid = ""
                told.append({"uuid": uuid, "code": int(event.eventData), "time_ns": time.time_ns()})
        return told

    def look(self, metrics: list[str]) -> dict[str, Any]:
        """`gauges` and `counters` by metric, a value or None for each GPU; `lost` by place among the GPUs; `processes`
        of each GPU where their number was asked for."""
        gauges = [name for name in metrics if name in GAUGES]
        counters = [name for name in metrics if name in COUNTERS]
        look: dict[str, Any] = {
            "gauges": {name: [] for name in gauges},
            "counters": {name: [] for name in counters},
            "lost": {},
            "processes": [],
        }
        for place, handle in enumerate(self._handles):
            got: dict[str, Any] = {}
            if handle is None:
                look["lost"][str(place)] = self.gpus[place]["lost"]
            for name in gauges:
                call, read = GAUGES[name]
                answer = self._ask(look, got, place, call)
                look["gauges"][name].append(None if answer is None else read(answer))
            for name in counters:
                call, count = COUNTERS[name]
                answer = self._ask(look, got, place, call)
                number = None if answer is None else count(answer)
                look["counters"][name].append(None if number is None or number >= ABSENT_ABOVE else number)
            if "gpu_processes" in gauges:
                running = self._ask(look, got, place, "processes")
                look["processes"].append(None if running is None else processes(running))
        return look

    def _ask(self, look: dict[str, Any], got: dict[str, Any], place: int, call: str) -> Any:
        """The answer of one call, made once a look; None where there is none."""
        if call in got:
            return got[call]
        got[call] = None
        if str(place) in look["lost"] or (place, call) in self._unsupported:
            return None
        try:
            got[call] = CALLS[call](self._nvml, self._handles[place])
        except AttributeError:
            self._unsupported.add((place, call))
        except self._error as error:
            code = getattr(error, "value", None)
            if code in UNUSABLE:
                raise Unusable(str(error)) from error
            if code in LOST:
                look["lost"][str(place)] = str(error)
            elif code in NOT_SUPPORTED:
                self._unsupported.add((place, call))
        return got[call]


def _say(kind: str, words: dict[str, Any]) -> None:
    body = json.dumps({"type": kind, **words}, separators=(",", ":")).encode()
    whole = frame(body)
    while whole:
        whole = whole[os.write(1, whole) :]


def _serve(nvml: Nvml) -> None:
    heard = bytearray()
    while True:
        ready, _, _ = select.select([0], [], [], EVENT_WAIT_SECONDS)
        xids = nvml.xids()
        if xids:
            _say("xids", {"xids": xids})
        if not ready:
            continue
        more = os.read(0, 65536)
        if not more:
            return
        heard += more
        while (body := take(heard)) is not None:
            asked = json.loads(body)
            _say("look", {"id": asked["id"], **nvml.look(asked["metrics"])})


def main(module: str = "pynvml") -> int:
    """Serve until standard input ends. `module` names the NVML binding. Exit status 1 where NVML cannot be used."""
    try:
        binding = importlib.import_module(module)
    except ImportError as error:
        _say("failed", {"why": f"the Python binding of NVML is missing: {error}"})
        return 1
    try:
        nvml = Nvml(binding)
    except binding.NVMLError as error:
        _say("failed", {"why": str(error)})
        return 1
    _say("hello", {"driver": nvml.driver, "gpus": nvml.gpus})
    try:
        _serve(nvml)
    except Unusable as error:
        _say("failed", {"why": str(error)})
        return 1
    except (BrokenPipeError, OutOfStep, KeyboardInterrupt):
        # The collector has gone, or wrote what it never writes: there is nobody to tell.
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
