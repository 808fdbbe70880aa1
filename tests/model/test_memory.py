"""What the codec's memory carries over, on pictures and motions whose answer is known."""

from dataclasses import replace

import pytest
import torch

from worldsim.actions import ACTION_ID
from worldsim.model.codec import Codec, CodecConfig
from worldsim.model.contact import SEEN_TOO_FAR, Room
from worldsim.model.convolutions import CELL
from worldsim.model.memory import Carried, Shown, kept, larger, smaller
from worldsim.model.motion import ACTION, Flow, describe, fetched, places, polynomial, seen_before
from worldsim.worlds import WORLDS

CONFIG = CodecConfig(
    fine_width=8, coarse_width=8, fine_depth=1, coarse_depth=1, decoder_fine_depth=1, decoder_coarse_depth=1
)
TABLE = WORLDS["DoomRooms"].table


def action(name: str, count: int = 1) -> torch.Tensor:
    i = ACTION_ID[name]
    one = describe(torch.zeros(count, 32), torch.from_numpy(TABLE.camera[[i] * count]))
    return torch.cat([one, torch.zeros_like(one)], dim=1)


@pytest.fixture
def codec() -> Codec:
    torch.manual_seed(0)
    return Codec(replace(CONFIG, memory=True)).eval()


def shown(known: bool = True, height: int = 32, width: int = 48) -> Shown:
    frame = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Shown(larger(frame), torch.full((2,), known), action("turn_left", 2))


def certain(codec: Codec) -> None:
    """Makes the codec take every pixel from its memory."""
    with torch.no_grad():
        codec.memory.out.bias[: CELL**2] = 100.0


def test_lanes_that_were_shown_nothing_decode_as_without_a_memory(codec):
    with torch.no_grad():
        for parameter in codec.memory.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    z = torch.randn(2, 4, 8, 12)
    plain = codec.decode_pixels(z, 4)
    assert torch.equal(codec.decode_pixels(z, 4, shown(known=False)), plain)
    with_memory = codec.decode_pixels(z, 4, shown())
    assert not torch.allclose(with_memory, plain, atol=1e-2)
    mixed = codec.decode_pixels(z, 4, replace(shown(), known=torch.tensor([True, False])))
    assert torch.allclose(mixed[0], with_memory[0], atol=1e-5) and torch.allclose(mixed[1], plain[1], atol=1e-5)


def test_a_certain_memory_that_moves_nothing_repeats_the_frame(codec):
    certain(codec)
    before = shown()
    after = codec.decode_pixels(torch.randn(2, 4, 8, 12), 1, before)[:, 0].permute(0, 3, 1, 2)
    assert torch.allclose(after, before.frame, atol=1e-4)


def test_a_flow_of_a_cell_moves_the_picture_by_four_pixels(codec):
    certain(codec)
    with torch.no_grad():
        codec.memory.flow.rest.bias.copy_(torch.tensor([1.0, -2.0]))
    before = shown()
    after = codec.decode_pixels(torch.randn(2, 4, 8, 12), 1, before)[:, 0].permute(0, 3, 1, 2)
    assert torch.allclose(after[:, :, 8:, :-8], before.frame[:, :, :-8, 4:-4], atol=1e-4)


def test_an_action_alone_can_tell_a_polynomial_of_the_place():
    flow = Flow(8, geometry=False)
    with torch.no_grad():
        flow.terms[2].bias.copy_(torch.tensor([[1.0, 0, 0, 0.5] + [0] * 6, [0, 0, 0, 0, 2.0] + [0] * 5]).flatten())
    field = flow(torch.randn(1, 8, 16, 16), action("turn_left"), None, None)[0]
    right = (2 * torch.arange(16) + 1 - 16) / 16
    assert torch.allclose(field[0, 0], 4 * (1 + 0.5 * right**2)[None].expand(16, 16), atol=1e-5)
    assert torch.allclose(field[0, 1], 8 * right[None] * right[:, None], atol=1e-5)
    assert action("turn_left").shape == (1, 2 * ACTION)


