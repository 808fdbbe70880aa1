"""Behaviour of a world that plays itself: exact on made-up rollouts, told apart from frozen and disobedient ones."""

from __future__ import annotations

import numpy as np
import pytest
from panorama import intrinsics, view
from worldsim_benchmarks.behaviour import Play, behaviour, behaviour_lines, distance


def test_actions_are_counted_exactly() -> None:
    frames = np.zeros((9, 16, 16, 3), np.uint8)
    found = behaviour([Play(frames, ("forward", "forward", "attack", "forward")), Play(frames[:5], ("noop",) * 4)])
    assert found.shares == {"forward": 3 / 8, "attack": 1 / 8, "noop": 4 / 8}
    assert found.entropy == pytest.approx(-sum(p * np.log(p) for p in (3 / 8, 1 / 8, 1 / 2)))
    assert found.most_frequent == ("noop", 0.5) and found.held == 8 / 4
    other = behaviour([Play(frames, ("forward", "attack", "attack", "use"))])
    assert distance(found, other) == pytest.approx((1 / 8 + 3 / 8 + 1 / 4 + 1 / 2) / 2)
    assert distance(found, found) == 0 and np.isnan(found.gain)


def test_change_is_that_of_the_last_frames_of_steps() -> None:
    frames = np.zeros((17, 16, 16, 3), np.uint8)
    for step, grey in enumerate((10, 30, 30, 31)):
        frames[1 + 4 * step : 5 + 4 * step] = grey
    play = Play(frames, ("forward",) * 4)
    assert play.k == 4 and play.changes.tolist() == [10, 20, 0, 1]
    found = behaviour([play])
    assert found.change.tolist() == [31 / 4] and found.ending == pytest.approx(0.1)
    assert behaviour([play.frozen()]).change.tolist() == [0]


def turning(degrees: list[float], actions: tuple[str, ...], k: int = 4) -> Play:
    """A camera inside the panorama that turns by ``degrees`` per step, evenly over its frames."""
    per_frame = np.repeat(np.array(degrees) / k, k)
    headings = np.concatenate([[0.0], np.cumsum(per_frame)])
    return Play(np.stack([view(5, heading) for heading in headings]), actions)


NAMES = ("turn_left", "turn_left", "turn_right", "turn_right_small", "turn_left")
DEGREES = [14.0, 14.0, -14.0, -3.5, 14.0]


def test_pictures_that_follow_the_turns_are_told_from_others() -> None:
    K = intrinsics()
    follows, half = turning(DEGREES, NAMES), turning([d / 2 for d in DEGREES], NAMES)
    true = behaviour([follows], K, bottom=0)
    assert len(true.turned) == 5 and true.gain == pytest.approx(1.0, abs=0.05)
    assert behaviour([half], K, bottom=0).gain == pytest.approx(0.5, abs=0.05)
    assert behaviour([turning([-d for d in DEGREES], NAMES)], K, bottom=0).gain == pytest.approx(-1.0, abs=0.05)
    assert behaviour([follows.frozen()], K, bottom=0).gain == pytest.approx(0.0, abs=0.02)


def test_a_turn_after_a_walk_is_not_read() -> None:
    frames = np.zeros((17, 64, 64, 3), np.uint8)
    found = behaviour([Play(frames, ("forward", "turn_left", "turn_left", "noop"))], intrinsics())
    assert found.turns.tolist() == [14.0]


def test_the_table_passes_true_play_and_fails_frozen_and_stubborn_play() -> None:
    true = behaviour([turning(DEGREES, NAMES)] * 3, intrinsics(), bottom=0)
    frozen = behaviour([turning(DEGREES, NAMES).frozen()], intrinsics(), bottom=0)
    assert [line.ok for line in behaviour_lines(true, true, frozen) if line.ok is not None] == [True] * 3
    assert [line.ok for line in behaviour_lines(frozen, true, frozen) if line.ok is not None] == [True, False, False]
    stubborn = behaviour([turning([14.0] * 5, ("turn_left",) * 5)], intrinsics(), bottom=0)
    verdicts = {line.what: line.ok for line in behaviour_lines(stubborn, true, frozen)}
    assert verdicts["actions against true play, total variation distance"] is False


def test_frames_and_actions_must_fit() -> None:
    with pytest.raises(ValueError, match="6 frames under 4 actions"):
        Play(np.zeros((6, 16, 16, 3), np.uint8), ("noop",) * 4)
    with pytest.raises(ValueError, match="no rollout"):
        behaviour([])
