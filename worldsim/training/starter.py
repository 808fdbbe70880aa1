"""Training of the starter: single frames of recorded moments from noise, told what is said of them.

Flow matching with the loss and the spread of levels of EDM (Karras et al. 2022, table 1): the error of what the network
itself puts out, at noise-to-signal ratios that are lognormal. A share of the moments is told nothing of the scene, of
the view, or of both, so that text can guide (classifier-free guidance, Ho and Salimans 2022). A share is shown a part
of the picture and told the scene alone: so the network learns to complete views.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from worldsim.diffusion import flow
from worldsim.model.codec import latents_digest
from worldsim.model.starter import STARTER, Starter, StarterConfig, guided
from worldsim.model.starternet import StarterNet
from worldsim.model.weights import WorldSimulator
from worldsim.passes import pick_device
from worldsim.recording.episode import Episode
from worldsim.training.configs import StarterTrainConfig
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.openings import AWAY, BEYOND, BOTH_SIDES, FORMAT, Openings, read_openings
from worldsim.training.shares import check_held, draw_weighed
from worldsim.training.sheets import save_rows
from worldsim.training.starter_card import card
from worldsim.worlds import WORLDS

# M moments, B of a batch


class StarterTraining:
    """A run over ``moments`` that the codec of ``begin`` encoded; ``held_out`` ones serve the probes and the sheets.
    ``more`` brings moments that came since, or None. The model gets the starter and stays as it is otherwise."""

    def __init__(
        self,
        config: StarterTrainConfig,
        out: Path,
        begin: WorldSimulator,
        moments: Openings,
        held_out: Openings,
        more: Callable[[], Openings | None] | None = None,
    ) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        self.config, self.out, self.begin = config, out, begin
        write_run_card(out, config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.optim.seed)
            self.net = StarterNet(config.net)
        self.loop = Loop(out, self.net, config.optim, config.run)
        self.moments, self.held_out = moments.to(self.loop.device), held_out.to(self.loop.device)
        self._completes = torch.tensor(
            [WORLDS[world].index for world in config.completes], dtype=torch.int64, device=self.loop.device
        )
        self.more, self._new = more, list[Openings]()
        self.rows = _by_world(self.moments)
        if more is None:  # else worlds may come later
            check_held(config.shares, self.rows)
        self.longest = tuple(
            max(1, *(int((of.scene if part == "scene" else of.view).ne(0).sum(1).max()) for of in (moments, held_out)))
            if more is None
            else getattr(moments, part).shape[1]
            for part in ("scene", "view")
        )
        if not set(held_out.world.tolist()) & set(moments.world.tolist()):
            raise ValueError("the held-out moments are of none of the worlds that are learned: give the source both")
        self._errors_of = self.loop.compiled(self._of_network)

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator with the averaged starter (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        config, rng, device = self.config, self.loop.rng, self.loop.device
        self._take_more()
        worlds = list(self.rows)
        drawn = np.bincount(draw_weighed(worlds, config.shares, config.optim.batch, rng), minlength=len(worlds))
        rows = [self.rows[w][torch.from_numpy(rng.integers(len(self.rows[w]), size=n))] for w, n in zip(worlds, drawn)]
        batch = self.moments.rows(torch.cat(rows).to(device))
        ratio = torch.exp(config.level_mean + config.level_spread * self.loop.noise((len(batch),)))
        tau = 1 / (1 + ratio)
        silent = torch.from_numpy(rng.random((len(batch), 2)))
        no_scene = (silent[:, 0] < config.drop_text) | (silent[:, 1] < config.drop_scene)
        no_view = (silent[:, 0] < config.drop_text) | (silent[:, 1] > 1 - config.drop_view)
        eps = self.loop.noise(batch.z.shape)
        shown = torch.from_numpy(rng.random(len(batch)) < config.complete).to(device)
        shown = shown & batch.partly_seen(self._completes)
        batch = _shown(_silenced(batch, no_scene, no_view | shown.cpu()), shown)
        if config.spoil:
            batch = self._spoilt(batch)
        with self.loop.autocast():
            return self._errors(batch, eps, tau, of=self._errors_of).mean(), {}

    def _spoilt(self, batch: Openings) -> Openings:
        """The batch with noise on what was seen of its pictures."""
        latent, share = batch.seen[:, :-1], batch.seen[:, -1:]
        most = self.config.spoil * self.loop.noise((len(batch), 1, 1, 1)).abs().clamp(max=1)
        latent = latent + most * self.loop.noise(latent.shape) * (share > 0)
        return replace(batch, seen=torch.cat([latent, share.to(latent.dtype)], dim=1))

    def _take_more(self) -> None:
        """Learns from what has come since, from when it is a tenth of what there is; of a world that has more than
        ``moments``, from the latest."""
        if self.more is None or (new := self.more()) is None:
            return
        self._new.append(new)
        if 10 * sum(map(len, self._new)) > len(self.moments):
            self.moments = Openings.joined([self.moments, *(part.to(self.loop.device) for part in self._new)])
            self._new.clear()
            latest = [rows[-self.config.moments :] for rows in _by_world(self.moments).values()]
            self.moments = self.moments.rows(torch.cat(latest).sort().values)
            self.rows = _by_world(self.moments)

    def _errors(
        self,
        said: Openings,
        eps: torch.Tensor,
        tau: torch.Tensor,
        z: torch.Tensor | None = None,
        of: Callable[..., torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """``(B,)``: squared errors of what the network puts out, before its preconditioning, for the latents of
        ``said`` (or ``z``) under its texts; by a compiled function ``of``, where all batches have one shape."""
        z = said.z if z is None else z
        return (of or self._of_network)(z.float(), eps, tau, said.seen.float(), *self._words(said), said.world)

    def _of_network(
        self, z: torch.Tensor, eps: torch.Tensor, tau: torch.Tensor, seen: torch.Tensor, *told: torch.Tensor
    ) -> torch.Tensor:
        noisy = flow.add_noise(z[:, None], eps[:, None], tau[:, None])[:, 0]
        error = (self.net(noisy, tau, self.net.read(*told), seen) - z).square().mean((1, 2, 3))
        return error * (tau.square() + (1 - tau).square()) / (1 - tau).square()

    def _words(self, said: Openings) -> tuple[torch.Tensor, torch.Tensor]:
        """Scene and view, as long as the longest of the run: a network that is compiled sees one shape."""
        return said.scene[:, : self.longest[0]].long(), said.view[:, : self.longest[1]].long()

    def _probe(self, step: int) -> dict[str, float]:
        self._sheet(step)
        return self._figures()

    def _figures(self) -> dict[str, float]:
        """The loss on held-out moments of which nothing was seen, of each world and of all in equal shares, and how
        many times as large it is when they are told what is said of another moment of their world, and nothing; and the
        loss where they are completed."""
        whole = self.held_out
        held = _shown(whole, torch.zeros(len(whole), dtype=torch.bool, device=whole.z.device))
        generator = torch.Generator().manual_seed(0)
        eps = torch.randn(held.z.shape, generator=generator).to(held.z.device)
        ratio = torch.exp(
            self.config.level_mean + self.config.level_spread * torch.randn(len(held), generator=generator)
        )
        tau = (1 / (1 + ratio)).to(eps.device)
        other = held.rows(_another(held.world.cpu(), generator).to(held.world.device))
        found: dict[str, torch.Tensor] = {}
        for name, said in (("loss", held), ("swapped", other), ("silent", _silent(held))):
            parts = [
                self._errors(said.rows(at), eps[at], tau[at], held.z[at]) for at in torch.arange(len(held)).split(64)
            ]
            found[name] = torch.cat(parts)
        worlds = {w: held.world == WORLDS[w].index for w in self.rows}
        worlds = {w: of for w, of in worlds.items() if of.any()}
        means = {n: torch.stack([x[of].mean() for of in worlds.values()]).mean() for n, x in found.items()}
        per_world = {f"loss_of_{w}": float(found["loss"][of].mean()) for w, of in worlds.items()}
        if (rows := whole.partly_seen(self._completes).nonzero()[:, 0]).numel():
            said = _without_view(whole)
            parts = [self._errors(said.rows(at), eps[at], tau[at]) for at in rows.split(64)]
            per_world["loss_completing"] = float(torch.cat(parts).mean())
        return {
            "loss": float(means["loss"]),
            "swapped_over_true": float(means["swapped"] / means["loss"]),
            "silent_over_true": float(means["silent"] / means["loss"]),
            **per_world,
        }

    def _sheet(self, step: int, columns: int = 6) -> None:
        """Of each world a row of held-out pictures as the codec has them, and then two draws of each from its text."""
        held, generator, rows = self.held_out, torch.Generator().manual_seed(0), list[np.ndarray]()
        for world in held.world.unique():
            rows_of = (held.world == world).nonzero()[:, 0]
            some = held.rows(rows_of[torch.linspace(0, len(rows_of) - 1, min(columns, len(rows_of))).long()])
            both = Openings.joined([some, _silent(some)])
            told = self.net.read(*self._words(both), both.world)
            drawn = [self._pictures(some.z.float())]
            eps = torch.randn(2, *some.z.shape, generator=generator).to(some.z.device)
            for noise in eps:
                z = guided(self.net, noise, told, self.config.steps, self.config.guidance).x[:, 0]
                drawn.append(self._pictures(z))
            if some.partly_seen(self._completes).any():
                drawn += self._completions(some, eps)
            rows.append(np.concatenate(drawn))
        save_rows(self.out / "sheets" / f"starter-{step:06d}.png", rows)

    def _completions(self, some: Openings, eps: torch.Tensor) -> list[np.ndarray]:
        """What was seen of pictures, and completions of it."""
        config, seen = self.config, some.seen.float()
        both = Openings.joined([_without_view(some), _silent(some)])
        told = self.net.read(*self._words(both), both.world)
        drawn = [guided(self.net, noise, told, config.complete_steps, config.complete_guidance, seen) for noise in eps]
        return [self._pictures(seen[:, :-1]), *(self._pictures(sampled.x[:, 0]) for sampled in drawn)]

    def _pictures(self, z: torch.Tensor) -> np.ndarray:
        return self.begin.codec.decode(z.cpu(), 1)[:, 0].numpy()

    def _simulator(self) -> WorldSimulator:
        net = StarterNet(self.config.net)
        net.load_state_dict(self.net.state_dict())
        encoder = latents_digest(self.begin.codec)
        config = self.config
        completes = tuple(name for name in config.completes if name in self.rows) if config.complete else ()
        made = StarterConfig(
            encoder, tuple(self.rows), config.steps, config.guidance, completes, config.complete_steps,
            config.complete_guidance, config.net,
        )  # fmt: skip
        return self.begin.with_starter(Starter(made, net))

    def _export(self) -> None:
        made, loop = self._simulator(), self.loop
        folder = made.save_pretrained(self.out / "model")
        if made.starter is not None:
            about = card(
                made.starter, self.config, self.moments, self.held_out, self._figures(), loop.step, loop.elapsed
            )  # fmt: skip
            made.starter.save_pretrained(folder / STARTER, about)


def openings_of(
    config: StarterTrainConfig,
    begin: WorldSimulator,
    episodes: Iterable[Episode],
    held_out: Callable[[], Iterable[Episode]],
    folder: Path,
) -> tuple[Openings, Openings]:
    """Moments to train on and held-out ones, encoded by the codec of ``begin``. They are kept in ``folder`` and made
    once: a run that goes on finds the same ones. Raises ``ValueError`` where those in ``folder`` are of another encoder
    or were taken otherwise."""
    made = {
        "encoder": latents_digest(begin.codec),
        "moments": str(config.moments),
        "every": str(config.every),
        "format": f"{FORMAT} {AWAY} {BEYOND} {BOTH_SIDES}",
        "seed": str(config.optim.seed),
    }

    def read(of: Iterable[Episode]) -> Openings:
        codec = copy.deepcopy(begin.codec).to(pick_device(config.run.device))
        return read_openings(of, codec, config.every, config.moments, config.optim.seed)

    makers = {"held_out": lambda: read(held_out()), "moments": lambda: read(episodes)}  # the quick part first
    apart, moments = Openings.kept(folder, made, makers)
    return moments, apart


def _by_world(moments: Openings) -> dict[str, torch.Tensor]:
    """Numbers of the moments of each world."""
    names = {spec.index: spec.name for spec in WORLDS.values()}
    return {names[int(w)]: (moments.world == w).nonzero()[:, 0] for w in moments.world.unique()}


def _silenced(moments: Openings, no_scene: torch.Tensor, no_view: torch.Tensor) -> Openings:
    """The moments without their scene, or their view, in rows of the masks ``(M,)``."""
    scene = moments.scene.masked_fill(no_scene[:, None].to(moments.scene.device), 0)
    return replace(moments, scene=scene, view=moments.view.masked_fill(no_view[:, None].to(scene.device), 0))


def _shown(moments: Openings, rows: torch.Tensor) -> Openings:
    """The moments, of which something was seen in ``rows``, a mask ``(M,)``, alone."""
    return replace(moments, seen=moments.seen * rows[:, None, None, None])


def _without_view(moments: Openings) -> Openings:
    return replace(moments, view=torch.zeros_like(moments.view))


def _silent(moments: Openings) -> Openings:
    every = torch.ones(len(moments), dtype=torch.bool)
    return _silenced(moments, every, every)


def _another(world_M: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """For each moment the number of another one of its world (of itself, where it is alone)."""
    other = torch.arange(len(world_M))
    for world in world_M.unique():
        rows = (world_M == world).nonzero()[:, 0]
        order = rows[torch.randperm(len(rows), generator=generator)]
        other[order] = order.roll(1)
    return other
