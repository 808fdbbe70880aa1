"""The model's own frames as context: a network whose predictions are known makes rollouts that are known."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from shades import clips_from, make_episode

from worldsim.diffusion.conditions import CAUSAL, LevelMix
from worldsim.model.codec import Codec, CodecConfig
from worldsim.model.transformer import WorldModel, tiny_config
from worldsim.training.clips import ClipConfig
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.latents import encode_episode
from worldsim.training.objective import draw_expected, draw_own_context, flow_loss, parts_of
from worldsim.training.presets import smoke

CONFIG = WorldTrainConfig(levels=LevelMix(context_noise=0.0, blind=1.0))


class AddsOne:
    """Predicts of every frame that it is the one before it, plus one."""

    def text(self, words, part):
        return torch.zeros(len(words), 4, 8)

    def __call__(self, z, tau, *_):
        before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], dim=1)
        return SimpleNamespace(x=before + 1)


@pytest.fixture(scope="module")
def clips():
    torch.manual_seed(0)
    codec = Codec(CodecConfig(fine_width=8, coarse_width=8, fine_depth=1, coarse_depth=1, decoder_fine_depth=1))
    encoded = encode_episode(make_episode(steps=30), codec.eval())
    return clips_from([(encoded, 3), (encoded, 9)], ClipConfig(length=10))


def test_own_context_is_a_rollout_of_some_steps(clips):
    """A context frame is the true one of d steps before (of frame 0 at the start of the clip) plus d, d the same for
    all frames and every depth drawn in turn."""
    config = replace(CONFIG, own_depth=3)
    t = torch.arange(10)
    depths = set()
    for seed in range(30):
        draw = draw_own_context(
            AddsOne(), clips, torch.zeros_like(clips.z), config, 4, torch.Generator().manual_seed(seed)
        )
        assert draw.wanted.sum(1).min() >= 4
        assert not draw.wanted[:, 0].any() and not (draw.wanted[:, 1:] & draw.wanted[:, :-1]).any()
        assert (draw.mode == CAUSAL).all()
        assert torch.equal(draw.tau, torch.where(draw.wanted, 0.0, 1.0))
        assert torch.equal(draw.seen[draw.wanted], clips.z[draw.wanted])  # targets are noised from the truth
        made = {
            depth
            for depth in (1, 2, 3)
            if torch.allclose(
                draw.seen[~draw.wanted],
                (clips.z[:, (t - depth).clamp(min=0)] + t.clamp(max=depth)[:, None, None, None])[~draw.wanted],
                atol=1e-5,
            )
        }
        assert len(made) == 1
        depths |= made
    assert depths == {1, 2, 3}


class FollowsAddsOne(AddsOne):
    """The same of what frames follow, whatever is seen of them."""

    def __call__(self, z, tau, *others):
        return super().__call__(others[-1][0], tau)


def test_expected_frames_follow_a_rollout_of_some_steps_and_all_are_targets(clips):
    """What is followed is the truth of d steps before plus d, of the last given frame at most, d from 0 to the depth;
    nothing is seen of an expected frame, and all count but those given."""
    config = replace(CONFIG, own_depth=3)
    t = torch.arange(10)
    depths, givens = set(), set()
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        draw = draw_expected(FollowsAddsOne(), clips, torch.zeros_like(clips.z), config, 4, generator)
        given = ~draw.wanted
        assert (draw.mode == CAUSAL).all() and draw.seen is None
        assert torch.equal(draw.tau, torch.where(given, 1.0, 0.0))
        last_given = given.sum(1, keepdim=True) - 1
        assert (given == (t <= last_given)).all()
        givens |= set((last_given + 1).flatten().tolist())
        back = (t - last_given).clamp(min=0)
        rows = torch.arange(2)[:, None]
        made = {
            depth
            for depth in range(4)
            if torch.allclose(
                draw.past[0],
                clips.z[rows, t - back.clamp(max=depth)] + back.clamp(max=depth)[..., None, None, None],
                atol=1e-5,
            )
        }
        assert len(made) == 1
        depths |= made
    assert depths == {0, 1, 2, 3} and givens == set(range(1, 9))


def test_shares_of_steps_that_are_none_are_refused():
    for wrong in ({"expecting": 1.5}, {"own_context": -0.1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
            replace(CONFIG, **wrong)


def test_heads_are_heard_where_frames_are_expected(clips):
    torch.manual_seed(0)
    model = WorldModel(tiny_config())
    config = replace(smoke().world, expecting=1.0)
    draw = draw_expected(model, clips, torch.randn_like(clips.z), config, 4, torch.Generator().manual_seed(0))
    part = parts_of([(clips, draw)], config, 4)[0]
    wanted = draw.wanted & clips.paid.bool()
    assert (part.confidence[wanted] == 1).all() and wanted.any()
    loss, _ = flow_loss(model, clips, draw, config)
    loss.backward()
    assert torch.isfinite(loss) and float(model.heads.reward.weight.grad.abs().max()) > 0


def test_the_frames_that_the_model_made_are_no_targets(clips):
    torch.manual_seed(0)
    model = WorldModel(tiny_config())
    config = replace(smoke().world, own_context=1.0)
    draw = draw_own_context(
        model, clips, torch.randn_like(clips.z), config, model.config.patch, torch.Generator().manual_seed(0)
    )
    z = clips.z.clone()
    z[~draw.wanted] += 1.0
    plain = replace(config, change_most=1.0)
    with torch.no_grad():
        one, _ = flow_loss(model, clips, draw, plain)
        other, _ = flow_loss(model, replace(clips, z=z), draw, plain)
        wanted, _ = flow_loss(model, replace(clips, z=clips.z + 1.0), draw, plain)
    assert torch.isfinite(one) and one == other
    assert one != wanted
