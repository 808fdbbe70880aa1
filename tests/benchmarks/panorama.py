"""A toy world whose answers are known: a panorama that is turned, with rewards, ends, prompts and init
frames.

The camera stands in the middle of a cylinder painted by the map seed. ``Panorama`` is the true world,
``PanoramaModel`` a learned environment that goes on from given frames: it knows the map (it is a perfect
model), or is broken on demand.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import gymnasium as gym
import numpy as np

NAMES = (
    "noop", "forward", "backward", "strafe_left", "strafe_right", "turn_left", "turn_right",
    "turn_left_small", "turn_right_small", "forward+turn_left", "forward+turn_right", "use",
)  # fmt: skip
SIZE = 48
FOV = 60.0
TURNS = {"turn_left": 14.0, "turn_right": -14.0, "turn_left_small": 3.5, "turn_right_small": -3.5}
RADIUS = 5.0
SEEDS = range(2_000_000, 2_000_003)


def intrinsics() -> np.ndarray:
    focal = SIZE / 2 / np.tan(np.radians(FOV / 2))
    return np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])


@lru_cache(maxsize=256)
def cylinder(seed: int) -> np.ndarray:
    """uint8 ``(64, 720, 3)``: two pixels per degree."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (8, 60, 3), dtype=np.uint8)
    return cv2.GaussianBlur(cv2.resize(blocks, (720, 64), interpolation=cv2.INTER_CUBIC), (0, 0), 1.0)


def view(seed: int, yaw: float) -> np.ndarray:
    """A fresh copy of ``drawn``."""
    return drawn(seed, round(yaw, 3)).copy()


@lru_cache(maxsize=8192)
def drawn(seed: int, yaw: float) -> np.ndarray:
    """What the camera sees at a heading (degrees, anticlockwise), uint8 ``(SIZE, SIZE, 3)``."""
    K = intrinsics()
    u, v = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    x = (u - K[0, 2]) / K[0, 0]
    azimuth = (yaw - np.degrees(np.arctan(x))) % 360
    height = (v - K[1, 2]) / K[1, 1] / np.hypot(1, x)
    picture = cylinder(seed)
    padded = np.concatenate([picture, picture[:, :2]], 1)
    return cv2.remap(
        padded, (azimuth * 2).astype(np.float32), ((height + 0.75) * 42).astype(np.float32), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


class Panorama(gym.Env[np.ndarray, np.int64]):
    """True world: turns turn; ``use`` pays 1 and, three times in a row, ends the episode."""

    def __init__(self, split: str = "train", frame_size: Any = (SIZE, SIZE), truth: Any = ()) -> None:
        self.action_meanings = NAMES
        self.action_space = gym.spaces.Discrete(len(NAMES))
        self.observation_space = gym.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.depth = "depth" in truth

    def _info(self, frames: np.ndarray) -> dict[str, Any]:
        yaw = np.radians(self.yaw)
        c2w = np.eye(4)
        c2w[:3, 0], c2w[:3, 1] = (np.sin(yaw), -np.cos(yaw), 0), (0, 0, -1)
        c2w[:3, 2] = (np.cos(yaw), np.sin(yaw), 0)
        truth: dict[str, Any] = {"camera": {"K": intrinsics(), "c2w": c2w, "yaw": self.yaw % 360}}
        if self.depth:
            x = (np.arange(SIZE) + 0.5 - SIZE / 2) / intrinsics()[0, 0]
            truth["depth"] = np.tile(RADIUS / np.hypot(1, x), (SIZE, 1)).astype(np.float32)
        return {"frames": frames, "n_frames": len(frames), "truth": truth, "events": []}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.seed, self.yaw, self.used = (options or {}).get("map_seed", 0), 0.0, 0
        frame = view(self.seed, 0.0)
        return frame, self._info(frame[None])

    def step(self, action: np.int64) -> Any:
        name = NAMES[int(action)]
        turn = TURNS.get(name, 0.0)
        frames = np.stack([view(self.seed, self.yaw + turn * (i + 1) / 4) for i in range(4)])
        self.yaw += turn
        self.used = self.used + 1 if name == "use" else 0
        return frames[-1], float(name == "use"), self.used == 3, False, self._info(frames)


class PanoramaModel(gym.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """A vectorised model of it that reads the map's seed and the heading off the given frames and actions.

    ``gain`` scales its turns; ``forget`` makes it paint another world.
    """

    def __init__(self, num_envs: int = 1, gain: float = 1.0, forget: bool = False, obs_type: str = "rgb") -> None:
        self.num_envs, self.gain, self.forget = num_envs, gain, forget
        self.action_meanings = NAMES
        self.single_action_space = gym.spaces.Discrete(len(NAMES))
        self.action_space = gym.spaces.MultiDiscrete([len(NAMES)] * num_envs)
        shape = (num_envs, SIZE, SIZE, 3) if obs_type == "rgb" else (num_envs, 4, 6, 6)
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
        self.single_observation_space = gym.spaces.Box(0, 255, shape[1:], np.uint8)
        self.metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}
        self.last_predictions: dict[str, np.ndarray] = {}

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        assert options is not None
        frames, actions = options["init_frames"], options["init_actions"]
        assert frames.shape[:2] == (self.num_envs, 1 + 4 * actions.shape[1]) or frames.shape[1] == 4 * actions.shape[1]
        self.seeds, self.yaws, self.used = [], [], [0] * self.num_envs
        for lane in range(self.num_envs):
            candidates = [
                (cv2.norm(drawn(s, float(y)), frames[lane, -1], cv2.NORM_L1), s, y)
                for s in SEEDS
                for y in np.arange(-126, 127, 3.5)
            ]
            _, found, yaw = min(candidates)
            self.seeds.append(found + 77 * self.forget)
            self.yaws.append(float(yaw))
            for a in actions[lane]:
                self.used[lane] = self.used[lane] + 1 if NAMES[a] == "use" else 0
        return frames[:, -1].copy(), {}

    def step(self, actions: np.ndarray) -> Any:
        turns = [self.gain * TURNS.get(NAMES[a], 0.0) for a in actions]
        frames = np.stack([
            np.stack([view(s, y + t * (i + 1) / 4) for i in range(4)])
            for s, y, t in zip(self.seeds, self.yaws, turns)
        ])  # fmt: skip
        self.yaws = [y + t for y, t in zip(self.yaws, turns)]
        use = np.array([NAMES[a] == "use" for a in actions])
        self.used = [u + 1 if now else 0 for u, now in zip(self.used, use)]
        over = np.array([u >= 3 for u in self.used])
        self.last_predictions = {
            "termination": np.where(over, 0.9, 0.1).astype(np.float32),
            "reward_distribution": np.stack([np.where(use, 0.1, 0.8), np.where(use, 0.9, 0.2)], 1),
            "reward_values": np.array([0.0, 1.0]),
        }
        return frames[:, -1], use.astype(float), over, np.zeros(self.num_envs, bool), {"frames": frames}

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        return frames // 2 * 2


def register() -> None:
    """Adds both to Gymnasium's registry."""
    if "toy/Panorama-v0" not in gym.registry:
        gym.register("toy/Panorama-v0", entry_point=Panorama)
        gym.register("toy/Model-v0", vector_entry_point=PanoramaModel)
