"""The lanes of a learned environment: what happens in an episode, for one world or for many, on torch
tensors.

``SoraWorldEnv`` and ``SoraWorldVectorEnv`` are thin shells over this class, so that there is one
implementation of starts, limits, flags and prompts. Autoreset is not its affair: a shell decides which lanes
begin.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from einops import rearrange

from worldsim.actions import ACTION_MEANINGS, NUM_ACTIONS, multi_hot
from worldsim.bank import Bank
from worldsim.captions.expander import BareExpander, Expander
from worldsim.captions.grammar import prompt_text
from worldsim.captions.parse import parse_prompt
from worldsim.control_tables import control_tables
from worldsim.engine import RolloutEngine
from worldsim.model.packaged import also_simulating, model_folder, packaged_model
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import Block, LaneStart, LaneText, Predictor
from worldsim.starts import lane_draws
from worldsim.worlds import WORLDS, WorldSpec
from worldsim_envs.sora.options import Episode, LaneOptions, SoraConfig, check_goal, echo, per_lane, resolve
from worldsim_envs.sora.serving import named

if TYPE_CHECKING:
    from worldsim.screen import Memory

# N lanes, H W frame size, C h w latent

EVENT_STEPS = 4
WORST = float(np.finfo(np.float32).max)
"""Hallucination of a lane whose numbers stopped being finite: worse than any threshold."""

UNTRAINED = "untrained:"
"""Before a model's name or folder: the same with its network freshly drawn (``WorldSimulator.untrained``)."""

_loaded: weakref.WeakValueDictionary[tuple[str, int], WorldSimulator] = weakref.WeakValueDictionary()


def load_simulator(model: str | Path | WorldSimulator | None, *worlds: str) -> WorldSimulator:
    """The simulator itself, or the one of that name or folder, or, where that is None, the packaged one that simulates
    the worlds of these names (none: the default one). Environments of one process share it, however it is served
    (``serving.named``). ``"untrained:"`` before a name or folder, or alone for the packaged one, gives the same model
    with its network freshly drawn."""
    model, _ = named(model)
    if isinstance(model, WorldSimulator):
        return model
    if isinstance(model, str) and model.startswith(UNTRAINED):
        return load_simulator(model.removeprefix(UNTRAINED) or None, *worlds).untrained()
    folder = model_folder(packaged_model(*worlds) if model is None else model).resolve()
    key = (str(folder), os.stat(folder / "config.json").st_mtime_ns)
    simulator = _loaded.get(key)
    if simulator is None:
        simulator = WorldSimulator.from_pretrained(folder)
        _loaded[key] = simulator
    return simulator


@dataclass(frozen=True)
class LaneSteps:
    """What all lanes show after a step (or after some began): tensors with a leading lane axis.

    ``frames`` uint8 ``(N, 4, H, W, 3)`` of which ``n_frames`` int64 ``(N,)`` are real, ``latent`` float32
    ``(N, C, h, w)``, ``reward`` and ``hallucination`` float32 ``(N,)``, the others bool ``(N,)``.
    """

    frames: torch.Tensor
    n_frames: torch.Tensor
    latent: torch.Tensor
    reward: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor
    hallucination: torch.Tensor
    invalid: torch.Tensor

    def rows(self, lanes: Sequence[int], new: LaneSteps) -> LaneSteps:
        """Fresh tensors with the rows of ``lanes`` taken from ``new`` (whose rows are those lanes)."""
        columns = {}
        for column in fields(self):
            values = getattr(self, column.name).clone()
            values[list(lanes)] = getattr(new, column.name)
            columns[column.name] = values
        return LaneSteps(**columns)


