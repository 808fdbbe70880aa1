import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from worldsim.engine import RolloutEngine
from worldsim.model.convolutions import Conv
from worldsim.model.debug import debug_simulator
from worldsim.model.prepacked import can_prepack, prepack
from worldsim.predictor import LaneStart
from worldsim.worlds import WORLDS

CPU = torch.device("cpu")
needed = pytest.mark.skipif(not can_prepack(CPU, torch.bfloat16), reason="oneDNN lays out nothing here")


def test_only_bfloat16_on_a_cpu_is_laid_out() -> None:
    assert not can_prepack(CPU, torch.float32)
    assert not can_prepack(torch.device("cuda"), torch.bfloat16)


@needed
@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(24, 40), (7, 24)),
        (nn.Linear(24, 40, bias=False), (2, 3, 5, 24)),
        (Conv(12, 20, 3), (2, 12, 9, 14)),
        (Conv(12, 20, 2, stride=2), (2, 12, 8, 14)),
        (Conv(12, 20, 1), (1, 12, 8, 8)),
        (nn.Conv2d(12, 20, 3, padding=1), (2, 12, 9, 14)),
        (nn.Conv2d(12, 20, (3, 5), bias=False), (1, 12, 9, 14)),
    ],
)
def test_results_are_those_of_plain_weights(module: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    whole = nn.Sequential(module).bfloat16().requires_grad_(False)
    expected = whole(x)
    before = module.weight.clone()
    prepack(whole)
    assert torch.equal(module.weight, before)
    for given in (x, x.transpose(0, -1).contiguous().transpose(0, -1)):  # whatever its strides
        torch.testing.assert_close(whole(given), expected, rtol=2e-2, atol=2e-2)
    if x.ndim == 4:
        laid = whole(x.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(laid, expected, rtol=2e-2, atol=2e-2)


@needed
def test_an_engine_lays_out_a_copy_and_one_that_compiles_does_not() -> None:
    simulator = debug_simulator()
    assert type(RolloutEngine(simulator, 1, "cpu", dtype=torch.bfloat16).codec.to_latent) is not nn.Conv2d
    assert type(RolloutEngine(simulator, 1, "cpu", dtype=torch.bfloat16, compile=True).codec.to_latent) is nn.Conv2d
    assert type(RolloutEngine(simulator, 1, "cpu", dtype=torch.float32).codec.to_latent) is nn.Conv2d
    assert type(simulator.codec.to_latent) is nn.Conv2d


@needed
def test_a_simulator_whose_weights_are_laid_out_can_be_copied_and_sent_elsewhere() -> None:
    simulator = debug_simulator()
    RolloutEngine(simulator, 1, "cpu", dtype=torch.bfloat16)
    for other in (copy.deepcopy(simulator), pickle.loads(pickle.dumps(simulator))):
        assert RolloutEngine(other, 1, "cpu", dtype=torch.bfloat16).model.digest == simulator.digest


@needed
def test_the_first_latent_is_that_of_an_engine_whose_weights_are_not_laid_out() -> None:
    simulator = debug_simulator(memory=True)
    frames = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    latents = []
    for compiled in (True, False):  # what compiles is plain until it runs
        engine = RolloutEngine(simulator, 1, "cpu", dtype=torch.bfloat16, compile=compiled, denoising_steps=1)
        engine._network, engine._denoise = engine.world.step, engine.world.denoise
        engine._registers = engine.world.remember
        engine.begin([0], [LaneStart(WORLDS["DoomRooms"], 1, frames=frames)])
        latents.append(engine.step(torch.zeros(1, 32), torch.zeros(1, 2)).latent)
    assert float((latents[0] - latents[1]).square().mean().sqrt()) < 0.05 * float(latents[0].std())
