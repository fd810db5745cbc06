"""Write an SDXL checkpoint with random weights in the real single-file layout.

    python benchmarks/make_checkpoint.py out.safetensors [--small] [--dtype fp32]

Both text encoders are whole (196 + 390 tensors and te1's position_ids at full size: 3.3 GB in fp32,
1.6 GB in fp16); of the U-Net and the VAE a few small tensors stand for the rest. `--small` keeps the
layout, the vocabulary and the 77 positions, with te1 128 wide and 3 deep and te2 192 wide and 4 deep.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

TE1, TE2 = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."
FULL, SMALL = ((768, 12), (1280, 32)), ((128, 3), (192, 4))  # (width, layers) of te1 and te2
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
REST = {
    "model.diffusion_model.time_embed.0.weight": (64, 32),
    "model.diffusion_model.out.2.weight": (4, 32, 3, 3),
    "first_stage_model.quant_conv.weight": (8, 8, 1, 1),
}


class Maker:
    """Draws tensors from one seeded stream: weights around 0, norms around 1, biases that matter."""

    def __init__(self, dtype: torch.dtype, seed: int) -> None:
        self.dtype, self.tensors = dtype, dict[str, torch.Tensor]()
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, key: str, *shape: int, std: float, mean: float = 0.0) -> None:
        """Draw one tensor of normal deviates."""
        noise = torch.randn(shape, generator=self.generator)
        self.tensors[key] = noise.mul_(std).add_(mean).to(self.dtype)

    def norm(self, key: str, width: int) -> None:
        """Draw a layer norm of `width`."""
        self.draw(f"{key}.weight", width, std=0.1, mean=1.0)
        self.draw(f"{key}.bias", width, std=0.05)

    def linear(self, key: str, rows: int, columns: int, gain: float = 1.0, joint: str = ".") -> None:
        """Draw a linear layer that keeps its input's scale, times `gain`."""
        self.draw(f"{key}{joint}weight", rows, columns, std=gain * columns**-0.5)
        self.draw(f"{key}{joint}bias", rows, std=0.02)

    def te1(self, width: int, layers: int) -> None:
        """Draw te1 in transformers 4's layout."""
        self.draw(f"{TE1}embeddings.token_embedding.weight", 49408, width, std=0.02)
        self.draw(f"{TE1}embeddings.position_embedding.weight", 77, width, std=0.01)
        self.tensors[f"{TE1}embeddings.position_ids"] = torch.arange(77).unsqueeze(0)
        for i in range(layers):
            layer = f"{TE1}encoder.layers.{i}."
            for part in ("k_proj", "v_proj", "q_proj"):
                self.linear(f"{layer}self_attn.{part}", width, width)
            self.linear(f"{layer}self_attn.out_proj", width, width, (2 * layers) ** -0.5)
            self.norm(f"{layer}layer_norm1", width)
            self.linear(f"{layer}mlp.fc1", 4 * width, width, 0.7)
            self.linear(f"{layer}mlp.fc2", width, 4 * width, (2 * layers) ** -0.5)
            self.norm(f"{layer}layer_norm2", width)
        self.norm(f"{TE1}final_layer_norm", width)

    def te2(self, width: int, layers: int) -> None:
        """Draw te2 in open_clip's layout."""
        self.draw(f"{TE2}token_embedding.weight", 49408, width, std=0.02)
        self.draw(f"{TE2}positional_embedding", 77, width, std=0.01)
        for i in range(layers):
            layer = f"{TE2}transformer.resblocks.{i}."
            self.linear(f"{layer}attn.in_proj", 3 * width, width, joint="_")
            self.linear(f"{layer}attn.out_proj", width, width, (2 * layers) ** -0.5)
            self.norm(f"{layer}ln_1", width)
            self.linear(f"{layer}mlp.c_fc", 4 * width, width, 0.7)
            self.linear(f"{layer}mlp.c_proj", width, 4 * width, (2 * layers) ** -0.5)
            self.norm(f"{layer}ln_2", width)
        self.norm(f"{TE2}ln_final", width)
        self.draw(f"{TE2}text_projection", width, width, std=width**-0.5)
        self.tensors[f"{TE2}logit_scale"] = torch.tensor(4.6055, dtype=self.dtype)


def checkpoint(small: bool = True, dtype: str = "fp32", seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the tensors of a random SDXL checkpoint by their single-file keys."""
    maker = Maker(DTYPES[dtype], seed)
    for key, shape in REST.items():
        maker.draw(key, *shape, std=1.0)
    sizes = SMALL if small else FULL
    maker.te1(*sizes[0])
    maker.te2(*sizes[1])
    return maker.tensors


def make_checkpoint(path: Path, small: bool = True, dtype: str = "fp32", seed: int = 0) -> Path:
    """Write such a checkpoint to `path` and return the path."""
    save_file(checkpoint(small, dtype, seed), path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a random SDXL checkpoint.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="fp32")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(make_checkpoint(given.path, given.small, given.dtype, given.seed))
