"""Who is timed, in which groups, and with which command each is started.

Change here to add a contestant or a group. A contestant is any program that speaks
serving.py's protocol; a group is loaded at once and takes turns.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
TINY_SD = HERE.parent / "fixtures/tiny-sd"

OURS = "InstaFlow"
STOCK_CANDLE = "stock candle"
SD_CPP = "stable-diffusion.cpp"
OPENVINO = "OpenVINO"
TORCH = "PyTorch"
COMPILED = "PyTorch compiled"
AUTOCAST = "PyTorch bf16 autocast"
NAMES = (OURS, TORCH, COMPILED, AUTOCAST, OPENVINO, STOCK_CANDLE, SD_CPP)

# An allocator that keeps its pages, as our trainer gives itself when it starts.
KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "68719476736",
    "MALLOC_TOP_PAD_": "268435456",
}

# The stages of a whole step, as they are called in answers and in tables.
STEP = {
    "text_encoder": "text encoder",
    "unet": "U-Net",
    "decoder": "full decoder",
    "one_step": "one step",
}


@dataclass(frozen=True)
class Contestant:
    """A program to time."""

    name: str
    command: list[str]
    # Memory at its peak in GiB, roughly, so that a group never runs the machine out of it.
    needs_gib: float
    # Set where it is known beforehand that it cannot be started.
    reason: str | None = None
    # Added to the environment.
    environment: dict[str, str] = field(default_factory=dict)
    # What its answers must say of its arithmetic, where they say something.
    dtype: str | None = None
    # Whether each of its times comes after a run that does not count. Nothing is gained
    # by it where every run begins anew.
    rehearses: bool = True


@dataclass(frozen=True)
class Group:
    """Contestants that do the same work in the same arithmetic, and take turns."""

    key: str
    title: str
    # From an answer's keys to the table's columns.
    stages: dict[str, str]
    contestants: list[Contestant]
    rounds: int


@dataclass(frozen=True)
class Setting:
    """What the whole run was asked for."""

    instaflow: Path
    threads: int
    rounds: int
    quick: bool
    # OpenVINO's files.
    networks: Path
    # Why there are none.
    networks_reason: str | None = None
    # stable-diffusion.cpp's program, where there is one.
    sd_cli: Path | None = None
    # Why there is no model for it.
    model_reason: str | None = None


def groups(setting: Setting) -> list[Group]:
    """All groups, in the order in which they are timed.

    Ours is the first in each, as it sits again with whoever did not fit into memory.
    """
    timed = [_one_step(setting, dtype) for dtype in ("bf16", "f32")]
    timed += [_tiny(setting, dtype) for dtype in ("bf16", "f32")]
    return [*timed, _stock(setting), _sd_cpp(setting), _training(setting)]


def _one_step(setting: Setting, dtype: str) -> Group:
    wide = dtype == "f32"
    contestants = [
        _ours(setting, dtype, 8.5 if wide else 4.0),
        # The compiler holds the weights twice while it lays them out.
        _torch(setting, COMPILED, "one-step", dtype, 9.0 if wide else 5.0, "--compile"),
        _openvino(setting, "one-step", dtype, 6.0 if wide else 4.0),
        _torch(setting, TORCH, "one-step", dtype, 6.0 if wide else 4.5),
    ]
    return Group(
        f"one-step-{dtype}",
        f"One step, {dtype}, {_shapes(setting)}",
        STEP,
        contestants,
        setting.rounds,
    )


def _tiny(setting: Setting, dtype: str) -> Group:
    contestants = [
        # Ours draws the whole picture; its decoder's share is taken from the answer.
        _ours(setting, dtype, 7.5 if dtype == "f32" else 4.0, tiny=True),
        _torch(setting, COMPILED, "tiny-decoder", dtype, 1.5, "--compile"),
        _openvino(setting, "tiny-decoder", dtype, 1.5),
        _torch(setting, TORCH, "tiny-decoder", dtype, 1.5),
    ]
    return Group(
        f"tiny-decoder-{dtype}",
        f"Tiny decoder (TAESD), {dtype}, {_shapes(setting)}",
        {"decoder": "tiny decoder"},
        contestants,
        setting.rounds,
    )


def _stock(setting: Setting) -> Group:
    """Apart from the others: its passes take a minute."""
    program = setting.instaflow.parent / "stock-candle"
    command = [str(program), *(["--quick"] if setting.quick else [])]
    stock = Contestant(
        STOCK_CANDLE,
        command,
        _gib(setting, 6.0),
        _missing(program, "cargo build --release -p stock-candle"),
    )
    return Group(
        "stock-candle-f32",
        f"candle as it comes, one step, f32, {_shapes(setting)}",
        STEP,
        [_ours(setting, "f32", 8.5), stock],
        min(setting.rounds, 3),
    )


def _sd_cpp(setting: Setting) -> Group:
    """Apart from the others: it is built by whoever wants it timed."""
    reason = setting.model_reason
    if setting.sd_cli is None:
        reason = "name its program with --sd-cli"
    elif setting.quick:
        reason = "it knows no toy shapes"
    command = [sys.executable, str(HERE / "peer_sdcpp.py"), str(setting.sd_cli)]
    command += [str(setting.networks / "model"), "--threads", str(setting.threads)]
    return Group(
        "sd-cpp-f32",
        f"stable-diffusion.cpp, one step, f32, {_shapes(setting)}",
        STEP,
        [
            _ours(setting, "f32", 8.5),
            Contestant(SD_CPP, command, _gib(setting, 9.0), reason, rehearses=False),
        ],
        min(setting.rounds, 3),
    )


def _training(setting: Setting) -> Group:
    batch = "2" if setting.quick else "32"
    program = setting.instaflow.parent / "instaflow-trainer"
    ours = Contestant(
        OURS,
        [
            *(str(program), "bench-step", "--serve", "--batch", batch),
            *("--threads", str(setting.threads)),
        ],
        _gib(setting, 4.0),
        _missing(program, "cargo build --release -p instaflow-trainer"),
    )
    with_batch = ("--batch", batch)
    peers = [
        _torch(setting, COMPILED, "training", "f32", 4.0, "--compile", *with_batch),
        _torch(setting, TORCH, "training", "f32", 4.0, *with_batch),
        _torch(setting, AUTOCAST, "training", "bf16", 4.0, *with_batch),
    ]
    peers = [replace(peer, environment=KEEP_MEMORY) for peer in peers]
    return Group(
        "training-f32",
        f"Training step of Pocket's U-Net, f32, batch {batch}: forward, backward, AdamW",
        {"training_step": "training step"},
        [ours, *peers],
        setting.rounds,
    )


def _torch(
    setting: Setting, name: str, task: str, dtype: str, needs: float, *more: str
) -> Contestant:
    command = [sys.executable, str(HERE / "peer_torch.py"), task, "--dtype", dtype]
    command += ["--threads", str(setting.threads), *more]
    if setting.quick:
        command.append("--quick")
    return Contestant(name, command, _gib(setting, needs))


def _openvino(setting: Setting, task: str, dtype: str, needs: float) -> Contestant:
    command = [sys.executable, str(HERE / "peer_openvino.py"), task, "--dtype", dtype]
    command += ["--threads", str(setting.threads), "--networks", str(setting.networks)]
    needs = _gib(setting, needs)
    return Contestant(OPENVINO, command, needs, setting.networks_reason)


def _ours(setting: Setting, dtype: str, needs: float, tiny: bool = False) -> Contestant:
    command = [str(setting.instaflow), "bench", "--json", "--serve", "--runs", "1"]
    command += ["--device", "cpu", "--dtype", dtype]
    if setting.quick:
        command += ["--model", str(TINY_SD / "model"), "--size", "64x64"]
    else:
        command += ["--random", "sd15"]
    if tiny:
        command += ["--decoder", "tiny"]
        if setting.quick:
            command += ["--tiny-decoder", str(TINY_SD / "vae_tiny")]
    reason = _missing(setting.instaflow, "cargo build --release")
    return Contestant(OURS, command, _gib(setting, needs), reason, dtype=dtype)


def _shapes(setting: Setting) -> str:
    if setting.quick:
        return "toy widths, 64x64"
    return "Stable Diffusion 1.5's shapes, 512x512, batch 1"


def _missing(program: Path, command: str) -> str | None:
    return None if program.is_file() else f"{program.name} is not built: {command}"


def _gib(setting: Setting, full_size: float) -> float:
    return 1.0 if setting.quick else full_size
