"""Training of the player: what whoever recorded the episodes did at each moment, from what the frozen model read there.

Behaviour cloning by cross-entropy. A player that is sampled needs the right spread and not the best move, so the probes
are likelihoods on held-out episodes, in nats per action and the worlds in equal shares, beside two players that see
nothing: one that knows how often each action is taken in the world (``marginal``) and one that knows how often it
follows the last one (``after_last``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from worldsim.actions import NUM_ACTIONS, UNKNOWN_ACTION
from worldsim.model.player import Player, readable_actions
from worldsim.model.weights import WorldSimulator
from worldsim.passes import compute_dtype, pick_device
from worldsim.recording.episode import Episode
from worldsim.training.configs import PlayerTrainConfig
from worldsim.training.loop import Loop, write_run_card
from worldsim.training.readings import Reader, Readings
from worldsim.worlds import WORLDS

# M moments, B of a batch


class PlayerTraining:
    """A run over ``moments``; ``held_out`` ones serve the probes. The model ``begin``, whose readings they are, stays
    as it is and gets the player."""

    def __init__(
        self, config: PlayerTrainConfig, out: Path, begin: WorldSimulator, moments: Readings, held_out: Readings
    ) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        self.config, self.out, self.begin = config, out, begin
        write_run_card(out, config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.optim.seed)
            self.player = Player(config.player, begin.config.world)
        self.loop = Loop(out, self.player, config.optim, config.run)
        self.moments, self.held_out = moments.to(self.loop.device), held_out.to(self.loop.device)
        self.of_world = {int(w): (moments.world == w).nonzero()[:, 0] for w in moments.world.unique()}

    def run(self, until: int | None = None) -> WorldSimulator:
        """Trains and returns the simulator with the averaged player (also exported to ``out/model``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        return self.loop.with_average(self._simulator)

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        rng, worlds = self.loop.rng, list(self.of_world.values())
        drawn = np.bincount(rng.integers(len(worlds), size=self.config.optim.batch), minlength=len(worlds))
        rows = [rows[torch.from_numpy(rng.integers(len(rows), size=n))] for rows, n in zip(worlds, drawn)]
        batch = self.moments.rows(torch.cat(rows))
        batch = replace(batch, registers=self._hidden(batch.registers), context=self._hidden(batch.context))
        logits = self._logits(batch)
        right = (logits.detach().argmax(-1) == batch.action).float().mean()
        return F.cross_entropy(logits, batch.action), {"accuracy": right}

    def _hidden(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` with a share of its numbers hidden (dropout, Srivastava et al. 2014)."""
        share = self.config.hidden
        noise = torch.rand(x.shape, generator=self.loop.noise_generator, device=x.device)
        return x * (noise >= share) / (1 - share)

    def _logits(self, batch: Readings) -> torch.Tensor:
        return self.player(batch.registers, batch.context, batch.past, batch.world)

    def _probe(self, step: int) -> dict[str, float]:
        """Means over worlds on the held-out moments, the nats of each world, and the players that see nothing."""
        held = self.held_out
        logits = self._logits(held)
        marginal, after_last = blind_players(self.moments, self.begin.config.world.worlds)
        last = _row_of(held.last)
        per_moment = {
            "nats": F.cross_entropy(logits, held.action, reduction="none"),
            "marginal_nats": -marginal[held.world, held.action],
            "after_last_nats": -after_last[held.world, last, held.action],
            "accuracy": (logits.argmax(-1) == held.action).float(),
            "after_last_accuracy": (after_last[held.world, last].argmax(-1) == held.action).float(),
        }
        found: dict[str, list[float]] = {name: [] for name in per_moment}
        nats: dict[str, float] = {}
        for world in held.world.unique().tolist():
            of_world = held.world == world
            for name, values in per_moment.items():
                found[name].append(float(values[of_world].mean()))
            nats[f"nats_{next(spec.name for spec in WORLDS.values() if spec.index == world)}"] = found["nats"][-1]
        return {name: float(np.mean(values)) for name, values in found.items()} | nats

    def _simulator(self) -> WorldSimulator:
        player = Player(self.config.player, self.begin.config.world)
        player.load_state_dict(self.player.state_dict())
        return self.begin.with_player(player)

    def _export(self) -> None:
        self._simulator().save_pretrained(self.out / "model")


def blind_players(moments: Readings, worlds: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of players that count and see nothing: ``(worlds, 32)`` how often an action is taken, and
    ``(worlds, 33, 32)`` how often after each last one (row 32 where there was none), which falls back on the first
    where that was rare. Every action that the world reads is counted once more than it was seen."""
    counts = torch.zeros(worlds, NUM_ACTIONS + 1, NUM_ACTIONS, device=moments.action.device)
    one = torch.ones((), device=counts.device)
    counts.index_put_((moments.world, _row_of(moments.last), moments.action), one, accumulate=True)
    often = counts.sum(1) + readable_actions(worlds).to(counts.device)
    share = often / often.sum(-1, keepdim=True)
    following = counts + 8 * share[:, None]
    return share.log(), (following / following.sum(-1, keepdim=True)).log()


def _row_of(last: torch.Tensor) -> torch.Tensor:
    return torch.where(last == UNKNOWN_ACTION, NUM_ACTIONS, last)


def readings_of(
    config: PlayerTrainConfig,
    begin: WorldSimulator,
    episodes: Iterable[Episode],
    held_out: Callable[[], Iterable[Episode]],
    folder: Path,
) -> tuple[Readings, Readings]:
    """Moments to train on and held-out ones, read by ``begin``. They are kept in ``folder`` and read once: a run that
    goes on finds the same ones, whatever the worlds play meanwhile. Raises ``ValueError`` where those in ``folder`` are
    of another model or were read otherwise."""
    made = {
        "digest": begin.digest,
        "past": str(config.player.past),
        "length": str(config.length),
        "drop_text": str(config.drop_text),
        "leave_out": " ".join(config.leave_out),
        "moments": str(config.moments),
        "seed": str(config.optim.seed),
    }

    def reader() -> Reader:
        device = pick_device(config.run.device)
        dtype = compute_dtype(device) if config.run.bf16 else torch.float32
        return Reader(
            begin, config.player.past, config.length, config.drop_text, device, dtype, config.leave_out,
            config.optim.seed,
        )  # fmt: skip

    makers = {
        "moments": lambda: reader().read_all(episodes, config.moments),
        "held_out": lambda: reader().read_all(held_out()),
    }
    moments, apart = Readings.kept(folder, made, makers)
    return moments, apart
