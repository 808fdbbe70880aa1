"""Model folders: what is saved loads back equal, and whatever is wrong with one is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from worldsim.model import files, packaged, weights
from worldsim.model.debug import debug_simulator
from worldsim.model.files import WeightsError
from worldsim.model.weights import WorldSimulator


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return debug_simulator()


@pytest.fixture
def folder(simulator: WorldSimulator, tmp_path: Path) -> Path:
    return simulator.save_pretrained(tmp_path / "model")


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def tensors(simulator: WorldSimulator) -> dict[str, torch.Tensor]:
    parts = {"codec": simulator.codec, "world": simulator.world}
    return {f"{p}.{n}": t for p, module in parts.items() for n, t in module.state_dict().items()}


def test_saved_and_loaded_are_equal(simulator: WorldSimulator, folder: Path) -> None:
    loaded = WorldSimulator.from_pretrained(folder)
    assert loaded.config == simulator.config
    assert loaded.digest == simulator.digest and len(loaded.digest) == 12
    old, new = tensors(simulator), tensors(loaded)
    assert old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)
    assert simulator.bank is not None and loaded.bank is not None
    assert loaded.bank.facts == simulator.bank.facts
    assert (loaded.bank.frames["DoomBasic"] == simulator.bank.frames["DoomBasic"]).all()
    assert simulator.digest in (folder / "README.md").read_text()


def test_a_player_is_saved_and_loaded_and_changes_nothing_else(simulator: WorldSimulator, tmp_path: Path) -> None:
    playing = debug_simulator(player=True)
    folder = playing.save_pretrained(tmp_path / "playing")
    loaded = WorldSimulator.from_pretrained(folder)
    assert playing.player is not None and loaded.player is not None and loaded.config == playing.config
    held = playing.player.state_dict()
    assert held and all(torch.equal(loaded.player.state_dict()[name], held[name]) for name in held)
    assert playing.digest == loaded.digest == simulator.digest  # the same world, whoever plays it
    without = loaded.with_player(None)
    assert without.config == simulator.config and without.bank is loaded.bank
    without.save_pretrained(folder)
    assert not (folder / "player.safetensors").exists()
    assert WorldSimulator.from_pretrained(folder).player is None


def test_a_referee_is_saved_and_loaded_and_makes_another_model(simulator: WorldSimulator, tmp_path: Path) -> None:
    judging = debug_simulator(referee=True)
    loaded = WorldSimulator.from_pretrained(judging.save_pretrained(tmp_path / "judging"))
    assert judging.referee is not None and loaded.referee is not None and loaded.config == judging.config
    held = judging.referee.state_dict()
    assert held and all(torch.equal(loaded.referee.state_dict()[name], held[name]) for name in held)
    assert judging.digest == loaded.digest != simulator.digest  # it says what pays
    assert loaded.with_player(None).referee is loaded.referee
    assert loaded.with_referee(None).digest == simulator.digest
    edit(tmp_path / "judging", referee=None)
    with pytest.raises(WeightsError, match=r"weights of a referee, and config\.json says that there is none"):
        WorldSimulator.from_pretrained(tmp_path / "judging")


def test_a_player_and_its_sizes_belong_together(tmp_path: Path) -> None:
    playing = debug_simulator(player=True)
    with pytest.raises(ValueError, match="player=None"):
        WorldSimulator(replace(playing.config, player=None), playing.codec, playing.world, player=playing.player)
    folder = playing.save_pretrained(tmp_path / "playing")
    edit(folder, player=None)
    with pytest.raises(WeightsError, match=r"weights of a player, and config\.json says that there is none"):
        WorldSimulator.from_pretrained(folder)
    edit(folder, player={"width": 16, "past": 4})
    with pytest.raises(WeightsError, match=r"player: past.weight has shape \(16, 105\), expected \(16, 140\)"):
        WorldSimulator.from_pretrained(folder)
    edit(folder, player={"width": 0, "past": 3})
    with pytest.raises(WeightsError, match="width=0 and past=3"):
        WorldSimulator.from_pretrained(folder)


def test_parts_that_do_not_fit_are_refused() -> None:
    config = debug_simulator().config
    with pytest.raises(ValueError, match="cells of 4 pixels"):
        replace(config, world=replace(config.world, pixel_stride=8))
    with pytest.raises(ValueError, match="multiples of 8 pixels"):
        replace(config, world=replace(config.world, patch=3))
    with pytest.raises(ValueError, match="temperature=2"):
        replace(config, temperature=2.0)


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_half_precision_keeps_the_digest_and_the_statistics(storage: str, tmp_path: Path) -> None:
    made = debug_simulator()
    simulator = WorldSimulator(replace(made.config, storage=storage), made.codec, made.world)
    simulator.codec.latent_mean.fill_(1.0001)
    loaded = WorldSimulator.from_pretrained(simulator.save_pretrained(tmp_path / "half"))
    assert loaded.digest == simulator.digest != made.digest
    assert torch.equal(loaded.codec.latent_mean, simulator.codec.latent_mean)
    assert loaded.bank is None


def test_the_digest_follows_every_weight_and_setting(simulator: WorldSimulator) -> None:
    other = debug_simulator()
    assert other.digest == simulator.digest
    changed = debug_simulator()
    with torch.no_grad():
        changed.world.heads.done.bias.add_(1e-3)
    renamed = WorldSimulator(replace(other.config, context_noise=0.2), other.codec, other.world)
    assert len({simulator.digest, changed.digest, renamed.digest}) == 3


def test_large_weights_are_cut_into_files_of_bounded_size(
    simulator: WorldSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SHARD_BYTES", 2**18 + 2**16)
    folder = simulator.save_pretrained(tmp_path / "sharded")
    shards = sorted(folder.glob("world-*.safetensors"))
    assert len(shards) > 2 and max(path.stat().st_size for path in shards) <= files.SHARD_BYTES
    assert shards[0].name == f"world-00001-of-{len(shards):05}.safetensors"
    assert WorldSimulator.from_pretrained(folder).digest == simulator.digest


def test_saving_replaces_a_model_and_nothing_else(simulator: WorldSimulator, folder: Path) -> None:
    (folder / "left over.txt").write_text("from before")
    simulator.save_pretrained(folder, card="# New card\n")
    assert (folder / "README.md").read_text() == "# New card\n"
    assert not (folder / "left over.txt").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    other = folder.parent / "photos"
    other.mkdir()
    (other / "cat.jpg").write_text("cat")
    with pytest.raises(ValueError, match="holds no model"):
        simulator.save_pretrained(other)


def test_an_interrupted_save_leaves_the_old_model(
    simulator: WorldSimulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(weights, "save_tensors", full)
    with pytest.raises(OSError, match="no space left"):
        simulator.save_pretrained(folder)
    assert WorldSimulator.from_pretrained(folder).digest == simulator.digest
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    broken = debug_simulator()
    with torch.no_grad():
        broken.world.heads.done.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"world\.heads\.done\.bias holds values that are not finite"):
        broken.save_pretrained(tmp_path / "broken")
    assert not list(tmp_path.iterdir())


def test_truncated_and_altered_files_are_refused(folder: Path) -> None:
    path = folder / "world.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(WeightsError, match=rf"world.safetensors has {len(data) - 100} bytes"):
        WorldSimulator.from_pretrained(folder)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(WeightsError, match="SHA-256"):
        WorldSimulator.from_pretrained(folder)
    path.unlink()
    with pytest.raises(WeightsError, match="is missing"):
        WorldSimulator.from_pretrained(folder)


def relisted(folder: Path, change: dict[str, torch.Tensor], drop: str = "") -> None:
    """Rewrites the world's tensors and lists the new file, as somebody would who converts weights."""
    import hashlib

    path = folder / "world.safetensors"
    held = load_file(path) | change
    save_file({name: tensor for name, tensor in held.items() if name != drop}, path)
    data = path.read_bytes()
    files = json.loads((folder / "config.json").read_text())["files"]
    files[path.name] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit(folder, files=files)


