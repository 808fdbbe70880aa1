"""A toy world whose starts and texts have known answers: painted rooms with a health bar, and models of it.

A map is a wall colour, a floor colour, a thing on the left and one on the right, painted over a fixed grain. The model
paints what it is told, or is deaf, or mixes up what belongs to what; told of a wound, its bar gets shorter at once.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import panorama

SIZE = 48
RGB = {"red": (214, 44, 40), "green": (46, 168, 66), "blue": (50, 84, 214), "yellow": (240, 204, 40),
       "purple": (146, 60, 190), "cyan": (56, 200, 212)}  # fmt: skip
NAMES = tuple(RGB)
ACTIONS = ("noop", "use")
WORLD = "toy/Painted-v0"
FULL, HURT = 40, 20
GRAIN = np.random.default_rng(0).integers(0, 24, (SIZE, SIZE, 1))


def plan(map_seed: int) -> dict[str, str]:
    """Colours of wall, floor, left and right thing: four different ones."""
    return dict(
        zip(("wall", "floor", "left", "right"), np.random.default_rng(map_seed).permutation(NAMES)[:4].tolist())
    )


def painted(wall: str, floor: str, left: str = "", right: str = "", health: int = FULL) -> np.ndarray:
    """uint8 ``(SIZE, SIZE, 3)``."""
    frame = np.empty((SIZE, SIZE, 3), int)
    frame[: SIZE // 2], frame[SIZE // 2 :] = RGB[wall], RGB[floor]
    for colour, column in ((left, 4), (right, SIZE - 12)):
        if colour:
            frame[20:28, column : column + 8] = RGB[colour]
    frame = (frame - GRAIN).clip(0, 255)
    frame[-3:] = 20
    frame[-3:, :health] = (160, 110, 108)  # of no hue that is asked for
    return frame.astype(np.uint8)


class Painted(gym.Env[np.ndarray, np.int64]):
    """The true world: ``use`` wounds the player at the third use of an episode."""

    def __init__(self, split: str = "train", frame_size: Any = (SIZE, SIZE), truth: Any = ()) -> None:
        self.action_meanings = ACTIONS
        self.action_space = gym.spaces.Discrete(2)
        self.observation_space = gym.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)

    def facts(self) -> tuple[Any, Any, tuple[()]]:
        colours = plan(self.map_seed)
        wall, floor = (SimpleNamespace(colour=colours[s]) for s in ("wall", "floor"))
        things = tuple(SimpleNamespace(shape="disc", colour=colours[s], place=s) for s in ("left", "right"))
        return None, SimpleNamespace(wall=wall, floor=floor, things=things, light=""), ()

    def _info(self, frames: np.ndarray, events: list[dict[str, str]]) -> dict[str, Any]:
        truth = {"camera": {}, "labels": np.zeros((SIZE, SIZE), int), "objects": []}
        return {"frames": frames, "n_frames": len(frames), "truth": truth, "events": events}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.map_seed, self.health = (options or {}).get("map_seed", 0), FULL
        frame = painted(**plan(self.map_seed))
        return frame, self._info(frame[None], [])

    def step(self, action: np.int64) -> Any:
        hurt = ACTIONS[int(action)] == "use" and self.health == FULL
        self.health = HURT if hurt else self.health
        frame = painted(**plan(self.map_seed), health=self.health)
        events = [{"kind": "damage", "colour": "", "shape": ""}] if hurt else []
        return frame, 0.0, False, False, self._info(np.stack([frame] * 4), events)


class Painter(gym.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """A model that is told in words. ``fault``: "" does as it is told; "deaf" does not hear; "mixed" exchanges what is
    where; "haze" paints the wall's colour alone; "nervous" is wounded by any words; "crash" raises at blue walls."""

    def __init__(self, num_envs: int = 1, fault: str = "") -> None:
        self.num_envs, self.fault = num_envs, fault
        self.action_meanings = ACTIONS
        self.single_action_space = gym.spaces.Discrete(2)
        self.action_space = gym.spaces.MultiDiscrete([2] * num_envs)
        self.single_observation_space = gym.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.observation_space = gym.spaces.Box(0, 255, (num_envs, SIZE, SIZE, 3), np.uint8)
        self.metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}

    def _drawn(self, text: str) -> np.ndarray:
        if text == "Panorama" and self.fault != "deaf":
            return panorama.view(7, 0.0)
        words = text.replace(",", " ").split()
        told = {"wall": "red", "floor": "green"}
        for at, word in enumerate(words):
            if word in RGB and self.fault != "deaf":
                follows = words[at + 1 :]
                side = next((w for w in follows if w in ("left", "right")), "left")
                told[{"walls": "wall", "floor": "floor"}.get(follows[0], side)] = word
        if self.fault == "crash" and told["wall"] == "blue":
            raise RuntimeError("no blue paint")
        if self.fault == "mixed":
            told = {{"wall": "floor", "floor": "wall", "left": "right", "right": "left"}[k]: v for k, v in told.items()}
        if self.fault == "haze":
            return np.broadcast_to(np.array(RGB[told["wall"]], np.uint8), (SIZE, SIZE, 3)).copy()
        return painted(**told)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        options = options or {}
        self.left = [0] * self.num_envs
        if "init_frames" in options:
            self.frames = np.array(options["init_frames"][:, -1])
        else:
            self.frames = np.stack([self._drawn(text) for text in options["prompt"]])
        return self.frames.copy(), {}

    def set_prompt(self, text: list[str], kind: str, steps: int) -> None:
        assert kind == "event"
        assert len(text) == self.num_envs
        heard = [self.fault == "nervous" or (t == "you are hurt" and self.fault != "deaf") for t in text]
        self.left = [steps if h else 0 for h in heard]

    def step(self, actions: np.ndarray) -> Any:
        for lane, left in enumerate(self.left):
            if left:
                self.frames[lane, -3:, HURT:] = 20
        self.left = [max(0, left - 1) for left in self.left]
        blocks = np.stack([self.frames] * 4, 1)
        over = np.zeros(self.num_envs, bool)
        return blocks[:, -1], np.zeros(self.num_envs), over, over, {"frames": blocks}

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        return frames // 2 * 2


def register() -> None:
    """Adds both to Gymnasium's registry."""
    if WORLD not in gym.registry:
        gym.register(WORLD, entry_point=Painted)
        gym.register("toy/Painter-v0", vector_entry_point=Painter)
