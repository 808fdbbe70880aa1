"""Training of the codec's memory, on worlds whose answer is known."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from shades import make_episode, with_cut

from worldsim.cli.train import main
from worldsim.model.codec import Codec, CodecConfig
from worldsim.model.debug import debug_simulator
from worldsim.model.memory import Carried, larger, smaller
from worldsim.model.weights import WorldSimulator
from worldsim.training.arena import Arena
from worldsim.training.latents import encode_episode
from worldsim.training.memory import MemoryTraining, memory_loss, with_memory
from worldsim.training.moments import CLIP, Moments, predict_each, travel_of
from worldsim.training.presets import smoke
from worldsim.training.release import release

CONFIG = smoke().memory


class AddsOne(torch.nn.Module):
    """Predicts the latent before each frame plus one, as it sees it."""

    def __init__(self):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def text(self, words, part):
        return torch.zeros(len(words), {"scene": 4, "view": 6}.get(part, 1), 8)

    def forward(self, z, tau, *_):
        before = torch.cat(
            [torch.zeros_like(z[:, :1]), z[:, :-1] / tau[:, :-1, None, None, None].clamp(min=0.5)], dim=1
        )
        return SimpleNamespace(x=before + 1)


@pytest.mark.parametrize("steps", [5, CLIP - 1, 2 * CLIP + 3])
def test_each_latent_is_predicted_from_the_true_one_before_it(steps):
    simulator = debug_simulator()
    encoded = encode_episode(make_episode(steps=steps), simulator.codec)
    arena = Arena(encoded.z.shape[1:])
    arena.add(encoded)
    found = predict_each(AddsOne(), arena)
    assert found.shape == encoded.z.shape
    assert torch.allclose(found[1:], encoded.z[:-1].float() + 1, atol=1e-2)


def test_travel_is_told_as_the_camera_looks_after_it():
    """Two metres along +x while turning from there to the left by 90 degrees, then one along -x, then nowhere known."""
    places = [[0, 0, 1, 0], [2, 0, 1, 90], [1, 0, 1.5, 90], [np.nan] * 4]
    episode = replace(make_episode(steps=3), pose=np.array(places, np.float32))
    expected = torch.tensor([[0.0, 0, 0, 1], [2, 0, 0, 1], [-1, -0.5, 0, 1], [0, 0, 0, 0]])
    assert torch.allclose(travel_of(episode), expected, atol=1e-6)


def test_a_codec_with_a_fresh_memory_decodes_as_before_and_keeps_its_encoder():
    codec = debug_simulator().codec
    fresh = with_memory(codec, replace(CONFIG, decoder_coarse_depth=codec.config.decoder_coarse_depth))
    z = torch.randn(2, 4, 8, 8)
    assert torch.equal(fresh.decode_pixels(z, 4), codec.decode_pixels(z, 4))
    frozen = {name for name, p in fresh.named_parameters() if not p.requires_grad}
    assert frozen and all(name.startswith(("stems", "encoder", "to_latent")) for name in frozen)


def test_of_the_decoders_blocks_as_many_remain_as_asked_for():
    codec = Codec(replace(debug_simulator().codec.config, decoder_fine_depth=3, decoder_coarse_depth=2))
    fewer = with_memory(codec, replace(CONFIG, decoder_fine_depth=1, decoder_coarse_depth=1))
    assert (fewer.config.decoder_fine_depth, fewer.config.decoder_coarse_depth) == (1, 1)
    own, kept = codec.state_dict(), fewer.state_dict()
    assert all(torch.equal(own[name], kept[name]) for name in kept if not name.startswith("memory"))
    assert sum(p.numel() for p in fewer.decoder.parameters()) < sum(p.numel() for p in codec.decoder.parameters())
    same = with_memory(fewer, replace(CONFIG, decoder_fine_depth=3, decoder_coarse_depth=3))  # there are no more
    assert (same.config.decoder_fine_depth, same.config.decoder_coarse_depth) == (1, 1)


def test_true_motion_is_a_target_only_where_it_explains_the_picture():
    """The picture rests but for its left half, of which the motion tells nothing true."""
    moments = Moments((32, 32), CodecConfig())
    rng = np.random.default_rng(0)
    frames = torch.from_numpy(rng.integers(0, 256, (1, 1, 32, 32, 3), np.uint8)).expand(2, 4, -1, -1, -1)
    moments.block.extend(frames)
    motion = torch.zeros(2, 2, 8, 8)
    motion[1, 0, :, :4] = 2.0  # says that the left half came from two cells to the right: it did not
    moments.motion.extend(motion.half())
    rows, frame = torch.tensor([1]), frames[:1, 0].permute(0, 3, 1, 2) / 127.5 - 1
    flow = torch.zeros(1, 2, 8, 8)
    flow[0, 1] = 0.3  # of a cell wrong everywhere
    nothing = torch.zeros(1, 3, 32, 32)
    carried = Carried(larger(frame), flow, torch.ones(1, 1, 32, 32), nothing, None, frame, frame)
    y = (frames[1:] / 127.5 - 1).contiguous()
    _, metrics = memory_loss(y, carried, moments, rows, torch.tensor([True]), CONFIG)
    assert float(metrics["flow"]) == pytest.approx(0.3, abs=0.02)
    assert float(metrics["colours"]) < 1e-6
    assert float(metrics["share"]) == pytest.approx(0, abs=1e-3)  # what rests was seen, and is taken over
    half = replace(carried, share=torch.full((1, 1, 32, 32), 0.5))
    moments.motion.rows[1, :, :, 4:] = float("nan")  # now the right half was hidden: it must be drawn
    _, unsure = memory_loss(y, half, moments, rows, torch.tensor([True]), CONFIG)
    _, bold = memory_loss(y, carried, moments, rows, torch.tensor([True]), CONFIG)
    assert float(unsure["share"]) == pytest.approx(np.log(2), abs=1e-3) and float(bold["share"]) > 4
    _, nothing = memory_loss(y, carried, moments, rows, torch.tensor([False]), CONFIG)
    assert float(nothing["flow"]) == 0


def test_without_true_motion_what_looks_the_same_has_stayed():
    """The left half changes, the upper quarter of the right half is of one colour, the rest is the same pattern."""
    moments = Moments((32, 32), CodecConfig())
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256, (4, 32, 32, 3), np.uint8)
    before[:, :8, 16:] = 90
    after = before.copy()
    after[:, :, :16] = 255 - after[:, :, :16]
    moments.block.extend(torch.from_numpy(np.stack([before, after])))
    moments.motion.extend(torch.full((2, 2, 8, 8), torch.nan).half())
    frame = torch.from_numpy(before[:1]).permute(0, 3, 1, 2) / 127.5 - 1
    flow = torch.zeros(1, 2, 8, 8)
    flow[0, 1, :, :4] = 3.0  # what changed, and what is plain, tell of no flow
    flow[0, 1, :2, 4:] = 3.0
    flow[0, 1, 2:, 4:] = 0.3
    share = torch.zeros(1, 1, 32, 32)
    share[..., 16:] = 1.0
    y = (torch.from_numpy(after)[None] / 127.5 - 1).contiguous()
    goal = y[:, -1].permute(0, 3, 1, 2)
    carried = Carried(larger(frame), flow, share, torch.zeros(1, 3, 32, 32), None, goal, frame)
    _, metrics = memory_loss(y, carried, moments, torch.tensor([1]), torch.tensor([True]), CONFIG)
    assert float(metrics["flow"]) == pytest.approx(0.3, abs=1e-6)
    assert float(metrics["share"]) == pytest.approx(0, abs=1e-3)  # what changed is nearer to the truth as it is drawn


def test_where_nothing_is_told_the_nearer_of_what_is_carried_and_drawn_is_taken():
    """Everything changed, in a world without depth; the left half is carried right, the right half drawn."""
    moments = Moments((32, 32), CodecConfig())
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), np.uint8))
    moments.block.extend(frames)
    moments.motion.extend(torch.full((2, 2, 8, 8), torch.nan).half())
    goal = frames[1:, -1].permute(0, 3, 1, 2) / 127.5 - 1
    wrong = goal + 0.5
    left = (torch.arange(32) < 16).expand(1, 1, 32, 32)
    one = larger(torch.where(left, goal, wrong))

    def share_loss(share: torch.Tensor) -> float:
        carried = Carried(
            one, torch.zeros(1, 2, 8, 8), share, goal * 0, None, torch.where(left, wrong, goal), smaller(one)
        )
        y = (frames[1:] / 127.5 - 1).contiguous()
        _, metrics = memory_loss(y, carried, moments, torch.tensor([1]), torch.tensor([True]), CONFIG)
        return float(metrics["share"])

    assert share_loss(left.float()) == pytest.approx(0, abs=1e-3)
    assert share_loss(torch.full((1, 1, 32, 32), 0.5)) == pytest.approx(np.log(2), abs=1e-3)
    assert share_loss(1 - left.float()) > 5


def test_a_source_without_episodes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no episodes"):
        MemoryTraining(CONFIG, tmp_path, debug_simulator(), iter(()), [])


def test_a_referee_of_what_the_former_memory_showed_is_dropped(tmp_path):
    begin = debug_simulator(memory=True, bank=False, referee=True, player=True, starter=True)
    run = MemoryTraining(CONFIG, tmp_path, begin, iter([make_episode(steps=30)]), [])
    made = run._simulator()
    assert made.referee is None and made.player is not None and made.starter is begin.starter is not None


def test_where_the_former_memory_served_is_asked_anew(tmp_path):
    made = debug_simulator(memory=True)
    begin = made.with_drawn(("DoomRooms",))
    training = MemoryTraining(CONFIG, tmp_path, begin, iter([make_episode()]), [])
    assert training._simulator().config.drawn == ()


def test_nothing_is_carried_across_a_cut(tmp_path):
    episode = with_cut(make_episode(steps=30), 12)
    run = MemoryTraining(CONFIG, tmp_path, debug_simulator(), iter([episode]), [episode])
    assert run.moments.before.rows.tolist() == [*range(13), *range(18)]  # the frame after the cut is a reset's
    assert torch.equal(run.moments.block.rows[13, 0], torch.from_numpy(episode.blocks[12, -1]))
    assert not run.moments.action.rows[13].any()
    assert [len(moments) for _, moments in run.probes] == ([18] if CONFIG.probe_steps + 5 <= 17 else [])


@pytest.mark.slow
def test_one_command_gives_a_model_a_memory_and_it_resumes(tmp_path):
    debug_simulator().save_pretrained(tmp_path / "begin")
    options = ["--model", str(tmp_path / "begin"), "--source.worlds", "DoomRooms", "--source.max-steps", "30"]
    options += ["--source.steps", "90", "--source.held-out", "1", "--train.probe-steps", "4"]
    run = ["memory", "--preset", "smoke", "--out", str(tmp_path / "run"), *options]
    assert main([*run, "--train.optim.steps", "5"]) == 0
    assert main([*run, "--train.optim.steps", "10"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [5, 10]
    assert "probe/out_4" in rows[-1]
    begin, now = (WorldSimulator.from_pretrained(tmp_path / name) for name in ("begin", "run/model"))
    assert now.codec.memory is not None and now.bank is not None
    with pytest.raises(ValueError, match="trained the memory: give the run of the world model before it too"):
        release(tmp_path / "run" / "model", tmp_path, tmp_path / "shipped", "a test", "a test")
    for name, tensor in begin.world.state_dict().items():
        assert torch.allclose(now.world.state_dict()[name].float(), tensor.float(), atol=1e-3)
    frames = torch.from_numpy(make_episode(size=64).blocks[:2])
    assert torch.allclose(now.codec.encode(frames), begin.codec.encode(frames), atol=1e-2)


def test_a_memory_needs_a_source_that_ends(tmp_path):
    from worldsim.training.pipeline import train_memory
    from worldsim.training.sources import SourceConfig

    with pytest.raises(ValueError, match="source that ends"):
        train_memory(CONFIG, SourceConfig(), debug_simulator(), tmp_path)
