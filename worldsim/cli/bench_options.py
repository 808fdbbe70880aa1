"""What the ``bench`` commands are told about an environment and a true world, as the benchmarks take it."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, replace
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
RESERVED = ("model", "true", "codec", "frozen", "grey", "other", "copy_last", "untrained")
"""What a run calls the environment itself, its ceilings, its floors and its controls."""
SERVED = "?"
"""Before what says how a model is served (``worldsim_envs.sora.serving``)."""
FIDELITY = "fidelity"
"""A suite without a headline, run in parts."""
Amount = Literal["tiny", "quick", "default", "publish"]
Parts = Literal["free", "onestep", "control", "reading", "events", "prompts", "minute"]
CONTROL: tuple[Parts, ...] = ("control", "reading")
"""The parts of fidelity that the suite ``control`` runs alone."""
CONTROL_SUITE, SPEED = "control", "speed"
"""Suites without a headline, beside ``FIDELITY``."""


@dataclass(frozen=True)
class Environment:
    """The environment that is measured."""

    env: str = SORA_WORLD
    """Gymnasium id, or a model folder, or "true", or a mutant of the true world ("mirrored", "amnesic", ...)."""
    env_kwargs: str = "{}"
    """JSON of further constructor arguments, such as {"denoising_steps": 2}."""
    world_keyword: str = "world"
    """Constructor argument that tells the environment its world ("" if it has none)."""
    lanes: int = 16
    """Episodes that run at once."""


def spec_of(given: Environment) -> CandidateSpec:
    """The environment that the command line names; a package that registers it is imported."""
    return candidate(given.env, given.env_kwargs, given.lanes, given.world_keyword)


def constructor_arguments(text: str, option: str) -> dict[str, Any]:
    """The JSON object that an ``option`` of the command line holds."""
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{option} {text!r} is not JSON ({error})") from error
    if not isinstance(given, dict):
        raise ValueError(f'{option} {text!r} is no JSON object like {{"model": "runs/my-model"}}')
    return given


def candidate(env: str, env_kwargs: str, lanes: int, world_keyword: str) -> CandidateSpec:
    """The environment of ``--env``: a Gymnasium id (``package:Id-v0`` imports the package first), ``true``, a mutant,
    or a model folder of ``SoraWorld-v0``."""
    from worldsim_benchmarks.suites.session import CandidateSpec

    given = constructor_arguments(env_kwargs, "--env-kwargs")
    package, colon, name = env.rpartition(":")
    if colon:  # gymnasium's way to say what registers an id
        importlib.import_module(package)
        env = name
    if (Path(env) / "config.json").exists():
        given, env = {"model": env, **given}, SORA_WORLD
    return CandidateSpec(env, given, lanes, world_keyword)


def variants(spec: CandidateSpec, beside: tuple[str, ...]) -> dict[str, CandidateSpec]:
    """The same environment with other constructor arguments, by name: texts ``NAME=JSON`` of ``--beside``. A model
    that is only ``?memory=KIND``, ``?window=LATENTS`` or both is that of ``spec``, so served."""
    from worldsim_envs.sora.serving import named

    found: dict[str, CandidateSpec] = {}
    for text in beside:
        name, equals, arguments = text.partition("=")
        if not equals or not name or name in (*RESERVED, *found):
            raise ValueError(
                f"--beside {text!r}: expected NAME=JSON of constructor arguments, each name once and none of "
                f"{', '.join(RESERVED)}"
            )
        given = constructor_arguments(arguments, f"--beside {name}=")
        if str(given.get("model", "")).startswith(SERVED):
            own = named(spec.kwargs.get("model"))[0]
            given["model"] = f"{own or ''}{given['model']}"
        found[name] = replace(spec, kwargs={**spec.kwargs, **given})
    return found


def pinned(spec: CandidateSpec, *worlds: str) -> CandidateSpec:
    """An environment of ours with its model by name, which is the packaged one of the worlds of these names where none
    was given, and the digest of its weights as ``version``; others as they are. ``ValueError`` or ``OSError`` where
    there is no such model or it cannot be loaded."""
    if spec.env != SORA_WORLD:
        return spec
    from worldsim_envs.sora.lanes import load_simulator
    from worldsim_envs.sora.serving import named

    from worldsim.model.packaged import packaged_model

    model = spec.kwargs.get("model")
    if named(model)[0] is None:
        model = packaged_model(*worlds) + (model or "")
    simulator = load_simulator(model)
    begun = "" if simulator.starter is None else f"+{simulator.starter.digest}"  # which the model's digest leaves out
    return replace(spec, kwargs={**spec.kwargs, "model": model}, version=simulator.digest + begun)


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

    named = [world_named(w).name for w in (world, *(event_worlds or ()))]
    others = variants(spec, beside)
    try:
        asked = {"model": pinned(spec, *named)}
    except (ValueError, OSError):  # a suite can be asked nothing of it, and says why (``requirements``)
        asked = {"model": spec} | others
    else:
        asked |= {name: pinned(other, *named) for name, other in others.items()}
    return Session(
        world=world_named(world).env_id,
        candidates=asked,
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
    fresh = replace(spec, kwargs={**spec.kwargs, "model": f"untrained:{spec.kwargs.get('model', '')}"}, version="")
    return replace(asked, candidates={**asked.candidates, "untrained": fresh})
