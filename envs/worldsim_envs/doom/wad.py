"""Writing Doom WADs at run time: lumps, PNG sprites with offsets, DECORATE actors, and UDMF maps of
rectangles.

Two files are written. *Assets* (textures, sprites, actors) are loaded once when the engine starts. A *map*
is a WAD of its own that the engine opens by name (``map file:/path/map.wad``), so a new map costs no
restart. UDMF ("namespace zdoom") is a text format; the engine builds its own BSP nodes. A mistake in a
DECORATE lump kills the engine, hence one statement per line, and a test that loads every actor."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from worldsim.worlds import COLLECTIBLES, COLOURS, SHAPES
from worldsim_envs.doom.textures import (
    PATTERNS,
    SPRITE_FOOT,
    light_table,
    rooms_palette,
    sprite,
    sprite_name,
    texture,
    texture_name,
)

Lump = tuple[str, bytes]
Point = tuple[int, int]
PLAYER_START = 1
FIRST_EDITOR_NUMBER = 15000
USE_DOOR = {"special": 12, "arg1": 16, "arg2": 150}
"""Line special Door_Raise: opened by use, at speed 16 (2 units a tic), closed again after 150 tics."""


def write_wad(lumps: Iterable[Lump]) -> bytes:
    """A PWAD of the named lumps."""
    body, directory = bytearray(), bytearray()
    count = 0
    for name, data in lumps:
        directory += struct.pack("<ii8s", 12 + len(body), len(data), name.encode("ascii"))
        body += data
        count += 1
    return struct.pack("<4sii", b"PWAD", count, 12 + len(body)) + bytes(body) + bytes(directory)


def read_lump(wad: bytes, name: str) -> bytes:
    """The first lump called ``name`` of a WAD; ``KeyError`` where there is none."""
    count, start = struct.unpack_from("<ii", wad, 4)
    for i in range(count):
        offset, size, raw = struct.unpack_from("<ii8s", wad, start + 16 * i)
        if raw.rstrip(b"\0") == name.encode("ascii"):
            return wad[offset : offset + size]
    raise KeyError(f"no lump {name!r} in the WAD")


def png(image: Image.Image, offset: tuple[int, int] | None = None) -> bytes:
    """PNG bytes; ``offset`` (x, y) becomes ZDoom's ``grAb`` chunk, the point of a sprite that stands on the
    floor."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = buffer.getvalue()
    if offset is None:
        return data
    chunk = b"grAb" + struct.pack(">ii", *offset)
    after_header = 8 + 25  # signature, IHDR
    block = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:after_header] + block + data[after_header:]


def actor_name(colour: str, shape: str) -> str:
    """Class name of a thing in the engine, such as ``WsRedBall``."""
    return f"Ws{colour.capitalize()}{shape.capitalize()}"


def editor_number(colour: str, shape: str) -> int:
    """Number by which a map places the thing."""
    if shape in STOCK_ACTORS:
        return STOCK_ACTORS[shape][1]
    return FIRST_EDITOR_NUMBER + COLOURS.index(colour) * len(SHAPES) + SHAPES.index(shape)


OWN_ACTORS: dict[str, tuple[str, str]] = {actor_name(c, s): (c, s) for c in COLOURS for s in SHAPES}
"""Class name of our actors -> (colour, shape)."""
STOCK_ACTORS: dict[str, tuple[str, int]] = {
    "health bonus": ("HealthBonus", 2014),
    "armour bonus": ("ArmorBonus", 2015),
    "lamp": ("Column", 2028),
}
"""Shape -> class name and editor number of the Freedoom things that maps hold."""
ACTORS: dict[str, tuple[str, str]] = {
    **OWN_ACTORS,
    **{name: ("", shape) for shape, (name, _) in STOCK_ACTORS.items()},
}
"""Class name of every thing that maps hold -> (colour, shape); stock things have no named colour."""

_PLAYER = """\
actor WsAmmo : Ammo
{
inventory.amount 1
inventory.maxamount 30000
}
actor WsGun : Pistol
{
weapon.ammotype "WsAmmo"
weapon.ammouse 1
weapon.ammogive 0
}
actor WsPlayer : DoomPlayer
{
player.startitem "WsGun"
player.startitem "WsAmmo", 30000
}
"""

_MAPINFO = """\
gameinfo
{
playerclasses = "WsPlayer"
}
defaultmap
{
nointermission
smoothlighting
}
"""


