"""Models of a study are trained once, to their last step, and only for the study that asked for them."""

import json
from dataclasses import replace

import pytest
import torch

from worldsim.studies.errors import episode_errors
from worldsim.studies.runs import ASKED, TRAINED, Material, check_held_out, trained
from worldsim.training.sources import SourceConfig
from worldsim.training.world import WorldTraining


def steps_logged(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["step"] for row in rows]


def test_a_model_is_trained_once(tmp_path, config, material):
    first = trained(tmp_path / "run", config, material)
    logged = steps_logged(tmp_path / "run")
    again = trained(tmp_path / "run", replace(config, run=replace(config.run, log_every=1)), material)
    assert again.digest == first.digest == json.loads((tmp_path / "run" / TRAINED).read_text())["digest"]
    assert steps_logged(tmp_path / "run") == logged and logged[-1] == 3


def test_equal_studies_train_equal_models(tmp_path, config, material):
    one, two = (trained(tmp_path / name, config, material) for name in ("one", "two"))
    assert one.digest == two.digest


def test_what_was_stopped_is_no_model_yet_and_goes_on(tmp_path, config, material, monkeypatch):
    whole = trained(tmp_path / "whole", config, material)
    with monkeypatch.context() as patched:
        run = WorldTraining.run
        patched.setattr(WorldTraining, "run", lambda self: run(self, until=2))
        with pytest.raises(InterruptedError, match="stopped at step 2 of 3; the same command goes on"):
            trained(tmp_path / "parts", config, material)
    assert not (tmp_path / "parts" / TRAINED).exists()
    assert trained(tmp_path / "parts", config, material).digest == whole.digest


def test_a_folder_of_another_study_is_refused(tmp_path, config, material):
    trained(tmp_path / "run", config, material)
    other = replace(config, optim=replace(config.optim, lr=1e-4))
    for asked, of in ((other, material), (config, material.only(["DoomBasic"]))):
        with pytest.raises(ValueError, match="trained with other options, on other episodes or of another codec"):
            trained(tmp_path / "run", asked, of)
    another = replace(material, held_out=material.held_out[1:], held_out_latents=material.held_out_latents[1:])
    with pytest.raises(ValueError, match="on other episodes"):
        trained(tmp_path / "run", config, another)


def test_a_folder_that_does_not_say_its_held_out_episodes_is_taken_with_a_warning(tmp_path, config, material):
    digest = trained(tmp_path / "run", config, material).digest
    path = tmp_path / "run" / ASKED
    asked = json.loads(path.read_text())
    assert set(asked.pop("held_out")) == {"DoomBasic", "DoomRooms"} and len(asked["codec"]) == 12
    path.write_text(json.dumps(asked))
    with pytest.warns(UserWarning, match="does not say its held-out episodes"):
        assert trained(tmp_path / "run", config, material).digest == digest


def test_held_out_episodes_are_checked_before_training_ones_are_played(tmp_path, config, material, monkeypatch):
    monkeypatch.setattr("worldsim.studies.runs.held_out_episodes", lambda source: list(material.held_out))
    source, long = SourceConfig(steps=10), replace(config, clips=replace(config.clips, length=26))
    with pytest.raises(ValueError, match=r"4 of 4 held-out episodes are shorter than the 25 steps .*has 24"):
        Material.gather(material.codec, source, tmp_path / "cache", long, lambda held: check_held_out(long, held))
    assert not (tmp_path / "cache").exists()
    check_held_out(replace(config, clips=replace(config.clips, length=25)), material.held_out)


def test_minutes_are_no_budget(tmp_path, config, material):
    with pytest.raises(ValueError, match=r"optim.minutes=2.0: models are compared at equal steps"):
        trained(tmp_path / "run", replace(config, optim=replace(config.optim, minutes=2.0)), material)
    assert not (tmp_path / "run").exists()


def test_only_what_there_is_of_a_world(material):
    only = material.only(["DoomBasic"])
    assert {e.world for e in (*only.store.episodes, *only.held_out, *only.held_out_latents)} == {"DoomBasic"}
    assert len(only.store.episodes) == len(only.held_out) == len(only.held_out_latents) == 2
    with pytest.raises(ValueError, match="there are no latents of 'Table'; there are of DoomBasic, DoomRooms"):
        material.only(["DoomBasic", "Table"])


def test_all_models_are_asked_the_same(config, material):
    from worldsim.model.debug import debug_world

    one, again, two = (
        list(episode_errors(debug_world(seed), material.held_out_latents, config, 3)) for seed in (0, 0, 1)
    )
    assert one == again
    for a, b, episode in zip(one, two, material.held_out_latents, strict=True):
        assert (a.copied, a.world, a.map_seed) == (b.copied, episode.world, episode.map_seed)
        assert a.loss != b.loss and a.next_mse != b.next_mse
        assert a.size == tuple(episode.z.shape[2:])
    still = replace(material.held_out_latents[0], z=torch.zeros_like(material.held_out_latents[0].z))
    with pytest.raises(ValueError, match="has 24 steps; clips of 26 latents need 25"):
        long = replace(config, clips=replace(config.clips, length=26))
        next(episode_errors(debug_world(), [still], long, 1))
