"""Packs: what fits together, and that every sample is predicted as it is alone, in values and gradients."""

from dataclasses import replace

import pytest
import torch

from worldsim.model.conditioning import ACTED, FIRST, Controls, TextTokens
from worldsim.model.debug import debug_world
from worldsim.model.layouts import Packed, Padded
from worldsim.model.packing import Budget, Samples, Shape, pack

SHAPES = [(2, 9, 16, 16), (3, 1, 16, 16), (1, 4, 16, 32), (2, 9, 32, 16), (1, 1, 32, 32), (1, 7, 24, 32)]
"""Samples, frames, rows and columns of latent cells: 64x64 to 128x128, wide and tall, clips and single images."""


@pytest.fixture(scope="module")
def model():
    return debug_world().eval()


def samples(batch, frames, height, width, seed):
    """Random samples; those of odd seeds step once per frame at 5 Hz, the others once per four at 35 Hz."""
    g = torch.Generator().manual_seed(seed)
    known = torch.full((batch, frames), ACTED)
    known[:, 0] = FIRST

    def normal(*shape):
        return torch.randn(*shape, generator=g)

    return Samples(
        z=normal(batch, frames, 4, height, width),
        tau=torch.rand(batch, frames, generator=g),
        controls=Controls((normal(batch, frames, 32) > 1).float(), 10 * normal(batch, frames, 2), known),
        text=TextTokens(
            scene=normal(batch, 4, 32),
            view=normal(batch, 6, 32),
            view_age=torch.randint(-1, 9, (batch, frames), generator=g),
            event=normal(batch, frames, 1, 32),
            goal=normal(batch, 32),
            world=torch.randint(0, 8, (batch,), generator=g),
        ),
        seconds=torch.arange(frames).expand(batch, frames) * (0.2 if seed % 2 else 4 / 35),
        mode=torch.randint(0, 2, (batch,), generator=g),
        step_size=torch.randint(0, 4, (batch, frames), generator=g),
    )


def following(group, seed):
    """The same samples, whose frames follow other latents than are seen of them."""
    g = torch.Generator().manual_seed(seed)
    return replace(group, past=(torch.randn(group.z.shape, generator=g), torch.rand(group.tau.shape, generator=g)))


GROUPS = [samples(*shape, seed) for seed, shape in enumerate(SHAPES)]
GROUPS[2:] = [following(group, seed) for seed, group in enumerate(GROUPS[2:])]


def alone(model, group):
    told = (group.z, group.tau, group.controls, group.text, group.seconds, group.mode, group.step_size)
    return model(*told, past=group.past)


def test_what_a_frame_follows_is_not_what_is_seen_of_it(model):
    """Without a past of its own a frame follows what is seen; a change of what the last frame would leave to the next
    changes nothing, one of the frame before it does."""
    causal = replace(GROUPS[0], mode=torch.zeros_like(GROUPS[0].mode))
    seen = alone(model, causal).x
    assert torch.equal(seen, alone(model, replace(causal, past=(causal.z, causal.tau))).x)
    for frame, changes in ((-1, False), (-2, True)):
        z = causal.z.clone()
        z[:, frame] += 1.0
        found = alone(model, replace(causal, past=(z, causal.tau))).x
        assert torch.equal(found[:, -1], seen[:, -1]) != changes


def some_loss(predictions):
    """A different weight for every number that is predicted."""
    total = torch.zeros(())
    for i, prediction in enumerate(predictions):
        for value in (prediction.x, prediction.reward, prediction.done):
            total = total + (value * torch.linspace(-1, 1 + i, value.numel()).view_as(value)).mean()
    return total


@pytest.mark.parametrize("layout", [Packed, Padded])
def test_a_pack_predicts_every_sample_as_it_is_alone(model, layout):
    with torch.no_grad():
        for together, group in zip(model.together(GROUPS, layout), GROUPS):
            single = alone(model, group)
            assert torch.allclose(together.x, single.x, atol=1e-5)
            assert torch.allclose(together.reward, single.reward, atol=1e-5)
            assert torch.allclose(together.done, single.done, atol=1e-5)


@pytest.mark.parametrize("layout", [Packed, Padded])
def test_a_pack_has_the_gradients_of_its_samples_alone(model, layout):
    named = dict(model.named_parameters())
    one = torch.autograd.grad(some_loss(model.together(GROUPS, layout)), named.values(), allow_unused=True)
    other = torch.autograd.grad(some_loss([alone(model, g) for g in GROUPS]), named.values(), allow_unused=True)
    reached = 0
    for name, a, b in zip(named, one, other):
        assert (a is None) == (b is None), name
        if a is not None and b is not None:
            assert torch.allclose(a, b, atol=1e-5 * max(1.0, float(b.abs().max()))), name
            reached += bool(b.any())
    assert reached > 40


def test_the_order_of_a_pack_changes_nothing(model):
    order = [3, 0, 5, 2, 4, 1]
    with torch.no_grad():
        straight = model.together(GROUPS)
        mixed = model.together([GROUPS[i] for i in order])
    for place, i in enumerate(order):
        assert torch.allclose(mixed[place].x, straight[i].x, atol=1e-5)
        assert torch.allclose(mixed[place].reward, straight[i].reward, atol=1e-5)


def test_samples_of_a_pack_do_not_see_each_other(model):
    changed = [replace(GROUPS[0], z=GROUPS[0].z + 1), *GROUPS[1:]]
    with torch.no_grad():
        before, after = model.together(GROUPS), model.together(changed)
    assert (before[0].x - after[0].x).abs().max() > 0.1
    for a, b in zip(before[1:], after[1:]):
        assert torch.equal(a.x, b.x)


def test_the_longest_goes_first_into_the_first_pack_with_room():
    shapes = [Shape(1, n) for n in (2, 5, 4, 7, 1, 3, 8)]
    packs = pack(shapes, Budget(tokens=10))
    assert [[shapes[i].length for i in p] for p in packs] == [[8, 2], [7, 3], [5, 4, 1]]


def test_every_sample_is_in_one_pack_and_no_pack_is_over_its_budget():
    g = torch.Generator().manual_seed(0)
    frames, tokens = torch.randint(1, 49, (200,), generator=g), torch.randint(18, 67, (200,), generator=g)
    shapes = [Shape(int(t), int(n)) for t, n in zip(frames, tokens)]
    budget = Budget(tokens=5000, squares=400_000)
    packs = pack(shapes, budget)
    assert sorted(i for p in packs for i in p) == list(range(200))
    for p in packs:
        assert sum(shapes[i].length for i in p) <= budget.tokens
        assert sum(shapes[i].squares for i in p) <= budget.squares
    assert len(pack(shapes, Budget(tokens=5000))) < len(packs)  # the squares were what filled them


def test_squares_are_of_frames_in_space_and_of_places_along_time():
    assert Shape(frames=3, tokens=5).squares == 3 * 5**2 + 5 * 3**2


def test_a_sample_over_the_budget_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"48 frames of 66 tokens has 3168 tokens, more than the 3000 of a pack"):
        pack([Shape(1, 18), Shape(48, 66)], Budget(tokens=3000))
    with pytest.raises(ValueError, match=r"has 361152 squares of sequence lengths, more than the 9000 of a pack"):
        pack([Shape(48, 66)], Budget(tokens=4000, squares=9000))
