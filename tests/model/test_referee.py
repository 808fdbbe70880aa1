"""The referee: a fresh one changes nothing, what stands where reaches it at every size, unheard heads do not."""

from __future__ import annotations

import pytest
import torch

from worldsim.model.heads import REWARD_BINS
from worldsim.model.player import ACTION_NUMBERS
from worldsim.model.referee import Referee, RefereeConfig, place
from worldsim.model.transformer import tiny_config
from worldsim.worlds import WORLDS

CONFIG = RefereeConfig(width=8, hidden=16, past=3)


def situation(size: tuple[int, int] = (16, 16), rows: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return [
        drawn(rows, 2, 4, *size), drawn(rows, 3, ACTION_NUMBERS), drawn(rows, 32), drawn(rows, REWARD_BINS), drawn(rows)
    ]  # fmt: skip


@pytest.fixture
def referee() -> Referee:
    torch.manual_seed(0)
    made = Referee(CONFIG, tiny_config())
    for last in (made.reward, made.done):
        torch.nn.init.normal_(last.weight)
    return made.requires_grad_(False)


def test_a_fresh_referee_leaves_what_the_heads_said() -> None:
    given = situation()
    reward, done = Referee(CONFIG, tiny_config())(*given)
    assert torch.equal(reward, given[3]) and torch.equal(done, given[4])


@pytest.mark.parametrize("size", [(16, 16), (12, 20), (32, 44)])
def test_everything_that_it_is_shown_counts_at_every_size(referee: Referee, size: tuple[int, int]) -> None:
    given = situation(size)
    before = referee(*given)
    for part in range(3):
        changed = [x.clone() for x in given]
        changed[part] += 1.0
        assert all((a - b).abs().min() > 1e-4 for a, b in zip(before, referee(*changed)) if a.ndim == 1)
    moved = [given[0].roll(3, dims=-1), *given[1:]]
    assert (before[1] - referee(*moved)[1]).abs().min() > 1e-5


def test_rows_do_not_depend_on_each_other(referee: Referee) -> None:
    given = situation()
    together = referee(*given)
    for row in range(3):
        alone = referee(*(x[row : row + 1] for x in given))
        assert all(torch.allclose(a[row : row + 1], b, atol=1e-5) for a, b in zip(together, alone))


def test_where_heads_are_not_heard_what_they_said_is_nothing(referee: Referee) -> None:
    given = situation()
    other = [*given[:3], given[3] + torch.arange(REWARD_BINS), given[4] - 2]
    heard = torch.tensor([True, False, True])
    (reward, done), (reward_2, done_2) = referee(*given, heard), referee(*other, heard)
    assert torch.equal(reward[1], reward_2[1]) and torch.equal(done[1], done_2[1])
    assert (done[[0, 2]] - done_2[[0, 2]]).abs().min() > 0.1
    everyone = referee(*given)
    assert torch.allclose(everyone[0][heard], reward[heard], atol=1e-5)


def test_a_place_is_relative_to_the_frame() -> None:
    across, down, middle = place(2, 4, torch.device("cpu"))[0]
    assert across[0].tolist() == [-0.75, -0.25, 0.25, 0.75] and down[:, 0].tolist() == [-0.5, 0.5]
    assert torch.allclose(middle[0], torch.tensor([-9.0, -1.0, -1.0, -9.0]).exp())


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RefereeConfig(past=0)


def test_worlds_that_it_judges_are_known_worlds() -> None:
    assert RefereeConfig().judges(16).all()
    some = RefereeConfig(worlds=("DoomBasic",)).judges(16)
    assert some.nonzero()[:, 0].tolist() == [WORLDS["DoomBasic"].index]
    with pytest.raises(ValueError, match="worlds=\\('Doom',\\)"):
        RefereeConfig(worlds=("Doom",))
