"""The captioner's network: it looks at three moments of a clip and gives a score to every value of every slot.

The picture is read at a quarter of its size, where a far ball is still a cell of its own, and at an eighth, where the
room is; both are laid over each other. Then each slot asks with a learned query of its own where in the picture its
answer stands, and reads it there by attention (Query2Label, Liu et al. 2021): the floor is asked for at the bottom, a
red ball wherever it lies, and the number of cells that answer tells how many there are. Kinds of things share their
colours, their shapes and the layers that read counts and places, so that a kind that is rare learns from the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from worldsim.captions.slots import CHOICES, DISTANCES, MOST, PLACES, Slots
from worldsim.model import features
from worldsim.model.convolutions import CELL, Conv, cells_of, stack

# B clips, T = LOOKS frames, h w cells, N = h * w, Q queries, K kinds, E events, D width

LOOKS = 3
"""Frames of a clip that are seen: the first, the middle one and the last."""
MULTIPLE = 2 * CELL
"""Sides of a frame must be multiples of as many pixels."""
_PLACE = 32
_STATISTICS = 3


@dataclass(frozen=True)
class FactNetConfig:
    """``fine_width`` channels at a quarter of the picture's size and ``coarse_width`` at an eighth, with so many
    residual blocks; ``width`` of what queries read."""

    fine_width: int = 64
    coarse_width: int = 128
    fine_depth: int = 2
    coarse_depth: int = 2
    width: int = 96


class Logits(NamedTuple):
    """Scores before softmax: ``choices (B, S, V)`` with -inf where a slot has no such value, ``counts (B, K, MOST +
    1)``, ``places (B, K, 4)``, ``distances (B, K, 3)``; before the sigmoid ``events (B, E)``."""

    choices: torch.Tensor
    counts: torch.Tensor
    places: torch.Tensor
    distances: torch.Tensor
    events: torch.Tensor


class FactNet(nn.Module):
    """Scores of the slots of uint8 clips ``(B, 3, H, W, 3)``, sides multiples of 8 (``ValueError`` for others)."""

    colour_of: torch.Tensor
    shape_of: torch.Tensor
    event_of: torch.Tensor
    lacks: torch.Tensor

    def __init__(self, slots: Slots, config: FactNetConfig | None = None) -> None:
        super().__init__()
        config = config or FactNetConfig()
        d = config.width
        self.stem = Conv(LOOKS * 3 * CELL * CELL, config.fine_width, 3)
        self.encoder = nn.ModuleDict(
            {
                "fine": stack(config.fine_width, config.fine_depth),
                "down": Conv(config.fine_width, config.coarse_width, 2, stride=2),
                "coarse": stack(config.coarse_width, config.coarse_depth),
                "fine_out": Conv(config.fine_width, d, 1),
                "coarse_out": Conv(config.coarse_width, d, 1),
            }
        )
        self.place = nn.Linear(_PLACE, d)
        self.norm = nn.LayerNorm(d)
        self.key, self.value = nn.Linear(d, d), nn.Linear(d, d)

        colours = sorted({colour for colour, _ in slots.kind_names})
        shapes = sorted({shape for _, shape in slots.kind_names})
        kinds = [event.kind for event in slots.event_facts]
        self.event_kinds = sorted(set(kinds))
        self.register_buffer("colour_of", _indices(colours, [c for c, _ in slots.kind_names]), persistent=False)
        self.register_buffer("shape_of", _indices(shapes, [s for _, s in slots.kind_names]), persistent=False)
        self.register_buffer("event_of", _indices(self.event_kinds, kinds), persistent=False)
        self.colours, self.shapes = (nn.Parameter(torch.randn(len(x), d)) for x in (colours, shapes))
        self.kinds = nn.Parameter(0.2 * torch.randn(len(slots.kinds), d))
        self.asks = nn.Parameter(torch.randn(len(CHOICES) + len(self.event_kinds), d))

        most = max(len(words) for words in slots.values)
        lacks = torch.tensor([[i >= len(words) for i in range(most)] for words in slots.values])
        self.register_buffer("lacks", lacks, persistent=False)
        self.choice_weight = nn.Parameter((2 * d) ** -0.5 * torch.randn(len(CHOICES), 2 * d, most))
        self.choice_bias = nn.Parameter(torch.zeros(len(CHOICES), most))
        outputs = MOST + 1 + len(PLACES) + len(DISTANCES)
        self.layers = nn.ModuleDict(
            {
                "read": nn.Linear(d + _STATISTICS, d),
                "asked": nn.Linear(d, d),
                "around": nn.Linear(d, d),
                "count": nn.Linear(d, outputs),
            }
        )
        self.kind_bias = nn.Parameter(torch.zeros(len(slots.kinds), outputs))
        self.event_weight = nn.Parameter((2 * d) ** -0.5 * torch.randn(len(slots.events), 2 * d))
        self.event_bias = nn.Parameter(torch.full((len(slots.events),), -4.0))
        with torch.no_grad():
            self.kind_bias[:, 0] = 3.0  # most kinds are not in sight

    def forward(self, clips_BTHWC: torch.Tensor) -> Logits:
        cells_BND, around_BD = self.look(clips_BTHWC)
        asks_QD = torch.cat([self.asks, self.colours[self.colour_of] + self.shapes[self.shape_of] + self.kinds])
        scores_BQN = torch.einsum("qd,bnd->bqn", asks_QD, self.key(cells_BND)) * asks_QD.shape[-1] ** -0.5
        read_BQD = scores_BQN.softmax(-1) @ self.value(cells_BND)
        choices, events = len(CHOICES), len(self.event_kinds)
        around = around_BD[:, None].expand(-1, choices + events, -1)
        told = torch.cat([read_BQD[:, : choices + events], around], dim=-1)
        of_choices = torch.einsum("bqd,qdv->bqv", told[:, :choices], self.choice_weight) + self.choice_bias
        of_choices = of_choices.float().masked_fill(self.lacks, float("-inf"))
        of_events = (told[:, choices:][:, self.event_of] * self.event_weight).sum(-1) + self.event_bias
        kinds = self._kinds(read_BQD[:, choices + events :], scores_BQN[:, choices + events :], around_BD, asks_QD)
        counts, places, distances = kinds.float().split([MOST + 1, len(PLACES), len(DISTANCES)], dim=-1)
        return Logits(of_choices, counts, places, distances, of_events.float())

    def look(self, clips_BTHWC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What is in each cell of the picture, ``(B, N, D)``, and on the whole, ``(B, D)``, of clips as those of
        ``forward``."""
        frames, height, width = clips_BTHWC.shape[1:4]
        if frames != LOOKS or height % MULTIPLE or width % MULTIPLE:
            raise ValueError(
                f"clips must hold {LOOKS} frames with sides that are multiples of {MULTIPLE} pixels, not {frames} of "
                f"{height}x{width}"
            )
        x = rearrange(clips_BTHWC, "b t h w c -> b (t c) h w").float() / 127.5 - 1
        fine = self.encoder["fine"](self.stem(cells_of(x)))
        coarse = self.encoder["coarse"](self.encoder["down"](fine))
        wide = F.interpolate(self.encoder["coarse_out"](F.silu(coarse)), scale_factor=2, mode="nearest")
        grid = self.encoder["fine_out"](F.silu(fine)) + wide
        h, w = grid.shape[-2:]
        at_ND = self.place(features.place(h, w, grid.device))
        cells_BND = self.norm(rearrange(grid, "b d h w -> b (h w) d") + at_ND)
        return cells_BND, cells_BND.mean(1)

    def _kinds(
        self, read_BKD: torch.Tensor, scores_BKN: torch.Tensor, around_BD: torch.Tensor, asks_QD: torch.Tensor
    ) -> torch.Tensor:
        """Counts, places and distances of kinds, from what was read where they were looked for, and how many cells
        answered."""
        scores = scores_BKN.float()
        found = scores - 4.0  # a cell is no answer at first
        answering = (found.sigmoid().sum(-1).log1p(), found.amax(-1), found.logsumexp(-1))
        told = torch.cat([read_BKD, torch.stack(answering, dim=-1).to(read_BKD.dtype)], dim=-1)
        layers = self.layers
        asked_KD = layers["asked"](asks_QD[-read_BKD.shape[1] :]) if read_BKD.shape[1] else asks_QD[:0]
        hidden = F.silu(layers["read"](told) + asked_KD + layers["around"](around_BD)[:, None])
        return layers["count"](hidden) + self.kind_bias


def _indices(names: list[str], entries: list[str]) -> torch.Tensor:
    return torch.tensor([names.index(entry) for entry in entries], dtype=torch.int64)
