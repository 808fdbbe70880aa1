"""The cylinder of what was seen, in a world that is a known function of direction."""

import pytest
import torch

from worldsim.model.panorama import APART, FADE, STILL, STRIDE, WALKED, Panorama, seen_turned

REACH = 0.75


def panorama(height: int = 64, width: int = 64, lanes: int = 1, count: int = 1) -> Panorama:
    return Panorama(torch.full((lanes,), REACH), height, width, count)


def world(heading: float, height: int = 64, width: int = 64) -> torch.Tensor:
    """What a camera of 2 atan 0.75 = 73.7 degrees sees of a sky of smooth stripes: float ``(1, 3, H, W)``."""
    right = REACH * ((2 * torch.arange(width) + 1) / width - 1)[None, :]
    down = ((2 * torch.arange(height) + 1) / height - 1)[:, None]
    angle = torch.deg2rad(torch.tensor(heading)) - torch.atan(right)
    tall = down / (1 + right**2).sqrt()
    return torch.stack([torch.sin(5 * angle) + 0 * tall, torch.cos(7 * angle) * torch.cos(4 * tall), tall + 0 * angle])[
        None
    ]


def degrees(*yaw: float) -> torch.Tensor:
    """Turns of cameras, left positive."""
    return torch.tensor([[y, 0.0] for y in yaw])


def travel(ahead: float, right: float = 0.0) -> torch.Tensor:
    """A known travel of one camera, metres as it looks after it."""
    return torch.tensor([[right, 0.0, ahead, 1.0]])


