"""The scene as an environment: a pusher and a camera with the shared keyboard, goals, facts and truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from worldsim.actions import ACTION_ID, ACTION_MEANINGS
from worldsim.captions.facts import EventFact, SceneFacts, ViewFacts
from worldsim.worlds import WORLDS
from worldsim_envs.base import Advance, Facts, Start, TrueWorld
from worldsim_envs.scene.camera import OrbitCamera
from worldsim_envs.scene.layout import HALF, PUSHER_RADIUS, TARGET_RADIUS, SceneLayout, generate
from worldsim_envs.scene.physics import PUSH_SPEED, STRIKE_SPEED, ScenePhysics
from worldsim_envs.scene.rendering import SceneRenderer
from worldsim_envs.things import Sighting, seen_things

STRIKE = ACTION_ID["attack"]
STEERS: dict[str, tuple[float, float]] = {
    "forward": (1.0, 0.0), "backward": (-1.0, 0.0), "strafe_left": (0.0, 1.0), "strafe_right": (0.0, -1.0),
    "attack": (1.0, 0.0),
}  # fmt: skip
"""Action -> direction of the pusher as the camera sees it: ahead and to the left."""
PUSHED = 0.02
"""Metres that a body which the pusher meets must move in a block to count as pushed."""
SMALLEST = 4
"""Pixels of a 64-row frame that a body must cover to count as visible."""


class SceneEnv(TrueWorld):
    """A small 3-D scene of coloured bodies: push them about, slide a screen before them, go round them.

    ## Action space
    ``Discrete(32)`` (``actions="keyboard"``) or ``Discrete(12)`` (``"world"``): noop, forward, backward, strafe_left,
    strafe_right (they move the pusher as the camera sees it), turn_left, turn_right (the camera circles by 14 degrees a
    step), look_up, look_down (it tilts by 7, within -12 to -70 degrees), attack (a fast push ahead), turn_left_small,
    turn_right_small (3.5 degrees). Other ids are noop.

    ## Observation space
    ``Box(0, 255, (H, W, 3), uint8)``: the last of the step's four frames (20 Hz).

    ## Rewards
    +1 when a body comes to lie on the target; with the goal "push the <colour> <shape> to the target" for it only.

    ## Start
    A scene drawn by ``map_seed``: two to five cubes, balls and cylinders of different colours, heavy ones darker, balls
    that roll by themselves, often a screen that slides along itself, often a target on the floor; what a goal needs is
    there. ``pose`` is the place of the pusher and the camera's yaw.

    ## End
    Terminated when a goal is reached. Truncated after ``time_limit`` steps, 600 by default.

    ## Arguments
    ``split, frame_size, actions, goal, time_limit, truth, render_mode``: see ``TrueWorld``. There is no health bar.

    ## Version history
    v0: first version.
    """

    spec_world = WORLDS["Scene"]
    dynamics_later = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layout: SceneLayout
        """Plan of the running episode's scene."""
        self.scene: ScenePhysics
        self._renderer: SceneRenderer | None = None
        self._camera: OrbitCamera | None = None
        self._labels = np.zeros(self.frame_size, np.int32)
        self._on_target: set[int] = set()
        self._facts_of_scene = SceneFacts(self.spec_world.name)
        self._events: tuple[EventFact, ...] = ()

    # The hooks of TrueWorld

    def _begin(self, start: Start) -> np.ndarray:
        layout = generate(start.map_seed, start.goal)
        if start.pose is not None:
            layout = self._posed(layout, start.pose)
        self._events = ()
        self._stage(layout, start.first_dynamics)
        self._facts_of_scene = SceneFacts(self.spec_world.name, self.spec_world.prompt, things=layout.inventory())
        return self.camera.frame()

    def _stage(self, layout: SceneLayout, dynamics_seed: int) -> None:
        """Puts the episode into a scene."""
        if self._renderer is None:
            self._renderer = SceneRenderer(*self.frame_size)
        self.layout, self.scene = layout, ScenePhysics(layout, self.frame_size, dynamics_seed)
        self._camera = OrbitCamera(self.scene, self._renderer)
        self._on_target = self._lying_on_target()
        self._labels = self._camera.labels()

    def close(self) -> None:
        """Lets the renderer go; harmless when repeated."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = self._camera = None
        super().close()

    @property
    def camera(self) -> OrbitCamera:
        """The camera of the running episode."""
        if self._camera is None:
            raise RuntimeError("no episode is running; call reset() first")
        return self._camera

    def _posed(self, layout: SceneLayout, pose: tuple[float, float, float]) -> SceneLayout:
        x, y, yaw = pose
        taken = [(body.x, body.y, body.size * 1.42) for body in layout.bodies]
        taken += [(*layout.screen[:2], 0.43)] if layout.screen else []
        outside = max(abs(x), abs(y)) > HALF - PUSHER_RADIUS
        if outside or any(np.hypot(x - a, y - b) < size + PUSHER_RADIUS for a, b, size in taken):
            bound = HALF - PUSHER_RADIUS
            raise ValueError(
                f"pose={pose!r} is not a free place of map seed {self.map_seed}; choose x and y in metres, from "
                f"{-bound:.2f} to {bound:.2f}, away from what stands there"
            )
        return replace(layout, pusher=(x, y), yaw=yaw % 360)

    def _advance(self, action: int) -> Advance:
        scene, camera, reseeding = self.scene, self.camera, self._reseeding()
        if reseeding is not None:
            scene.reseed(reseeding)
        scene.touched.clear()
        before = {number: scene.position(number) for number in range(1, len(scene.body_ids) + 1)}
        frames, k = [], self.spec_world.frames_per_step
        yaw, pitch = self.spec_world.table.camera[action]
        for number in range(k):
            camera.turn(float(yaw) / k, float(pitch) / k)
            scene.frame(self._drive(action, number))
            frames.append(camera.frame())
        self._labels = camera.labels()
        events = []
        for number in scene.touched:
            if np.linalg.norm(scene.position(number) - before[number]) > PUSHED:
                kind = "slide" if number == scene.screen_number else "push"
                events.append(EventFact(kind, *self._name(number)))
        reward, reached = self._outcome()
        self._events = (*sorted(events, key=str), *([EventFact("goal")] if reached else []))
        return Advance(frames, reward, reached)

    def _drive(self, action: int, frame: int) -> tuple[float, float]:
        """Velocity of the pusher in the world's axes; a strike lasts half a step."""
        ahead, left = STEERS.get(ACTION_MEANINGS[action], (0.0, 0.0))
        speed = PUSH_SPEED if action != STRIKE else STRIKE_SPEED if frame < 2 else 0.0
        yaw = np.radians(self.camera.yaw)
        x = ahead * np.cos(yaw) - left * np.sin(yaw)
        y = ahead * np.sin(yaw) + left * np.cos(yaw)
        return float(speed * x), float(speed * y)

    def _name(self, number: int) -> tuple[str, str]:
        """Colour and shape of a body, or of the screen."""
        if number == self.scene.screen_number:
            return "", "occluder"
        body = self.layout.bodies[number - 1]
        return body.colour, body.shape

    def _lying_on_target(self) -> set[int]:
        if self.layout.target is None:
            return set()
        numbers = range(1, len(self.layout.bodies) + 1)
        gaps = {n: np.linalg.norm(self.scene.position(n)[:2] - self.layout.target) for n in numbers}
        return {n for n, gap in gaps.items() if gap < TARGET_RADIUS * 0.8}

    def _outcome(self) -> tuple[float, bool]:
        """Reward of the block, and whether the goal ends the episode."""
        lying = self._lying_on_target()
        arrived, self._on_target = lying - self._on_target, lying
        if not self.goal:
            return float(len(arrived)), False
        _, _, colour, shape, *_ = self.goal.split()
        reached = any(self._name(number) == (colour, shape) for number in arrived)
        return float(reached), reached

    # What is known of the moment

    def pose(self) -> tuple[float, float, float, float]:
        """Place of the pusher, and the yaw of the camera."""
        x, y, z = (float(v) for v in self.scene.position(self.scene.pusher_number))
        return x, y, z, self.camera.yaw

    def _pixels(self, number: int) -> np.ndarray:
        return self._labels == number

    def _is_visible(self, number: int) -> bool:
        least = SMALLEST * (self.frame_size[0] / 64) ** 2
        return int(self._pixels(number).sum()) >= least

    def _describe(self) -> Facts:
        numbers = [*range(1, len(self.layout.bodies) + 1), *([self.scene.screen_number] if self.layout.screen else [])]
        visible = [number for number in numbers if self._is_visible(number)]
        biggest_first = sorted(visible, key=lambda number: -int(self._pixels(number).sum()))
        sightings = []
        for number in biggest_first:
            colour, shape = self._name(number)
            across = (np.nonzero(self._pixels(number))[1].mean() + 0.5) / self.frame_size[1]
            sightings.append(Sighting(shape, colour, float(across)))
        things = seen_things(sightings)
        view = ViewFacts(self.layout.backdrop, self.layout.floor, things=things)
        return self._facts_of_scene, view, self._events

    def truth(self) -> dict[str, Any]:
        """``camera``, ``objects``, ``pusher``; ``depth`` and ``labels`` where asked for."""
        scene, camera = self.scene, self.camera
        truth: dict[str, Any] = {
            "camera": {"K": camera.K, "c2w": camera.c2w, "yaw": camera.yaw, "pitch": camera.pitch},
            "objects": [self._object(number) for number in range(1, len(self.layout.bodies) + 1)],
            "pusher": {
                "position": scene.position(scene.pusher_number),
                "velocity": scene.velocity(scene.pusher_number),
            },
        }
        if self.layout.screen is not None:
            truth["objects"].append(self._object(scene.screen_number))
        if "depth" in self.truth_buffers:
            truth["depth"] = camera.depth()
        if "labels" in self.truth_buffers:
            truth["labels"] = self._labels.copy()
        return truth

    def _object(self, number: int) -> dict[str, Any]:
        colour, shape = self._name(number)
        body = self.scene.body_ids[number - 1]
        return {
            "id": number,
            "class": shape,
            "colour": colour,
            "position": self.scene.position(number),
            "velocity": self.scene.velocity(number),
            "visible": self._is_visible(number),
            "rotation": self.scene.rotation(number),
            "mass": float(self.scene.model.body_mass[body]),
        }
