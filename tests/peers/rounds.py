"""Takes the times of one group: loads all, then lets each have its turn, round by round.

Change here in which order contestants run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from contestants import OURS, Contestant, Group
from machine import available_gib
from process import Failed, Process


@dataclass
class Result:
    """What a contestant gave: times by stage in the order of rounds, or a reason."""

    name: str
    times: dict[str, list[float]] = field(default_factory=dict)
    peak_gib: float | None = None
    reason: str | None = None
    # The reason is that it did not fit into memory beside the others.
    no_room: bool = False


def sittings(
    group: Group, threads: int, logs: Path
) -> Iterator[tuple[Group, list[Result]]]:
    """A group's results; who did not fit beside the others sits again, with ours."""
    number = 1
    sitting = group
    while True:
        results = measure(sitting, threads, logs)
        waiting = {r.name for r in results if r.no_room and r.name != OURS}
        peers = {c.name for c in sitting.contestants if c.name != OURS}
        if not waiting or waiting == peers:
            yield sitting, results
            return
        yield sitting, [r for r in results if r.name not in waiting]
        number += 1
        sitting = replace(
            group,
            key=f"{group.key}-{number}",
            title=f"{group.title}; sitting {number}, for want of memory",
            contestants=[c for c in group.contestants if c.name in {OURS, *waiting}],
        )


def measure(group: Group, threads: int, logs: Path) -> list[Result]:
    """Every contestant's times. One that fails falls out; the others go on."""
    results = {c.name: Result(c.name, reason=c.reason) for c in group.contestants}
    running: list[Process] = []
    try:
        for contestant in group.contestants:
            if contestant.reason is None:
                log = logs / f"{group.key}-{contestant.name.replace(' ', '-')}.log"
                _start(contestant, group, threads, log, results, running)
        for number in range(group.rounds):
            say(f"{group.key}: round {number + 1} of {group.rounds}")
            # Another one begins each round, so that nobody always follows the same.
            turn = number % max(len(running), 1)
            for process in [*running[turn:], *running[:turn]]:
                result = results[process.contestant.name]
                try:
                    if process.contestant.rehearses:
                        process.run()
                    _keep(result, process.run(), group)
                except Failed as error:
                    _drop(process, str(error), results, running)
        for process in running:
            results[process.contestant.name].peak_gib = process.peak_gib()
    finally:
        for process in running:
            process.end()
    return list(results.values())


def say(text: str) -> None:
    """Progress goes to stderr: stdout is the report's."""
    print(text, file=sys.stderr, flush=True)


def _start(
    contestant: Contestant,
    group: Group,
    threads: int,
    log: Path,
    results: dict[str, Result],
    running: list[Process],
) -> None:
    result = results[contestant.name]
    free = available_gib()
    if free < contestant.needs_gib:
        result.no_room = True
        result.reason = (
            f"needs about {contestant.needs_gib:.1f} GiB of memory, "
            f"and {free:.1f} are free"
        )
        return
    say(f"{group.key}: loading {contestant.name}")
    try:
        process = Process(contestant, threads, log)
    except Failed as error:
        result.reason = str(error)
        return
    running.append(process)
    try:
        # What a first run alone does, such as compiling, is no part of any turn.
        process.run()
    except Failed as error:
        _drop(process, str(error), results, running)


def _keep(result: Result, seconds: dict[str, float], group: Group) -> None:
    missing = [name for name in group.stages if name not in seconds]
    if missing:
        raise Failed(f"its answer does not have {', '.join(missing)}")
    for name in group.stages:
        result.times.setdefault(name, []).append(seconds[name])


def _drop(
    process: Process, reason: str, results: dict[str, Result], running: list[Process]
) -> None:
    result = results[process.contestant.name]
    # Half a series would be compared with whole ones.
    result.times.clear()
    result.reason = reason
    say(f"{process.contestant.name} falls out: {reason}")
    running.remove(process)
    process.end()
