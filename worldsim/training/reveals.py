"""Steps in which an act takes away what was in the way: what a revealer learns from.

While a camera stands still, a place of the picture that was not seen before has been uncovered (``motion_field``); what
was done in the last steps, and what happened, stands beside it. The picture is one of some steps before, often that of
the step in which it began: what of it is gone by now is asked. Acts that make nothing happen take nothing away,
wherever the camera goes, nor do any where no door is in sight. Each moment comes mirrored too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch

from worldsim.model.codec import Codec, latents_digest
from worldsim.model.revealer import RevealerConfig
from worldsim.recording.episode import Episode
from worldsim.recording.facts_json import Facts, read_facts
from worldsim.training.columns import Columns
from worldsim.training.latents import encode_frames

# M moments, C h w latent, P last steps, N colours, T steps of an episode

STILL = 1e-3
"""Metres, and degrees, by which a camera may move and still stand."""
ALONE = 3
"""Times the steps that a revealer is told of in which nothing else was done: who uses an open door closes it."""
IDLE = 8
"""Of so many steps one is taken as if something had been done, where no door is in sight."""


@dataclass(frozen=True)
class Reveals(Columns):
    """Image latents ``z (M, C, h, w)`` in half precision of pictures that are ``lag (M,)`` steps old; as
    ``Revealer.forward`` takes them which acts and events were in the last steps, ``acted`` and ``told (M, P)``, and the
    ``colour (M, N)`` of the event; the colours of ``doors (M, N)`` in the picture, and what of it is ``gone (M, h, w)``
    now."""

    z: torch.Tensor
    lag: torch.Tensor
    acted: torch.Tensor
    told: torch.Tensor
    colour: torch.Tensor
    doors: torch.Tensor
    gone: torch.Tensor

    @property
    def fresh(self) -> torch.Tensor:
        """Where nothing had begun when the picture was seen, ``(M,)``."""
        steps = torch.arange(self.acted.shape[1], device=self.lag.device)
        return ~((self.acted | self.told) & (steps >= self.lag[:, None])).any(1)


def reveals_of(
    config: RevealerConfig,
    codec: Codec,
    episodes: Callable[[], Iterable[Episode]],
    held_out: Callable[[], Iterable[Episode]],
    folder: Path,
    source: str,
) -> tuple[Reveals, Reveals]:
    """Moments to train on and held-out ones. They are kept in ``folder`` and made once: a run that goes on finds the
    same ones. Raises ``ValueError`` where those in ``folder`` are of another encoder or ``source`` or were taken
    otherwise, and as ``read_reveals``."""
    made = {
        "encoder": latents_digest(codec),
        "source": source,
        "revealer": repr(replace(config, width=1, lasts=None)).replace(", lasts=None", ""),
    }
    makers = {  # the quick part first
        "held_out": lambda: read_reveals(held_out(), codec, config),
        "moments": lambda: read_reveals(episodes(), codec, config),
    }
    apart, moments = Reveals.kept(folder, made, makers)
    return moments, apart


def read_reveals(episodes: Iterable[Episode], codec: Codec, config: RevealerConfig) -> Reveals:
    """The moments of ``episodes``. Raises ``ValueError`` where their true motion is not known, where nothing is taken
    away in them, or where their frames are of several sizes."""
    found = list[Reveals]()
    for number, episode in enumerate(e for e in episodes if e.world in config.worlds):
        if episode.motion is None:
            raise ValueError("a revealer needs the true motion of the picture, which worlds tell that play live alone")
        part = moments_of(episode, codec, config, np.random.default_rng(number))
        if part is not None:
            found.append(part)
    if not any(part.gone.any() for part in found):
        raise ValueError(
            f"nothing is taken away by {', '.join(config.acts)} in the episodes of {', '.join(config.worlds)}: let "
            "more be played (source.steps, and source.held-out of validation maps), by a policy that does it"
        )
    if len(sizes := {tuple(part.z.shape[2:]) for part in found}) > 1:
        raise ValueError(f"latents of several sizes, {sorted(sizes)} cells: a revealer is trained on frames of one")
    return Reveals.joined(found)


def moments_of(episode: Episode, codec: Codec, config: RevealerConfig, rng: np.random.Generator) -> Reveals | None:
    """The moments of one episode: to each step after an act or an event up to three pictures, the last, that of when it
    began, and another; one to each step after an act in vain, and to some steps of who did nothing."""
    facts = [read_facts(line) for line in episode.facts]
    acted = acts_of(episode, config)
    once = _lately(acted, ALONE * config.past).sum(1) <= 1
    colours = [config.colour_of(events) for _, _, events in facts[1:]]
    happened = np.array([colour is not None for colour in colours])
    apart = np.abs(np.diff(episode.pose, axis=0)).max(1)  # NaN where a pose is not known
    still = apart < STILL
    uncovered = np.isnan(np.asarray(episode.motion)[:, 0])
    rows: list[tuple[int, int, bool]] = []  # picture, step, and whether something may be gone
    lately = _lately(acted | happened, config.past)
    for t in map(int, np.flatnonzero(still & once & lately.any(1))):
        first = t + 1 - min(int(np.argmin(np.append(still[t::-1], False))), config.past)
        begun = t - int(np.argmax(lately[t]))
        rows += [(s, t, True) for s in sorted({t, max(first, begun), int(rng.integers(first, t + 1))})]
    done, told = _lately(acted, config.past).copy(), _lately(happened, config.past)
    vain = done.any(1) & ~_lately(happened, ALONE * config.past).any(1)
    rows += [(int(rng.integers(max(0, t + 1 - config.past), t + 1)), t, False) for t in map(int, np.flatnonzero(vain))]
    idle = [t for t in range(len(episode)) if not lately[t].any() and not facts[t][1].doors and not rng.integers(IDLE)]
    ages = rng.integers(config.past, size=len(idle))
    rows += [(t, t, False) for t in idle]
    done[idle, ages] = True
    if not rows:
        return None
    seen, at = ([row[i] for row in rows] for i in (0, 1))
    lag = np.array([t + 1 - s for s, t, _ in rows])
    lag[len(rows) - len(idle) :] = ages + 1  # the picture in which it was done
    frames = episode.observations[seen]
    gone = np.stack([_closed(uncovered[s : t + 1].any(0)) & may for s, t, may in rows])
    said = torch.tensor([config.one_hot(_latest(colours[max(0, t + 1 - config.past) : t + 1])) for t in at])
    both = [
        Reveals(
            encode_frames(np.ascontiguousarray(frames[:, None, :, ::turn]), codec).cpu(),
            torch.from_numpy(lag),
            torch.from_numpy(done[at]),
            torch.from_numpy(told[at]),
            said,
            torch.tensor([_doors(facts[s], config) for s in seen]),
            torch.from_numpy(np.ascontiguousarray(gone[:, :, ::turn])),
        )
        for turn in (1, -1)
    ]
    return Reveals.joined(both)


@dataclass(frozen=True)
class Returns(Columns):
    """Steps ``(M,)`` after which what an act took away had returned by itself."""

    steps: torch.Tensor


def returns_of(
    config: RevealerConfig, returns: Sequence[str], episodes: Callable[[], Iterable[Episode]], folder: Path, source: str
) -> Returns:
    """Of all acts of ``episodes`` whose end was seen; kept in ``folder``, as the moments are. ``ValueError`` where it
    never was."""
    made = {"source": source, "returns": repr((config.worlds, config.acts, config.events, config.past, returns))}

    def watched() -> Returns:
        found = [steps for episode in episodes() for steps in returned(episode, config, returns)]
        if not found:
            raise ValueError(
                f"nothing that {', '.join(config.acts)} takes away returns ({', '.join(returns)}) in what was played "
                "to see how long it lasts: let more be played (train.watch), or give no train.watch"
            )
        return Returns(torch.tensor(found))

    return Returns.kept(folder, made, {"returns": watched})[0]


def returned(episode: Episode, config: RevealerConfig, returns: Sequence[str]) -> list[int]:
    """For each act of an episode after which something was taken away and, without another act, returned by itself:
    after how many steps all of it was back. What goes is told when a part of it is gone, and what returns when the same
    part is left; that part takes as long to return as it took to go."""
    if episode.world not in config.worlds:
        return []
    happened = [read_facts(line)[2] for line in episode.facts[1:]]
    gone = [t for t, events in enumerate(happened) if config.colour_of(events) is not None]
    back = [t for t, events in enumerate(happened) if any(event.kind in returns for event in events)]
    acts = [*map(int, np.flatnonzero(acts_of(episode, config))), len(happened)]
    found = []
    for act, other in pairwise(acts):
        goes = next((t for t in gone if act <= t < min(act + config.past, other)), None)
        ends = None if goes is None else next((t for t in back if goes < t < other), None)
        if goes is not None and ends is not None:
            found.append(ends + goes - 2 * act + 1)
    return found


def acts_of(episode: Episode, config: RevealerConfig) -> np.ndarray:
    """bool ``(T,)``: steps in which the key of an act is pressed, and was not held before."""
    held = (episode.keys & sum(1 << bit for bit in config.bits)) != 0
    return np.asarray(held & ~np.append(False, held[:-1]))


def _lately(of: np.ndarray, past: int) -> np.ndarray:
    """bool ``(T, P)``: ``of (T,)`` in each step and in those before it, the present one first."""
    padded = np.concatenate([np.zeros(past - 1, bool), of])
    return np.lib.stride_tricks.sliding_window_view(padded, past)[:, ::-1]


def _closed(cells: np.ndarray) -> np.ndarray:
    """Without the gaps that an edge leaves which moves by just a row of cells in a step."""
    return np.asarray(cv2.morphologyEx(cells.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0)


def _latest(colours: Sequence[str | None]) -> str:
    return next((colour for colour in reversed(colours) if colour is not None), "")


def _doors(facts: Facts, config: RevealerConfig) -> list[float]:
    """``(N,)``: the colours of doors in sight."""
    return np.max([config.one_hot(colour) for colour in ("", *facts[1].doors)], axis=0).tolist()
