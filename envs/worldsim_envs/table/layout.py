"""What lies on a table: drawn from the map seed, so that every thing is known by name, place and mass.

Metres: a table is one metre deep (y, upwards in the picture) and as wide (x) as the picture's aspect makes it. Things
of one kind have different colours, and none has the colour of the table top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldsim.captions.facts import Surface, Thing
from worldsim.worlds import COLOURS
from worldsim_envs.places import FreePlaces
from worldsim_envs.things import inventory

DEPTH = 1.0
"""Metres of table from the bottom of the picture to its top."""
RIM = 0.04
"""Metres of rim around the table top; things bounce off its inner edge."""
HAND_RADIUS = 0.045
PANEL = (0.30, 0.46)
"""Width and height of the panel that hides what is under it."""
PANEL_LOW = 0.14
"""Lower edge of the panel; its handle runs on a rail below."""
RAIL = 0.085
TARGET_RADIUS = 0.12
SWITCH_SIZE = HANDLE_SIZE = 0.035
"""Half the side of the switch, and radius of the panel's handle."""
TOPS: tuple[tuple[str, str], ...] = (
    ("grey", "plain"), ("grey", "check"), ("grey", "stone"), ("brown", "wood"), ("brown", "plain"), ("black", "plain"),
    ("black", "grid"), ("white", "plain"), ("white", "dots"), ("green", "plain"), ("blue", "plain"),
    ("pink", "stripe"),
)  # fmt: skip
RIMS: tuple[str, ...] = ("brown", "black", "grey", "white", "red", "blue")

MOVABLE = ("disc", "box", "ball", "apple")
LIGHT_DENSITY, HEAVY_DENSITY = 20.0, 80.0
"""kg per square metre of things; heavy ones carry a black mark."""
GLASS_DENSITY = 30.0


@dataclass(frozen=True)
class Item:
    """A movable thing. ``shape`` is one of ``MOVABLE``; ``size`` is a radius or half a side in metres, ``angle`` in
    radians. Balls roll by themselves."""

    shape: str
    colour: str
    x: float
    y: float
    size: float
    angle: float = 0.0
    heavy: bool = False

    @property
    def mass(self) -> float:
        """kg."""
        area = (2 * self.size) ** 2 if self.shape == "box" else np.pi * self.size**2
        return float(area * (HEAVY_DENSITY if self.heavy else LIGHT_DENSITY))


@dataclass(frozen=True)
class Pane:
    """A pane of glass that stands on the table; ``length`` and ``thickness`` in metres, ``angle`` in radians."""

    colour: str
    x: float
    y: float
    angle: float
    length: float = 0.26
    thickness: float = 0.04

    @property
    def mass(self) -> float:
        """kg."""
        return self.length * self.thickness * GLASS_DENSITY


@dataclass(frozen=True)
class TableLayout:
    """A table before the first step. ``gravity`` (m/s^2) pulls down the picture, ``friction`` (m/s^2) is the
    deceleration by the table top, ``restitution`` the share of closing speed that a bounce keeps. ``switch``,
    ``target`` and ``seeds`` are places; ``panel`` is the x of the hiding panel's handle."""

    width: float
    top: Surface
    rim: Surface
    gravity: float
    friction: float
    restitution: float
    paint: str
    hand: tuple[float, float]
    facing: float
    items: tuple[Item, ...] = ()
    panes: tuple[Pane, ...] = ()
    seeds: tuple[tuple[float, float], ...] = ()
    switch: tuple[float, float] | None = None
    lit: bool = True
    panel: float | None = None
    target: tuple[float, float] | None = None

    def inventory(self) -> tuple[Thing, ...]:
        """Things on the table, equal ones counted."""
        names = [(item.shape, item.colour) for item in self.items] + [("pane", pane.colour) for pane in self.panes]
        names += [("seed", "")] * len(self.seeds) + [("switch", "")] * (self.switch is not None)
        names += [("occluder", "")] * (self.panel is not None) + [("target", "")] * (self.target is not None)
        return inventory(names)


