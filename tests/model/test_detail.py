"""Detail that is left: of flows whose magnification is known."""

import pytest
import torch

from worldsim.model.detail import EXPECTED, MOST, blended_detail, carried_detail


def zoom(factor: float, cells: int = 16) -> torch.Tensor:
    """The flow of a picture that is magnified by ``factor`` about its middle: ``(1, 2, h, w)``, in cells."""
    place = torch.arange(cells) + 0.5 - cells / 2
    away = place * (1 / factor - 1)
    return torch.stack([away[None, :].expand(cells, -1), away[:, None].expand(-1, cells)])[None]


def ones(cells: int = 16) -> torch.Tensor:
    return torch.ones(1, 1, cells, cells)


@pytest.mark.parametrize("factor", [1.0, 1.1, 1.3, 0.9])
def test_detail_is_spread_over_the_area(factor):
    found = carried_detail(ones(), zoom(factor))
    inside = found[..., 3:-3, 3:-3]  # what comes from beyond the rims is drawn, and whole
    assert torch.allclose(inside, torch.full_like(inside, factor**-2), atol=1e-4)
    if factor >= 1:
        assert torch.allclose(found, torch.full_like(found, factor**-2), atol=1e-4)


def test_steps_add_up_and_going_back_does_not_bring_detail_without_end():
    detail = ones()
    for _ in range(5):
        detail = carried_detail(detail, zoom(1.1))
    assert torch.allclose(detail, torch.full_like(detail, 1.1**-10), rtol=1e-3)
    for _ in range(20):
        detail = carried_detail(detail, zoom(0.9))
    assert detail.max() <= MOST


def test_a_shift_keeps_detail_and_what_comes_into_view_is_whole():
    flow = torch.zeros(1, 2, 16, 16)
    flow[:, 0] = 3.0  # colours are fetched three cells to the right: those at the right are new
    found = carried_detail(0.3 * ones(), flow)
    assert torch.allclose(found[..., :13], torch.full((1, 1, 16, 13), 0.3), atol=1e-5)
    assert (found[..., 13:] == 1).all()


def test_frames_need_not_be_square():
    flow = torch.zeros(1, 2, 8, 24)
    flow[:, 0] = (torch.arange(24) + 0.5 - 12) * (1 / 1.2 - 1)
    found = carried_detail(torch.ones(1, 1, 8, 24), flow)
    assert torch.allclose(found, torch.full_like(found, 1 / 1.2), atol=1e-4)


def test_what_gives_way_to_what_is_expected_loses_detail_at_each_step():
    share = torch.ones(1, 1, 64, 64)
    share[..., :4] = 0.0  # of a column of cells nothing is carried
    share[..., 4:8, 8:10] = 0.5  # of a cell in the second row three quarters
    found = blended_detail(ones(), share)
    assert torch.allclose(found[..., 0], torch.tensor(EXPECTED)) and torch.all(found[..., 2:, 1:] == 1)
    assert found[0, 0, 1, 2].item() == pytest.approx(0.75 + 0.25 * EXPECTED)
    detail = ones()
    for _ in range(20):
        detail = blended_detail(detail, torch.full((1, 1, 64, 64), 0.9))
    assert torch.allclose(detail, torch.full_like(detail, EXPECTED + (1 - EXPECTED) * 0.9**20), atol=1e-5)
