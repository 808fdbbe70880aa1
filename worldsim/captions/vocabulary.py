"""The text encoder's vocabulary: a frozen list of words, with bytes for everything else.

The ids are baked into weights, so the list never changes except by appending, into rows that ``size`` keeps
in reserve; a test pins its digest. It covers all that the grammar can say, and words that coming worlds will
need (a table of 2-D physics, Crafter, a world of blocks, a scene of coloured bodies). A word that is not in
the list is spelled as the bytes of its UTF-8, so no text is ever lost or replaced by an "unknown" token.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

MAX_TOKENS = 64
"""Most tokens of one part of the text (scene, view, event or goal). Longer text is refused, never cut."""

PAD, PART_START, FIRST_BYTE = 0, 1, 2
FIRST_WORD = FIRST_BYTE + 256

VERSION = 2
_PUNCTUATION = ". , ; : ! ? ' \" ( ) - + / & % _"
_NUMBERS = " ".join(str(number) for number in range(100))
_WORDS_1 = """
a above acacia acid across agent ahead aid alive all along amber ammo an and animal animals another anvil
anvils anything apart appear appears apple apples aqua aquamarine arch arches are area arena arid armor
armour around arrow arrows as asleep at attack attacked attacks avoid away axe axes azure back background
badlands balanced ball balls barrel barrels basalt basic be beach beaches bed bedrock beds been behind beige
being below beside between big biome biomes birch bird birds bite bites black block blocks blocky blue
bluish boat boats bodies body bone bones bonus bonuses book books bookshelf bookshelves both bottom bounce
bounces bouncy bow bowl bowls bows box boxes branch branches bread break breaks brick bricked bricks
brickwork bridge bridges bright brighter brightly brightness bring broken bronze brown brush brushes bucket
buckets build builds bullet bullets burgundy burn burns bush bushes button buttons by cabinet cabinets cacti
cactus camera candle candles canvas canvases canyon canyons capsule capsules car carpet carpeted carrot
carrots cars cart carts cave cavern caves ceiling ceilings cement center centre chair chairs chamber
chambers charcoal check checked checkerboard checkered checks chequered cherry chest chests chicken chickens
chocolate chop chops circle circles clay clear cliff cliffs climb climbs clock clocks close closed closes
closing cloud clouds cloudy coal coals coast cobalt cobblestone cobblestones cold collect collected collects
collide collides collision color colored colors colour coloured colours column columns computer concrete
cone cones coniferous contact contain contains conveyor conveyors copper corner corners corpse corpses
corridor corridors cotton cover covered cow cows cracked craft crafter crafts crate crates cream create
creature creatures creeper creepers crimson crop crops cross crossed crosses crouches cube cubes cuboid
cuboids cup cups curtain curtains cyan cylinder cylinders damage damaged dandelion dandelions dark darker
darkness dawn day daylight days daytime dead death deciduous deep demon demons desert deserts desk desks
destroy destroyed diamond diamonds die dies different dig digs dim dimly dirt disappear disappears disc
discs disk disks distance distant domino dominoes doom door doors doorway doorways dot dots dotted double
doughnut doughnuts down dozen draw drawn draws drink drinking drinks drop drops dry dug dusk each earth
earthen east eat eats ebony edge egg eggs eight elastic eleven ellipsoid ellipsoids emerald empty end
enemies enemy energy evening every everywhere explore fall falling falls fan fans far farm farms fast fence
fences fern ferns few field fields find fire fireball fireballs fires first fish fishes five flat flicks
flies floor floors flower flowers fly fog foggy food for force foreground forest forests four fragment
fragments freedoom friction from front frozen full furnace furnaces gain gains game games gate gates
gathering gear gears gem gems generate get glass glasses gloomy glossy go goal goals gold golden granite
grass grassland grassy gravel gravity gray green greenish grey greyish grid gridded ground grow grows gun
guns had half hall halls hallway hallways has have heal healed heals health heart hearts heavy helmet
helmets here hexagon hexagons hidden hides high hill hills hit hits hoe hoes hold holds hole holes home
horizon horse horses house houses how huge hunger hungry hurt i ice icy image imp imps in indigo indoor
indoors inside into inventories inventory iron irons is island islands it item items its ivory jade joined
jump jumps jungle jungles key keycard keycards keys kill killed kills kit kits ladder ladders lake lakes
lamp lamps large last lava lavender leaf leaning leaves left lemon let lever levers lie lies lifts light
lighter lighting lights like lilac lime line lined lines lit log logs long look looks lose loses lost lots
low luanti made magenta magnet magnets make many map marble marbles mark marks maroon mass matte mauve maze
me meadow meadows medikit medikits medkit medkits melon melons melts mesa metal metallic middle midnight
mine minecraft mined mines minetest mirror mirrors missile missiles mist misty monster monsters moon morning
moss mossy mountain mountains move moves moving mud muddy mushroom mushrooms mustard my narrow navy near
nearby new next night nights nine no none noon north not nothing nukage oak object objects obsidian occluder
occluders ocean oceans of off old olive on one onto opaque open opening opens or orange orb orbit orbits
orbs ore ores other out outdoor outdoors outside over pack packs paint painted painting paints pale palm
pane panel paneled panelled panels panes panning pans passage passages path paths pattern patterns pedestal
pedestals peg pegs pendulum pendulums person persons physics pick pickaxe pickaxes picked picks picture
piece pieces pig pigs pile piles pillar pillars pine pink pistol pistols place placed places plain plains
plank planks plant plants plastic platform platforms player please polka poorly potato potatoes potion
potions press presses prism prisms puck pucks pull pulls pumpkin pumpkins purple push pushed pushes put
pyramid pyramids quartz quickly rabbit rabbits rail rails rain rainforest raining rainy ramp ramps ravine
ravines reach reached reaches realistic rectangle rectangles red reddish reed reeds regain reward right ring
rings ripe river rivers road roads robot robots rock rocket rockets rocky roll rolling rolls roof room rooms
rope ropes rose roses rosy rotates rotating round row rows rubber ruby run runs rust rusted rusty salmon
same sand sandstone sandy sapling saplings sapphire savanna savannas scarlet scene score screen screens
second sector see seed seeds seen seven several shade shadow shadows shadowy shallow shard shards shatter
shatters sheep shelf shelves shield shields shiny shoot shoots short shotgun shotguns shove shovel shovels
show shut side sides sight silver single sits six skeleton skeletons skull skulls sky slab slabs sleep
sleeping sleeps slide slides slightly slime slimes slippery slope slopes slot slots slow slowly small smooth
sneaks snow snowfield snowfields snowy sofa sofas soldier soldiers solid some something somewhere sort south
spawns speed sphere spheres spider spiders spin spinning spins splashes spots spotted spring springs sprout
sprouting sprouts spruce square stack stacked stacks stain stains stair stairs stand standing stands star
stars start static statue statues stay steel stick sticks sticky still stimpack stimpacks stock stone stones
stop stops storm stormy straight stripe striped stripes stripy stroke strokes studio style sun sunny sunrise
sunset surface survival survive swamp swamps swim swims switch switched switches sword swords table tables
tabletop taiga taigas take takes tall tan tangerine target targets task teal teapot teapots tech teleporter
teleporters temperate ten texture textured that the then there these thick thin thing things third thirst
thirsty this those three through throughout throw thrown throws tile tiled tiles tilted tin tiny tired to
toggles tool tools top topple topples torch torches tori torus touch touches tower towers toy toys track
tracks trail trails transparent tree trees triangle triangles tropical truck trucks trunk trunks tulip
tulips tumble tumbles tundra tundras tunnel tunnels turn turned turns turquoise twelve two ultramarine under
underground underwater unlit up upright upside us use uses valley valleys vanishes vase vases vermilion very
vest vests video view village villager villagers villages vine vines violet visit vivid volcano volcanoes
voxel wake wakes walk walks wall walls want warm was water waterfall waterfalls watery wave waves wavy way
we weapon weapons weather weight well west wet what wheel wheels when where which while white whitish who
whole whose wide win wind window windows wins with without wolf wolves wood wooden wool world yellow
yellowish you your zero zigzag zombie zombies zooms
"""

_WORDS_2 = "cut"

WORDS: tuple[str, ...] = tuple(f"{_PUNCTUATION} {_NUMBERS} {_WORDS_1} {_WORDS_2}".split())
"""Words in order of their ids, from ``FIRST_WORD`` on."""

_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")
_SPACE = ord(" ")
_NO_SPACE_BEFORE = frozenset(".,;:!?)")


def split_words(text: str) -> list[str]:
    """Lower-case words and single punctuation marks of ``text``."""
    return _TOKEN.findall(text.lower())


def join_words(words: Sequence[str]) -> str:
    """Text of words and punctuation marks, with a space before each but closing punctuation."""
    return "".join(w if w in _NO_SPACE_BEFORE or not i else f" {w}" for i, w in enumerate(words))


@dataclass(frozen=True)
class Vocabulary:
    """Words to ids and back: 0 pads, 1 starts a part, 2 to 257 are bytes, words follow.

    ``size`` is the number of embedding rows, those kept in reserve included. ``digest`` identifies the list.
    """

    words: tuple[str, ...] = WORDS
    size: int = 2048
    version: int = VERSION

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words):
            raise ValueError("a vocabulary lists each word once")
        if FIRST_WORD + len(self.words) > self.size:
            raise ValueError(f"{len(self.words)} words do not fit into {self.size} ids: {FIRST_WORD} are not for words")

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: FIRST_WORD + i for i, word in enumerate(self.words)}

    @cached_property
    def digest(self) -> str:
        """12 hex digits of SHA-256 over the words in order."""
        return hashlib.sha256(" ".join(self.words).encode()).hexdigest()[:12]

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``: ``[]`` for an empty one, without a start token.

        An unlisted word is its bytes; the byte of a space parts two such words. ``MAX_TOKENS`` is not
        enforced here but where texts become tensors.
        """
        ids: list[int] = []
        spelled = False
        for word in split_words(text):
            known = self._ids.get(word)
            if known is not None:
                ids.append(known)
            else:
                ids += [FIRST_BYTE + _SPACE] * spelled + [FIRST_BYTE + byte for byte in word.encode()]
            spelled = known is None
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids: equal to the encoded one up to letter case and spacing. Pad and start tokens are
        skipped.

        Raises ``ValueError`` for an id that stands for nothing, and for bytes that are no UTF-8.
        """
        words: list[str] = []
        spelled = bytearray()
        for token in [*(int(i) for i in ids), PAD]:
            if FIRST_BYTE <= token < FIRST_WORD:
                spelled.append(token - FIRST_BYTE)
                continue
            if spelled:
                words += spelled.decode("utf-8").split(" ")
                spelled.clear()
            if token in (PAD, PART_START):
                continue
            if not FIRST_WORD <= token < FIRST_WORD + len(self.words):
                raise ValueError(
                    f"token id {token} stands for nothing; ids are 0 to {FIRST_WORD + len(self.words) - 1}"
                )
            words.append(self.words[token - FIRST_WORD])
        return join_words(words)


VOCABULARY = Vocabulary()
"""The vocabulary of the shipped weights."""


def word_rows(texts: Sequence[str]) -> np.ndarray:
    """int16 ``(len(texts), MAX_TOKENS)`` word ids of texts, padded with 0.

    Raises ``ValueError`` for a text of more than ``MAX_TOKENS`` tokens: text is never cut silently.
    """
    rows = np.zeros((len(texts), MAX_TOKENS), np.int16)
    for row, text in zip(rows, texts):
        ids = VOCABULARY.encode(text)
        if len(ids) > MAX_TOKENS:
            raise ValueError(f"text of {len(ids)} tokens; at most {MAX_TOKENS} are taken: {text!r}. Shorten it.")
        row[: len(ids)] = ids
    return rows
