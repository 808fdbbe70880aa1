"""A small 3-D scene of coloured bodies, a pusher, a screen that hides, and a camera that goes round them (MuJoCo).

``layout`` draws what stands in a scene, ``physics`` moves it, ``camera`` and ``rendering`` show it, ``world`` makes an
environment of it.
"""

from __future__ import annotations

from worldsim_envs.scene.world import SceneEnv

__all__ = ["SceneEnv"]
