"""What lanes show, and how fast their cameras are that come out of given steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.actions import ACTION_ID, multi_hot
from worldsim.engine import RolloutEngine
from worldsim.model.debug import debug_simulator
from worldsim.model.panorama import STILL
from worldsim.model.weights import WorldSimulator
from worldsim.predictor import LaneStart, LaneText
from worldsim.screen import SETTLED, Screen
from worldsim.worlds import WORLDS

ROOMS = WORLDS["DoomRooms"]
FORWARD = ACTION_ID["forward"]


def with_all_at(near: float) -> WorldSimulator:
    """A step adds 0.4 metres ahead to half of the last one, whatever the picture shows, all of which is as near as the
    softplus of ``near``."""
    simulator = debug_simulator(memory=True)
    assert simulator.codec.memory is not None
    flow = simulator.codec.memory.flow
    with torch.no_grad():
        flow.travel[2].weight.zero_()
        flow.travel[2].bias.copy_(torch.tensor([0.0, 0.0, 0.1]))
        flow.inertia.fill_(0.5)
        flow.near.weight.zero_()
        flow.near.bias.fill_(near)
    return simulator


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return with_all_at(-3.0)  # 20 m off


def begun(simulator: WorldSimulator, frames: np.ndarray, actions: int) -> Screen:
    engine = RolloutEngine(simulator, 1, device="cpu", dtype=torch.float32, denoising_steps=1)
    start = LaneStart(ROOMS, 1, LaneText("", "", ""), frames, np.full(actions, FORWARD))
    engine.begin([0], [start])
    assert engine.pictures.screen is not None
    return engine.pictures.screen


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_camera_is_as_fast_after_given_steps_as_after_steps_of_its_own(simulator, steps):
    engine = RolloutEngine(simulator, 1, device="cpu", dtype=torch.float32, denoising_steps=1)
    engine.begin([0], [LaneStart(ROOMS, 1, LaneText("", "", ""), pictures(1))])
    table = ROOMS.table
    for _ in range(steps):
        engine.step(torch.from_numpy(multi_hot(table.keys[[FORWARD]])), torch.from_numpy(table.camera[[FORWARD]]))
    assert engine.pictures.screen is not None
    expected = [0.0, 0.0, 0.8 * (1 - 0.5**steps), 1.0]
    assert engine.pictures.screen.travel[0].tolist() == pytest.approx(expected)
    assert begun(simulator, pictures(1 + 4 * steps), steps).travel[0].tolist() == pytest.approx(expected)


def test_what_lies_before_a_clip_is_forgotten_and_an_episode_begins_at_rest(simulator):
    long = begun(simulator, pictures(4 * 8), 8).travel[0]
    assert long.tolist() == pytest.approx([0.0, 0.0, 0.8 * (1 - 0.5**SETTLED), 1.0])
    assert begun(simulator, pictures(1), 0).travel[0].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert begun(simulator, pictures(4), 1).travel[0].tolist() == [0.0, 0.0, 0.0, 0.0]  # nothing was seen before it


def walked(engine: RolloutEngine, steps: int) -> Screen:
    table = ROOMS.table
    for _ in range(steps):
        ids = [FORWARD] * engine.lanes
        engine.step(torch.from_numpy(multi_hot(table.keys[ids])), torch.from_numpy(table.camera[ids]))
    assert engine.pictures.screen is not None
    return engine.pictures.screen


def of_worlds(simulator: WorldSimulator, *names: str) -> RolloutEngine:
    engine = RolloutEngine(simulator, len(names), device="cpu", dtype=torch.float32, denoising_steps=1)
    starts = [LaneStart(WORLDS[name], 1, LaneText("", "", ""), pictures(1)) for name in names]
    engine.begin(range(len(names)), starts)
    return engine


def test_a_wall_stops_a_lane_that_has_a_body_and_no_other():
    simulator = with_all_at(3.0)  # 0.3 m off
    together = walked(of_worlds(simulator, "DoomRooms", "DoomBasic"), 12)
    assert together.travel[0, 2].abs() < STILL and together.travel[1, 2].item() == pytest.approx(0.8, abs=1e-3)
    alone = walked(of_worlds(simulator, "DoomBasic"), 12)
    assert torch.allclose(together.canvas[1], alone.canvas[0], atol=1e-5)


def test_a_state_knows_the_wall_and_a_new_episode_does_not(simulator):
    """All is 20 m off, by the picture and by what was reckoned, until the state of one at 1 m goes on."""
    engine, other = of_worlds(simulator, "DoomRooms", "DoomRooms"), of_worlds(simulator, "DoomRooms")
    screen = walked(engine, 1)
    with torch.inference_mode():
        screen.ahead[1] = 1.0
    walked(other, 1)
    other.set_state(0, engine.get_state(1))
    screen, restored = walked(engine, 1), walked(other, 1)
    assert torch.equal(screen.ahead[1], restored.ahead[0]) and screen.ahead[1] < screen.ahead[0] - 10
    engine.begin([1], [LaneStart(ROOMS, 1, LaneText("", "", ""), pictures(1))])
    assert screen.ahead[1].isnan() and screen.body[1] == ROOMS.body