class Lanes:
    """``count`` lanes of a learned world under one configuration.

    ``rngs`` holds each lane's generator, from which an episode draws its noise seed and its bank start. ``expander``
    expands the prompts of episodes that begin from text (None: they stay as they are): at first those that say nothing
    but their world.
    """

    def __init__(self, model: str | Path | WorldSimulator | None, config: SoraConfig, count: int, device: str) -> None:
        for name in ("prompt", "start", "goal"):
            per_lane(name, getattr(config, name), count)
        _, serving = named(model)
        self.simulator = load_simulator(model, *_meant(config))
        simulated = self.simulator.config.worlds
        self._worlds = tuple(name for name in simulated if name in WORLDS)
        if config.world and config.world.name not in simulated:
            known = ", ".join(WORLDS[name].env_id for name in self._worlds)
            other = also_simulating(config.world.name)
            raise ValueError(f"world={config.world.env_id!r}: this model simulates {known}{other}")
        self.config, self.count = config, count
        self.predictor: Predictor = RolloutEngine(
            self.simulator,
            count,
            device=device,
            denoising_steps=config.denoising_steps,
            context_noise=config.context_noise,
            frame_size=config.frame_size,
            memory=cast("Memory | None", serving.memory),  # the engine refuses others
            imagine=serving.imagine,
            window=serving.window,
        )
        self.bank: Bank | None = self.simulator.bank
        self.expander: Expander | None = BareExpander(self._worlds)
        self.rngs: list[np.random.Generator] = []
        self.episodes: list[Episode | None] = [None] * count
        self.termination = np.zeros(count, np.float32)
        self.reward_distribution = np.zeros((count, len(self.predictor.reward_values)), np.float32)
        self._world_index = torch.zeros(count, dtype=torch.int64)
        self._steps = torch.zeros(count, dtype=torch.int64)
        self._limit = torch.ones(count, dtype=torch.int64)
        self._n_frames = torch.ones(count, dtype=torch.int64)
        self._now: LaneSteps | None = None
        self._keys, self._camera = control_tables()
        ids = config.world.world_actions if config.world and config.actions == "world" else np.arange(NUM_ACTIONS)
        self.action_ids = torch.from_numpy(ids)
        self.action_meanings = tuple(ACTION_MEANINGS[i] for i in ids)

    @property
    def now(self) -> LaneSteps:
        """What the lanes show at present."""
        if self._now is None:
            raise RuntimeError("no episode is running; call reset() first")
        return self._now

    def episode(self, lane: int) -> Episode:
        episode = self.episodes[lane]
        if episode is None:
            raise RuntimeError("no episode is running; call reset() first")
        return episode

    def begin(self, lanes: Sequence[int], options: Sequence[LaneOptions]) -> LaneSteps:
        """Begins episodes in ``lanes``; ``options`` has an entry for each of them. Returns all lanes."""
        asked = []
        for lane, option in zip(lanes, options):
            seed, draw = lane_draws(self.rngs[lane])
            episode = resolve(self.config, lane, self.count, option, self.bank, draw, self._worlds, self.expander)
            asked.append((lane, episode, seed))
        starts = [
            LaneStart(episode.world, seed, episode.text, episode.frames, episode.actions) for _, episode, seed in asked
        ]
        block = self.predictor.begin(lanes, starts)
        for lane, episode, _ in asked:
            # Given frames are not needed any more; what remains is the text, the world and the goal.
            self.episodes[lane] = replace(episode, frames=None)
            self._set_lane(lane, episode.world, steps=0)
            if episode.event:
                self.predictor.set_text([lane], [episode.event], "event", EVENT_STEPS)
        begun = self._shown(block, torch.ones(len(lanes), dtype=torch.int64))
        self._now = begun if self._now is None else self._now.rows(lanes, begun)
        return self._now

    def _set_lane(self, lane: int, world: WorldSpec, steps: int) -> None:
        limit = self.config.time_limit
        self._world_index[lane] = world.index
        self._limit[lane] = world.time_limit if limit is None else limit
        self._n_frames[lane] = world.frames_per_step
        self._steps[lane] = steps

    def advance(self, actions: np.ndarray | torch.Tensor) -> LaneSteps:
        """One step of every lane; ``actions`` are checked indices of the action space, ``(N,)``."""
        before = self.now
        ids = self.action_ids[torch.as_tensor(actions)]
        return self._advance(before, self._keys[self._world_index, ids], self._camera[self._world_index, ids])

    def advance_controls(self, keys: np.ndarray, camera: np.ndarray) -> LaneSteps:
        """One step from held keys (uint32 masks ``(N,)``) and camera motion (float ``(N, 2)``, degrees)."""
        return self._advance(self.now, torch.from_numpy(multi_hot(keys)), torch.as_tensor(camera, dtype=torch.float32))

    def _advance(self, before: LaneSteps, keys: torch.Tensor, camera: torch.Tensor) -> LaneSteps:
        block = self.predictor.step(keys, camera)
        self.termination = block.termination.cpu().numpy()
        self.reward_distribution = block.reward_distribution.cpu().numpy()
        self._steps += 1
        shown = self._shown(block, self._n_frames)
        over_limit = (self._steps >= self._limit).to(shown.reward.device)
        if self.config.truncate_on is not None:
            over_limit = over_limit | (shown.hallucination > self.config.truncate_on)
        shown = replace(shown, truncated=(over_limit | shown.invalid) & ~shown.terminated)
        if bool(shown.invalid.any()):
            shown = self._keep_last(shown, before)
        self._now = shown
        return shown

    def _shown(self, block: Block, n_frames: torch.Tensor) -> LaneSteps:
        invalid = ~block.valid
        return LaneSteps(
            frames=block.frames,
            n_frames=n_frames.clone(),
            latent=block.latent,
            reward=block.reward,
            terminated=block.terminated & block.valid,
            truncated=torch.zeros_like(invalid),
            hallucination=torch.where(invalid, WORST, block.hallucination),
            invalid=invalid,
        )

    def _keep_last(self, shown: LaneSteps, before: LaneSteps) -> LaneSteps:
        """Lanes whose numbers stopped being finite show the last frame that they had."""
        frames, latent, n_frames = shown.frames.clone(), shown.latent.clone(), shown.n_frames.clone()
        frames[shown.invalid] = before.frames[shown.invalid][:, -1:]
        latent[shown.invalid] = before.latent[shown.invalid]
        n_frames[shown.invalid.cpu()] = 1
        return replace(shown, frames=frames, latent=latent, n_frames=n_frames)

    # prompts, goals, state

    def set_prompt(
        self,
        text: str | Sequence[str],
        kind: str = "scene",
        steps: int = EVENT_STEPS,
        lanes: Sequence[int] | None = None,
    ) -> None:
        """New text from the next step on, see ``SoraWorldVectorEnv.set_prompt``."""
        if kind not in ("scene", "event"):
            raise ValueError(f"kind={kind!r}; accepted are 'scene' and 'event'")
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise ValueError(f"steps={steps!r}; an event lasts a whole number of steps, at least 1")
        rows = list(range(self.count)) if lanes is None else [int(lane) for lane in lanes]
        if not rows or not all(0 <= lane < self.count for lane in rows) or len(set(rows)) != len(rows):
            raise ValueError(f"lanes={lanes!r}; expected different numbers from 0 to {self.count - 1}")
        texts = per_lane("text", text, len(rows))
        settled = []
        for lane, words in zip(rows, texts):
            episode = self.episode(lane)
            parsed = parse_prompt("" if words is None else words, episode.world.name)
            settled.append((lane, episode, parsed))
        for lane, episode, parsed in settled:
            world = episode.world
            if kind == "scene":
                scene = prompt_text(world, parsed.scene_text)
                self.predictor.set_text([lane], [scene], "scene")
                if parsed.view_text:
                    self.predictor.set_text([lane], [parsed.view_text], "view")
                words_now = LaneText(scene, parsed.view_text, episode.text.goal)
                self.episodes[lane] = replace(episode, text=words_now, prompt=echo(world, parsed), nearest=None)
            event = parsed.event_text
            if kind == "event":
                event = event or parsed.view_text or parsed.scene_text
            if event:
                self.predictor.set_text([lane], [event], "event", int(steps))

    @property
    def spec_world(self) -> WorldSpec:
        """The configured world, else that of lane 0's episode, else the default world."""
        running = self.episodes[0]
        return self.config.world or (running.world if running else next(iter(WORLDS.values())))

    def get_state(self, lane: int) -> dict[str, Any]:
        """Everything that the lane's future depends on, of plain values, arrays and tensors."""
        episode, now = self.episode(lane), self.now
        return {
            "predictor": self.predictor.get_state(lane),
            "rng": self.rngs[lane].bit_generator.state,
            "steps": int(self._steps[lane]),
            "goal": episode.text.goal,
            "scene": episode.text.scene,
            "view": episode.text.view,
            "prompt": episode.prompt,
            "now": {f.name: getattr(now, f.name)[lane].cpu().clone() for f in fields(LaneSteps)},
        }

    def set_state(self, lane: int, state: Mapping[str, Any]) -> None:
        """Continues in ``lane`` where ``get_state`` was called, here or in an equal environment."""
        world = WORLDS[state["predictor"]["world"]]
        if self.config.world is not None and world is not self.config.world:
            raise ValueError(f"the state is of {world.env_id}; this environment is of {self.config.world.env_id}")
        self.predictor.set_state(lane, state["predictor"])
        self.rngs[lane].bit_generator.state = state["rng"]
        text = LaneText(state["scene"], state["view"], check_goal(state["goal"], world))
        self.episodes[lane] = Episode(world, text, state["prompt"])
        self._set_lane(lane, world, state["steps"])
        rows = {name: value[None] for name, value in state["now"].items()}
        if self._now is None:
            blank = {name: value.expand(self.count, *value.shape[1:]).clone() for name, value in rows.items()}
            self._now = LaneSteps(**blank)
        self._now = self._now.rows([lane], LaneSteps(**rows))

    def surprise(
        self, frames: np.ndarray, actions: np.ndarray, prompt: str | None, seed: int, n_noise: int
    ) -> np.ndarray:
        """Error of the prediction of each given block, see ``RolloutEngine.surprise``; float32 ``(n,)``."""
        return self.surprises([frames], [actions], prompt, seed, n_noise)[0]

    def surprises(
        self,
        frames: Sequence[np.ndarray],
        actions: Sequence[np.ndarray],
        prompt: str | None,
        seed: int,
        n_noise: int,
        first: int = 0,
    ) -> np.ndarray:
        """The same of M films, see ``RolloutEngine.surprises``; float32 ``(M, n)``."""
        engine = self.predictor
        if not isinstance(engine, RolloutEngine):
            raise ValueError(f"{type(engine).__name__} offers no surprise")
        starts = []
        for film, names in zip(frames, actions, strict=True):
            given = LaneOptions(prompt=prompt or None, init_frames=np.asarray(film), init_actions=np.asarray(names))
            episode = resolve(self.config, 0, self.count, given, None, 0, self._worlds)
            starts.append(LaneStart(episode.world, int(seed), episode.text, episode.frames, episode.actions))
        return engine.surprises(starts, n_noise, first).cpu().numpy()

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """``frames`` through the codec and back: the picture quality that the dream can at best have.

        uint8 ``(F, H, W, 3)``, F = 1 or a multiple of 4 (consecutive blocks), or ``(B, K, H, W, 3)`` with K 1
        or 4.
        """
        given = np.asarray(frames)
        if given.dtype != np.uint8 or given.ndim not in (4, 5) or given.shape[-1] != 3 or not len(given):
            raise ValueError(f"frames are {given.dtype} {given.shape}; expected uint8 (F, H, W, 3)")
        blocks = torch.from_numpy(np.ascontiguousarray(given))
        if given.ndim == 4:
            k = self.simulator.config.codec.block_frames
            if len(given) != 1 and len(given) % k:
                raise ValueError(f"{len(given)} frames; expected 1, or a multiple of {k}")
            blocks = rearrange(blocks, "(b k) h w c -> b k h w c", k=min(k, len(given)))
        parts = [self.predictor.reconstruct(part) for part in blocks.split(32)]
        return torch.cat(parts).cpu().numpy().reshape(given.shape)


def _meant(config: SoraConfig) -> list[str]:
    """Names of the worlds that are configured, or that the configured prompts name."""
    if config.world is not None:
        return [config.world.name]
    prompts = [config.prompt] if isinstance(config.prompt, str) else config.prompt or []
    named = [parse_prompt(prompt).world for prompt in prompts if prompt]
    return sorted({world for world in named if world is not None})
