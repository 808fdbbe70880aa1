"""Small nets: convolutions by hand, the same numbers as PyTorch, thresholds, splits, and files that are refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from worldsim_benchmarks import offers
from worldsim_benchmarks.nets import accuracy, actions, eyes, shipped, things, training, worlds
from worldsim_benchmarks.nets.actions import macro_f1, mirrored_name
from worldsim_benchmarks.nets.corpus import SPLITS, Corpus, record, seeds_of, wander
from worldsim_benchmarks.nets.eyes import Motion
from worldsim_benchmarks.nets.net import Conv, Dense, Net, Shape, least_threshold
from worldsim_benchmarks.nets.recipes import RECIPES, Recipe
from worldsim_benchmarks.nets.spoiling import blurred, spoiled
from worldsim_benchmarks.nets.things import ThingDetector, areas_of, cells_of
from worldsim_benchmarks.records import plain
from worldsim_benchmarks.report import net_lines, table

import worldsim  # noqa: F401  (registers the worlds)
from worldsim.cli import bench_nets

torch = pytest.importorskip("torch")


def corpus(split: str, maps: int = 2, steps: int = 3) -> Corpus:
    """Grey pictures of a split."""
    return Corpus(
        "toy/Grey-v0", np.array(seeds_of(split, maps)), np.zeros((maps, 16, 16, 3), np.uint8),
        np.zeros((maps, steps, 4, 16, 16, 3), np.uint8), np.full((maps, steps), "noop"), np.ones((maps, steps), bool),
        np.zeros((maps, steps, 16, 16), np.uint8), ("red",),
    )  # fmt: skip


def test_a_convolution_by_hand() -> None:
    """A kernel that takes the right neighbour: the picture moves to the left, and zeros come in."""
    weight = np.zeros((1, 1, 3, 3), np.float32)
    weight[0, 0, 1, 2] = 1
    picture = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    moved = Conv(weight, np.zeros(1, np.float32), last=True)(picture)[0, 0]
    assert moved.tolist() == [[1, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 0], [13, 14, 15, 0]]
    assert Conv(weight, np.full(1, -6, np.float32), 2)(picture)[0, 0].tolist() == [[0, 0], [3, 5]]


def test_numpy_and_torch_give_the_same_numbers() -> None:
    """Batch normalisation with statistics of its own is folded in; strides, kernels and dense layers agree."""
    shape = Shape(3, 20, ((5, 5, 2), (7, 3, 1), (6, 3, 2)), (9, 4))
    torch.manual_seed(0)
    net = training._built(shape)
    for _ in range(3):
        net(torch.randn(8, 3, 20, 20) * 2 + 1)
    x = np.random.default_rng(0).standard_normal((70, 3, 20, 20), np.float32)
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(x)).numpy()
    assert np.abs(training.folded(net)(x) - expected).max() < 1e-5
    cells = training._built(Shape(3, 20, ((5, 3, 2), (4, 1, 1)))).eval()
    with torch.no_grad():
        expected = cells(torch.from_numpy(x)).numpy()
    assert expected.shape == (70, 4, 10, 10)
    assert np.abs(training.folded(cells)(x) - expected).max() < 1e-5


def test_a_net_is_the_same_after_it_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    layers = (Conv(rng.random((2, 3, 3, 3), np.float32), np.ones(2, np.float32), 2),
              Dense(rng.random((4, 32), np.float32), np.zeros(4, np.float32), last=True))  # fmt: skip
    net = Net.of_arrays(Net(layers).arrays())  # rounded to half precision once
    save_file(net.arrays(), tmp_path / "net.safetensors")
    again = Net.of_arrays(load_file(tmp_path / "net.safetensors"))
    x = rng.random((5, 3, 8, 8), np.float32)
    assert np.array_equal(again(x), net(x))
    broken = {**net.arrays(), "bias_1": np.full(4, np.nan, np.float16)}
    with pytest.raises(ValueError, match="layer 1 of a net holds numbers that are not finite"):
        Net.of_arrays(broken)


def test_training_learns_and_repeats_itself() -> None:
    """Is the bright half of the picture the left or the right one? The same seed gives the same net."""

    def batch(index: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(0, 0.3, (len(index), 1, 8, 8)).astype(np.float32)
        side = index % 2
        for i, s in enumerate(side):
            x[i, :, :, 4 * s : 4 * s + 4] += 1
        return x, side

    nets = [training.fit(Shape(1, 8, ((4, 3, 2),), (2,)), batch, 100, 40, seed=3, say=lambda _: None) for _ in range(2)]
    x, side = batch(np.arange(50), np.random.default_rng(9))
    assert (nets[0](x).argmax(1) == side).all()
    assert np.array_equal(nets[0](x), nets[1](x))


@pytest.mark.parametrize(
    ("sure", "right", "accuracy", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 0.75, 0.6),  # three of four
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 0.8, 0.8),
        ([0.9, 0.8, 0.8, 0.6], [1, 1, 0, 0], 0.9, 0.9),  # equal ones are answered together
        ([0.9, 0.8], [0, 0], 0.5, float("inf")),
    ],
)
def test_the_threshold_is_the_least_that_is_right_often_enough(
    sure: list[float], right: list[int], accuracy: float, expected: float
) -> None:
    assert least_threshold(sure, np.array(right, bool), accuracy) == expected


def test_f1_counts_what_is_left_open_as_missed_and_not_as_told() -> None:
    told = np.array([0, 0, 0, 0, 1, 1])
    assert macro_f1(told, told, 3) == 1.0  # a class that never occurs is not counted
    assert macro_f1(told, np.full(6, -1), 3) == 0.0
    # class 0: 2 hits, 2 open, none told wrongly: 2*2 / (4+2); class 1: right
    assert macro_f1(told, np.array([0, 0, -1, -1, 1, 1]), 2) == pytest.approx((4 / 6 + 1) / 2)
    # the same two told as class 1: its F1 falls to 2*2 / (2+4)
    assert macro_f1(told, np.array([0, 0, 1, 1, 1, 1]), 2) == pytest.approx((4 / 6 + 4 / 6) / 2)
    assert np.isnan(macro_f1(np.zeros(0, int), np.zeros(0, int), 2))


def test_maps_are_of_their_split() -> None:
    for split, (low, high) in SPLITS.items():
        seeds = seeds_of(split, 500)
        assert len(set(seeds)) == 500
        assert all(low <= s < high for s in seeds)
        assert seeds_of(split, 500) == seeds
        corpus(split).require(split)
    with pytest.raises(ValueError, match="unknown split 'all'; accepted are train, val, test"):
        seeds_of("all", 3)


@pytest.mark.parametrize("strange", [("test", "val"), ("val", "val"), ("train", "test"), ("train", "train")])
def test_no_net_is_trained_on_another_split(strange: tuple[str, str]) -> None:
    first, second = (corpus(split) for split in strange)
    with pytest.raises(ValueError, match="nets are trained on training maps"):
        actions.train(first, second, {"noop": "noop"}, Motion(), ((4, 3, 2),), 4, 1)
    with pytest.raises(ValueError, match="nets are trained on training maps"):
        things.train(first, second, ((4, 3, 2),), 1)


def test_random_play_is_even_and_repeatable() -> None:
    play = wander(("a", "b", "c", "d"), 4000, 5)
    assert wander(("a", "b", "c", "d"), 4000, 5) == play
    assert wander(("a", "b", "c", "d"), 4000, 6) != play
    assert min(play.count(c) for c in "abcd") > 850
    # of two neighbours (1 + 2 + 3) / 3 = 2 steps are one draw: half of all borders, and a quarter of the rest by chance
    same = np.mean([a == b for a, b in pairwise(play)])
    assert same == pytest.approx(0.5 + 0.5 / 4, abs=0.03)


def test_matches_show_where_a_picture_went() -> None:
    """Frames of noise, moved by three pixels to the right: the best match is the shift of (3, 0), in every cell."""
    rng = np.random.default_rng(2)
    wall = noise(rng, 32, 48)
    before, after = wall[:, 8:40], wall[:, 5:37]
    chain = np.stack([before] * 4 + [after] * 4)
    eyes = Motion(pairs=((3, 7),), wide=4)
    kept = eyes.look(chain[None])
    assert kept.shape == (1, eyes.channels, 8, 8)
    assert kept.dtype == np.int8
    best = kept[0].argmax(0)
    assert {eyes.shifts[i] for i in best[1:-1, 1:-1].ravel()} == {(3, 0)}
    mirror = eyes.look(chain[None, :, :, ::-1])
    assert np.abs(eyes.mirrored(kept).astype(int) - mirror).max() <= 1


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_eyes_of_a_manifest_are_those_that_were_written() -> None:
    for recipe in RECIPES.values():
        assert Motion.told(json.loads(json.dumps(asdict(recipe.eyes)))) == recipe.eyes


def test_frames_are_spoiled_alike_and_repeatably() -> None:
    """All frames of a sample get the same colours, and the same randomness spoils them the same way."""
    frame = noise(np.random.default_rng(3), 32, 32)
    both = np.concatenate([frame, frame], -1).astype(np.float32)
    made = [spoiled(both, 3, np.random.default_rng(seed)) for seed in range(40)]
    assert all(np.array_equal(m, spoiled(both, 3, np.random.default_rng(s))) for s, m in enumerate(made))
    unlike = [float(np.abs(m[..., :3] - m[..., 3:]).max()) for m in made]
    assert min(unlike) < 1e-3 < 1 < max(unlike)  # noise alone tells two frames apart
    sharp = float(np.abs(np.diff(frame.astype(float), axis=1)).mean())
    assert float(np.abs(np.diff(blurred(frame).astype(float), axis=1)).mean()) < sharp * 0.6


def test_commands_in_a_mirror() -> None:
    pairs = {"turn_left": "turn_right", "strafe_right": "strafe_left", "noop": "noop", "turn_left_small":
             "turn_right_small", "forward+turn_left": "forward+turn_right"}  # fmt: skip
    assert {name: mirrored_name(name) for name in pairs} == pairs
    for recipe in RECIPES.values():
        assert {mirrored_name(name) for name in recipe.means} == set(recipe.means)


def test_a_cell_has_the_colour_that_fills_most_of_it() -> None:
    colours = np.zeros((1, 8, 8), np.uint8)
    colours[0, :2, :2] = 2  # four pixels
    colours[0, 4:6, 4] = 1  # two: too few
    colours[0, 4:8, :2], colours[0, 4:8, 2:3] = 1, 2
    assert cells_of(colours, 2).tolist() == [[[2, 0], [1, 0]]]
    assert areas_of(colours, 2).tolist() == [[10, 8]]


def red_net() -> Net:
    """A net that is the red channel of a cell's middle, less the green one: 4 times that, from 8 up."""
    pool = np.zeros((3, 3, 5, 5), np.float32)
    pool[range(3), range(3), 2, 2] = 1
    weight = np.zeros((2, 3, 1, 1), np.float32)
    weight[1, 0], weight[1, 1] = 4, -4
    return Net((Conv(pool, np.full(3, 2, np.float32), 4), Conv(weight, np.array([0, -8], np.float32), last=True)))


