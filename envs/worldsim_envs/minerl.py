"""Real Minecraft through a MineRL that the user installed, behind the shared actions.

MineRL (Guss et al. 2019) speaks the API of old gym: ``reset`` returns an observation alone, ``step`` four values,
actions are dicts with a camera in degrees, and what is seen is ``obs["pov"]``. It cannot be a dependency of this
project: it builds Minecraft with a Java toolchain and wants a gym of its own. So nothing here imports it; an
environment that was made elsewhere is wrapped, or ``make_minerl`` makes one where ``minerl`` is installed.

A step is four ticks of 1/20 s. Keys that are held are held in all of them, what is pressed once comes with the first,
and camera motion is spread evenly. The names of keys and items are those by which recordings are read
(``worldsim.recording.minerl``), turned round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.actions import ACTION_MEANINGS, KEYS, NUM_ACTIONS, Camera, camera_motion, check_actions, held_keys
from worldsim.recording.images import fit_frame
from worldsim.recording.minecraft import FPS
from worldsim.recording.minerl import CHOSEN, HELD, NOTHING
from worldsim_envs.base import BLOCK_FRAMES

PRESSED = frozenset(key for key in KEYS if key.startswith(("use", "place", "next_item", "drop", "inventory", "make_")))
"""Keys that act once when they are pressed."""
HOTBAR = 9


class MineRLWorld(gym.Env[np.ndarray, np.int64]):
    """An environment of MineRL with the shared actions.

    ## Action space
    ``Discrete(32)`` (``actions="keyboard"``), or just the actions that the environment can take (``"world"``), noop
    first; ``reads`` lists them. A turn or look is 14 degrees a step, a small turn 3.5. ``place`` places the first thing
    that the environment offers, or is its use button where it has no list of things. ``next_item`` is the next slot of
    the hotbar, or the next thing to equip. Other ids are noop.

    ## Observation space
    ``Box(0, 255, (H, W, 3), uint8)``: the largest centre part of ``obs["pov"]`` of that shape, after the last tick.

    ## Rewards
    The environment's, summed over the ticks.

    ## Start
    The environment's own; ``reset(seed=...)`` is passed to its ``seed``, where it has one.

    ## End
    Where the environment is done: truncated if its info says ``TimeLimit.truncated``, else terminated. Truncated after
    ``time_limit`` steps too, None for never.

    ## Arguments
    ``env``: an environment of the old gym API. ``frame_size``: ``(H, W)``. ``actions``, ``time_limit``: see above.
    ``info`` holds ``frames`` and ``n_frames`` as in every world, and ``obs``, the environment's last observation.
    Raises ``ValueError`` for an environment whose actions are obfuscated, or no dict with a camera.

    ## Version history
    v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": FPS / BLOCK_FRAMES}

    def __init__(
        self,
        env: Any,
        *,
        frame_size: Sequence[int] = (64, 64),
        actions: str = "keyboard",
        time_limit: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        if actions not in ("keyboard", "world"):
            raise ValueError(f"actions={actions!r}; accepted are 'keyboard', 'world'")
        self.env, self.time_limit, self.render_mode = env, time_limit, render_mode
        height, width = frame_size
        self.frame_size = (int(height), int(width))
        self._fields = _fields(env)
        self._presses = {key: press for key in KEYS if (press := self._find(key)) is not None}
        self.reads = tuple(action for action in range(NUM_ACTIONS) if self._can(action))
        ids = range(NUM_ACTIONS) if actions == "keyboard" else (0, *(a for a in self.reads if a))
        self._action_ids = np.array(ids)
        self.action_space = gym.spaces.Discrete(len(self._action_ids))
        self.observation_space = gym.spaces.Box(0, 255, (*self.frame_size, 3), np.uint8)
        self._slot, self._steps, self._over = 0, 0, True
        self._frame = np.zeros((*self.frame_size, 3), np.uint8)

    @property
    def action_meanings(self) -> tuple[str, ...]:
        """Names of the actions of ``action_space``, by index."""
        return tuple(ACTION_MEANINGS[action] for action in self._action_ids)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode of the environment; there are no options (``ValueError``)."""
        super().reset(seed=seed)
        if options:
            raise ValueError(f"unknown reset options {sorted(options)}; MineRL has none")
        if seed is not None and hasattr(self.env, "seed"):
            self.env.seed(seed)
        obs = self.env.reset()
        self._slot, self._steps, self._over = 0, 0, False
        self._frame = self._seen(obs)
        return self._frame.copy(), {"frames": self._frame[None].copy(), "n_frames": 1, "obs": obs}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Plays four ticks, or fewer where the environment is done before."""
        index = int(check_actions(action, len(self._action_ids), ()))
        if self._over:
            raise RuntimeError("step() before reset(), or after the episode ended; call reset() first")
        chosen = int(self._action_ids[index])
        chosen = chosen if chosen in self.reads else 0
        frames: list[np.ndarray] = []
        reward, done, info = 0.0, False, {}
        while not done and len(frames) < BLOCK_FRAMES:
            obs, paid, done, info = self.env.step(self._tick(chosen, first=not frames))
            reward += float(paid)
            frames.append(self._seen(obs))
        self._steps += 1
        self._frame = frames[-1]
        limited = bool(done) and bool(info.get("TimeLimit.truncated", False))
        terminated = bool(done) and not limited
        truncated = limited or (not terminated and self.time_limit is not None and self._steps >= self.time_limit)
        self._over = terminated or truncated
        block = np.stack([*frames, *[self._frame] * (BLOCK_FRAMES - len(frames))])
        return self._frame.copy(), reward, terminated, truncated, {"frames": block, "n_frames": len(frames), "obs": obs}

    def render(self) -> np.ndarray | None:
        """The observation, if ``render_mode`` is ``rgb_array``."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    # Actions

    def _tick(self, action: int, first: bool) -> dict[str, Any]:
        """The environment's action for one tick of an action id."""
        tick = {name: _nothing(space) for name, space in self._fields.items()}
        yaw, pitch = camera_motion(action, Camera())
        tick["camera"] = np.array([-pitch, -yaw], np.float32) / BLOCK_FRAMES  # theirs: right and down are positive
        mask = held_keys(action)
        for bit, key in enumerate(KEYS):
            if mask >> bit & 1 and (first or key not in PRESSED):
                name, value = self._next_item() if key == "next_item" else self._presses[key]
                tick[name] = value
        return tick

    def _next_item(self) -> tuple[str, Any]:
        if "hotbar.1" in self._fields:
            self._slot = (self._slot + 1) % HOTBAR
            return f"hotbar.{self._slot + 1}", 1
        things = [thing for thing in _values(self._fields["equip"]) if thing not in (NOTHING, "other")]
        self._slot = (self._slot + 1) % len(things)
        return "equip", things[self._slot]

    def _find(self, key: str) -> tuple[str, Any] | None:
        """Field of an action and its value that press ``key``, None where the environment has no such thing."""
        mask = 1 << KEYS.index(key)
        for name, held in HELD.items():
            if held == mask and name in self._fields:
                return name, 1
        for name, chosen in CHOSEN.items():
            offered = [thing for thing in _values(self._fields.get(name)) if thing not in (NOTHING, "other")]
            for thing in offered:
                if chosen.get(thing, chosen.get("")) == mask:
                    return name, thing
        if key == "place" and "place" not in self._fields and "use" in self._fields:
            return "use", 1
        return None

    def _can(self, action: int) -> bool:
        mask = held_keys(action)
        moves = any(camera_motion(action, Camera()))
        keys = [key for bit, key in enumerate(KEYS) if mask >> bit & 1]
        return (bool(keys) or moves or action == 0) and all(key in self._presses for key in keys)

    def _seen(self, obs: Mapping[str, Any]) -> np.ndarray:
        return fit_frame(np.asarray(obs["pov"], np.uint8), self.frame_size)


def make_minerl(env_id: str, **kwargs: Any) -> MineRLWorld:
    """``MineRLWorld`` of an environment such as ``MineRLTreechop-v0``; ``kwargs`` are its arguments.

    Raises ``ImportError`` where ``minerl`` or the ``gym`` that it needs is not installed.
    """
    try:
        import gym as old_gym
        import minerl  # noqa: F401  (registers its environments with old gym)
    except ImportError as reason:
        raise ImportError(
            "MineRL is not installed. It needs a Java runtime, an old gym and the network to build Minecraft, so no "
            "extra of this project installs it: see https://minerl.readthedocs.io, and docs/minecraft.md"
        ) from reason
    return MineRLWorld(old_gym.make(env_id), **kwargs)


def _fields(env: Any) -> dict[str, Any]:
    """Spaces of the parts of an action."""
    spaces = getattr(env.action_space, "spaces", None)
    if not isinstance(spaces, Mapping) or "camera" not in spaces:
        has = f"a dict of {', '.join(spaces)}" if isinstance(spaces, Mapping) else repr(env.action_space)
        raise ValueError(
            f"its action space is {has}; needed is a dict with a camera and named keys. Obfuscated environments of "
            'MineRL ("...VectorObf-v0") name no keys and cannot be used'
        )
    return dict(spaces)


def _values(space: Any) -> tuple[str, ...]:
    """Names that a field of an action may be, () where it is no list of names."""
    return tuple(map(str, getattr(space, "values", ())))


def _nothing(space: Any) -> Any:
    return NOTHING if _values(space) else 0
