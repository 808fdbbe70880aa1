"""Maps as data: pure functions of their seed, connected, with known surfaces; layout geometry; WAD bytes."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("vizdoom")

from worldsim_envs.doom import textures, wad
from worldsim_envs.doom.dynamics import reseed_saved_game
from worldsim_envs.doom.game import FREEDOOM, View
from worldsim_envs.doom.layout import MapLayout, Passage, Room, light_name
from worldsim_envs.doom.maps import generate, to_wad

from worldsim.captions import lexicon
from worldsim.captions.facts import Surface
from worldsim.worlds import COLOURS, SHAPES, WORLDS

SEEDS = [0, 1, 17, 999_999, 1_000_000, 2_000_001, *range(100, 130)]


def test_a_map_is_a_pure_function_of_its_seed() -> None:
    generate.cache_clear()
    first = [generate(seed) for seed in SEEDS]
    generate.cache_clear()
    assert [generate(seed) for seed in reversed(SEEDS)][::-1] == first
    assert len({layout.rooms for layout in first}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_rooms_are_connected_and_apart(seed: int) -> None:
    layout = generate(seed)
    reached, frontier = {0}, [0]
    while frontier:
        here = frontier.pop()
        for passage in layout.passages:
            if here in passage.rooms:
                new = set(passage.rooms) - reached
                reached |= new
                frontier += new
    assert reached == set(range(len(layout.rooms)))
    for i, a in enumerate(layout.rooms):
        for b in layout.rooms[:i]:
            ax0, ay0, ax1, ay1 = a.rect
            bx0, by0, bx1, by1 = b.rect
            assert ax1 < bx0 or bx1 < ax0 or ay1 < by0 or by1 < ay0
    for passage in layout.passages:
        low, high = (layout.rooms[i].rect for i in passage.rooms)
        x0, y0, x1, y1 = passage.rect
        if passage.axis == "x":
            assert (x0, x1) == (low[2], high[0]) and max(low[1], high[1]) < y0 < y1 < min(low[3], high[3])
        else:
            assert (y0, y1) == (low[3], high[1]) and max(low[0], high[0]) < x0 < x1 < min(low[2], high[2])


@pytest.mark.parametrize("seed", SEEDS)
def test_things_stand_free(seed: int) -> None:
    layout = generate(seed)
    for thing in layout.things:
        assert layout.rooms[thing.room].holds(thing.x, thing.y, 1.0)
        if thing.shape in ("box", "cone", "lamp"):
            for passage in layout.passages:
                x0, y0, x1, y1 = passage.rect
                assert not (x0 - 2 <= thing.x <= x1 + 2 and y0 - 2 <= thing.y <= y1 + 2)


def test_a_goal_makes_sure_of_its_thing_and_changes_nothing_else() -> None:
    for goal in WORLDS["DoomRooms"].goals[1:]:
        colour, shape = goal.split()[2:]
        with_goal, without = generate(3, goal), generate(3)
        assert any((t.shape, t.colour) == (shape, colour) for t in with_goal.things)
        assert (with_goal.rooms, with_goal.passages, with_goal.start) == (
            without.rooms,
            without.passages,
            without.start,
        )
        assert [(t.x, t.y) for t in with_goal.things] == [(t.x, t.y) for t in without.things]


def test_captions_have_words_for_every_surface_and_thing() -> None:
    for surface in textures.STOCK:
        lexicon.known("colour", surface.colour), lexicon.known("pattern", surface.pattern)
    for colour in COLOURS:
        lexicon.known("colour", colour)
    for pattern in textures.PATTERNS:
        lexicon.known("pattern", pattern)
    for shape in (*SHAPES, *wad.STOCK_ACTORS):
        lexicon.known("shape", shape)


def two_rooms(door: bool) -> MapLayout:
    rooms = (
        Room((0, 0, 10, 10), Surface("red", "plain"), Surface(), Surface(), 240, 4),
        Room((12, 0, 22, 10), Surface("blue", "plain"), Surface(), Surface(), 96, 4),
    )
    rect = (10.0, 4.0, 12.0, 6.0)
    door_rect = (11.0, 4.0, 11.5, 6.0) if door else None
    surfaces = (Surface(), Surface(), Surface())
    passage = Passage((0, 1), rect, "x", *surfaces, 96, door, "cyan" if door else "", door_rect)
    return MapLayout(0, rooms, (passage,), (), (5, 5, 0))


def test_the_room_that_fills_the_view_is_found() -> None:
    layout = two_rooms(door=False)
    west, east = layout.rooms
    assert layout.look(2, 5, 180, 70, frozenset()) == (west, ())
    assert layout.look(9.9, 5, 0, 20, frozenset()) == (east, ())  # at the mouth of the passage
    assert layout.look(13, 5, 0, 70, frozenset()) == (east, ())
    assert layout.look(5, 5, 0, 70, frozenset()) == (west, ())
    assert layout.look(10.2, 5, 60, 70, frozenset()) == (layout.passages[0], ())


def test_a_closed_door_is_seen_and_an_open_one_is_looked_through() -> None:
    layout = two_rooms(door=True)
    assert layout.look(9, 5, 0, 50, frozenset())[1] == ("cyan",)
    assert layout.look(9, 5, 180, 50, frozenset())[1] == ()
    assert layout.look(9.9, 5, 0, 20, frozenset({0})) == (layout.rooms[1], ())


def test_light_names() -> None:
    assert [light_name(light) for light in (240, 168, 96)] == ["bright", "dim", "dark"]


def test_room_at_and_floor() -> None:
    layout = two_rooms(door=False)
    assert layout.room_at(5, 5) == 0 and layout.room_at(13, 1) == 1
    assert layout.room_at(11, 5) is None and layout.is_floor(11, 5)
    assert not layout.is_floor(11, 1) and not layout.is_floor(-1, 5)


def test_wad_directory_reads_back() -> None:
    data = wad.write_wad([("MAP01", b""), ("TEXTMAP", b"abc"), ("ENDMAP", b"")])
    magic, count, start = struct.unpack_from("<4sii", data)
    assert (magic, count) == (b"PWAD", 3) and len(data) == start + 16 * 3
    assert wad.read_lump(data, "TEXTMAP") == b"abc"
    with pytest.raises(KeyError, match="NOTHING"):
        wad.read_lump(data, "NOTHING")


def test_sprites_are_pngs_that_stand_on_their_foot() -> None:
    data = wad.png(textures.sprite("red", "ball"), (16, 31))
    assert Image.open(io.BytesIO(data)).size == (32, 32)
    at = data.index(b"grAb")
    assert struct.unpack(">ii", data[at + 4 : at + 12]) == (16, 31)


def test_map_text_closes_every_room() -> None:
    text = wad.read_lump(to_wad(generate(1)).wad, "TEXTMAP").decode()
    layout = generate(1)
    doors = sum(p.door for p in layout.passages)
    assert text.count("sector{") == len(layout.rooms) + len(layout.passages) + 2 * doors
    assert text.count("special=12") == 2 * doors
    assert sorted(to_wad(layout).doors) == [i for i, p in enumerate(layout.passages) if p.door]


def test_the_palette_shows_every_named_colour_bright_and_dark() -> None:
    stock = np.frombuffer(wad.read_lump(FREEDOOM.read_bytes(), "PLAYPAL"), np.uint8)[:768].reshape(256, 3)
    palette = textures.rooms_palette(stock)
    table = textures.light_table(palette)
    assert table.shape == (34, 256) and table.dtype == np.uint8
    for name, rgb in textures.RGB.items():
        nearest = np.abs(palette.astype(int) - rgb).sum(1).argmin()
        for level in (0, 12, 24, 31):
            shown = palette[table[level, nearest]].astype(float)
            hue = shown / max(shown.max(), 1)
            wanted = np.array(rgb) / max(rgb)
            assert np.abs(hue - wanted).max() < 0.3, (name, level, shown)
            assert shown.max() > 45


def test_surfaces_without_a_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="pink"):
        textures.surface_lump(Surface("pink", "plain"), flat=False)
    with pytest.raises(ValueError, match="floor only"):
        textures.surface_lump(Surface("red", "carpet"), flat=False)


@pytest.mark.parametrize(
    ("size", "screen", "crop"),
    [
        ((64, 64), (120, 160), (0, 20, 120, 120)),
        ((120, 160), (120, 160), (0, 0, 120, 160)),
        ((48, 96), (120, 160), (20, 0, 80, 160)),
        ((96, 48), (120, 160), (0, 50, 120, 60)),
        ((128, 128), (240, 320), (0, 40, 240, 240)),
    ],
)
def test_views_crop_the_middle_to_the_aspect(size: tuple, screen: tuple, crop: tuple) -> None:
    view = View.fit(size)
    assert (view.screen, view.crop) == (screen, crop)


def test_a_square_view_is_73_7_degrees_wide() -> None:
    view = View.fit((64, 64))
    assert view.field_of_view == pytest.approx(73.74, abs=0.01)
    assert view.intrinsics[0, 0] == pytest.approx(80 * 64 / 120)


def test_only_saved_games_are_reseeded() -> None:
    with pytest.raises(ValueError, match="signature"):
        reseed_saved_game(b"nothing", 1)
    with pytest.raises(ValueError, match="random streams"):
        reseed_saved_game(wad.png(textures.sprite("red", "ball")), 1)
