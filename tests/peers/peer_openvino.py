"""One contestant: OpenVINO on the CPU, with a precision hint.

Change here how OpenVINO is asked to run. Started by peers.py on convert_openvino.py's
files; speaks serving.py's protocol.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import openvino

import serving

Run = Callable[[], dict[str, Any]]


class Network:
    """A compiled network and the one request that it is asked with."""

    def __init__(self, core: openvino.Core, path: Path, dtype: str, threads: int):
        properties = {
            "INFERENCE_PRECISION_HINT": dtype,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
        }
        compiled = core.compile_model(path, "CPU", properties)
        # Where the processor lacks bf16, the hint is quietly taken for f32.
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if used != dtype:
            raise RuntimeError(
                f"this processor computes in {used} where {dtype} is asked"
            )
        self._request = compiled.create_infer_request()
        self._shapes = [tuple(port.shape) for port in compiled.inputs]

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        """The output as a view into OpenVINO's memory, until the next call."""
        answer = self._request.infer(
            list(arrays), share_inputs=True, share_outputs=True
        )
        return answer[0]

    def random_inputs(self) -> list[np.ndarray]:
        """Normal numbers in the shapes that the network takes."""
        generator = np.random.default_rng(1)
        return [generator.standard_normal(s, np.float32) for s in self._shapes]


def one_step(load: Callable[[str], Network]) -> Run:
    """Text encoder, U-Net, one Euler step and full decoder, in one pass."""
    text, unet, decoder = load("text_encoder"), load("unet"), load("decoder")
    (like,) = text.random_inputs()
    ids = np.arange(like.size, dtype=np.int64).reshape(like.shape)
    noise = unet.random_inputs()[0]
    time = np.array([1000.0], np.float32)

    def run() -> dict[str, Any]:
        times = [perf_counter()]
        context = text(ids)
        times.append(perf_counter())
        drawn = noise + unet(noise, time, context)
        times.append(perf_counter())
        rgb = decoder(drawn)
        times.append(perf_counter())
        _check(drawn, rgb)
        return serving.seconds(times)

    return run


def tiny_decoder(load: Callable[[str], Network]) -> Run:
    """TAESD's decoder alone."""
    decoder = load("tiny_decoder")
    (latents,) = decoder.random_inputs()

    def run() -> dict[str, Any]:
        began = perf_counter()
        rgb = decoder(latents)
        took = perf_counter() - began
        _check(latents, rgb)
        return {"stages": {"decoder": took}}

    return run


def _check(latents: np.ndarray, rgb: np.ndarray) -> None:
    """A network that computes nonsense, or nothing, must not win."""
    if not np.isfinite(latents).all():
        raise RuntimeError("the latents hold values that are no finite numbers")
    side = latents.shape[-1] * 8
    if rgb.shape != (1, side, side, 3) or rgb.min() == rgb.max():
        raise RuntimeError(f"no picture came out, but {rgb.shape}, all one value")


def _prepare() -> Run:
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = {"one-step": one_step, "tiny-decoder": tiny_decoder}
    parser.add_argument("task", choices=tasks)
    parser.add_argument("--dtype", choices=("f32", "bf16"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--networks", type=Path, required=True)
    options = parser.parse_args()
    core = openvino.Core()

    def load(name: str) -> Network:
        path = options.networks / f"{name}.xml"
        return Network(core, path, options.dtype, options.threads)

    return tasks[options.task](load)


if __name__ == "__main__":
    serving.main(_prepare)
