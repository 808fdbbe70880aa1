"""``worldsim train codec | world | all``: from episodes to weights, with presets ``smoke``, ``cpu`` and ``gpu``.

``codec`` trains the video compression network, ``world`` the transformer on latents of a trained codec, ``all`` both in
one command while the worlds play beside them, and exports a model folder.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from worldsim.training.presets import CodecTrainConfig, PRESETS, WorldTrainConfig, preset
from worldsim.training.sources import SourceConfig, held_out_episodes, training_episodes


@dataclass(frozen=True)
class TrainCodec:
    """Train the codec."""

    out: Path
    train: CodecTrainConfig
    source: SourceConfig = field(default_factory=SourceConfig)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="worldsim train", add_help=False)
    parser.add_argument("what", choices=["codec", "world", "all"])
    parser.add_argument("--preset", choices=list(PRESETS), default="cpu")
    known, rest = parser.parse_known_args(argv)
    chosen = preset(known.preset)
    if known.what == "codec":
        args = tyro.cli(
            TrainCodec, default=TrainCodec(tyro.MISSING, chosen.codec), args=rest, prog="worldsim train codec"
        )
        _codec(args)
    return 0


def _codec(args: TrainCodec) -> None:
    from worldsim.training.codec import CodecTraining

    training = CodecTraining(
        args.train, args.out, training_episodes(args.source), held_out_episodes(args.source)
    )
    training.loop.resume()
    training.run()
    training.feeder.close()
