"""The refiner: nothing at first, it sees what it should, and a model with one goes on from a model without."""

from dataclasses import replace

import pytest
import torch
from tiny import causal, inputs, trained_like

from worldsim.model.refiner import Refiner, RefinerConfig
from worldsim.model.transformer import WorldModel, tiny_config

PLAIN = replace(tiny_config(), refiner=None)


def test_a_fresh_refiner_changes_nothing_and_an_old_model_can_go_on_with_one() -> None:
    plain = trained_like(PLAIN)
    refined = WorldModel(tiny_config()).eval().requires_grad_(False)
    refined.take_over(plain)
    given = inputs(plain)
    assert torch.equal(refined(*given, causal(2)).x, plain(*given, causal(2)).x)
    with pytest.raises(ValueError, match=r"has refiner {'width': 16, 'depth': 1}, this run has None"):
        plain.take_over(refined)
    other = WorldModel(replace(tiny_config(), refiner=RefinerConfig(width=24, depth=1)))
    with pytest.raises(ValueError, match=r"'width': 16.*'width': 24"):
        other.take_over(refined)


def test_what_it_adds_depends_on_the_two_latents_before_the_action_and_the_world() -> None:
    torch.manual_seed(0)
    refiner = Refiner(RefinerConfig(width=16, depth=2), channels=4, action=8, worlds=3)
    for parameter in refiner.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    given = (torch.randn(2, 4, 8, 12), torch.randn(2, 2, 4, 8, 12), torch.randn(2, 8), torch.tensor([0, 1]))
    base = refiner(*given)
    assert base.shape == (2, 4, 8, 12)
    for number in range(3):
        changed = list(given)
        changed[number] = given[number].clone()
        changed[number][0] += 1
        difference = (refiner(*changed) - base).abs().amax((1, 2, 3))
        assert difference[0] > 0 and difference[1] == 0  # of this frame, and of no other
    assert not torch.allclose(refiner(*given[:3], torch.tensor([2, 1]))[0], base[0])
    before = given[1].clone()
    before[0, 1] += 1  # the older of the two
    assert not torch.allclose(refiner(given[0], before, *given[2:])[0], base[0])


def test_it_corrects_noise_and_leaves_what_is_clean() -> None:
    model = trained_like()
    plain = WorldModel(PLAIN).eval().requires_grad_(False)
    plain.load_state_dict({name: p for name, p in model.state_dict().items() if not name.startswith("refiner.")})
    z, tau, *rest = inputs(model)
    difference = model(z, torch.ones_like(tau), *rest, causal(2)).x - plain(z, torch.ones_like(tau), *rest, causal(2)).x
    assert not difference.any()
    assert (model(z, tau * 0, *rest, causal(2)).x - plain(z, tau * 0, *rest, causal(2)).x).abs().mean() > 0.01


@pytest.mark.parametrize("sizes", [{"width": 0}, {"depth": 0}])
def test_sizes_below_one_are_refused(sizes) -> None:
    with pytest.raises(ValueError, match="both are at least 1"):
        RefinerConfig(**sizes)
