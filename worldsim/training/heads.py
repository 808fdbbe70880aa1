"""Reward and termination learned on the model's own rollouts: what it draws is what its heads are read from.

Heads that were only trained on true frames have seen the outcome: a monster that falls tells of the kill. In a rollout
the outcome is drawn by the model itself, as a mean of hit and miss where it is unsure, and such a frame is none that
they know. Here lanes begin from true frames and go on by themselves under the recorded actions, as the rollout engine
does without noise, and the heads are taught what the same step paid in truth (DAgger, Ross et al. 2011). Nothing else
is trained, so pictures and latents stay what they were.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from worldsim.actions import NUM_KEYS
from worldsim.captions.grammar import prompt_text, scene_caption, view_caption
from worldsim.diffusion import flow
from worldsim.lane_text import TextMemory
from worldsim.model.conditioning import ACTED, FIRST, NO_VIEW, Controls, TextTokens
from worldsim.model.heads import two_hot
from worldsim.model.memory import Shown, larger, smaller
from worldsim.model.panorama import Panorama
from worldsim.model.transformer import Prediction, PreparedStep
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import BLOCK_FRAMES, LaneText
from worldsim.recording.episode import Episode
from worldsim.recording.facts_json import read_facts
from worldsim.ring import Ring
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.moments import Moments
from worldsim.training.objective import masked_mean
from worldsim.training.presets import HeadsTrainConfig
from worldsim.training.transfer import send
from worldsim.worlds import WORLDS

# B lanes, T steps, C channels, H W size of a frame, h w latent cells


class _Lanes:
    """Rollouts under way: each lane's ring, text, ``canvas`` of what it showed, last ``action``, ``panorama``, and the
    row of the moment it is at."""

    def __init__(
        self, moments: Moments, ring: Ring, text: TextMemory, rows: torch.Tensor, seconds: torch.Tensor
    ) -> None:
        self.moments, self.ring, self.text, self.rows, self.seconds = moments, ring, text, rows, seconds
        self.canvas = self.action = torch.zeros(0)
        self.panorama: Panorama | None = None


class HeadsTraining:
    """A run over rollouts from the moments of ``episodes``; ``held_out`` episodes serve the probes.

    A run that is resumed between the begin and the end of its rollouts begins them anew; where ``run.save_every`` is a
    multiple of ``horizon``, one that was killed goes on exactly. Raises ``ValueError`` where the model's decoder has no
    memory, or a world shows one frame per step.
    """

    def __init__(
        self,
        config: HeadsTrainConfig,
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
        self.config, self.out, self.begin = config, out, begin
        write_run_card(out, config)
        self.codec, self.world = copy.deepcopy((begin.codec, begin.world))
        self.world.heads.requires_grad_(True)
        self.loop = Loop(out, self.world.heads, config.optim, config.run)
        self.codec.to(self.loop.device)
        self.world.to(self.loop.device)
        self.context_tau = 1 - begin.config.context_noise
        self.moments = self._moments(episodes)
        self._starts = self._able_rows(self.moments)
        self._lanes: _Lanes | None = None
        self.held_out = self._moments(iter(held_out)) if held_out else None

    def _moments(self, episodes: Iterator[Episode]) -> Moments:
        moments = None
        for episode in episodes:
            if episode.frames_per_step == 1:
                raise ValueError(f"{episode.world} shows one frame per step; rollouts are trained on blocks of frames")
            moments = moments or Moments(episode.frame_size, self.codec.config, self.loop.device)
            moments.add(episode, self.codec)
        if moments is None:
            raise ValueError("there are no episodes to start from: give source.data or source.steps")
        return moments

    def _able_rows(self, moments: Moments) -> dict[str, np.ndarray]:
        """Rows of each world that a rollout may begin from: half a horizon of its episode is left, if it is as long."""
        after, episode = moments.after.rows.numpy(), moments.episode.rows.numpy()
        length = after + moments.before.rows.numpy() + 1
        able = (after >= np.minimum(self.config.horizon, length) // 2) & (after > 0)
        worlds = np.array([told.world for told in moments.told])[episode]
        return {world: np.flatnonzero(able & (worlds == world)) for world in sorted(set(worlds[able]))}

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator with averaged weights (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        config, loop = self.config, self.loop
        with loop.autocast():
            if self._lanes is None or step % config.horizon == 0:
                count, worlds = int(loop.rng.integers(1, config.prefix + 1)), list(self._starts)
                drawn = [worlds[i] for i in loop.rng.integers(len(worlds), size=config.optim.batch)]
                rows = torch.from_numpy(np.array([loop.rng.choice(self._starts[world]) for world in drawn]))
                self._lanes = self._begin_lanes(self.moments, rows, count)
            prediction, rows, going = self._roll(self._lanes)
            reward, done = self._losses(self.moments, prediction, rows, going)
        metrics = {"reward": reward.detach(), "done": done.detach()}
        return config.reward_weight * reward + config.done_weight * done, metrics

    def _losses(
        self, moments: Moments, prediction: Prediction, rows: torch.Tensor, going: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropies of reward and termination over the lanes whose episode went on."""
        paid = send(going, self.loop.device)
        reward = -(two_hot(moments.reward.take(rows)) * prediction.reward[:, 0].log_softmax(-1)).sum(-1)
        done = F.binary_cross_entropy_with_logits(
            prediction.done[:, 0], moments.done.take(rows).float(), reduction="none"
        )
        return masked_mean(reward, paid), masked_mean(done, paid)

    # rollouts

    @torch.no_grad()
    def _begin_lanes(self, moments: Moments, rows: torch.Tensor, count: int) -> _Lanes:
        """Lanes at ``rows`` that know ``count`` true latents, the first of them that of a single frame; fewer near a
        reset."""
        config, device, rng, batch = self.config, self.loop.device, self.loop.rng, len(rows)
        first = rows - torch.minimum(torch.tensor(count - 1), moments.before.rows[rows])
        told = [moments.told[i] for i in moments.episode.rows[rows].tolist()]
        text = TextMemory(self.world, batch, device)
        texts = []
        for row, known in zip(rows.tolist(), told):
            scene, view, _ = read_facts(known.facts[int(moments.before.rows[row])])
            spec = WORLDS[known.world]
            silent, unseen = rng.random(2) < config.drop_text
            prompt = "" if silent else prompt_text(spec, scene_caption(scene, "medium"))
            texts.append(LaneText(prompt, "" if silent or unseen else view_caption(view, "medium"), known.goal))
        text.begin(range(batch), texts, [WORLDS[known.world].index for known in told])
        seconds = torch.tensor([WORLDS[known.world].step_seconds for known in told], device=device)
        dtype = torch.bfloat16 if config.run.bf16 else torch.float32
        channels, h, w = moments.true.rows.shape[1:]
        ring = Ring(self.world, batch, h * w // self.world.config.patch**2, (channels, h, w), dtype, device)
        lanes = _Lanes(moments, ring, text, rows, seconds)
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
            controls = self._controls(moments, at.clamp(min=0), is_first)
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

    @staticmethod
    def _controls(moments: Moments, rows: torch.Tensor, first: torch.Tensor) -> Controls:
        """What led to moments; nothing did to the first ones of their lanes."""
        acted = (~first).float()[:, None]
        keys = moments.action.take(rows)[:, :NUM_KEYS] * acted
        camera = moments.camera.take(rows) * acted
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
        return prediction

    def _roll(self, lanes: _Lanes) -> tuple[Prediction, torch.Tensor, torch.Tensor]:
        """One step of all lanes: what the heads say, the rows of the moments that came, and whose episode went on."""
        moments, device = lanes.moments, self.loop.device
        going = moments.after.rows[lanes.rows] > 0
        lanes.rows = rows = lanes.rows + going.long()
        known = torch.ones(len(rows), dtype=torch.bool, device=device)
        with torch.no_grad():
            lanes.ring.advance()
            controls = self._controls(moments, rows, ~known)
            prepared = self._prepare(lanes, controls, lanes.text.tokens())
            nothing = torch.zeros(len(rows), *moments.true.rows.shape[1:], device=device)
            z = self.world.denoise(nothing, nothing[:, 0, 0, 0], prepared)[:, 0]
            around = None
            if lanes.panorama is not None:
                lanes.panorama.move(controls.keys[:, 0], controls.camera[:, 0])
                around = lanes.panorama.view()
            action = moments.action.take(rows)
            shown = Shown(lanes.canvas, known, torch.cat([action, lanes.action], dim=1), around)
            pixels, lanes.canvas = self.codec.show(z, BLOCK_FRAMES, shown)
            if lanes.panorama is not None:
                lanes.panorama.show(smaller(lanes.canvas))
            latent = self.codec.encode_normalised(pixels)
            lanes.action = action
        prediction = self._remember(lanes, latent, prepared)
        lanes.text.advance()
        return prediction, rows, going

    def _probe(self, step: int) -> dict[str, float]:
        """Losses over rollouts of held-out episodes, from every eighth of their moments on."""
        if self.held_out is None:
            return {}
        moments, sums = self.held_out, []
        rows = torch.from_numpy(
            np.sort(np.concatenate(list(self._able_rows(moments).values())))[:: self.config.probe_every]
        )
        with self.loop.autocast():
            lanes = self._begin_lanes(moments, rows, 2)
            for _ in range(self.config.horizon):
                prediction, rows, going = self._roll(lanes)
                sums.append([float(x) for x in self._losses(moments, prediction, rows, going)])
        reward, done = np.mean(sums, axis=0)
        return {"free_reward": float(reward), "free_done": float(done)}

    def _simulator(self) -> WorldSimulator:
        simulator = WorldSimulator.create(self.begin.config, bank=self.begin.bank)
        simulator.codec.load_state_dict(self.codec.state_dict())
        simulator.world.load_state_dict(self.world.state_dict())
        return simulator

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")
