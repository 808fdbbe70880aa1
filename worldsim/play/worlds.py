"""Opening a world for a person: the learned one or a true one, by the names that people use.

Everything goes through ``gymnasium.make``; what Gymnasium or a missing engine has to say becomes an error
that the command line and the page can show.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from worldsim.registration import SORA_WORLD, register_environments
from worldsim.worlds import WORLDS, WorldSpec, world_named

DREAM = "dream"
TRUE = "true"
SOURCES = (DREAM, TRUE)


def open_world(source: str, world: str | None, **kwargs: Any) -> gym.Env[Any, Any]:
    """An environment of ``world``: the learned one (``dream``) or the ``true`` one, with all 32 actions.

    ``world`` None lets the dream follow its prompt, and is DoomRooms in truth. Arguments that are None are
    left out. Raises ``ValueError`` for unknown names and ``ImportError`` where the world's engine is not
    installed.
    """
    register_environments()
    given = {name: value for name, value in kwargs.items() if value is not None}
    if source == TRUE:
        env_id = world_named(world or next(iter(WORLDS))).env_id
    elif source == DREAM:
        env_id = SORA_WORLD
        given |= {"world": world_named(world).env_id} if world else {}
    else:
        raise ValueError(f"source={source!r}; accepted are {', '.join(SOURCES)}")
    try:
        return gym.make(env_id, disable_env_checker=True, **given)
    except gym.error.Error as error:
        raise ValueError(str(error)) from error


def spec_of(env: gym.Env[Any, Any]) -> WorldSpec | None:
    """The specification of the world that ``env`` shows now, None where it says none."""
    spec = getattr(env.unwrapped, "spec_world", None)
    return spec if isinstance(spec, WorldSpec) else None


def action_names(env: gym.Env[Any, Any]) -> tuple[str, ...]:
    """Names of the actions of ``env``, by index; its ``action_meanings``."""
    names = getattr(env.unwrapped, "action_meanings", None)
    if names is None:
        raise ValueError(f"{env} lists no action_meanings, so keys and action names cannot be mapped to it")
    return tuple(names)


def video_fps(env: gym.Env[Any, Any], frames_per_step: int) -> float:
    """Video frames per second of real time: ``render_fps`` (steps per second) times the frames of a step."""
    return float(env.metadata.get("render_fps") or 10.0) * frames_per_step
