"""Revealing: what an act takes away is drawn, in that lane alone, for as long as it is asked; by words as by keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from worldsim.actions import ACTION_ID, multi_hot
from worldsim.engine import RolloutEngine
from worldsim.model.codec import to_pixels
from worldsim.model.debug import debug_simulator
from worldsim.model.memory import smaller
from worldsim.model.revealer import Revealer, RevealerConfig
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import Block, LaneStart, LaneText
from worldsim.worlds import WORLDS, WorldSpec

ROOMS, MAZE = WORLDS["DoomRooms"], WORLDS["DoomMyWayHome"]
NOOP, USE, FORWARD = ACTION_ID["noop"], ACTION_ID["use"], ACTION_ID["forward"]
PAST = 4
LEFT_HALF = slice(0, 32)


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    """Its revealer takes the left half of a picture away while something was done or told lately."""
    made = debug_simulator(memory=True, starter=True)
    revealer = Revealer(RevealerConfig(width=1, past=PAST), 4)
    with torch.no_grad():
        for parameter in revealer.parameters():
            parameter.zero_()
        revealer.cells.weight[0, 4, 2, 2] = -10.0  # the cell's place, across
        revealer.back_to_cells.weight[0, 0, 1, 1] = 1.0
        revealer.out.weight[0, 0, 1, 1] = 10.0
        revealer.out.bias.fill_(-5.0)
    assert made.starter is not None
    return made.with_starter(made.starter.with_revealer(revealer))


class Completed:
    """The lanes that a starter completes, by their seeds, at each step."""

    def __init__(self, simulator: WorldSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seeds: list[list[int]] = []
        complete = simulator.starter.complete  # type: ignore[union-attr]

        def kept(seen: torch.Tensor, scenes: Any, worlds: Any, seeds: torch.Tensor, *told: Any) -> torch.Tensor:
            self.seeds[-1] += seeds.tolist()
            return complete(seen, scenes, worlds, seeds, *told)

        monkeypatch.setattr(simulator.starter, "complete", kept)

    def step(self, lanes: RolloutEngine, actions: Sequence[int]) -> Block:
        self.seeds.append([])
        return step(lanes, actions)


def start(seed: int, world: WorldSpec = ROOMS, actions: Sequence[int] = ()) -> LaneStart:
    shape = (1 + 4 * len(actions), 64, 64, 3)
    frames = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return LaneStart(world, seed, LaneText("doom rooms: red walls", "", ""), frames, np.array(actions, np.int64))


def engine(simulator: WorldSimulator, starts: Sequence[LaneStart], **kwargs: Any) -> RolloutEngine:
    lanes = RolloutEngine(simulator, len(starts), device="cpu", dtype=torch.float32, denoising_steps=1, **kwargs)
    lanes.begin(range(len(starts)), starts)
    return lanes


def step(lanes: RolloutEngine, actions: Sequence[int]) -> Block:
    keys, camera = ROOMS.table.keys[list(actions)], ROOMS.table.camera[list(actions)]
    return lanes.step(torch.from_numpy(multi_hot(keys)), torch.from_numpy(camera))


def test_an_act_reveals_in_its_lane_for_some_steps(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1), start(2), start(3, MAZE)])
    completed = Completed(simulator, monkeypatch)
    completed.step(lanes, [NOOP] * 3)
    completed.step(lanes, [NOOP, USE, USE])
    for _ in range(PAST):
        completed.step(lanes, [NOOP] * 3)
    assert completed.seeds == [[]] + [[2]] * PAST + [[]]  # nothing is revealed in a maze without doors


def test_what_is_gone_is_drawn_and_all_else_stays(simulator) -> None:
    told = engine(simulator, [start(1), start(2)])
    quiet = engine(simulator, [start(1), start(2)], imagine=False)
    shown, without = (step(lanes, [USE, NOOP]) for lanes in (told, quiet))
    changed = (shown.frames.int() - without.frames.int()).abs().amax(-1)
    assert changed[1].max() == 0 and changed[0, :3].max() == 0  # another lane, and the frames before the last
    assert changed[0, 3, :, LEFT_HALF].float().mean() > 3 and changed[0, 3, :, 36:].max() <= 1
    screen = told.pictures.screen
    assert screen is not None
    assert torch.allclose(smaller(screen.canvas)[0], to_pixels(shown.frames[0, 3]).permute(2, 0, 1), atol=0.02)
    encoded = told.encode(shown.frames[:1, -1:])
    assert (shown.latent[:1] - encoded).abs().max() < 0.05  # the world goes on from what is shown


@pytest.mark.parametrize(
    ("text", "reveals"),
    [
        ("a red door opens", True), ("you are hurt. the door opens", True), ("a red door closes", False),
        ("you are hurt", False), ("", False),
    ],
)  # fmt: skip
def test_words_reveal_as_an_act_does(simulator, monkeypatch, text, reveals) -> None:
    lanes = engine(simulator, [start(1), start(2)])
    lanes.set_text([1], [text], "event")
    completed = Completed(simulator, monkeypatch)
    for _ in range(PAST + 1):
        completed.step(lanes, [NOOP, NOOP])
    assert completed.seeds == [[2] if reveals else []] * PAST + [[]]


def test_the_colour_of_what_is_told_is_the_latest(simulator) -> None:
    lanes = engine(simulator, [start(1)])
    cues = lanes.pictures.cues
    assert cues is not None
    for text, colour in (("a red door opens", "red"), ("a blue door closes", "red"), ("a blue door opens", "blue")):
        lanes.set_text([0], [text], "event")
        step(lanes, [NOOP])
        assert cues.colour[0].tolist() == cues.config.one_hot(colour)
    lanes.set_text([0], ["doom rooms: a green door"], "scene")
    lanes.begin([0], [start(1)])
    assert not cues.told.any() and not cues.colour.any() and not cues.due.any()


def test_acts_of_given_steps_count(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1, actions=[NOOP, USE, NOOP]), start(2, actions=[USE, NOOP, NOOP])])
    completed = Completed(simulator, monkeypatch)
    for _ in range(3):
        completed.step(lanes, [NOOP, NOOP])
    assert completed.seeds == [[1, 2], [1], []]


def test_a_lane_reveals_as_it_would_alone(simulator) -> None:
    actions = [[USE, NOOP, USE], [NOOP, USE, FORWARD], [NOOP, NOOP, NOOP]]
    together = engine(simulator, [start(i) for i in range(3)])
    shown = [step(together, row).frames for row in actions]
    for i in range(3):
        alone = engine(simulator, [start(i)])
        for row, frames in zip(actions, shown):
            assert (step(alone, [row[i]]).frames[0].int() - frames[i].int()).abs().max() <= 1


def test_a_state_goes_on_with_what_is_being_revealed(simulator) -> None:
    lanes = engine(simulator, [start(1), start(2)])
    step(lanes, [NOOP, USE])
    lanes.set_text([0], ["a red door opens"], "event")
    for lane in (0, 1):
        other = engine(simulator, [start(5)])
        other.set_state(0, lanes.get_state(lane))
        mine = engine(simulator, [start(6), start(7)])
        for i in (0, 1):
            mine.set_state(i, lanes.get_state(i))
        for _ in range(PAST + 1):
            shown, again = step(mine, [NOOP, NOOP]), step(other, [NOOP])
            assert (shown.frames[lane].int() - again.frames[0].int()).abs().max() <= 1


def test_without_imagination_nothing_is_revealed(simulator, monkeypatch) -> None:
    for kwargs in ({"imagine": False}, {"memory": "window"}):
        lanes = engine(simulator, [start(1)], **kwargs)
        lanes.set_text([0], ["a red door opens"], "event")
        completed = Completed(simulator, monkeypatch)
        completed.step(lanes, [USE])
        assert completed.seeds == [[]] and lanes.pictures.cues is None


def test_a_key_that_is_held_acts_once(simulator, monkeypatch) -> None:
    lanes = engine(simulator, [start(1), start(2, actions=[NOOP, USE])])
    completed = Completed(simulator, monkeypatch)
    for _ in range(PAST + 1):
        completed.step(lanes, [USE, USE])
    assert completed.seeds == [[1, 2]] * (PAST - 1) + [[1], []]
    completed.step(lanes, [NOOP, NOOP])
    completed.step(lanes, [USE, NOOP])
    assert completed.seeds[-2:] == [[], [1]]
