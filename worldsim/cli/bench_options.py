"""What the ``bench`` commands are told about an environment and a true world, as the benchmarks take it."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from worldsim.registration import SORA_WORLD

if TYPE_CHECKING:
    from worldsim_benchmarks.suites.session import CandidateSpec, Session

ROOMS = "worldsim/DoomRooms-v0"
EVENT_WORLDS = {
    "tiny": ("DoomTakeCover",),
    "quick": ("DoomRooms", "DoomTakeCover", "DoomBasic"),
    "default": ("DoomRooms", "DoomTakeCover", "DoomBasic", "DoomHealthGathering", "DoomMyWayHome"),
}
EVENT_WORLDS["publish"] = EVENT_WORLDS["default"]
RESERVED = ("model", "true", "codec", "frozen", "grey", "other")
"""What a run calls the environment itself, its ceilings and its floors."""
Amount = Literal["tiny", "quick", "default", "publish"]


def constructor_arguments(text: str) -> dict[str, Any]:
    """The JSON object of ``--env-kwargs``."""
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--env-kwargs {text!r} is not JSON ({error})") from error
    if not isinstance(given, dict):
        raise ValueError(f'--env-kwargs {text!r} is no JSON object like {{"model": "runs/my-model"}}')
    return given


def candidate(env: str, env_kwargs: str, lanes: int, world_keyword: str) -> CandidateSpec:
    """The environment of ``--env``: a Gymnasium id (``package:Id-v0`` imports the package first), ``true``, a mutant,
    or a model folder of ``SoraWorld-v0``."""
    from worldsim_benchmarks.suites.session import CandidateSpec

    given = constructor_arguments(env_kwargs)
    package, colon, name = env.rpartition(":")
    if colon:  # gymnasium's way to say what registers an id
        importlib.import_module(package)
        env = name
    if (Path(env) / "config.json").exists():
        given, env = {"model": env, **given}, SORA_WORLD
    return CandidateSpec(env, given, lanes, world_keyword)


def variants(spec: CandidateSpec, beside: tuple[str, ...]) -> dict[str, CandidateSpec]:
    """The same environment with other constructor arguments, by name: texts ``NAME=JSON`` of ``--beside``."""
    found: dict[str, CandidateSpec] = {}
    for text in beside:
        name, equals, arguments = text.partition("=")
        if not equals or not name or name in (*RESERVED, *found):
            raise ValueError(
                f"--beside {text!r}: expected NAME=JSON of constructor arguments, each name once and none of "
                f"{', '.join(RESERVED)}"
            )
        found[name] = replace(spec, kwargs={**spec.kwargs, **constructor_arguments(arguments)})
    return found


def version(spec: CandidateSpec, world: str) -> str:
    """Digest of the weights of an environment of ours in the world of that name, "" for others."""
    if spec.env != SORA_WORLD:
        return ""
    from worldsim_envs.sora.lanes import load_simulator

    return load_simulator(spec.kwargs.get("model"), world).digest


def session(
    spec: CandidateSpec,
    world: str,
    n: str,
    out: Path,
    seed: int,
    event_worlds: tuple[str, ...] | None = None,
    beside: tuple[str, ...] = (),
) -> Session:
    """One candidate in one true world, and its ``variants``; ``event_worlds`` are those of the reward and termination
    part (default: by ``n``)."""
    from worldsim_benchmarks.presets import preset_named
    from worldsim_benchmarks.suites.session import Session

    from worldsim.worlds import world_named

    asked = {"model": spec} | variants(spec, beside)
    return Session(
        world=world_named(world).env_id,
        candidates={name: replace(s, version=version(s, world_named(world).name)) for name, s in asked.items()},
        preset=preset_named(n),
        out=out,
        seed=seed,
        event_worlds=tuple(world_named(w).env_id for w in event_worlds or EVENT_WORLDS[n]),
    )


def with_untrained(asked: Session) -> Session:
    """The session with the same model, its network freshly drawn, as candidate ``untrained``; as it was where the
    environment is not ours."""
    spec = asked.main
    if spec.env != SORA_WORLD or not isinstance(spec.kwargs.get("model", ""), str):
        return asked
    fresh = replace(spec, kwargs={**spec.kwargs, "model": f"untrained:{spec.kwargs.get('model', '')}"})
    return replace(asked, candidates={**asked.candidates, "untrained": fresh})