def test_missing_unexpected_and_misshapen_tensors_are_refused(folder: Path) -> None:
    relisted(folder, {"stranger": torch.zeros(2)}, drop="registers")
    with pytest.raises(WeightsError, match=r"1 missing tensors \['registers'\], 1 unexpected ones \['stranger'\]"):
        WorldSimulator.from_pretrained(folder)
    relisted(folder, {"registers": torch.zeros(3, 3)}, drop="stranger")
    with pytest.raises(WeightsError, match=r"registers has shape \(3, 3\), expected \(2, 32\)"):
        WorldSimulator.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 11}, "format version 11.*Update worldsim"),
        ({"format_version": 1}, "format version 1, whose codec had cells of 8 pixels.*Train the model again"),
        ({"format_version": "1"}, "no model folder of this project"),
        ({"kind": "worldsim.unet"}, "kind is 'worldsim.unet'"),
        ({"turbo": True}, r"unknown keys \['turbo'\]"),
        ({"context_noise": "a lot"}, "context_noise must be float"),
        ({"context_noise": True}, "context_noise must be float"),
        ({"latent_low": 3}, "latent_low must be a list"),
        ({"latent_low": [1.0]}, "one value per latent channel"),
        ({"storage": "int8"}, "accepted are float16"),
        ({"codec": {"block_frames": 4}}, "missing keys"),
        ({"codec": 4}, "expected an object"),
        ({"files": [1]}, "lists no files"),
        ({"files": {"../world.safetensors": {"part": "world", "bytes": 1, "sha256": ""}}}, "not an entry"),
        ({"files": {"/etc/passwd": {"part": "world", "bytes": 1, "sha256": ""}}}, "not an entry"),
        ({"files": {"world.pkl": {"part": "world", "bytes": 1, "sha256": ""}}}, "not an entry"),
        ({"files": {"world.safetensors": {"part": "soul", "bytes": 1, "sha256": ""}}}, "part 'soul'"),
    ],
)
def test_wrong_configurations_are_refused(folder: Path, change: dict[str, object], message: str) -> None:
    edit(folder, **change)
    with pytest.raises(WeightsError, match=message):
        WorldSimulator.from_pretrained(folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "world.safetensors"
    path.rename(tmp_path / "elsewhere.safetensors")
    path.symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(WeightsError, match="link out of the model folder"):
        WorldSimulator.from_pretrained(folder)


def test_a_config_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="is not JSON"):
        WorldSimulator.from_pretrained(folder)


