"""Walls whose place is known: the plane that is fitted to their nearness, and what is left of steps towards them."""

import pytest
import torch

from worldsim.actions import KEY_BIT
from worldsim.model.contact import FACING, LEFT, PUSHED, RECKONED, SEEN_TOO_FAR, Room, stopped, wall_ahead, within_reach
from worldsim.model.motion import places, turned

REACH = torch.tensor([0.75])


def nearness(angle: float, metres: float) -> torch.Tensor:
    """``(1, 16, 16)``: 1 over the distance along the view of a wall whose normal is ``angle`` degrees to the right."""
    right, _ = places(16, 16, torch.device("cpu"))
    turn = torch.deg2rad(torch.tensor(angle))
    return ((turn.sin() * right * REACH + turn.cos()) / metres)[None]


@pytest.mark.parametrize("angle", [-50.0, 0.0, 20.0])
def test_the_plane_of_a_wall_is_found(angle):
    right, _ = places(16, 16, torch.device("cpu"))
    normal, distance = wall_ahead(nearness(angle, 1.5), right, REACH)
    turn = torch.deg2rad(torch.tensor(angle))
    assert torch.allclose(normal[0], torch.stack([turn.sin(), turn.cos()]), atol=1e-5)
    assert torch.allclose(distance, torch.tensor([1.5]), atol=1e-5)


def go(travel: list[float], angle: float, metres: float, straight: bool = True, ahead: float = torch.nan, body=0.5):
    """``stopped`` of one lane, whose wall is ``metres`` off after the step, and has its normal at ``angle``."""
    turn = torch.deg2rad(torch.tensor(angle))
    normal = torch.stack([turn.sin(), turn.cos()])[None]
    room = Room(torch.tensor([ahead]), torch.tensor([body]))
    way, left = stopped(torch.tensor([travel]), normal, torch.tensor([metres]), torch.tensor([straight]), room)
    return way[0], left[0]


def test_a_wall_stops_at_the_body_and_far_walls_do_not():
    way, left = go([0.0, 0.0, 0.8], 0.0, 0.3)
    assert left.item() == pytest.approx(0.5 + SEEN_TOO_FAR)
    assert way.tolist() == pytest.approx([0.0, 0.0, 0.8 - (0.2 + SEEN_TOO_FAR)])
    way, left = go([0.0, 0.0, 0.8], 0.0, 3.0)
    assert way.tolist() == pytest.approx([0.0, 0.0, 0.8]) and left.item() == pytest.approx(3.0)


def test_nobody_is_pushed_back_and_who_walks_away_goes():
    assert go([0.0, 0.0, 0.1], 0.0, 0.1)[0].tolist() == pytest.approx([0.0, 0.0, 0.0])
    for away in ([0.0, 0.0, -0.8], [0.0, 0.0, 0.0]):
        assert go(away, 0.0, 0.1)[0].tolist() == pytest.approx(away)


def test_one_slides_along_a_wall_that_is_met_aslant():
    way, _ = go([0.0, 0.0, 0.8], 45.0, 0.0, straight=False)
    assert way.tolist() == pytest.approx([-0.4, 0.0, 0.4], abs=1e-6)  # what leads along is kept, what leads in is not


def test_without_a_body_nothing_stops():
    assert go([0.1, 0.0, 0.8], 10.0, 0.01, body=0.0)[0].tolist() == pytest.approx([0.1, 0.0, 0.8])


def test_one_who_walks_straight_reckons_how_far_it_is():
    """The picture says 1 m for ever, as a blurred wall does; by what was walked it is 0.2 m."""
    _, left = go([0.0, 0.0, 0.3], 0.0, 1.0, ahead=1.5, body=0.0)
    assert left.item() == pytest.approx(RECKONED * 1.2 + (1 - RECKONED) * 1.0)
    way, _ = go([0.0, 0.0, 0.8], 0.0, 1.0, ahead=1.0)
    assert way[2].item() < 0.8
    aslant = torch.rad2deg(torch.acos(torch.tensor(FACING))).item() + 5
    for case in ({"straight": False, "ahead": 1.0}, {"ahead": torch.nan}):
        assert go([0.0, 0.0, 0.8], 0.0, 1.0, **case)[1].item() == pytest.approx(1.0)
    assert go([0.0, 0.0, 0.8], aslant, 1.0, ahead=0.1)[1].item() == pytest.approx(1.0)


def test_a_turn_there_and_back_changes_no_travel():
    travel, yaw = torch.tensor([[0.3, 0.1, 0.7]]), torch.tensor([14.0])
    assert torch.allclose(turned(turned(travel, yaw), -yaw), travel, atol=1e-6)


def reach_of(travel: list[float], before: list[float], *keys: str, body: float = 0.5) -> list[float]:
    """``within_reach`` of one lane that holds ``keys``."""
    held = torch.zeros(1, 32)
    held[0, [KEY_BIT[key] for key in keys]] = 1
    return within_reach(torch.tensor([travel]), torch.tensor([before]), held, torch.tensor([body]))[0].tolist()


def test_speed_comes_from_keys_alone():
    rest, running = [0.0, 0.0, 0.0, 1.0], [0.2, 0.0, 0.8, 1.0]
    assert reach_of([0.3, 0.1, -0.4], rest) == pytest.approx([0.0, 0.1, 0.0])
    assert reach_of([0.3, 0.0, -0.4], rest, "forward") == pytest.approx([0.0, 0.0, 0.0])  # it ran away backwards
    assert reach_of([0.1, 0.0, 0.34], rest, "forward", "strafe_right") == pytest.approx([0.1, 0.0, 0.34])
    assert reach_of([-2.0, 0.0, 2.0], rest, "forward", "strafe_left") == pytest.approx([-PUSHED, 0.0, PUSHED])
    assert reach_of([0.5, 0.0, 3.0], running, "forward") == pytest.approx([LEFT * 0.2, 0.0, LEFT * 0.8 + PUSHED])
    assert reach_of([0.1, 0.0, 0.5], running) == pytest.approx([0.1, 0.0, 0.5])  # it goes on


def test_what_went_before_must_be_known_and_there_must_be_a_body():
    assert reach_of([0.3, 0.0, -0.4], [0.0, 0.0, 0.0, 0.0]) == pytest.approx([0.3, 0.0, -0.4])
    assert reach_of([0.3, 0.0, -0.4], [0.0, 0.0, 0.0, 1.0], body=0.0) == pytest.approx([0.3, 0.0, -0.4])
