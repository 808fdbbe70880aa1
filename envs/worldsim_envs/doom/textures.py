"""Pictures of DoomRooms: named colours times named patterns, drawn by us, and the palette that can show them.

Doom shows 256 colours and darkens them through a table. The stock palette has no cyan and hardly any purple
or dark yellow, and the stock table goes to black with distance, where no colour can be named. So DoomRooms
brings a palette whose two pink ramps (hardly used by walls) are replaced, and a table that never falls
below a third of the light. Patterns darken and never change hue. Surfaces of ``STOCK`` are pictures of
Freedoom (BSD licence, see NOTICE), named after what is seen."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from worldsim.captions.facts import Surface
from worldsim.worlds import COLOURS, SHAPES

RGB: dict[str, tuple[int, int, int]] = {
    "red": (215, 0, 0),
    "green": (67, 175, 55),
    "blue": (0, 0, 255),
    "yellow": (255, 235, 20),
    "purple": (150, 20, 185),
    "white": (239, 239, 239),
    "orange": (243, 115, 23),
    "cyan": (40, 220, 220),
}
PATTERNS: tuple[str, ...] = ("brick", "check", "stripe", "dots", "plain")
SIZE = 64
SPRITE = 32
SPRITE_FOOT = (16, 31)
"""Sprite offset (column of its axis, row of its foot)."""


class Stock(NamedTuple):
    """Freedoom lumps of one material: a wall texture and a flat, "" where it has none."""

    wall: str = ""
    flat: str = ""


STOCK: dict[Surface, Stock] = {
    Surface("brown", "brick"): Stock("BRICK6", "FLAT8"),
    Surface("grey", "brick"): Stock("STONE2"),
    Surface("brown", "wood"): Stock("WOOD12", "CEIL1_1"),
    Surface("grey", "metal"): Stock("SILVER1"),
    Surface("brown", "metal"): Stock("BRONZE1"),
    Surface("grey", "stone"): Stock("STONE4", "MFLR8_3"),
    Surface("brown", "stone"): Stock("BSTONE1"),
    Surface("red", "stone"): Stock("ROCKRED1"),
    Surface("green", "marble"): Stock("MARBLE1"),
    Surface("grey", "concrete"): Stock("GRAYBIG", "FLAT19"),
    Surface("grey", "tile"): Stock("", "FLOOR0_6"),
    Surface("blue", "carpet"): Stock("", "FLAT14"),
    Surface("red", "carpet"): Stock("", "FLOOR6_1"),
    Surface("green", "grass"): Stock("", "GRASS1"),
    Surface("brown", "dirt"): Stock("", "FLAT10"),
}
STOCK_WALLS: tuple[Surface, ...] = tuple(s for s, lumps in STOCK.items() if lumps.wall)
STOCK_FLATS: tuple[Surface, ...] = tuple(s for s, lumps in STOCK.items() if lumps.flat)

_RAMPS: dict[int, tuple[tuple[int, int, int], tuple[int, int, int], int]] = {
    16: ((120, 255, 255), (0, 60, 60), 10),  # cyan
    26: ((215, 195, 0), (70, 62, 0), 6),  # dark yellow
    32: ((220, 110, 255), (40, 0, 52), 10),  # purple
    42: ((165, 75, 5), (62, 26, 0), 6),  # dark orange
}
"""First palette index -> (brightest, darkest, number of entries) of the ramps that replace the pinks."""
DARKEST = 0.3
"""Light left at the darkest level of the table; Doom's own goes to 0."""


def surface_lump(surface: Surface, flat: bool) -> str:
    """Texture lump of a surface, as a floor or ceiling (``flat``) or as a wall.

    Raises ``ValueError`` where no picture of it exists.
    """
    if surface in STOCK:
        lumps = STOCK[surface]
        name = lumps.flat if flat else lumps.wall
        if not name:
            raise ValueError(f"{surface} exists as a {'wall' if flat else 'floor'} only")
        return name
    if surface.colour not in RGB or surface.pattern not in PATTERNS:
        raise ValueError(f"no picture of {surface}; colours are {list(RGB)}, patterns {PATTERNS}")
    return texture_name(surface.colour, surface.pattern)


def texture_name(colour: str, pattern: str) -> str:
    """Lump name of one of our textures, at most 8 characters."""
    return f"WS{COLOURS.index(colour)}{PATTERNS.index(pattern)}"


def sprite_name(colour: str, shape: str) -> str:
    """Four-letter sprite name of a thing."""
    return f"W{COLOURS.index(colour)}{SHAPES.index(shape)}X"


