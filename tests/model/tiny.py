"""Tiny transformers whose every part takes part, and clips for them."""

from dataclasses import replace

import torch

from worldsim.model.conditioning import ACTED, FIRST, Controls, TextTokens
from worldsim.model.transformer import WorldModel, tiny_config

STEP = 4 / 35


def trained_like(config=None):
    """A tiny model whose zero-initialised outputs hold something, as they do after training."""
    torch.manual_seed(0)
    model = WorldModel(config or tiny_config())
    for p in model.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.2)
    return model.eval().requires_grad_(False)


def inputs(model, batch=2, frames=15, height=16, width=16, seed=1):
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(batch, frames, 4, height, width, generator=g)
    tau = torch.rand(batch, frames, generator=g)
    known = torch.full((batch, frames), ACTED)
    known[:, 0] = FIRST
    keys = (torch.rand(batch, frames, 32, generator=g) > 0.8).float()
    controls = Controls(keys, 10 * torch.randn(batch, frames, 2, generator=g), known)
    text = TextTokens(
        scene=model.encode_text(["red walls"] * batch, "scene"),
        view=model.encode_text(["a blue floor"] * batch, "view"),
        view_age=torch.arange(frames).expand(batch, frames),
        event=model.encode_text(["", "a door opens"] * batch, "event")[:frames].repeat(batch, frames, 1)[
            :batch, :frames, None
        ],
        goal=model.encode_text(["collect the red ball"] * batch, "goal")[:, 0],
        world=torch.zeros(batch, dtype=torch.int64),
    )
    return z, tau, controls, text, torch.arange(frames).expand(batch, frames) * STEP


def at(text, t):
    return replace(text, view_age=text.view_age[:, t : t + 1], event=text.event[:, t : t + 1])


def causal(batch):
    return torch.zeros(batch, dtype=torch.int64)
