"""Training on packs: what is drawn, a loss that does not depend on the packs, exact resume, what is refused."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from shades import make_episode

from worldsim.model.codec import Codec, CodecConfig
from worldsim.model.debug import debug_world
from worldsim.model.layouts import Packed, Padded
from worldsim.model.weights import WorldSimulator
from worldsim.training.clips import ClipConfig
from worldsim.training.latents import LatentStore
from worldsim.training.native import NativeSampler, PackConfig
from worldsim.training.objective import draw_flow, flow_loss, parts_of
from worldsim.training.packing_speed import compare, skewed_store
from worldsim.training.packs import packed_loss, packs_of, shape_of
from worldsim.training.presets import preset
from worldsim.training.world import WorldTraining
from worldsim.worlds import WORLDS

SMOKE = preset("smoke").world
PACKS = PackConfig(2000, durations=(4, 9))
CLIPS = ClipConfig(drop_text=0.0, drop_action=0.0)


def store_of(sizes, steps=20):
    """Noise latents: Rooms in the first size, Crafter, whose steps are one frame, in all others."""
    store = skewed_store(debug_world(), sizes, steps)
    first = store.episodes[0].z.shape
    store.episodes = [e if e.z.shape == first else replace(e, world="Crafter") for e in store.episodes]
    return store


SIZES = {(64, 64): 2, (64, 96): 1, (96, 64): 1}


def batch_of(config, model, clips=7, singles=5, seed=0):
    sampler = NativeSampler(store_of(SIZES), CLIPS, config.pack.durations)
    rng, g = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def parts(groups):
        draws = [draw_flow(c, torch.randn(c.z.shape, generator=g), config, 4, g) for c in groups]
        return parts_of(list(zip(groups, draws)), config, 4)

    return parts(sampler.clips(clips, rng)), parts(sampler.singles(singles, rng))


def packed(tokens, squares=0):
    return replace(SMOKE, pack=PackConfig(tokens, squares, durations=(3, 8)))


def gradients(model, loss):
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def test_groups_have_one_size_and_one_duration_and_every_frame_is_real():
    sampler = NativeSampler(store_of(SIZES), CLIPS, (3, 8))
    groups = sampler.clips(200, np.random.default_rng(0))
    kinds = [tuple(g.z.shape[i] for i in (1, 3, 4)) for g in groups]
    assert sorted(kinds) == sorted((t, h, w) for t in (3, 8) for h, w in ((16, 16), (16, 24), (24, 16)))
    assert sum(len(g.z) for g in groups) == 200
    assert all(g.valid.all() for g in groups)
    for group, (_, height, width) in zip(groups, kinds):
        spec = WORLDS["DoomRooms" if height == width else "Crafter"]
        assert torch.all(group.words.world == spec.index)
        assert torch.allclose(group.seconds[:, 1], torch.tensor(spec.step_seconds))


def test_worlds_have_equal_shares_and_a_worlds_sizes_those_of_its_latents():
    sampler = NativeSampler(store_of({(64, 64): 1, (64, 96): 3, (96, 64): 1}), CLIPS, (3,))
    counts = {g.z.shape[3:]: len(g.z) for g in sampler.clips(4000, np.random.default_rng(0))}
    assert counts[16, 16] / 4000 == pytest.approx(0.5, abs=0.03)
    assert counts[16, 24] / 4000 == pytest.approx(0.5 * 3 / 4, abs=0.03)


def test_an_episode_shorter_than_its_duration_is_taken_whole():
    sampler = NativeSampler(store_of({(64, 64): 1}, steps=5), CLIPS, (8,))
    (group,) = sampler.clips(4, np.random.default_rng(0))
    assert group.z.shape[:2] == (4, 6)
    assert group.valid.all()


def test_singles_are_one_frame_samples_of_every_size():
    groups = NativeSampler(store_of(SIZES), CLIPS, (3,)).singles(60, np.random.default_rng(0))
    assert {tuple(g.z.shape[1:]) for g in groups} == {(1, 4, 16, 16), (1, 4, 16, 24), (1, 4, 24, 16)}
    assert sum(len(g.z) for g in groups) == 60


@pytest.mark.parametrize("budget", [(300, 0), (10**6, 12_000)])
def test_loss_and_gradient_do_not_depend_on_the_packs(budget):
    model, whole, cut = debug_world(), packed(10**6), packed(*budget)
    clips, singles = batch_of(whole, model)
    one, told = packed_loss(model, clips, singles, whole, nullcontext)
    expected = gradients(model, one)
    many, told_many = packed_loss(model, clips, singles, cut, nullcontext)
    found = gradients(model, many)
    assert told["packs"] == 1 and told_many["packs"] > 2
    assert many.item() == pytest.approx(one.item(), rel=1e-5)
    assert told_many["image_mse"] == pytest.approx(float(told["image_mse"]), rel=1e-5)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, atol=1e-5 * max(1.0, float(gradient.abs().max()))), name


def test_packs_hold_every_sample_once_and_keep_the_budget():
    model, config = debug_world(), packed(300)
    clips, singles = batch_of(config, model)
    parts = [*clips, *singles]
    budget = config.pack.budget
    seen = dict.fromkeys(range(len(parts)), 0)
    for members in packs_of(parts, model, budget):
        tokens = 0
        for number, part in members:
            seen[number] += len(part.clips.z)
            tokens += len(part.clips.z) * shape_of([part.clips.z.shape[i] for i in (1, 3, 4)], model).length
        assert tokens <= budget.tokens
    assert seen == {number: len(part.clips.z) for number, part in enumerate(parts)}


def test_a_pack_of_one_size_has_the_loss_of_the_batch():
    """The dense loss, which equal clips are trained with, is that of a pack of one group."""
    model, config = debug_world(), packed(10**6)
    sampler = NativeSampler(store_of({(64, 64): 2}), CLIPS, (8,))
    (clips,) = sampler.clips(5, np.random.default_rng(0))
    g = torch.Generator().manual_seed(0)
    draw = draw_flow(clips, torch.randn(clips.z.shape, generator=g), config, 4, g)
    dense, told = flow_loss(model, clips, draw, config)
    expected = gradients(model, dense)
    loss, told_packed = packed_loss(model, parts_of([(clips, draw)], config, 4), [], config, nullcontext)
    assert loss.item() == pytest.approx(dense.item(), rel=1e-6)
    for name in ("latent", "mse", "reward", "done"):
        assert float(told_packed[name]) == pytest.approx(float(told[name]), rel=1e-5)
    for name, gradient in gradients(model, loss).items():
        assert torch.allclose(gradient, expected[name], atol=1e-5 * max(1.0, float(gradient.abs().max()))), name


@pytest.mark.parametrize("layout", [Packed, Padded])
def test_samples_of_a_batch_do_not_change_with_their_company(layout):
    model, config = debug_world(), packed(10**6)
    clips, singles = batch_of(config, model)
    loss, _ = packed_loss(model, clips, singles, config, nullcontext, layout)
    other, _ = packed_loss(model, clips[::-1], singles[::-1], config, nullcontext, layout)
    assert other.item() == pytest.approx(loss.item(), rel=1e-5)


def test_the_comparison_of_speed_has_one_loss_and_counts_what_is_computed():
    found = compare(debug_world(), clips=3, singles=2, rounds=1, bf16=False)
    assert found.equal
    assert found.tokens["packed"] < found.tokens["padded, images apart"] < found.tokens["padded"]
    assert not replace(found, losses=found.losses | {"padded": 2 * found.losses["packed"]}).equal


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    return Codec(CodecConfig(fine_width=8, coarse_width=8, fine_depth=1, coarse_depth=1, decoder_fine_depth=1)).eval()


def world_training(codec, out, pack=PACKS, **changes):
    run = replace(SMOKE.run, device="cpu", bf16=False, log_every=2, probe_every=6, save_every=6)
    config = replace(SMOKE, run=run, optim=replace(SMOKE.optim, steps=6), pack=pack, **changes)
    store = LatentStore()
    store.extend([make_episode(seed=i, steps=20, size=(32, 32 + 16 * (i % 2))) for i in range(4)], codec)
    held_out = [make_episode(seed=70 + i, steps=20, size=(32, 32 + 16 * i)) for i in range(2)]
    return WorldTraining(config, out, codec, store, held_out)


def test_training_on_packs_resumes_exactly_and_logs_every_size(codec, tmp_path):
    changes = {"expecting": 0.4, "own_context": 0.5, "shortcut_from": 0.5}
    whole = world_training(codec, tmp_path / "whole", **changes)
    whole.run()
    half = world_training(codec, tmp_path / "half", **changes)
    half.run(until=3)
    other = world_training(codec, tmp_path / "half", **changes)
    assert other.loop.resume()
    other.run()
    for a, b in zip(whole.model.parameters(), other.model.parameters()):
        assert torch.equal(a, b)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    probed = next(row for row in reversed(rows) if "probe/next_mse" in row)
    assert probed["probe/next_mse"] > 0 and probed["probe/next_mse_32x48"] > 0
    assert any(row.get("packs", 0) >= 1 and row.get("image_mse", 0) > 0 for row in rows)
    assert any("shortcut" in row for row in rows)
    assert len(list((tmp_path / "whole" / "sheets").glob("world-*-32x48.png"))) >= 1
    made = WorldSimulator.from_pretrained(tmp_path / "whole" / "model").config
    assert made.world == SMOKE.world and (made.cache_mode, made.temperature) == ("reuse", 0.0)
    assert made.hallucination_reference == pytest.approx(probed["probe/hallucination"], rel=1e-4)


def test_several_sizes_without_packs_are_refused_with_what_to_do(codec, tmp_path):
    with pytest.raises(ValueError, match=r"without packs a run has one size; give a pack's budget"):
        world_training(codec, tmp_path, PackConfig()).run()


def test_a_budget_that_the_longest_clip_does_not_fit_is_refused_at_once(codec, tmp_path):
    with pytest.raises(ValueError, match=r"9 frames of 8 tokens has 72 tokens, more than the 60 of a pack"):
        world_training(codec, tmp_path, PackConfig(60, durations=(4, 9))).run()


def test_bad_packs_are_refused():
    with pytest.raises(ValueError, match=r"pack.tokens=-1"):
        PackConfig(tokens=-1)
    with pytest.raises(ValueError, match=r"pack.durations=\(1,\)"):
        PackConfig(durations=(1,))
