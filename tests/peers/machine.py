"""What the times were taken on: processor, memory, versions, load.

Change here what a report says about the machine.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

# The instructions that decide how fast matrix products are.
FLAGS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "i8mm",
)
PACKAGES = ("torch", "diffusers", "transformers", "openvino")


def describe(instaflow: Path, root: Path, threads: int, quick: bool) -> dict[str, Any]:
    """All that is known before the first time is taken."""
    cpu = _read("/proc/cpuinfo")
    has = set(_field(cpu, "flags").split() + _field(cpu, "Features").split())
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "processor": _field(cpu, "model name") or platform.processor() or "unknown",
        "flags": [flag for flag in FLAGS if flag in has],
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_gib": round(_memory("MemTotal"), 1),
        "system": platform.platform(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": _versions(instaflow, root),
    }


def available_gib() -> float:
    """Memory that can be had without swapping, in GiB."""
    return _memory("MemAvailable")


def _versions(instaflow: Path, root: Path) -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    lock = _read(root / "Cargo.lock")
    found = re.search(r'name = "candle-core"\nversion = "([^"]+)"', lock)
    versions["candle"] = found[1] if found else "unknown"
    said = _output([str(instaflow), "--version"]) or "unknown"
    commit = _output(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"])
    changed = _output(["git", "-C", str(root), "status", "--porcelain", "-uno"])
    tree = f"commit {commit}{' with changes' if changed else ''}" if commit else ""
    versions["instaflow"] = " ".join(filter(None, [said, tree]))
    return versions


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _memory(name: str) -> float:
    """A line of /proc/meminfo in GiB; without that file nothing is held back."""
    value = _field(_read("/proc/meminfo"), name)
    return int(value.split()[0]) / 2**20 if value else float("inf")


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
