"""The checker accepts correct vector environments and names the fault of each broken one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from true_episodes import needs
from worldsim_envs.checker import Tolerance, VectorEnvError, check_vector_env

LIMIT = 6
SIZE = (8, 8, 3)


def picture(seed: int, step: int, history: int) -> np.ndarray:
    """A frame that is different for every seed, step and history of actions."""
    return np.random.default_rng((seed, step, history)).integers(0, 256, SIZE).astype(np.uint8)


class Toy(gym.Env[np.ndarray, np.int64]):
    """A world of noise that follows from its seed and actions."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 255, SIZE, np.uint8)
        self.action_space = spaces.Discrete(4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if options:
            raise ValueError(f"unknown options {sorted(options)}")
        self.episode, self.t, self.history = int(self.np_random.integers(2**31)), 0, 0
        return picture(self.episode, 0, 0), {"step": 0}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if not isinstance(action, int | np.integer) or not 0 <= action < 4:
            raise ValueError(f"{action!r} is not in Discrete(4)")
        self.t, self.history = self.t + 1, self.history * 5 + int(action) + 1
        observation = picture(self.episode, self.t, self.history)
        return observation, float(observation[0, 0, 0]), False, self.t >= LIMIT, {"step": self.t}


class ToyVector(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """``Toy`` as a vector environment of its own, with one ``defect`` or none."""

    def __init__(self, num_envs: int, mode: AutoresetMode, defect: str = "") -> None:
        self.num_envs, self.mode, self.defect = num_envs, mode, defect
        self.autoreset_mode = AutoresetMode.NEXT_STEP if defect == "attribute" else mode
        self.metadata = {"autoreset_mode": mode.value if defect == "metadata" else mode}
        self.single_observation_space = spaces.Box(0, 255, SIZE, np.uint8)
        self.single_action_space = spaces.Discrete(4)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        if defect == "space":
            self.observation_space = spaces.Box(0, 1, (num_envs, *SIZE), np.float32)
        self.rngs = [seeding.np_random()[0] for _ in range(num_envs)]
        self.shared = np.random.default_rng(1)
        self.episode = np.zeros(num_envs, np.int64)
        self.t = np.zeros(num_envs, np.int64)
        self.history = [0] * num_envs
        self.over = np.zeros(num_envs, bool)
        self.buffer = np.zeros((num_envs, *SIZE), np.uint8)
        self.mask_buffer = np.zeros(num_envs, bool)

    def observe(self) -> np.ndarray:
        pictures = [picture(int(e), int(t), h) for e, t, h in zip(self.episode, self.t, self.history)]
        if self.defect == "dtype":
            return np.stack(pictures).astype(np.float32)
        if self.defect == "buffer":
            self.buffer[:] = pictures
            return self.buffer
        return np.stack(pictures)

    def info(self, mask: np.ndarray) -> dict[str, Any]:
        info = {"step": self.t.copy(), "_step": mask.copy()}
        if self.defect == "no mask":
            del info["_step"]
        if self.defect == "info rows":
            info["step"] = info["step"][:1]
        if self.defect == "info mask":
            info["_step"] = np.ones(self.num_envs, bool)
        if self.defect == "info buffer":
            self.mask_buffer[:] = mask
            self.mask_buffer[0] = self.t[0] % 2
            info["_step"] = self.mask_buffer
        return info

    def begin(self, lane: int) -> None:
        rng = self.shared if self.defect == "shared generator" else self.rngs[lane]
        self.episode[lane] = int(rng.integers(2**31))
        self.t[lane], self.history[lane], self.over[lane] = 0, 0, False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        options = options or {}
        if self.defect != "options" and set(options) - {"reset_mask"}:
            raise ValueError(f"unknown options {sorted(options)}")
        mask = options.get("reset_mask")
        if self.defect == "options popped":
            options.pop("reset_mask", None)
        mask = np.ones(self.num_envs, bool) if mask is None else mask
        if mask.dtype != bool or mask.shape != (self.num_envs,) or not (mask.any() or self.defect == "empty mask"):
            raise ValueError("reset_mask")
        mask = np.ones(self.num_envs, bool) if self.defect == "mask ignored" else mask
        for lane in np.flatnonzero(mask):
            if seed is not None:
                own = seed if self.defect == "one seed" else seed + int(lane)
                own += self.num_envs if self.defect == "seeds by count" else 0
                self.rngs[lane] = seeding.np_random(own)[0]
            self.begin(int(lane))
        return self.observe(), self.info(mask)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        n = self.num_envs
        if self.defect == "actions unchecked":
            actions = np.resize(actions, n)
        elif self.defect == "actions rounded":
            actions = np.asarray(actions, np.int64)
        if actions.shape != (n,) or actions.dtype.kind != "i":
            raise ValueError("actions")
        if self.defect != "actions unchecked" and ((actions < 0) | (actions >= 4)).any():
            raise ValueError("actions")
        if self.defect == "actions written":
            actions[:] = 0
        resetting = self.over.copy()
        if self.mode is AutoresetMode.SAME_STEP:
            resetting[:] = False
        elif self.mode is AutoresetMode.DISABLED and resetting.any():
            raise RuntimeError("reset first")
        for lane in range(n):
            if resetting[lane]:
                self.begin(lane)
                if self.defect == "action after end":
                    self.history[lane] += int(actions[lane])
                continue
            self.t[lane] += 1
            mixed = int(actions.sum()) if self.defect == "neighbours" else int(actions[lane])
            self.history[lane] = self.history[lane] * 5 + mixed + 1
            if self.defect == "not repeatable":
                self.history[lane] += int(self.shared.integers(9))
        observation = self.observe()
        reward = observation[:, 0, 0, 0].astype(np.float32)
        reward[resetting] = 1.0 if self.defect == "reward at reset" else 0.0
        if self.defect == "reward type":
            reward = reward.astype(np.int64)
        if self.defect == "nan":
            reward[0] = np.nan
        truncated = (self.t >= LIMIT) & ~resetting
        terminated = (
            truncated.copy() if self.defect == "flag by mode" and self.mode.name == "SAME_STEP" else truncated & False
        )
        truncated = truncated & ~terminated
        done = terminated | truncated
        info = self.info(np.ones(n, bool))
        self.over = done.copy()
        if self.mode is AutoresetMode.SAME_STEP and done.any() and self.defect != "no final obs":
            final = observation.copy()
            kept = dict(info)
            for lane in np.flatnonzero(done):
                self.begin(int(lane))
            observation = self.observe()
            if self.defect == "final obs of next":
                final = observation.copy()
            if self.defect == "object final obs":
                final = np.array([*final, None], object)[:-1]
            mask = np.ones(n, bool) if self.defect == "final mask" else done.copy()
            info = self.info(np.ones(n, bool)) | {"final_obs": final, "_final_obs": mask}
            info |= {"final_info": kept, "_final_info": done.copy()}
        if self.mode is AutoresetMode.NEXT_STEP and done.any() and self.defect == "last frame lost":
            for lane in np.flatnonzero(done):
                self.begin(int(lane))
            self.over = done.copy()
            observation = self.observe()
        return observation, reward, terminated, truncated, info


DEFECTS = {
    "attribute": "attribute autoreset_mode",
    "metadata": "metadata",
    "space": "observation_space",
    "dtype": "observation is",
    "no mask": "needs its mask",
    "info rows": "an array with 3 rows",
    "info mask": "reset were",
    "buffer": "written again|shares memory",
    "info buffer": "written again|shares memory",
    "actions written": "wrote into the action",
    "not repeatable": "same seed and actions again",
    "neighbours": "neighbours act otherwise",
    "actions unchecked": "must raise ValueError",
    "actions rounded": "float actions",
    "options": "unknown reset option",
    "options popped": "caller's options",
    "empty mask": "all-False reset_mask",
    "mask ignored": "masked reset",
    "one seed": "against one lane seeded",
    "seeds by count": "against one lane seeded",
    "shared generator": "same seed and actions again",
    "reward type": "float array",
    "nan": "finite",
    "reward at reset": "reward 0 and no flag",
    "action after end": "other action while it resets",
    "flag by mode": "terminated is",
    "no final obs": "final_obs",
    "final mask": "final_obs",
    "final obs of next": "final observation differs",
    "object final obs": "dense",
    "last frame lost": "final observation differs",
}


def test_a_correct_vector_environment_passes() -> None:
    check_vector_env(ToyVector, make_single=Toy, max_steps=10)


def test_gymnasium_s_own_vector_environment_passes() -> None:
    check_vector_env(
        lambda n, mode: SyncVectorEnv([Toy] * n, autoreset_mode=mode),
        make_single=Toy,
        max_steps=10,
        like_sync=True,
    )


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_fault_is_found_and_named(defect: str) -> None:
    with pytest.raises(VectorEnvError, match=DEFECTS[defect]):
        check_vector_env(lambda n, mode: ToyVector(n, mode, defect), make_single=Toy, max_steps=10)


def test_a_difference_within_the_tolerance_is_accepted() -> None:
    class Louder(Toy):
        def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            observation, *rest = super().step(action)
            return np.where(observation < 255, observation + 1, 254).astype(np.uint8), *rest  # type: ignore[return-value]

    with pytest.raises(VectorEnvError, match="against a single environment"):
        check_vector_env(ToyVector, make_single=Louder, max_steps=10)
    check_vector_env(ToyVector, make_single=Louder, max_steps=10, tolerance=Tolerance(obs=1))


def test_an_environment_whose_episodes_do_not_end_is_refused() -> None:
    with pytest.raises(VectorEnvError, match="no episode ended within 3 steps"):
        check_vector_env(ToyVector, steps=2, max_steps=3)


def test_comparing_lanes_needs_two_of_them() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        check_vector_env(ToyVector, num_envs=1)


@pytest.mark.slow
@pytest.mark.parametrize("world", ["DoomBasic", "Table", "Scene", "Crafter", "Blocks"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_true_world_passes(world: str, mode: AutoresetMode) -> None:
    needs(world)
    from worldsim_envs.vector import TrueVectorEnv

    import worldsim  # noqa: F401  (registers the environments)

    def make() -> gym.Env:
        return gym.make(f"worldsim/{world}-v0", time_limit=6, disable_env_checker=True)

    check_vector_env(
        lambda n, m: TrueVectorEnv([make] * n, autoreset_mode=m),
        make_single=make,
        modes=[mode],
        num_envs=2,
        max_steps=8,
        info_shapes={"frames": (4, 64, 64, 3)},
    )
