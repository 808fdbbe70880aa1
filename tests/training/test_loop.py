"""Exact resume, compact state, averages, schedule; a run end to end with the smallest networks."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from shades import make_episode
from torch import nn

from worldsim.model.codec import Codec, CodecConfig
from worldsim.model.transformer import tiny_config
from worldsim.model.weights import WorldSimulator
from worldsim.training.codec import CodecTraining, load_codec
from worldsim.training.configs import OptimConfig, RunConfig
from worldsim.training.latents import LatentStore
from worldsim.training.loop import Loop, build_optimisers, zero_unless
from worldsim.training.objective import draw_shortcut, shortcut_loss
from worldsim.training.presets import preset
from worldsim.training.state import SHARD_BYTES, load_state, save_state
from worldsim.training.world import WorldTraining

SMOKE = preset("smoke")


class Layered(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 64), nn.Linear(64, 1)])

    def forward(self, x):
        return self.layers[1](torch.tanh(self.layers[0](x)))


def make_loop(out, muon=False, **optim):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    run = RunConfig(log_every=5, probe_every=1000, save_every=1000, bf16=False, device="cpu")
    return Loop(out, Layered(), OptimConfig(steps=20, warmup=3, batch=8, ema=0.9, muon=muon, **optim), run)


def regression(loop):
    def loss_of(step):
        x = torch.from_numpy(loop.rng.standard_normal((8, 64))).float()
        noise = torch.randn(8, 1, generator=loop.generator)
        return (loop.model(x) - x[:, :1] - 0.1 * noise).square().mean(), {}

    return loss_of


def parameters(loop):
    return [p.detach().clone() for p in loop.model.parameters()] + [m.clone() for m in loop.average.mean]


@pytest.mark.parametrize("muon", [False, True])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, muon):
    if muon and not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    whole = make_loop(tmp_path / "whole", muon)
    whole.train(regression(whole), lambda step: {})
    half = make_loop(tmp_path / "half", muon)
    half.train(regression(half), lambda step: {}, until=9)
    other = make_loop(tmp_path / "half", muon)
    assert other.resume()
    other.train(regression(other), lambda step: {})
    assert other.step == whole.step == 20
    for a, b in zip(parameters(whole), parameters(other)):
        assert torch.equal(a, b)


def test_a_request_to_stop_saves_and_ends(tmp_path):
    loop = make_loop(tmp_path)
    inner = regression(loop)

    def loss_of(step):
        loop.stop_requested = step == 6
        return inner(step)

    loop.train(loss_of, lambda step: {})
    assert loop.step == 7
    assert load_state(tmp_path / "state")["step"] == 7


def test_schedule_warms_up_stays_and_decays(tmp_path):
    loop = make_loop(tmp_path, lr=1.0, decay=0.5)
    rates = []
    for step in range(20):
        loop.step = step
        rates.append(loop.lr())
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[5] == 1
    assert rates[15] == pytest.approx(0.5)
    assert rates[19] == pytest.approx(0.1)


def test_averaged_weights_are_swapped_in_and_out(tmp_path):
    loop = make_loop(tmp_path)
    loop.train(regression(loop), lambda step: {})
    live = [p.clone() for p in loop.model.parameters()]
    inside = loop.with_average(lambda: [p.clone() for p in loop.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(inside, loop.average.mean))
    assert all(torch.equal(a, b) for a, b in zip(live, loop.model.parameters()))


def test_compact_state_is_small_sharded_and_close(tmp_path):
    state = {
        "model": {"w": torch.randn(300, 300)},
        "average": {"w": torch.randn(3000, 3000)},
        "step": 3,
        "x": {1: [2]},
    }
    save_state(tmp_path / "s", state, compact=True)
    again = load_state(tmp_path / "s")
    assert torch.equal(again["model"]["w"], state["model"]["w"])
    assert torch.allclose(again["average"]["w"], state["average"]["w"], rtol=1e-2)
    assert again["step"] == 3
    assert again["x"] == {1: [2]}
    biggest = max(p.stat().st_size for p in (tmp_path / "s").iterdir())
    assert biggest < max(SHARD_BYTES, 3000 * 3000 * 2) + 10_000


def test_a_run_goes_on_from_its_compact_state_where_only_that_was_saved(tmp_path):
    loop = make_loop(tmp_path / "a")
    loop.train(regression(loop), lambda step: {}, until=9)
    save_state(tmp_path / "b" / "compact", loop.state(), compact=True)
    other = make_loop(tmp_path / "b")
    assert other.resume()
    assert other.step == 9
    assert all(torch.equal(a, b) for a, b in zip(loop.model.parameters(), other.model.parameters()))
    other.train(regression(other), lambda step: {})
    assert other.step == 20


def test_a_gradient_that_is_not_finite_changes_nothing(tmp_path):
    loop = make_loop(tmp_path)
    before = [p.clone() for p in loop.model.parameters()]
    loop.train(lambda step: (loop.model(torch.full((1, 64), torch.nan)).sum(), {}), lambda step: {}, until=1)
    assert loop.skipped == 1
    assert all(torch.equal(a, b) for a, b in zip(before, loop.model.parameters()))


def test_an_interrupted_rename_leaves_the_previous_state(tmp_path):
    save_state(tmp_path / "s", {"step": 1})
    (tmp_path / "s").rename(tmp_path / "s.old")
    assert load_state(tmp_path / "s")["step"] == 1
    with pytest.raises(FileNotFoundError, match="no training state"):
        load_state(tmp_path / "none")


def test_a_newer_state_is_refused(tmp_path):
    save_state(tmp_path / "s", {"step": 1})
    index = tmp_path / "s" / "state.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"format_version": 99}))
    with pytest.raises(ValueError, match="Update worldsim"):
        load_state(tmp_path / "s")


def small(config):
    return replace(config, run=replace(config.run, device="cpu", bf16=False, log_every=4, probe_every=8, save_every=8))


@pytest.fixture(scope="module")
def codec_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("codec")
    config = small(replace(SMOKE.codec, optim=replace(SMOKE.codec.optim, steps=60, batch=6), start_blocks=20))
    episodes = [make_episode(seed=i) for i in range(3)]
    training = CodecTraining(config, out, iter(episodes), [make_episode(seed=50)])
    codec = training.run()
    training.feeder.close()
    return out, codec


def test_the_codec_learns_flat_shades_and_is_exported_with_statistics(codec_run):
    out, codec = codec_run
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    probes = [row["probe/psnr"] for row in rows if "probe/psnr" in row]
    assert probes[-1] > probes[0] + 3
    exported = load_codec(out / "codec")
    frames = torch.from_numpy(make_episode(seed=60).blocks)
    z = exported.encode(frames)
    assert torch.allclose(z, codec.encode(frames), atol=1e-4)
    assert 0.5 < float(z.std()) < 2
    assert list((out / "sheets").glob("codec-*.png"))


def world_training(codec, out, **changes):
    optim = replace(SMOKE.world.optim, steps=16)
    config = small(replace(SMOKE.world, **{"optim": optim, "shortcut_from": 0.5, **changes}))
    store = LatentStore()
    store.extend([make_episode(seed=i, steps=30) for i in range(4)], codec)
    return WorldTraining(config, out, codec, store, [make_episode(seed=70, steps=30)])


def test_world_training_resumes_exactly_and_exports_a_model(codec_run, tmp_path):
    _, codec = codec_run
    whole = world_training(codec, tmp_path / "whole")
    simulator = whole.run()
    half = world_training(codec, tmp_path / "half")
    half.run(until=7)
    other = world_training(codec, tmp_path / "half")
    assert other.loop.resume()
    other.run()
    for a, b in zip(whole.model.parameters(), other.model.parameters()):
        assert torch.equal(a, b)
    loaded = WorldSimulator.from_pretrained(tmp_path / "whole" / "model")
    assert loaded.config == simulator.config
    assert loaded.config.shortcut
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    probes = [row for row in rows if "probe/shuffled_over_true" in row]
    assert {"probe/next_mse", "probe/over_copy_last", "probe/sampled_mse", "probe/mse_at_0.5"} <= set(probes[-1])
    assert probes[-1]["probe/tempered_mse"] <= probes[-1]["probe/sampled_mse"]
    assert loaded.config.temperature == probes[-1]["probe/temperature"]
    assert loaded.config.hallucination_reference == pytest.approx(probes[-1]["probe/hallucination"], rel=1e-4)
    assert any("shortcut" in row for row in rows)
    assert list((tmp_path / "whole" / "sheets").glob("world-*.png"))


def test_a_run_without_the_shortcut_term_never_claims_step_sizes(codec_run, tmp_path):
    _, codec = codec_run
    training = world_training(codec, tmp_path / "run", shortcut_from=1.0)
    training.loop.step = 17  # a run by the clock ends a little late
    assert training.loop.progress > 1
    assert not training.shortcut
    assert not training._simulator().config.shortcut


def test_muon_takes_the_hidden_matrices_and_nothing_else():
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    model = Codec(CodecConfig(fine_width=32, coarse_width=32))
    adam, muon = build_optimisers(model, OptimConfig(muon=True))
    taken = {id(p) for group in muon.param_groups for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in taken}
    assert names == {n for n, p in model.named_parameters() if n.startswith(("encoder.", "decoder.")) and p.ndim == 2}
    assert len(taken) + sum(len(group["params"]) for group in adam.param_groups) == len(list(model.parameters()))


def test_compiling_without_a_compiler_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    loop = make_loop(tmp_path)
    loop.compile(loop.model)  # not asked for
    loop.run = replace(loop.run, compile=True)
    with pytest.raises(ValueError, match="no no-such-compiler: apt-get install g"):
        loop.compile(loop.model)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_world_model_learns_that_actions_paint_the_picture(codec_run, tmp_path):
    """In these episodes the next picture is a function of the action alone: shuffled actions must cost dearly."""
    _, codec = codec_run
    optim = replace(SMOKE.world.optim, steps=450, lr=4e-3, batch=6)
    # A token must carry the 64 numbers of its patch; the transformer learns it alone.
    wide = replace(tiny_config(), width=96, heads=3, mlp_width=128, refiner=None)
    training = world_training(codec, tmp_path / "run", optim=optim, world=wide, singles=0.0, shortcut_from=1.0)
    training.run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if "probe/shuffled_over_true" in row][-1]
    assert last["probe/shuffled_over_true"] > 2
    assert last["probe/over_copy_last"] < 0.3


def test_shortcut_targets_have_no_gradient_and_a_perfect_model_no_loss(codec_run, tmp_path):
    _, codec = codec_run
    training = world_training(codec, tmp_path / "run")
    clips = training.sampler.clips(4, np.random.default_rng(0)).rows(slice(2))
    draw = draw_shortcut(clips, torch.randn_like(clips.z), torch.Generator().manual_seed(0))
    assert torch.all((draw.tau * 2.0 ** (3 - draw.step_size) % 1) == 0)  # on the grid of their step size
    assert float(draw.tau.max()) < 1

    class Perfect(nn.Module):
        config = training.model.config
        text = training.model.text

        def forward(self, z, *args):
            return type("P", (), {"x": clips.z})()

    assert float(shortcut_loss(Perfect(), clips, draw)) < 1e-8


def test_gradients_that_are_not_finite_become_zeros_without_waiting():
    gradients = [torch.tensor([1.0, float("nan")]), torch.tensor([[float("inf"), 2.0]])]
    zero_unless(gradients, torch.tensor(False))
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients)
    fine = [torch.tensor([1.0, -2.0]), torch.tensor([[3.0]])]
    zero_unless(fine, torch.tensor(True))
    assert torch.equal(fine[0], torch.tensor([1.0, -2.0])) and torch.equal(fine[1], torch.tensor([[3.0]]))
