"""Reward and termination learned on the model's own rollouts: what it draws is what its heads are read from.

Heads that were only trained on true frames have seen the outcome: a monster that falls tells of the kill. In a rollout
the outcome is drawn by the model itself, as a mean of hit and miss where it is unsure, and such a frame is none that
they know. Here the rollout engine goes on from true frames under the recorded actions, and the heads are taught what
the same step paid in truth (DAgger, Ross et al. 2011). Nothing else is trained, so pictures and latents stay what they
were.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from worldsim.model.heads import cross_entropies
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode, shots_of
from worldsim.training.configs import HeadsTrainConfig
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.objective import masked_mean
from worldsim.training.recorded import Place
from worldsim.training.rollouts import Rollouts, able
from worldsim.training.shares import check_held, draw_weighed


class HeadsTraining:
    """A run over rollouts from observations of ``episodes``; ``held_out`` episodes serve the probes.

    A run that is resumed between the begin and the end of its rollouts begins them anew; where ``run.save_every`` is a
    multiple of ``horizon``, one that was killed goes on exactly.
    """

    def __init__(
        self,
        config: HeadsTrainConfig,
        out: Path,
        begin: WorldSimulator,
        episodes: Iterator[Episode],
        held_out: Sequence[Episode],
    ) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.optim.seed)
        self.config, self.out, self.begin = config, out, begin
        self.held_out = list(shots_of(held_out))
        write_run_card(out, config)
        self.heads = copy.deepcopy(begin.world.heads).requires_grad_(True)
        self.loop = Loop(out, self.heads, config.optim, config.run)
        self.starts: dict[str, list[Place]] = {}
        for shot in shots_of(episodes):  # an engine steps over no cut
            self.starts.setdefault(shot.world, []).extend(able(shot, config.horizon))
        if not self.starts:
            raise ValueError("there are no episodes to start from: give source.data or source.steps")
        check_held(config.shares, self.starts)
        self._rollouts: Rollouts | None = None
        self.unsure = begin.config.hallucination_reference

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator with averaged heads (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        config, rng = self.config, self.loop.rng
        if self._rollouts is None or step % config.horizon == 0:
            worlds = sorted(self.starts)
            of = [self.starts[worlds[i]] for i in draw_weighed(worlds, config.shares, config.optim.batch, rng)]
            if self._rollouts is not None:
                self._rollouts.close()
            self._rollouts = self._begin([places[rng.integers(len(places))] for places in of], rng)
        reward, done = self._losses(self._rollouts)
        metrics = {"reward": reward.detach(), "done": done.detach()}
        return config.reward_weight * reward + config.done_weight * done, metrics

    def _begin(self, places: Sequence[Place], rng: np.random.Generator) -> Rollouts:
        """Rollouts from a frame and up to ``prefix`` steps after it; some are told no scene, some no view."""
        config = self.config
        dtype = None if config.run.bf16 else torch.float32
        return Rollouts.begin(self.begin, places, rng, config.prefix, config.drop_text, self.loop.device, dtype)

    def _losses(self, rollouts: Rollouts) -> tuple[torch.Tensor, torch.Tensor]:
        """One step, and the cross-entropies of reward and termination over the lanes whose episode went on."""
        read, reward, done, going = rollouts.step()
        logits, ended = self.heads(*read)
        reward, done, going = (x.to(logits.device) for x in (reward, done, going))
        wrong, missed = cross_entropies(logits[:, 0], ended[:, 0], reward, done)
        return masked_mean(wrong, going), masked_mean(missed, going)

    def _probe(self, step: int) -> dict[str, float]:
        """Losses over rollouts of held-out episodes, the same in every probe, and how sure the model is at their first
        step, which is what the environment's ``hallucination`` is relative to."""
        places = [place for episode in self.held_out for place in able(episode, self.config.horizon)][
            :: self.config.probe_every
        ]
        if not places:
            return {}
        rollouts = self._begin(places, np.random.default_rng(0))
        found = []
        for ahead in range(self.config.horizon):
            found.append([float(x) for x in self._losses(rollouts)])
            if ahead == 0:
                self.unsure = float(rollouts.block.hallucination.mean()) * self.begin.config.hallucination_reference
        rollouts.close()
        reward, done = np.mean(found, axis=0)
        return {"free_reward": float(reward), "free_done": float(done), "hallucination": self.unsure}

    def _simulator(self) -> WorldSimulator:
        config = replace(self.begin.config, hallucination_reference=self.unsure)
        simulator = WorldSimulator.create(config, bank=self.begin.bank)
        simulator.codec.load_state_dict(self.begin.codec.state_dict())
        simulator.world.load_state_dict(self.begin.world.state_dict())
        simulator.world.heads.load_state_dict(self.heads.state_dict())
        referee = self.begin.referee  # one that adds to what the heads say has learned to add to the former ones
        kept = referee if referee is not None and referee.config.alone else None
        return simulator.with_player(self.begin.player).with_referee(kept).with_starter(self.begin.starter)

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")
