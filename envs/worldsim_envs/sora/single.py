"""``SoraWorldEnv``: one learned world behind Gymnasium's interface."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldsim.actions import check_actions
from worldsim.captions.expander import Expander
from worldsim.model.weights import WorldSimulator
from worldsim.nearest import Nearest
from worldsim.worlds import WorldSpec
from worldsim_envs.sora.lanes import EVENT_STEPS, Lanes, LaneSteps
from worldsim_envs.sora.options import SoraConfig, split_options
from worldsim_envs.sora.vector import metadata_of, observation_space, predictions_of


class SoraWorldEnv(gym.Env[np.ndarray, np.int64]):
    """A world that exists only in a neural network: ``gym.make("SoraWorld-v0")``.

    ## Description

    A video diffusion transformer, conditioned on actions and on text, predicts what a player of a world would
    see next. A text prompt, a true start or given frames begin an episode; the actions drive it. One step is
    one latent frame, k video frames (``info["frames"]``), drawn in ``denoising_steps`` network evaluations.

    ## Action space

    ``Discrete(32)``, the same for every world (``action_meanings`` names them); an action that the world does
    not read is noop. With ``actions="world"`` a ``Discrete`` over noop and the actions that the world reads.
    ``step_controls`` takes held keys and camera motion instead.

    ## Observation space

    ``Box(0, 255, (H, W, 3), uint8)``, the last video frame; with ``obs_type="latent"`` the normalised latent,
    float32 ``(C, H/4, W/4)``.

    ## Rewards

    The expected value of the reward head's distribution; with a ``goal``, of that goal.

    ## Starting state

    ``start="bank"``: a true reset frame of a validation map, with its caption as prompt. ``start="prompt"``:
    a picture drawn from the prompt. ``start="nearest"``: the start of the bank that agrees most with the prompt, with
    its own caption. ``options["init_frames"]``: an episode so far, or a clip from its middle.

    ## Episode end

    Terminated: drawn from the termination head's probability. Truncated: after ``time_limit`` steps, where
    ``info["hallucination"]`` exceeds ``truncate_on``, or where the numbers stopped being finite
    (``info["invalid"]``; the last good frame is shown).

    ## Arguments

    - ``world``: id of a true world, which fixes k, frame rate, time limit, actions, bank; None: the one that
      the prompt names, else ``worldsim/DoomRooms-v0``.
    - ``model``: a packaged name, a folder, or a ``WorldSimulator``; None: the packaged one of the world;
      ``"untrained:NAME"``: that model with a freshly drawn network, a control;
      ``"NAME?memory=KIND&window=LATENTS&imagine=no"``: what it keeps of what it saw, and whether it imagines what it
      did not (``serving.py``).
    - ``prompt``, ``start`` (``"prompt"``, ``"bank"``, ``"nearest"``), ``goal`` (one of ``goals``): defaults for
      ``reset``.
    - ``frame_size``: (H, W), multiples of 16.
    - ``denoising_steps``: K; ``context_noise``: noise of past latents in [0, 1), None: the model's own.
    - ``time_limit``: steps, None: the world's. ``truncate_on``: None or a threshold, needs K of at least 2.
    - ``actions``, ``obs_type``, ``render_mode`` (None, ``"rgb_array"``), ``device`` (``"auto"``: a GPU if
    any).

    ``reset`` options: ``prompt``, ``start``, ``goal``, ``init_frames``, ``init_actions``. Whatever is wrong
    or unknown raises ``ValueError``; a model that is not there, ``FileNotFoundError``.

    ## Info

    ``frames`` uint8 ``(4, H, W, 3)`` (``(1, H, W, 3)`` after ``reset``), ``n_frames`` of them real, ``goal``,
    ``prompt`` (what was understood of it), ``hallucination`` (NaN with one denoising step), ``invalid``,
    ``model`` (12 hex digits).

    ## Version history

    - v0: first version. Other default weights make a new version.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}

    def __init__(
        self,
        *,
        world: str | None = None,
        model: str | Path | WorldSimulator | None = None,
        prompt: str | None = None,
        start: str | None = None,
        frame_size: Sequence[int] = (64, 64),
        denoising_steps: int = 4,
        context_noise: float | None = None,
        time_limit: int | None = None,
        actions: str = "keyboard",
        obs_type: str = "rgb",
        truncate_on: float | None = None,
        goal: str | None = None,
        render_mode: str | None = None,
        device: str = "auto",
    ) -> None:
        config = SoraConfig.check(
            world, frame_size, prompt=prompt, start=start, goal=goal, denoising_steps=denoising_steps,
            context_noise=context_noise, time_limit=time_limit, actions=actions, obs_type=obs_type,
            truncate_on=truncate_on, render_mode=render_mode,
        )  # fmt: skip
        self._lanes = Lanes(model, config, 1, device)
        self.metadata = metadata_of(self._lanes)
        self.render_mode = render_mode
        self.observation_space = observation_space(self._lanes)
        self.action_space = spaces.Discrete(len(self._lanes.action_ids))
        self.last_step_seconds = 0.0
        self._over = False

    @property
    def spec_world(self) -> WorldSpec:
        """The world that the running episode shows."""
        return self._lanes.spec_world

    @property
    def goals(self) -> tuple[str, ...]:
        """The goal strings that ``goal`` may be; ``""`` is the world's own reward."""
        return self.spec_world.goals

    @property
    def action_meanings(self) -> tuple[str, ...]:
        """Names of the actions of ``action_space``, by index."""
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
    def nearest(self) -> Nearest | None:
        """The start of the bank that the running episode's prompt was answered by, and how near it is to it; None where
        it began otherwise, or has another scene since."""
        return self._lanes.episode(0).nearest

    @property
    def last_predictions(self) -> dict[str, np.ndarray]:
        """What the heads said in the last step: ``termination``, ``reward_distribution``,
        ``reward_values``."""
        return predictions_of(self._lanes)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode. Equal seeds and options give equal frames, bit for bit on one machine."""
        super().reset(seed=seed)
        begun_at = time.perf_counter()
        asked = split_options(options, 1, batched=False)
        self._lanes.rngs = [self.np_random]
        shown = self._lanes.begin([0], asked)
        self._over = False
        self.last_step_seconds = time.perf_counter() - begun_at
        return self._observation(shown), self._info(shown, frames=1)

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Plays one block of frames; the observation is the last of them."""
        index = check_actions(action, len(self._lanes.action_ids), ())
        return self._outcome(lambda: self._lanes.advance(index[None]))

    def step_controls(
        self, keys: int, camera: tuple[float, float]
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """``step`` from held keys and camera motion, as a keyboard and a mouse give them.

        ``keys`` is a mask over ``worldsim.actions.KEYS``; ``camera`` is yaw and pitch in degrees for this
        step, left and up positive. What the world does not read is out of the model's training.
        """
        motion = np.asarray([camera], np.float32)
        if motion.shape != (1, 2) or not np.isfinite(motion).all() or not 0 <= int(keys) < 2**32:
            raise ValueError(f"keys={keys!r}, camera={camera!r}; expected a 32-bit mask and two finite angles")
        return self._outcome(lambda: self._lanes.advance_controls(np.array([keys], np.uint32), motion))

    def _outcome(self, advance: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        begun_at = time.perf_counter()
        _ = self._lanes.now
        if self._over:
            raise gym.error.ResetNeeded("step() after the episode ended; call reset() first")
        shown = advance()
        terminated, truncated = bool(shown.terminated[0]), bool(shown.truncated[0])
        self._over = terminated or truncated
        info = self._info(shown)
        self.last_step_seconds = time.perf_counter() - begun_at
        return self._observation(shown), float(shown.reward[0]), terminated, truncated, info

    def _observation(self, shown: LaneSteps) -> np.ndarray:
        latent = self._lanes.config.obs_type == "latent"
        return (shown.latent[0] if latent else shown.frames[0, -1]).cpu().numpy().copy()

    def _info(self, shown: LaneSteps, frames: int | None = None) -> dict[str, Any]:
        episode = self._lanes.episode(0)
        return {
            "frames": shown.frames[0, :frames].cpu().numpy().copy(),
            "n_frames": int(shown.n_frames[0]),
            "goal": episode.text.goal,
            "prompt": episode.prompt,
            "hallucination": float(shown.hallucination[0]),
            "invalid": bool(shown.invalid[0]),
            "model": self._lanes.simulator.digest,
        }

    def render(self) -> np.ndarray | None:
        """The last frame, uint8 ``(H, W, 3)``, if ``render_mode`` is ``rgb_array``."""
        return self._lanes.now.frames[0, -1].cpu().numpy().copy() if self.render_mode == "rgb_array" else None

    def set_prompt(self, text: str, kind: str = "scene", steps: int = EVENT_STEPS) -> None:
        """New text from the next step on.

        ``kind="scene"`` replaces the scene and clears the view (what ``text`` says of the view is new at age
        0); ``"event"`` is what happens now and reverts after ``steps`` steps. The world stays what it is.
        """
        self._lanes.set_prompt([text], kind, steps)

    def get_state(self) -> dict[str, Any]:
        """Everything that the episode's future depends on, the cache included."""
        return {**self._lanes.get_state(0), "over": self._over, "elapsed": 0}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues where ``get_state`` was called, in this or an equal environment."""
        self._lanes.rngs = [self.np_random]
        self._lanes.set_state(0, state)
        self._over = state["over"]

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
