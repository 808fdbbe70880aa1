"""The revealer: which parts of a picture an act takes away, so that what lay behind them is seen.

A door that is used goes, and what comes into view nobody has seen: a world model that learns by squared error expects
the mean of all rooms there, and its memory keeps the door, which is sharp. What can be known is *where* the door is
gone. So a small convolutional network looks at the picture beside what was done, or told to happen, in the last steps,
and says so of each cell; what is seen there is then drawn by a starter, as what a turn uncovers is
(``imagination.py``). It is taught by the true motion of recorded steps, which tells the places that were not seen
before (``recording/motion.py``), in steps in which the camera stands still.

It reads the picture at half, a quarter and all of it together, so a door is seen whole; frames of any size can be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from worldsim.actions import KEY_BIT
from worldsim.captions.facts import EVENT_KINDS, EventFact
from worldsim.captions.lexicon import COLOURS
from worldsim.model.referee import PLACE, place
from worldsim.worlds import WORLDS

# B lanes or moments, C h w latent, P last steps, N colours

SURE = 0.5
"""Probability from which on a cell counts as taken away."""


@dataclass(frozen=True)
class RevealerConfig:
    """In ``worlds`` the keys ``acts``, and texts that tell of ``events``, take parts of the picture away, within
    ``past`` steps from when they were pressed or told. ``width`` channels per cell; events are told apart by
    ``colours``. What is taken away has returned by itself after ``lasts`` steps; None: it does not."""

    worlds: tuple[str, ...] = ("DoomRooms",)
    acts: tuple[str, ...] = ("use",)
    events: tuple[str, ...] = ("door_opens",)
    past: int = 12
    width: int = 32
    colours: tuple[str, ...] = tuple(COLOURS)
    lasts: int | None = None

    def __post_init__(self) -> None:
        if min(self.past, self.width) < 1:
            raise ValueError(f"past={self.past}, width={self.width} of a revealer: both are at least 1")
        if self.lasts is not None and self.lasts < 2 * self.past:
            raise ValueError(
                f"lasts={self.lasts} of a revealer with past={self.past}: what returns has gone before, and takes as "
                "long, so at least twice past, or none"
            )
        for name, given, able in (
            ("worlds", self.worlds, tuple(WORLDS)),
            ("acts", self.acts, tuple(KEY_BIT)),
            ("events", self.events, EVENT_KINDS),
        ):
            if not set(given) <= set(able):
                raise ValueError(f"{name}={given} of a revealer: accepted are {', '.join(able)}")

    @property
    def bits(self) -> list[int]:
        """The places of the keys ``acts`` in a multi-hot."""
        return [KEY_BIT[name] for name in self.acts]

    def colour_of(self, events: tuple[EventFact, ...]) -> str | None:
        """The colour of the first of ``events`` that takes something away, "" where none is told; None without one."""
        return next((event.colour for event in events if event.kind in self.events), None)

    def one_hot(self, colour: str) -> list[float]:
        """The ``N`` numbers of a colour; zeros for one that is not known."""
        return [float(colour == known) for known in self.colours]


class Revealer(nn.Module):
    """Image latents of ``channels`` channels and what was done to logits of what is taken away."""

    def __init__(self, config: RevealerConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.told = nn.Linear(2 * config.past + len(config.colours), 2 * width)
        self.cells = nn.Conv2d(channels + PLACE, width, 5, padding=2)
        self.to_halves = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.to_quarters = nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1)
        self.whole = nn.Linear(4 * width, 2 * width)
        self.mix = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.back_to_halves = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.back_to_cells = nn.Conv2d(3 * width, width, 3, padding=1)
        self.out = nn.Conv2d(width, 1, 3, padding=1)

    def forward(
        self, latents: torch.Tensor, acted: torch.Tensor, told: torch.Tensor, colour: torch.Tensor
    ) -> torch.Tensor:
        """Logits float32 ``(B, 1, h, w)`` that what the cells of ``latents (B, C, h, w)``, of whole pictures, show is
        gone. ``acted (B, P)`` and ``told (B, P)`` are 1 where a key was pressed, or the event told, in one of the last
        steps, the present one first; ``colour (B, N)`` is that of what was told, zeros where none was."""
        known = self.told(torch.cat([acted, told, colour], dim=1).float())
        height, width = latents.shape[2:]
        where = place(height, width, latents.device).expand(len(latents), -1, -1, -1)
        cells = F.silu(self.cells(torch.cat([latents.float(), where], dim=1)))
        half = F.silu(self.to_halves(cells) + known[..., None, None])
        quarter = F.silu(self.to_quarters(half))
        whole = self.whole(torch.cat([quarter.mean((2, 3)), known], dim=1))
        quarter = F.silu(self.mix(quarter) + whole[..., None, None])
        up = F.interpolate(quarter, size=half.shape[2:], mode="nearest")
        half = F.silu(self.back_to_halves(torch.cat([half, up], dim=1)) + known[..., None, None])
        up = F.interpolate(half, size=(height, width), mode="nearest")
        return self.out(F.silu(self.back_to_cells(torch.cat([cells, up], dim=1))))
