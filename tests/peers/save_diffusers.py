"""Saves the networks as a folder in Diffusers layout, for programs that read one.

Change here what such a folder holds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

import networks


def main() -> None:
    """Writes Stable Diffusion 1.5's shapes with random weights in bf16."""
    folder = Path(sys.argv[1])
    of = networks.SD15
    torch.manual_seed(0)
    parts = {
        "unet": lambda: UNet2DConditionModel.from_config(of.unet),
        "vae": lambda: AutoencoderKL.from_config(of.decoder),
    }
    for name, build in parts.items():
        build().to(torch.bfloat16).save_pretrained(folder / name)
    text = CLIPTextModel(CLIPTextConfig(**of.text)).to(torch.bfloat16)
    # As the published folders name them; Transformers 5 leaves the prefix out.
    tensors = {
        f"text_model.{name.removeprefix('text_model.')}": tensor.contiguous()
        for name, tensor in text.state_dict().items()
    }
    (folder / "text_encoder").mkdir()
    save_file(tensors, folder / "text_encoder/model.safetensors")


if __name__ == "__main__":
    main()
