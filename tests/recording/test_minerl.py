"""MineRL datasets: alignment, signs, the table of keys, ends, and everything that is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minecraft_data import (
    deeds_in,
    draw_deeds,
    expect_told_by_pictures,
    greys,
    write_frames,
    write_minerl,
)

from worldsim.actions import ACTION_ID, KEY_BIT
from worldsim.recording.minerl import find_minerl, read_minerl, task_of
from worldsim.recording.store import RecordingError


def key(*names: str) -> int:
    return sum(1 << KEY_BIT[name] for name in names)


@pytest.mark.parametrize(("version", "before", "ticks"), [("3", 0, 24), ("4", 7, 23), ("4", 1, 2)])
def test_every_step_is_what_its_pictures_tell(tmp_path: Path, version: str, before: int, ticks: int) -> None:
    deeds = draw_deeds(ticks, seed=ticks)
    write_minerl(tmp_path, deeds, version=version, name=f"v{version}_fox", before=before)
    (folder,) = find_minerl(tmp_path)
    episode = read_minerl(folder)
    assert deeds_in(episode.video[1 : 1 + ticks]) == deeds
    assert abs(int(episode.first.mean()) - 8) < 4
    expect_told_by_pictures(episode)
    assert len(episode) == -(-ticks // 4) and episode.n_frames.sum() == ticks
    assert (episode.world, episode.frames_per_step, episode.fps) == ("Minecraft", 4, 20.0)
    assert (episode.policy, episode.map_seed, episode.split) == ("human", -1, "train")


@pytest.mark.parametrize(
    ("action", "held"),
    [
        ("forward", "forward"), ("back", "backward"), ("left", "strafe_left"), ("right", "strafe_right"),
        ("jump", "jump"), ("sneak", "sneak"), ("sprint", "sprint"), ("attack", "attack"), ("use", "use"),
        ("drop", "drop"), ("inventory", "inventory"), ("hotbar.1", "next_item"), ("hotbar.9", "next_item"),
    ],
)  # fmt: skip
def test_a_key_held_in_one_tick_is_held_in_its_step(tmp_path: Path, action: str, held: str) -> None:
    pressed = np.zeros(12, np.int64)
    pressed[6] = 1
    episode = read_minerl(write_minerl(tmp_path, [0] * 12, arrays={f"action${action}": pressed}))
    assert episode.keys.tolist() == [0, key(held), 0]


@pytest.mark.parametrize(
    ("action", "item", "done"),
    [
        ("place", "stone", "place_stone"), ("place", "cobblestone", "place_stone"),
        ("place", "crafting_table", "place_table"), ("place", "furnace", "place_furnace"),
        ("place", "dirt", "place"), ("place", "torch", "place"), ("place", "other", "place"),
        ("equip", "stone_axe", "next_item"), ("equip", "air", "next_item"),
        ("nearbyCraft", "wooden_pickaxe", "make_wood_pickaxe"),
        ("nearbyCraft", "stone_pickaxe", "make_stone_pickaxe"),
        ("nearbyCraft", "iron_pickaxe", "make_iron_pickaxe"), ("nearbyCraft", "wooden_sword", "make_wood_sword"),
        ("nearbyCraft", "stone_axe", None), ("craft", "planks", None), ("nearbySmelt", "iron_ingot", None),
    ],
)  # fmt: skip
def test_items_become_keys(tmp_path: Path, action: str, item: str, done: str | None) -> None:
    chosen = np.array(["none"] * 5 + [item] + ["none"] * 2)
    episode = read_minerl(write_minerl(tmp_path, [0] * 8, arrays={f"action${action}": chosen}))
    assert episode.keys.tolist() == [0, key(done) if done else 0]
    assert episode.actions.tolist() == [0, ACTION_ID[done] if done else 0]


def test_the_camera_turns_left_and_up_where_yaw_and_pitch_fall(tmp_path: Path) -> None:
    camera = np.zeros((16, 2), np.float32)  # pitch, yaw
    camera[0:4, 1] = -3.5
    camera[4:8, 0] = 3.5
    camera[9] = (0, 3.5)
    camera[12:14] = [(-1, 2), (-4, 8)]
    episode = read_minerl(write_minerl(tmp_path, [0] * 16, arrays={"action$camera": camera}))
    assert episode.camera.tolist() == [[14, 0], [0, -14], [-3.5, 0], [-10, 5]]
    ids = [ACTION_ID[name] for name in ("turn_left", "look_down", "turn_right_small")]
    assert episode.actions.tolist() == [*ids, -2]


def test_ids_are_given_to_just_their_controls(tmp_path: Path) -> None:
    forward, jump, sprint = np.zeros((3, 12), np.int64)
    forward[0:4] = forward[5] = forward[8] = jump[6] = sprint[9] = 1
    arrays = {"action$forward": forward, "action$jump": jump, "action$sprint": sprint}
    episode = read_minerl(write_minerl(tmp_path, [0] * 12, arrays=arrays))
    assert episode.actions.tolist() == [ACTION_ID["forward"], ACTION_ID["forward+jump"], -2]


@pytest.mark.parametrize(
    ("success", "paid_at", "terminated"),
    [(True, 9, True), (True, 8, True), (True, 7, False), (False, 9, False), ("True", 9, True), ("False", 9, False)],
)
def test_success_that_is_paid_in_the_last_step_terminates(
    tmp_path: Path, success: Any, paid_at: int, terminated: bool
) -> None:
    reward = np.zeros(10, np.float32)
    reward[[0, 3, paid_at]] = (1, 2, 4)
    folder = write_minerl(tmp_path, [0] * 10, arrays={"reward": reward}, metadata={"success": success})
    episode = read_minerl(folder, split="val")
    assert episode.reward.tolist() == [3, 0, 4] if paid_at > 7 else [3, 4, 0]
    assert episode.terminated.tolist() == [False, False, terminated]
    assert episode.truncated.tolist() == [False, False, not terminated]
    assert episode.split == "val"


@pytest.mark.parametrize(
    ("environment", "task"),
    [
        ("MineRLTreechop-v0", "treechop"), ("MineRLObtainIronPickaxeDense-v0", "obtain iron pickaxe dense"),
        ("MineRLNavigateExtreme-v0", "navigate extreme"), ("MineRLBasaltFindCave-v0", "basalt find cave"),
    ],
)  # fmt: skip
def test_goal_and_scene_are_the_task(tmp_path: Path, environment: str, task: str) -> None:
    assert task_of(environment) == task
    episode = read_minerl(write_minerl(tmp_path, [0] * 4, environment=environment))
    assert (episode.goal, episode.scene) == (task, f"Minecraft, {task}")


def test_frames_are_cut_not_distorted(tmp_path: Path) -> None:
    folder = write_minerl(tmp_path, [0] * 4, before=0)
    picture = np.full((5, 64, 64, 3), 40, np.uint8)
    picture[:, :16] = picture[:, 48:] = 220  # what a wide picture has no room for
    picture[:, 28:36, 28:36] = 160
    write_frames(folder / "recording.mp4", picture)
    episode = read_minerl(folder, size=(16, 32))
    assert episode.blocks.shape == (1, 4, 16, 32, 3)
    bright = episode.first[..., 1] > 100
    assert bright.sum() == 16 and bright[6:10, 14:18].all()


def test_recordings_are_found_in_order_and_by_environment(tmp_path: Path) -> None:
    for environment in ("MineRLTreechop-v0", "MineRLNavigate-v0"):
        for name in ("v3_b", "v3_a"):
            write_minerl(tmp_path, [0], environment=environment, name=name, version="3\n")
    (tmp_path / "MineRLTreechop-v0/.DS_Store").mkdir()
    (tmp_path / "notes.txt").write_text("")
    names = ["MineRLNavigate-v0/v3_a", "MineRLNavigate-v0/v3_b", "MineRLTreechop-v0/v3_a", "MineRLTreechop-v0/v3_b"]
    assert find_minerl(tmp_path) == [tmp_path / name for name in names]
    assert find_minerl(tmp_path, ["MineRLTreechop-v0"]) == [tmp_path / name for name in names[2:]]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda root: (root / "VERSION").unlink(), r"VERSION is missing"),
        (lambda root: (root / "VERSION").write_text("5"), r"VERSION says '5'.*3 and 4"),
        (lambda root: (root / "VERSION").write_bytes(b"\xff\x00"), r"VERSION says"),
        (lambda root: (root / "VERSION").write_text("3"), r"v4_brave_fox.* is no recording of version 3"),
        (lambda root: (root / "MineRLEmpty-v0").mkdir(), r"MineRLEmpty-v0 holds no recording"),
        (lambda root: shutil.rmtree(root / "MineRLTreechop-v0"), r"holds no folder of an environment"),
    ],
)
def test_folders_that_are_no_dataset_are_named(tmp_path: Path, change: Any, complaint: str) -> None:
    write_minerl(tmp_path, [0] * 4)
    change(tmp_path)
    with pytest.raises(RecordingError, match=complaint):
        find_minerl(tmp_path)


def test_a_folder_that_is_not_there_and_an_unknown_environment_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        find_minerl(tmp_path / "nowhere")
    write_minerl(tmp_path, [0] * 4)
    with pytest.raises(RecordingError, match=r"no environment 'MineRLTreeChop-v0', but MineRLTreechop-v0"):
        find_minerl(tmp_path, ["MineRLTreeChop-v0"])


NAN = np.full((8, 2), np.nan, np.float32)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"action$camera": NAN}, r"action\$camera' that is not finite"),
        ({"action$camera": np.full((8, 2), 1e30)}, r"action\$camera' that is not finite"),
        ({"action$camera": np.zeros(8)}, r"action\$camera of shape \(8,\), not \(8, 2\)"),
        ({"action$camera": None}, r"no array 'action\$camera'"),
        ({"reward": np.full(8, np.inf)}, r"'reward' that is not finite"),
        ({"reward": np.array(["a"] * 8)}, r"'reward' that is not finite or no number"),
        ({"reward": np.float32(1)}, r"'reward' of shape \(\)"),
        ({"action$jump": np.zeros(7, np.int64)}, r"action\$jump' of shape \(7,\), but rewards of 8 steps"),
        ({"action$jump": np.full(8, np.nan)}, r"action\$jump' as float64, not as 0 and 1"),
        ({"action$place": np.zeros(8, np.int64)}, r"action\$place' as int64, not as names of items"),
        ({"action$vector": np.zeros((8, 64))}, r"obfuscated"),
        ({"action$fly": np.zeros(8, np.int64)}, r"action 'fly' that this reader does not know"),
        ({"action$place": np.array([{}] * 8)}, r"damaged or no archive of plain arrays"),
    ],
)
def test_arrays_that_cannot_be_used_are_named(tmp_path: Path, arrays: Any, complaint: str) -> None:
    folder = write_minerl(tmp_path, [0] * 8, arrays=arrays)
    with pytest.raises(RecordingError, match=rf"{folder}/rendered\.npz .*{complaint}"):
        read_minerl(folder)


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ({"duration_steps": 9}, r"tells of 9 steps, but rendered\.npz holds 8"),
        ({"duration_steps": None}, r"whole number as 'duration_steps', not None"),
        ({"true_video_frame_count": 8}, r"8 frames, too few for the 8 steps"),
        ({"true_video_frame_count": 12.5}, r"whole number as 'true_video_frame_count', not 12\.5"),
        ({"success": None}, r"true or false as 'success'"),
        ({"success": [1]}, r"true or false as 'success'"),
    ],
)
def test_metadata_that_contradict_are_named(tmp_path: Path, metadata: Any, complaint: str) -> None:
    folder = write_minerl(tmp_path, [0] * 8, metadata=metadata)
    with pytest.raises(RecordingError, match=rf"{folder}/metadata\.json .*{complaint}"):
        read_minerl(folder)


@pytest.mark.parametrize("name", ["recording.mp4", "rendered.npz", "metadata.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "half"])
def test_damaged_files_are_named(tmp_path: Path, name: str, damage: str) -> None:
    folder = write_minerl(tmp_path, draw_deeds(40))
    path, whole = folder / name, (folder / name).read_bytes()
    noise = np.random.default_rng(0).bytes(500)
    path.write_bytes({"empty": b"", "noise": noise, "half": whole[: len(whole) // 2], "missing": b""}[damage])
    if damage == "missing":
        path.unlink()
    with pytest.raises(RecordingError, match=rf"{folder}/{name}"):
        read_minerl(folder)


@pytest.mark.parametrize("frames", [11, 13])
def test_a_video_of_another_length_is_named(tmp_path: Path, frames: int) -> None:
    folder = write_minerl(tmp_path, [0] * 8, before=3)
    write_frames(folder / "recording.mp4", greys([9] * frames, (64, 64)))
    with pytest.raises(RecordingError, match=rf"recording\.mp4 has {frames} frames, but .*metadata\.json tells of 12"):
        read_minerl(folder)


def test_metadata_must_be_an_object(tmp_path: Path) -> None:
    folder = write_minerl(tmp_path, [0] * 8)
    for text in (json.dumps([1]), "[" * 100_000):
        (folder / "metadata.json").write_text(text)
        with pytest.raises(RecordingError, match=r"metadata\.json is n"):
            read_minerl(folder)
