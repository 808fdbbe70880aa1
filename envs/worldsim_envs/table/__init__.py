"""A table of 2-D physics, seen from above: things to push, paint, bite, break, switch, plant and hide.

``layout`` draws what lies on a table, ``physics`` moves it (pymunk), ``drawing`` shows it (OpenCV), ``world`` makes an
environment of it.
"""

from __future__ import annotations

from worldsim_envs.table.world import TableEnv

__all__ = ["TableEnv"]
