"""Training of the world model on a latent cache, with held-out probes, dream sheets and exports of a model folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from worldsim.engine import RolloutEngine
from worldsim.model.codec import Codec
from worldsim.model.transformer import WorldModel
from worldsim.model.weights import SimulatorConfig, WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.training.arena import Arena
from worldsim.training.clips import Clips, ClipSampler, assemble
from worldsim.training.latents import LatentStore, encode_episode
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.objective import draw_flow, draw_own_context, draw_shortcut, flow_loss, shortcut_loss
from worldsim.training.presets import WorldTrainConfig
from worldsim.training.probes import probe
from worldsim.training.recorded import controls_at, start_at
from worldsim.training.sheets import save_rows
from worldsim.worlds import WORLDS

PROBE_CLIPS = 96


class WorldTraining:
    """A run over ``store``; ``held_out`` episodes of validation maps serve probes and sheets.

    ``refill`` is called before each step and may add episodes to the store (live worlds on a GPU machine). ``begin`` is
    a trained model to go on from, instead of fresh weights.
    """

    def __init__(
        self,
        config: WorldTrainConfig,
        out: Path,
        codec: Codec,
        store: LatentStore,
        held_out: list[Episode],
        refill: Callable[[], None] | None = None,
        begin: WorldModel | None = None,
    ) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.optim.seed)
        self.config, self.out, self.codec, self.store = config, out, codec, store
        self.held_out, self.refill = held_out, refill or (lambda: None)
        write_run_card(out, config)
        self.model = WorldModel(config.world)
        if begin is not None:
            self.model.load_state_dict(begin.state_dict())
        self.loop = Loop(out, self.model, config.optim, config.run)
        self.model.to(self.loop.device)
        self.codec.to(self.loop.device)
        self.sampler = ClipSampler(store, config.clips, self.loop.device)
        self.on_clips = self.loop.compiled(self.model)  # not on images: a graph more costs a GPU half a minute
        self.held_out_latents = LatentStore([encode_episode(e, codec, config.image_every) for e in held_out])
        self.hallucination_reference, self.temperature = 1.0, 1.0

    @property
    def shortcut(self) -> bool:
        """Whether step sizes have been trained; a run by the clock may end a little past its full progress."""
        return bool(self.config.shortcut_rows) and self.config.shortcut_from < min(self.loop.progress, 1.0)

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator with averaged weights (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        self.refill()
        config, loop, device = self.config, self.loop, self.loop.device
        batch, patch = config.optim.batch, config.world.patch
        clips = self.sampler.clips(batch, loop.rng).to(device)
        with loop.autocast():
            eps = loop.noise(clips.z.shape)
            if loop.rng.random() < config.own_context:
                draw = draw_own_context(self.on_clips, clips, eps, config, patch, loop.generator)
            else:
                draw = draw_flow(clips, eps, config, patch, loop.generator)
            loss, metrics = flow_loss(self.on_clips, clips, draw, config)
        if config.singles:
            images = self.sampler.singles(max(1, round(config.singles * batch)), loop.rng).to(device)
            draw = draw_flow(images, loop.noise(images.z.shape), config, patch, loop.generator)
            with loop.autocast():
                image_loss, image_metrics = flow_loss(self.model, images, draw, config)
            loss = loss + config.singles_weight * image_loss
            metrics["image_mse"] = image_metrics["mse"]
        if loop.progress >= config.shortcut_from and config.shortcut_rows:
            some = clips.rows(max(1, round(config.shortcut_rows * batch)))
            with loop.autocast():
                draw = draw_shortcut(some, loop.noise(some.z.shape), loop.generator)
                extra = shortcut_loss(self.model, some, draw)
            loss = loss + config.shortcut_rows * extra
            metrics["shortcut"] = extra.detach()
        return loss, metrics

    def _probe(self, step: int) -> dict[str, float]:
        generator = torch.Generator().manual_seed(0)
        clips = self._probe_clips()
        with self.loop.autocast():
            metrics = probe(self.model, clips.to(self.loop.device), generator, self.shortcut)
        self.hallucination_reference, self.temperature = metrics["hallucination"], metrics["temperature"]
        self._sheet(step)
        return metrics | {"cached_latents": float(self.store.latents)}

    def _probe_clips(self) -> Clips:
        """The same held-out clips every time: one window and the latent after it, all frames valid, text kept."""
        rng = np.random.default_rng(0)
        length = min(self.config.world.window, 16) + 1
        config = replace(self.config.clips, length=length, drop_text=0.0, drop_action=0.0)
        long_enough = [e for e in self.held_out_latents.episodes if len(e) + 1 >= length]
        arena = Arena(long_enough[0].z.shape[1:])
        for episode in long_enough:
            arena.add(episode)
        numbers = np.arange(PROBE_CLIPS) % len(arena)
        starts = rng.integers(0, arena.lengths.rows.numpy()[numbers] + 1 - length)
        return assemble(arena, numbers, starts, config, rng)

    def _simulator(self) -> WorldSimulator:
        z = torch.cat([e.z for e in self.store.episodes[:200]]).float().cpu()
        low, high = (torch.quantile(z.transpose(0, 1).flatten(1)[:, ::17], q, dim=1) for q in (0.0005, 0.9995))
        margin = 0.25 * (high - low)
        trained = {episode.world for episode in self.store.episodes}
        config = SimulatorConfig(
            codec=self.codec.config,
            world=self.config.world,
            worlds=tuple(name for name in WORLDS if name in trained),
            latent_low=tuple((low - margin).tolist()),
            latent_high=tuple((high + margin).tolist()),
            hallucination_reference=self.hallucination_reference,
            temperature=self.temperature,
            shortcut=self.shortcut,
        )
        simulator = WorldSimulator.create(config)
        simulator.codec.load_state_dict(self.codec.state_dict())
        simulator.world.load_state_dict(self.model.state_dict())
        return simulator

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")

    def _sheet(self, step: int, context: int = 6, generated: int = 18) -> None:
        """Rows of truth and dream for one held-out episode per world: given frames, then free-running ones."""
        by_world = {e.world: e for e in reversed(self.held_out) if len(e) >= context + 4}
        episodes = list(by_world.values())
        if not episodes:
            return
        dreams = dream(self._simulator(), episodes, context, generated, self.loop.device)
        rows = []
        for episode, imagined in zip(episodes, dreams):
            truth = episode.observations[: context + generated + 1]
            rows += [truth[::2], np.concatenate([truth[: context + 1], imagined])[::2][: len(truth[::2])]]
        save_rows(self.out / "sheets" / f"world-{step:06d}.png", rows)


def dream(
    simulator: WorldSimulator, episodes: list[Episode], context: int, steps: int, device: torch.device
) -> list[np.ndarray]:
    """Free-running rollouts from ``context`` true steps under the recorded actions: uint8 ``(steps, H, W, 3)`` each,
    the last frame of every block (actions are noop past an episode's end)."""
    engine = RolloutEngine(simulator, lanes=len(episodes), device=device, frame_size=episodes[0].frame_size)
    starts = [start_at((episode, context), context, number) for number, episode in enumerate(episodes)]
    engine.begin(list(range(len(episodes))), starts)
    seen = []
    for t in range(context, context + steps):
        block = engine.step(*controls_at([(episode, t) for episode in episodes]))
        seen.append(block.frames[:, -1].cpu().numpy())
    return list(np.stack(seen, axis=1))
