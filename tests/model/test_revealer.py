"""The revealer's network: any size, each row for itself, everything that it is told counts."""

from __future__ import annotations

import pytest
import torch

from worldsim.captions.facts import EventFact
from worldsim.model.revealer import Revealer, RevealerConfig

CONFIG = RevealerConfig(width=8, past=5)
RED = torch.tensor([CONFIG.one_hot("red")])


@pytest.fixture(scope="module")
def revealer() -> Revealer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Revealer(CONFIG, 4).eval().requires_grad_(False)


def asked(rows: int, size: tuple[int, int] = (16, 16), seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(rows, 4, *size, generator=generator)
    acted, told = torch.rand(2, rows, CONFIG.past, generator=generator) < 0.3
    return latents, acted, told, RED.expand(rows, -1)


@pytest.mark.parametrize("size", [(16, 16), (4, 4), (32, 16), (12, 20)])
def test_pictures_of_any_size_are_read_cell_by_cell(revealer, size) -> None:
    assert revealer(*asked(2, size)).shape == (2, 1, *size)


def test_rows_depend_on_themselves_alone(revealer) -> None:
    columns = asked(3)
    together = revealer(*columns)
    for i in range(3):
        assert torch.allclose(revealer(*(column[i : i + 1] for column in columns))[0], together[i], atol=1e-5)


@pytest.mark.parametrize("column", range(4))
def test_everything_that_it_is_told_counts(revealer, column) -> None:
    columns = list(asked(1))
    columns[1][:], columns[2][:] = False, False
    before = revealer(*columns)
    columns[column] = ~columns[column] if columns[column].dtype == torch.bool else columns[column] + 1
    assert (revealer(*columns) - before).abs().mean() > 1e-3


def test_a_cell_knows_of_the_whole_picture(revealer) -> None:
    """A door that fills the picture is one door."""
    columns = asked(1)
    other = columns[0].clone()
    other[:, :, -1, -1] += 5
    assert (revealer(other, *columns[1:]) - revealer(*columns))[0, 0, 0, 0] != 0


def test_the_first_event_that_takes_something_away_gives_its_colour() -> None:
    opens, closes, hurt = EventFact("door_opens", "red"), EventFact("door_closes", "blue"), EventFact("damage")
    assert CONFIG.colour_of((hurt, closes, opens, EventFact("door_opens", "green"))) == "red"
    assert CONFIG.colour_of((EventFact("door_opens"),)) == ""
    assert CONFIG.colour_of((closes, hurt)) is None and CONFIG.colour_of(()) is None
    assert sum(CONFIG.one_hot("red")) == 1 and not any(CONFIG.one_hot("")) and not any(CONFIG.one_hot("striped"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"past": 0}, "at least 1"), ({"width": 0}, "at least 1"), ({"worlds": ("Nowhere",)}, "accepted are DoomRooms"),
        ({"lasts": 23}, "at least twice past"),
        ({"acts": ("open",)}, "accepted are forward"), ({"events": ("opens",)}, "accepted are door_opens"),
    ],
)  # fmt: skip
def test_what_no_revealer_can_be_is_refused(wrong, said) -> None:
    with pytest.raises(ValueError, match=said):
        RevealerConfig(**wrong)
