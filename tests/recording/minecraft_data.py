"""Small recordings of Minecraft in the layouts of MineRL and VPT, in which each picture tells the tick that led to it.

Tick i has one of the ``DEEDS``; the frame after it is a grey whose level is the deed's. So what a reader must make of
the ticks of a block can be read from its pictures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

DEEDS: tuple[tuple[tuple[str, ...], tuple[float, float]], ...] = (
    ((), (0, 0)),
    (("forward",), (0, 0)),
    (("backward", "sneak"), (0, 0)),
    (("strafe_left",), (3.0, 0)),
    (("strafe_right", "jump"), (-1.5, 0)),
    (("attack",), (0, 4.5)),
    (("use",), (0, -0.75)),
    (("forward", "sprint"), (-6.0, 2.25)),
    (("drop",), (0, 0)),
    (("inventory",), (0, 0)),
)
"""Keys held, and camera motion (yaw, pitch in degrees, left and up positive; whole pixels of VPT's mouse)."""

MINERL_NAMES = {"backward": "back", "strafe_left": "left", "strafe_right": "right"}
VPT_NAMES = {
    "forward": "key.keyboard.w", "backward": "key.keyboard.s", "strafe_left": "key.keyboard.a",
    "strafe_right": "key.keyboard.d", "jump": "key.keyboard.space", "sneak": "key.keyboard.left.shift",
    "sprint": "key.keyboard.left.control", "drop": "key.keyboard.q", "inventory": "key.keyboard.e",
}  # fmt: skip


def draw_deeds(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, len(DEEDS), count).tolist()


def level(deed: int) -> int:
    """Grey level of the frame that a deed leads to."""
    return 24 + 20 * deed


def deeds_in(frames: np.ndarray) -> list[int]:
    """Which deeds led to frames ``(F, H, W, 3)``."""
    levels = frames.reshape(len(frames), -1).astype(float)
    assert (levels.max(1) - levels.min(1) < 8).all()
    return np.round((levels.mean(1) - 24) / 20).astype(int).tolist()


def write_frames(path: Path, frames: np.ndarray, codec: str = "libx264") -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=20)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = {"crf": "8"} if codec == "libx264" else {"q:v": "2"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def greys(levels: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), *size, 3))


def minerl_arrays(deeds: Sequence[int]) -> dict[str, np.ndarray]:
    """``rendered.npz`` of the deeds, with all of the keys that a deed has."""
    names = sorted({key for keys, _ in DEEDS for key in keys})
    arrays: dict[str, np.ndarray] = {
        f"action${MINERL_NAMES.get(name, name)}": np.array([int(name in DEEDS[d][0]) for d in deeds]) for name in names
    }
    camera = np.array([DEEDS[d][1] for d in deeds], np.float32).reshape(-1, 2)
    arrays["action$camera"] = np.stack([-camera[:, 1], -camera[:, 0]], axis=1)
    arrays["reward"] = np.zeros(len(deeds), np.float32)
    arrays["observation$inventory$log"] = np.arange(len(deeds) + 1)
    return arrays


def write_minerl(
    root: Path,
    deeds: Sequence[int],
    *,
    name: str = "v4_brave_fox-1_10-20",
    environment: str = "MineRLTreechop-v0",
    version: str = "4",
    before: int = 3,
    arrays: Mapping[str, np.ndarray | None] | None = None,
    metadata: Mapping[str, Any] | None = None,
    size: tuple[int, int] = (64, 64),
) -> Path:
    """One recording, ``before`` frames of which were shot before the play; ``None`` takes an array or a fact away."""
    folder = root / environment / name
    folder.mkdir(parents=True)
    (root / "VERSION").write_text(version)
    write_frames(folder / "recording.mp4", greys([255] * before + [8] + [level(d) for d in deeds], size))
    held = minerl_arrays(deeds) | dict(arrays or {})
    np.savez_compressed(folder / "rendered.npz", **{key: value for key, value in held.items() if value is not None})
    told = {
        "success": False,
        "duration_ms": 50 * len(deeds),
        "duration_steps": len(deeds),
        "total_reward": 0.0,
        "stream_name": name,
        "true_video_frame_count": before + 1 + len(deeds),
    } | dict(metadata or {})
    (folder / "metadata.json").write_text(json.dumps({k: v for k, v in told.items() if v is not None}))
    return folder


def vpt_line(
    keys: Sequence[str] = (),
    mouse: Mapping[str, Any] | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """A line of VPT in full, with what differs from an idle tick."""
    pointer = {
        "x": 640.0, "y": 360.0, "dx": 0.0, "dy": 0.0, "scaledX": 0.0, "scaledY": 0.0, "dwheel": 0.0,
        "buttons": [], "newButtons": [],
    }  # fmt: skip
    return {
        "mouse": pointer | dict(mouse or {}),
        "keyboard": {"keys": list(keys), "newKeys": [], "chars": ""},
        "isGuiOpen": False, "isGuiInventory": False, "hotbar": 0, "yaw": 0.0, "pitch": 0.0, "tick": 0,
        "milli": 1649575088006, "inventory": [], "stats": {},
    } | rest  # fmt: skip


def vpt_lines(deeds: Sequence[int]) -> list[dict[str, Any]]:
    """A line for each deed, and one more whose outcome was not recorded."""
    lines = []
    for deed in (*deeds, 7):
        held, (yaw, pitch) = DEEDS[deed]
        buttons = [n for n, key in enumerate(("attack", "use")) if key in held]
        mouse = {"dx": -yaw / 0.15, "dy": -pitch / 0.15, "buttons": buttons}
        lines.append(vpt_line([VPT_NAMES[key] for key in held if key in VPT_NAMES], mouse))
    return lines


def write_vpt(
    folder: Path,
    deeds: Sequence[int],
    *,
    name: str = "cheeky-otter-02e496ce4abb-20220421-092639",
    lines: Sequence[Any] | None = None,
    size: tuple[int, int] = (36, 64),
    codec: str = "libx264",
) -> Path:
    """One recording; returns its video."""
    folder.mkdir(parents=True, exist_ok=True)
    video = folder / f"{name}.mp4"
    write_frames(video, greys([8, *(level(d) for d in deeds)], size), codec)
    told = vpt_lines(deeds) if lines is None else lines
    texts = [line if isinstance(line, str) else json.dumps(line) for line in told]
    video.with_suffix(".jsonl").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return video


def expect_told_by_pictures(episode: Any) -> None:
    """Keys, camera and number of frames of every step are those of the deeds that its pictures show."""
    from worldsim.actions import KEY_BIT

    for t in range(len(episode)):
        deeds = deeds_in(episode.blocks[t, : episode.n_frames[t]])
        keys = {key for d in deeds for key in DEEDS[d][0]}
        assert episode.keys[t] == sum(1 << KEY_BIT[key] for key in keys), (t, deeds)
        wanted = np.sum([DEEDS[d][1] for d in deeds], axis=0)
        np.testing.assert_allclose(episode.camera[t], wanted, atol=1e-4, err_msg=f"step {t}: {deeds}")
