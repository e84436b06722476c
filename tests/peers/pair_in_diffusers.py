"""Holds a pair's teacher to Diffusers: its classes draw what this program draws.

    target/peers/bin/python tests/peers/pair_in_diffusers.py assets/pocket \\
        target/release/instaflow

Opens `PAIR/teacher` with the classes of Diffusers and Transformers, steps as the
InstaFlow authors' pipeline does, and prints how far latents and pictures of the same
prompt and seed are apart. Exit code 1 where that is more than rounding.
Change here what is compared.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

PROMPTS = [
    ("a snowy mountain near a lake at sunset", 0),
    ("a red sailboat on the sea at dawn", 7),
    ("a city skyline at night with a full moon", 4_294_967_295),
]
STEPS = 25
GUIDANCE = 1.5
# f32 over 25 steps: the tolerance that the project's own reference tests have.
LATENTS = 1e-3
# One level of 255 where a value falls on the other side of a half.
LEVELS = 1


class Teacher:
    """The folder's networks, in f32."""

    def __init__(self, folder: Path) -> None:
        """Opens them."""
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.text = CLIPTextModel.from_pretrained(
            folder / "text_encoder", dtype=torch.float32
        )
        self.unet = UNet2DConditionModel.from_pretrained(
            folder / "unet", torch_dtype=torch.float32
        )
        self.vae = AutoencoderTiny.from_pretrained(
            folder / "vae", torch_dtype=torch.float32
        )
        self.length = self.text.config.max_position_embeddings

    def context(self, prompts: list[str]) -> torch.Tensor:
        """What the U-Net reads of the prompts."""
        ids = self.tokenizer(
            prompts,
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return self.text(ids)[0]

    def draw(self, prompt: str, seed: int) -> tuple[torch.Tensor, np.ndarray]:
        """Latents, and the picture as bytes."""
        config = self.unet.config
        shape = (1, config.in_channels, config.sample_size, config.sample_size)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        context = self.context(["", prompt])
        for step in range(STEPS):
            time = torch.full((2,), (1 - step / STEPS) * 1000)
            both = self.unet(torch.cat([x, x]), time, context).sample
            without, with_prompt = both.chunk(2)
            x = x + (without + GUIDANCE * (with_prompt - without)) / STEPS
        picture = self.vae.decode(x / self.vae.config.scaling_factor).sample
        picture = (picture / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0)
        return x, (picture * 255).round().to(torch.uint8).numpy()


def ours(
    program: str, pair: Path, prompt: str, seed: int
) -> tuple[torch.Tensor, np.ndarray]:
    """The same by this program."""
    with tempfile.TemporaryDirectory() as name:
        picture, latents = Path(name, "picture.png"), Path(name, "latents.safetensors")
        command = [program, "generate", prompt, "--model", str(pair), "--teacher"]
        command += ["--steps", str(STEPS), "--guidance", str(GUIDANCE)]
        command += ["--seed", str(seed), "--device", "cpu", "--dtype", "f32"]
        command += ["-o", str(picture), "--save-latents", str(latents)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return load_file(latents)["latents"], np.asarray(Image.open(picture))


def main() -> int:
    """Compares prompt by prompt."""
    pair, program = Path(sys.argv[1]), sys.argv[2]
    teacher = Teacher(pair / "teacher")
    right = True
    with torch.inference_mode():
        for prompt, seed in PROMPTS:
            latents, picture = teacher.draw(prompt, seed)
            our_latents, our_picture = ours(program, pair, prompt, seed)
            apart = ((latents - our_latents).abs().max() / latents.abs().max()).item()
            levels = np.abs(picture.astype(int) - our_picture.astype(int))
            right &= apart < LATENTS and levels.max() <= LEVELS
            print(
                f"{prompt!r}, seed {seed}: latents {apart:.1e} of the largest value "
                f"apart, pixels at most {levels.max()} of 255"
            )
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