def test_a_detector_answers_above_one_threshold_and_below_another() -> None:
    """Its cell decides, and its place is the middle of that cell."""
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    frames[0, 20, 36, 0] = 255
    frames[1, 20, 36, 0] = 130
    found = ThingDetector(red_net(), ("red",), present=0.9, absent=0.4)(frames)
    assert found.answers[:, 0].tolist() == [1, -1, 0]
    assert found.place[0, 0] == pytest.approx((22, 38), abs=0.2)


def squares() -> Corpus:
    """Grey walls of the test split, with a red square in every second episode."""
    maps, steps = 4, 7
    frames = np.random.default_rng(4).integers(90, 110, (maps, steps, 64, 64, 1)).repeat(3, -1).astype(np.uint8)
    colours = np.zeros((maps, steps, 64, 64), np.uint8)
    frames[::2, :, 18:30, 30:42], colours[::2, :, 18:30, 30:42] = (240, 20, 20), 1
    blocks = frames[:, :, None].repeat(4, 2)
    return Corpus("toy/Grey-v0", np.array(seeds_of("test", maps)), frames[:, 0], blocks, np.full((maps, steps), "noop"),
                  np.ones((maps, steps), bool), colours, ("red",))  # fmt: skip


def test_accuracy_and_agreement_of_a_detector_that_is_right_and_of_one_that_is_blind() -> None:
    """Pictures of things, each with the thing and with the thing filled in: vote and net say the same of all."""
    made = accuracy.rows_of(None, ThingDetector(red_net(), ("red",), 0.9, 0.4), squares(), lambda blocks: blocks // 2)
    assert [r["look"] for r in made["things"]] == ["true", "blurred", "codec"]
    row, both = made["things"][0], made["agreement"][0]
    assert {k: row[k]["value"] for k in ("hits", "false_alarms", "precision", "placed")} == {
        "hits": 1.0, "false_alarms": 0.0, "precision": 1.0, "placed": 1.0,
    }  # fmt: skip
    assert (row["coverage_in_view"]["value"], row["coverage_absent"]["value"]) == (1.0, 1.0)
    assert both["pictures"] == 6  # of every sixth of 28 pictures three show a square
    assert [both[k]["value"] for k in ("agree", "both_answer", "net_right", "vote_right")] == [1.0] * 4
    blind = accuracy.rows_of(None, ThingDetector(red_net(), ("red",), 1.1, 1.0), squares())
    assert blind["things"][0]["hits"]["value"] == 0.0
    assert blind["agreement"][0]["net_right"]["value"] == 0.5  # it is right of what is not there
    with pytest.raises(ValueError, match="accuracy measured on test maps"):
        accuracy.rows_of(None, None, corpus("train"))


def test_without_a_thing_in_view_there_is_nothing_to_agree_about() -> None:
    corpus = squares()
    empty = replace(corpus, map_seeds=corpus.map_seeds[1:2], first=corpus.first[1:2], blocks=corpus.blocks[1:2],
                    names=corpus.names[1:2], alive=corpus.alive[1:2], colours=corpus.colours[1:2])  # fmt: skip
    made = accuracy.rows_of(None, ThingDetector(red_net(), ("red",), 0.9, 0.4), empty)
    assert made["agreement"] == [{"look": "true", "pictures": 0}, {"look": "blurred", "pictures": 0}]
    assert made["things"][0]["false_alarms"]["value"] == 0.0
    assert np.isnan(made["things"][0]["hits"]["value"])
    assert "no picture shows enough of a thing" in table(net_lines(plain(made)))


def test_what_is_not_the_net_of_the_manifest_is_refused(tmp_path: Path) -> None:
    assert shipped.reader_of("toy/Grey-v0", tmp_path) is None
    net = Net((Dense(np.zeros((2, 4), np.float32), np.zeros(2, np.float32), True),))
    told = {"palette": ("red",), "present": 0.5, "absent": 0.25}
    shipped._written(tmp_path, "toy/Grey-v0", shipped.THINGS, net, told, {})
    found = shipped.detector_of("toy/Grey-v0", tmp_path)
    assert found is not None
    assert (found.palette, found.present, found.absent) == (("red",), 0.5, 0.25)
    assert shipped.detector_of("toy/Other-v0", tmp_path) is None
    written = tmp_path / "Grey-things.safetensors"
    written.write_bytes(written.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"is not the net that .*manifest\.json names"):
        shipped.detector_of("toy/Grey-v0", tmp_path)
    with pytest.raises(ValueError, match="no present makes its answers right often enough"):
        shipped._written(tmp_path, "toy/Grey-v0", shipped.THINGS, net, {**told, "present": float("inf")}, {})


def test_a_net_is_refused_where_the_code_shows_it_other_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed constant would break a shipped net without a word: its file is the same."""
    monkeypatch.setattr(eyes, "PLAIN", 2.0)
    with pytest.raises(ValueError, match=r"was trained with .*'plain': 4\.0.*the code has .*'plain': 2\.0"):
        shipped.reader_of("worldsim/DoomRooms-v0")
    monkeypatch.setattr(things, "MIDDLE", 0)
    with pytest.raises(ValueError, match="train it again"):
        shipped.detector_of("worldsim/DoomRooms-v0")


@pytest.mark.slow
def test_the_shipped_nets_read_true_frames_of_validation_maps() -> None:
    recipe = RECIPES["DoomRooms"]
    play = record(recipe.world, "val", 3, recipe.steps, recipe.commands, recipe.palette, recipe.kinds, seed=5)
    reader, detector = shipped.reader_of(recipe.world), shipped.detector_of(recipe.world)
    assert reader is not None and detector is not None
    read = accuracy.of_reader(reader, play, "true")
    assert read["accuracy"]["value"] > 0.85
    assert read["coverage"]["value"] > 0.35
    found = accuracy.of_detector(detector, play, lambda blocks: blocks, "true")
    assert found["precision"]["value"] > 0.85
    assert found["false_alarms"]["value"] < 0.02
    assert found["coverage_absent"]["value"] > 0.6
    assert found["coverage_in_view"]["value"] > 0.05


def test_nets_are_trained_and_scored_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A net that tells two turns of the toy world apart, from few maps: written to a folder of one's own, and read."""
    recipe = Recipe(
        "toy/Panorama-v0", {"turn_left": "turn_left", "turn_right": "turn_right"}, Motion(pairs=((5, 7),)), maps=16,
        val_maps=6, steps=6, batches=60, hidden=8,
    )  # fmt: skip
    monkeypatch.setitem(RECIPES, "Panorama", recipe)
    monkeypatch.chdir(tmp_path)
    kinds: tuple[bench_nets.Kind, ...] = ("actions", "things")
    assert bench_nets.train(bench_nets.Train(("Panorama",), kinds, recordings=tmp_path / "play")) == 0
    assert sorted(p.name for p in (tmp_path / "runs/nets").iterdir()) == [
        "Panorama-actions.safetensors",
        "manifest.json",
    ]
    asked = {"weights": tmp_path / "runs/nets", "env": "", "maps": 2, "recordings": tmp_path / "play"}
    for seed in (0, 1):
        out = tmp_path / f"{seed}.json"
        assert bench_nets.score(bench_nets.Score(("Panorama",), kinds, seed=seed, out=out, **asked)) == 0
        rows = json.loads(out.read_text())["Panorama"]
        assert [row["look"] for row in rows["actions"]] == ["true", "blurred"]
        assert rows["actions"][0]["accuracy"]["value"] > 0.9
        assert f"Panorama, 2 test maps of seed {seed}" in capsys.readouterr().out
    kept = [Corpus.load(tmp_path / f"play/Panorama-test-2x6-{seed}.npz").map_seeds for seed in (0, 1)]
    assert not set(kept[0]) & set(kept[1])


def test_worlds_are_told_apart_by_a_net_that_is_trained_and_scored_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("vizdoom")
    monkeypatch.setattr(offers, "TITLES", {"worldsim/DoomBasic-v0": "", "worldsim/DoomTakeCover-v0": ""})
    for name, value in (("MAPS", (8, 3)), ("BATCHES", 40)):
        monkeypatch.setattr(worlds, name, value)
    assert bench_nets.score(bench_nets.Score(kinds=("worlds",), weights=tmp_path)) == 0
    assert "has no net that tells worlds apart" in capsys.readouterr().out
    assert bench_nets.train(bench_nets.Train(kinds=("worlds",), out=tmp_path)) == 0
    (entry,) = json.loads((tmp_path / "manifest.json").read_text())["nets"]
    assert entry["worlds"] == ["worldsim/DoomBasic-v0", "worldsim/DoomTakeCover-v0"]
    assert set(entry["rated"]) == set(entry["worlds"])
    assert entry["trained"]["maps"] == dict.fromkeys(entry["worlds"], 8)
    out = tmp_path / "found.json"
    assert bench_nets.score(bench_nets.Score(kinds=("worlds",), weights=tmp_path, env="", maps=3, out=out)) == 0
    for looks in json.loads(out.read_text())["worlds"].values():
        assert looks["true"] == [3 * worlds.MOMENTS] * 2
        assert list(looks) == ["true", "blurred"]
    assert "all: read right true 36 of 36" in " ".join(capsys.readouterr().out.split())


def test_a_net_of_worlds_reads_among_those_that_are_asked() -> None:
    scores = np.array([0.0, 3.0, 2.0], np.float32)
    net = Net((Dense(np.zeros((3, 3 * worlds.SIDE**2), np.float32), scores, True),))
    found = worlds.WorldNet(net, ("a", "b", "c"), {})
    picture = np.zeros((64, 48, 3), np.uint8)
    assert found.among(("a", "b", "c"))(picture) == "b"
    assert found.among(("c", "a"))(picture) == "c"
    halved = worlds.rate(found.among(found.worlds), "b", [picture, picture], lambda blocks: blocks // 2)
    assert halved == {"true": [2, 2], "blurred": [2, 2], "codec": [2, 2]}
    with pytest.raises(ValueError, match="told apart from two on, got a"):
        worlds.train({"a": [picture]}, {"a": [picture]})


def test_the_shipped_net_tells_true_worlds_apart() -> None:
    pytest.importorskip("vizdoom")
    net = shipped.world_net()
    assert net is not None
    read = net.among(net.worlds)
    for world in ("worldsim/DoomHealthGathering-v0", "worldsim/DoomTakeCover-v0", "worldsim/Table-v0"):
        right, count = worlds.rate(read, world, worlds.record(world, "val", 4, seed=5))["true"]
        assert count == 4 * worlds.MOMENTS
        assert right >= count - 1


def test_the_shipped_nets_are_small_and_of_training_maps() -> None:
    entries = json.loads((shipped.WEIGHTS / shipped.MANIFEST).read_text())["nets"]
    assert sum((shipped.WEIGHTS / e["file"]).stat().st_size for e in entries) < 600_000
    for entry in entries:
        held_out = "rated_on" if entry["kind"] == shipped.WORLDS else "thresholds_from"
        assert entry["trained"]["split"] == "train"
        assert entry["trained"][held_out]["split"] == "val"
        if entry["kind"] == shipped.WORLDS:
            net = shipped.world_net()
            assert net is not None
            assert net.worlds == tuple(offers.TITLES)
            continue
        load = shipped.reader_of if entry["kind"] == shipped.ACTIONS else shipped.detector_of
        assert load(entry["world"]) is not None
    assert {(e["world"], e["kind"]) for e in entries} >= {
        ("worldsim/DoomRooms-v0", "actions"), ("worldsim/DoomRooms-v0", "things"), ("all", "worlds"),
    }  # fmt: skip
