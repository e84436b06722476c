"""The parent's side of the protocol: a contestant's process and its turns.

Change here how a process is started, asked, paused and ended.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from contestants import Contestant


class Failed(Exception):
    """A contestant gave no time; the message says why."""


class Process:
    """A contestant that is loaded, and stopped whenever it is not its turn.

    Stopped (SIGSTOP), because idle pools of threads may spin, and would then take the
    cores from the one whose turn it is.
    """

    def __init__(self, contestant: Contestant, threads: int, log: Path) -> None:
        self.contestant = contestant
        self._peak: float | None = None
        self._log = log
        counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
        environment = os.environ | dict.fromkeys(counts, str(threads))
        environment |= contestant.environment
        try:
            with log.open("wb") as errors:
                self._child = subprocess.Popen(
                    contestant.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=environment,
                    text=True,
                    # A group of its own, so that compilers it starts stop with it; in
                    # this session, so that the system ends it should we be killed.
                    process_group=0,
                )
        except OSError as error:
            raise Failed(f"{contestant.command[0]} does not start: {error}") from error

    def run(self) -> dict[str, float]:
        """One turn: seconds by stage."""
        self._signal(signal.SIGCONT)
        try:
            self._child.stdin.write("run\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self._child.wait()
            raise Failed(_reason(self._log) or f"it ended with status {status}")
        self._signal(signal.SIGSTOP)
        # The signal takes its time: the next turn begins when this process stands.
        events = os.WSTOPPED | os.WEXITED | os.WNOWAIT
        os.waitid(os.P_PID, self._child.pid, events)
        found = seconds(line, self.contestant.dtype)
        # Who starts another program for each run says what that one held.
        self._peak = json.loads(line).get("peak_gib", self._peak)
        return found

    def peak_gib(self) -> float | None:
        """The most memory that the process, or what it starts, has held, in GiB."""
        if self._peak is not None:
            return self._peak
        try:
            status = Path(f"/proc/{self._child.pid}/status").read_text()
        except OSError:
            return None
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**20
        return None

    def end(self) -> None:
        """Ends the process and whatever it has started."""
        self._signal(signal.SIGKILL)
        self._child.wait()
        self._child.stdin.close()
        self._child.stdout.close()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._child.pid, number)
        except ProcessLookupError:
            pass


def seconds(line: str, dtype: str | None = None) -> dict[str, float]:
    """An answer's seconds by stage; `Failed` where it is not what the protocol says."""
    try:
        answer = json.loads(line)
    except json.JSONDecodeError as error:
        raise Failed(f"its answer is no JSON: {line.strip()[:80]!r}") from error
    if not isinstance(answer, dict):
        raise Failed(f"its answer is no JSON object: {line.strip()[:80]!r}")
    said = answer.get("dtype", dtype)
    if dtype is not None and said != dtype:
        raise Failed(f"it computes in {said}, not in {dtype}")
    found = dict(answer.get("stages") or {})
    for key, name in (("one_step_s", "one_step"), ("seconds", "training_step")):
        if key in answer:
            found[name] = answer[key]
    for name, value in found.items():
        if not _is_time(value):
            raise Failed(f"its answer has {value!r} as the seconds of {name}")
    if not found:
        raise Failed(f"its answer holds no times: {line.strip()[:80]!r}")
    return found


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


def _reason(log: Path) -> str:
    """The line of a log that says what went wrong: the first `error`, or the last."""
    lines = [x.strip() for x in log.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors[:1] or lines[-1:] or [""])[0]
