"""Mutants that break what lasts: deeds that revert, things that change once they are out of sight, wrong physics.

Two ways to make one without touching a world. A *shadow* is a second copy of it, made by ``gym.make`` from the same
specification, perhaps with other arguments (gravity, restitution), that plays the same actions or leaves some out; the
mutant shows the shadow's pictures from some moment on. A *retouched* world shows its own pictures, in which things are
painted over by their object ids (``truth=("labels",)``). The defect is off until ``active`` is set, as in ``mutants``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from worldsim_benchmarks.mutants import MUTANTS, Mutant
from worldsim_benchmarks.probes.detect import recoloured, without

DEEDS = frozenset({"use", "attack", "place", "next_item", *(f"place_{thing}" for thing in ("plant", "stone", "table"))})
"""Actions that change the world by themselves, not by where they lead."""
LASTS = 5
"""Steps that an undone deed lasts."""
SPAN = 24
"""Steps that a forgetful world remembers."""


def copy_of(env: gym.Env[Any, Any], **arguments: Any) -> gym.Env[Any, Any]:
    """Another environment of the same specification, with these constructor arguments changed."""
    if env.spec is None:
        raise ValueError("this mutant needs an environment made by gym.make, of which it makes a copy")
    return gym.make(env.spec, **arguments)


class Shadowed(Mutant):
    """Plays a shadow beside the world and shows it while ``reverts`` says so."""

    arguments: ClassVar[dict[str, Any]] = {}

    def __init__(self, env: gym.Env[np.ndarray, np.int64]) -> None:
        super().__init__(env)
        self.shadow = copy_of(env, **self.arguments)

    def for_shadow(self, name: str) -> str:
        """What the shadow plays instead of an action."""
        return name

    def reverts(self, name: str) -> bool:
        """Whether the shadow is shown after this step."""
        return True

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.shadow.reset(**kwargs)
        return super().reset(**kwargs)

    def step(self, action: np.int64) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        name = self.names[int(action)]
        instead = self.for_shadow(name) if self.active else name
        shadow = self.shadow.step(np.int64(self.names.index(instead)))
        real = super().step(action)
        return shadow if self.active and self.reverts(name) else real

    def close(self) -> None:
        self.shadow.close()
        super().close()


class Undone(Shadowed):
    """What was done reverts: some steps after a deed the world is shown in which no deed was done."""

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.since = 0
        return super().reset(**kwargs)

    def for_shadow(self, name: str) -> str:
        return "noop" if name in DEEDS else name

    def reverts(self, name: str) -> bool:
        self.since = 0 if name in DEEDS else self.since + 1
        return self.since >= LASTS


class WrongRestitution(Shadowed):
    """Nothing bounces."""

    arguments: ClassVar[dict[str, Any]] = {"restitution": 0.0}


class WrongGravity(Shadowed):
    """What slides down a tilted table does so a fifth as fast, and on a level one friction holds it."""

    arguments: ClassVar[dict[str, Any]] = {"gravity": 0.15}


class WrongFriction(Shadowed):
    """Things slide as if on felt."""

    arguments: ClassVar[dict[str, Any]] = {"friction": 4.0}


class GhostCollision(Mutant):
    """Things pass through each other; the hand and the rim still meet them.

    The one defect that neither a copy nor a brush can make: the table's own colliders are told to pass (shapes of one
    group do not collide in Chipmunk).
    """

    def step(self, action: np.int64) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        if self.active:
            for thing in self.env.unwrapped.table.things:  # type: ignore[attr-defined]
                thing.collider.filter = thing.collider.filter._replace(group=1)
        return super().step(action)


class IdleFrozen(Mutant):
    """The world stands still while nothing is commanded: nothing grows, falls or closes in the meantime."""

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = super().reset(**kwargs)
        self.last = (observation, 0.0, False, False, info)
        return observation, info

    def step(self, action: np.int64) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        if self.active and self.names[int(action)] == "noop":
            frame, _, terminated, truncated, info = self.last
            still = {**info, "frames": np.repeat(info["frames"][-1:], len(info["frames"]), 0)}
            return frame, 0.0, terminated, truncated, still
        self.last = super().step(action)
        return self.last


class Retouched(Mutant):
    """Things that were out of sight since the context are retouched ever after, by ``retouch``."""

    def __init__(self, env: gym.Env[np.ndarray, np.int64]) -> None:
        super().__init__(copy_of(env, truth=("labels",)))
        env.close()

    def retouch(self, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The picture uint8 ``(H, W, 3)`` with the things on ``mask`` changed."""
        raise NotImplementedError

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = super().reset(**kwargs)
        self.known, self.lost = self._ids(info), set[int]()
        return observation, info

    def missed(self, unseen: set[int], truth: dict[str, Any]) -> set[int]:
        """Those of the things that are not seen now which this mutant loses: all."""
        return unseen

    @staticmethod
    def _ids(info: dict[str, Any]) -> set[int]:
        shown = set(np.unique(info["truth"]["labels"]).tolist())
        return {int(o["id"]) for o in info["truth"]["objects"]} & shown

    def step(self, action: np.int64) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        seen = self._ids(info)
        if not self.active:
            self.known |= seen
            return observation, reward, terminated, truncated, info
        self.lost |= self.missed(self.known - seen, info["truth"])
        mask = np.isin(info["truth"]["labels"], list(self.lost))
        if not mask.any():
            return observation, reward, terminated, truncated, info
        frames = info["frames"].copy()
        frames[-1] = self.retouch(frames[-1], mask)  # ids are told of the last frame of a block only
        return frames[-1].copy(), reward, terminated, truncated, {**info, "frames": frames}


