"""The pixel U-Net: published size, exact solver on a known denoiser, it learns, and its lanes keep the
protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from worldsim.actions import ACTION_ID, multi_hot
from worldsim.baselines.predictor import UNetPredictor
from worldsim.baselines.unet import PixelUNet, UNetConfig
from worldsim.model.prepacked import can_prepack
from worldsim.predictor import LaneStart
from worldsim.worlds import WORLDS

TINY = UNetConfig(channels=(16, 16), blocks=1, condition=32, group=8)
ROOMS = WORLDS["DoomRooms"]


def start(seed: int, n: int = 5, size: int = 16) -> LaneStart:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (1 + 4 * n, size, size, 3), dtype=np.uint8)
    return LaneStart(world=ROOMS, seed=seed, frames=frames, actions=rng.choice(ROOMS.world_actions, n))


def controls(lanes: int, action: str) -> tuple[torch.Tensor, torch.Tensor]:
    ids = np.full(lanes, ACTION_ID[action])
    return torch.from_numpy(multi_hot(ROOMS.table.keys[ids])), torch.from_numpy(ROOMS.table.camera[ids])


def test_it_has_the_published_number_of_parameters() -> None:
    assert 4.35e6 < sum(p.numel() for p in PixelUNet().parameters()) < 4.45e6


def test_an_untrained_net_predicts_the_preconditioned_mean() -> None:
    """The head starts at zero, so the denoiser is c_skip x: the best linear guess for data of variance
    0.25."""
    net = PixelUNet(TINY)
    torch.nn.init.zeros_(net.head.bias)
    noisy, sigma = torch.randn(2, 3, 16, 16), torch.tensor([0.5, 2.0])
    out = net(noisy, sigma, torch.zeros(2, 4, 3, 16, 16), torch.zeros(2, 4, 34))
    variance = sigma**2 + 0.15**2
    expected = noisy * (0.25 / (variance + 0.25))[:, None, None, None]
    assert torch.allclose(out, expected, atol=1e-6)


def test_the_solver_ends_at_the_denoised_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a denoiser that always answers the same frame, Euler steps end exactly there, whatever the
    noise."""
    net = PixelUNet(TINY)
    frame = torch.full((1, 3, 16, 16), 2 * 100 / 255 - 1)
    monkeypatch.setattr(net, "forward", lambda x, *_: frame.expand_as(x))
    made = net.sample(torch.randn(2, 3, 16, 16), torch.zeros(2, 4, 3, 16, 16), torch.zeros(2, 4, 34))
    assert torch.allclose(made, frame.expand_as(made), atol=1e-5)
    assert net.sigmas().tolist() == sorted(net.sigmas().tolist(), reverse=True)


@pytest.mark.slow
def test_it_learns_which_control_gives_which_frame() -> None:
    """Two controls, two frames: after a short training the sampled frame is the one that the control stands
    for."""
    torch.manual_seed(0)
    # noise high enough that the frame cannot be read from it: only the control says which of the two it is
    net = PixelUNet(replace(TINY, log_sigma_mean=1.5, train_sigma_max=80.0, sigma_max=60.0))
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    bars = torch.full((3, 16, 16), 0.6)
    bars[:, :, 8:] = -0.6
    targets = torch.stack([bars, bars.transpose(1, 2)])
    choice = torch.arange(8) % 2
    control = torch.zeros(8, 4, 34)
    control[choice == 1, -1, 0] = 1
    context = torch.zeros(8, 4, 3, 16, 16)
    for _ in range(350):
        loss = net.loss(targets[choice], context, control)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    made = net.eval().sample(torch.randn(8, 3, 16, 16), context, control)
    error = (made - targets[choice]).abs().mean((1, 2, 3))
    wrong = (made - targets[1 - choice]).abs().mean((1, 2, 3))
    assert (error < wrong / 3).all(), (error, wrong)


def test_a_lane_depends_neither_on_its_neighbours_nor_on_their_number() -> None:
    torch.manual_seed(0)
    net = PixelUNet(TINY)
    torch.nn.init.normal_(net.head.weight, std=0.1)
    many, alone = UNetPredictor(net, 3, (16, 16)), UNetPredictor(net, 1, (16, 16))
    many.begin([0, 1, 2], [start(7), start(8), start(9)])
    alone.begin([0], [start(8)])
    for action in ("forward", "turn_left"):
        a, b = many.step(*controls(3, action)), alone.step(*controls(1, action))
        assert (a.frames[1].int() - b.frames[0].int()).abs().max() <= 1
        assert not torch.equal(a.frames[0], a.frames[1])


@pytest.mark.skipif(not can_prepack(torch.device("cpu"), torch.bfloat16), reason="oneDNN lays out nothing here")
def test_a_net_whose_weights_are_laid_out_makes_the_same_frames() -> None:
    net = PixelUNet(TINY)
    torch.nn.init.normal_(net.head.weight, std=0.02)
    frames = []
    for options in ({}, {"prepacked": True}):
        predictor = UNetPredictor(net, 2, (16, 16), **options)
        predictor.begin([0, 1], [start(1), start(2)])
        frames.append(predictor.step(*controls(2, "forward")).latent)
    assert float((frames[0] - frames[1]).abs().mean()) < 0.02
    assert next(net.parameters()).dtype == torch.float32


def test_a_saved_lane_continues_alike_in_another_one() -> None:
    net = PixelUNet(TINY)
    torch.nn.init.normal_(net.head.weight, std=0.1)
    one = UNetPredictor(net, 2, (16, 16))
    one.begin([0, 1], [start(1), start(2)])
    one.step(*controls(2, "forward"))
    one.set_state(1, one.get_state(0))
    after = one.step(*controls(2, "turn_right"))
    assert torch.equal(after.frames[0], after.frames[1])


def test_the_context_is_the_last_frame_of_each_block() -> None:
    predictor = UNetPredictor(PixelUNet(TINY), 1, (16, 16))
    given = start(3, n=5)
    block = predictor.begin([0], [given])
    assert given.frames is not None
    assert np.array_equal(block.frames[0, -1].numpy(), given.frames[-1])
    held = predictor.get_state(0)["frames"].add(1).mul(127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(held, given.frames[[8, 12, 16, 20]])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"frames": None}, "has no text"), ({"actions": np.zeros(4, np.int64)}, "do not fit 4 actions")],
)
def test_a_start_that_it_cannot_make_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UNetPredictor(PixelUNet(TINY), 1, (16, 16)).begin([0], [replace(start(0), **change)])
