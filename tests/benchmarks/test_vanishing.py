"""Films of DoomRooms that are crossed: edits touch one thing in every video frame, and nothing while it is not seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from worldsim_benchmarks.observers import IDEAL, answered
from worldsim_benchmarks.probes.quads import Quad
from worldsim_benchmarks.probes.vanishing import SMALL, VANISHING, WORLD, finely
from worldsim_benchmarks.suites.surprise import found
from worldsim_benchmarks.truth import Reference

import worldsim  # noqa: F401  (registers the worlds)

pytest.importorskip("vizdoom")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stage() -> Iterator[Reference]:
    opened = Reference(WORLD, depth=False, labels=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def quads(stage: Reference) -> dict[str, Quad]:
    return {question.name: found(question, stage, 2_000_000) for question in VANISHING}


@pytest.mark.parametrize("name", [q.name for q in VANISHING if q.name.endswith("away")])
def test_what_changes_out_of_sight_leaves_no_seam(quads: dict[str, Quad], name: str) -> None:
    quad = quads[name]
    one, other = quad.stories
    assert quad.seam == 0
    assert quad.shows >= quad.at + (2 if name != "door_away" else 0)  # it comes into view some turns later
    assert not np.array_equal(one.block(0), other.block(0)) or name == "door_away"
    assert one.names[quad.at :] == other.names[quad.at :]


@pytest.mark.parametrize("name", [q.name for q in VANISHING])
def test_every_quad_can_be_told(quads: dict[str, Quad], name: str) -> None:
    assert answered(quads[name], IDEAL).score == 1.0


@pytest.mark.parametrize("name", ["vanish_in_view", "recolour_in_view"])
def test_what_changes_in_view_differs_in_each_picture_that_shows_it(quads: dict[str, Quad], name: str) -> None:
    one, other = quads[name].stories
    touched = (one.frames != other.frames).any(-1)
    assert touched[1 + 4 * (quads[name].at - 1) :].any((1, 2)).all()
    assert touched.mean() < 0.15


def test_ids_of_the_frames_between_come_from_small_turns(stage: Reference) -> None:
    """A turn's four frames show a thing where it is between two steps: the ids of the last one are the world's own."""
    take = stage.play(("turn_left", "noop", "turn_right"), 2_000_003)
    ids = finely(stage, take)
    assert ids is not None and len(ids) == 1 + SMALL * len(take.names)
    for step in range(len(take.names) + 1):
        apart = ids[SMALL * step] != take.labels(step)
        assert apart.mean() < 0.02
    waiting = ids[1 + SMALL : 1 + 2 * SMALL]
    assert all(np.array_equal(w, waiting[0]) for w in waiting)


def test_a_thing_is_where_the_ids_say_in_each_frame_of_a_turn(stage: Reference, quads: dict[str, Quad]) -> None:
    """What the edit touched is one thing that moves evenly: its middle goes from frame to frame to one side."""
    one, other = quads["recolour_in_view"].stories
    first = 1 + 4 * 4  # after the look to both sides the camera turns left, frame by frame
    middles = [np.nonzero((a != b).any(-1))[1].mean() for a, b in zip(one.frames[first:], other.frames[first:])]
    steps = np.diff(middles)
    assert (steps > 0).all()
    assert steps.max() < 6
