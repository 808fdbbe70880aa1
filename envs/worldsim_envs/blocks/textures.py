"""The pictures of the block world's nodes, 16 x 16 pixels each, drawn from numbers and dedicated to the public (CC0).

None of Luanti's own pictures (CC BY-SA) ends in a frame. A picture is a base colour with noise of its own seed and a
few strokes; ``write_textures`` puts them where the engine looks for them, with the marks by which the client tells what
it shows (``screen``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from worldsim_envs.blocks.screen import MARK_SIZE, mark_colours

SIDE = 16
Colour = tuple[int, int, int]

GRASS, DIRT, SNOW, SAND, STONE = (98, 158, 60), (134, 96, 67), (238, 244, 248), (219, 207, 160), (128, 128, 128)
PLANKS, BARK, BIRCH, LEAVES, PINE = (176, 138, 84), (104, 80, 48), (216, 214, 204), (58, 122, 38), (38, 84, 60)
CACTUS, LAMP, WATER = (62, 128, 52), (255, 226, 150), (52, 96, 200)


def _noise(colour: Colour, spread: float, seed: int, cells: int = SIDE) -> np.ndarray:
    """RGBA float ``(16, 16, 4)``: a colour, lighter and darker by ``spread`` grey levels in squares of 16 / cells."""
    rng = np.random.default_rng([seed, 0xB10C])
    shade = rng.normal(0, spread, (cells, cells)).repeat(SIDE // cells, 0).repeat(SIDE // cells, 1)
    picture = np.empty((SIDE, SIDE, 4))
    picture[..., :3] = np.array(colour) + shade[..., None]
    picture[..., 3] = 255
    return picture


def _side(top: Colour, seed: int) -> np.ndarray:
    """Dirt with a ragged edge of what grows or lies on it."""
    picture, cover = _noise(DIRT, 9, 2), _noise(top, 8, seed)
    deep = np.random.default_rng([seed, 1]).integers(2, 5, SIDE)
    mask = np.arange(SIDE)[:, None] < deep
    picture[mask] = cover[mask]
    return picture


def _ore(colour: Colour, seed: int) -> np.ndarray:
    picture = _noise(STONE, 9, 5)
    rng = np.random.default_rng([seed, 2])
    for row, column in rng.integers(1, SIDE - 3, (6, 2)):
        picture[row : row + 2, column : column + 3, :3] = np.array(colour) + rng.normal(0, 8)
    return picture


def _planks() -> np.ndarray:
    picture = _noise(PLANKS, 6, 7)
    for number, row in enumerate(range(3, SIDE, 4)):
        picture[row, :, :3] *= 0.66
        picture[row - 3 : row, (5 + 7 * number) % SIDE, :3] *= 0.75
    return picture


def _bark(colour: Colour, seed: int, dark: float) -> np.ndarray:
    picture = _noise(colour, 5, seed)
    streaks = np.random.default_rng([seed, 3]).random(SIDE) < 0.4
    picture[:, streaks, :3] *= dark
    return picture


def _birch() -> np.ndarray:
    picture = _noise(BIRCH, 5, 9)
    for row, column in np.random.default_rng(90).integers(0, SIDE - 4, (7, 2)):
        picture[row, column : column + 4, :3] = 60
    return picture


def _rings() -> np.ndarray:
    picture = _noise(PLANKS, 5, 10)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    radius = np.maximum(np.abs(x), np.abs(y))
    picture[(radius.astype(int) % 3 == 1) & (radius < 7), :3] *= 0.8
    picture[radius > 7, :3] = BARK
    return picture


def _leaves(colour: Colour, seed: int) -> np.ndarray:
    picture = _noise(colour, 16, seed)
    picture[np.random.default_rng([seed, 4]).random((SIDE, SIDE)) < 0.16, :3] *= 0.55
    return picture


def _cactus() -> np.ndarray:
    picture = _noise(CACTUS, 6, 13)
    picture[:, ::4, :3] *= 0.7
    picture[2::5, 2::4, :3] = (220, 220, 170)
    return picture


def _lamp() -> np.ndarray:
    picture = _noise(LAMP, 4, 14)
    picture[[0, -1], :, :3] = picture[:, [0, -1], :3] = np.array((120, 86, 40))
    return picture


def _flower(colour: Colour) -> np.ndarray:
    picture = np.zeros((SIDE, SIDE, 4))
    picture[7:, 7:9] = (60, 130, 50, 255)
    picture[10, 9:11] = (60, 130, 50, 255)
    picture[3:7, 6:10] = (*colour, 255)
    picture[4:6, 5:11] = (*colour, 255)
    picture[4:6, 7:9, :3] = (250, 240, 170)
    return picture


def _tall_grass() -> np.ndarray:
    picture = np.zeros((SIDE, SIDE, 4))
    rng = np.random.default_rng(15)
    for column in range(1, SIDE - 1):
        tall = int(rng.integers(2, 11))
        picture[SIDE - tall :, column] = (*(np.array(GRASS) * rng.uniform(0.7, 1.05)), 255)
    return picture


def _cracks(stage: int) -> np.ndarray:
    picture = np.zeros((SIDE, SIDE, 4))
    rng = np.random.default_rng(16)
    for _ in range(3 * stage):
        row, column = rng.integers(3, SIDE - 3, 2)
        for _ in range(4 + 3 * stage):
            picture[row % SIDE, column % SIDE] = (20, 20, 20, 210)
            row, column = row + rng.integers(-1, 2), column + rng.integers(-1, 2)
    return picture


def _water() -> np.ndarray:
    picture = _noise(WATER, 7, 17, cells=8)
    picture[..., 3] = 190
    return picture


TEXTURES: dict[str, Callable[[], np.ndarray]] = {
    "bedrock": lambda: _noise((60, 60, 62), 14, 1),
    "dirt": lambda: _noise(DIRT, 9, 2),
    "grass": lambda: _noise(GRASS, 10, 3),
    "grass_side": lambda: _side(GRASS, 3),
    "snow": lambda: _noise(SNOW, 3, 4),
    "snow_side": lambda: _side(SNOW, 4),
    "stone": lambda: _noise(STONE, 9, 5),
    "sand": lambda: _noise(SAND, 6, 6),
    "planks": _planks,
    "coal_ore": lambda: _ore((40, 40, 42), 18),
    "iron_ore": lambda: _ore((206, 160, 128), 19),
    "trunk": lambda: _bark(BARK, 8, 0.72),
    "trunk_top": _rings,
    "birch_trunk": _birch,
    "leaves": lambda: _leaves(LEAVES, 11),
    "pine_leaves": lambda: _leaves(PINE, 12),
    "cactus": _cactus,
    "lamp": _lamp,
    "red_flower": lambda: _flower((208, 44, 40)),
    "yellow_flower": lambda: _flower((238, 200, 40)),
    "tall_grass": _tall_grass,
    "water": _water,
    "crack_1": lambda: _cracks(1),
    "crack_2": lambda: _cracks(2),
}
"""Name -> picture, RGBA ``(16, 16, 4)``, 0 to 255."""


def write_textures(folder: Path) -> None:
    """Writes every picture and every mark into ``folder`` as ``worldsim_<name>.png``."""
    for name, draw in TEXTURES.items():
        pixels = np.clip(draw(), 0, 255).astype(np.uint8)
        Image.fromarray(pixels, "RGBA").save(folder / f"worldsim_{name}.png")
    for number, colour in enumerate(mark_colours()):
        pixels = np.full((MARK_SIZE, MARK_SIZE, 3), colour, np.uint8)
        Image.fromarray(pixels, "RGB").save(folder / f"worldsim_mark_{number}.png")
