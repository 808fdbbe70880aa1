"""Training of the captioner: moments of recordings with facts to a classifier that captions clips without.

Every slot is a classification of its own, and the loss is the sum of their cross-entropies; where a kind of thing lies
is only asked where there is one. Worlds that have more to say are drawn more often. Half of the moments are seen in a
mirror, in which left is right. Some of a batch show no world at all (scrambled pictures, smooth noise) and teach the
captioner to say nothing about what it does not know (outlier exposure, Hendrycks et al. 2019).

How sure the captioner must be before it says something is chosen at the end, for the best F1 on moments of validation
maps; ``worldsim caption --score`` measures on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from worldsim.captioning.captioner import Beliefs, Captioner, CaptionerConfig, Thresholds, answered, beliefs_of
from worldsim.captions.slots import DOOR, Answers, Slots, mirrored
from worldsim.captions.statements import Score, statements
from worldsim.model.factnet import FactNet, Logits
from worldsim.training.captioner_card import card
from worldsim.training.configs import CaptionerTrainConfig
from worldsim.training.glances import Glances, read_glances
from worldsim.training.loop import Loop, write_run_card

# B clips, T frames, H W size, S choices, K kinds, E events

GRID = tuple(round(0.1 + 0.05 * i, 2) for i in range(17))
"""Thresholds that are tried."""


def train_captioner(config: CaptionerTrainConfig, data: Sequence[Path], out: Path) -> Captioner:
    """Trains (or goes on with) a captioner on the recordings' training maps; exports ``out/captioner``.

    Raises ``ValueError`` where the recordings hold no facts of training maps, or none of validation maps.
    """
    training = CaptionerTraining(
        config,
        out,
        read_glances(data, "train", config.moments, config.optim.seed),
        read_glances(data, "val", config.held_out, config.optim.seed),
    )
    training.loop.resume()
    return training.run()


class CaptionerTraining:
    """A run over moments of training maps; ``held_out`` moments serve the probes and the choice of thresholds."""

    def __init__(self, config: CaptionerTrainConfig, out: Path, train: Glances, held_out: Glances) -> None:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        self.config, self.out, self.train, self.held_out = config, out, train, held_out
        write_run_card(out, config)
        self.slots = Slots.of(train.facts, config.at_least)
        self.answers, self.wanted = self.slots.answers(train.facts), self.slots.answers(held_out.facts)
        self.mirrored = mirrored(self.answers)
        self.true = [statements(*facts) for facts in held_out.facts]
        self.chance = _chances(train)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.optim.seed)
            self.net = FactNet(self.slots, config.net)
        self.loop = Loop(out, self.net, config.optim, config.run)

    def run(self, until: int | None = None) -> Captioner:
        """Trains and returns the captioner of averaged weights (also exported to ``out/captioner``)."""
        self.loop.train(self._loss, self._probe, self._export, until)
        captioner: Captioner = self.loop.with_average(self._captioner)
        return captioner

    def _loss(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        frames, answers = self.batch(self.loop.rng)
        with self.loop.autocast():
            logits = self.net(torch.from_numpy(frames).to(self.loop.device))
        parts = losses(logits, answers)
        return sum(parts.values(), torch.zeros(())), {name: part.detach() for name, part in parts.items()}

    def batch(self, rng: np.random.Generator) -> tuple[np.ndarray, Answers]:
        """Frames uint8 ``(B, 3, H, W, 3)`` and what there is to say of them."""
        rows = rng.choice(len(self.train), self.config.optim.batch, p=self.chance)
        mirror = rng.random(len(rows)) < 0.5
        frames = self.train.frames[rows]
        frames[mirror] = frames[mirror, :, :, ::-1]
        plain, other = self.answers[rows], self.mirrored[rows]
        answers = replace(plain, places=np.where(mirror[:, None], other.places, plain.places))
        strange = np.flatnonzero(rng.random(len(rows)) < self.config.strange)
        for row in strange:
            frames[row] = strange_clip(frames[row], rng)
        known = np.ones(len(rows), bool)
        known[strange] = False
        return frames, answers.silenced(known)

    def _beliefs(self) -> Beliefs:
        parts = []
        for start in range(0, len(self.held_out), 64):
            frames = torch.from_numpy(self.held_out.frames[start : start + 64]).to(self.loop.device)
            with self.loop.autocast():
                parts.append(self.net(frames))
        return beliefs_of(Logits(*(torch.cat(part).float() for part in zip(*parts))), self.slots)

    def _probe(self, step: int) -> dict[str, float]:
        """F1 over all statements of the held-out moments, of each world and of all, with the best thresholds."""
        scores = self._scores(self._beliefs())[1]
        found = {f"f1_{world}": score.f1 for world, score in scores.items()}
        return {**found, "f1": sum(scores.values(), Score()).f1}

    def _scores(self, beliefs: Beliefs) -> tuple[Thresholds, dict[str, Score]]:
        """The best thresholds, and with these the score of each world's held-out moments."""
        thresholds = best_thresholds(beliefs, self.wanted, self.slots)
        answers = answered(beliefs, self.slots, thresholds)
        scores: dict[str, Score] = {}
        for row, (world, true) in enumerate(zip(self.held_out.worlds, self.true)):
            score = Score.of(statements(*self.slots.facts(answers, row)), true)
            scores[world] = scores.get(world, Score()) + score
        return thresholds, scores

    def _captioner(self, thresholds: Thresholds | None = None) -> Captioner:
        thresholds = thresholds or self._scores(self._beliefs())[0]
        captioner = Captioner.create(CaptionerConfig(self.slots, self.config.net, thresholds))
        captioner.net.load_state_dict(self.net.state_dict())
        return captioner

    def _export(self) -> None:
        thresholds, scores = self._scores(self._beliefs())
        captioner, f1 = self._captioner(thresholds), {world: score.f1 for world, score in scores.items()}
        about = card(
            captioner, self.config, self.train, self.held_out, f1, self.loop.step, self.loop.elapsed
        )  # fmt: skip
        captioner.save_pretrained(self.out / "captioner", about)


