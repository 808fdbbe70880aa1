"""A running scene: MuJoCo steps it, a bounded force drives the pusher at a velocity, balls are kicked by chance."""

from __future__ import annotations

import mujoco
import numpy as np

from worldsim_envs.scene.layout import SceneLayout, to_xml

FPS = 20
SUBSTEPS = 10
TIMESTEP = 1 / (FPS * SUBSTEPS)
PUSH_SPEED, STRIKE_SPEED = 0.7, 2.6
"""m/s of the pusher."""
KICK_EVERY = 24
"""Frames between two kicks of a ball."""


class ScenePhysics:
    """``touched`` are the numbers of the bodies that the pusher met since it was cleared. Bodies are numbered from 1 in
    the order of the layout; then come the pusher and the screen."""

    def __init__(self, layout: SceneLayout, frame_size: tuple[int, int], dynamics_seed: int) -> None:
        self.layout = layout
        self.model = mujoco.MjModel.from_xml_string(to_xml(layout, frame_size, TIMESTEP))
        self.data = mujoco.MjData(self.model)
        self.frames = 0
        self.touched: set[int] = set()
        self.reseed(dynamics_seed)
        count = len(layout.bodies)
        self.pusher_number, self.screen_number = count + 1, count + 2
        names = [*(f"b{i}" for i in range(count)), "pusher", *(["screen"] if layout.screen else [])]
        self.body_ids = [self.model.body(name).id for name in names]
        self.number_of_geom = {self.model.geom(name).id: number for number, name in enumerate(names, 1)}
        mujoco.mj_forward(self.model, self.data)

    def reseed(self, dynamics_seed: int) -> None:
        """Draws anew what moves by itself, from now on."""
        self.kicks = np.random.default_rng([dynamics_seed, 0xBA11])

    def frame(self, velocity: tuple[float, float]) -> None:
        """Advances by one frame, 1/20 s, with the pusher driven at ``velocity`` (m/s)."""
        if self.frames % KICK_EVERY == 0:
            self._kick_balls()
        self.data.ctrl[:] = velocity
        for _ in range(SUBSTEPS):
            mujoco.mj_step(self.model, self.data)
            self._note_contacts()
        mujoco.mj_forward(self.model, self.data)  # places and velocities of now, not of before the last substep
        self.frames += 1

    def _kick_balls(self) -> None:
        for number, body in enumerate(self.layout.bodies):
            if body.shape == "ball":
                angle, speed = self.kicks.uniform(0, 2 * np.pi), self.kicks.uniform(0.2, 0.9)
                start = self.model.body(f"b{number}").dofadr[0]
                self.data.qvel[start : start + 2] = speed * np.cos(angle), speed * np.sin(angle)

    def _note_contacts(self) -> None:
        for contact in self.data.contact[: self.data.ncon]:
            pair = {self.number_of_geom.get(int(geom)) for geom in contact.geom}
            if self.pusher_number in pair:
                self.touched |= {number for number in pair if number is not None and number != self.pusher_number}

    def position(self, number: int) -> np.ndarray:
        """Place of a body's middle, ``(3,)`` in metres."""
        return self.data.xpos[self.body_ids[number - 1]].copy()

    def velocity(self, number: int) -> np.ndarray:
        """Linear velocity of a body's middle, ``(3,)`` in m/s."""
        out = np.zeros(6)
        mujoco.mj_objectVelocity(self.model, self.data, mujoco.mjtObj.mjOBJ_BODY, self.body_ids[number - 1], out, 0)
        return out[3:]

    def rotation(self, number: int) -> np.ndarray:
        """Rotation matrix of a body, ``(3, 3)``."""
        return self.data.xmat[self.body_ids[number - 1]].reshape(3, 3).copy()
