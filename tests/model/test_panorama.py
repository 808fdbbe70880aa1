"""The cylinder of what was seen, in a world that is a known function of direction."""

import pytest
import torch

from worldsim.model.panorama import FADE, WALKED, Panorama

REACH = 0.75


def panorama(height: int = 64, width: int = 64, lanes: int = 1) -> Panorama:
    return Panorama(torch.full((lanes,), REACH), height, width)


def world(heading: float, height: int = 64, width: int = 64) -> torch.Tensor:
    """What a camera of 2 atan 0.75 = 73.7 degrees sees of a sky of smooth stripes: float ``(1, 3, H, W)``."""
    right = REACH * ((2 * torch.arange(width) + 1) / width - 1)[None, :]
    down = ((2 * torch.arange(height) + 1) / height - 1)[:, None]
    angle = torch.deg2rad(torch.tensor(heading)) - torch.atan(right)
    tall = down / (1 + right**2).sqrt()
    return torch.stack([torch.sin(5 * angle) + 0 * tall, torch.cos(7 * angle) * torch.cos(4 * tall), tall + 0 * angle])[
        None
    ]


def turn(degrees: float, walk: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    keys = torch.zeros(1, 32)
    keys[:, WALKED.start] = float(walk)
    return keys, torch.tensor([[degrees, 0.0]])


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 64)])
def test_a_whole_turn_brings_back_what_was_seen(size):
    seen = panorama(*size)
    for step in range(24):
        seen.show(world(15.0 * step, *size))
        seen.turn(turn(15.0))
    for heading, back in ((0.0, 0.0), (45.0, 45.0), (315.0, 270.0)):
        seen.move(*turn(back))
        view, truth = seen.view(), world(heading, *size)
        known = view[:, 3] > 0.99
        assert known[:, size[0] // 4 : -size[0] // 4].all()
        error = (view[:, :3] - truth).abs().amax(1)[known]
        assert error.mean() < 0.01 and error.max() < 0.15


def test_only_what_was_seen_is_fresh_and_a_turn_uncovers_it():
    seen = panorama()
    seen.show(world(0.0))
    seen.move(*turn(36.87))  # the left edge comes to the middle
    fresh = seen.view()[0, 3, 32]
    assert (fresh[:30] == 0).all() and (fresh[34:] > 0.99).all()
    seen.move(*turn(180.0))
    assert (seen.view()[0, 3] == 0).all()


def test_a_step_to_another_place_fades_what_was_seen():
    seen = panorama()
    seen.show(world(0.0))
    seen.move(*turn(0.0, walk=True))
    assert torch.allclose(seen.view()[0, 3, 32, 4:-4], torch.tensor(FADE))
    seen.show(world(0.0))
    assert torch.allclose(seen.view()[0, 3, 32, 4:-4], torch.tensor(1.0))


def test_lanes_are_each_their_own():
    pair, first, second = panorama(32, 32, 2), panorama(32, 32), panorama(32, 32)
    pair.reach[1] = second.reach[0] = 0.0
    frames = torch.rand(2, 3, 32, 32)
    turns = torch.tensor([[14.0, 0.0], [-33.0, 0.0]])
    for _ in range(5):
        pair.show(frames)
        pair.move(torch.zeros(2, 32), turns)
        first.show(frames[:1])
        first.move(torch.zeros(1, 32), turns[:1])
        second.show(frames[1:])
        second.move(torch.zeros(1, 32), turns[1:])
    assert torch.allclose(pair.view()[:1], first.view(), atol=1e-5)
    assert (pair.view()[1] == 0).all() and (second.view() == 0).all()  # a camera that does not turn
    third = panorama(32, 32, 2)
    third.put(torch.tensor([1]), first)
    assert torch.equal(third.view()[1:], first.view())
    third.set_lane(0, pair.get_lane(0))
    assert torch.equal(third.view()[0], pair.view()[0])


def test_at_the_rim_of_what_was_seen_nothing_unseen_is_mixed_in():
    seen = panorama()
    seen.show(torch.full((1, 3, 64, 64), 0.8))
    seen.move(*turn(17.0))
    view = seen.view()[0]
    known = view[3] > 0
    assert 0.4 < known.float().mean() < 0.9
    assert torch.allclose(view[:3, known], torch.tensor(0.8)) and torch.allclose(view[3, known], torch.tensor(1.0))