def test_a_model_that_is_not_there_is_named_with_those_that_are(
    simulator: WorldSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "PACKAGED", tmp_path)
    simulator.save_pretrained(tmp_path / "tiny")
    assert packaged.list_models() == ["tiny"]
    assert WorldSimulator.from_pretrained("tiny").digest == simulator.digest
    for name in ("large", "../tiny/../large", "/nowhere"):
        with pytest.raises(FileNotFoundError, match=r"neither a packaged model \(tiny\) nor a folder"):
            WorldSimulator.from_pretrained(name)


def test_the_packaged_model_of_a_world_is_the_default_one_if_it_can(
    simulator: WorldSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "PACKAGED", tmp_path)
    assert packaged.packaged_model("Table") == "worlds" and packaged.simulated_worlds() == ()
    for name, worlds in {"all": ("DoomBasic", "Table"), "worlds": ("DoomBasic",)}.items():
        simulator.save_pretrained(tmp_path / name)
        content = json.loads((tmp_path / name / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps(content | {"worlds": worlds}))
    asked = ((), ("DoomBasic",), ("Table",), ("DoomBasic", "Table"))
    assert [packaged.packaged_model(*worlds) for worlds in asked] == ["worlds", "worlds", "all", "all"]
    assert packaged.simulated_worlds() == ("DoomBasic", "Table")
    with pytest.raises(
        ValueError, match=r"Crafter-v0': no model .* \(worlds simulates DoomBasic; all simulates DoomBasic, T"
    ):
        packaged.packaged_model("Crafter")


def test_loading_leaves_the_global_random_state_alone(folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    WorldSimulator.from_pretrained(folder)
    assert torch.equal(torch.rand(2), expected)


def test_cast_modules_are_shared_and_keep_float32_buffers(simulator: WorldSimulator) -> None:
    codec, world = simulator.modules(torch.device("cpu"), torch.bfloat16)
    assert simulator.modules(torch.device("cpu"), torch.bfloat16)[1] is world
    assert {p.dtype for p in world.parameters()} == {torch.bfloat16}
    assert {b.dtype for b in [*world.buffers(), *codec.buffers()]} == {torch.float32}
    assert {p.dtype for p in simulator.world.parameters()} == {torch.float32}


def test_the_worlds_of_a_model_are_read_from_its_configuration_alone(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    content["worlds"] = ["DoomBasic", "A world of a later version", "Table"]
    (folder / "config.json").write_text(json.dumps(content))
    assert packaged.simulated_worlds(folder) == ("DoomBasic", "Table")
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="not JSON"):
        packaged.simulated_worlds(folder)


NEW = {
    2: ("memory", "decoder_coarse_depth", "panorama", "geometry", "pictured"),
    3: ("panorama", "geometry", "pictured"),
    4: ("geometry", "pictured"),
    5: ("pictured",),
    6: (),
    7: (),
    8: (),
    9: (),
}


@pytest.mark.parametrize("version", NEW)
def test_a_folder_of_an_older_version_is_read_as_without_what_is_new(version: int, tmp_path: Path) -> None:
    made = debug_simulator(memory=version > 2)
    older = replace(made.config.codec, panorama=version > 3, geometry=version > 4, pictured=version > 5)
    before = replace(made.config.world, stays=version > 7, refiner=None)
    old = WorldSimulator.create(replace(made.config, codec=older, world=before))
    folder = old.save_pretrained(tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    codec = {name: value for name, value in config["codec"].items() if name not in NEW[version]}
    later = ({"refiner"} if version < 9 else set()) | ({"stays"} if version < 8 else set())
    world = {name: value for name, value in config["world"].items() if name not in later}
    new = ("cache_mode", "referee", "player")[: 1 + (version < 7) + (version < 6)]
    content = {name: value for name, value in config.items() if name not in new}
    content |= {"format_version": version, "codec": codec, "world": world}
    (folder / "config.json").write_text(json.dumps(content))
    simulator = WorldSimulator.from_pretrained(folder)
    assert simulator.digest == old.digest and simulator.config.codec.geometry == (version > 4)
    assert simulator.config.codec.pictured == (version > 5)
    assert simulator.config.world.stays == (version > 7) and simulator.config.world.refiner is None
    assert simulator.player is None and simulator.referee is None and simulator.config.cache_mode == "renoise"
    assert (simulator.codec.memory is None) == (version == 2) and simulator.config.codec.panorama == (version > 3)
    assert simulator.config.codec.decoder_coarse_depth == simulator.config.codec.coarse_depth
    assert simulator.digest == old.digest


def test_pages_name_the_digest_of_the_shipped_model() -> None:
    model = "worlds"
    digest = WorldSimulator.from_pretrained(model).digest
    for page in (f"worldsim/weights/{model}/README.md", "README.md", "CHANGELOG.md"):
        assert digest in (Path(__file__).parents[2] / page).read_text(), page
