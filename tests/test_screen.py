"""What lanes show, and how fast their cameras are that come out of given steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.actions import ACTION_ID, multi_hot
from worldsim.engine import RolloutEngine
from worldsim.model.debug import debug_simulator
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import LaneStart, LaneText
from worldsim.screen import SETTLED, Screen
from worldsim.worlds import WORLDS

ROOMS = WORLDS["DoomRooms"]
FORWARD = ACTION_ID["forward"]


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    """A step ahead adds 0.4 metres to what is left of the last one, whatever the picture shows."""
    simulator = debug_simulator(memory=True)
    assert simulator.codec.memory is not None
    flow = simulator.codec.memory.flow
    with torch.no_grad():
        flow.travel[2].weight.zero_()
        flow.travel[2].bias.copy_(torch.tensor([0.0, 0.0, 0.1]))
        flow.inertia.fill_(0.5)
        flow.near.weight.zero_()
        flow.near.bias.fill_(-3.0)  # all is 20 m off
    return simulator


def begun(simulator: WorldSimulator, frames: np.ndarray, actions: int) -> Screen:
    engine = RolloutEngine(simulator, 1, device="cpu", dtype=torch.float32, denoising_steps=1)
    start = LaneStart(ROOMS, 1, LaneText("", "", ""), frames, np.full(actions, FORWARD))
    engine.begin([0], [start])
    assert engine._screen is not None
    return engine._screen


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_camera_is_as_fast_after_given_steps_as_after_steps_of_its_own(simulator, steps):
    engine = RolloutEngine(simulator, 1, device="cpu", dtype=torch.float32, denoising_steps=1)
    engine.begin([0], [LaneStart(ROOMS, 1, LaneText("", "", ""), pictures(1))])
    table = ROOMS.table
    for _ in range(steps):
        engine.step(torch.from_numpy(multi_hot(table.keys[[FORWARD]])), torch.from_numpy(table.camera[[FORWARD]]))
    assert engine._screen is not None
    expected = [0.0, 0.0, 0.8 * (1 - 0.5**steps), 1.0]
    assert engine._screen.travel[0].tolist() == pytest.approx(expected)
    assert begun(simulator, pictures(1 + 4 * steps), steps).travel[0].tolist() == pytest.approx(expected)


def test_what_lies_before_a_clip_is_forgotten_and_an_episode_begins_at_rest(simulator):
    long = begun(simulator, pictures(4 * 8), 8).travel[0]
    assert long.tolist() == pytest.approx([0.0, 0.0, 0.8 * (1 - 0.5**SETTLED), 1.0])
    assert begun(simulator, pictures(1), 0).travel[0].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert begun(simulator, pictures(4), 1).travel[0].tolist() == [0.0, 0.0, 0.0, 0.0]  # nothing was seen before it
