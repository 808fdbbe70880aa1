"""Draws a MuJoCo model without a display: colours, geom ids and depth, through one OpenGL context.

MuJoCo's own ``Renderer`` chooses its OpenGL library once, when the package is first imported, from the environment
variable ``MUJOCO_GL``, and ends the process where that library cannot draw. Here EGL is asked for by name, and a system
that has none gets an error.
"""

from __future__ import annotations

import mujoco
import numpy as np

MAX_GEOMS = 64


class SceneRenderer:
    """Pictures of ``(height, width)``; ``show`` chooses what is drawn, and may be called for one model after another.

    Raises ``RuntimeError`` where no OpenGL context can be had.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        try:
            from mujoco.egl import GLContext

            self._gl = GLContext(width, height)
            self._gl.make_current()
        except Exception as error:
            raise RuntimeError(
                f"MuJoCo cannot draw here ({type(error).__name__}: {error}); it needs EGL: "
                "apt-get install libegl1 libgl1-mesa-dri"
            ) from error
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._context: mujoco.MjrContext | None = None

    def show(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Draws this model from now on; its offscreen buffer must be at least as large as the pictures."""
        self._gl.make_current()
        if self._context is not None:
            self._context.free()
        self._model, self._data = model, data
        self._scene = mujoco.MjvScene(model, maxgeom=MAX_GEOMS)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)

    def colours(self, camera: mujoco.MjvCamera) -> np.ndarray:
        """uint8 ``(H, W, 3)``."""
        return self._read(camera, False)[0]

    def geoms(self, camera: mujoco.MjvCamera) -> np.ndarray:
        """int32 ``(H, W)``: id of the geom in each pixel, -1 for none."""
        colours, _ = self._read(camera, True)
        drawn = (colours.astype(np.int32) * (1, 256, 65536)).sum(-1)
        geom_of = np.full(self._scene.ngeom + 1, -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                geom_of[geom.segid + 1] = geom.objid
        return geom_of[drawn]

    def depth(self, camera: mujoco.MjvCamera) -> np.ndarray:
        """float32 ``(H, W)``: metres along the optical axis."""
        _, depth = self._read(camera, False)
        extent, clip = self._model.stat.extent, self._model.vis.map
        near, far = clip.znear * extent, clip.zfar * extent
        return (near * far / (far - depth.astype(np.float64) * (far - near))).astype(np.float32)

    def close(self) -> None:
        """Lets the context go; harmless when repeated."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._context = None
        if self._gl is not None:
            self._gl.free()
            self._gl = None

    def _read(self, camera: mujoco.MjvCamera, ids: bool) -> tuple[np.ndarray, np.ndarray]:
        if self._context is None:
            raise RuntimeError("the renderer shows nothing, or is closed")
        self._gl.make_current()
        for flag in (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR):
            self._scene.flags[flag] = ids
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, self._data, mujoco.MjvOption(), None, camera, everything, self._scene)
        colours = np.empty((self.height, self.width, 3), np.uint8)
        depth = np.empty((self.height, self.width), np.float32)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(colours, depth, self._rect, self._context)
        return np.ascontiguousarray(colours[::-1]), np.ascontiguousarray(depth[::-1])