WALKS = torch.zeros(1, 32)
WALKS[:, WALKED.start] = 1.0


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 64)])
def test_a_whole_turn_brings_back_what_was_seen(size):
    seen = panorama(*size)
    for step in range(24):
        seen.show(world(15.0 * step, *size))
        seen.turn(degrees(15.0))
    for heading, back in ((0.0, 0.0), (45.0, 45.0), (315.0, 270.0)):
        seen.turn(degrees(back))
        view, truth = seen.view(), world(heading, *size)
        known = view[:, 3] > 0.99
        assert known[:, size[0] // 4 : -size[0] // 4].all()
        error = (view[:, :3] - truth).abs().amax(1)[known]
        assert error.mean() < 0.01 and error.max() < 0.15


def test_only_what_was_seen_is_fresh_and_a_turn_uncovers_it():
    seen = panorama()
    seen.show(world(0.0))
    seen.turn(degrees(36.87))  # the left edge comes to the middle
    fresh = seen.view()[0, 3, 32]
    assert (fresh[:30] == 0).all() and (fresh[34:] > 0.99).all()
    seen.turn(degrees(180.0))
    assert (seen.view()[0, 3] == 0).all()


def test_a_step_of_unknown_length_leads_away_from_all_that_was_seen():
    seen = panorama()
    seen.show(world(0.0))
    for steps in (1, 2):
        seen.walk(WALKS)
        assert torch.allclose(seen.view()[0, 3, 32, 4:-4], torch.tensor(FADE**steps))
    seen.walk(torch.zeros(1, 32))  # one who stands goes nowhere
    assert torch.allclose(seen.view()[0, 3, 32, 4:-4], torch.tensor(FADE**2))
    seen.show(world(0.0))
    assert torch.allclose(seen.view()[0, 3, 32, 4:-4], torch.tensor(1.0))


def test_what_was_seen_is_fresh_again_where_the_camera_comes_back_to():
    """Four metres out along a triangle and home, in the camera's own axes: ahead, then to the right, then the long side
    after a turn of 180 - atan(4/3) degrees to the right."""
    seen = panorama(count=2)
    seen.show(world(0.0))
    seen.go(travel(3.0))
    assert torch.allclose(seen.view()[0, 3, 32, 4:-4], torch.tensor(FADE ** (3.0 / STRIDE)))
    seen.go(travel(0.0, right=4.0))
    assert torch.allclose(seen.view()[0, 3, 32, 4:-4], torch.tensor(FADE ** (5.0 / STRIDE)), atol=1e-5)
    seen.turn(degrees(-180.0 - 53.130102))
    seen.go(travel(5.0))
    assert torch.allclose(seen.place, torch.zeros(1, 3), atol=1e-5)
    seen.turn(degrees(180.0 + 53.130102))
    view, known = seen.view(), (slice(None), slice(None), slice(4, -4), slice(4, -4))
    assert torch.allclose(view[:, 3:][known], torch.tensor(1.0), atol=1e-5)
    assert (view[:, :3] - world(0.0)).abs()[known].mean() < 0.01


def test_one_who_stands_does_not_creep_away():
    seen = panorama()
    for _ in range(500):
        seen.go(travel(0.6 * STILL, right=-0.6 * STILL))
    assert torch.equal(seen.place, torch.zeros(1, 3))
    seen.go(travel(1.01 * STILL))
    assert torch.allclose(seen.place, torch.tensor([[1.01 * STILL, 0.0, 0.0]]))
    seen.go(travel(1.0) * torch.tensor([1.0, 1.0, 1.0, 0.0]))  # not known
    assert torch.allclose(seen.place, torch.tensor([[1.01 * STILL, 0.0, 0.0]]))


@pytest.mark.parametrize("count, kept", [(1, False), (2, True)])
def test_a_look_round_elsewhere_paints_over_what_was_seen_here_where_there_is_one_cylinder(count: int, kept: bool):
    seen = panorama(count=count)
    seen.show(world(0.0))
    seen.go(travel(2 * APART))
    seen.show(torch.full((1, 3, 64, 64), -0.5))
    there = seen.view()[0, :3, 32, 4:-4]
    assert torch.allclose(there, torch.tensor(-0.5))  # what is seen from here counts for more
    seen.go(travel(-2 * APART))
    here = seen.view()
    error = (here[0, :3] - world(0.0)[0]).abs()[:, 4:-4, 4:-4].mean()
    assert (error < 0.01) == kept and (error > 0.3) != kept
    fresh = 1.0 if kept else FADE ** (2 * APART / STRIDE)
    assert torch.allclose(here[0, 3, 32, 4:-4], torch.tensor(fresh))


SQUARE = (slice(None), slice(None), slice(36, 46), slice(28, 38))


def with_square(rows: slice, colour: float = 1.0) -> torch.Tensor:
    """A floor of dark tiles with a bright thing on it, 10 pixels large, from row 36 on if nobody moved."""
    picture = torch.full((1, 3, 64, 64), -0.6)
    picture[..., ::8, :] = -0.2
    picture[:, :, rows, 28:38] = colour
    return picture


@pytest.mark.parametrize(
    "then, there",
    [
        (with_square(slice(0, 0)), False),
        (with_square(slice(40, 52)), True),  # nearer, and so lower
        (torch.nn.functional.avg_pool2d(with_square(slice(38, 48)), 5, 1, 2), True),  # blurred by walking
        (with_square(slice(36, 46), -1.0), False),
    ],
)
@pytest.mark.parametrize("forget", [False, True])
def test_a_thing_that_is_seen_to_be_gone_is_forgotten_where_it_was_seen_from_close_by(then, there, forget):
    seen = panorama(count=3)
    seen.show(with_square(slice(36, 46)))
    seen.go(travel(1.5 * APART))
    seen.view()
    seen.show(torch.zeros(1, 3, 64, 64), forget)  # as if all were gone, but from too far away to tell
    seen.go(travel(-0.7 * APART))  # what is seen here is laid on the cylinder begun at 1.5
    seen.view()
    seen.show(then, forget)
    seen.go(travel(-0.8 * APART))
    back = seen.view()
    kept = there or not forget
    assert ((back[SQUARE] - 1).abs().mean() < 0.1) == kept
    fresh = back[:, 3:, 8:30, 8:-8]  # all else is held as it was
    assert torch.allclose(fresh, torch.tensor(1.0))
    assert torch.allclose(back[:, :3, 10:30, 8:-8], with_square(slice(0, 0))[:, :, 10:30, 8:-8], atol=0.2)


def test_a_flash_and_the_rim_of_what_was_seen_make_nothing_forgotten():
    seen = panorama(count=3)
    plain = torch.full((1, 3, 64, 64), 0.8)
    seen.show(plain)
    seen.turn(degrees(40.0))
    seen.show(plain)
    known = seen.texture[..., 5, :].isfinite().sum()
    seen.turn(degrees(-20.0))
    seen.go(travel(1.5 * APART))
    seen.show(plain)
    seen.go(travel(-0.7 * APART))
    for picture in (plain, plain - 0.9):  # as it was; dark for a moment
        seen.view()
        seen.show(picture, forget=True)
    assert seen.texture[:, :, 0, 5].isfinite().sum() == known


def test_of_all_cylinders_the_one_that_was_painted_the_longest_ago_is_taken_for_a_new_place():
    seen = panorama(count=2)
    colours = (-0.8, 0.0, 0.8)
    for colour in colours:
        seen.show(torch.full((1, 3, 64, 64), colour))
        seen.go(travel(2 * APART))
    for colour in (colours[2], colours[1], colours[1]):  # going back: the first place is known no more, only its next
        seen.go(travel(-2 * APART))
        assert torch.allclose(seen.view()[0, :3, 32, 4:-4], torch.tensor(colour))


def test_lanes_are_each_their_own():
    pair, first, second = panorama(32, 32, 2, count=3), panorama(32, 32, count=3), panorama(32, 32, count=3)
    pair.reach[1] = second.reach[0] = 0.0
    frames = torch.rand(2, 3, 32, 32)
    turns = torch.tensor([[14.0, 0.0], [-33.0, 0.0]])
    for _ in range(5):
        pair.view()
        pair.show(frames, forget=True)
        pair.turn(turns)
        pair.go(torch.cat([travel(0.7), travel(-0.4)]))
        first.view()
        first.show(frames[:1], forget=True)
        first.turn(turns[:1])
        first.go(travel(0.7))
        second.view()
        second.show(frames[1:], forget=True)
        second.turn(turns[1:])
        second.go(travel(-0.4))
    assert torch.allclose(pair.view()[:1], first.view(), atol=1e-5)
    assert (pair.view()[1] == 0).all() and (second.view() == 0).all()  # a camera that does not turn
    third = panorama(32, 32, 2, count=3)
    third.put(torch.tensor([1]), first)
    assert torch.equal(third.view()[1:], first.view())
    third.set_lane(0, pair.get_lane(0))
    assert torch.equal(third.view()[0], pair.view()[0])


def test_at_the_rim_of_what_was_seen_nothing_unseen_is_mixed_in():
    seen = panorama()
    seen.show(torch.full((1, 3, 64, 64), 0.8))
    seen.turn(degrees(17.0))
    view = seen.view()[0]
    known = view[3] > 0
    assert 0.4 < known.float().mean() < 0.9
    assert torch.allclose(view[:3, known], torch.tensor(0.8)) and torch.allclose(view[3, known], torch.tensor(1.0))


def test_some_lanes_are_taken_out_and_put_back():
    seen = panorama(lanes=3)
    seen.show(torch.cat([world(0.0), world(30.0), world(60.0)]))
    part = seen.some(torch.tensor([2, 0]))
    assert torch.equal(part.texture, seen.texture[[2, 0]])
    part.turn(degrees(40.0, 0.0))
    part.show(world(100.0).repeat(2, 1, 1, 1))
    before = seen.texture.clone()
    assert torch.equal(seen.texture, before)  # a copy
    seen.put(torch.tensor([2, 0]), part)
    assert torch.equal(seen.texture[1], before[1]) and torch.equal(seen.texture[2], part.texture[0])
    assert seen.heading.tolist() == [0.0, 0.0, 40.0]


def test_a_picture_is_laid_where_it_is_asked_to_be():
    seen, where = panorama(), torch.zeros(1, 1, 64, 64)
    where[..., 32:] = 1  # the right half
    seen.show(world(0.0))
    seen.show(-world(0.0), where=where)
    view = seen.view()
    assert (view[0, :3, 8:56, 4:30] - world(0.0)[0, :, 8:56, 4:30]).abs().max() < 0.1
    assert (view[0, :3, 8:56, 34:60] + world(0.0)[0, :, 8:56, 34:60]).abs().max() < 0.1


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 64)])
def test_a_picture_that_is_seen_turned_is_the_world_as_it_is_seen_then(size):
    for heading, yaw in ((0.0, 14.0), (30.0, -20.0), (50.0, 0.0)):
        whole = world(heading, *size), torch.ones(1, 1, *size)
        turned, where = seen_turned(*whole, torch.tensor([yaw]), torch.tensor([REACH]))
        inside = where[0, 0] > 0.5  # up to the rim
        assert abs(float(inside.float().mean()) - (1 - abs(yaw) / 73.7)) < 0.1
        error = (turned[0] - world(heading + yaw, *size)[0]).abs().amax(0)[inside]
        assert error.max() < 0.1 and (yaw or error.max() < 1e-4)
    assert not seen_turned(*whole, torch.tensor([150.0]), torch.tensor([REACH]))[1].any()


def test_a_picture_is_laid_where_it_was_seen_from():
    seen = panorama(count=2)
    seen.show(world(0.0))
    stood = seen.stood()
    seen.turn(degrees(90.0))
    seen.go(travel(0.3))
    where = torch.zeros(1, 1, 64, 64)
    where[..., 40:] = 1
    seen.lay(torch.tensor([0]), world(180.0), where, stood)
    assert seen.heading == 90 and Panorama.apart(seen.stood(), stood).item() == pytest.approx(0.3)
    seen.go(travel(-0.3))
    seen.turn(degrees(-90.0))
    view = seen.view()[0, :3]
    assert (view - world(180.0)[0])[:, 4:-4, 42:].abs().mean() < 0.05
    assert (view - world(0.0)[0])[:, 4:-4, 2:38].abs().mean() < 0.05
