"""Exits of the job's processes, as their launchers tell them: torchelastic, srun, DeepSpeed.

    E0325 20:57:27.620000 2606 .../api.py:869] failed (exitcode: -9) local_rank: 5 (pid: 2630) of binary: ..
      rank      : 0 (local_rank: 0)
      exitcode  : -9 (pid: 14750)
    srun: error: node12: task 5: Killed

torchelastic tells one exit twice: at once with the local rank, then in its summary with the rank. Both are passed on.
What it ends itself afterwards (`Closing process .. via signal SIGTERM`) is a consequence and is not.
"""

import re
import signal

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying

_FAILED = re.compile(
    r"failed \(exitcode: (?P<code>-?\d{1,5})\) local_rank: (?P<local>\d{1,5}) \(pid: (?P<pid>\d{1,10})\)", re.ASCII
)
_SUMMARY_RANK = re.compile(r"\s{1,8}rank\s{1,16}: (\d{1,7}) \(local_rank: (\d{1,5})\)", re.ASCII)
_SUMMARY_HOST = re.compile(r"\s{1,8}host\s{1,16}: (\S{1,255})", re.ASCII)
_SUMMARY_CODE = re.compile(r"\s{1,8}exitcode\s{1,16}: (-?\d{1,5}) \(pid: (\d{1,10})\)", re.ASCII)
_SRUN = re.compile(
    r"srun: error: (?P<host>[\w.-]{1,255}): tasks? (?P<rank>\d{1,7})\S{0,64}: "
    r"(?:Exited with exit code (?P<code>\d{1,5})|(?P<said>[A-Z][\w ]{1,40}))",
    re.ASCII,
)
_DEEPSPEED = re.compile(r"exits with return code = (?P<code>-?\d{1,5})", re.ASCII)
_SRUN_SIGNALS = {"Killed": 9, "Segmentation fault": 11, "Aborted": 6, "Terminated": 15, "Bus error": 7}


class Reader:
    """Reads one line at a time; remembers the rank and host of the summary block that it is in."""

    words = ("exitcode", "(local_rank: ", "host ", "srun: error", "exits with return code")

    def __init__(self) -> None:
        self._rank: int | None = None
        self._local_rank = ""
        self._host = ""

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        text = line.text
        if (host := _SUMMARY_HOST.match(text)) is not None:
            self._host = host[1]
        elif (rank := _SUMMARY_RANK.match(text)) is not None:
            self._rank, self._local_rank = int(rank[1]), rank[2]
        elif (summary := _SUMMARY_CODE.match(text)) is not None:
            attributes = {"pid": summary[2], "local_rank": self._local_rank, "host": self._host}
            saying = _saying(int(summary[1]), attributes, self._rank)
            self._rank, self._local_rank, self._host = None, "", ""
            return [saying]
        elif (failed := _FAILED.search(text)) is not None:
            return [_saying(int(failed["code"]), {"pid": failed["pid"], "local_rank": failed["local"]}, None)]
        elif (srun := _SRUN.search(text)) is not None:
            return self._of_srun(srun)
        elif (deepspeed := _DEEPSPEED.search(text)) is not None:
            return [_saying(int(deepspeed["code"]), {}, None)]
        return []

    def _of_srun(self, match: re.Match[str]) -> list[Saying]:
        attributes = {"host": match["host"]}
        rank = int(match["rank"])
        if match["code"] is not None:
            return [_saying(int(match["code"]), attributes, rank)]
        said = match["said"].strip()
        number = _SRUN_SIGNALS.get(said)
        if number is not None:
            return [_saying(-number, attributes, rank)]
        return [Saying(EventKind.PROCESS_EXIT, {}, attributes | {"detail": said}, rank)]


def _saying(code: int, attributes: dict[str, str], rank: int | None) -> Saying:
    """`code` as Python has it: negative for a signal. 128 + n is a shell's word for signal n."""
    values = {"exit_code": float(code)}
    detail = f"exit code {code}"
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number:
        values["signal"] = float(number)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = str(number)
        attributes = attributes | {"signal": name}
        detail = f"killed by signal {name}"
    return Saying(EventKind.PROCESS_EXIT, values, {"detail": detail} | attributes, rank)
