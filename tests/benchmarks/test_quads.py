"""Four films of two stories: what is crossed, which pairs are told right, and why nothing but the past can decide."""

from __future__ import annotations

import numpy as np
import pytest
from worldsim_benchmarks.observers import FAULTY, IDEAL, answered, copy_last
from worldsim_benchmarks.probes.quads import CROSSED, Film, Quad, Told, told

STEPS, AT = 6, 3


def quad(seed: int = 0, commands: bool = False) -> Quad:
    """Two stories of noise that show the same picture in the last block before ``AT``, and differ by their commands
    alone until then if ``commands``."""
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 256, (2, 1 + 4 * STEPS, 8, 8, 3), dtype=np.uint8)
    shared = slice(0 if commands else 1 + 4 * (AT - 1), 1 + 4 * AT)
    other[shared] = one[shared]
    turns = ("turn_left", "turn_right" if commands else "turn_left")
    names = [("noop",) * AT + (name,) * (STEPS - AT) for name in turns]
    return Quad((Film(one, names[0]), Film(other, names[1])), AT, 7)


def test_a_film_takes_pictures_before_the_seam_and_commands_from_its_past() -> None:
    asked = quad(commands=True)
    one, other = asked.stories
    film = asked.film(0, 1)
    assert np.array_equal(film.frames[: 1 + 4 * AT], one.frames[: 1 + 4 * AT])
    assert np.array_equal(film.frames[1 + 4 * AT :], other.frames[1 + 4 * AT :])
    assert film.names == one.names
    assert np.array_equal(asked.film(1, 1).frames, other.frames)
    assert np.array_equal(film.block(AT), other.frames[1 + 4 * AT : 5 + 4 * AT])


def test_the_seam_counts_all_pixels_and_what_shows_begins_where_twelve_differ_visibly() -> None:
    asked = quad()
    assert (asked.seam, asked.shows) == (0, AT)
    one, other = asked.stories
    late = other.frames.copy()
    late[1 + 4 * AT : 1 + 4 * (AT + 1)] = one.frames[1 + 4 * AT : 1 + 4 * (AT + 1)]
    late[4 * AT, 0, 0] ^= 255
    hidden = Quad((one, Film(late, other.names)), AT, 7)
    assert (hidden.seam, hidden.shows) == (1, AT + 1)
    assert Quad((one, one), AT, 7).shows == -1
    with pytest.raises(ValueError, match="cannot be crossed"):
        Quad((one, Film(one.frames[:5], one.names[:1])), AT, 7)


@pytest.mark.parametrize(
    ("losses", "by_past", "by_ending", "score"),
    [
        ((1, 2, 2, 1), (1, 1), (1, 1), 1.0),
        ((2, 1, 1, 2), (-1, -1), (-1, -1), -1.0),
        ((1, 1, 1, 1), (0, 0), (0, 0), 0.0),
        ((1, 5, 1, 5), (1, -1), (0, 0), 0.0),  # the second ending surprises more, whatever came before
        ((1, 1, 5, 5), (0, 0), (1, -1), 0.0),  # the second past makes everything surprising
        ((1, 5, 2, 4), (1, -1), (1, 1), 0.5),
    ],
)
def test_pairs_are_told_by_order_alone(
    losses: tuple[float, float, float, float], by_past: tuple[int, int], by_ending: tuple[int, int], score: float
) -> None:
    found = Told(losses)
    assert (found.by_past, found.by_ending, found.score) == (by_past, by_ending, score)


def test_only_blocks_from_where_the_ending_shows_are_counted() -> None:
    before = [np.array([9.0, 0, 4, *rest]) for rest in ([1, 1, 1], [2, 2, 2], [3, 3, 3], [1, 2, 3])]
    assert told(quad(), before).losses == (1.0, 2.0, 3.0, 2.0)


@pytest.mark.parametrize("commands", [False, True])
def test_the_ideal_observer_is_right_and_whatever_sees_the_ending_alone_is_at_chance(commands: bool) -> None:
    for seed in range(5):
        asked = quad(seed, commands)
        assert answered(asked, IDEAL).score == 1.0
        assert answered(asked, copy_last).score == 0.0
        assert answered(asked, lambda _, film: np.array([film.block(t).std() for t in range(STEPS)])).score == 0.0


def test_the_ideal_observer_expects_what_happened_and_is_wrong_by_the_difference() -> None:
    asked = quad()
    losses = [IDEAL(asked, asked.film(*parts)) for parts in CROSSED]
    assert not losses[0].any() and not losses[3].any()
    one, other = (story.block(AT).astype(float) for story in asked.stories)
    assert losses[1][AT] == pytest.approx(((one - other) ** 2).mean())
    assert losses[1][:AT].any() == np.False_


def test_each_faulty_observer_fails_where_its_fault_matters_and_nowhere_else() -> None:
    seen, commanded = quad(), quad(commands=True)
    scores = {name: (answered(seen, judge).score, answered(commanded, judge).score) for name, judge in FAULTY.items()}
    assert scores["mirror_minded"] == (1.0, -1.0)
    assert scores["coarse_minded"] == (1.0, 1.0)
    # two blocks of memory reach to the block in which the stories still differ; a longer look away does not
    assert scores["amnesiac"] == (1.0, 1.0)
    one, other = (Film(np.insert(s.frames, [1 + 4 * AT] * 8, s.frames[4 * AT], 0), ("noop",) * 2 + s.names)
                  for s in seen.stories)  # fmt: skip
    assert answered(Quad((one, other), AT + 2, 7), FAULTY["amnesiac"]).score == 0.0
