"""How much is run: ``quick`` is a smoke test (ten minutes of two cores), which leaves out what ``docs/benchmarks.md``
lists; ``default`` and ``publish`` are for numbers that are quoted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """``seeds`` test maps; ``horizon`` free-running steps; ``samples`` model samples per script; ``others``
    rollouts of the floor of that name; ``one_step`` teacher-forced steps per rollout; ``hold`` steps of
    each command; ``episodes`` true episodes per world for reward and termination, with ``negatives`` quiet
    steps of each; ``prompts`` prompt-only starts; ``minutes`` and ``true_minutes`` rollouts of 525 steps of
    candidate and truth; ``doses`` whether the tasks that sweep a strength are asked, and all else that a ``brief`` run
    leaves out."""

    seeds: int
    horizon: int
    samples: int
    others: int
    one_step: int
    hold: int
    episodes: int
    negatives: int
    prompts: int
    minutes: int
    true_minutes: int
    doses: bool = True

    @property
    def brief(self) -> bool:
        """Whether what takes long is left out, or asked less often: of a smoke test."""
        return not self.doses


PRESETS: dict[str, Preset] = {
    "tiny": Preset(3, 8, 1, 2, 2, 3, 6, 2, 4, 2, 2, doses=False),  # for tests
    "quick": Preset(12, 32, 1, 4, 2, 6, 60, 1, 32, 4, 12, doses=False),
    "default": Preset(50, 64, 2, 8, 4, 8, 150, 6, 112, 16, 50),
    "publish": Preset(200, 256, 4, 20, 8, 8, 400, 10, 448, 50, 50),
}


def preset_named(name: str) -> Preset:
    """The preset; ``ValueError`` names those that exist."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; accepted are {', '.join(PRESETS)}")
    return PRESETS[name]


def horizons(steps: int) -> tuple[int, ...]:
    """1, 2, 4, ... up to ``steps``."""
    return tuple(2**i for i in range(steps.bit_length()) if 2**i <= steps)
