"""Saves the networks as a folder in Diffusers layout, for programs that read one.

Change here what such a folder holds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

import networks


def main() -> None:
    """Writes Stable Diffusion 1.5's shapes with random weights in bf16."""
    folder = Path(sys.argv[1])
    of = networks.SD15
    torch.manual_seed(0)
    parts = {
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**of.text)),
        "unet": lambda: UNet2DConditionModel.from_config(of.unet),
        "vae": lambda: AutoencoderKL.from_config(of.decoder),
    }
    for name, build in parts.items():
        build().to(torch.bfloat16).save_pretrained(folder / name)


if __name__ == "__main__":
    main()