def _actor(colour: str, shape: str) -> str:
    name, number, picture = (
        actor_name(colour, shape),
        editor_number(colour, shape),
        sprite_name(colour, shape),
    )
    if shape in COLLECTIBLES:
        lines = [
            f"actor {name} : Inventory {number}", "{", "radius 16", "height 32", "inventory.amount 1",
            "inventory.maxamount 1000", "states", "{", "Spawn:", f"{picture} A -1 bright", "stop", "}", "}",
        ]  # fmt: skip
    elif shape == "box":
        lines = [
            f"actor {name} {number}", "{", "radius 16", "height 32", "mass 60", "+SOLID", "+PUSHABLE",
            "+SLIDESONWALLS", "states", "{", "Spawn:", f"{picture} A -1", "stop", "}", "}",
        ]  # fmt: skip
    else:  # a cone stands until it is shot
        lines = [
            f"actor {name} {number}", "{", "radius 14", "height 32", "health 12", "mass 100000", "+SOLID",
            "+SHOOTABLE", "+NOBLOOD", "states", "{", "Spawn:", f"{picture} A -1", "stop", "Death:",
            "TNT1 A 1", "stop", "}", "}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def asset_wad(stock: bytes) -> bytes:
    """The WAD that the engine loads once: palette, textures, sprites and actors. ``stock`` is Freedoom's
    WAD."""
    palette = rooms_palette(np.frombuffer(read_lump(stock, "PLAYPAL"), np.uint8)[:768].reshape(256, 3))
    lumps: list[Lump] = [
        ("PLAYPAL", palette.tobytes() * 14),
        ("COLORMAP", light_table(palette).tobytes()),
        ("TX_START", b""),
    ]
    lumps += [(texture_name(c, p), png(texture(c, p))) for c in COLOURS for p in PATTERNS]
    lumps += [("TX_END", b""), ("S_START", b"")]
    lumps += [(f"{sprite_name(c, s)}A0", png(sprite(c, s), SPRITE_FOOT)) for c in COLOURS for s in SHAPES]
    decorate = _PLAYER + "".join(_actor(c, s) for c in COLOURS for s in SHAPES)
    lumps += [("S_END", b""), ("DECORATE", decorate.encode()), ("MAPINFO", _MAPINFO.encode())]
    return write_wad(lumps)


@dataclass
class UdmfMap:
    """A map under construction: sectors are axis-parallel rectangles in map units.

    Doom wants every line to have its sector on its right-hand side, so a rectangle is walked clockwise and
    a pillar in it counter-clockwise."""

    vertices: dict[Point, int] = field(default_factory=dict)
    sectors: list[str] = field(default_factory=list)
    sides: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    things: list[str] = field(default_factory=list)

    def sector(self, floor: str, ceiling: str, height: int, light: int) -> int:
        """Adds a sector with its floor at 0 and returns its number."""
        self.sectors.append(
            f'sector{{texturefloor="{floor}";textureceiling="{ceiling}";heightfloor=0;heightceiling={height};'
            f"lightlevel={light};}}"
        )
        return len(self.sectors) - 1

    def wall(self, a: Point, b: Point, sector: int, texture: str) -> None:
        """A solid wall from ``a`` to ``b``, seen from its right-hand side."""
        side = self._side(sector, middle=texture)
        self.lines.append(f"linedef{{v1={self._vertex(a)};v2={self._vertex(b)};sidefront={side};blocking=true;}}")

    def portal(self, a: Point, b: Point, right: tuple[int, str], left: tuple[int, str], *, door: bool) -> None:
        """An opening between the (sector, texture of the wall above it) on its right and on its left."""
        front, back = self._side(right[0], top=right[1]), self._side(left[0], top=left[1])
        special = ""
        if door:
            special = "".join(f"{key}={value};" for key, value in USE_DOOR.items())
            special += "playeruse=true;repeatspecial=true;"
        self.lines.append(
            f"linedef{{v1={self._vertex(a)};v2={self._vertex(b)};sidefront={front};sideback={back};"
            f"twosided=true;{special}}}"
        )

    def thing(self, x: float, y: float, number: int, angle: int = 0) -> None:
        """Places a thing; ``angle`` in degrees anticlockwise from +x."""
        modes = "".join(f"skill{i}=true;" for i in range(1, 6)) + "single=true;class1=true;class2=true;class3=true;"
        self.things.append(f"thing{{x={x:.3f};y={y:.3f};type={number};angle={angle};{modes}}}")

    def wad(self) -> bytes:
        """The finished map as a WAD of its own."""
        points = [f"vertex{{x={x}.0;y={y}.0;}}" for x, y in self.vertices]
        text = "\n".join(['namespace="zdoom";', *points, *self.sectors, *self.sides, *self.lines, *self.things])
        return write_wad([("MAP01", b""), ("TEXTMAP", text.encode()), ("ENDMAP", b"")])

    def _vertex(self, point: Point) -> int:
        return self.vertices.setdefault(point, len(self.vertices))

    def _side(self, sector: int, middle: str = "-", top: str = "-") -> int:
        self.sides.append(f'sidedef{{sector={sector};texturemiddle="{middle}";texturetop="{top}";}}')
        return len(self.sides) - 1


def clockwise(rect: Sequence[int]) -> list[tuple[Point, Point]]:
    """The four edges of (x0, y0, x1, y1), each with the inside on its right."""
    x0, y0, x1, y1 = rect
    corners = [(x0, y0), (x0, y1), (x1, y1), (x1, y0)]
    return [(corners[i], corners[(i + 1) % 4]) for i in range(4)]
