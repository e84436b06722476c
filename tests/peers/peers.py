"""Times this program and its peers side by side and writes the report.

Change here the command line. README.md says what is measured and how fair it is.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import machine
import report
from contestants import NAMES, OPENVINO, OURS, SD_CPP, Group, Setting, groups
from rounds import say, sittings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KEYS = (
    "one-step-bf16",
    "one-step-f32",
    "tiny-decoder-bf16",
    "tiny-decoder-f32",
    "stock-candle-f32",
    "sd-cpp-f32",
    "training-f32",
)


def main() -> int:
    """0 when all that was chosen could be timed, 1 when something could not."""
    options = _options()
    instaflow = options.instaflow.absolute() if options.instaflow else _build()
    options.output.mkdir(parents=True, exist_ok=True)
    about = machine.describe(instaflow, ROOT, options.threads, options.quick)
    if about["load_before"] > 0.5:
        say("this machine is busy: what else runs on it will be in the times")
    name = datetime.now(UTC).strftime("peers-%Y-%m-%d-%H-%M-%S")
    logs = options.output / f"{name}-logs"
    logs.mkdir()
    # Beside the report, not in /tmp, which may be memory.
    with tempfile.TemporaryDirectory(prefix=".openvino-", dir=options.output) as folder:
        setting = Setting(
            instaflow,
            options.threads,
            options.rounds,
            options.quick,
            Path(folder),
            sd_cli=options.sd_cli,
        )
        chosen = _chosen(setting, options)
        names = _to_convert(chosen)
        if names:
            reason = _convert(names, setting, logs)
            chosen = _chosen(replace(setting, networks_reason=reason), options)
        if any(c.name == SD_CPP for group in chosen for c in group.contestants):
            script, model = str(HERE / "save_diffusers.py"), str(setting.networks / "model")
            reason = _make([sys.executable, script, model], logs / "model.log")
            chosen = _chosen(replace(setting, model_reason=reason), options)
        measured: report.Measured = []
        for group in chosen:
            for sitting in sittings(group, options.threads, logs):
                measured.append(sitting)
                # At once: what is measured is not lost if the next one is ended.
                report.write(options.output, name, about, measured)
    print(report.markdown(about, measured))
    say(f"written: {options.output / name}.md and .json")
    whole = all(result.times for _, results in measured for result in results)
    return 0 if whole else 1


def _options() -> argparse.Namespace:
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="tests/peers/run", description=__doc__)
    parser.add_argument(
        "--instaflow",
        type=Path,
        metavar="PATH",
        help="time this program, and instaflow-trainer and stock-candle "
        "beside it, instead of building all three",
    )
    parser.add_argument(
        "--sd-cli",
        type=Path,
        metavar="PATH",
        help="time this program of stable-diffusion.cpp, too",
    )
    parser.add_argument("--rounds", type=_count, help="timed rounds [7; quick: 2]")
    parser.add_argument("--threads", type=_count, default=cores, help=f"[{cores}]")
    parser.add_argument(
        "--only", action="append", choices=KEYS, help="time this group; repeatable"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=NAMES,
        help="leave this contestant out; repeatable",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny shapes, to try the script itself: its times mean nothing",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        default=ROOT / "target/peers-report",
        help="where the report goes [target/peers-report]",
    )
    options = parser.parse_args()
    if options.instaflow and not options.instaflow.is_file():
        parser.error(f"there is no {options.instaflow}: --instaflow names the program")
    if options.sd_cli and not options.sd_cli.is_file():
        parser.error(f"there is no {options.sd_cli}: --sd-cli names the program")
    options.rounds = options.rounds or (2 if options.quick else 7)
    options.output = options.output.resolve()
    return options


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1000")
    return int(text)


def _build() -> Path:
    """Builds our contestants; without the first there is nothing to compare."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    cargo = ["cargo", "build", "--release"]
    for what in (
        ["instaflow"],
        ["instaflow-trainer"],
        ["stock-candle"],
    ):
        try:
            done = subprocess.run([*cargo, "-p", *what], check=False, cwd=ROOT)
        except OSError as error:
            sys.exit(
                f"cargo does not start ({error}): install Rust, or give --instaflow"
            )
        # Where one of the others fails, its row says so.
        if done.returncode != 0 and what == ["instaflow"]:
            sys.exit("instaflow could not be built: see cargo's messages above")
    return (ROOT / target / "release/instaflow").resolve()


def _chosen(setting: Setting, options: argparse.Namespace) -> list[Group]:
    """The groups that are asked for, without the contestants that are not."""
    chosen = []
    for group in groups(setting):
        left_out = {*options.without, *([] if setting.sd_cli else [SD_CPP])}
        kept = [c for c in group.contestants if c.name not in left_out]
        asked = not options.only or group.key in options.only
        if asked and any(c.name != OURS for c in kept):
            chosen.append(replace(group, contestants=kept))
    return chosen


def _to_convert(chosen: list[Group]) -> list[str]:
    """The networks that OpenVINO needs for these groups."""
    keys = [g.key for g in chosen if any(c.name == OPENVINO for c in g.contestants)]
    names = []
    if any(key.startswith("one-step") for key in keys):
        names += ["text_encoder", "unet", "decoder"]
    if any(key.startswith("tiny-decoder") for key in keys):
        names.append("tiny_decoder")
    return names


def _convert(names: list[str], setting: Setting, logs: Path) -> str | None:
    """Makes OpenVINO's files; the reason where that fails."""
    say(f"converting for OpenVINO: {', '.join(names)}")
    script = str(HERE / "convert_openvino.py")
    command = [sys.executable, script, str(setting.networks), *names]
    if setting.quick:
        command.append("--quick")
    return _make(command, logs / "convert-openvino.log")


def _make(command: list[str], log: Path) -> str | None:
    """Runs a script that makes files; the reason where that fails."""
    with log.open("wb") as errors:
        done = subprocess.run(command, check=False, stdout=errors, stderr=errors)
    if done.returncode == 0:
        return None
    lines = log.read_text(errors="replace").split("\n")
    return next((x for x in reversed(lines) if x.strip()), "it failed without a word")


def _ended(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _ended)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("ended; the report has the groups that were done")
