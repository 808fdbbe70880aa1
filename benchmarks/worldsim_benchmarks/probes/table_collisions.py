"""What a collision on the table hands over: momentum and energy of both things just before and just after it.

Both things are followed from video frame to video frame, 20 a second: each is sought where its own picture at the end
of the context fits best. The truth goes through the same formulas with the places that the world tells (``path``), so
that what friction takes meanwhile is in both. Masses are the true ones. Metres, seconds, kilograms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from worldsim_benchmarks.geometry import vertex
from worldsim_benchmarks.probes import table
from worldsim_benchmarks.probes.dose import Dose
from worldsim_benchmarks.probes.plan import LEAST, Deed, Plan, look
from worldsim_benchmarks.probes.presence import pixels, whole_in_view
from worldsim_benchmarks.truth import Reference, Rollout

FRAME = 0.05
"""Seconds of a video frame."""
STARTS = 0.012
"""Metres that the second thing has moved when it counts as hit: less than a pixel of 64, more than a tracker strays."""
FAST = 0.1
"""m/s of the first thing from which on a way is a way."""
TOLD = 0.3
"""Share of the momentum handed over from which on a collision is asked."""
COARSE = 1 / 3
"""Part of that share which half a pixel a frame may be worth."""
BALANCED = 0.2
"""Share of the momentum that may be missing in the truth: where more is, the hand or a third thing had a part in it."""
EXACT = 0.1
"""By how much the share that is read off the true picture may differ from the true one."""
BORDER = 2
"""Pixels by which a thing may leave the picture and still be found."""
LOST = 60.0
"""Root mean square difference, in grey levels, from which on what fits best is not the thing."""


@dataclass(frozen=True)
class Collision:
    """``handed``: momentum of the second thing after, along the way of the first, over that of the first before;
    ``momentum_residual``: length of what is missing of the momentum afterwards, over the same; ``energy_kept``: energy
    of motion after over before; ``contact``: the video frame (from 0, after the context) in which the second thing is
    hit; ``nearest``: least distance of the middles about then, metres; ``speed``: of the first before, m/s."""

    handed: float
    momentum_residual: float
    energy_kept: float
    contact: int
    nearest: float
    speed: float


def collision(first: np.ndarray, second: np.ndarray, masses: tuple[float, float]) -> Collision | None:
    """What happens between two things of these places float ``(F, 2)``, NaN where one is lost; None where the second is
    never moved, or one of the two is lost when it must be seen. The speed before is that of the last whole frame before
    the blow, the speeds after those of a whole frame after it. A second thing that has come farther, when it is seen to
    have moved, than it goes in a frame was hit a frame before."""
    ways = np.linalg.norm(second - second[0], axis=1)
    moved = np.flatnonzero(ways > STARTS)
    if not len(moved) or (at := int(moved[0])) >= len(first) - 1:
        return None
    late = int(ways[at] >= np.linalg.norm(second[at + 1] - second[at]))
    if at < 2 + late:
        return None
    speed, after, driven = (
        (p[i + 1] - p[i]) / FRAME for p, i in ((first, at - 2 - late), (first, at), (second, at))
    )  # fmt: skip
    before = float(np.hypot(*speed))
    if not np.isfinite([*speed, *after, *driven]).all() or before < FAST:
        return None
    m, n = masses
    return Collision(
        handed=float(n * (driven @ speed) / (m * before**2)),
        momentum_residual=float(np.hypot(*(m * after + n * driven - m * speed)) / (m * before)),
        energy_kept=float((m * after @ after + n * driven @ driven) / (m * before**2)),
        contact=at - late,
        nearest=float(np.linalg.norm(first - second, axis=1)[at - 2 - late : at + 2].min()),
        speed=before,
    )


def momentum(stage: Reference, map_seed: int) -> Plan | None:
    """A thing is struck, leaves the hand and hits a second one. The twin strikes the other way."""
    for takes, numbers in table.collisions(stage, map_seed):
        plan = _handed(*takes, numbers)
        if plan is not None:
            return plan
    return None


def _handed(acted: Rollout, twin: Rollout, numbers: tuple[int, int]) -> Plan | None:
    at, scale = acted.prefix, acted.first.shape[0]
    first, second = (acted.object(at, n) for n in numbers)
    paths = [path(acted, n) for n in numbers]
    if first is None or second is None or paths[0] is None or paths[1] is None:
        return None
    masses = (float(first["mass"]), float(second["mass"]))
    true = collision(paths[0], paths[1], masses)
    if true is None or true.handed < TOLD or true.momentum_residual > BALANCED:
        return None
    if not all(whole_in_view(acted.labels(at), n) for n in numbers):
        return None
    tracks = [tracker(acted.frame(at), pixels(acted, at, n)) for n in numbers]

    def seen(blocks: np.ndarray) -> Collision | None:
        frames = blocks[:, : acted.real].reshape(-1, *blocks.shape[2:])
        return collision(tracks[0](frames), tracks[1](frames), masses)

    def read(blocks: np.ndarray) -> float:
        found = seen(blocks)
        return 0.0 if found is None else found.handed

    def numbers_of(blocks: np.ndarray) -> dict[str, object]:
        found = seen(blocks)
        nothing = dict.fromkeys(asdict(true), float("nan"))
        return {"collision": nothing if found is None else asdict(found), "true_collision": asdict(true)}

    half_pixel = 0.5 / scale / FRAME
    dose = Dose(true.handed, "of the momentum", read, masses[1] * half_pixel / (masses[0] * true.speed))
    if dose.slack > COARSE * true.handed:
        return None
    change = look(acted, twin, (true.contact + 2) // acted.real + 1, table.hand(acted), (numbers[1],))
    found = seen(acted.blocks[at:])
    if found is None or abs(found.handed - true.handed) > EXACT or change.mask.sum() < LEAST:
        return None  # they look alike, or one hides the other
    if not dose.holds(read(twin.blocks[at:]), False):
        return None
    return Plan(acted, twin, (change,), (), (change,), dose=dose, read=numbers_of)


def path(take: Rollout, number: int) -> np.ndarray | None:
    """float ``(F, 2)``: the true places of a thing at the video frames after the context; None where it is not there
    all along."""
    states = [take.object(step, number) for step in range(take.prefix + 1, len(take.names) + 1)]
    paths = [np.asarray(state["path"]) for state in states if state is not None]
    whole = len(paths) == len(states) and all(len(p) == take.real for p in paths)
    return np.concatenate(paths) if whole else None


def tracker(frame: np.ndarray, mask: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What follows the thing on ``mask`` bool ``(H, W)`` of ``frame`` uint8 ``(H, W, 3)``: from frames uint8 ``(F, H,
    W, 3)`` to places float ``(F, 2)`` in heights of the picture (metres on a table), NaN where it is not found. Masked
    sums of squared differences over the whole picture, with a parabola through the least for parts of a pixel."""
    rows, columns = np.nonzero(mask)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    patch = frame[box].astype(np.float32)
    weight = np.repeat(mask[box][..., None].astype(np.float32), 3, 2)
    middle = columns.mean() - box[1].start + 0.5, rows.mean() - box[0].start + 0.5
    height = frame.shape[0]

    def track(frames: np.ndarray) -> np.ndarray:
        places = np.full((len(frames), 2), np.nan)
        for i, shown in enumerate(frames):
            around = cv2.copyMakeBorder(shown, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
            cost = cv2.matchTemplate(around.astype(np.float32), patch, cv2.TM_SQDIFF, mask=weight) / weight.sum()
            y, x = np.unravel_index(cost.argmin(), cost.shape)
            if cost[y, x] <= LOST**2:
                across, down = x + _least(cost[y], int(x)) - BORDER, y + _least(cost[:, x], int(y)) - BORDER
                places[i] = (across + middle[0]) / height, 1 - (down + middle[1]) / height
        return places

    return track


def _least(costs: np.ndarray, i: int) -> float:
    """Where, counted from the least of the costs at ``i``, the parabola through it and its neighbours is least; 0 at
    the border."""
    return vertex(*costs[i - 1 : i + 2].tolist()) if 0 < i < len(costs) - 1 else 0.0


DEEDS = (
    Deed(
        "momentum", table.WORLD,
        "a thing that is hit takes over as much of the momentum as it should, to a quarter and half a pixel a frame",
        ("attack", *table.DIRECTIONS), momentum, thorough=True,
    ),
)  # fmt: skip
