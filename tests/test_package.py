"""The package as others meet it: a cheap import, environments by name, registered once, one version."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import gymnasium as gym
import pytest

import worldsim
from worldsim.registration import SORA_WORLD, register_environments
from worldsim.worlds import WORLDS

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "vizdoom", "cv2", "av", "stable_baselines3", "worldsim_envs", "worldsim_agents")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_pulls_in_nothing_heavy() -> None:
    loaded = run_python(f"import sys, worldsim; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_a_command_list_pulls_in_nothing_heavy() -> None:
    code = "import sys; from worldsim.cli.main import main; main(['--help']); "
    code += f"print([m for m in {HEAVY} if m in sys.modules])"
    assert run_python(code).splitlines()[-1] == "[]"


def test_environments_are_registered_without_a_step_limit() -> None:
    ids = [SORA_WORLD, *(spec.env_id for spec in WORLDS.values())]
    assert all(gym.spec(env_id).max_episode_steps is None for env_id in ids)


def test_registering_twice_keeps_the_first_registration_and_warns_of_nothing(
    recwarn: pytest.WarningsRecorder,
) -> None:
    before = dict(gym.registry)
    mine = gym.registry[SORA_WORLD]
    register_environments()
    assert gym.registry == before and gym.registry[SORA_WORLD] is mine
    assert not recwarn.list


def test_the_module_prefix_registers_by_itself() -> None:
    """``gym.make("worldsim:...")`` finds the class in a process that never imported worldsim."""
    pytest.importorskip("vizdoom")
    code = "import gymnasium as gym; env = gym.make('worldsim:worldsim/DoomBasic-v0'); "
    code += "print(type(env.unwrapped).__name__)"
    assert run_python(code).strip() == "DoomBasicEnv"


@pytest.mark.slow
def test_the_learned_world_is_made_by_name_alone() -> None:
    code = "import gymnasium as gym; e = gym.make('worldsim:SoraWorld-v0'); print(e.reset(seed=0)[0].shape)"
    assert run_python(code).strip() == "(64, 64, 3)"


def test_every_entry_point_resolves() -> None:
    pytest.importorskip("vizdoom")
    spec = gym.spec(SORA_WORLD)
    entries = [
        spec.entry_point,
        spec.vector_entry_point,
        *(gym.spec(w.env_id).entry_point for w in WORLDS.values()),
    ]
    for entry in entries:
        module, _, name = str(entry).partition(":")
        assert isinstance(getattr(import_module(module), name), type), entry


def test_unknown_attributes_are_named() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Simulator'"):
        _ = worldsim.Simulator  # type: ignore[attr-defined]


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert project["version"] == worldsim.__version__
    assert f"version: {worldsim.__version__}\n" in citation
