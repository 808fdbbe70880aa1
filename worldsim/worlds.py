"""The registered worlds as data: what the model, the recorder and the environments must agree on about each.

A world fixes its frames per step ``k``, frame rate, the actions it reads, its time limit and a default prompt. The
specifications stand here, and not in the environments, because a learned environment needs them where the true
world's engine is not installed. Imports neither torch nor gymnasium.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from worldsim.actions import ACTION_ID, ActionTable, Camera

SPLITS: dict[str, tuple[int, int]] = {
    "train": (0, 1_000_000),
    "val": (1_000_000, 1_100_000),
    "test": (2_000_000, 2_100_000),
}
"""Half-open ranges of map seeds. They are disjoint, and the recorder refuses test seeds."""


def split_of(map_seed: int) -> str | None:
    """Name of the split that holds ``map_seed``, None where it lies outside all of them."""
    return next((name for name, (low, high) in SPLITS.items() if low <= map_seed < high), None)


@dataclass(frozen=True)
class Lens:
    """A camera that looks level, turns at its own place and sees a screen of ``aspect`` (width over height), of which
    frames are the largest centre part of their shape; ``across`` is the tangent of half the screen's horizontal view,
    at most 1, which is 90 degrees (``ValueError`` beyond)."""

    across: float
    aspect: float

    def __post_init__(self) -> None:
        if not 0 < self.across <= 1:
            raise ValueError(f"across={self.across}: accepted is above 0 to 1, a view of 90 degrees")

    def reach(self, height: int, width: int) -> float:
        """Tangent of half the horizontal view of frames of ``height`` x ``width``."""
        return self.across * min(width / height / self.aspect, 1.0)


DOOM_LENS = Lens(across=1.0, aspect=4 / 3)


@dataclass(frozen=True)
class WorldSpec:
    """What is fixed about a world.

    ``index`` is its row in the model's world embedding (frozen, since it is baked into weights). ``frames_per_step``
    is k, ``fps`` video frames per second. ``reads`` are the action ids that do something. ``time_limit`` is in steps.
    ``prompt`` is the default scene text. ``lens`` is that of a world which is seen by a camera that turns at its own
    place, as a player does, and ``body`` how many metres from it walls stop one who walks (0: none does, or nobody has
    asked whether what is learned stops there). ``living_reward`` is what an uneventful step pays, and ``goals`` the
    goal strings (``""`` is the world's own reward). ``settings`` are scene texts that also mean this world. ``package``
    is the subpackage of ``worldsim_envs`` that holds the true world, which is also the name of the extra that installs
    its ``engine``; an engine that is no package of Python is "", and then ``programs`` are what has to be installed.
    """

    name: str
    index: int
    title: str
    frames_per_step: int
    fps: float
    reads: tuple[int, ...]
    time_limit: int
    prompt: str
    lens: Lens | None = None
    body: float = 0.0
    living_reward: float = 0.0
    goals: tuple[str, ...] = ("",)
    camera: Camera = field(default_factory=Camera)
    settings: tuple[str, ...] = ()
    package: str = "doom"
    engine: str = "vizdoom"
    programs: tuple[str, ...] = ()

    @property
    def env_id(self) -> str:
        return f"worldsim/{self.name}-v0"

    @property
    def step_seconds(self) -> float:
        return self.frames_per_step / self.fps

    def reach(self, height: int, width: int) -> float:
        """Tangent of half the horizontal view of frames of ``height`` x ``width``; 0 where no lens is known."""
        return 0.0 if self.lens is None else self.lens.reach(height, width)

    @cached_property
    def table(self) -> ActionTable:
        return ActionTable.build(self.reads, self.camera)

    @cached_property
    def world_actions(self) -> np.ndarray:
        """Action ids of ``actions="world"``: noop is 0, then the ids that the world reads, in order."""
        return np.array([0, *sorted(i for i in self.reads if i)], np.int64)


COLOURS: tuple[str, ...] = ("red", "green", "blue", "yellow", "purple", "white", "orange", "cyan")
COLLECTIBLES: tuple[str, ...] = ("ball", "diamond")
SHAPES: tuple[str, ...] = (*COLLECTIBLES, "box", "cone")
SCENE_SHAPES: tuple[str, ...] = ("cube", "ball", "cylinder")


def _ids(*names: str) -> tuple[int, ...]:
    return tuple(ACTION_ID[name] for name in names)


_WALK = ("noop", "forward", "turn_left", "turn_right", "forward+turn_left", "forward+turn_right")
_ROOMS = (
    *_WALK,
    "backward",
    "strafe_left",
    "strafe_right",
    "use",
    "attack",
    "turn_left_small",
    "turn_right_small",
)

_TABLE = (
    "noop", "forward", "backward", "strafe_left", "strafe_right", "use", "attack", "place", "next_item",
)  # fmt: skip

_CRAFTER = (
    "noop", "forward", "backward", "strafe_left", "strafe_right", "use", "sleep", "place_stone", "place_table",
    "place_furnace", "place_plant", "make_wood_pickaxe", "make_stone_pickaxe", "make_iron_pickaxe", "make_wood_sword",
    "make_stone_sword", "make_iron_sword",
)  # fmt: skip

_SCENE = (
    "noop", "forward", "backward", "strafe_left", "strafe_right", "turn_left", "turn_right", "look_up", "look_down",
    "attack", "turn_left_small", "turn_right_small",
)  # fmt: skip

_BLOCKS = (
    *_WALK, "backward", "strafe_left", "strafe_right", "look_up", "look_down", "attack", "jump", "place",
    "forward+jump", "forward+attack", "sneak", "next_item", "turn_left_small", "turn_right_small",
)  # fmt: skip

DOOM_BODY = 0.5
"""Metres: the half width of a player in Doom, 16 units."""

WORLDS: dict[str, WorldSpec] = {
    spec.name: spec
    for spec in (
        WorldSpec(
            "DoomRooms", 0, "Doom rooms", 4, 35.0, _ids(*_ROOMS), 525, "rooms and corridors with coloured walls",
            lens=DOOM_LENS, body=DOOM_BODY,
            goals=("", *(f"collect the {colour} {shape}" for colour in COLOURS for shape in COLLECTIBLES)),
        ),
        WorldSpec(
            "DoomTakeCover", 1, "Doom take cover", 4, 35.0, _ids("noop", "strafe_left", "strafe_right"), 525,
            "monsters throw fireballs across a room", lens=DOOM_LENS, living_reward=4.0,
        ),
        WorldSpec(
            "DoomHealthGathering", 2, "Doom health gathering", 4, 35.0, _ids(*_WALK), 525,
            "a hall with an acid floor and medkits", lens=DOOM_LENS, living_reward=4.0,
        ),
        WorldSpec(
            "DoomMyWayHome", 3, "Doom my way home", 4, 35.0, _ids(*_WALK), 525,
            "a maze of rooms with a green armour vest", lens=DOOM_LENS, body=DOOM_BODY, living_reward=-0.0004,
        ),
        WorldSpec(
            "DoomBasic", 4, "Doom basic", 4, 35.0, _ids("noop", "strafe_left", "strafe_right", "attack"), 75,
            "a monster at the far wall of a room", lens=DOOM_LENS, living_reward=-4.0,
        ),
        WorldSpec(
            "Table", 5, "Physics table", 4, 20.0, _ids(*_TABLE), 600, "coloured things on a table",
            goals=(
                "", *(f"push the {colour} disc to the target" for colour in COLOURS), "paint the target",
                "eat an apple", *(f"break the {colour} pane" for colour in COLOURS),
            ),
            settings=("coloured things on a tilted table",), package="table", engine="pymunk",
        ),
        WorldSpec(
            "Crafter", 6, "Crafter", 1, 5.0, _ids(*_CRAFTER), 10_000, "grassland with trees, water and caves",
            goals=(
                "", *(f"collect {name}" for name in ("coal", "diamond", "drink", "iron", "sapling", "stone", "wood")),
                "kill skeleton", "kill zombie", "eat cow", "eat plant",
                *(f"make {m} {tool}" for tool in ("pickaxe", "sword") for m in ("wood", "stone", "iron")),
                "place furnace", "place plant", "place stone", "place table", "wake up",
            ),
            package="crafter", engine="crafter",
        ),
        WorldSpec(
            "Scene", 7, "Toy scene", 4, 20.0, _ids(*_SCENE), 600, "coloured bodies on a floor",
            goals=("", *(f"push the {colour} {shape} to the target" for colour in COLOURS for shape in SCENE_SHAPES)),
            camera=Camera(look=7.0), package="scene", engine="mujoco",
        ),
        # Row 8 is kept for recordings of Minecraft itself.
        WorldSpec(
            "Blocks", 9, "Minecraft-like block world", 4, 20.0, _ids(*_BLOCKS), 600, "grassy hills of blocks",
            goals=(
                "", "dig a tree trunk", "dig a leaf block", "dig a dirt block", "dig a sand block",
                "dig a stone block", "dig ore", "pick up a flower", "place a plank block", "place a stone block",
                "place a lamp",
            ),
            settings=(
                "a forest of blocks", "a desert of blocks", "snowy hills of blocks", "stone mountains of blocks",
            ),
            package="blocks", engine="", programs=("minetest", "Xvfb"),
        ),
    )
}  # fmt: skip


DEFAULT_WORLD = "DoomRooms"
"""The world of a learned environment where neither an argument nor the prompt says which."""

DOOM_WORLDS: tuple[str, ...] = tuple(name for name, spec in WORLDS.items() if spec.package == "doom")
"""What is recorded and trained on where nothing else is said."""


def world_named(name: str) -> WorldSpec:
    """The world called ``name``: ``DoomRooms``, ``worldsim/DoomRooms`` or ``worldsim/DoomRooms-v0``.

    Raises ``ValueError`` for a name that is not registered, and says which are.
    """
    short = name.removeprefix("worldsim/").removesuffix("-v0")
    if short not in WORLDS:
        raise ValueError(
            f"unknown world {name!r}; registered worlds are {', '.join(s.env_id for s in WORLDS.values())}"
        )
    return WORLDS[short]