def generate(map_seed: int, goal: str = "", aspect: float = 1.0) -> TableLayout:
    """The table of ``map_seed``, ``aspect`` times as wide as deep, with what ``goal`` needs on it."""
    rng = np.random.default_rng([map_seed, 0x7AB1E])
    width = DEPTH * aspect
    table = FreePlaces(rng, (RIM, RIM), (width - RIM, DEPTH - RIM), 0.01)
    tilted = rng.random() < 0.3
    needed = _needed(goal)
    tops = [surface for surface in TOPS if surface[0] not in needed.values()]
    top = Surface(*tops[rng.integers(len(tops))])
    rim = Surface(str(rng.choice([c for c in RIMS if c != top.colour])), "plain")
    free = [c for c in COLOURS if c != top.colour]
    target = table.place(TARGET_RADIUS) if rng.random() < 0.3 else None
    if target is None and ("target" in goal):
        target = table.place(TARGET_RADIUS)
    panel = float(rng.uniform(RIM + 0.15, width - RIM - 0.15)) if rng.random() < 0.35 else None
    layout = TableLayout(
        width=width,
        top=top,
        rim=rim,
        gravity=float(rng.uniform(0.4, 1.5)) if tilted else 0.0,
        friction=0.05 if tilted else float(rng.uniform(0.3, 1.2)),
        restitution=float(rng.uniform(0.2, 0.9)),
        paint=str(rng.choice(free)),
        hand=table.place(HAND_RADIUS),
        facing=float(rng.integers(4)) * 90.0,
        switch=table.place(0.04) if rng.random() < 0.5 else None,
        lit=bool(rng.random() < 0.7),
        panel=panel,
        target=target,
    )
    layout = layout if layout.switch else replace(layout, lit=True)
    wanted = {
        "disc": (int(rng.integers(1, 4)), 0.05, 0.08),
        "box": (int(rng.integers(0, 3)), 0.045, 0.07),
        "apple": (int(rng.integers(0, 3)), 0.075, 0.1),
        "ball": (int(rng.random() < 0.35), 0.04, 0.055),
    }
    panes = [_pane(table, rng, colour) for colour in _colours(rng, free, int(rng.integers(0, 3)), needed.get("pane"))]
    items: list[Item] = []
    for shape, (count, low, high) in wanted.items():
        for colour in _colours(rng, free, count, needed.get(shape)):
            size = float(rng.uniform(low, high))
            place = table.place(size * (1.5 if shape == "box" else 1.0))
            angle = float(rng.uniform(-np.pi, np.pi))
            heavy = shape in ("disc", "box") and bool(rng.random() < 0.3)
            items.append(Item(shape, colour, *place, size, angle, heavy))
    seeds = [table.place(0.05) for _ in range(int(rng.random() < 0.3))]
    return replace(layout, items=tuple(items), panes=tuple(panes), seeds=tuple(seeds))


def _needed(goal: str) -> dict[str, str]:
    """Shape -> colour that ``goal`` needs; "" where any colour will do."""
    words = goal.split()
    if not words or words[0] == "paint":
        return {}
    if words[0] == "eat":
        return {"apple": ""}
    return {"disc": words[2]} if words[0] == "push" else {"pane": words[2]}


def _colours(rng: np.random.Generator, free: Sequence[str], count: int, needed: str | None) -> list[str]:
    """``count`` different colours, with the needed one first."""
    drawn = [str(c) for c in rng.permutation(list(free))]
    if needed is None:
        return drawn[:count]
    first = [needed or drawn[0]]
    return (first + [c for c in drawn if c != first[0]])[: max(count, 1)]


def _pane(table: FreePlaces, rng: np.random.Generator, colour: str) -> Pane:
    return Pane(colour, *table.place(0.15), angle=np.pi / 2 if rng.random() < 0.5 else 0.0)
