"""Where a codec's memory serves: in which worlds pictures are carried over, and in which each is drawn anew.

What is carried is sharp and may be out of place, what is drawn is where the model expects it and blurred; which of
them is nearer to the truth after some steps differs between worlds. Both ways roll out the same held-out episodes
under the recorded actions, and the mean structural similarity (SSIM, Wang et al. 2004) to the truth decides; where
something small is all that pays, which similarity hardly sees, a world can be kept carried.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from worldsim.engine import RolloutEngine
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode, shots_of
from worldsim.training.recorded import Place, controls_at, start_at
from worldsim.worlds import world_named

# B lanes, H W frame

_WINDOW = 7
_STABLE = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)


def with_choice(
    simulator: WorldSimulator,
    episodes: Iterable[Episode],
    horizon: int = 16,
    keep: Sequence[str] = (),
    known: int = 4,
    most: int = 32,
) -> tuple[WorldSimulator, dict[str, tuple[float, float]]]:
    """The simulator whose ``drawn`` worlds are those in which drawing is nearer to the truth, and for each world the
    mean SSIM of carried and of drawn pictures, over ``horizon`` steps of up to ``most`` rollouts that know ``known``.

    What is carried is completed where the model's starter does that. A world without an episode of ``known +
    horizon`` steps is carried, and so are those of ``keep``. Raises ``ValueError`` where no world has one, ``keep``
    names another world, or the codec has no memory.
    """
    kept = {world_named(world).name for world in keep}
    if strange := kept - set(simulator.config.worlds):
        raise ValueError(f"keep={tuple(keep)}: {', '.join(sorted(strange))} is none of the worlds that are simulated")
    if simulator.codec.memory is None:
        raise ValueError("this model's codec has no memory: there is nothing to carry over (worldsim train memory)")
    places: dict[str, list[Place]] = {}
    for shot in shots_of(e for e in episodes if e.world in simulator.config.worlds):
        begins = range(known, len(shot) + 1 - horizon, horizon)
        places.setdefault(shot.world, []).extend((shot, t) for t in begins)
    found: dict[str, tuple[float, float]] = {}
    for world, there in places.items():
        if some := [there[i] for i in np.linspace(0, len(there) - 1, min(len(there), most)).astype(int)]:
            carried, drawn = (
                _similarity(simulator.with_drawn(chosen), some, horizon, known, imagine=not chosen)
                for chosen in ((), (world,))
            )
            found[world] = carried, drawn
    if not found:
        raise ValueError(f"no held-out episode has the {known + horizon} steps that a rollout needs: give longer ones")
    nearer = {world for world, (carried, drawn) in found.items() if drawn > carried}
    chosen = tuple(world for world in simulator.config.worlds if world in nearer - kept)
    return simulator.with_drawn(chosen), found


@torch.inference_mode()
def _similarity(simulator: WorldSimulator, places: list[Place], horizon: int, known: int, imagine: bool) -> float:
    """Mean SSIM to the truth over the steps of rollouts from ``places``."""
    engine = RolloutEngine(simulator, len(places), frame_size=places[0][0].frame_size, imagine=imagine)
    engine.begin(range(len(places)), [start_at(place, known, i) for i, place in enumerate(places)])
    total = 0.0
    for ahead in range(horizon):
        now = [(episode, t + ahead) for episode, t in places]
        shown = engine.step(*controls_at(now)).frames[:, -1].cpu()
        truth = torch.stack([torch.from_numpy(episode.blocks[t, -1]) for episode, t in now])
        total += float(similarity(shown, truth))
    return total / horizon


def similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Mean SSIM of uint8 frames ``(B, H, W, 3)`` over 7 x 7 windows, one float64 number."""
    x, y = (frames.permute(0, 3, 1, 2).double() for frames in (a, b))

    def mean(values: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(values, _WINDOW, stride=1)

    mx, my = mean(x), mean(y)
    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    vx, vy, vxy = (unbiased * (mean(p * q) - m * n) for p, q, m, n in ((x, x, mx, mx), (y, y, my, my), (x, y, mx, my)))
    light = (2 * mx * my + _STABLE[0]) / (mx.square() + my.square() + _STABLE[0])
    return (light * (2 * vxy + _STABLE[1]) / (vx + vy + _STABLE[1])).mean()
