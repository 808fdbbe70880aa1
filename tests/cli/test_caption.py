"""``worldsim caption``: what it prints, writes and refuses. The captioner is a fresh one: what it says is checked
elsewhere."""

import numpy as np
import pytest
from painted import paint_episode, without_facts

from worldsim.captioning.captioner import Captioner, CaptionerConfig, Thresholds
from worldsim.captions.slots import Slots
from worldsim.captions.statements import Score, statements
from worldsim.cli.main import main
from worldsim.model.factnet import FactNetConfig
from worldsim.recording.facts_json import read_facts
from worldsim.recording.glimpses import read_glimpses
from worldsim.recording.reader import Recording
from worldsim.recording.writer import RecordingWriter
from worldsim.video import write_mp4

TINY = FactNetConfig(fine_width=8, coarse_width=16, fine_depth=1, coarse_depth=1, width=16)
TALKATIVE = Thresholds(**dict.fromkeys(vars(Thresholds()), 0.02))


@pytest.fixture(scope="module")
def captioner(tmp_path_factory):
    facts = [read_facts(line) for world in ("DoomRooms", "Scene") for line in paint_episode(0, world).facts]
    made = Captioner.create(CaptionerConfig(Slots.of(facts), TINY, TALKATIVE))
    return made, made.save_pretrained(tmp_path_factory.mktemp("model") / "captioner")


@pytest.fixture
def folders(tmp_path):
    """A recording with facts and the same one without."""
    episodes = [paint_episode(seed, world, steps=6) for seed, world in enumerate(("DoomRooms", "Scene"))]
    with RecordingWriter(tmp_path / "true") as writer, RecordingWriter(tmp_path / "nameless") as other:
        for episode in episodes:
            writer.write(episode)
            other.write(without_facts(episode))
    return tmp_path / "true", tmp_path / "nameless"


def run(*args) -> int:
    return main(["caption", *map(str, args)])


def test_captions_and_facts_are_shown(folders, captioner, capsys):
    assert run("--clips", folders[1], "--model", captioner[1], "--every", 5, "--episodes", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("episode 1 (Scene): Toy scene: ")
    assert (
        sum(line.strip().startswith("step") for line in lines) == 2 and sum(" facts  {" in line for line in lines) == 2
    )
    assert not any(line.startswith("episode 0") for line in lines)


def test_equal_seeds_give_equal_captions_and_others_other_wordings(folders, captioner, capsys):
    shown = []
    for seed in (1, 1, 2):
        run("--clips", folders[1], "--model", captioner[1], "--every", 1, "--seed", seed)
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2]
    facts = [[line for line in text.splitlines() if " facts " in line] for text in shown]
    assert facts[0] == facts[2]


def test_a_video_is_captioned(tmp_path, captioner, capsys):
    frames = paint_episode(3, "Scene", steps=5).video
    path = write_mp4(tmp_path / "clip.mp4", frames, 20)
    assert run("--clips", path, "--model", captioner[1], "--every", 10, "--world", "worldsim/Scene-v0") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path}: Toy scene")
    assert [line.split()[1] for line in lines if line.strip().startswith("frame")] == ["0", "10", "20"]


def test_f1_is_that_of_every_moment_of_the_recording(folders, captioner, capsys):
    assert run("--clips", folders[0], "--model", captioner[1], "--score") == 0
    lines = capsys.readouterr().out.splitlines()
    recording = Recording.open(folders[0])
    assert lines[0].split()[:5] == ["world", "moments", "F1", "precision", "recall"]
    for number, line in enumerate(lines[1:]):
        frames, facts = read_glimpses(recording, number, range(7))
        said = captioner[0].facts(frames)
        pairs = [(statements(*a), statements(*read_facts(b))) for a, b in zip(said, facts)]
        score = sum((Score.of(*pair) for pair in pairs), Score())
        figures = [f"{100 * x:.1f}" for x in (score.f1, score.precision, score.recall)]
        assert line.split()[:5] == [recording.entries[number].world, "7", *figures]


def test_episodes_without_captions_get_them_once(folders, captioner, capsys):
    made, model = captioner
    assert run("--clips", folders[1], "--model", model, "--write", "--episodes", 0) == 0
    assert capsys.readouterr().out.strip() == f"captioned 1 of 1 episodes by {made.digest}"
    assert run("--clips", folders[1], "--model", model, "--write") == 0
    assert "captioned 1 of 1 episodes by" in (out := capsys.readouterr().out) and "1 had been captioned by it" in out
    recording = Recording.open(folders[1], verify=True)
    assert [entry.captioned_by for entry in recording.entries] == [made.digest] * 2
    before = Recording.open(folders[0]).episode(0)
    after = recording.episode(0)
    assert np.array_equal(after.video, before.video) and after.scene and all(after.views) and not after.events[0]
    assert read_facts(after.facts[3])[0].world == "DoomRooms"
    assert run("--clips", folders[1], "--model", model, "--score") == 2  # its own captions are no truth
    assert "holds no facts of the worlds themselves" in capsys.readouterr().err


def test_captions_of_truth_are_replaced_only_when_asked(folders, captioner, capsys):
    texts = Recording.open(folders[0]).episode(0).facts
    assert run("--clips", folders[0], "--model", captioner[1], "--write") == 2
    assert "all 2 episodes have captions of the world itself" in capsys.readouterr().err
    assert Recording.open(folders[0]).episode(0).facts == texts
    assert run("--clips", folders[0], "--model", captioner[1], "--write", "--replace-truth") == 0
    assert Recording.open(folders[0], verify=True).episode(0).facts != texts


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--clips", "nowhere"), "nowhere"),
        (("--clips", "nowhere.mp4"), "nowhere.mp4 is no file"),
        (("--clips", "FOLDER", "--model", "nowhere"), "no captioner in nowhere"),
        (("--clips", "FOLDER", "--style", "poetic"), "'poetic' is unknown; accepted are short, medium, descriptive"),
        (("--clips", "FOLDER", "--every", "0"), "--every 0 must be at least 1"),
        (("--clips", "FOLDER", "--episodes", "2"), "there is no episode 2: FOLDER holds 2"),
        (("--clips", "FOLDER", "--world", "Scene"), "--world is for a video"),
        (("--clips", "FOLDER", "--replace-truth"), "--replace-truth is for --write"),
        (("--clips", "FOLDER", "--score", "--write"), "give one of them"),
        (("--clips", "clip.mp4", "--write"), "are for recordings, not for a video"),
        (("--clips", "clip.mp4", "--world", "Narnia"), "unknown world 'Narnia'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folders, captioner, capsys, args, message):
    args = [str(folders[0]) if arg == "FOLDER" else arg for arg in args]
    model = [] if "--model" in args else ["--model", captioner[1]]
    assert run(*args, *model) == 2
    error = capsys.readouterr().err
    assert message.replace("FOLDER", str(folders[0])) in error and len(error.splitlines()) == 1
