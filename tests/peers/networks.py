"""The networks that the peers run: Diffusers' and Transformers' classes, random weights.

Change here which shapes are timed. Every module takes and gives plain tensors, so that
one definition serves PyTorch and OpenVINO's converter alike.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

ROOT = Path(__file__).resolve().parents[2]
TINY_SD = ROOT / "tests/fixtures/tiny-sd"
POCKET = ROOT / "assets/pocket/teacher"

Config = dict[str, Any]


@dataclass(frozen=True)
class Shapes:
    """The configs of one model and the side of its square latents."""

    text: Config
    unet: Config
    decoder: Config
    tiny: Config
    latent_side: int
    # By network; None where nothing is known to compare with.
    parameters: dict[str, int] | None = None


SD15 = Shapes(
    text={
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
    },
    unet={
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": [320, 640, 1280, 1280],
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    decoder={
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
    },
    # AutoencoderTiny's defaults are TAESD's.
    tiny={},
    latent_side=64,
    # As published for Stable Diffusion 1.5 and TAESD; the decoders without encoders.
    parameters={
        "text_encoder": 123_060_480,
        "unet": 859_520_964,
        "decoder": 49_490_199,
        "tiny_decoder": 1_222_531,
    },
)


def shapes(quick: bool) -> Shapes:
    """Stable Diffusion 1.5's at 512x512, or the test fixture's at 64x64."""
    if not quick:
        return SD15
    parts = ("model/text_encoder", "model/unet", "model/vae", "vae_tiny")
    text, unet, decoder, tiny = (_config(TINY_SD / part) for part in parts)
    return Shapes(text, unet, decoder, tiny, latent_side=8)


def build(name: str, of: Shapes) -> nn.Module:
    """A network by its stage's name, in f32 and evaluation mode."""
    torch.manual_seed(0)
    module = {
        "text_encoder": TextEncoder,
        "unet": Denoiser,
        "decoder": Decoder,
        "tiny_decoder": TinyDecoder,
    }[name](of)
    count = sum(parameter.numel() for parameter in module.parameters())
    if of.parameters is not None and count != of.parameters[name]:
        raise RuntimeError(
            f"{name} has {count} parameters, not the published {of.parameters[name]}: "
            "this version of its library reads the config in networks.py otherwise"
        )
    return module.eval().requires_grad_(False)


def inputs(name: str, of: Shapes) -> tuple[torch.Tensor, ...]:
    """What the network of this name takes, in f32 (token ids: i64), batch 1."""
    torch.manual_seed(1)
    tokens = of.text["max_position_embeddings"]
    latents = torch.randn(1, 4, of.latent_side, of.latent_side)
    if name == "text_encoder":
        return (torch.randint(0, of.text["vocab_size"], (1, tokens)),)
    if name == "unet":
        # The student's one step is taken at network time 1000.
        context = torch.randn(1, tokens, of.unet["cross_attention_dim"])
        return (latents, torch.tensor([1000.0]), context)
    return (latents,)


class TextEncoder(nn.Module):
    """Token ids (B, L) to an embedding (B, L, D)."""

    def __init__(self, of: Shapes) -> None:
        super().__init__()
        self.model = CLIPTextModel(CLIPTextConfig(**of.text))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=ids).last_hidden_state


class Denoiser(nn.Module):
    """Latents (B, C, h, w), time (1) and embedding to a velocity (B, C, h, w)."""

    def __init__(self, of: Shapes) -> None:
        super().__init__()
        self.model = UNet2DConditionModel.from_config(of.unet)

    def forward(
        self, latents: torch.Tensor, time: torch.Tensor, context: torch.Tensor
    ) -> torch.Tensor:
        return self.model(latents, time, context, return_dict=False)[0]


class Decoder(nn.Module):
    """Latents (B, C, h, w) to RGB bytes (B, 8h, 8w, 3), as a picture needs them."""

    def __init__(self, of: Shapes) -> None:
        super().__init__()
        self.model = AutoencoderKL.from_config(of.decoder)
        self.scale = self.model.config.scaling_factor
        del self.model.encoder, self.model.quant_conv

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return _rgb(self.model.decode(latents / self.scale, return_dict=False)[0])


class TinyDecoder(nn.Module):
    """TAESD's decoder: latents (B, C, h, w) to RGB bytes (B, 8h, 8w, 3)."""

    def __init__(self, of: Shapes) -> None:
        super().__init__()
        self.model = AutoencoderTiny.from_config(of.tiny)
        del self.model.encoder

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return _rgb(self.model.decode(latents, return_dict=False)[0])


def pocket_unet() -> tuple[nn.Module, Config, tuple[int, int]]:
    """Pocket's U-Net to train, its config, and its embedding's (tokens, width)."""
    config = _config(POCKET / "unet")
    text = _config(POCKET / "text_encoder")
    torch.manual_seed(0)
    module = UNet2DConditionModel.from_config(config).train()
    return module, config, (text["max_position_embeddings"], text["hidden_size"])


def _rgb(image: torch.Tensor) -> torch.Tensor:
    scaled = (image.float() * 127.5 + 127.5).clamp(0.0, 255.0)
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _config(folder: Path) -> Config:
    read = json.loads((folder / "config.json").read_text())
    return {key: value for key, value in read.items() if key != "dtype"}
