"""Videos and sheets: sizes, order and timing of what is written, and no half-written file."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from worldsim.video import (
    contact_sheet,
    real_frames,
    side_by_side,
    write_animation,
    write_mp4,
    write_picture,
)


def ramp(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    """Frame t is grey of level 20 * t."""
    levels = (np.arange(count) * 20).astype(np.uint8)[:, None, None, None]
    return np.broadcast_to(levels, (count, height, width, 3)).copy()


def test_mp4_keeps_order_rate_and_even_size(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "new" / "a.mp4", ramp(10, 15, 21), fps=35, short_side=45)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate or 0) == 35
    assert [f.shape for f in frames] == [(46, 64, 3)] * 10
    assert [f.mean() for f in frames] == pytest.approx(np.arange(10) * 20, abs=3)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.apng", "a.webp"])
def test_animations_keep_order_and_time(tmp_path: Path, name: str) -> None:
    path = write_animation(tmp_path / name, ramp(10), fps=35, short_side=64)
    with Image.open(path) as animation:
        seconds = 0.0
        means = []
        for frame in ImageSequence.Iterator(animation):
            means.append(np.asarray(frame.convert("RGB")).mean())
            seconds += frame.info["duration"] / 1000
        assert animation.size == (64, 64) and animation.info.get("loop") == 0
    assert means == pytest.approx(np.arange(10) * 20, abs=3)
    assert seconds == pytest.approx(10 / 35, abs=0.006)


def test_enlarging_shows_whole_pixels(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), np.uint8)
    sheet = contact_sheet(frames, cell=8)
    assert np.array_equal(sheet[6:14:2, 6:14:2], frames[0]) and np.array_equal(sheet[7:14:2, 7:14:2], frames[0])
    path = write_picture(tmp_path / "sheet.png", sheet)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), sheet)


def test_a_sheet_is_read_row_by_row() -> None:
    plain = contact_sheet(ramp(5), columns=3, cell=32)
    assert plain.shape == (6 + 2 * 38, 6 + 3 * 38, 3)
    for t in range(5):
        y, x = 6 + t // 3 * 38, 6 + t % 3 * 38
        assert (plain[y : y + 32, x : x + 32] == 20 * t).all()
    labelled = contact_sheet(ramp(5), ["a label too long for its place " * 3] * 5, "a title", columns=3, cell=32)
    assert labelled.shape[0] > plain.shape[0] and labelled.shape[1] == plain.shape[1]
    assert labelled[:30].max() > 200, "the title is drawn"
    assert (labelled[30 + 32 : 30 + 50, 6 + 32 : 6 + 38] == labelled[0, 0]).all(), "a label stays in its column"


def test_side_by_side_holds_the_last_frame_of_the_shorter_darkened() -> None:
    both = side_by_side({"dream": ramp(6), "true": ramp(3) + 50}, short_side=32)
    assert both.shape == (6, 24 + 32, 32 + 6 + 32, 3)
    assert [both[t, 40, 40, 0] for t in range(6)] == [50, 70, 90, 45, 45, 45]
    assert [both[t, 40, 10, 0] for t in range(6)] == [0, 20, 40, 60, 80, 100]


def test_real_frames_leave_out_padding() -> None:
    blocks = ramp(8).reshape(2, 4, 32, 32, 3)
    infos = [
        {"frames": ramp(1), "n_frames": 1},
        {"frames": blocks[0], "n_frames": 4},
        {"frames": blocks[1], "n_frames": 2},
    ]
    assert real_frames(infos)[:, 0, 0, 0].tolist() == [0, 0, 20, 40, 60, 80, 100]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda p: write_mp4(p / "a.avi", ramp(2), 35), "written as .mp4"),
        (lambda p: write_mp4(p / "a.mp4", ramp(2).astype(float), 35), "got float64"),
        (lambda p: write_mp4(p / "a.mp4", ramp(2)[0], 35), r"\(32, 32, 3\)"),
        (lambda p: write_mp4(p / "a.mp4", ramp(0), 35), "T > 0"),
        (lambda p: write_animation(p / "a.mp4", ramp(2), 35), ".gif"),
        (lambda p: write_animation(p / "a.gif", ramp(2), 100), "at most 50"),
        (lambda p: contact_sheet(ramp(2), ["one"]), "1 labels .* 2 frames"),
        (lambda p: side_by_side({}), "no video"),
        (lambda p: side_by_side({"a": ramp(2), "b": ramp(2, 16, 16)}), "one frame size"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path: Path, call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call(tmp_path)  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mp4(tmp_path / "a.mp4", ramp(4), fps=35)
    before = path.read_bytes()

    def broken(*args: object, **kwargs: object) -> object:
        raise OSError("disk full")

    monkeypatch.setattr(av.VideoFrame, "from_ndarray", broken)
    with pytest.raises(OSError, match="disk full"):
        write_mp4(path, ramp(8), fps=35)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