class Vanishing(Retouched):
    """What was out of sight is gone."""

    def retouch(self, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return without(frame, mask)


class VanishingBehind(Vanishing):
    """What something else hides is gone ever after; what only left the picture is not."""

    def missed(self, unseen: set[int], truth: dict[str, Any]) -> set[int]:
        K, c2w = (np.asarray(truth["camera"][key]) for key in ("K", "c2w"))
        height, width = truth["labels"].shape
        hidden = set()
        for thing in truth["objects"]:
            local = (np.asarray(thing["position"]) - c2w[:3, 3]) @ c2w[:3, :3]
            u, v = (K @ local)[:2] / max(float(local[2]), 1e-6)
            if local[2] > 0 and 0 <= u < width and 0 <= v < height:
                hidden.add(int(thing["id"]))
        return unseen & hidden


class Forgetful(Vanishing):
    """What was out of sight for ``SPAN`` steps is gone: a perfect memory of that length."""

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.away: dict[int, int] = {}
        return super().reset(**kwargs)

    def missed(self, unseen: set[int], truth: dict[str, Any]) -> set[int]:
        self.away = {number: self.away.get(number, 0) + 1 for number in unseen}
        return {number for number, steps in self.away.items() if steps > SPAN}


class Swapped(Retouched):
    """What was out of sight comes back in another colour."""

    def retouch(self, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return recoloured(frame, mask, 120)


class Doubled(Retouched):
    """What was out of sight comes back twice, the second time at the mirrored place."""

    def retouch(self, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
        picture = frame.copy()
        picture[mask[:, ::-1]] = frame[:, ::-1][mask[:, ::-1]]
        return picture


DEFECTS: dict[str, Callable[[gym.Env[np.ndarray, np.int64]], Mutant]] = {
    "undo": Undone,
    "wrong_restitution": WrongRestitution,
    "wrong_gravity": WrongGravity,
    "wrong_friction": WrongFriction,
    "ghost_collision": GhostCollision,
    "idle_frozen": IdleFrozen,
    "vanish": Vanishing,
    "forgetful": Forgetful,
    "vanish_behind_occluder": VanishingBehind,
    "swap_identity": Swapped,
    "duplicate": Doubled,
}
BROKEN = MUTANTS | DEFECTS
"""All mutants by name."""