def test_the_picture_has_a_say_in_the_polynomial_once_it_learned_one():
    torch.manual_seed(0)
    plain, told = Flow(8, geometry=False), Flow(8, geometry=False, pictured=True)
    told.load_state_dict(told.state_dict() | plain.state_dict())
    x, turn = torch.randn(1, 8, 16, 16), action("turn_left")
    assert torch.equal(plain(x, turn, None, None)[0], told(x, turn, None, None)[0])
    with torch.no_grad():
        told.terms[0].weight.zero_()
        told.terms[0].bias.zero_()
        told.world.weight[0, 0] = 1.0
        told.terms[2].weight[0, 0] = 1.0
    one, other = (told(torch.full((1, 8, 16, 16), shade), turn, None, None)[0] for shade in (1.0, 3.0))
    expected = 4 * torch.nn.functional.silu(torch.tensor([1.0, 3.0]))
    assert torch.allclose(one[0, 0], expected[0]) and torch.allclose(other[0, 0], expected[1])


def test_the_polynomial_holds_a_turn_of_14_degrees():
    """A camera of 90 degrees: the place right of the middle by x was at (x + t) / (1 - x t), t = tan 14 degrees."""
    right, down = (v.double() for v in places(16, 16, torch.device("cpu")))
    t = torch.tan(torch.deg2rad(torch.tensor(14.0, dtype=torch.float64)))
    truth = torch.stack([(right + t) / (1 - right * t) - right, down * (1 + t**2) ** 0.5 / (1 - right * t) - down]) * 8
    seen = (right + t) / (1 - right * t) < 1
    terms = polynomial(right, down)[:, seen].T
    for direction in truth:
        found = torch.linalg.lstsq(terms, direction[seen][:, None]).solution
        assert float((terms @ found - direction[seen][:, None]).abs().max()) < 0.03


def test_a_larger_picture_moves_by_more_cells():
    flow = Flow(8, geometry=False)
    with torch.no_grad():
        flow.terms[2].bias[0] = 1.0
    small, large = (flow(torch.zeros(1, 8, n, n), action("turn_left"), None, None)[0] for n in (16, 32))
    assert torch.allclose(2 * small.mean(), large.mean())


def test_a_camera_that_turns_and_travels_sees_points_where_geometry_says():
    """A point at (1, 0.5, 4); the camera then goes 1 ahead and 0.5 to the right, and turns left by 30 degrees."""
    reach, turn = torch.tensor([0.75]), torch.deg2rad(torch.tensor(30.0))
    before = torch.tensor([1.0, 0.5, 4.0])
    moved = before - torch.tensor([0.5, 0.0, 1.0])
    x = moved[0] * turn.cos() + moved[2] * turn.sin()
    z = -moved[0] * turn.sin() + moved[2] * turn.cos()
    right, down = (x / z / reach).view(1, 1), (moved[1] / z / reach).view(1, 1)
    travel, near = torch.tensor([[0.5, 0.0, 1.0]]), (1 / z).view(1, 1, 1)
    found = seen_before(right, down, torch.tensor([30.0]), travel, near, reach)[0, :, 0, 0]
    expected = torch.stack(
        [before[0] / before[2] / reach[0] - right[0, 0], before[1] / before[2] / reach[0] - down[0, 0]]
    )
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_turn_of_a_known_lens_needs_no_learning():
    torch.manual_seed(0)
    flow, x = Flow(8, geometry=True), torch.randn(2, 8, 16, 16)
    field, travel, ahead = flow(x, action("turn_left", 2), torch.tensor([0.75, 0.0]), torch.zeros(2, 4))
    assert ahead is None and travel is not None and torch.equal(travel, torch.tensor([[0.0, 0, 0, 1], [0, 0, 0, 0]]))
    right, down = places(16, 16, torch.device("cpu"))
    none = torch.zeros(1, 3)
    exact = seen_before(right, down, torch.tensor([14.0]), none, right[None], torch.tensor([0.75]))
    assert torch.allclose(field[0], 8 * exact[0], atol=1e-5) and torch.all(field[1] == 0)


