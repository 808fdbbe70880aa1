"""Wall, floor and sprite pictures of DoomRooms: named colours times named patterns, drawn by us.

Doom shows 256 palette colours and darkens with distance, so a colour here is what still reads as its name after both:
saturated, and with patterns that darken rather than change hue. Sprites carry a ``grAb`` chunk (their offset), written
in ``wad.py``. All of it is our own work, free of other people's pixels.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from worldsim.worlds import COLOURS, SHAPES

RGB: dict[str, tuple[int, int, int]] = {
    "red": (204, 24, 24),
    "green": (40, 172, 40),
    "blue": (40, 56, 232),
    "yellow": (240, 220, 40),
    "purple": (148, 32, 176),
    "white": (232, 232, 232),
    "orange": (240, 120, 16),
    "cyan": (40, 208, 208),
}
PATTERNS: tuple[str, ...] = ("brick", "check", "stripe", "dots", "plain")
SIZE = 64
SPRITE = 32
SPRITE_FOOT = (16, 31)
"""Sprite offset (column of its axis, row of its foot)."""


def texture_name(colour: str, pattern: str) -> str:
    """Lump name of the texture, at most 8 characters."""
    return f"WS{COLOURS.index(colour)}{PATTERNS.index(pattern)}"


def sprite_name(colour: str, shape: str) -> str:
    """Four-letter sprite name of a thing."""
    return f"W{COLOURS.index(colour)}{SHAPES.index(shape)}X"


def _shade(rgb: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    r, g, b = (int(v * factor) for v in rgb)
    return r, g, b


@cache
def texture(colour: str, pattern: str) -> Image.Image:
    """RGB picture of 64 x 64 map units that tiles."""
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
    """RGBA picture of a thing, 32 x 32 map units, standing on its lowest row."""
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


def _mix(a: tuple[int, int, int], b: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    r, g, bl = (int(x * (1 - share) + y * share) for x, y in zip(a, b))
    return r, g, bl
