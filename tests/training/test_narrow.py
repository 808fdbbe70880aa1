"""Modulations through fewer numbers: as many as the vectors span change nothing, and the command says what is lost."""

from dataclasses import replace

import pytest
import torch
from shades import make_episode

from worldsim.cli.train import main
from worldsim.model.debug import debug_simulator
from worldsim.model.transformer import WorldModelConfig, tiny_config
from worldsim.model.weights import WorldSimulator
from worldsim.training.narrow import _split, _vectors, narrowed

EPISODES = [make_episode(30, seed) for seed in range(4)]


def answers(simulator: WorldSimulator, vectors: torch.Tensor) -> torch.Tensor:
    return torch.cat([simulator.world.modulation(vectors), simulator.world.final_modulation(vectors)], dim=-1)


def test_vectors_of_few_dimensions_need_no_more() -> None:
    torch.manual_seed(0)
    vectors, weight = torch.randn(200, 5) @ torch.randn(5, 32), torch.randn(48, 32)
    first, second, lost = _split(weight, vectors, 5)
    assert first.shape == (5, 32) and second.shape == (48, 5) and lost < 1e-5
    assert torch.allclose(vectors @ first.T @ second.T, vectors @ weight.T, atol=1e-2)
    assert 0.05 < _split(weight, vectors, 4)[2] < 0.5


def test_a_narrower_model_answers_nearly_alike_and_is_smaller_and_all_else_stays(tmp_path) -> None:
    whole = debug_simulator(memory=True, player=True, referee=True)
    narrow, lost = narrowed(whole, 24, EPISODES, batches=4)
    vectors = _vectors(whole, [make_episode(30, seed) for seed in range(40, 44)], 4, 8)  # none that it was fitted to
    wanted = answers(whole, vectors)
    error = (answers(narrow, vectors) - wanted).square().mean() / wanted.var()
    assert 0 < lost < 0.05 and error < 0.1
    u, s, v = torch.linalg.svd(whole.world.modulation.weight)
    plain = vectors @ ((u[:, :24] * s[:24]) @ v[:24]).T + whole.world.modulation.bias
    fitted = narrow.world.modulation(vectors)
    wanted = wanted[:, : len(u)]
    assert (fitted - wanted).square().mean() < 0.5 * (plain - wanted).square().mean()
    assert narrow.config.world == replace(whole.config.world, modulation_rank=24)
    size = [sum(p.numel() for p in s.world.parameters()) for s in (whole, narrow)]
    assert size[0] - size[1] == (6 + 2) * 32 * 32 - 24 * (2 * 32 + (6 + 2) * 32)
    for name, value in whole.world.state_dict().items():
        if "modulation" not in name.split(".")[0]:
            assert torch.equal(value, narrow.world.state_dict()[name]), name
    saved = WorldSimulator.from_pretrained(narrow.save_pretrained(tmp_path / "narrow"))
    assert saved.digest == narrow.digest != whole.digest
    assert saved.player is not None and saved.referee is not None
    with pytest.raises(ValueError, match="of rank 24 already"):
        narrowed(saved, 8, EPISODES)


def test_ranks_that_make_nothing_smaller_are_refused() -> None:
    with pytest.raises(ValueError, match="rank=32: accepted is 1 to below the width 32"):
        narrowed(debug_simulator(), 32, EPISODES)
    with pytest.raises(ValueError, match="modulation_rank=300"):
        WorldModelConfig(modulation_rank=300)
    assert replace(tiny_config(), modulation_rank=8).modulation_rank == 8


def test_one_command_makes_a_model_narrower(tmp_path, capsys) -> None:
    folder = debug_simulator().save_pretrained(tmp_path / "begin")
    main(
        ["narrow", "--model", str(folder), "--out", str(tmp_path / "run"), "--rank", "16", "--source.worlds",
         "DoomBasic", "--source.steps", "60", "--source.max-steps", "30", "--source.workers", "0"]
    )  # fmt: skip
    made = WorldSimulator.from_pretrained(tmp_path / "run" / "model")
    assert made.config.world.modulation_rank == 16
    assert f"digest {made.digest}; " in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["narrow", "carrying", "release"])
def test_a_preset_is_refused_where_nothing_is_trained(stage, capsys) -> None:
    with pytest.raises(SystemExit):
        main([stage, "--preset", "gpu"])
    assert f"{stage} has no presets" in capsys.readouterr().err