def rooms_palette(stock: np.ndarray) -> np.ndarray:
    """The palette of DoomRooms, uint8 ``(256, 3)``, from Freedoom's."""
    palette = stock.copy()
    for first, (bright, dark, count) in _RAMPS.items():
        shares = np.linspace(0, 1, count)[:, None]
        palette[first : first + count] = np.round(np.array(bright) * (1 - shares) + np.array(dark) * shares)
    return palette


def light_table(palette: np.ndarray) -> np.ndarray:
    """COLORMAP lump, uint8 ``(34, 256)``: palette index of every colour at 32 light levels, and two special
    rows."""
    colours = palette.astype(np.float64)
    levels = 1 - (1 - DARKEST) * np.arange(32) / 31
    grey = np.repeat(255 - colours.mean(1, keepdims=True), 3, 1)
    wanted = [*(colours * level for level in levels), grey, np.zeros_like(colours)]
    return np.stack([_nearest(rows, colours) for rows in wanted]).astype(np.uint8)


def _nearest(wanted: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Index of the palette colour nearest to each wanted one, hue weighing more than lightness."""

    def features(rgb: np.ndarray) -> np.ndarray:
        grey = rgb.mean(1, keepdims=True)
        return np.concatenate([grey, 1.5 * (rgb - grey)], 1)

    difference = features(wanted)[:, None] - features(palette)[None]
    return (difference**2).sum(2).argmin(1)


def _shade(rgb: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    r, g, b = (int(v * factor) for v in rgb)
    return r, g, b


def _mix(a: tuple[int, int, int], b: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    r, g, bl = (int(x * (1 - share) + y * share) for x, y in zip(a, b))
    return r, g, bl


@cache
def texture(colour: str, pattern: str) -> Image.Image:
    """RGB picture of 64 x 64 map units (2 m) that tiles."""
    rgb = RGB[colour]
    dark = _shade(rgb, 0.5)
    image = Image.new("RGB", (SIZE, SIZE), rgb)
    draw = ImageDraw.Draw(image)
    if pattern == "brick":
        for row, y in enumerate(range(0, SIZE, 16)):
            draw.rectangle((0, y, SIZE - 1, y + 2), fill=dark)
            for x in range(16 * (row % 2), SIZE, 32):
                draw.rectangle((x, y, x + 2, y + 15), fill=dark)
    elif pattern == "check":
        rows, columns = np.indices((SIZE, SIZE)) // 32
        image.paste(dark, mask=Image.fromarray(((rows + columns) % 2 * 255).astype(np.uint8)))
    elif pattern == "stripe":
        for x in range(0, SIZE, 32):
            draw.rectangle((x, 0, x + 12, SIZE - 1), fill=dark)
    elif pattern == "dots":
        for y in range(16, SIZE, 32):
            for x in range(16, SIZE, 32):
                draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=dark)
    elif pattern != "plain":
        raise ValueError(f"pattern {pattern!r}; accepted are {', '.join(PATTERNS)}")
    return image


@cache
def sprite(colour: str, shape: str) -> Image.Image:
    """RGBA picture of a thing, 32 x 32 map units (1 m), standing on its lowest row."""
    rgb = RGB[colour]
    dark, light = _shade(rgb, 0.5), _mix(rgb, (255, 255, 255), 0.5)
    image = Image.new("RGBA", (SPRITE, SPRITE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    if shape == "ball":
        draw.ellipse((2, 3, 29, 30), fill=rgb, outline=dark, width=2)
        draw.ellipse((8, 8, 15, 15), fill=light)
    elif shape == "diamond":
        draw.polygon(((16, 0), (29, 16), (16, 31), (3, 16)), fill=rgb, outline=dark)
        draw.polygon(((16, 0), (29, 16), (16, 16)), fill=light)
        draw.polygon(((16, 31), (3, 16), (16, 16)), fill=dark)
    elif shape == "box":
        draw.rectangle((1, 2, 30, 31), fill=rgb, outline=dark, width=3)
        draw.line((2, 3, 29, 30), fill=dark, width=3)
        draw.line((29, 3, 2, 30), fill=dark, width=3)
    elif shape == "cone":
        draw.polygon(((16, 0), (3, 31), (28, 31)), fill=rgb, outline=dark)
        draw.polygon(((12, 11), (20, 11), (23, 19), (9, 19)), fill=_shade(rgb, 0.4))
    else:
        raise ValueError(f"shape {shape!r}; accepted are {', '.join(SHAPES)}")
    return image
