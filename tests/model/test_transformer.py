"""Attention backends, the cached step against the whole clip, both time modes, what conditions what."""

from dataclasses import replace

import pytest
import torch
from tiny import at, causal, inputs, trained_like

from worldsim.model.attention import attend, fused, time_mask
from worldsim.model.heads import REWARD_BINS, bin_values, expected_reward, two_hot
from worldsim.model.text import TextEncoder, tokenise
from worldsim.model.transformer import PAST, WorldModel, WorldModelConfig, tiny_config


def test_plain_attention_equals_the_fused_kernel():
    q, k, v = torch.randn(3, 2, 4, 7, 16)
    mask = torch.rand(2, 1, 7, 7) > 0.3
    mask |= torch.eye(7, dtype=torch.bool)
    assert torch.allclose(attend(q, k, v, mask), fused(q, k, v, mask), atol=1e-6)
    assert torch.allclose(attend(q, k, v), fused(q, k, v), atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_the_fused_kernel_takes_five_dimensions_with_one_mask_for_two_of_them(masked):
    q = torch.randn(2, 3, 4, 7, 16)
    k, v = torch.randn(2, 2, 3, 4, 9, 16)
    mask = (torch.rand(2, 1, 1, 7, 9) > 0.3) | (torch.arange(9) == 0) if masked else None
    assert torch.allclose(attend(q, k, v, mask), fused(q, k, v, mask), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 24)])
