"""Training on the model's own rollouts: what it draws is what it goes on from, as in the environment.

A model that only ever saw true pasts meets its own pictures for the first time when it is used; each is a little worse
than the last, and after some steps it draws fog. Here lanes begin from true frames and go on by themselves under the
recorded actions: one pass of the world model, the decoder with its memory, the encoder, one pass over what was drawn
(as the rollout engine does at temperature 0). Each step is taught where it ought to have arrived (DAgger, Ross et al.
2011; for video, self forcing, Huang et al. 2025): the latent, the picture and its motion, reward and termination. A
gradient reaches one step back, through the decoder into the world model and no further. The encoder is frozen, so
latents stay what they were; clips of true latents between the rollouts keep what the world model knew of other noise
levels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from worldsim.actions import NUM_KEYS
from worldsim.captions.grammar import prompt_text, scene_caption, view_caption
from worldsim.diffusion import flow
from worldsim.lane_text import TextMemory
from worldsim.model.codec import to_pixels
from worldsim.model.conditioning import ACTED, FIRST, NO_VIEW, Controls, TextTokens
from worldsim.model.heads import two_hot
from worldsim.model.memory import ACTION, Shown, kept, larger, smaller
from worldsim.model.panorama import Panorama
from worldsim.model.transformer import Prediction, PreparedStep
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import LaneText
from worldsim.recording.episode import Episode
from worldsim.recording.facts_json import read_facts
from worldsim.ring import Ring
from worldsim.training.clips import ClipSampler
from worldsim.training.codec import psnr
from worldsim.training.latents import LatentStore
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.memory import memory_loss
from worldsim.training.moments import Moments
from worldsim.training.objective import draw_flow, flow_loss, masked_mean
from worldsim.training.presets import ForcingConfig
from worldsim.training.sheets import save_rows
from worldsim.training.transfer import send
from worldsim.training.world import dream
from worldsim.worlds import WORLDS

# B lanes, T steps, C channels, H W size of a frame, h w latent cells


class _Lanes:
    """Rollouts under way: each lane's ring, text, ``canvas`` of what it showed, last ``action``, ``panorama``, and the
    row of the moment it is at."""

    def __init__(self, ring: Ring, text: TextMemory, rows: torch.Tensor, seconds: torch.Tensor) -> None:
        self.ring, self.text, self.rows, self.seconds = ring, text, rows, seconds
        self.canvas = self.action = torch.zeros(0)
        self.panorama: Panorama | None = None


class SelfForcing:
    """A run over rollouts from the moments of ``episodes``; ``held_out`` episodes serve probes and sheets.

    A run that is resumed between the begin and the end of its rollouts begins them anew; where ``run.save_every`` is a
    multiple of ``horizon``, one that was killed goes on exactly. Raises ``ValueError`` where the model's decoder has no
    memory, or a world shows one frame per step.
    """

    def __init__(
        self,
        config: ForcingConfig,
        out: Path,
        begin: WorldSimulator,
        episodes: Iterator[Episode],
        held_out: list[Episode],
    ) -> None:
        if not begin.config.codec.memory:
            raise ValueError("the model's decoder has no memory of pixels; teach it one first: worldsim train memory")
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.optim.seed)
        config = replace(config, world=replace(config.world, world=begin.config.world))
        self.config, self.out, self.begin, self.held_out = config, out, begin, held_out
        write_run_card(out, config)
        self.codec, self.world = copy.deepcopy((begin.codec, begin.world))
        self.codec.requires_grad_(True)
        self.world.requires_grad_(True)
        for module in (self.codec.stems, self.codec.encoder, self.codec.to_latent):
            module.requires_grad_(False)
        parts = nn.ModuleDict({"codec": self.codec, "world": self.world})
        self.loop = Loop(out, parts, config.optim, config.run)
        self.store = LatentStore()
        self.moments = self._moments(episodes)
        self.sampler = ClipSampler(self.store, config.world.clips, self.loop.device)
        self.context_tau = 1 - begin.config.context_noise
        self.hallucination_reference = begin.config.hallucination_reference
        self._lanes: _Lanes | None = None
        self._starts = self._able_rows()

    def _moments(self, episodes: Iterator[Episode]) -> Moments:
        moments = None
        for episode in episodes:
            if episode.frames_per_step == 1:
                raise ValueError(f"{episode.world} shows one frame per step; rollouts are trained on blocks of frames")
            moments = moments or Moments(episode.frame_size, self.codec.config, self.loop.device)
            self.store.episodes.append(moments.add(episode, self.codec))
        if moments is None:
            raise ValueError("there are no episodes to start from: give source.data or source.steps")
        return moments

    def _able_rows(self) -> dict[str, np.ndarray]:
        """Rows of each world that a rollout may begin from: half a horizon of its episode is left, if it is as long."""
        after, episode = self.moments.after.rows.numpy(), self.moments.episode.rows.numpy()
        length = after + self.moments.before.rows.numpy() + 1
        able = (after >= np.minimum(self.config.horizon, length) // 2) & (after > 0)
        worlds = np.array([told.world for told in self.moments.told])[episode]
        return {world: np.flatnonzero(able & (worlds == world)) for world in sorted(set(worlds[able]))}

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator with averaged weights (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        config, loop = self.config, self.loop
        with loop.autocast():
            if self._lanes is None or step % config.horizon == 0:
                self._lanes = self._begin_lanes(int(loop.rng.integers(1, config.prefix + 1)))
            loss, metrics = self._roll(self._lanes)
            if config.world_every and step % config.world_every == 0:
                clip_loss, clip_metrics = self._clips()
                loss = loss + clip_loss
                self._clip_mse = clip_metrics["mse"]
                metrics["clip_mse"] = clip_metrics["mse"]
        return loss, metrics

    def _clips(self) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The flow loss of clips of true latents and of single images."""
        config, loop = self.config.world, self.loop
        patch, batch = config.world.patch, self.config.world_batch
        clips = self.sampler.clips(batch, loop.rng).to(loop.device)
        draw = draw_flow(clips, loop.noise(clips.z.shape), config, patch, loop.generator)
        loss, metrics = flow_loss(self.world, clips, draw, config)
        images = self.sampler.singles(max(1, round(config.singles * batch)), loop.rng).to(loop.device)
        draw = draw_flow(images, loop.noise(images.z.shape), config, patch, loop.generator)
        return loss + config.singles_weight * flow_loss(self.world, images, draw, config)[0], metrics

    # rollouts

    @torch.no_grad()
    def _begin_lanes(self, count: int) -> _Lanes:
        """Lanes that know ``count`` true latents, the first of them that of a single frame; fewer near a reset."""
        config, moments, device = self.config, self.moments, self.loop.device
        rng, batch = self.loop.rng, config.optim.batch
        worlds = list(self._starts)
        drawn = [worlds[i] for i in rng.integers(len(worlds), size=batch)]
        rows = torch.from_numpy(np.array([rng.choice(self._starts[world]) for world in drawn]))
        first = rows - torch.minimum(torch.tensor(count - 1), moments.before.rows[rows])
        told = [moments.told[i] for i in moments.episode.rows[rows].tolist()]
        text = TextMemory(self.world, batch, device)
        texts = []
        for row, known in zip(rows.tolist(), told):
            scene, view, _ = read_facts(known.facts[int(moments.before.rows[row])])
            spec = WORLDS[known.world]
            silent, unseen = rng.random() < config.drop_text, rng.random() < config.world.clips.no_view
            prompt = "" if silent else prompt_text(spec, scene_caption(scene, "medium"))
            texts.append(LaneText(prompt, "" if silent or unseen else view_caption(view, "medium"), known.goal))
        text.begin(range(batch), texts, [WORLDS[known.world].index for known in told])
        seconds = torch.tensor([WORLDS[known.world].step_seconds for known in told], device=device)
        dtype = torch.bfloat16 if config.run.bf16 else torch.float32
        channels, h, w = moments.true.rows.shape[1:]
        ring = Ring(self.world, batch, h * w // self.world.config.patch**2, (channels, h, w), dtype, device)
        lanes = _Lanes(ring, text, rows, seconds)
        if self.codec.config.panorama:
            size = (self.codec.config.stride * h, self.codec.config.stride * w)
            lanes.panorama = Panorama(batch, *size, device)
            lenses = [WORLDS[known.world].lens for known in told]
            reach = torch.tensor([0.0 if lens is None else lens.reach(*size) for lens in lenses], device=device)
            lanes.panorama.begin(torch.arange(batch, device=device), reach)
        said = text.tokens()
        before = replace(said, view_age=torch.full_like(said.view_age, NO_VIEW))
        for number in range(count):  # lanes that know fewer latents than others begin later
            at = rows - (count - 1 - number)
            begun = send(at >= first, device)
            ring.advance()
            image = self.codec.encode_normalised(moments.last(at.clamp(min=0)).permute(0, 2, 3, 1)[:, None])
            is_first = send(at == first, device)
            latent = torch.where(is_first[:, None, None, None], image, moments.true.take(at.clamp(min=0)).float())
            controls = self._controls(at.clamp(min=0), is_first)
            prepared = self._prepare(lanes, controls, said if number == count - 1 else before)
            self._remember(lanes, latent, prepared)
            if lanes.panorama is not None:
                lanes.panorama.move(controls.keys[:, 0], controls.camera[:, 0])
                lanes.panorama.show(moments.last(at.clamp(min=0)))
            if not bool(begun.all()):
                late = torch.nonzero(~begun)[:, 0]
                ring.clear(late)
                if lanes.panorama is not None:
                    lanes.panorama.begin(late, lanes.panorama.reach[late])
        text.advance()
        lanes.canvas = larger(moments.last(rows))
        lanes.action = moments.action.take(rows) * send((rows > first).float(), device)[:, None]
        return lanes

    def _controls(self, rows: torch.Tensor, first: torch.Tensor) -> Controls:
        """What led to moments; nothing did to the first ones of their lanes."""
        acted = (~first).float()[:, None]
        keys = self.moments.action.take(rows)[:, :NUM_KEYS] * acted
        camera = self.moments.camera.take(rows) * acted
        return Controls(keys[:, None], camera[:, None], torch.where(first, FIRST, ACTED)[:, None])

    def _prepare(self, lanes: _Lanes, controls: Controls, text: TextTokens) -> PreparedStep:
        ring = lanes.ring
        ages = ring.ages(lanes.seconds)
        return self.world.prepare_step(
            ring.previous, ring.previous_tau, controls, text, ring.caches, ring.slot, ages, ring.held
        )

    def _remember(self, lanes: _Lanes, latent: torch.Tensor, prepared: PreparedStep) -> Prediction:
        """One pass over a finished latent, re-noised, whose keys and values are kept."""
        ring = lanes.ring
        tau = torch.full((len(latent),), self.context_tau, device=latent.device)
        context = flow.add_noise(latent[:, None], self.loop.noise(latent.shape)[:, None], tau[:, None])[:, 0]
        prediction = self.world.step(context, tau, prepared)
        ring.previous, ring.previous_tau = context, tau
        self._cut(ring)
        return prediction

    @staticmethod
    def _cut(ring: Ring) -> None:
        """No gradient goes back through what is remembered, and what has one is not written over."""
        for cache in ring.caches:
            cache.k, cache.v, cache.aged = (x.detach().clone() for x in (cache.k, cache.v, cache.aged))

    def _roll(self, lanes: _Lanes) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """One step of all lanes, and the losses of those whose episode goes on."""
        config, moments, device = self.config, self.moments, self.loop.device
        going = moments.after.rows[lanes.rows] > 0
        lanes.rows = rows = lanes.rows + going.long()
        alive = send(torch.nonzero(going)[:, 0], device)
        rows_alive = rows[going]
        none = torch.zeros(len(rows), dtype=torch.bool, device=device)
        lanes.ring.advance()
        prepared = self._prepare(lanes, self._controls(rows, none), lanes.text.tokens())
        blind = torch.zeros(len(rows), device=device)
        true = moments.true.take(rows).float()
        z = self.world.denoise(torch.zeros_like(true), blind, prepared)[:, 0]
        self._cut(lanes.ring)

        pair = torch.stack([moments.true.take(rows_alive - 1).float(), true[alive]], dim=1)
        weight = flow.change_weight(pair, self.world.config.patch, config.world.change_most)[:, 1]
        latent = (weight * (z[alive] - true[alive]).square()).mean()

        count = len(rows_alive)
        blank = torch.from_numpy(self.loop.rng.choice(np.flatnonzero(moments.before.rows.numpy() > 0), config.blank))
        shown_rows = torch.cat([rows_alive, blank])
        known = torch.arange(len(shown_rows), device=device) < count
        nothing = torch.zeros_like(lanes.canvas[:1]).expand(len(blank), -1, -1, -1)
        latents = torch.cat([z[alive].float(), moments.true.take(blank).float()])
        actions = moments.actions(shown_rows)
        actions[:count, ACTION:] = lanes.action[alive]
        around = None
        if lanes.panorama is not None:
            lanes.panorama.move(moments.action.take(rows)[:, :NUM_KEYS], moments.camera.take(rows))
            view = lanes.panorama.view()[alive]
            around = torch.cat([view, torch.zeros_like(view[:1]).expand(len(blank), -1, -1, -1)])
        shown = Shown(torch.cat([lanes.canvas[alive], nothing]), known, actions, around)
        y, carried = self.codec.decode_with(self.codec.denormalise(latents), 4, shown)
        assert carried is not None
        y = y.float()
        picture, metrics = memory_loss(y, carried, moments, shown_rows, known, config.memory)

        with torch.no_grad():
            block = to_pixels(moments.block.take(rows)).float()
            own = y.detach().clamp(-1, 1)
            block[alive] = own[:count]
            lanes.canvas[alive] = kept(own[:, -1].permute(0, 3, 1, 2), carried, known)[:count]
            if lanes.panorama is not None:
                lanes.panorama.show(smaller(lanes.canvas))
            latents = self.codec.encode_normalised(block)
        prediction = self._remember(lanes, latents, replace(prepared, caches=lanes.ring.caches))
        paid = send(going, device)[:, None]
        reward = -(two_hot(moments.reward.take(rows)[:, None]) * prediction.reward.log_softmax(-1)).sum(-1)
        done = moments.done.take(rows)[:, None].float()
        ended = F.binary_cross_entropy_with_logits(prediction.done, done, reduction="none")
        reward, ended = masked_mean(reward, paid), masked_mean(ended, paid)
        lanes.text.advance()
        lanes.action = moments.action.take(rows)
        loss = picture + config.latent * latent
        loss = loss + config.world.reward_weight * reward + config.world.done_weight * ended
        metrics |= {"latent": latent, "reward": reward, "done": ended}
        return loss, {name: value.detach() for name, value in metrics.items()}

    # what is looked at

    def _probe(self, step: int) -> dict[str, float]:
        """Free-running rollouts of held-out episodes: PSNR of the N-th frame and how sharp it is beside the truth."""
        n, context = self.config.probe_steps, 4
        episodes = [e for e in self.held_out if len(e) >= context + n]
        if not episodes:
            return {}
        dreamt = dream(self._simulator(), episodes, context, n, self.loop.device)
        self.hallucination_reference *= float(dreamt.hallucination[:, 0].mean())
        true = np.stack([e.observations[context + 1 : context + n + 1] for e in episodes]).astype(np.float32)
        drawn = dreamt.frames.astype(np.float32)
        errors = np.square((drawn - true) / 127.5).mean((2, 3, 4))
        edges = [np.abs(np.diff(x, axis=3)).mean((0, 2, 3, 4)) for x in (drawn, true)]
        first: dict[str, int] = {}
        for i, episode in enumerate(episodes):
            first.setdefault(episode.world, i)
        rows = []
        for i in first.values():
            rows += [x[i][:: max(1, n // 16)].astype(np.uint8) for x in (true, drawn)]
        save_rows(self.out / "sheets" / f"forcing-{step:06d}.png", rows)
        metrics = {"hallucination": self.hallucination_reference}
        for ahead in sorted({1, 4, 8, n}):
            if ahead <= n:
                metrics[f"free_{ahead}"] = float(np.mean([psnr(e) for e in errors[:, ahead - 1]]))
                metrics[f"sharp_{ahead}"] = float(edges[0][ahead - 1] / max(edges[1][ahead - 1], 1e-6))
        return metrics

    def _simulator(self) -> WorldSimulator:
        config = replace(self.begin.config, hallucination_reference=self.hallucination_reference)
        simulator = WorldSimulator.create(config, bank=self.begin.bank)
        simulator.codec.load_state_dict(self.codec.state_dict())
        simulator.world.load_state_dict(self.world.state_dict())
        return simulator

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")
