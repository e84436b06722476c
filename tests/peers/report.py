"""From times to tables: medians, spread, ratios; Markdown for people, JSON with all.

Change here what a report looks like.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from statistics import median
from typing import Any

from contestants import OURS, Group
from rounds import Result

QUICK = "Toy shapes, to try the script: these times say nothing of any contestant."

Measured = list[tuple[Group, list[Result]]]


def best_peer(results: list[Result], stage: str) -> tuple[str, float] | None:
    """The peer with the smallest median, and that median in seconds."""
    peers = [
        (result.name, median(result.times[stage]))
        for result in results
        if result.name != OURS and result.times.get(stage)
    ]
    return min(peers, key=lambda peer: peer[1], default=None)


def markdown(about: dict[str, Any], measured: Measured) -> str:
    """The whole report."""
    parts = [_heading(about), _overall(measured), _summary(measured)]
    parts += [_group(group, results) for group, results in measured]
    return "\n".join(parts)


def write(folder: Path, name: str, about: dict[str, Any], measured: Measured) -> None:
    """Writes `name.md` and `name.json`, each beside its target first."""
    groups = [
        {
            "key": group.key,
            "title": group.title,
            "results": [_as_json(result) for result in results],
        }
        for group, results in measured
    ]
    texts = {
        "md": markdown(about, measured),
        "json": json.dumps({"about": about, "groups": groups}, indent=1) + "\n",
    }
    for suffix, text in texts.items():
        part = folder / f".{name}.{suffix}.part"
        part.write_text(text)
        os.replace(part, folder / f"{name}.{suffix}")


def _heading(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    flags = ", ".join(about["flags"]) or "no flags known"
    warning = f"**{QUICK}**\n\n" if about["quick"] else ""
    return f"""# Peers, {about["date"]}

{warning}{about["processor"]}, {about["threads"]} threads on {about["cores"]} cores ({flags}), \
{about["memory_gib"]} GiB, {about["system"]}; load before: {about["load_before"]}.
{versions}.

Medians in seconds, the smallest and the largest in brackets. A ratio under 1 means that
InstaFlow is the faster.
"""


def _overall(measured: Measured) -> str:
    """Each at its best: 16-bit arithmetic is not the faster on every processor."""
    lines = [
        "Each at its best, whatever the arithmetic:",
        "",
        "| stage | InstaFlow | | best peer | | ratio |",
        "|---|---|---|---|---|---|",
    ]
    labels = dict.fromkeys(x for group, _ in measured for x in group.stages.values())
    for label in labels:
        ours, peers = [], []
        for group, results in measured:
            for stage in (key for key, name in group.stages.items() if name == label):
                for result in results:
                    if result.times:
                        side = ours if result.name == OURS else peers
                        seconds = median(result.times[stage])
                        side.append((seconds, result.name, group.key))
        mine, best = min(ours, default=None), min(peers, default=None)
        cells = [label, *([_seconds(mine[0]), mine[2]] if mine else ["–", ""])]
        cells += [f"{best[1]}, {best[2]}", _seconds(best[0])] if best else ["–", ""]
        cells.append(f"{mine[0] / best[0]:.2f}" if mine and best else "–")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Within each group, side by side:", ""])


def _summary(measured: Measured) -> str:
    lines = [
        "| group | stage | InstaFlow | best peer | | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for group, results in measured:
        ours = next((r for r in results if r.name == OURS), None)
        for stage, label in group.stages.items():
            best = best_peer(results, stage)
            mine = median(ours.times[stage]) if ours and ours.times.get(stage) else None
            cells = [group.key, label, _seconds(mine)]
            cells += [best[0], _seconds(best[1])] if best else ["–", "–"]
            cells.append(f"{mine / best[1]:.2f}" if mine and best else "–")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _group(group: Group, results: list[Result]) -> str:
    stages = group.stages
    lines = [f"## {group.title}", ""]
    timed = [result for result in results if result.times]
    if timed:
        rounds = len(next(iter(timed[0].times.values())))
        lines += [
            f"{rounds} rounds.",
            "",
            f"| | {' | '.join(stages.values())} | peak memory |",
            "|---" * (len(stages) + 2) + "|",
        ]
    for result in timed:
        cells = [_spread(result.times[stage]) for stage in stages]
        peak = f"{result.peak_gib:.1f} GiB" if result.peak_gib else "–"
        lines.append(f"| {result.name} | {' | '.join(cells)} | {peak} |")
    ours = next((result for result in timed if result.name == OURS), None)
    for peer in timed if ours else []:
        if peer is not ours:
            ratios = [
                f"{median(ours.times[s]) / median(peer.times[s]):.2f}" for s in stages
            ]
            lines.append(f"| InstaFlow ÷ {peer.name} | {' | '.join(ratios)} | |")
    lines.append("")
    for result in results:
        if not result.times:
            lines += [f"Not timed: {result.name}: {result.reason}.", ""]
    return "\n".join(lines)


def _spread(times: list[float]) -> str:
    low, high = _seconds(min(times)), _seconds(max(times))
    return f"{_seconds(median(times))} ({low}–{high})"


def _seconds(value: float | None) -> str:
    """At least three digits that count."""
    if value is None:
        return "–"
    return f"{value:.{2 if value >= 1 else 3 if value >= 0.1 else 5}f}"


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "seconds": result.times,
        "median": {stage: median(times) for stage, times in result.times.items()},
        "peak_gib": result.peak_gib,
        "reason": result.reason,
    }
