"""Momentum and energy of collisions: of places that are known exactly, of things that are followed in pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from worldsim_benchmarks.probes.table_collisions import FRAME, collision, tracker
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.suites.collisions import balances


def blow(
    masses: tuple[float, float], restitution: float, speed: float = 1.0, phase: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Places ``(F, 2)`` of two things that meet head on at the end of the fifth frame (or a part of a frame later),
    without friction."""
    m, n = masses
    after = speed * (m - restitution * n) / (m + n)
    driven = speed * m * (1 + restitution) / (m + n)
    t = (np.arange(10) - 4 - phase) * FRAME
    first = np.where(t < 0, speed * t, after * t)
    second = 0.1 + np.where(t < 0, 0.0, driven * t)
    return np.stack([first, np.zeros(10)], 1), np.stack([second, np.zeros(10)], 1)


@pytest.mark.parametrize("phase", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97])
@pytest.mark.parametrize(("masses", "restitution"), [((1.0, 1.0), 1.0), ((1.0, 3.0), 0.5), ((2.0, 1.0), 0.0)])
def test_a_collision_without_friction_keeps_its_momentum(
    masses: tuple[float, float], restitution: float, phase: float
) -> None:
    found = collision(*blow(masses, restitution, 1.0, phase), masses)
    assert found is not None
    m, n = masses
    assert found.handed == pytest.approx(n * (1 + restitution) / (m + n))
    assert found.momentum_residual == pytest.approx(0.0, abs=1e-9)
    lost = (1 - restitution**2) * n / (m + n)  # of the energy of motion, where the second thing lies still
    assert found.energy_kept == pytest.approx(1 - lost)
    assert found.speed == pytest.approx(1.0)
    assert found.contact == 5 or (found.contact == 4 and not phase)  # at the very end of a frame it may be either
    assert found.nearest + 1e-9 >= 0.1 and (phase or found.nearest == pytest.approx(0.1))


def test_what_is_doubled_is_told_from_what_is_kept() -> None:
    first, second = blow((1.0, 1.0), 1.0)
    faster = second.copy()
    faster[:, 0] = 0.1 + 2 * (second[:, 0] - 0.1)
    found = collision(first, faster, (1.0, 1.0))
    assert found is not None
    assert (found.handed, found.momentum_residual, found.energy_kept) == pytest.approx((2.0, 1.0, 4.0))


def test_nothing_is_told_where_nothing_is_hit_or_a_thing_is_lost() -> None:
    first, second = blow((1.0, 1.0), 1.0, 1.0, 0.5)
    assert collision(first, np.broadcast_to(second[0], second.shape), (1.0, 1.0)) is None
    lost = first.copy()
    lost[4] = np.nan  # the last place before the blow
    assert collision(lost, second, (1.0, 1.0)) is None
    assert collision(np.broadcast_to(first[0], first.shape), second, (1.0, 1.0)) is None  # it starts by itself
    assert collision(first[4:], second[4:], (1.0, 1.0)) is None  # the way before is not in the film


def disc(x: float, y: float, colour: tuple[int, int, int]) -> np.ndarray:
    """float ``(64, 64, 3)``: a disc of three pixels radius on grey, edges smooth over a pixel."""
    rows, columns = np.indices((64, 64)) + 0.5
    inside = np.clip(3.5 - np.hypot(columns - x, rows - y), 0, 1)[..., None]
    return np.asarray(90 * (1 - inside) + np.array(colour, float) * inside)


def test_a_thing_is_followed_to_a_fifth_of_a_pixel() -> None:
    start = disc(20, 30, (200, 40, 40)).round().astype(np.uint8)
    places = [(20 + 1.3 * i, 30 - 0.7 * i) for i in range(8)]
    films = np.stack([disc(x, y, (200, 40, 40)) for x, y in places]).round().astype(np.uint8)
    seen = tracker(start, (start[..., 0] > 120))(films)
    expected = np.array([(x / 64, 1 - y / 64) for x, y in places])
    assert np.abs(seen - expected).max() * 64 < 0.2


def test_what_is_not_there_is_not_found() -> None:
    start = disc(20, 30, (200, 40, 40)).round().astype(np.uint8)
    track = tracker(start, (start[..., 0] > 120))
    others = np.stack([np.full((64, 64, 3), 90.0), disc(40, 20, (40, 40, 200))]).astype(np.uint8)
    assert np.isnan(track(others)).all()


def test_what_is_printed_is_the_difference_from_the_truth() -> None:
    true = {"momentum_residual": 0.1, "energy_kept": 0.5, "contact": 6, "nearest": 0.12}
    nothing = dict.fromkeys(true)
    seen = {"momentum_residual": 0.3, "energy_kept": 0.4, "contact": 8, "nearest": 0.15}
    rows: list[Row] = [
        {"candidate": name, "map_seed": i, "measures": {"collision": found, "true_collision": true}}
        for name, all_found in (("true", [true, true]), ("model", [seen, nothing]))
        for i, found in enumerate(all_found)
    ]
    rows = [{"task": "momentum", **r} for r in rows]
    rows += [{"task": "momentum", "candidate": "model", "map_seed": i, "measures": {}} for i in (2, 3)]  # it crashed
    rows.append({"task": "push", "candidate": "model", "map_seed": 0, "measures": {}})
    values = {r.what: r.value.value for r in balances(rows)}
    assert values["true: collisions seen"] == 1.0
    assert values["model: collisions seen"] == 0.25
    assert values["true: collisions, share of the momentum missing beyond the truth's"] == 0.0
    assert values["model: collisions, share of the momentum missing beyond the truth's"] == pytest.approx(0.2)
    assert values["model: collisions, video frames late"] == pytest.approx(2.0)
    assert not any(math.isnan(v) for v in values.values())
