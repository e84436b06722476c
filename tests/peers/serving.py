"""The child's side of the protocol: a line "run" in, one line of JSON out, EOF ends.

Change here nothing that `instaflow bench --serve` does not do likewise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any


def serve(run: Callable[[], dict[str, Any]]) -> None:
    """Answers every line "run" on stdin with what `run` returns."""
    # Libraries print to stdout as they like: answers keep it, all else goes to stderr.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        if line.strip() != "run":
            sys.exit(
                f'each line asks for one run and reads "run", not {line.strip()!r}'
            )
        print(json.dumps(run()), file=answers, flush=True)


def main(prepare: Callable[[], Callable[[], dict[str, Any]]]) -> None:
    """Prepares, then serves; a failure ends the process with one line on stderr."""
    try:
        serve(prepare())
    except Exception as error:  # noqa: BLE001 - whatever fails, the table says why
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        sys.exit(f"{type(error).__name__}: {reason}")


def seconds(times: list[float]) -> dict[str, Any]:
    """The answer for one whole step, from the times at its four borders."""
    began, embedded, predicted, decoded = times
    return {
        "stages": {
            "text_encoder": embedded - began,
            "unet": predicted - embedded,
            "decoder": decoded - predicted,
        },
        "one_step_s": decoded - began,
    }
