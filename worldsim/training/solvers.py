"""Fitting the solvers of a starter: few steps that end where its sampler's many end.

From noise, and from pictures that were magnified, the sampler is followed in many steps; levels and weights of a
``Solver``, at first those of the sampler in as few steps, are then moved by gradient to end as near as can be, in mean
squared error of latents (bespoke non-stationary solvers, Shaul et al. 2024). The network stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from worldsim.diffusion.solver import Solver, follow
from worldsim.model.codec import Codec
from worldsim.model.starter import REDRAWN, SOLVED, Starter, faded, guided
from worldsim.model.starternet import StarterNet, Told
from worldsim.model.text import trimmed
from worldsim.model.weights import WorldSimulator
from worldsim.training.configs import SolversTrainConfig
from worldsim.training.openings import Openings
from worldsim.training.starter_card import with_section
from worldsim.worlds import WORLDS

# M moments, C h w latent, H W frame

_BATCH = 32
"""Moments that are followed together."""


@dataclass(frozen=True)
class Fit:
    """What a solver was fitted to reach, in root mean square of latents on held-out moments: ``before`` of the sampler
    in as few steps, ``usual`` of it in the starter's ``complete_steps``, ``after`` of ``solver``; all to what the
    sampler makes in many steps, of which other noise is ``other`` away."""

    solver: Solver
    before: float
    usual: float
    after: float
    other: float


class _Task:
    """Moments, from noise ``eps (M, C, h, w)`` to where many steps end: completed from what was seen of them
    (``since`` 0), or drawn again."""

    def __init__(self, net: StarterNet, moments: Openings, eps: torch.Tensor, since: float) -> None:
        self.net, self.moments, self.since = net, moments, since
        self.begin = faded(moments.z, eps) if since else eps

    def again(self, generator: torch.Generator) -> _Task:
        """The same from other noise."""
        return _Task(self.net, self.moments, torch.randn(self.begin.shape, generator=generator), self.since)

    def __len__(self) -> int:
        return len(self.begin)

    def sampled(self, steps: int | Solver) -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([self._sampled(rows, steps) for rows in torch.arange(len(self)).split(_BATCH)])

    def _sampled(self, rows: torch.Tensor, steps: int | Solver) -> torch.Tensor:
        told, seen = self._told(rows)
        return guided(self.net, self.begin[rows], told, steps, 1.0, seen, self.since).x[:, 0]

    def followed(self, rows: torch.Tensor, levels: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
        """As ``sampled``, of some moments, and with a gradient."""
        told, seen = self._told(rows)

        def denoise(z: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
            return self.net(z[:, 0], tau[:, 0], told, seen)[:, None]

        return follow(denoise, self.begin[rows][:, None], levels, weights)[0][:, 0]

    def _told(self, rows: torch.Tensor) -> tuple[Told, torch.Tensor | None]:
        """The scene alone, as drawing tells it."""
        some = self.moments.rows(rows)
        words = trimmed(some.scene)
        return self.net.read(words, torch.zeros_like(words[:, :1]), some.world), None if self.since else some.seen


def with_solvers(
    config: SolversTrainConfig,
    begin: WorldSimulator,
    moments: Openings,
    held_out: Openings,
    told: Callable[[str], None] = lambda line: print(line, flush=True),
) -> WorldSimulator:
    """The simulator, whose starter completes and draws again by solvers that were fitted to ``moments``; of the worlds
    that it completes count alone. What came of it is ``told``, and stands in the starter's card. Raises ``ValueError``
    as ``solvable``, and where there are no moments, or they are not of ``SOLVED`` pixels."""
    starter = solvable(begin)
    generator = torch.Generator().manual_seed(config.seed)
    parts = [
        _chosen(of, starter, most, generator, name)
        for of, most, name in ((moments, config.moments, "to fit to"), (held_out, config.held_out, "held out"))
    ]
    fits = dict[str, Fit]()
    for kind, steps in (("complete", config.complete_steps), ("redraw", config.redraw_steps)):
        task, held = (_task(kind, starter.net, part, begin.codec, config, generator) for part in parts)
        fits[kind] = _fitted(task, held, steps, starter.config.complete_steps, config, generator)
        told(f"{kind}: {_said(fits[kind], config, starter.config.complete_steps)}")
    complete, redraw = (fits[kind].solver for kind in ("complete", "redraw"))
    made = Starter(
        replace(starter.config, complete_solver=complete, redraw_solver=redraw), starter.net, starter.revealer
    )
    lines = [f"- {kind}: {_said(fit, config, starter.config.complete_steps)}." for kind, fit in fits.items()]
    about = (
        f"Fitted to {len(parts[0])} moments in {config.steps} steps of {config.batch} (seed {config.seed}), and "
        f"measured on {len(parts[1])} of maps of the validation split (`worldsim train solvers`):\n"
    )
    made.card = with_section(starter, made, "Solvers", "\n".join([about, *lines]))
    return begin.with_starter(made)


def solvable(simulator: WorldSimulator) -> Starter:
    """The starter of a model, to which solvers can be fitted; ``ValueError`` where there is none."""
    starter = simulator.starter
    if starter is None or not starter.config.completes:
        raise ValueError("the model has no starter that completes pictures; train one first: `worldsim train starter`")
    if starter.config.complete_guidance != 1:
        raise ValueError(
            f"complete_guidance={starter.config.complete_guidance}: solvers are fitted to a starter that completes "
            "without guidance, 1"
        )
    return starter


def _chosen(moments: Openings, starter: Starter, most: int, generator: torch.Generator, name: str) -> Openings:
    """Moments of the worlds that are completed, of which something was seen, at most as many, in float32."""
    size = tuple(cells * starter.config.net.pixel_stride for cells in moments.z.shape[2:])
    if size != SOLVED:
        raise ValueError(f"moments of {size[0]}x{size[1]} pixels: solvers are fitted to {SOLVED[0]}x{SOLVED[1]}")
    worlds = torch.tensor([WORLDS[world].index for world in starter.config.completes])
    there = moments.partly_seen(worlds)
    rows = there.nonzero()[:, 0]
    if not len(rows):
        raise ValueError(f"no moments {name} are of {', '.join(starter.config.completes)}: give the source these")
    some = moments.rows(rows[torch.randperm(len(rows), generator=generator)[:most]])
    return replace(some, z=some.z.float(), seen=some.seen.float())


def _task(
    kind: str,
    net: StarterNet,
    moments: Openings,
    codec: Codec,
    config: SolversTrainConfig,
    generator: torch.Generator,
) -> _Task:
    if kind == "complete":
        return _Task(net, moments, torch.randn(moments.z.shape, generator=generator), 0.0)
    worn = replace(moments, z=_worn(moments.z, codec, config.magnified, generator))
    return _Task(net, worn, torch.randn(moments.z.shape, generator=generator), REDRAWN)


@torch.no_grad()
def _worn(z: torch.Tensor, codec: Codec, times: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    """Latents of parts of the pictures ``z (M, C, h, w)``, each magnified: pictures that have lost their detail."""
    found = []
    for latents, parts in zip(z.split(_BATCH), windows(len(z), times, generator).split(_BATCH)):
        pictures = codec.decode_normalised(latents, 1)[:, 0].permute(0, 3, 1, 2)
        worn = magnified(pictures, parts).permute(0, 2, 3, 1)
        found.append(codec.encode_normalised(worn[:, None]).float())
    return torch.cat(found)


def windows(n: int, times: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    """Parts of ``n`` pictures, somewhere in them, smaller by factors between ``times``: affine maps ``(n, 2, 3)`` from
    the whole picture to the part, in [-1, 1]."""
    low, high = times
    share = 1 / (low + (high - low) * torch.rand(n, generator=generator))
    middle = (1 - share)[:, None] * (2 * torch.rand(n, 2, generator=generator) - 1)
    return torch.cat([share[:, None, None] * torch.eye(2), middle[:, :, None]], dim=2)


def magnified(pictures: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
    """``parts (M, 2, 3)`` of ``pictures (M, 3, H, W)`` as whole pictures, bilinearly."""
    grid = F.affine_grid(parts, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _fitted(
    task: _Task,
    held: _Task,
    steps: int,
    usual: int,
    config: SolversTrainConfig,
    generator: torch.Generator,
) -> Fit:
    tokens = task.begin.shape[2] * task.begin.shape[3] // task.net.config.patch**2
    reached, wanted = task.sampled(config.reference_steps), held.sampled(config.reference_steps)
    rule = Solver.of_sampler(steps, tokens, held.since)
    weights = [torch.tensor(row, requires_grad=True) for row in rule.weights]
    first = torch.tensor(rule.levels[:1])
    later = torch.tensor(rule.levels[1:]).logit().requires_grad_(True)
    groups = [{"params": weights, "lr": config.lr}, {"params": [later], "lr": 2.5 * config.lr}]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.97))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda i: min(1.0, (i + 1) / 10) * max(0.03, 1 - i / config.steps)
    )
    waiting = torch.empty(0, dtype=torch.int64)
    for _ in range(config.steps):
        if not len(waiting):
            waiting = torch.randperm(len(task), generator=generator)
        rows, waiting = waiting[: config.batch], waiting[config.batch :]
        ends = task.followed(rows, torch.cat([first, later.sigmoid()]), weights)
        loss = (ends - reached[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    found = later.detach().sigmoid().clamp(max=1 - 1e-6)
    levels = [rule.levels[0], *np.round(found.tolist(), 6).tolist()]
    solver = Solver(tuple(levels), tuple(tuple(np.round(row.tolist(), 6).tolist()) for row in weights))
    before, then, after = (_rms(held.sampled(each), wanted) for each in (steps, usual, solver))
    return Fit(solver, before, then, after, _rms(held.again(generator).sampled(config.reference_steps), wanted))


def _rms(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).square().mean().sqrt())


def _said(fit: Fit, config: SolversTrainConfig, usual: int) -> str:
    few = fit.solver.steps
    return (
        f"{few} fitted steps end {fit.after:.3f} from {config.reference_steps} of the sampler (RMS of latents), {few} "
        f"of the sampler {fit.before:.3f}, {usual} of it {fit.usual:.3f}; {config.reference_steps} from other noise end"
        f" {fit.other:.2f} from them"
    )
