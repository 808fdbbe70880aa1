"""Constants are made once, by whoever asks first, and serve those who train too."""

import torch

from worldsim.constants import constant


def test_it_is_made_once_for_each_size_and_can_be_trained_with() -> None:
    made = []

    @constant
    def ramp(n: int) -> torch.Tensor:
        made.append(n)
        return torch.arange(n) / n

    with torch.inference_mode():
        first = ramp(4)
    weight = torch.ones(4, requires_grad=True)
    (weight * ramp(4)).sum().backward()
    assert weight.grad is not None and torch.equal(weight.grad, first)
    assert ramp(4) is first and len(ramp(3)) == 3 and made == [4, 3]
    assert ramp(n=4) is not first
