"""Training of the refiner alone: what a frozen transformer foresees of recorded steps, and what came.

A transformer that is good at what fills the picture can go on for long and still be blind to what is a cell or two in
size. Its predictions of all recorded steps are made once, and the refiner learns to correct them: some 500 moments a
second on one core, a multiple of what the whole model learns from. With the whole model (``worldsim train world``) it
is trained too, like any of its layers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from worldsim.actions import multi_hot
from worldsim.diffusion import flow
from worldsim.model.codec import Codec
from worldsim.model.conditioning import ACTED, FIRST, Controls
from worldsim.model.transformer import PAST, WorldModel
from worldsim.model.weights import WorldSimulator
from worldsim.passes import pick_device
from worldsim.recording.episode import Episode, shots_of
from worldsim.training.arena import Arena
from worldsim.training.columns import Columns
from worldsim.training.configs import RefinerTrainConfig
from worldsim.training.latents import encode_episode
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.moments import predict_each
from worldsim.training.shares import check_held, draw_weighed
from worldsim.worlds import WORLDS

# M moments, B of a batch, C latent channels, h w latent cells, D width


@dataclass(frozen=True)
class Foreseen(Columns):
    """Moments of episodes in order: the ``true (M, C, h, w)`` latent and what was ``foreseen`` of it, half precision;
    what describes the ``action (M, D)`` that led to it; the index of the ``world (M,)``; and how many moments of the
    same shot are ``before (M,)`` it."""

    true: torch.Tensor
    foreseen: torch.Tensor
    action: torch.Tensor
    world: torch.Tensor
    before: torch.Tensor

    @property
    def learnable(self) -> torch.Tensor:
        """int64 ``(L,)``: numbers of the moments that something came before."""
        return torch.nonzero(self.before)[:, 0]

    def past(self, rows: torch.Tensor) -> torch.Tensor:
        """float32 ``(B, P, C, h, w)``: true latents before moments, the latest first, zeros where there is none."""
        seen = [self.before[rows] >= i for i in _BACK]
        back = [self.true[rows - i].float() * known[:, None, None, None] for i, known in zip(_BACK, seen)]
        return torch.stack(back, dim=1)


_BACK = range(1, PAST + 1)
PROBED = 512
"""Moments that a probe refines at once."""


class RefinerTraining:
    """A run over ``moments`` that the model ``begin`` foresaw; ``held_out`` ones serve the probes. The model gets the
    refiner, and stays as it is otherwise; where it has one of the same sizes, the run goes on from that."""

    def __init__(
        self, config: RefinerTrainConfig, out: Path, begin: WorldSimulator, moments: Foreseen, held_out: Foreseen
    ) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        self.config, self.out, self.begin = config, out, begin
        write_run_card(out, config)
        sizes = replace(begin.config.world, refiner=config.refiner)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.optim.seed)
            self.world = WorldModel(sizes)
        self.world.take_over(begin.world if begin.config.world == sizes else without_refiner(begin.world))
        assert self.world.refiner is not None
        self.refiner = self.world.refiner
        self.loop = Loop(out, self.refiner, config.optim, config.run)
        self.moments, self.held_out = moments.to(self.loop.device), held_out.to(self.loop.device)
        names = {spec.index: spec.name for spec in WORLDS.values()}
        rows = moments.learnable
        self.rows = {names[int(w)]: rows[moments.world[rows] == w] for w in moments.world[rows].unique()}
        check_held(config.shares, self.rows)
        found = {name: _error(moments, some) for name, some in self.rows.items()}
        self.scale = torch.ones(begin.config.world.worlds, device=self.loop.device)
        for name, error in found.items():
            self.scale[WORLDS[name].index] = 1 / max(error, 1e-6)

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator with the averaged refiner (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The squared error, what changes weighing more, and each world by what the transformer leaves of it."""
        config, rng, moments = self.config, self.loop.rng, self.moments
        worlds = list(self.rows)
        drawn = np.bincount(draw_weighed(worlds, config.shares, config.optim.batch, rng), minlength=len(worlds))
        rows = torch.cat(
            [self.rows[w][torch.from_numpy(rng.integers(len(self.rows[w]), size=n))] for w, n in zip(worlds, drawn)]
        )
        rows = rows.to(self.loop.device)
        target, past = moments.true[rows].float(), moments.past(rows)
        weight = flow.change_weights(
            torch.stack([past[:, 0], target], dim=1), self.begin.config.world.patch, config.change_most
        )
        with self.loop.autocast():
            if rng.random() < config.own:
                earlier = torch.where(moments.before[rows] > 1, rows - 1, rows)
                with torch.no_grad():
                    own = self._refined(moments, earlier, moments.past(earlier))
                past[:, 0] = torch.where((earlier < rows)[:, None, None, None], own, past[:, 0])
            there = moments.before[rows, None] >= torch.tensor(_BACK, device=past.device)
            noise = float(rng.random()) * config.noise * self.loop.noise(past.shape)
            past = past + noise * there[..., None, None, None]
            x = self._refined(moments, rows, past)
        error = (weight[:, 1] * (x - target).square()).mean((1, 2, 3))
        scaled = (error * self.scale[moments.world[rows]]).mean()
        return scaled, {"mse": (x - target).square().mean().detach()}

    def _refined(self, moments: Foreseen, rows: torch.Tensor, past: torch.Tensor) -> torch.Tensor:
        x = moments.foreseen[rows].float()
        return x + self.refiner(x, past, moments.action[rows], moments.world[rows])

    def _probe(self, step: int) -> dict[str, float]:
        """Per world and in the mean over worlds, over the half of its held-out moments that change most: the squared
        error of what is refined over that of what was foreseen (``over_foreseen``), and over that of the latent before
        (``over_copy``)."""
        held, found = self.held_out, dict[str, float]()
        for name, spec in WORLDS.items():
            rows = held.learnable[held.world[held.learnable] == spec.index]
            if not len(rows):
                continue
            past, target = held.past(rows), held.true[rows].float()
            with self.loop.autocast():
                x = torch.cat([self._refined(held, some, held.past(some)) for some in rows.split(PROBED)])
            changed = (past[:, 0] - target).square().mean((1, 2, 3))
            moving = changed >= changed.median()
            error, before = (((y - target).square().mean((1, 2, 3))[moving]) for y in (x, held.foreseen[rows].float()))
            found[f"over_foreseen_of_{name}"] = float(error.mean() / before.mean())
            found[f"over_copy_of_{name}"] = float(error.mean() / changed[moving].mean())
        for metric in ("over_foreseen", "over_copy"):
            values = [value for name, value in found.items() if name.startswith(metric + "_of_")]
            if values:
                found[metric] = float(np.mean(values))
        return found

    def _simulator(self) -> WorldSimulator:
        return self.begin.with_world(copy.deepcopy(self.world).cpu())

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")


