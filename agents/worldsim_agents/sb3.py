"""Stable-Baselines3 sees a Gymnasium vector environment as one of its own.

SB3 speaks `VecEnv`, whose lanes reset inside `step`; it has no adapter for `gymnasium.vector`, so a natively
batched world (one model, N lanes) could only be used N times over. `SB3VecEnv` translates: what comes out
equals SB3's `DummyVecEnv` over the same single environments, bit for bit. What matters most is
`TimeLimit.truncated` beside `terminal_observation`: with a wrong flag PPO bootstraps from the wrong value.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

Indices = int | Iterable[int] | None


class SB3VecEnv(VecEnv):
    """A `gymnasium.vector.VectorEnv` with `AutoresetMode.SAME_STEP`, as a Stable-Baselines3 `VecEnv`.

    Rewards are float32 ``(N,)``, `dones` bool ``(N,)``; the infos are a list of N dicts, which after an
    episode's end hold the last step's info with ``terminal_observation`` and ``TimeLimit.truncated``, while
    ``reset_infos`` holds that of the new episode. `seed(s)` gives lane i the seed s + i at the next `reset`,
    and `set_options` its options.

    Attributes and methods are those of the lanes where the environment has lanes of its own
    (`SyncVectorEnv`). A natively batched environment has one object for all lanes: `get_attr` and
    `env_method` repeat its answer, a method with a ``lanes`` argument gets the indices, and anything else for
    some of the lanes raises ``ValueError``.
    """

    def __init__(self, env: VectorEnv) -> None:
        mode = env.metadata.get("autoreset_mode", getattr(env, "autoreset_mode", None))
        if mode is None or AutoresetMode(mode) is not AutoresetMode.SAME_STEP:
            raise ValueError(
                f"the vector environment has autoreset mode {mode}; Stable-Baselines3 needs its lanes to "
                "reset inside step: make it with autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP"
            )
        self.env = env
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.metadata = env.metadata

    def reset(self) -> VecEnvObs:
        seeds, options = list(self._seeds), self._options
        if any(other != options[0] for other in options[1:]):
            raise ValueError(
                "the lanes of a vector environment are reset with one options dict, but set_options was "
                "given different ones: give one dict (an entry may itself be a list of one value per lane)"
            )
        first = seeds[0]
        consecutive = first is not None and seeds == list(range(first, first + self.num_envs))
        unseeded = all(seed is None for seed in seeds)
        obs, infos = self.env.reset(
            seed=None if unseeded else first if consecutive else seeds,  # type: ignore[arg-type]
            options=deepcopy(options[0]) or None,
        )
        self.reset_infos = [lane_info(infos, i, self.num_envs) for i in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        obs, rewards, terminated, truncated, infos = self.env.step(self._actions)
        dones = np.logical_or(terminated, truncated)
        lanes = []
        for i in range(self.num_envs):
            info = lane_info(infos, i, self.num_envs)
            final_obs, final_info = info.pop("final_obs", None), info.pop("final_info", None)
            if dones[i]:
                if final_obs is None:
                    raise ValueError(f"lane {i} ended its episode, but the info of its step holds no final_obs")
                self.reset_infos[i] = info
                info = dict(final_info or {})
                info["terminal_observation"] = final_obs
            info["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
            lanes.append(info)
        return obs, np.asarray(rewards, np.float32), dones, lanes

    def close(self) -> None:
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        images = self.env.render() if self.render_mode == "rgb_array" else None
        return [None] * self.num_envs if images is None else [np.asarray(image) for image in images]

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        wanted = list(self._get_indices(indices))
        if self._lanes is not None:
            return [self._lanes[i].get_wrapper_attr(attr_name) for i in wanted]
        return [_attribute(self.env, attr_name)] * len(wanted)

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        wanted = list(self._get_indices(indices))
        if self._lanes is not None:
            for i in wanted:
                setattr(self._lanes[i], attr_name, value)
            return
        self._refuse_some(f"attribute {attr_name!r} cannot be set", wanted)
        setattr(self.env.unwrapped, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:
        wanted = list(self._get_indices(indices))
        if self._lanes is not None:
            return [self._lanes[i].get_wrapper_attr(method_name)(*args, **kwargs) for i in wanted]
        method = _attribute(self.env, method_name)
        if indices is not None and "lanes" in inspect.signature(method).parameters:
            kwargs["lanes"] = wanted
        else:
            self._refuse_some(f"method {method_name!r} cannot be called", wanted)
        return [method(*args, **kwargs)] * len(wanted)

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Indices = None) -> list[bool]:
        wanted = list(self._get_indices(indices))
        if self._lanes is not None:
            return [is_wrapped(self._lanes[i], wrapper_class) for i in wanted]
        return [False] * len(wanted)

    @property
    def _lanes(self) -> list[gym.Env] | None:
        """The single environments, where the vector environment is made of such."""
        return getattr(self.env.unwrapped, "envs", None)

    def _refuse_some(self, what: str, wanted: list[int]) -> None:
        if sorted(wanted) != list(range(self.num_envs)):
            raise ValueError(f"{what} for lanes {wanted} alone: all {self.num_envs} lanes are one batched environment")


def _attribute(env: VectorEnv, name: str) -> Any:
    """``name`` of the outermost wrapper that has it (a vector wrapper does not forward attributes)."""
    layer: Any = env
    while not hasattr(layer, name) and layer is not layer.unwrapped:
        layer = layer.env
    return getattr(layer, name)


def lane_info(infos: dict[str, Any], lane: int, num_envs: int) -> dict[str, Any]:
    """The info dict of one lane of a vector environment's infos.

    Undoes `VectorEnv._add_info`: a key whose mask ``_key`` excludes the lane is left out, dicts are taken
    apart recursively, arrays and lists of ``num_envs`` entries are indexed, and 64-bit numbers become
    Python's again. What is the same for all lanes (a string, say) is passed on.
    """
    info: dict[str, Any] = {}
    for key, value in infos.items():
        mask = infos.get(f"_{key}")
        if (key.startswith("_") and key[1:] in infos) or (mask is not None and not mask[lane]):
            continue
        if isinstance(value, dict):
            info[key] = lane_info(value, lane, num_envs)
        elif isinstance(value, np.ndarray | list | tuple) and len(value) == num_envs:
            own = value[lane]
            info[key] = own.item() if isinstance(own, np.int64 | np.float64 | np.bool_) else own
        else:
            info[key] = value
    return info
