"""Deeds in Crafter: a tree is felled, a sapling planted, a table built, all left behind and looked at again.

The picture is seen from above with the player in its middle, so whoever walks scrolls it: five steps take a tile that
stands beside the player out of the picture, five lead back. What a deed changes is one tile, and its pixels alone
vote. Creatures move by chance, and the deed itself draws from that chance: plans keep clear of them, and are taken only
where further true runs, in which chance falls otherwise, show the same. Tiles count as the world's poses do, x to the
right and y up the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldsim_benchmarks.probes.detect import differs
from worldsim_benchmarks.probes.plan import LEAST, Check, Deed, Plan
from worldsim_benchmarks.truth import Pose, Reference, Rollout

WORLD = "worldsim/Crafter-v0"
Tile = tuple[int, int]
WALK = 5
"""Steps off and back. A picture shows four tiles to both sides of the player, three above and below."""
CREATURES = ("cow", "zombie", "skeleton", "arrow")
"""What moves by chance. None may be in sight when the candidate begins: where all around is grass, a cow that goes
another way makes one true picture less like the other than that of another map is."""
CLEAR = {"zombie": 9}
"""Tiles from the player within which no such creature may stand at first (they come nearer from eight)."""
CLEAR_OF_OTHERS = 3
AGAIN = (1, 2, 3)
"""Seeds of chance of the further true runs that must agree."""
TRIES = 12
"""Places of a map that are tried."""
GRASS, TREE, FREE = ("grass",), ("tree",), ("grass", "sand", "path")


@dataclass(frozen=True)
class Scene:
    """Where a deed can be done, and how: ``ground`` maps offsets from the player's tile to the materials that may be
    there, ``yaw`` is where the player faces first. ``context`` are the steps before, ``deed`` is the action, and what
    it changes is the tile at the offset ``changed``. ``off`` and ``back`` are the steps that follow. ``needs`` says how
    many things of a kind the context must have brought."""

    ground: Mapping[Tile, Sequence[str]]
    yaw: float
    context: tuple[str, ...]
    deed: str
    changed: Tile
    off: tuple[str, ...]
    back: tuple[str, ...]
    needs: tuple[str, int] | None = None


def row(dx: int, dy: int) -> dict[Tile, Sequence[str]]:
    """Free tiles for the walk off in that direction, the first one included."""
    return {(dx * i, dy * i): FREE for i in range(WALK + 1)}


LEFT, RIGHT = ("strafe_left",) * WALK, ("strafe_right",) * WALK
DOWN, UP = ("backward",) * WALK, ("forward",) * WALK
FELL = Scene(row(-1, 0) | {(1, 0): TREE}, 0.0, (*LEFT, *RIGHT), "use", (1, 0), LEFT, RIGHT)
PLANT = Scene(
    row(-1, 0) | {(1, 0): GRASS}, 0.0, (*LEFT, *RIGHT, *("use",) * 8), "place_plant", (1, 0), LEFT, RIGHT,
    ("sapling", 1),
)  # fmt: skip
"""A sapling comes out of the grass once in ten times: four maps in ten give none in eight."""
TABLES = tuple(
    Scene(
        row(0, -1) | {(0, 1): TREE, (side, 0): TREE}, 90.0, (*DOWN, *UP, turn, "use", "forward", "use"),
        "place_table", (0, 1), DOWN, UP, ("wood", 2),
    )
    for side, turn in ((1, "strafe_right"), (-1, "strafe_left"))
)  # fmt: skip
"""Who walks against a tree turns to it; the table comes to stand where the second one was."""


def places(stage: Reference, map_seed: int, scene: Scene) -> Iterator[Pose]:
    """Poses of a map where the scene's ground is and no creature is near. ``env.unwrapped.ground()``, which Crafter
    documents, tells the materials of its tiles."""
    stage.reset(map_seed)
    ground: np.ndarray = stage.env.unwrapped.ground()  # type: ignore[attr-defined]
    reach = WALK + 1
    fits = np.ones(np.array(ground.shape) - 2 * reach, bool)
    for (dx, dy), materials in scene.ground.items():
        there = np.isin(ground, materials)
        fits &= there[reach + dx : there.shape[0] - reach + dx, reach + dy : there.shape[1] - reach + dy]
    creatures = stage.truth["objects"]
    at = np.array([o["position"][:2] for o in creatures]).reshape(-1, 2)
    least = np.array([CLEAR.get(o["class"], CLEAR_OF_OTHERS) for o in creatures])
    found = [p for p in np.argwhere(fits) + reach if (np.abs(at - p).max(1, initial=0) > least).all()]
    for x, y in found[:: max(1, len(found) // TRIES)][:TRIES]:  # from all over the map
        yield float(x), float(y), scene.yaw


def tile_pixels(take: Rollout, step: int, tile: Tile) -> np.ndarray:
    """bool ``(H, W)``: where a tile of the map is seen after ``step`` steps, nowhere where it is not seen whole."""
    camera = take.truths[step]["camera"]
    K, place = np.asarray(camera["K"]), np.asarray(camera["c2w"])[:2, 3]
    side = K[0, 0]
    left = round(K[0, 2] + (tile[0] - place[0] - 0.5) * side)
    top = round(K[1, 2] - (tile[1] - place[1] + 0.5) * side)
    height, width = take.first.shape[:2]
    mask = np.zeros((height, width), bool)
    if left >= 0 and top >= 0 and left + side <= width and top + side <= 2 * K[1, 2]:
        mask[top : top + int(side), left : left + int(side)] = True
    return mask


def ground_pixels(take: Rollout) -> np.ndarray:
    """bool ``(H, W)``: the rows that show ground, as many above the player as below; the inventory is under them."""
    mask = np.zeros(take.first.shape[:2], bool)
    mask[: int(2 * take.truths[0]["camera"]["K"][1, 2])] = True
    return mask


def done_and_left(stage: Reference, map_seed: int, scene: Scene) -> Plan | None:
    """The deed at the first place where chance leaves it alone: done, walked away from, looked at again. The twin does
    nothing in its place."""
    names = [(*scene.context, first, *scene.off, *scene.back) for first in (scene.deed, "noop")]
    for pose in places(stage, map_seed, scene):
        if scene.needs is not None:
            kind, count = scene.needs
            stage.reset(map_seed, pose)
            stage.do(*scene.context)
            if stage.truth["inventory"][kind] < count:
                continue
        takes = runs(stage, map_seed, pose, names, len(scene.context))
        plan = _plan(*takes, scene, pose) if takes is not None else None
        if plan is not None and all(agrees(stage, plan, chance) for chance in AGAIN):
            return plan
    return None


def runs(
    stage: Reference,
    map_seed: int,
    pose: Pose,
    names: Sequence[tuple[str, ...]],
    prefix: int,
    chance: int | None = None,
) -> tuple[Rollout, Rollout] | None:
    """Deed and twin; ``chance`` seeds anew what happens by it from the end of the context. None where an episode ends
    early."""
    acted, twin = (stage.play(n, map_seed, prefix, pose, dynamics=chance) for n in names)
    return (acted, twin) if min(acted.length, twin.length) == len(acted.names) else None


def _plan(acted: Rollout, twin: Rollout, scene: Scene, pose: Pose) -> Plan | None:
    tile = (round(pose[0]) + scene.changed[0], round(pose[1]) + scene.changed[1])
    at, length = acted.prefix, len(acted.actions)
    if any(o["visible"] for truth in acted.truths[at : at + 2] for o in truth["objects"] if o["class"] in CREATURES):
        return None
    if any((a["camera"]["c2w"] != b["camera"]["c2w"]).any() for a, b in zip(acted.truths, twin.truths, strict=True)):
        return None  # something stood in the way
    looks = []
    for step in range(1, length + 1):
        pixels = tile_pixels(acted, at + step, tile)
        done, undone = acted.frame(at + step), twin.frame(at + step)
        looks.append(Check(step, pixels & differs(done, undone), done, undone))
    if min(int(look.mask.sum()) for look in (looks[0], looks[-1])) < LEAST:
        return None
    far, near = acted.frame(at + 1 + len(scene.off)), acted.frame(at + 1)
    scrolled = Check(1 + len(scene.off), differs(far, near) & ground_pixels(acted), far, near)
    if scrolled.mask.sum() < 10 * LEAST or looks[len(scene.off)].mask.any():
        return None
    return Plan(acted, twin, (looks[0], scrolled), (looks[-1],), tuple(c for c in looks if c.mask.any()))


def agrees(stage: Reference, plan: Plan, chance: int) -> bool:
    """Whether another true run of deed and twin shows what the plan says."""
    names = [plan.acted.names, plan.twin.names]
    assert plan.acted.pose is not None
    takes = runs(stage, plan.acted.map_seed, plan.acted.pose, names, plan.prefix, chance)
    if takes is None:
        return False
    acted, twin = takes
    done = (c.holds(acted.frame(plan.prefix + c.step), True) for c in (*plan.gates, *plan.checks))
    left = (c.holds(twin.frame(plan.prefix + c.step), False) for c in plan.checks)
    return all(done) and all(left)


def _deed(name: str, criterion: str, *scenes: Scene) -> Deed:
    """The deed in the first of the scenes that a map has."""
    actions = tuple(dict.fromkeys(a for s in scenes for a in (*s.context, s.deed, *s.off, *s.back, "noop")))

    def plan(stage: Reference, map_seed: int) -> Plan | None:
        plans = (done_and_left(stage, map_seed, scene) for scene in scenes)
        return next((found for found in plans if found is not None), None)

    return Deed(name, WORLD, criterion, actions, plan, truth=())


DEEDS = (
    _deed("fell", "a tree that was felled is gone after a walk off and back; one that was not stands", FELL),
    _deed("sapling", "a sapling that was planted is there after a walk off and back; unplanted there is grass", PLANT),
    _deed("table", "a table that was built stands after a walk off and back; unbuilt there is none", *TABLES),
)  # fmt: skip