def test_a_wall_shortens_the_travel_and_so_moves_the_picture_less():
    flow, x = Flow(8, geometry=True), torch.zeros(2, 8, 16, 16)
    with torch.no_grad():
        flow.travel[2].bias[2] = 0.2  # of which four times as much is gone ahead
        flow.near.bias.fill_(3.3)  # all of it is 0.3 m off
    told = (x, action("forward", 2), torch.full((2,), 0.75), torch.zeros(2, 4))
    free, travel, _ = flow(*told)
    room = Room(torch.full((2,), torch.nan), torch.tensor([0.5, 0.0]))
    field, limited, ahead = flow(*told, room)
    assert travel is not None and limited is not None and ahead is not None
    near = torch.nn.functional.softplus(torch.tensor(3.3)).item()
    assert travel[:, 2].tolist() == pytest.approx([0.8, 0.8])
    assert limited[:, 2].tolist() == pytest.approx([0.8 - (0.5 + SEEN_TOO_FAR - 1 / near), 0.8])
    assert ahead.tolist() == pytest.approx([0.5 + SEEN_TOO_FAR, 1 / near])
    assert torch.equal(field[1], free[1]) and field[0].abs().sum() < free[0].abs().sum()


def test_how_far_a_camera_went_can_be_asked_alone():
    torch.manual_seed(0)
    codec = Codec(replace(CONFIG, memory=True, geometry=True)).eval()
    for parameter in codec.memory.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    room = Room(torch.full((2,), torch.nan), torch.full((2,), 0.3))
    before = replace(shown(), reach=torch.full((2,), 0.75), travel=torch.rand(2, 4), room=room)
    z = torch.randn(2, 4, 8, 12)
    carried = codec.show(z, 1, before)[2]
    travel, ahead = codec.went(z, before)
    assert carried.travel.abs().max() > 0
    torch.testing.assert_close((travel, ahead), (carried.travel, carried.ahead), rtol=0, atol=0)
    with pytest.raises(ValueError, match="has no memory"):
        Codec(CONFIG).went(z, before)


def test_what_comes_from_outside_is_the_border():
    image = torch.arange(16.0).view(1, 1, 1, 16).expand(1, 1, 16, 16)
    moved = fetched(image, torch.tensor([[[[10.0]], [[0.0]]]]).expand(1, 2, 4, 4))
    assert torch.all(moved == 15.0)


def test_a_canvas_holds_its_picture_exactly():
    picture = torch.rand(2, 3, 16, 24) * 2 - 1
    assert torch.allclose(smaller(larger(picture)), picture, atol=1e-6)
    share, known = torch.rand(2, 1, 16, 24), torch.tensor([True, False])
    nothing = torch.zeros(2, 3, 16, 24)
    moved = torch.rand(2, 3, 32, 48)
    carried = Carried(moved, torch.zeros(2, 2, 4, 6), share, nothing, None, nothing, smaller(moved))
    canvas = kept(picture, carried, known)
    assert torch.allclose(smaller(canvas), picture, atol=1e-6)
    plain = picture[1].repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.allclose(canvas[1], plain, atol=1e-6)  # one that was shown nothing is drawn, without detail


def test_detail_outlives_many_small_moves():
    """Stripes of four pixels, moved by parts of a pixel, there and back."""
    stripes = torch.where(torch.arange(64) % 4 < 2, 1.0, -1.0).expand(1, 3, 64, 64).contiguous()
    certainly = torch.ones(1, 1, 64, 64)
    pictures = {"canvas": larger(stripes), "picture": stripes}
    for step in range(16):
        flow = torch.full((1, 2, 16, 16), 0.125 if step % 2 else -0.125)  # half a pixel
        moved = {name: fetched(image, flow, "bicubic")[:, 0] for name, image in pictures.items()}
        nothing = torch.zeros(1, 3, 64, 64)
        carried = Carried(moved["canvas"], flow, certainly, nothing, None, nothing, smaller(moved["canvas"]))
        pictures = {
            "canvas": kept(carried.frame, carried, torch.ones(1, dtype=torch.bool)),
            "picture": moved["picture"],
        }
    inside = (..., slice(16, 48), slice(16, 48))
    left = {"canvas": smaller(pictures["canvas"]), "picture": pictures["picture"]}
    error = {name: float((image[inside] - stripes[inside]).square().mean()) for name, image in left.items()}
    assert error["canvas"] < 0.03 < 0.1 < error["picture"]