def losses(logits: Logits, answers: Answers) -> dict[str, torch.Tensor]:
    """Cross-entropies per moment, summed over the slots of each family."""
    device, moments = logits.counts.device, len(answers)
    choices, counts, places, distances = (
        torch.from_numpy(part).to(device)
        for part in (answers.choices, answers.counts, answers.places, answers.distances)
    )
    seen = counts > 0
    events = torch.from_numpy(answers.events).to(device).float()
    return {
        "choices": _entropy(logits.choices, choices).sum() / moments,
        "counts": _entropy(logits.counts, counts).sum() / moments,
        "places": (_entropy(logits.places, places) * seen).sum() / moments,
        "distances": (_entropy(logits.distances, distances) * seen).sum() / moments,
        "events": F.binary_cross_entropy_with_logits(logits.events, events, reduction="sum") / moments,
    }


def _entropy(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return -logits.log_softmax(-1).gather(-1, wanted[..., None])[..., 0]


def _chances(glances: Glances) -> np.ndarray:
    """How often each moment is drawn: worlds in proportion to how many different things their facts say."""
    said: dict[str, set[tuple[str, ...]]] = {}
    for world, facts in zip(glances.worlds, glances.facts):
        said.setdefault(world, set()).update(statements(*facts))
    worlds = np.array(glances.worlds)
    chance = np.zeros(len(worlds))
    for world, different in said.items():
        chance[worlds == world] = len(different) / (worlds == world).sum()
    return chance / chance.sum()


def strange_clip(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture of no world, of the shape of ``clip`` ``(T, H, W, 3)``: its own pieces in another order and with their
    colours exchanged, or smooth noise."""
    frames, height, width, _ = clip.shape
    if rng.random() < 0.5:
        piece = int(rng.choice([s for s in (4, 8, 16, 32) if height % s == 0 and width % s == 0 and s < height]))
        rows, columns = height // piece, width // piece
        pieces = clip.reshape(frames, rows, piece, columns, piece, 3).swapaxes(2, 3)
        mixed = pieces.reshape(frames, rows * columns, piece, piece, 3)[:, rng.permutation(rows * columns)]
        mixed = mixed.reshape(frames, rows, columns, piece, piece, 3).swapaxes(2, 3).reshape(clip.shape)
        return np.ascontiguousarray(mixed[..., rng.permutation(3)])
    cells = int(rng.integers(2, 9))
    coarse = torch.from_numpy(rng.random((1, 3, cells, cells)))
    smooth = F.interpolate(coarse, (height, width), mode="bilinear")[0].permute(1, 2, 0).numpy()
    noisy = smooth + rng.uniform(0, 0.2) * rng.standard_normal(smooth.shape)
    return np.broadcast_to((255 * noisy.clip(0, 1)).astype(np.uint8), clip.shape)


def best_thresholds(beliefs: Beliefs, wanted: Answers, slots: Slots) -> Thresholds:
    """Thresholds with the best F1 over all slots, one after the other; of equal ones the nearest to a half."""
    best = Thresholds()
    for name in asdict(best):
        tried = [replace(best, **{name: value}) for value in sorted(GRID, key=lambda value: abs(value - 0.5))]
        found = [agreement(answered(beliefs, slots, thresholds), wanted, slots).f1 for thresholds in tried]
        best = tried[int(np.argmax(found))]
    return best


def agreement(said: Answers, true: Answers, slots: Slots) -> Score:
    """The score of answers, counted as the statements that they make (``worldsim.captions.statements``)."""
    doors = np.array([shape == DOOR for _, shape in slots.kind_names], bool)
    both = (said.counts > 0) & (true.counts > 0)
    equal = (said.counts == true.counts) & both
    right = ((said.choices == true.choices) & (true.choices > 0)).sum()
    right += (equal & doors).sum() + ((both & ~doors).sum() + (equal & ~doors).sum())
    right += sum(((a == b) & (b > 0) & both).sum() for a, b in _attributes(said, true))
    right += (said.events & true.events).sum()
    made, needed = _statements_in(said, doors), _statements_in(true, doors)
    return Score(int(right), int(made - right), int(needed - right))


def _attributes(said: Answers, true: Answers) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(said.places, true.places), (said.distances, true.distances)]


def _statements_in(answers: Answers, doors: np.ndarray) -> int:
    seen = answers.counts > 0
    kinds = (seen & doors).sum() + 2 * (seen & ~doors).sum()
    return int(kinds + sum((x > 0).sum() for x in (answers.choices, answers.places, answers.distances, answers.events)))
