"""A world whose every frame says which action made it: the alignment test of every reader and writer.

The action paints an 8x8 block: its colour names the action (red = 8 * action), and the block stands in the
column of the frame inside its video block and in the row of the step (modulo what fits). Everything is a pure
function of (map seed, actions), so a test computes what any stored frame must be.
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from worldsim.captions.facts import EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.worlds import SPLITS, WorldSpec

SPEC = WorldSpec("Paint", 0, "Paint", 4, 20.0, (0, 1, 2, 5, 6, 30, 31), 40, "a canvas", goals=("", "paint it red"))


def background(map_seed: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(map_seed).integers(0, 256, (*size, 3), np.uint8)


def painted(map_seed: int, size: tuple[int, int], step: int, frame: int, action: int) -> np.ndarray:
    """Frame ``frame`` (0 to 3) of the block that ``action`` made at ``step``."""
    picture = background(map_seed, size)
    row = 8 * (step % (size[0] // 8))
    picture[row : row + 8, 8 * frame : 8 * frame + 8] = (8 * action, step % 256, frame)
    return picture


class PaintEnv(gym.Env):
    """Ends (terminated) in the middle of a block after ``map_seed % 20 + 5`` steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}
    spec_world = SPEC
    goals = SPEC.goals

    def __init__(self, split="train", frame_size=(64, 64), fail_at=None, die_at=None, length=None):
        self.split, self.size, self.fail_at, self.die_at = split, tuple(frame_size), fail_at, die_at
        self.fixed_length = length
        self.observation_space = gym.spaces.Box(0, 255, (*self.size, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        options = options or {}
        self.map_seed = options.get("map_seed", int(self.np_random.integers(*SPLITS[self.split])))
        self.goal = options.get("goal", "")
        self.t = 0
        self.length = self.fixed_length or self.map_seed % 20 + 5
        self.last_action = None
        frame = background(self.map_seed, self.size)
        return frame, self._info(frame[None], 1)

    def step(self, action):
        if self.fail_at == self.t:
            raise RuntimeError("the paint has run out")
        if self.die_at == self.t:
            import os

            os._exit(7)
        end = self.t + 1 == self.length
        n = 2 if end else 4
        frames = [painted(self.map_seed, self.size, self.t, j, action) for j in range(n)]
        frames += [frames[-1]] * (4 - n)
        self.t += 1
        self.last_action = action
        return frames[-1].copy(), float(action) / 4, end, False, self._info(np.stack(frames), n)

    def _info(self, frames, n):
        c2w = np.eye(4)
        c2w[:3, 3] = (self.t, -self.t, 0.5)
        return {
            "frames": frames,
            "n_frames": n,
            "goal": self.goal,
            "truth": {"camera": {"c2w": c2w, "yaw": float(self.t), "pitch": 0.0}},
            "caption": {"scene": f"canvas {self.map_seed}", "view": f"view {self.t}", "event": self._event()},
            "events": [],
        }

    def _event(self):
        return "" if self.last_action in (None, 0) else f"action {self.last_action}"

    def facts(self):
        scene = SceneFacts("Paint", "a canvas", 1, (Surface("red", "brick"),), (Thing("box", "blue", 2),))
        events = (EventFact("push", "blue", "box"),) if self.last_action == 1 else ()
        return scene, ViewFacts(wall=Surface("red"), things=(Thing("box", near=True),)), events


gym.register(id="Paint-v0", entry_point="paint_world:PaintEnv")


def expect_aligned(episode) -> None:
    """Every frame of an episode (or clip from ``episode.pose[0, 0]`` on) is what its action painted."""
    start = int(episode.pose[0, 0])
    for t, action in enumerate(episode.actions):
        for j in range(4):
            frame = min(j, int(episode.n_frames[t]) - 1)
            wanted = painted(episode.map_seed, episode.frame_size, start + t, frame, int(action))
            np.testing.assert_array_equal(episode.blocks[t, j], wanted)
    assert episode.reward.tolist() == [a / 4 for a in episode.actions]
    assert episode.views == [f"view {start + t}" for t in range(len(episode) + 1)]
    assert episode.events[1:] == ["" if a == 0 else f"action {a}" for a in episode.actions]
    np.testing.assert_array_equal(episode.pose[:, 3], np.arange(start, start + len(episode) + 1, dtype=np.float32))
