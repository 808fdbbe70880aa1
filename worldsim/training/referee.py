"""Training of the referee: what steps paid in truth, from where things stood and what the heads said.

The rest of the model is frozen. Rare outcomes are drawn far more often than they are. At first that is undone by half,
or a hit in a hundred steps would teach too little of where it comes from; towards the end everything is weighed by how
often it is (importance weights, with an exponent that grows from 0.5 to 1), so that probabilities come out true.
Pictures of recorded moments are spoilt a little, for drawn ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from worldsim.model.heads import cross_entropies
from worldsim.model.referee import Referee
from worldsim.model.weights import WorldSimulator
from worldsim.passes import pick_device
from worldsim.recording.episode import Episode, shots_of
from worldsim.training.configs import RefereeTrainConfig
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.situations import Situations, Watcher, places_before
from worldsim.worlds import WORLDS

# M situations, B of a batch

PROBED_AT_ONCE = 4096
"""Held-out situations that are read at once: all of a GPU's would take gigabytes."""


class RefereeTraining:
    """A run over ``situations``; ``held_out`` ones serve the probes. The model ``begin``, which made them, stays as it
    is and gets the referee."""

    def __init__(
        self,
        config: RefereeTrainConfig,
        out: Path,
        begin: WorldSimulator,
        situations: Situations,
        held_out: Situations,
    ) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        self.config, self.out, self.begin = config, out, begin
        write_run_card(out, config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.optim.seed)
            self.referee = Referee(config.referee, begin.config.world)
        self.loop = Loop(out, self.referee, config.optim, config.run)
        self.situations, self.held_out = situations.to(self.loop.device), held_out.to(self.loop.device)
        shares = {WORLDS[name].index: share for name, share in config.shares.items()}
        self.chance, self.weight = balance(self.situations, shares)

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator with the averaged referee (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        config, generator = self.config, self.loop.noise_generator
        rows = torch.multinomial(self.chance, config.optim.batch, replacement=True, generator=generator)
        batch, device = self.situations.rows(rows), self.loop.device

        def drawn(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, device=device)

        b, _, c, h, w = batch.shown.shape
        noise = config.blur * drawn(b, 1, c, h, w) + config.tint * drawn(b, 1, c, 1, 1)
        shown = batch.shown.float() + noise * ~batch.heard[:, None, None, None, None]
        heard = batch.heard & (torch.rand(b, generator=generator, device=device) >= config.unheard)
        heard &= not config.referee.alone  # as where it judges
        reward, done = losses(self.referee, batch, shown, heard)
        weight = self.weight[rows] ** (0.5 + 0.5 * min(1.0, self.loop.progress / config.weighed_from))
        reward, done = ((x * weight).mean() / weight.mean() for x in (reward, done))
        metrics = {"reward": reward.detach(), "done": done.detach()}
        return config.reward_weight * reward + config.done_weight * done, metrics

    def _probe(self, step: int) -> dict[str, float]:
        """Cross-entropies on held-out situations, the worlds in equal shares: of rollouts, as the environment reads
        them and by the heads alone; of recorded moments."""
        held = self.held_out
        with torch.no_grad():
            heard = held.heard & (not self.config.referee.alone)
            parts = torch.arange(len(held), device=heard.device).split(PROBED_AT_ONCE)
            read = [losses(self.referee, held.rows(at), held.shown[at], heard[at]) for at in parts]
        columns = {name: torch.cat(found) for name, found in zip(("reward", "done"), zip(*read))}
        said = cross_entropies(held.said_reward, held.said_done, held.reward, held.done)
        columns |= dict(zip(("heads_reward", "heads_done"), said))
        found: dict[str, float] = {}
        for prefix, kind in (("", held.heard), ("recorded_", ~held.heard)):
            worlds = held.world[kind].unique()
            for name, values in columns.items():
                if len(worlds) and not (prefix and name.startswith("heads")):
                    means = [values[kind & (held.world == world)].mean() for world in worlds]
                    found[prefix + name] = float(torch.stack(means).mean())
        return found

    def _simulator(self) -> WorldSimulator:
        referee = Referee(self.config.referee, self.begin.config.world)
        referee.load_state_dict(self.referee.state_dict())
        return self.begin.with_referee(referee)

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")


def losses(
    referee: Referee, batch: Situations, shown: torch.Tensor, heard: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropies ``(B,)`` of reward and termination in situations whose pictures are ``shown``."""
    reward, done = referee(shown, batch.past, batch.context, batch.said_reward, batch.said_done, heard)
    return cross_entropies(reward, done, batch.reward, batch.done)


def balance(situations: Situations, shares: Mapping[int, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """``(M,)`` each: the chance to be drawn, and the weight that undoes what is drawn too often of a kind and world.

    Both kinds of situations have equal shares, in these the worlds theirs (``shares`` by index, 1 where none is given),
    and in these all kinds of outcomes the same.
    """
    kind, world = situations.heard.long(), situations.world
    group = 2 * world + kind
    _, cell = torch.stack([group, situations.outcome]).unique(dim=1, return_inverse=True)
    in_group, in_cell = (torch.bincount(of)[of].double() for of in (group, cell))
    within = 1 / in_cell
    within /= torch.bincount(group, within)[group]
    share = torch.ones_like(within)
    for index, value in shares.items():
        share[world == index] = value
    share /= in_group
    share /= torch.bincount(kind, share)[kind]
    chance = share * in_group * within
    return (chance / chance.sum()).float(), (1 / (in_group * within)).float()


def situations_of(
    config: RefereeTrainConfig,
    begin: WorldSimulator,
    episodes: Iterable[Episode],
    held_out: Callable[[], Iterable[Episode]],
    folder: Path,
) -> tuple[Situations, Situations]:
    """Situations to train on and held-out ones, made by ``begin`` without a referee. They are kept in ``folder`` and
    made once: a run that goes on finds the same ones. Raises ``ValueError`` where those in ``folder`` are of another
    model or were made otherwise, and where there are no episodes."""
    begin = begin.with_referee(None)

    @cache
    def shots() -> tuple[list[Episode], list[Episode]]:
        wanted, held = (_judged(config, begin, of) for of in (shots_of(episodes), shots_of(held_out())))
        if not wanted or not held:
            of = "training" if not wanted else "held-out"
            where = f" of {', '.join(config.referee.worlds)}" if config.referee.worlds else ""
            raise ValueError(f"there are no {of} episodes{where} to make situations of; give recordings that have some")
        return wanted, held

    def held_out_situations() -> Situations:
        held = shots()[1]
        rounds = max(-(-config.rounds // 8), len({shot.world for shot in held})) if config.rounds else 0
        return _make(config, begin, held, rounds)

    makers = {"situations": lambda: _make(config, begin, shots()[0], config.rounds), "held_out": held_out_situations}
    situations, apart = Situations.kept(folder, made_by(config, begin), makers)
    return situations, apart


def _judged(config: RefereeTrainConfig, begin: WorldSimulator, shots: Iterable[Episode]) -> list[Episode]:
    """Those of the worlds that the referee judges."""
    if strange := sorted(set(config.referee.worlds) - set(begin.config.worlds)):
        raise ValueError(f"the model simulates {', '.join(begin.config.worlds)}, and not {', '.join(strange)}")
    return [shot for shot in shots if not config.referee.worlds or shot.world in config.referee.worlds]


def made_by(config: RefereeTrainConfig, begin: WorldSimulator) -> dict[str, str]:
    """What situations depend on, as it is kept beside them."""
    names = ("moments", "rounds", "lanes", "horizon", "prefix", "drop_text", "turns")
    read = {name: getattr(config, name) for name in names} | {"digest": begin.digest, "seed": config.optim.seed}
    read |= {name: getattr(config.referee, name) for name in ("seen", "past", "worlds")}
    return {name: str(value) for name, value in read.items()}


def _make(config: RefereeTrainConfig, begin: WorldSimulator, shots: Sequence[Episode], rounds: int) -> Situations:
    """Recorded moments of ``shots`` and ``rounds`` of rollouts along them, the worlds in turn."""
    if len(sizes := {shot.frame_size for shot in shots}) > 1:
        raise ValueError(f"episodes have frames of {sorted(sizes)}; a referee is trained on one size at a time")
    rng, there = np.random.default_rng(config.optim.seed), sorted({shot.world for shot in shots})
    worlds = config.turns or there
    if not set(worlds) <= set(there):
        raise ValueError(f"turns={config.turns}: the episodes are of {', '.join(there)}; name none but these")
    dtype = None if config.run.bf16 else torch.float32
    watcher = Watcher(begin, config.referee, pick_device(config.run.device), dtype)
    found: list[Situations] = []
    for i in rng.permutation(len(shots)):
        found.append(watcher.recorded(shots[i]))
        if sum(map(len, found)) >= config.moments:
            break
    for turn in range(rounds):
        of_world = [shot for shot in shots if shot.world == worlds[turn % len(worlds)]]
        places = places_before(of_world, config.lanes, config.horizon, rng)
        found.append(watcher.rolled_out(places, rng, config.horizon, config.prefix, config.drop_text))
        print(f"round {turn + 1} of {rounds} of rollouts, in {worlds[turn % len(worlds)]}", flush=True)
    return Situations.joined(found)
