"""A true block world on Luanti (Minetest 5.6 or newer), seen through a camera that walks, digs and builds.

``game/`` is a game of our own for the engine, in Lua: nodes, terrain, body, hands, senses. ``processes`` keeps the two
programs, ``screen`` reads pictures from the display's memory, ``textures`` draws what nodes look like, ``game`` moves
the whole tick by tick, ``names`` says what captions call things, ``world`` makes an environment of it.
"""

from __future__ import annotations

from worldsim_envs.blocks.world import BlocksEnv

__all__ = ["BlocksEnv"]
