"""The words that captions are made of: each fact's canonical name and the wordings that mean it.

The grammar draws from these tables and the parser reads through the same ones, so that a wording which is
written can always be read. The first wording of each entry is the canonical one. A value that no table knows
is refused by ``known``: a caption that cannot be read back would be noise to a text encoder that is trained
from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping

COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "yellow": ("yellow", "golden"),
    "purple": ("purple", "violet"),
    "white": ("white",),
    "orange": ("orange",),
    "cyan": ("cyan", "turquoise"),
    "grey": ("grey", "gray"),
    "brown": ("brown",),
    "black": ("black",),
    "pink": ("pink",),
}
"""Colours as captions word them."""

LOOSE_COLOURS: dict[str, str] = {
    "ruby": "red", "maroon": "red", "cherry": "red", "vermilion": "red", "burgundy": "red", "reddish": "red",
    "lime": "green", "olive": "green", "jade": "green", "greenish": "green",
    "navy": "blue", "cobalt": "blue", "sapphire": "blue", "indigo": "blue", "ultramarine": "blue",
    "bluish": "blue",
    "gold": "yellow", "lemon": "yellow", "mustard": "yellow", "yellowish": "yellow",
    "lilac": "purple", "lavender": "purple", "mauve": "purple", "magenta": "purple",
    "ivory": "white", "whitish": "white", "cream": "white", "tangerine": "orange", "amber": "orange",
    "teal": "cyan", "aqua": "cyan", "aquamarine": "cyan", "silver": "grey", "charcoal": "grey",
    "greyish": "grey",
    "tan": "brown", "beige": "brown", "chocolate": "brown", "ebony": "black", "rosy": "pink",
    "salmon": "pink",
}  # fmt: skip
"""Colours that only prompts use: read as the nearest known one, never written."""

PATTERNS: dict[str, tuple[str, ...]] = {
    "brick": ("brick", "bricked", "bricks", "brickwork"),
    "check": ("checked", "checkered", "chequered", "checkerboard", "check", "checks"),
    "stripe": ("striped", "stripy", "stripe", "stripes", "lined"),
    "dots": ("dotted", "spotted", "dots", "spots", "polka dot", "polka dots"),
    "plain": ("plain", "smooth", "flat", "solid"),
    "metal": ("metal", "metallic", "steel", "iron"),
    "stone": ("stone", "rock", "rocky", "stones"),
    "wood": ("wooden", "wood", "plank", "planks"),
    "concrete": ("concrete", "cement"),
    "marble": ("marble",),
    "tech": ("tech", "high tech", "computer"),
    "tile": ("tiled", "tile", "tiles"),
    "panel": ("panelled", "paneled", "panel", "panels"),
    "grid": ("gridded", "grid"),
    "zigzag": ("zigzag",),
    "wave": ("wavy", "waves"),
    "cross": ("crossed", "crosses"),
    "rust": ("rusty", "rusted"),
    "carpet": ("carpeted", "carpet"),
    "grass": ("grassy", "grass"),
    "dirt": ("dirt", "earth", "earthen", "muddy"),
    "sand": ("sandy", "sand"),
    "gravel": ("gravel",),
    "water": ("water", "watery"),
    "lava": ("lava",),
    "acid": ("acid", "slime", "nukage"),
    "snow": ("snowy", "snow"),
    "ice": ("icy", "ice"),
    "sky": ("sky",),
    "vine": ("mossy", "vine covered", "vines"),
}
"""Patterns and materials of surfaces, as adjectives first, then the other forms that are read."""

WRITTEN_PATTERNS: dict[str, tuple[str, ...]] = {
    "brick": ("brick", "bricked"),
    "check": ("checked", "checkered"),
    "stripe": ("striped",),
    "dots": ("dotted", "spotted"),
    "plain": ("plain", "smooth"),
    "metal": ("metal", "metallic", "steel"),
    "stone": ("stone", "rock"),
    "wood": ("wooden", "wood"),
}
"""Adjectives that paraphrases may use; a pattern that is missing here has its canonical one only."""

PATTERN_NOUNS: dict[str, str] = {
    "brick": "brick", "check": "checks", "stripe": "stripes", "dots": "dots", "metal": "metal",
    "stone": "stone",
    "wood": "wood", "concrete": "concrete", "marble": "marble", "tile": "tiles", "panel": "panels",
}  # fmt: skip
"""Nouns for "walls of red brick"; a pattern that is missing here is worded as an adjective only."""

_SINGULARS: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "sphere", "orb"),
    "diamond": ("diamond", "gem"),
    "box": ("box", "crate"),
    "cone": ("cone",),
    "pillar": ("pillar", "column"),
    "medkit": ("medkit", "health pack", "medikit", "first aid kit"),
    "stimpack": ("stimpack",),
    "armour vest": ("armour vest", "armor vest", "vest", "armour", "armor"),
    "health bonus": ("health bonus", "potion"),
    "armour bonus": ("armour bonus", "helmet"),
    "monster": ("monster", "demon", "enemy", "creature"),
    "imp": ("imp",),
    "zombie": ("zombie",),
    "soldier": ("soldier",),
    "skeleton": ("skeleton",),
    "corpse": ("corpse", "body"),
    "fireball": ("fireball",),
    "rocket": ("rocket", "missile"),
    "bullet": ("bullet",),
    "barrel": ("barrel",),
    "lamp": ("lamp",),
    "torch": ("torch",),
    "candle": ("candle",),
    "key": ("key", "keycard"),
    "weapon": ("weapon", "gun"),
    "pistol": ("pistol",),
    "shotgun": ("shotgun",),
    "ammo": ("ammo pack", "ammo"),
    "tree": ("tree",),
    "plant": ("plant",),
    "bush": ("bush",),
    "flower": ("flower",),
    "statue": ("statue",),
    "chest": ("chest",),
    "ladder": ("ladder",),
    "window": ("window",),
    "switch": ("switch",),
    "cube": ("cube",),
    "cylinder": ("cylinder",),
    "pyramid": ("pyramid",),
    "capsule": ("capsule",),
    "torus": ("torus", "doughnut"),
    "disc": ("disc", "disk", "puck"),
    "ring": ("ring",),
    "triangle": ("triangle",),
    "pane": ("glass pane", "pane"),
    "seed": ("seed",),
    "occluder": ("occluder", "screen"),
    "arrow": ("arrow",),
    "apple": ("apple",),
    "stroke": ("stroke",),
    "target": ("target",),
    "log": ("log",),
    "cobblestone": ("cobblestone",),
    "coal": ("coal",),
    "iron ore": ("iron ore",),
    "drink": ("drink",),
    "wooden pickaxe": ("wooden pickaxe", "wood pickaxe"),
    "stone pickaxe": ("stone pickaxe",),
    "iron pickaxe": ("iron pickaxe",),
    "wooden sword": ("wooden sword", "wood sword"),
    "stone sword": ("stone sword",),
    "iron sword": ("iron sword",),
    "cow": ("cow",),
    "pig": ("pig",),
    "sheep": ("sheep",),
    "sapling": ("sapling",),
    "table": ("table",),
    "furnace": ("furnace",),
    "teleporter": ("teleporter",),
    "cactus": ("cactus",),
    "tree trunk": ("tree trunk", "trunk"),
    "grass block": ("grass block",),
    "dirt block": ("dirt block",),
    "snow block": ("snow block",),
    "sand block": ("sand block",),
    "stone block": ("stone block",),
    "leaf block": ("leaf block",),
    "plank block": ("plank block",),
    "ore": ("ore",),
    "thing": ("thing", "object", "item"),
}


def plural(noun: str) -> str:
    """The plural of a noun of this lexicon: "boxes", "enemies", "first aid kits"."""
    irregular = {
        "cactus": "cacti",
        "sheep": "sheep",
        "torus": "tori",
        "ammo": "ammo",
        "armour": "armour",
        "armor": "armor",
    }
    if noun in irregular:
        return irregular[noun]
    if noun.endswith(("x", "s", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"


SHAPES: dict[str, tuple[str, ...]] = {
    name: tuple(dict.fromkeys([*words, *(plural(word) for word in words)])) for name, words in _SINGULARS.items()
}
"""Every singular and plural of each kind of object."""

WRITTEN_SHAPES: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "sphere"), "diamond": ("diamond", "gem"), "box": ("box", "crate"), "pillar": ("pillar",
    "column"),
    "medkit": ("medkit", "health pack"), "armour vest": ("armour vest", "vest"), "monster": ("monster",
    "demon"),
    "disc": ("disc", "disk"), "pane": ("glass pane", "pane"),
}  # fmt: skip
"""Singulars that paraphrases may use; a shape that is missing here has its canonical one only."""

LIGHTS: dict[str, tuple[str, ...]] = {
    "dark": ("dark", "gloomy", "unlit", "darkness"),
    "dim": ("dim", "dimly lit", "poorly lit", "half dark", "shadowy"),
    "bright": ("bright", "brightly lit", "well lit", "sunny"),
}

PLACES: dict[str, tuple[str, ...]] = {
    "left": ("on the left", "to the left", "at the left", "left"),
    "ahead": ("ahead", "in front", "straight ahead", "in the middle", "in the centre", "in the center",
    "in front of you"),
    "right": ("on the right", "to the right", "at the right", "right"),
}  # fmt: skip
WRITTEN_PLACES: dict[str, tuple[str, ...]] = {
    "left": ("on the left", "to the left"), "ahead": ("ahead", "in front"), "right": ("on the right",
    "to the right"),
}  # fmt: skip

DISTANCES: dict[bool, tuple[str, ...]] = {
    True: ("nearby", "close by", "near", "close", "up close"),
    False: ("far away", "far off", "in the distance", "far", "distant"),
}
WRITTEN_DISTANCES: dict[bool, tuple[str, ...]] = {
    True: ("nearby", "close by"),
    False: ("far away", "far off"),
}

SETTINGS: dict[str, tuple[str, ...]] = {
    "rooms and corridors with coloured walls": (
        "rooms and corridors with coloured walls", "rooms and corridors", "rooms joined by corridors",
        "rooms and hallways with coloured walls", "coloured rooms and corridors",
        "rooms and corridors with colored walls",
    ),
    "monsters throw fireballs across a room": (
        "monsters throw fireballs across a room", "a room where monsters throw fireballs",
        "fireballs fly across a room", "a room with monsters that throw fireballs",
    ),
    "a hall with an acid floor and medkits": (
        "a hall with an acid floor and medkits", "medkits lie on the acid floor of a hall",
        "a hall of acid with medkits", "an acid hall with medkits",
    ),
    "a maze of rooms with a green armour vest": (
        "a maze of rooms with a green armour vest", "a green armour vest lies in a maze of rooms",
        "a maze of rooms", "a maze of rooms that hides a green vest",
    ),
    "a monster at the far wall of a room": (
        "a monster at the far wall of a room", "a room with a monster at the far wall",
        "a single room with one monster at the far wall", "one monster stands at the far wall of a room",
    ),
    "coloured things on a table": (
        "coloured things on a table", "a table with coloured things", "things lie on a table",
        "coloured objects on a table",
    ),
    "coloured things on a tilted table": (
        "coloured things on a tilted table", "a tilted table with coloured things", "things slide down a tilted table",
        "coloured objects on a tilted table",
    ),
    "coloured bodies on a floor": (
        "coloured bodies on a floor", "a floor with coloured bodies", "solid bodies stand on a floor",
        "toys on a floor",
    ),
    "grassland with trees, water and caves": (
        "grassland with trees, water and caves", "an island of grass, trees and caves",
        "grass, trees, water and caves", "a grassland with trees and caves",
    ),
    "grassy hills of blocks": (
        "grassy hills of blocks", "green hills of blocks", "blocky hills with grass", "a grassland of blocks",
    ),
    "a forest of blocks": ("a forest of blocks", "a blocky forest", "a forest in a world of blocks"),
    "a desert of blocks": ("a desert of blocks", "a blocky desert", "a sandy desert of blocks"),
    "snowy hills of blocks": ("snowy hills of blocks", "blocky hills with snow", "a snowfield of blocks"),
    "stone mountains of blocks": (
        "stone mountains of blocks", "blocky mountains", "rocky mountains of blocks", "mountains of blocks",
    ),
}  # fmt: skip
"""Settings: the default prompts of the worlds, each with its paraphrases."""

WORLD_SYNONYMS: dict[str, tuple[str, ...]] = {
    "DoomRooms": ("dungeon", "dungeons"),
    "DoomTakeCover": ("dodge fireballs", "dodging fireballs", "dodge the fireballs"),
    "DoomHealthGathering": ("gather health", "gather medkits", "gathering medkits"),
    "DoomMyWayHome": ("labyrinth", "find my way home", "find the way home"),
    "DoomBasic": ("shooting range", "target practice"),
    "Table": ("pool table", "billiard table", "air hockey", "2d physics"),
    "Crafter": ("crafter", "crafting game", "survival game", "2d minecraft"),
    "Scene": ("toy world", "toy room", "3d physics"),
    "Blocks": ("minecraft", "block world", "voxel world", "luanti", "minetest"),
}
"""What people call a world besides its name. Read only where its name is not in the text; none of them stands
within a wording that the grammar writes."""

NUMBERS: tuple[str, ...] = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


MAX_COUNT = 99
"""Most equal things, doors or rooms that a caption counts."""


def number(count: int) -> str:
    """``count`` in words up to twelve, in digits above."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def reverse(table: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Wording -> canonical name, for every wording of a table."""
    return {wording: name for name, wordings in table.items() for wording in (name, *wordings)}


_KNOWN: dict[str, dict[str, str]] = {
    "colour": reverse(COLOURS) | LOOSE_COLOURS,
    "pattern": reverse(PATTERNS),
    "shape": reverse(SHAPES),
    "light": reverse(LIGHTS),
    "place": reverse(PLACES),
    "setting": reverse(SETTINGS),
}


def known(kind: str, value: str) -> str:
    """The canonical name of a fact's value (``kind`` is "colour", "pattern", "shape", "light", "place" or
    "setting").

    The empty string stays empty. Raises ``ValueError`` for a value that captions have no words for.
    """
    table = _KNOWN[kind]
    if value and value not in table:
        accepted = ", ".join(sorted(set(table.values())))
        raise ValueError(
            f"captions have no words for the {kind} {value!r}; known are: {accepted}. "
            f"Use one of these, or add it to worldsim/captions/lexicon.py"
        )
    return table[value] if value else ""
