"""Reads the MineRL datasets, versions 3 and 4: people's play of Minecraft at 64x64, by environment.

``<root>/VERSION`` holds the version; a recording is a folder ``<root>/<environment>/v<version>_<name>`` with
``recording.mp4``, ``rendered.npz`` (``reward``, ``action$...`` of N ticks) and ``metadata.json``. The video is longer
than the play: its *last* N + 1 frames are the states, what comes before was recorded while the player was put in place
(https://github.com/minerllabs/minerl/issues/74). ``docs/minecraft.md`` has the table of what each action becomes.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldsim.recording.episode import BLOCK, Episode
from worldsim.recording.minecraft import LIMIT, WORLD, Ticks, key_masks, minecraft_episode, read_video, require
from worldsim.recording.store import RecordingError, short

VERSIONS = ("3", "4")
VIDEO, ARRAYS, METADATA = "recording.mp4", "rendered.npz", "metadata.json"
ACTION = "action$"

HELD = key_masks(
    {
        "forward": "forward", "back": "backward", "left": "strafe_left", "right": "strafe_right", "jump": "jump",
        "sneak": "sneak", "sprint": "sprint", "attack": "attack", "use": "use", "drop": "drop",
        "inventory": "inventory", **{f"hotbar.{slot}": "next_item" for slot in range(1, 10)},
    }
)  # fmt: skip
"""Actions that are 0 or 1 -> key mask."""
CHOSEN: dict[str, dict[str, int]] = {
    "place": key_masks(
        {"stone": "place_stone", "cobblestone": "place_stone", "crafting_table": "place_table",
         "furnace": "place_furnace", "": "place"}
    ),
    "equip": key_masks({"": "next_item"}),
    "nearbyCraft": key_masks(
        {f"{item}_{tool}": f"make_{stuff}_{tool}" for tool in ("pickaxe", "sword")
         for item, stuff in (("wooden", "wood"), ("stone", "stone"), ("iron", "iron"))}
    ),
    "craft": {},
    "nearbySmelt": {},
}  # fmt: skip
"""Actions that name an item -> key mask by item; ``""`` stands for every other item than none."""
NOTHING = "none"
UNTOLD = ("camera", "ESC", "swapHands", "pickItem")
"""Actions that are no keys: the camera, and what has no key here."""


@dataclass(frozen=True)
class Metadata:
    """What is read of ``metadata.json``: whether the task was done, ticks of play, frames of the video."""

    success: bool
    steps: int
    frames: int


def find_minerl(root: Path, environments: Sequence[str] = ()) -> list[Path]:
    """The recordings of the dataset in ``root``, those of the named ``environments`` or of all, in order.

    Raises ``FileNotFoundError`` where ``root`` is no folder, ``RecordingError`` for another version, an environment
    that is not there, an empty folder, or a folder that is no recording of that version.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder")
    version = _version(root / "VERSION")
    present = _folders(root)
    for name in environments:
        require(name in present, root, f"holds no environment {name!r}, but {', '.join(present) or 'none at all'}")
    chosen = environments or tuple(present)
    require(chosen, root, "holds no folder of an environment, such as MineRLTreechop-v0")
    found: list[Path] = []
    for name in chosen:
        recordings = _folders(root / name)
        require(recordings, root / name, "holds no recording")
        for folder in recordings.values():
            known = folder.name.startswith(f"v{version}_")
            require(known, folder, f"is no recording of version {version}: its name does not begin with v{version}_")
            found.append(folder)
    return found


def read_minerl(folder: Path, size: tuple[int, int] = (64, 64), split: str = "train") -> Episode:
    """The episode recorded in ``folder``, its frames at ``size`` (H, W).

    It is terminated where the metadata call it a success and its last step was rewarded, else truncated. Raises
    ``RecordingError`` naming the file that is missing, damaged or at odds with the others.
    """
    for name in (VIDEO, ARRAYS, METADATA):
        require((folder / name).is_file(), folder / name, "is missing")
    metadata = _metadata(folder / METADATA)
    ticks = _ticks(folder / ARRAYS)
    told, count = metadata.steps, metadata.frames
    require(told == len(ticks), folder / METADATA, f"tells of {told} steps, but {ARRAYS} holds {len(ticks)}")
    skip = count - (len(ticks) + 1)
    require(skip >= 0, folder / METADATA, f"tells of {count} frames, too few for the {len(ticks)} steps of {ARRAYS}")
    frames = read_video(folder / VIDEO, count, folder / METADATA, size, skip)
    rewarded = bool(ticks.reward[(len(ticks) - 1) // BLOCK * BLOCK :].any())
    goal = task_of(folder.resolve().parent.name)
    return minecraft_episode(
        frames,
        ticks,
        split=split,
        goal=goal,
        scene=f"{WORLD}, {goal}",
        terminated=metadata.success and rewarded,
    )


def task_of(environment: str) -> str:
    """The task that an environment's id names: "obtain iron pickaxe" for ``MineRLObtainIronPickaxe-v0``."""
    name = re.sub(r"-v\d+$", "", environment).removeprefix("MineRL")
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)).lower()


