"""What captions call the nodes and things of the block world, and what its goals ask for."""

from __future__ import annotations

from dataclasses import dataclass

from worldsim.captions.facts import Surface


@dataclass(frozen=True)
class NodeName:
    """A node as an object of an event (``colour`` and ``shape``), and as a surface to stand on or before."""

    shape: str
    colour: str
    surface: Surface


NODES: dict[str, NodeName] = {
    "grass": NodeName("grass block", "", Surface("green", "grass")),
    "dirt": NodeName("dirt block", "", Surface("brown", "dirt")),
    "snow": NodeName("snow block", "", Surface("white", "snow")),
    "sand": NodeName("sand block", "", Surface("yellow", "sand")),
    "stone": NodeName("stone block", "", Surface("grey", "stone")),
    "bedrock": NodeName("stone block", "black", Surface("black", "stone")),
    "coal_ore": NodeName("coal", "", Surface("grey", "stone")),
    "iron_ore": NodeName("iron ore", "", Surface("grey", "stone")),
    "planks": NodeName("plank block", "", Surface("brown", "wood")),
    "trunk": NodeName("tree trunk", "brown", Surface("brown", "wood")),
    "birch_trunk": NodeName("tree trunk", "white", Surface("white", "wood")),
    "leaves": NodeName("leaf block", "", Surface("green")),
    "pine_leaves": NodeName("leaf block", "", Surface("green")),
    "cactus": NodeName("cactus", "", Surface("green")),
    "lamp": NodeName("lamp", "", Surface("yellow")),
    "red_flower": NodeName("flower", "red", Surface("green", "grass")),
    "yellow_flower": NodeName("flower", "yellow", Surface("green", "grass")),
    "tall_grass": NodeName("plant", "", Surface("green", "grass")),
    "water": NodeName("", "", Surface("blue", "water")),
}
PLANTS = ("red_flower", "yellow_flower", "tall_grass")
"""What is picked, not dug."""

THINGS: dict[str, tuple[str, str]] = {
    "tree": ("tree", ""), "cactus": ("cactus", ""), "lamp": ("lamp", ""), "coal": ("coal", ""),
    "iron ore": ("iron ore", ""), "red flower": ("flower", "red"), "yellow flower": ("flower", "yellow"),
}  # fmt: skip
"""What the mod tells of as things -> class and colour."""

SETTINGS: dict[str, str] = {
    "grassland": "grassy hills of blocks", "forest": "a forest of blocks", "desert": "a desert of blocks",
    "snow": "snowy hills of blocks", "mountains": "stone mountains of blocks",
}  # fmt: skip
"""Biome of an episode's start -> scene text."""


@dataclass(frozen=True)
class Goal:
    """What pays: an event of ``kind`` ("dig" or "place") with one of ``nodes``. ``biome`` is where such things are."""

    kind: str
    nodes: tuple[str, ...]
    biome: str = "-"


GOALS: dict[str, Goal] = {
    "dig a tree trunk": Goal("dig", ("trunk", "birch_trunk"), "forest"),
    "dig a leaf block": Goal("dig", ("leaves", "pine_leaves"), "forest"),
    "dig a dirt block": Goal("dig", ("dirt", "grass", "snow"), "grassland"),
    "dig a sand block": Goal("dig", ("sand",), "desert"),
    "dig a stone block": Goal("dig", ("stone",), "mountains"),
    "dig ore": Goal("dig", ("coal_ore", "iron_ore"), "mountains"),
    "pick up a flower": Goal("dig", ("red_flower", "yellow_flower"), "grassland"),
    "place a plank block": Goal("place", ("planks",)),
    "place a stone block": Goal("place", ("stone",)),
    "place a lamp": Goal("place", ("lamp",)),
}
