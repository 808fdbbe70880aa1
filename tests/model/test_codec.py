"""Shapes, sizes, independence of blocks, normalisation."""

import pytest
import torch

from worldsim.model.codec import Codec, CodecConfig, to_pixels, to_uint8
from worldsim.model.convolutions import CELL
from worldsim.model.motion import fetched

CONFIG = CodecConfig(fine_width=16, coarse_width=24, fine_depth=1, coarse_depth=1, decoder_fine_depth=1)


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    return Codec(CONFIG).eval().requires_grad_(False)


def frames(batch, k, height=64, width=64):
    return torch.randint(0, 256, (batch, k, height, width, 3), dtype=torch.uint8)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96), (128, 72), (8, 8)])
@pytest.mark.parametrize("k", [1, 4])
def test_any_multiple_of_eight_survives_the_round_trip(codec, height, width, k):
    given = frames(2, k, height, width)
    z = codec.encode(given)
    assert z.shape == (2, 4, height // 4, width // 4)
    assert z.dtype == torch.float32
    back = codec.decode(z, k)
    assert back.shape == given.shape
    assert back.dtype == torch.uint8


def test_compression_is_48_fold(codec):
    block = frames(1, 4)
    assert block.numel() / codec.encode(block).numel() == 48


def test_blocks_do_not_see_each_other(codec):
    given = frames(3, 4)
    together = codec.encode(given)
    assert torch.allclose(together[1:2], codec.encode(given[1:2]), atol=1e-5)


def test_statistics_normalise_and_are_undone(codec):
    torch.manual_seed(1)
    other = Codec(CONFIG).eval().requires_grad_(False)
    other.load_state_dict(codec.state_dict())
    other.latent_mean.fill_(0.3)
    other.latent_std.fill_(2.0)
    given = frames(1, 4)
    assert torch.allclose(other.encode(given), (codec.encode(given) - 0.3) / 2, atol=1e-5)
    difference = other.decode(other.encode(given), 4).int() - codec.decode(codec.encode(given), 4).int()
    assert difference.abs().max() <= 1  # rounding


def test_the_image_of_a_latent_is_the_last_frame_of_its_block(codec):
    z = codec.encode(frames(2, 4))
    assert torch.equal(codec.decode(z, 1)[:, 0], codec.decode(z, 4)[:, 3])


def test_a_picture_moves_along_its_flow():
    image = torch.rand(2, 3, 16, 24)
    flow = torch.zeros(2, 4, 4, 6)
    flow[:, 2], flow[:, 3] = 1, -0.5  # the second field fetches colours a cell to the right and half a cell above
    first, second = fetched(image, flow).unbind(1)
    assert torch.allclose(first, image, atol=1e-5)
    up = CELL // 2
    assert torch.allclose(second[:, :, up:, :-CELL], image[:, :, :-up, CELL:], atol=1e-5)
    assert torch.allclose(second[:, :, up:, -1], image[:, :, :-up, -1], atol=1e-5)  # nothing lies outside


def test_wrong_sizes_and_blocks_are_named(codec):
    with pytest.raises(ValueError, match="60x64"):
        codec.encode(frames(1, 4, 60, 64))
    with pytest.raises(ValueError, match="3 frames"):
        codec.encode(frames(1, 3))


def test_pixels_and_bytes():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_pixels(every)), every)
