import multiprocessing
from dataclasses import fields

import numpy as np
import pytest
from paint_world import expect_aligned

from worldsim.recording.generate import GenerateConfig, WorkerError, generate_episodes
from worldsim.recording.mixture import parse_mixture

PAINT = "paint_world:Paint-v0"


def config(**changes) -> GenerateConfig:
    return GenerateConfig(**{"worlds": PAINT, "policies": "random", "episodes": 6, "workers": 0, **changes})


def equal(a, b) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name), equal_nan=False) for f in fields(a))


def test_episodes_are_aligned_and_end_with_a_cut_block():
    for episode in generate_episodes(config()):
        expect_aligned(episode)
        assert len(episode) == episode.map_seed % 20 + 5
        assert episode.terminated.tolist() == [False] * (len(episode) - 1) + [True]
        assert episode.n_frames[-1] == 2 and (episode.n_frames[:-1] == 4).all()


def test_episode_i_is_the_same_for_any_number_of_workers_and_resumed():
    alone = list(generate_episodes(config()))
    together = list(generate_episodes(config(workers=3)))
    resumed = list(generate_episodes(config(workers=1, first_episode=4, episodes=2)))
    assert len(alone) == len(together) == 6
    assert all(equal(a, b) for a, b in zip(alone, together))
    assert all(equal(a, b) for a, b in zip(alone[4:], resumed))
    assert not equal(alone[0], alone[1])


def test_steps_and_max_steps_end_episodes_and_runs():
    episodes = list(generate_episodes(config(episodes=None, steps=20, max_steps=4)))
    assert [len(e) for e in episodes] == [4] * 5
    assert all(e.truncated[-1] and not e.terminated[-1] for e in episodes)


def test_leaving_an_endless_run_ends_its_workers():
    source = generate_episodes(config(episodes=None, workers=2))
    next(source)
    assert sum(p.name.startswith("worldsim-worker") for p in multiprocessing.active_children()) == 2
    source.close()
    assert not any(p.name.startswith("worldsim-worker") for p in multiprocessing.active_children())


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_arrives_with_its_traceback(workers):
    with pytest.raises(WorkerError, match=r"(?s)the paint has run out.*paint_world.py"):
        list(generate_episodes(config(workers=workers, env_options={"fail_at": 3})))


def test_a_worker_that_dies_is_reported_with_its_exit_code():
    with pytest.raises(WorkerError, match=r"died in episode 0 with exit code 7"):
        list(generate_episodes(config(workers=1, env_options={"die_at": 2})))


def test_goals_are_given_to_their_share_of_episodes():
    goals = [e.goal for e in generate_episodes(config(episodes=40, max_steps=1, goals=0.5))]
    assert set(goals) == {"", "paint it red"} and 10 <= goals.count("") <= 30


def test_noise_reaches_every_action_that_the_world_reads():
    seen = np.concatenate([e.actions for e in generate_episodes(config(noise=1.0, episodes=20))])
    assert set(seen.tolist()) == {0, 1, 2, 5, 6, 30, 31}


def test_map_seeds_stay_in_the_split_and_test_is_refused():
    plans = [config(split="val").plan(i) for i in range(100)]
    assert all(1_000_000 <= p.map_seed < 1_100_000 for p in plans)
    with pytest.raises(ValueError, match="'test' cannot be recorded"):
        config(split="test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"worlds": "DoomRoms"}, "unknown world 'DoomRoms'"),
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"policies": "random:-1"}, "weight above 0"),
        ({"policies": "random,random"}, "stands twice"),
        ({"noise": 1.5}, "probabilities"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_mixtures():
    assert parse_mixture("a:3,b") == (("a", 0.75), ("b", 0.25))
    assert parse_mixture(["sb3=x/y.zip:1", PAINT]) == (("sb3=x/y.zip", 0.5), (PAINT, 0.5))
