"""Converts the networks from PyTorch to OpenVINO's files, in a process of its own.

Change here how they are converted. Both OpenVINO contestants map the same files into
memory, and neither has PyTorch in its process.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import openvino
import torch

import networks

# Of the largest value; f32 against f32, other orders of summation.
TOLERANCE = 1e-3


def convert(name: str, of: networks.Shapes, folder: Path, check: bool) -> None:
    """Writes `folder/name.xml` and `.bin`, with fixed shapes and f32 weights."""
    module = networks.build(name, of)
    example = networks.inputs(name, of)
    with torch.inference_mode():
        model = openvino.convert_model(
            module, example_input=example, input=[tuple(x.shape) for x in example]
        )
        openvino.save_model(model, folder / f"{name}.xml", compress_to_fp16=False)
        if check:
            _check(name, folder, example, module(*example))


def _check(
    name: str, folder: Path, example: tuple[torch.Tensor, ...], expected: torch.Tensor
) -> None:
    """Holds the converted network to the one that it came from."""
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(folder / f"{name}.xml", "CPU", precise)
    got = compiled([x.numpy() for x in example])[0].astype(np.float32)
    wanted = expected.float().numpy()
    # A byte may fall on the other side of a rounding.
    slack = 1.0 if expected.dtype == torch.uint8 else TOLERANCE * np.abs(wanted).max()
    worst = np.abs(got - wanted).max()
    if not worst <= slack:
        raise RuntimeError(f"{name} differs from PyTorch's by {worst} after conversion")


def main() -> None:
    """Converts the networks that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    for name in options.names:
        try:
            convert(name, networks.shapes(options.quick), options.folder, options.quick)
        except Exception as error:  # noqa: BLE001 - whatever fails, the table says why
            reason = (str(error).splitlines() or [""])[0]
            sys.exit(f"converting {name}: {type(error).__name__}: {reason}")


if __name__ == "__main__":
    main()
