"""``SoraWorldVectorEnv``: N lanes of a learned world behind Gymnasium's vector interface, stepped by one
network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv

from worldsim.actions import check_actions
from worldsim.captions.expander import Expander
from worldsim.model.weights import WorldSimulator
from worldsim.worlds import WorldSpec
from worldsim_envs.sora.lanes import EVENT_STEPS, Lanes, LaneSteps
from worldsim_envs.sora.options import RESET_OPTIONS, LaneOptions, SoraConfig, Texts, split_options


def observation_space(lanes: Lanes) -> spaces.Box:
    """Frames uint8 ``(H, W, 3)``, or normalised latents float32 ``(C, h, w)``."""
    if lanes.config.obs_type == "latent":
        return spaces.Box(-np.inf, np.inf, lanes.predictor.latent_shape, np.float32)
    return spaces.Box(0, 255, (*lanes.config.frame_size, 3), np.uint8)


def batched(space: spaces.Box, n: int) -> spaces.Box:
    """``n`` times ``space``. Its bounds are views of one entry: at 64 lanes of 64x64 they would take
    megabytes."""
    box = spaces.Box(space.low.flat[0].item(), space.high.flat[0].item(), (1,), space.dtype)
    shape = (n, *space.shape)
    box.low, box.high = np.broadcast_to(box.low[0], shape), np.broadcast_to(box.high[0], shape)
    box._shape = shape
    box.bounded_below = np.broadcast_to(box.bounded_below[0], shape)
    box.bounded_above = np.broadcast_to(box.bounded_above[0], shape)
    return box


class SoraWorldVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N learned worlds at once: ``gym.make_vec("SoraWorld-v0", num_envs=N)``.

    Arguments and spaces are those of ``SoraWorldEnv`` with a lane axis; ``prompt``, ``start`` and ``goal``
    may be lists with one entry per lane. Besides:

    - ``autoreset_mode``: ``"NextStep"`` (default), ``"SameStep"`` or ``"Disabled"``, or the enum.
    - ``max_episode_steps``: truncates like Gymnasium's ``TimeLimit`` round a single environment.
    - ``reset(seed=s)`` seeds lane i with ``s + i``; a list seeds each lane. ``options["reset_mask"]`` (bool
      ``(N,)``) begins those lanes only. ``options["init_frames"]`` is ``(N, F, H, W, 3)``, ``init_actions``
      ``(N, n)``.
    - ``info["frames"]`` is always ``(N, 4, H, W, 3)``: a reset frame is repeated, with ``n_frames`` 1. With
      SameStep ``final_obs`` is a dense array beside its mask.
    - ``reset_torch`` and ``step_torch`` are the same without the way through numpy.

    A lane's future depends on its seed, options and actions only: not on ``num_envs``, not on other lanes.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        num_envs: int = 1,
        *,
        world: str | None = None,
        model: str | Path | WorldSimulator | None = None,
        prompt: Texts = None,
        start: Texts = None,
        frame_size: Sequence[int] = (64, 64),
        denoising_steps: int = 4,
        context_noise: float | None = None,
        time_limit: int | None = None,
        actions: str = "keyboard",
        obs_type: str = "rgb",
        truncate_on: float | None = None,
        goal: Texts = None,
        render_mode: str | None = None,
        device: str = "auto",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
    ) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs={num_envs!r}; expected a number of lanes of at least 1")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps={max_episode_steps!r}; expected None or at least 1")
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        config = SoraConfig.check(
            world, frame_size, prompt=prompt, start=start, goal=goal, denoising_steps=denoising_steps,
            context_noise=context_noise, time_limit=time_limit, actions=actions, obs_type=obs_type,
            truncate_on=truncate_on, render_mode=render_mode,
        )  # fmt: skip
        self.num_envs, self.render_mode = int(num_envs), render_mode
        self.max_episode_steps = max_episode_steps
        self._lanes = Lanes(model, config, self.num_envs, device)
        self.metadata = {
            **metadata_of(self._lanes),
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space = observation_space(self._lanes)
        self.single_action_space = spaces.Discrete(len(self._lanes.action_ids))
        self.observation_space = batched(self.single_observation_space, self.num_envs)
        self.action_space = spaces.MultiDiscrete(np.full(self.num_envs, self.single_action_space.n))
        self.last_step_seconds = 0.0
        self._elapsed = torch.zeros(self.num_envs, dtype=torch.int64)
        self._over = torch.zeros(self.num_envs, dtype=torch.bool)
        self._final_texts: dict[str, np.ndarray] = {}

    # what is asked of the lanes' world

    @property
    def spec_world(self) -> WorldSpec:
        """The world of all lanes, or of lane 0's episode where prompts choose it."""
        return self._lanes.spec_world

    @property
    def goals(self) -> tuple[str, ...]:
        """The goal strings that ``goal`` may be; ``""`` is the world's own reward."""
        return self.spec_world.goals

    @property
    def action_meanings(self) -> tuple[str, ...]:
        """Names of the actions of ``single_action_space``, by index."""
        return self._lanes.action_meanings

    @property
    def expander(self) -> Expander | None:
        """Expands the prompts of episodes that begin from text, from the next ``reset`` on: by default a
        ``BareExpander``, those that only name a world; None: nothing is added to them."""
        return self._lanes.expander

    @expander.setter
    def expander(self, expander: Expander | None) -> None:
        self._lanes.expander = expander

    @property
    def last_predictions(self) -> dict[str, np.ndarray]:
        """What the heads said in the last step: ``termination`` ``(N,)``, ``reward_distribution`` ``(N, R)``
        over ``reward_values`` ``(R,)``."""
        return predictions_of(self._lanes)

    # stepping

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins episodes in all lanes, or in those of ``options["reset_mask"]``."""
        shown, begun = self._reset(seed, options)
        return _numpy(self._observation(shown)), self._info(shown, begun)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every lane; ``actions`` are integers ``(N,)``."""
        checked = check_actions(actions, len(self._lanes.action_ids), (self.num_envs,))
        shown, final, done = self._step(checked)
        everywhere = np.ones(self.num_envs, bool)
        info = self._info(shown, everywhere)
        if final is not None:
            mask = done.numpy().copy()
            info |= {"final_obs": _numpy(self._observation(final)), "_final_obs": mask}
            info |= {
                "final_info": self._info(final, mask.copy(), self._final_texts),
                "_final_info": mask.copy(),
            }
        outcome = final or shown
        flags = (_numpy(outcome.reward), _numpy(outcome.terminated), _numpy(outcome.truncated))
        return _numpy(self._observation(shown)), *flags, info

    def reset_torch(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """``reset`` on the model's device: observations, and the tensors of ``info``."""
        shown, _ = self._reset(seed, options)
        return self._observation(shown), self._tensors(shown)

    def step_torch(
        self, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """``step`` on the model's device, from actions as an integer tensor ``(N,)``.

        ``info`` holds ``frames``, ``n_frames``, ``hallucination``, ``invalid`` and, where SameStep ended an
        episode, ``final_obs`` with the mask ``_final_obs``.
        """
        if not isinstance(actions, torch.Tensor) or actions.is_floating_point() or actions.is_complex():
            raise ValueError(f"actions must be an integer tensor of shape ({self.num_envs},), got {actions!r}")
        checked = check_actions(actions.cpu().numpy(), len(self._lanes.action_ids), (self.num_envs,))
        shown, final, done = self._step(checked)
        info = self._tensors(shown)
        if final is not None:
            info |= {"final_obs": self._observation(final), "_final_obs": done}
        outcome = final or shown
        return self._observation(shown), outcome.reward, outcome.terminated, outcome.truncated, info

    def _reset(
        self, seed: int | Sequence[int | None] | None, options: dict[str, Any] | None
    ) -> tuple[LaneSteps, np.ndarray]:
        begun_at = time.perf_counter()
        given = dict(options or {})
        mask = self._reset_mask(given.pop("reset_mask", None))
        asked = split_options(given, self.num_envs, batched=True, allowed=RESET_OPTIONS)
        self._seed(seed, mask)
        rows = np.flatnonzero(mask).tolist()
        shown = self._lanes.begin(rows, [asked[lane] for lane in rows])
        self._elapsed[rows] = 0
        self._over[rows] = False
        self.last_step_seconds = time.perf_counter() - begun_at
        return shown, mask

    def _seed(self, seed: int | Sequence[int | None] | None, mask: np.ndarray) -> None:
        seeds: list[int | None]
        if seed is None or isinstance(seed, int | np.integer):
            super().reset(seed=None if seed is None else int(seed))
            seeds = [None if seed is None else int(seed) + lane for lane in range(self.num_envs)]
        else:
            seeds = list(seed)
            if len(seeds) != self.num_envs:
                raise ValueError(f"{len(seeds)} seeds for {self.num_envs} lanes; give one each, or one integer")
        if not self._lanes.rngs:
            self._lanes.rngs = [seeding.np_random(s)[0] for s in seeds]
            mask = np.zeros_like(mask)
        for lane in np.flatnonzero(mask):
            if seeds[lane] is not None:
                self._lanes.rngs[lane] = seeding.np_random(seeds[lane])[0]

    def _reset_mask(self, mask: Any) -> np.ndarray:
        n = self.num_envs
        if mask is None:
            return np.ones(n, bool)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (n,) or not mask.any():
            raise ValueError(f"options['reset_mask'] is {mask!r}; expected a bool array of shape ({n},) with a True")
        if self._lanes.episodes.count(None) and not mask.all():
            raise ValueError("the first reset begins all lanes; reset_mask must be left out or be all True")
        return mask.copy()

    def _step(self, actions: np.ndarray) -> tuple[LaneSteps, LaneSteps | None, torch.Tensor]:
        """What the lanes show, what they showed at their end where SameStep reset some, and which ended."""
        begun_at = time.perf_counter()
        lanes, over = self._lanes, self._over
        _ = lanes.now
        final: LaneSteps | None = None
        if self.autoreset_mode is AutoresetMode.DISABLED and over.any():
            raise gym.error.ResetNeeded(
                f"lanes {torch.nonzero(over).flatten().tolist()} have ended; begin them with "
                'reset(options={"reset_mask": ...}) first'
            )
        resets = torch.nonzero(over).flatten().tolist() if over.any() else []
        shown = lanes.now if len(resets) == self.num_envs else self._limited(lanes.advance(actions))
        if resets:  # NextStep: this step begins the lanes that ended in the last one
            shown = self._begin_again(resets)
        done = (shown.terminated | shown.truncated).cpu()
        self._over = done
        if self.autoreset_mode is AutoresetMode.SAME_STEP and done.any():
            final = shown
            self._final_texts = self._texts()
            shown = self._begin_again(torch.nonzero(done).flatten().tolist())
            self._over = torch.zeros_like(done)
        self.last_step_seconds = time.perf_counter() - begun_at
        return shown, final, done

    def _begin_again(self, rows: list[int]) -> LaneSteps:
        self._elapsed[rows] = 0
        return self._lanes.begin(rows, [LaneOptions()] * len(rows))

    def _limited(self, shown: LaneSteps) -> LaneSteps:
        self._elapsed += 1
        if self.max_episode_steps is not None:
            ended = (self._elapsed >= self.max_episode_steps).to(shown.truncated.device)
            shown.truncated.logical_or_(ended)
        return shown

    # what is returned

    def _observation(self, shown: LaneSteps) -> torch.Tensor:
        return shown.latent.clone() if self._lanes.config.obs_type == "latent" else shown.frames[:, -1].clone()

    def _tensors(self, shown: LaneSteps) -> dict[str, torch.Tensor]:
        names = ("frames", "n_frames", "hallucination", "invalid")
        return {name: getattr(shown, name).clone() for name in names}

    def _texts(self) -> dict[str, np.ndarray]:
        episodes = [self._lanes.episode(lane) for lane in range(self.num_envs)]
        return {
            "goal": np.array([episode.text.goal for episode in episodes], object),
            "prompt": np.array([episode.prompt for episode in episodes], object),
        }

    def _info(self, shown: LaneSteps, mask: np.ndarray, texts: dict[str, np.ndarray] | None = None) -> dict[str, Any]:
        values: dict[str, Any] = {name: _numpy(tensor) for name, tensor in self._tensors(shown).items()}
        values |= self._texts() if texts is None else texts
        values["model"] = np.full(self.num_envs, self._lanes.simulator.digest, object)
        return values | {f"_{name}": mask.copy() for name in values}

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The last frame of every lane, uint8 ``(H, W, 3)`` each, if ``render_mode`` is ``rgb_array``."""
        if self.render_mode is None:
            return None
        return tuple(_numpy(self._lanes.now.frames[:, -1].clone()))

    # text, state, codec

    def set_prompt(
        self,
        text: str | Sequence[str],
        kind: str = "scene",
        steps: int = EVENT_STEPS,
        lanes: Sequence[int] | None = None,
    ) -> None:
        """New text from the next step on, in ``lanes`` (None: all), as one str or a list with one for each.

        ``kind="scene"`` replaces the scene and clears the view (what ``text`` says of the view is new at age
        0); ``"event"`` is what happens now and reverts after ``steps`` steps. A lane's world stays what it
        is.
        """
        self._lanes.set_prompt(text, kind, steps, lanes)

    def get_state(self, lane: int) -> dict[str, Any]:
        """Everything that the future of ``lane`` depends on, its cache included."""
        self._check_lane(lane)
        return {
            **self._lanes.get_state(lane),
            "elapsed": int(self._elapsed[lane]),
            "over": bool(self._over[lane]),
        }

    def set_state(self, lane: int, state: dict[str, Any]) -> None:
        """Continues in ``lane`` where ``get_state`` was called, in any lane of an equal environment."""
        self._check_lane(lane)
        if not self._lanes.rngs:
            self._lanes.rngs = [seeding.np_random()[0] for _ in range(self.num_envs)]
        self._lanes.set_state(lane, state)
        self._elapsed[lane], self._over[lane] = state["elapsed"], state["over"]

    def _check_lane(self, lane: int) -> None:
        if not 0 <= lane < self.num_envs:
            raise ValueError(f"lane {lane}; this environment has lanes 0 to {self.num_envs - 1}")

    def surprise(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        prompt: str | None = None,
        seed: int = 0,
        n_noise: int = 1,
    ) -> np.ndarray:
        """How badly the model foresees each block of ``frames`` under ``actions``: float32 ``(n,)``.

        ``frames`` and ``actions`` are as ``init_frames`` and ``init_actions`` of one world. The mean squared
        error of the latent predicted from pure noise with the true past, over ``n_noise`` draws. No lane is
        touched.
        """
        return self._lanes.surprise(frames, actions, prompt, seed, n_noise)

    def surprises(
        self,
        frames: Sequence[np.ndarray],
        actions: Sequence[np.ndarray],
        prompt: str | None = None,
        seed: int = 0,
        n_noise: int = 1,
        first: int = 0,
    ) -> np.ndarray:
        """``surprise`` at M films of equal length under the same noise, all at once: float32 ``(M, n)``; blocks before
        ``first`` are seen and not judged, NaN."""
        return self._lanes.surprises(frames, actions, prompt, seed, n_noise, first)

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """``frames`` (uint8 ``(F, H, W, 3)``, F 1 or a multiple of 4) through the codec and back: its
        ceiling."""
        return self._lanes.reconstruct(frames)


def metadata_of(lanes: Lanes) -> dict[str, Any]:
    """Metadata of an environment over ``lanes``: the model's digest, and steps per second."""
    return {
        "render_modes": ["rgb_array"],
        "render_fps": 1 / lanes.spec_world.step_seconds,
        "model": lanes.simulator.digest,
    }


def predictions_of(lanes: Lanes) -> dict[str, np.ndarray]:
    """What the heads said in the last step of ``lanes``."""
    return {
        "termination": lanes.termination.copy(),
        "reward_distribution": lanes.reward_distribution.copy(),
        "reward_values": lanes.predictor.reward_values.cpu().numpy().copy(),
    }


def _autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError as error:
        accepted = ", ".join(repr(m.value) for m in AutoresetMode)
        raise ValueError(f"autoreset_mode={mode!r}; accepted are {accepted}") from error


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
