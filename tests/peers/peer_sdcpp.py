"""One contestant: stable-diffusion.cpp's command line program.

Change here how it is asked to run. Started by peers.py; speaks serving.py's protocol.
The program loads its model anew for every picture; what counts is what it says itself
of its stages, which is without loading.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import serving

# What its log says of the end of a stage, in hundredths of a second.
STAGES = {
    "text_encoder": r"get_learned_condition completed, taking ([\d.]+)s",
    "unet": r"sampling completed, taking ([\d.]+)s",
    "decoder": r"decode_first_stage completed, taking ([\d.]+)s",
}
# Weights are read when a stage first needs them; that is no part of its work.
LOADING = r"loading tensors completed, taking ([\d.]+)s"


def stages(log: str) -> dict[str, float]:
    """The seconds of each stage out of the program's log, without loading."""
    found = {}
    start = 0
    for name, pattern in STAGES.items():
        match = re.compile(pattern).search(log, start)
        if match is None:
            raise RuntimeError(f"its log says nothing of the {name}")
        loading = sum(map(float, re.findall(LOADING, log[start : match.end()])))
        # A stage that takes no hundredth of a second still takes some time.
        found[name] = max(float(match[1]) - loading, 0.005)
        start = match.end()
    return found


def draw(options: argparse.Namespace, picture: Path) -> dict[str, Any]:
    """One picture in one step."""
    command = [str(options.program), "--model", str(options.model)]
    command += ["--type", options.type, "--threads", str(options.threads)]
    command += ["--prompt", "a lake in the mountains", "--steps", "1"]
    command += ["--cfg-scale", "1", "--sampling-method", "euler", "--seed", "0"]
    command += ["--width", "512", "--height", "512", "--output", str(picture)]
    done = subprocess.run(
        [*command, *options.more], check=False, text=True, capture_output=True
    )
    log = done.stdout + done.stderr
    sys.stderr.write(log)
    if done.returncode != 0 or not picture.is_file():
        raise RuntimeError(f"no picture came out; status {done.returncode}")
    picture.unlink()
    found = stages(log)
    # Of the children, the largest so far: they are all alike.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return {"stages": found, "one_step_s": sum(found.values()), "peak_gib": peak}


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("model", type=Path, help="a folder in Diffusers layout")
    parser.add_argument("--type", default="f32", help="how it keeps the weights")
    parser.add_argument("--threads", type=int, required=True)
    options, options.more = parser.parse_known_args()
    folder = tempfile.TemporaryDirectory(prefix="sdcpp-")
    with folder:
        picture = Path(folder.name) / "picture.png"
        serving.main(lambda: lambda: draw(options, picture))


if __name__ == "__main__":
    main()
