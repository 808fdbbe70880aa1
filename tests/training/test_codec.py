"""The shift of latents that the codec is trained to be true to."""

import pytest
import torch
from einops import rearrange

from worldsim.model.codec import CodecConfig
from worldsim.model.convolutions import CELL
from worldsim.training.codec import codec_loss, shift
from worldsim.training.configs import CodecTrainConfig


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (CELL, -CELL), (-CELL, 0)])
def test_a_shift_by_whole_cells_picks_other_cells(rows, columns):
    z = torch.randn(2, 3, 8, 10)
    down, right = 1 + rows // CELL, 1 + columns // CELL
    assert torch.allclose(shift(z, rows, columns, CELL), z[:, :, down : down + 6, right : right + 8], atol=1e-5)


def test_a_shift_between_cells_follows_a_smooth_picture():
    y, x = torch.arange(8.0)[:, None], torch.arange(10.0)[None]
    smooth = (0.3 * y - 0.2 * x)[None, None]
    shifted = shift(smooth, 1, -3, CELL)[0, 0]
    expected = 0.3 * (y[1:-1] + 1 / 4) - 0.2 * (x[:, 1:-1] - 3 / 4)
    assert torch.allclose(shifted[1:-1, 1:-1], expected[1:-1, 1:-1], atol=0.05)


class Cells:
    """A codec without loss whose latents are the pixels of each cell."""

    config = CodecConfig()

    def encode_pixels(self, x):
        return rearrange(x, "b k (h p) (w q) c -> b (k c p q) h w", p=CELL, q=CELL)

    def decode_pixels(self, z, frames):
        return rearrange(z, "b (k c p q) h w -> b k (h p) (w q) c", k=frames, p=CELL, q=CELL)


@pytest.mark.parametrize("by", [None, (0, 0), (CELL, -CELL), (-CELL, 0)])
def test_latents_and_picture_are_shifted_the_same_way(by):
    pixels = torch.rand(2, 4, 32, 40, 3) * 2 - 1
    noise = torch.zeros(2, 4 * 3 * CELL**2, 8, 10)
    _, mse = codec_loss(Cells(), pixels, CodecTrainConfig(), noise, by)
    assert float(mse) < 1e-9