def test_stepping_with_a_cache_equals_the_whole_clip_past_the_first_eviction(height, width):
    model = trained_like()
    window = model.config.window
    z, tau, controls, text, seconds = inputs(model, frames=2 * window + 3, height=height, width=width)
    whole = model(z, tau, controls, text, seconds, causal(2))
    caches = model.empty_caches(2, height * width // 16, window, torch.float32, z.device)
    held, when = torch.zeros(2, window, dtype=torch.bool), torch.zeros(2, window)
    before, levels = torch.zeros_like(z[:, :PAST]), torch.full((2, PAST), -1.0)
    for t in range(z.shape[1]):
        slot = t % window
        held[:, slot], when[:, slot] = True, seconds[:, t]
        past, past_tau = (torch.cat([x, y], 1)[:, t : t + PAST].flip(1) for x, y in ((before, z), (levels, tau)))
        prepared = model.prepare_step(
            past, past_tau, controls.frame(t), at(text, t), caches, slot, seconds[:, t : t + 1] - when, held
        )
        model.step(torch.randn(z[:, t].shape), tau[:, t], prepared)  # an earlier denoising pass leaves no trace
        step = model.step(z[:, t], tau[:, t], prepared)
        assert torch.allclose(step.x[:, 0], whole.x[:, t], atol=1e-4)
        assert torch.allclose(step.reward[:, 0], whole.reward[:, t], atol=1e-4)
        assert torch.allclose(step.done[:, 0], whole.done[:, t], atol=1e-4)


@pytest.mark.parametrize("bare", [False, True])
def test_a_pass_over_nothing_is_one_over_zeros(bare):
    config = replace(tiny_config(), stays=False, refiner=None) if bare else tiny_config()
    model = trained_like(config)
    z, tau, controls, text, _ = inputs(model, frames=PAST + 1)
    window, blind, found = model.config.window, torch.zeros(2), []
    for newest in (torch.zeros_like(z[:, 0]), None):
        caches = model.empty_caches(2, z[0, 0, 0].numel() // 16, window, torch.float32, z.device)
        ages, held = torch.zeros(2, window), torch.arange(window).expand(2, -1) == 0
        past = (z[:, :PAST], tau[:, :PAST], controls.frame(PAST), at(text, PAST))
        found.append(model.step(newest, blind, model.prepare_step(*past, caches, 0, ages, held)))
    for name in ("x", "reward", "done", "registers"):
        torch.testing.assert_close(getattr(found[0], name), getattr(found[1], name), rtol=1e-5, atol=1e-5)


def test_what_is_remembered_is_what_a_step_writes_and_reads():
    model, made = trained_like(), []
    z, tau, controls, text, _ = inputs(model, frames=PAST + 1)
    window = model.config.window
    for write in (lambda *given: model.step(*given).registers, model.remember):
        caches = model.empty_caches(2, z[0, 0, 0].numel() // 16, window, torch.float32, z.device)
        held = torch.arange(window).expand(2, -1) == 0
        past = (z[:, :PAST], tau[:, :PAST], controls.frame(PAST), at(text, PAST))
        prepared = model.prepare_step(*past, caches, 0, torch.zeros(2, window), held)
        made.append((write(z[:, PAST], tau[:, PAST], prepared), *(x for c in caches for x in vars(c).values())))
    assert len(made[0]) > 2 and made[0][0].abs().max() > 0
    for one, other in zip(*made):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_an_open_gate_keeps_the_previous_latent_and_a_closed_one_changes_nothing():
    """Opened wide, what is predicted from pure noise after a clean latent is that latent, to the bit."""
    bare = replace(tiny_config(), refiner=None)
    gated, plain = WorldModel(bare), trained_like(replace(bare, stays=False))
    gated.take_over(plain)
    narrow = replace(bare, window=4)
    WorldModel(narrow).take_over(gated)  # no weight depends on the window
    with pytest.raises(ValueError, match="has stays True, this run has False"):
        plain.take_over(gated)
    assert torch.allclose(gated.stays_out.bias.sigmoid(), torch.tensor(0.1192), atol=1e-4)
    z, tau, controls, text, seconds = inputs(plain)
    tau[:, 1::2], tau[:, ::2] = 0.0, 1.0

    def predicted(model):
        return model(z, tau, controls, text, seconds, causal(2)).x

    with torch.no_grad():
        gated.stays_out.bias.fill_(200.0)
        assert torch.equal(predicted(gated)[:, 1::2], z[:, :-1:2])
        gated.stays_out.bias.fill_(-200.0)
        assert torch.equal(predicted(gated), predicted(plain))
        assert not torch.allclose(predicted(plain)[:, 1::2], z[:, :-1:2], atol=0.1)


def test_causal_frames_see_neither_the_future_nor_past_the_band():
    model = trained_like(replace(tiny_config(), depth=1, time_every=1))
    z, tau, controls, text, seconds = inputs(model)
    base = model(z, tau, controls, text, seconds, causal(2)).x
    later = z.clone()
    later[:, 9] += 1.0
    changed = model(later, tau, controls, text, seconds, causal(2)).x
    difference = (changed - base).abs().amax((0, 2, 3, 4))
    assert torch.all(difference[:9] == 0)
    assert torch.all(difference[9:] > 0)  # the rest of the window of 6
    assert torch.all((difference[9 + model.config.window :]) == 0)


def test_full_attention_lets_the_first_frame_see_the_last():
    model = trained_like()
    z, tau, controls, text, seconds = inputs(model)
    base = model(z, tau, controls, text, seconds, torch.ones(2, dtype=torch.int64)).x
    z[:, -1] += 1.0
    assert (model(z, tau, controls, text, seconds, torch.ones(2, dtype=torch.int64)).x - base)[:, 0].abs().max() > 1e-4


def test_frames_that_are_not_valid_change_nothing():
    model = trained_like()
    z, tau, controls, text, seconds = inputs(model)
    valid = torch.ones(2, 15, dtype=torch.bool)
    valid[:, 10:] = False
    full = torch.ones(2, dtype=torch.int64)
    base = model(z, tau, controls, text, seconds, full, valid=valid).x
    z[:, 11:] += 1.0
    changed = model(z, tau, controls, text, seconds, full, valid=valid).x
    assert torch.equal(changed[:, :10], base[:, :10])


def test_each_condition_reaches_the_prediction_and_the_goal_only_the_heads():
    model = trained_like()
    z, tau, controls, text, seconds = inputs(model)
    base = model(z, tau, controls, text, seconds, causal(2))

    def moved(controls=controls, text=text):
        other = model(z, tau, controls, text, seconds, causal(2))
        return float((other.x - base.x).abs().max()), float((other.reward - base.reward).abs().max())

    for changed in (
        replace(controls, keys=1 - controls.keys),
        replace(controls, camera=controls.camera + 14),
        replace(controls, known=torch.full_like(controls.known, 2)),
    ):
        assert min(moved(controls=changed)) > 1e-4
    for changed in (
        replace(text, scene=model.encode_text(["blue walls"] * 2, "scene")),
        replace(text, view=model.encode_text([""] * 2, "view")),
        replace(text, view_age=text.view_age + 100),
        replace(text, event=text.event + 1),
    ):
        assert min(moved(text=changed)) > 1e-5
    picture, reward = moved(text=replace(text, goal=text.goal + 1))
    assert picture == 0
    assert reward > 1e-4
    assert min(moved(text=replace(text, world=text.world + 1))) > 1e-4  # the refiner knows it, as the heads do
    model.refiner = None
    base = model(z, tau, controls, text, seconds, causal(2))
    picture, reward = moved(text=replace(text, world=text.world + 1))
    assert picture == 0
    assert reward > 1e-4


def test_an_untrained_model_predicts_the_best_linear_estimate():
    """Zero-initialised outputs leave EDM's skip connection: exact at tau = 1, zero at tau = 0."""
    torch.manual_seed(0)
    model = WorldModel(tiny_config()).eval()
    z, tau, controls, text, seconds = inputs(model)
    tau = torch.zeros_like(tau)
    tau[:, 1] = 1.0
    x = model(z, tau, controls, text, seconds, causal(2)).x
    assert torch.all(x[:, 0] == 0)
    assert torch.allclose(x[:, 1], z[:, 1])


def test_time_masks():
    mask = time_mask(5, 3, torch.tensor([0, 1]))
    assert mask[1].all()
    assert mask[0].int().tolist() == [
        [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1],
    ]  # fmt: skip


def test_two_hot_rewards_keep_their_mean():
    reward = torch.tensor([0.0, -0.0004, 1.0, 4.0, -5.0, 101.0, 380.0])
    target = two_hot(reward)
    assert target.shape == (7, REWARD_BINS)
    assert torch.allclose(target @ bin_values(), reward, rtol=1e-4, atol=1e-5)
    assert (target > 0).sum(-1).max() <= 2
    assert float(expected_reward(torch.zeros(REWARD_BINS)).abs()) < 1e-3


def test_text_binds_colours_to_surfaces_and_padding_changes_nothing():
    torch.manual_seed(0)
    encoder = TextEncoder(tiny_config().text, 32).eval()
    one = encoder(tokenise(["red walls , blue floor"]), "view")
    swapped = encoder(tokenise(["blue walls , red floor"]), "view")
    assert (one - swapped).abs().max() > 1e-3
    padded = encoder(tokenise(["red walls , blue floor", "a much longer text that makes the first one padded"]), "view")
    assert torch.allclose(padded[:1], one, atol=1e-5)
    empty = encoder(tokenise(["", "red"]), "view")
    assert torch.equal(empty[0], encoder.null[1])


def test_text_beyond_the_limit_is_refused():
    with pytest.raises(ValueError, match="at most 64"):
        tokenise(["red " * 65])


def test_a_bad_head_width_is_named():
    with pytest.raises(ValueError, match="multiple of 4"):
        WorldModelConfig(width=30, heads=5)


def test_even_motion_kernels_are_refused():
    with pytest.raises(ValueError, match="two odd numbers"):
        WorldModelConfig(motion=(4, 11))
