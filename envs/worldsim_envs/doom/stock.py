"""What the stock scenarios look like, as data: surfaces named by eye, and the plan of My Way Home.

The maps, monsters and rewards are ViZDoom's own (``scenarios/*.wad``); only their names are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from worldsim.captions.facts import Surface
from worldsim_envs.doom.layout import UNITS_PER_METRE, MapLayout, Passage, Rect, Room


@dataclass(frozen=True)
class Scenario:
    """A stock scenario by its file name.

    ``layout`` is its plan. ``kinds`` maps engine classes to (shape, colour). ``skill`` and ``settle`` (tics
    before the episode begins) are those of its ``.cfg``."""

    name: str
    layout: MapLayout
    kinds: dict[str, tuple[str, str]]
    skill: int = 3
    settle: int = 1


_BROWN_BRICK = Surface("brown", "brick")
_BROWN_STONE = Surface("brown", "stone")
_HOME_ROOMS: tuple[tuple[tuple[int, int, int, int], Surface], ...] = (
    ((160, -256, 320, -96), Surface("grey", "metal")),
    ((384, -256, 544, -96), Surface("blue", "stripe")),
    ((384, -32, 544, 128), Surface("grey", "panel")),
    ((608, -256, 768, -96), Surface("white", "panel")),
    ((608, -32, 768, 128), Surface("black", "stone")),
    ((384, -544, 544, -384), Surface("red", "plain")),
    ((960, -32, 1120, 128), Surface("grey", "tech")),
    ((960, -256, 1120, -96), Surface("green", "stripe")),
    ((992, -416, 1088, -256), _BROWN_BRICK),
    ((432, -704, 576, -544), _BROWN_BRICK),
)
_HOME_PASSAGES: tuple[tuple[tuple[int, int], tuple[int, int, int, int], str], ...] = (
    ((7, 6), (1008, -96, 1072, -32), "y"),
    ((4, 6), (768, 16, 960, 80), "x"),
    ((2, 4), (544, 16, 608, 80), "x"),
    ((3, 4), (656, -96, 720, -32), "y"),
    ((1, 2), (432, -96, 496, -32), "y"),
    ((5, 1), (432, -384, 496, -256), "y"),
    ((0, 1), (320, -208, 384, -144), "x"),
    ((1, 3), (544, -208, 608, -144), "x"),
    ((8, 7), (992, -256, 1088, -256), "y"),
    ((9, 5), (432, -544, 496, -544), "y"),
)


def _metres(units: tuple[int, int, int, int]) -> Rect:
    x0, y0, x1, y1 = (v / UNITS_PER_METRE for v in units)
    return x0, y0, x1, y1


def _home() -> MapLayout:
    rooms = [Room(_metres(rect), wall, _BROWN_STONE, _BROWN_STONE, 192, 4.0) for rect, wall in _HOME_ROOMS]
    passages = [
        Passage(ends, _metres(rect), axis, _BROWN_BRICK, _BROWN_STONE, _BROWN_STONE, 192)
        for ends, rect, axis in _HOME_PASSAGES
    ]
    return MapLayout(0, tuple(rooms), tuple(passages), (), (7.5, -5.5, 0.0))


def _hall(units: tuple[int, int, int, int], wall: Surface, floor: Surface, ceiling: Surface) -> MapLayout:
    x0, y0, x1, y1 = rect = _metres(units)
    room = Room(rect, wall, floor, ceiling, 210, 104 / UNITS_PER_METRE)
    return MapLayout(0, (room,), (), (), ((x0 + x1) / 2, (y0 + y1) / 2, 0.0))


TAKE_COVER = Scenario(
    "take_cover",
    _hall((-448, 0, 128, 768), _BROWN_BRICK, Surface("grey", "metal"), Surface("grey", "metal")),
    {"DoomImp": ("monster", ""), "DoomImpBall": ("fireball", "")},
    skill=4,
)
HEALTH_GATHERING = Scenario(
    "health_gathering",
    _hall((0, 0, 1216, 1216), Surface("green", "brick"), Surface("green", "acid"), Surface("black", "plain")),
    {"Medikit": ("medkit", "")},
)
MY_WAY_HOME = Scenario("my_way_home", _home(), {"GreenArmor": ("armour vest", "green")}, skill=5, settle=10)
BASIC = Scenario(
    "basic",
    _hall((-448, -192, 64, 256), _BROWN_BRICK, Surface("brown", "plain"), Surface("black", "grid")),
    {"Cacodemon": ("monster", "")},
    skill=5,
    settle=14,
)
