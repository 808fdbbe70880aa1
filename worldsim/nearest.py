"""A true start for a prompt: the one of a bank whose captions agree with it most.

A picture that a small network draws from text alone has the named surfaces and no true room. A bank holds true first
frames with captions of what they show, and a prompt that asks for red walls has an answer among them. What is begun
with is then true and sharp, and it is told what it shows, not what was asked for: a prompt is a wish here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from worldsim.bank import Bank, BankStart, held_bank
from worldsim.captions.expander import said_of
from worldsim.captions.filling import statements
from worldsim.captions.parse import parse_prompt
from worldsim.captions.samples import Moment
from worldsim.worlds import WorldSpec

PromptedStart = Literal["nearest", "prompt"]
STARTS: tuple[str, ...] = get_args(PromptedStart)
"""What an episode with a prompt may begin from: the true start nearest to it, or a picture drawn from it alone."""

DRAW_INSTEAD = (
    'let the model draw the first picture: start="prompt", `--start prompt` on the command line, the box "draw the '
    'first picture from the words alone" on the page'
)


@dataclass(frozen=True)
class Nearest:
    """``start`` agrees with ``agreed`` of the ``stated`` statements of a prompt."""

    start: BankStart
    agreed: int
    stated: int

    @property
    def agreement(self) -> str:
        """How near it is, in words."""
        if not self.stated:
            return "the prompt states nothing to agree on"
        return f"agrees on {self.agreed} of {self.stated}"


def nearest_start(bank: Bank | None, world: WorldSpec, prompt: str, draw: int) -> Nearest:
    """The start of ``world`` that agrees with most statements of ``prompt``.

    Among those that agree with equally many, what shapes a picture most decides (the wall in view before the floor,
    the floor before things), then ``draw``, any integer of at least 0, so that a prompt has as many beginnings as the
    bank has starts like it. A prompt that states nothing may begin anywhere. Raises ``ValueError`` where there is no
    bank, or none with starts of the world.
    """
    bank = held_bank(bank, world, DRAW_INSTEAD)
    said = said_of(parse_prompt(prompt), world, prompt)
    tests = list(statements(said))
    met = np.array([[test(shown) for test in tests] for shown in _shown(bank, world)], bool)
    best = max((int(row.sum()), row.tolist()) for row in met)
    equal = [i for i, row in enumerate(met) if (int(row.sum()), row.tolist()) == best]
    return Nearest(bank.start(world.name, equal[draw % len(equal)]), best[0], len(tests))


def _shown(bank: Bank, world: WorldSpec) -> list[Moment]:
    """What the starts of ``world`` show."""
    return [_read(facts.scene, facts.view, world.name) for facts in bank.facts.get(world.name, ())]


@lru_cache(maxsize=4096)
def _read(scene: str, view: str, world: str) -> Moment:
    """What captions state; kept, since every reset of every lane asks for the same ones."""
    parsed = parse_prompt(f"{scene}. {view}" if view else scene, world)
    return Moment(parsed.scene, parsed.view)
