"""What the nets of a world are: which commands they tell apart, what they look at, how much play they learn from.

Commands that leave no mark in the pictures of random play are one class with standing still: a use of nothing, a strike
at nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from worldsim_benchmarks.nets.eyes import Motion

MATCHES = ((32, 1, 1), (32, 3, 1), (32, 3, 1), (32, 3, 2))
"""Convolutions of an action reader on matches, 8x8 to 4x4: outputs, kernel, stride."""
CELLS = ((16, 3, 2), (32, 3, 2), (32, 3, 1), (32, 3, 1), (32, 3, 1))
"""Those of a detector: 64x64 to cells of 4 pixels, each of which sees 31 pixels."""
BAR = 3 / 64
"""Share of the rows that a status bar takes in Doom's worlds."""
WALKS = ("noop", "forward", "backward", "strafe_left", "strafe_right")
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "cyan", "white")


def meaning(told_apart: tuple[str, ...], as_still: tuple[str, ...] = ()) -> dict[str, str]:
    """Each command its own class, and those that look like standing still."""
    return {**{name: name for name in told_apart}, **dict.fromkeys(as_still, "noop")}


@dataclass(frozen=True)
class Recipe:
    """Of one world: ``means`` maps commands to classes, ``maps`` and ``val_maps`` are played for ``steps`` steps each,
    ``batches`` of 64 train the reader. Things of the classes ``kinds`` and of ``palette`` are detected, where given, by
    a detector that ``palette_batches`` train. Play draws from one command of each class, and from ``also``."""

    world: str
    means: dict[str, str]
    eyes: Motion
    maps: int = 420
    val_maps: int = 60
    steps: int = 24
    batches: int = 2500
    hidden: int = 64
    palette_batches: int = 1400
    palette: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def commands(self) -> tuple[str, ...]:
        """What random play draws from: one command of each class, and some that are read as standing still."""
        return (*dict.fromkeys(self.means.values()), *self.also)


RECIPES = {
    "DoomRooms": Recipe(
        "worldsim/DoomRooms-v0",
        meaning((*WALKS, "turn_left", "turn_right", "forward+turn_left", "forward+turn_right", "turn_left_small",
                 "turn_right_small"), ("use", "attack")),
        Motion(bottom=BAR), palette=COLOURS, kinds=("ball", "diamond", "cone"),
    ),
    "Table": Recipe(
        "worldsim/Table-v0",
        meaning(WALKS, ("use", "attack", "place", "next_item")),
        Motion(((1, 3), (3, 5), (5, 7)), wide=3, high=3), maps=250, val_maps=40, batches=1200,
        also=("use", "attack", "place", "next_item"),
        palette=COLOURS, kinds=("disc", "box", "pane"),
    ),
}  # fmt: skip
"""By the world's short name."""