def without_refiner(world: WorldModel) -> WorldModel:
    """The same transformer, nothing of which is corrected."""
    with torch.random.fork_rng(devices=[]):
        plain = WorldModel(replace(world.config, refiner=None))
    plain.load_state_dict(
        {name: value for name, value in world.state_dict().items() if not name.startswith("refiner.")}
    )
    return plain.eval().requires_grad_(False)


def foreseen_of(
    config: RefinerTrainConfig,
    begin: WorldSimulator,
    episodes: Iterable[Episode],
    held_out: Callable[[], Iterable[Episode]],
    folder: Path,
) -> tuple[Foreseen, Foreseen]:
    """Moments to train on and held-out ones, foreseen by ``begin`` without a refiner. They are kept in ``folder`` and
    made once. Raises ``ValueError`` where those in ``folder`` are of another model, or there are none to learn from."""

    def make(some: Iterable[Episode], what: str) -> Foreseen:
        device = pick_device(config.run.device)
        world, codec = without_refiner(begin.world).to(device), copy.deepcopy(begin.codec).to(device)
        parts = [_foreseen(shot, codec, world) for shot in shots_of(iter(some))]
        if not parts:
            raise ValueError(f"there are no episodes {what}: give source.data or source.steps, and source.held_out")
        if len({part.true.shape[1:] for part in parts}) > 1:
            raise ValueError("episodes have frames of several sizes: a refiner learns from one; give one size")
        return Foreseen.joined(parts)

    makers = {"moments": lambda: make(episodes, "to learn from"), "held_out": lambda: make(held_out(), "held out")}
    moments, apart = Foreseen.kept(folder, {"digest": begin.digest}, makers)
    return moments, apart


@torch.no_grad()
def _foreseen(shot: Episode, codec: Codec, world: WorldModel) -> Foreseen:
    encoded = encode_episode(shot, codec)
    arena = Arena(encoded.z.shape[1:])
    arena.add(encoded)
    keys = torch.from_numpy(np.concatenate([np.zeros((1, 32), np.float32), multi_hot(shot.keys)]))
    camera = torch.from_numpy(np.concatenate([np.zeros((1, 2), np.float32), shot.camera]))
    known = torch.full((1, len(keys)), ACTED)
    known[0, 0] = FIRST
    device = next(world.parameters()).device
    action = world.action(Controls(keys[None].to(device), camera[None].to(device), known.to(device)))[0]
    rows = len(shot) + 1
    return Foreseen(
        encoded.z.half().cpu(),
        predict_each(world, arena).half().cpu(),
        action.half().cpu(),
        torch.full((rows,), WORLDS[shot.world].index),
        torch.arange(rows),
    )


def _error(moments: Foreseen, rows: torch.Tensor) -> float:
    some = rows[:: max(1, len(rows) // 2000)]
    return float((moments.true[some].float() - moments.foreseen[some].float()).square().mean())
