"""The camera of a scene: it circles the middle of the floor and tilts, and shows colours, body numbers and depth."""

from __future__ import annotations

import mujoco
import numpy as np

from worldsim_envs.camera import camera_to_world
from worldsim_envs.scene.physics import ScenePhysics
from worldsim_envs.scene.rendering import SceneRenderer

DISTANCE = 2.9
"""Metres from the middle of the floor."""
LOOKS_AT = (0.0, 0.0, 0.12)
FIELD_OF_VIEW = 45.0
"""Degrees from the top to the bottom of the picture."""
LOWEST, HIGHEST = -12.0, -70.0
"""Bounds of the pitch in degrees: no lower than just above the bodies, no higher than nearly from above."""


class OrbitCamera:
    """Shows a scene from ``yaw`` and ``pitch`` in degrees; ``c2w`` and ``K`` as in ``info["truth"]``."""

    def __init__(self, scene: ScenePhysics, renderer: SceneRenderer) -> None:
        self.scene, self._renderer = scene, renderer
        self.yaw, self.pitch = scene.layout.yaw, scene.layout.pitch
        self._view = mujoco.MjvCamera()
        self._view.lookat[:] = LOOKS_AT
        self._view.distance = DISTANCE
        renderer.show(scene.model, scene.data)
        self._number_of_geom = np.zeros(scene.model.ngeom + 1, np.int32)  # the last entry is the backdrop's, geom -1
        for geom, number in scene.number_of_geom.items():
            self._number_of_geom[geom] = number
        for name in ("floor", "target"):
            geom = mujoco.mj_name2id(scene.model, mujoco.mjtObj.mjOBJ_GEOM, name)
            if geom >= 0:
                self._number_of_geom[geom] = -1

    def turn(self, yaw: float, pitch: float) -> None:
        """Circles by ``yaw`` degrees (to the left is positive) and tilts by ``pitch``, within the bounds."""
        self.yaw = (self.yaw + yaw) % 360
        self.pitch = min(max(self.pitch + pitch, HIGHEST), LOWEST)

    @property
    def K(self) -> np.ndarray:
        """float64 ``(3, 3)``, pixels."""
        height, width = self._renderer.height, self._renderer.width
        focal = height / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
        return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])

    @property
    def c2w(self) -> np.ndarray:
        """float64 ``(4, 4)``, OpenCV axes, metres."""
        yaw, pitch = np.radians(self.yaw), np.radians(self.pitch)
        ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
        x, y, z = np.array(LOOKS_AT) - DISTANCE * ahead
        return camera_to_world(x, y, z, self.yaw, self.pitch)

    def frame(self) -> np.ndarray:
        """uint8 ``(H, W, 3)``."""
        return self._renderer.colours(self._aimed())

    def labels(self) -> np.ndarray:
        """int32 ``(H, W)``: number of the body in each pixel, 0 for rim and backdrop, -1 for floor and target."""
        return self._number_of_geom[self._renderer.geoms(self._aimed())]

    def depth(self) -> np.ndarray:
        """float32 ``(H, W)``, metres along the optical axis."""
        return self._renderer.depth(self._aimed())

    def _aimed(self) -> mujoco.MjvCamera:
        self._view.azimuth, self._view.elevation = self.yaw, self.pitch
        return self._view
