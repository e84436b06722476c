"""One contestant: PyTorch on the CPU, channels-last, eager or compiled.

Change here how PyTorch is asked to run. Started by peers.py; speaks serving.py's protocol.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import nn

import networks
import serving

Run = Callable[[], dict[str, Any]]
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def one_step(options: argparse.Namespace) -> Run:
    """Text encoder, U-Net, one Euler step and full decoder, in one pass."""
    of = networks.shapes(options.quick)
    text, unet, decoder = (
        _prepared(name, of, options) for name in ("text_encoder", "unet", "decoder")
    )
    (ids,) = networks.inputs("text_encoder", of)
    latents, time, _ = networks.inputs("unet", of)
    noise = _typed(latents, options)

    @torch.inference_mode()
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


def tiny_decoder(options: argparse.Namespace) -> Run:
    """TAESD's decoder alone."""
    of = networks.shapes(options.quick)
    decoder = _prepared("tiny_decoder", of, options)
    (latents,) = networks.inputs("tiny_decoder", of)
    latents = _typed(latents, options)

    @torch.inference_mode()
    def run() -> dict[str, Any]:
        began = perf_counter()
        rgb = decoder(latents)
        took = perf_counter() - began
        _check(latents, rgb)
        return {"stages": {"decoder": took}}

    return run


def training(options: argparse.Namespace) -> Run:
    """Forward, backward and AdamW of Pocket's U-Net; weights f32, bf16 by autocast."""
    model, config, (tokens, width) = networks.pocket_unet()
    model = model.to(memory_format=torch.channels_last)
    # One pass over all weights; the plain version takes them one by one.
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    forward = torch.compile(model, dynamic=False) if options.compile else model
    torch.manual_seed(1)
    batch, side = options.batch, config["sample_size"]
    like = (batch, config["in_channels"], side, side)
    noisy = torch.randn(like).to(memory_format=torch.channels_last)
    target = torch.randn(like).to(memory_format=torch.channels_last)
    time = torch.rand(batch) * 1000.0
    context = torch.randn(batch, tokens, width)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bf16")

    def run() -> dict[str, Any]:
        began = perf_counter()
        with autocast:
            velocity = forward(noisy, time, context, return_dict=False)[0]
        loss = nn.functional.mse_loss(velocity.float(), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        took = perf_counter() - began
        if not torch.isfinite(loss):
            raise RuntimeError("the loss is no finite number")
        return {"seconds": took}

    return run


def _prepared(
    name: str, of: networks.Shapes, options: argparse.Namespace
) -> Callable[..., torch.Tensor]:
    module = networks.build(name, of)
    module = module.to(dtype=DTYPES[options.dtype], memory_format=torch.channels_last)
    return torch.compile(module, dynamic=False) if options.compile else module


def _typed(tensor: torch.Tensor, options: argparse.Namespace) -> torch.Tensor:
    return tensor.to(DTYPES[options.dtype], memory_format=torch.channels_last)


def _check(latents: torch.Tensor, rgb: torch.Tensor) -> None:
    """A network that computes nonsense, or nothing, must not win."""
    if not torch.isfinite(latents).all():
        raise RuntimeError("the latents hold values that are no finite numbers")
    side = latents.shape[-1] * 8
    if rgb.shape != (1, side, side, 3) or rgb.min() == rgb.max():
        raise RuntimeError(
            f"no picture came out, but {tuple(rgb.shape)}, all one value"
        )


def _prepare() -> Run:
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = {"one-step": one_step, "tiny-decoder": tiny_decoder, "training": training}
    parser.add_argument("task", choices=tasks)
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.compile and options.task != "training":
        # Lets the compiler lay out weights once, for oneDNN, as inference allows.
        import torch._inductor.config as inductor

        inductor.freezing = True
        inductor.freezing_discard_parameters = True
    return tasks[options.task](options)


if __name__ == "__main__":
    serving.main(_prepare)
