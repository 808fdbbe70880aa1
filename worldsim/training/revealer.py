"""Training of the revealer: what is gone of a picture, by what was done since, or by what is told to happen.

In true play a door opens to who uses it. A share of the moments hides that from the network and tells the event in its
place, so that either brings it; in another share a door is told of that is not in the picture, and nothing is gone. So
text is followed, and not taken for a key. Pictures are spoilt a little, for drawn ones are.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from worldsim.model.revealer import SURE, Revealer
from worldsim.model.starter import Starter
from worldsim.model.weights import WorldSimulator
from worldsim.training.configs import RevealerTrainConfig
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.reveals import Reveals
from worldsim.training.sheets import save_rows
from worldsim.training.starter_card import with_section

# M moments, B of a batch


class RevealerTraining:
    """A run over ``moments``; ``held_out`` ones serve the probes and the sheets. The starter of ``begin`` gets the
    revealer; everything else stays as it is. Raises ``ValueError`` where there is no starter that completes pictures.
    """

    def __init__(
        self, config: RevealerTrainConfig, out: Path, begin: WorldSimulator, moments: Reveals, held_out: Reveals
    ) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        self.config, self.out, self.begin, self.starter = config, out, begin, revealing(begin, config)
        write_run_card(out, config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.optim.seed)
            self.revealer = Revealer(config.revealer, begin.codec.config.latent_channels)
        self.loop = Loop(out, self.revealer, config.optim, config.run)
        self.moments, self.held_out = moments.to(self.loop.device), held_out.to(self.loop.device)
        gone = self.moments.gone.flatten(1).any(1)
        kinds = (gone & self.moments.acted.any(1), ~gone, gone & self.moments.told.any(1), self.moments.fresh)
        self.kinds = [which.nonzero()[:, 0] for which in kinds]
        wanted = np.array([config.acted, config.nothing, config.told, config.another])
        self.shares = wanted * [len(rows) > 0 for rows in self.kinds]
        self.shares /= self.shares.sum()

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator with the averaged revealer (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        config, rng = self.config, self.loop.rng
        counts = rng.multinomial(config.optim.batch, self.shares)
        acted, nothing, told, another = (self._drawn(rows, n) for rows, n in zip(self.kinds, counts))
        batch = Reveals.joined(
            [
                untold(Reveals.joined([acted, nothing])),
                told_alone(told, rng, config.nameless),
                told_of_another(another, rng),
            ]
        )
        z = batch.z.float()
        much = config.spoil * self.loop.noise((len(z), 1, 1, 1)).abs()
        logits = self.revealer(z + much * self.loop.noise(z.shape), batch.acted, batch.told, batch.colour)
        return F.binary_cross_entropy_with_logits(logits[:, 0], batch.gone.float()), {}

    def _drawn(self, rows: torch.Tensor, count: int) -> Reveals:
        if not count:
            return self.moments.rows(rows[:0])
        return self.moments.rows(rows[torch.from_numpy(self.loop.rng.integers(len(rows), size=count)).to(rows.device)])

    def _probe(self, step: int) -> dict[str, float]:
        found = figures(self.revealer, self.held_out)
        self._sheet(step)
        return found

    def _sheet(self, step: int, columns: int = 12) -> None:
        """Held-out pictures, what of them is gone, and what the revealer says is."""
        held = self.held_out
        rows = (held.gone.flatten(1).any(1)).nonzero()[:, 0]
        some = held.rows(rows[torch.linspace(0, len(rows) - 1, min(columns, len(rows))).long()])
        pictures = self.begin.codec.decode(some.z.float().cpu(), 1)[:, 0].numpy()
        side = self.begin.codec.config.stride
        sheets = [pictures]
        for gone in (some.gone, chances(self.revealer, some) >= SURE):
            where = gone.cpu().numpy().repeat(side, 1).repeat(side, 2)[..., None]
            sheets.append(np.where(where, np.uint8(127), pictures))
        save_rows(self.out / "sheets" / f"revealer-{step:06d}.png", sheets)

    def _simulator(self) -> WorldSimulator:
        made = Revealer(self.config.revealer, self.begin.codec.config.latent_channels)
        made.load_state_dict(self.revealer.state_dict())
        starter = self.starter.with_revealer(made)
        found = figures(self.revealer, self.held_out)
        lines = (
            f"Trained on {len(self.moments):,} moments of true play in {self.loop.step} steps of "
            f"{self.config.optim.batch} (seed {self.config.optim.seed}; `worldsim train revealer`), and measured on "
            f"{len(self.held_out):,} of maps of the validation split. Of the cells that what was done takes away it "
            f"finds {found['recall']:.0%}, and {found['precision']:.0%} of those that it finds are taken; told of it "
            f"in words alone {found['recall_told']:.0%} and {found['precision_told']:.0%}. Told of a door that is not "
            f"in the picture it takes something away in {found['alarms_another']:.0%} of the moments, where what was "
            f"done takes nothing in {found['alarms']:.0%}."
        )
        starter.card = with_section(self.starter, starter, "Revealer", lines)
        return self.begin.with_starter(starter)

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")


def revealing(simulator: WorldSimulator, config: RevealerTrainConfig) -> Starter:
    """The starter of a model, which can be given a revealer; ``ValueError`` where it does not complete its worlds."""
    starter = simulator.starter
    missing = set(config.revealer.worlds) - set(() if starter is None else starter.config.completes)
    if starter is None or missing:
        raise ValueError(
            f"the model has no starter that completes {', '.join(sorted(missing))}, and who reveals something must "
            "draw it: `worldsim train starter`"
        )
    return starter


def untold(moments: Reveals) -> Reveals:
    """Moments of which no words tell."""
    return replace(moments, told=torch.zeros_like(moments.told), colour=torch.zeros_like(moments.colour))


def told_alone(moments: Reveals, rng: np.random.Generator, nameless: float) -> Reveals:
    """Moments whose acts are not known: the words alone bring it, in a share ``nameless`` of them without a colour."""
    named = torch.from_numpy(rng.random((len(moments), 1)) >= nameless).to(moments.colour.device)
    return replace(moments, acted=torch.zeros_like(moments.acted), colour=moments.colour * named)


def told_of_another(moments: Reveals, rng: np.random.Generator) -> Reveals:
    """Moments in which nothing was done, told of a door that is not in the picture, some time ago: nothing is gone."""
    m, past = moments.told.shape
    device = moments.told.device
    absent = torch.from_numpy(rng.random(tuple(moments.doors.shape))).to(device) - 2 * moments.doors
    colour = F.one_hot(absent.argmax(1), moments.doors.shape[1]).to(moments.colour.dtype)
    told = F.one_hot(torch.from_numpy(rng.integers(past, size=m)).to(device), past).bool()
    none = torch.zeros_like(moments.acted)
    return replace(moments, acted=none, told=told, colour=colour, gone=torch.zeros_like(moments.gone))


@torch.no_grad()
def chances(revealer: Revealer, moments: Reveals) -> torch.Tensor:
    """Probabilities ``(M, h, w)`` that cells are gone."""
    parts = torch.arange(len(moments), device=moments.z.device).split(256)
    some = (moments.rows(at) for at in parts)
    return torch.cat([revealer(x.z.float(), x.acted, x.told, x.colour)[:, 0].sigmoid() for x in some])


def figures(revealer: Revealer, held_out: Reveals) -> dict[str, float]:
    """On held-out moments ``recall`` and ``precision`` of cells that are gone, by what was done and by words alone, and
    the shares of moments (``alarms``) in which something is taken away where nothing is: after an act, and told of a
    door that is not there."""
    rng = np.random.default_rng(0)
    found = {f"{name}{of}": float("nan") for of in ("", "_told") for name in ("recall", "precision")}
    real = untold(held_out)
    told = held_out.rows(held_out.told.any(1))
    for name, moments in (("", real.rows(real.acted.any(1))), ("_told", told_alone(told, rng, 0.0))):
        if not len(moments):
            continue
        sure = chances(revealer, moments) >= SURE
        both = (sure & moments.gone).sum()
        found[f"recall{name}"] = float(both / moments.gone.sum().clamp(min=1))
        found[f"precision{name}"] = float(both / sure.sum().clamp(min=1))
    quiet = real.rows(real.acted.any(1) & ~real.gone.flatten(1).any(1))
    for name, moments in (("", quiet), ("_another", told_of_another(held_out.rows(held_out.fresh), rng))):
        taken = (chances(revealer, moments) >= SURE).flatten(1).any(1) if len(moments) else torch.full((1,), torch.nan)
        found[f"alarms{name}"] = float(taken.float().mean())
    return found
