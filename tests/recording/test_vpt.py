"""VPT recordings: alignment, mouse and keys, menus, the stuck button, and everything that is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minecraft_data import (
    deeds_in,
    draw_deeds,
    expect_told_by_pictures,
    greys,
    vpt_line,
    vpt_lines,
    write_frames,
    write_vpt,
)

from worldsim.actions import ACTION_ID, KEY_BIT
from worldsim.recording.store import RecordingError
from worldsim.recording.vpt import find_vpt, read_vpt

SIZE = (16, 16)


def key(*names: str) -> int:
    return sum(1 << KEY_BIT[name] for name in names)


def keys_of(folder: Path, lines: list[Any], menus: Any = "cut") -> list[int]:
    """Key masks of the steps of a recording of these lines, the last of which leads nowhere."""
    (episode,) = read_vpt(write_vpt(folder, [0] * (len(lines) - 1), lines=lines), SIZE, menus=menus)
    return episode.keys.tolist()


@pytest.mark.parametrize(("ticks", "codec"), [(24, "libx264"), (23, "libx264"), (1, "libx264"), (24, "mpeg4")])
def test_every_step_is_what_its_pictures_tell(tmp_path: Path, ticks: int, codec: str) -> None:
    deeds = draw_deeds(ticks, seed=ticks)
    write_vpt(tmp_path / "10.0", deeds, codec=codec)
    (video,) = find_vpt(tmp_path)
    (episode,) = read_vpt(video, SIZE)
    assert deeds_in(episode.video[1 : 1 + ticks]) == deeds
    expect_told_by_pictures(episode)
    assert len(episode) == -(-ticks // 4) and episode.n_frames.sum() == ticks
    assert (episode.world, episode.frames_per_step, episode.fps) == ("Minecraft", 4, 20.0)
    assert (episode.goal, episode.scene, episode.policy, episode.map_seed) == ("", "Minecraft", "human", -1)
    assert episode.truncated[-1] and not episode.terminated.any() and not episode.reward.any()


@pytest.mark.parametrize(
    ("pressed", "held"),
    [
        ("key.keyboard.w", "forward"), ("key.keyboard.s", "backward"), ("key.keyboard.a", "strafe_left"),
        ("key.keyboard.d", "strafe_right"), ("key.keyboard.space", "jump"), ("key.keyboard.left.shift", "sneak"),
        ("key.keyboard.left.control", "sprint"), ("key.keyboard.q", "drop"), ("key.keyboard.e", "inventory"),
        ("key.keyboard.escape", None), ("key.keyboard.f", None), ("key.keyboard.f3", None), ("key.keyboard.4", None),
    ],
)  # fmt: skip
def test_a_key_held_in_one_tick_is_held_in_its_step(tmp_path: Path, pressed: str, held: str | None) -> None:
    lines = [vpt_line() for _ in range(13)]
    lines[6] = vpt_line([pressed])
    assert keys_of(tmp_path, lines) == [0, key(held) if held else 0, 0]


@pytest.mark.parametrize(("button", "held"), [(0, "attack"), (1, "use"), (2, None), (4, None)])
def test_buttons_of_the_mouse(tmp_path: Path, button: int, held: str | None) -> None:
    lines = [vpt_line() for _ in range(9)]
    lines[7] = vpt_line(mouse={"buttons": [button], "newButtons": [button]})
    assert keys_of(tmp_path, lines) == [0, key(held) if held else 0]


def test_another_slot_is_another_item_whether_by_key_or_by_wheel(tmp_path: Path) -> None:
    lines = [vpt_line(hotbar=slot) for slot in (3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 8)]
    assert keys_of(tmp_path / "told", lines) == [0, key("next_item"), 0]
    for line in lines:
        del line["hotbar"]
    lines[1] = lines[1] | vpt_line(["key.keyboard.9"], hotbar=None)
    lines[10]["mouse"]["dwheel"] = -1.0
    assert keys_of(tmp_path / "untold", lines) == [key("next_item"), 0, key("next_item")]


def test_the_mouse_turns_left_and_up_by_015_degrees_a_pixel(tmp_path: Path) -> None:
    motions = [(-100, 0)] * 4 + [(0, -10), (0, -30), (0, 0), (0, 0)] + [(8, 4)] * 4 + [(500, 500)]
    lines = [vpt_line(mouse={"dx": float(dx), "dy": float(dy)}) for dx, dy in motions]
    (episode,) = read_vpt(write_vpt(tmp_path, [0] * 12, lines=lines), SIZE)
    np.testing.assert_allclose(episode.camera, [[60, 0], [0, 6], [-4.8, -2.4]], atol=1e-5)
    assert episode.actions.tolist() == [-2, -2, -2]


def test_ids_are_given_to_just_their_controls(tmp_path: Path) -> None:
    (episode,) = read_vpt(write_vpt(tmp_path, [0] * 4 + [1] * 4 + [7] * 4 + [9] * 4), SIZE)
    assert episode.actions.tolist() == [0, ACTION_ID["forward"], -2, -2]


@pytest.mark.parametrize(("first", "stuck"), [([0], True), ([], False), ([0, 1], False)])
def test_an_attack_told_from_the_start_counts_once_it_is_pressed(tmp_path: Path, first: list[int], stuck: bool) -> None:
    lines = [vpt_line(mouse={"buttons": [0, 1]}) for _ in range(17)]
    lines[0]["mouse"]["newButtons"] = first
    lines[9]["mouse"]["newButtons"] = [0]
    before = key("use") if stuck else key("use", "attack")
    assert keys_of(tmp_path, lines) == [before, before, key("use", "attack"), key("use", "attack")]


def with_menu(count: int, opened: set[int]) -> list[Any]:
    lines = vpt_lines(draw_deeds(count - 1, seed=3))
    return [line | {"isGuiOpen": i in opened} for i, line in enumerate(lines)]


@pytest.mark.parametrize(
    ("opened", "spans"),
    [
        (set(), [(0, 30)]),
        ({13, 14, 21}, [(0, 12), (16, 20), (24, 30)]),
        ({12}, [(0, 8), (16, 30)]),
        ({0, 30}, [(4, 28)]),
        ({2, 10, 18, 27, 29}, [(4, 8), (12, 16), (20, 24)]),
        (set(range(31)), []),
    ],
)
def test_steps_that_show_a_menu_are_cut_out(tmp_path: Path, opened: set[int], spans: list[tuple[int, int]]) -> None:
    deeds = draw_deeds(30, seed=3)
    video = write_vpt(tmp_path, deeds, lines=with_menu(31, opened))
    episodes = list(read_vpt(video, SIZE))
    shown = [(8, *deeds)[start : stop + 1] for start, stop in spans]
    for episode, (start, stop) in zip(episodes, spans, strict=True):
        assert deeds_in(episode.video[1 : 1 + stop - start]) == deeds[start:stop]
        assert episode.truncated.tolist() == [False] * (len(episode) - 1) + [True]
        expect_told_by_pictures(episode)
    assert [episode.n_frames.sum() + 1 for episode in episodes] == [len(frames) for frames in shown]


def test_menus_that_are_kept_have_no_keys_but_the_inventorys(tmp_path: Path) -> None:
    lines = [
        vpt_line(["key.keyboard.w", "key.keyboard.e"], {"dx": 20.0, "buttons": [0]}, isGuiOpen=3 < i < 8)
        for i in range(13)
    ]
    (episode,) = read_vpt(write_vpt(tmp_path, [0] * 12, lines=lines), SIZE, menus="keep")
    full = key("forward", "inventory", "attack")
    assert episode.keys.tolist() == [full, key("inventory"), full]
    np.testing.assert_allclose(episode.camera, [[-12, 0], [0, 0], [-12, 0]], atol=1e-5)


def test_frames_are_cut_to_the_middle_not_distorted(tmp_path: Path) -> None:
    picture = np.full((5, 360, 640, 3), 40, np.uint8)
    picture[:, :, :140] = picture[:, :, 500:] = 220  # what a square has no room for
    picture[:, 135:225, 275:365] = 160
    video = write_vpt(tmp_path, [0] * 4)
    write_frames(video, picture)
    (episode,) = read_vpt(video, (64, 64))
    bright = episode.blocks[0, 3, ..., 1] > 100
    assert bright.sum() == 16 * 16 and bright[24:40, 24:40].all()
    (wide,) = read_vpt(video, (36, 64))
    assert (wide.first[:, [0, -1], 1] > 200).all() and (wide.first[:, 15:26, 1] < 60).all()


def test_typed_text_may_hold_any_character(tmp_path: Path) -> None:
    lines = [vpt_line(keyboard={"keys": [], "newKeys": [], "chars": "a\u2028b\x85c"}) for _ in range(5)]
    texts = [json.dumps(line, ensure_ascii=False) for line in lines]
    assert keys_of(tmp_path, [*texts[:4], texts[4] + "\n\n"]) == [0]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"mouse": {"dx": 1', "Expecting"),
        ("", "Expecting value"),
        ("[" * 100_000, "recursion"),
        ("[]", "list indices"),
        ("null", "NoneType"),
        (vpt_line(mouse={"dx": float("nan")}), "the mouse moved by nan, 0.0 pixels"),
        (vpt_line(mouse={"dy": -1e300}), "the mouse moved by"),
        (vpt_line(mouse={"dx": "left"}), "could not convert"),
        (vpt_line(mouse={"buttons": None}), "None is no list"),
        (vpt_line(mouse=None) | {"mouse": None}, "NoneType"),
        (vpt_line(keyboard={"keys": "key.keyboard.w"}), "is no list of keys"),
        (vpt_line(keyboard={}), "lacks 'keys'"),
        (vpt_line(keyboard={"keys": [{}]}), "unhashable"),
        (vpt_line(hotbar="first"), "invalid literal"),
        ({k: v for k, v in vpt_line().items() if k != "isGuiOpen"}, "lacks 'isGuiOpen'"),
    ],
)
def test_lines_that_are_no_ticks_are_named_by_number(tmp_path: Path, line: Any, complaint: str) -> None:
    lines = [vpt_line(), vpt_line(), line, vpt_line(), vpt_line()]
    video = write_vpt(tmp_path, [0] * 4, lines=lines)
    with pytest.raises(RecordingError, match=rf"{video.with_suffix('.jsonl')}, line 3, is not a tick: .*{complaint}"):
        next(read_vpt(video, SIZE))


@pytest.mark.parametrize("frames", [7, 8, 10])
def test_a_video_of_another_length_is_named(tmp_path: Path, frames: int) -> None:
    video = write_vpt(tmp_path, [0] * 8)
    write_frames(video, greys([9] * frames, (36, 64)))
    with pytest.raises(RecordingError, match=rf"\.mp4 has {frames} frames, but .*\.jsonl tells of 9"):
        next(read_vpt(video, SIZE))


@pytest.mark.parametrize("suffix", [".mp4", ".jsonl"])
@pytest.mark.parametrize("damage", ["empty", "noise", "half"])
def test_damaged_files_are_named(tmp_path: Path, suffix: str, damage: str) -> None:
    path = write_vpt(tmp_path, draw_deeds(40)).with_suffix(suffix)
    whole = path.read_bytes()
    noise = np.random.default_rng(0).bytes(500)
    path.write_bytes({"empty": b"", "noise": noise, "half": whole[: len(whole) // 2]}[damage])
    with pytest.raises(RecordingError, match=str(path)):
        next(read_vpt(path.with_suffix(".mp4"), SIZE))


def test_other_codecs_are_refused_before_decoding(tmp_path: Path) -> None:
    video = write_vpt(tmp_path, [0] * 8, codec="mjpeg")
    with pytest.raises(RecordingError, match=r"holds 36x64 mjpeg; decoded are h264"):
        next(read_vpt(video, SIZE))


def test_one_tick_leads_nowhere(tmp_path: Path) -> None:
    video = write_vpt(tmp_path, [], lines=[vpt_line()])
    with pytest.raises(RecordingError, match=r"\.jsonl holds a single tick"):
        next(read_vpt(video, SIZE))


def test_both_files_of_a_recording_are_needed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        find_vpt(tmp_path / "nowhere")
    with pytest.raises(RecordingError, match=r"holds no recording: no pair of NAME\.mp4 and NAME\.jsonl"):
        find_vpt(tmp_path)
    video = write_vpt(tmp_path / "b", [0] * 4, name="b")
    other = write_vpt(tmp_path / "a", [0] * 4, name="z")
    (tmp_path / "a/z-options.json").write_text("{}")
    assert find_vpt(tmp_path) == [other, video]
    video.unlink()
    with pytest.raises(RecordingError, match=r"b/b\.mp4 is missing, though there is b\.jsonl"):
        find_vpt(tmp_path)
    other.with_suffix(".jsonl").unlink()
    with pytest.raises(RecordingError, match=r"a/z\.jsonl is missing, though there is z\.mp4"):
        find_vpt(tmp_path)