def _version(path: Path) -> str:
    require(path.is_file(), path, "is missing: give the folder that holds VERSION and the environments")
    text = path.read_text(errors="replace").strip()
    require(text in VERSIONS, path, f"says {text[:20]!r}; this reader knows the versions {' and '.join(VERSIONS)}")
    return text


def _folders(folder: Path) -> dict[str, Path]:
    """Visible folders in ``folder`` by name, in order."""
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")}


def _metadata(path: Path) -> Metadata:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path} is not readable JSON: {short(error)}") from error
    require(isinstance(data, dict), path, "is no JSON object")
    for name in ("duration_steps", "true_video_frame_count"):
        require(type(data.get(name)) is int, path, f"needs a whole number as {name!r}, not {data.get(name)!r}")
    success = str(data.get("success"))  # some releases hold it as text
    require(success in ("True", "False"), path, f"needs true or false as 'success', not {success}")
    return Metadata(success == "True", data["duration_steps"], data["true_video_frame_count"])


def _ticks(path: Path) -> Ticks:
    arrays = _arrays(path)
    require("reward" in arrays, path, "has no array 'reward'")
    reward, camera = arrays["reward"], arrays.get(f"{ACTION}camera")
    require(f"{ACTION}vector" not in arrays, path, "holds obfuscated actions (action$vector), which name no keys")
    if camera is None:
        raise RecordingError(f"{path} has no array '{ACTION}camera'")
    count = len(reward) if reward.ndim == 1 else 0
    require(count > 0, path, f"has an array 'reward' of shape {reward.shape}, not one number a step")
    require(camera.shape == (count, 2), path, f"has {ACTION}camera of shape {camera.shape}, not {(count, 2)}")
    for name, array in (("reward", reward), (f"{ACTION}camera", camera)):
        sound = array.dtype.kind in "fiub" and (np.abs(array.astype(np.float64)) < LIMIT).all()
        require(sound, path, f"holds something in {name!r} that is not finite or no number")
    pitch_yaw = camera.astype(np.float64)  # degrees a tick; down and right are positive
    return Ticks(_keys(path, arrays, count), 0.0 - pitch_yaw[:, ::-1], reward.astype(np.float32))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """``reward`` and the actions. Pickled arrays are refused, so nothing in the file is run."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if name == "reward" or name.startswith(ACTION)}
    except (ValueError, OSError, EOFError, AttributeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordingError(f"{path} is damaged or no archive of plain arrays: {short(error)}") from error


def _keys(path: Path, arrays: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """uint32 ``(N,)`` masks of what was held or done in each tick."""
    keys = np.zeros(count, np.uint32)
    for name, array in arrays.items():
        action = name.removeprefix(ACTION)
        if not name.startswith(ACTION) or action in UNTOLD:
            continue
        require(array.shape == (count,), path, f"has {name!r} of shape {array.shape}, but rewards of {count} steps")
        if action in HELD:
            require(array.dtype.kind in "iub", path, f"has {name!r} as {array.dtype}, not as 0 and 1")
            keys |= np.where(array != 0, HELD[action], 0).astype(np.uint32)
        elif action in CHOSEN:
            require(array.dtype.kind == "U", path, f"has {name!r} as {array.dtype}, not as names of items")
            items, which = np.unique(array, return_inverse=True)
            keys |= np.array([_mask(action, str(item)) for item in items], np.uint32)[which]
        else:
            raise RecordingError(f"{path} holds an action {action!r} that this reader does not know")
    return keys


def _mask(action: str, item: str) -> int:
    masks = CHOSEN[action]
    return 0 if item == NOTHING else masks.get(item, masks.get("", 0))
