"""HuBERT of our own: the numbers of transformers, RVC's frames, every kind of file, and refusals in one line."""

import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from tests.tools.hubert_tools import LARGE_KIND, fairseq_names, tiny_config, tiny_weights, write_hubert
from utils.config.preprocess import preprocess_job
from utils.errors import WorkbenchError
from utils.features.content.hubert import HubertContent, open_content
from utils.features.content.hubert_files import DIRECTIONS, LENGTHS, POSITIONS
from utils.features.content.hubert_network import HubertSizes, part_indices

KINDS: dict[str, dict[str, Any]] = {"base": {}, "large": LARGE_KIND}
# sum and sum of magnitudes of transformers 4.57.6's hidden_states[layer] for `noise(2, 16000)`
RECORDED = {
    ("base", 1): (422.06323754, 1523.44641071), ("base", 2): (172.98103119, 1767.64570589),
    ("base", 3): (-609.58815094, 1400.54347616), ("large", 1): (4198.47991848, 7007.33802795),
    ("large", 2): (5726.76577449, 11106.39302278), ("large", 3): (659.79144193, 2051.69062556),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("hubert")
    return {kind: write_hubert(root / kind, **changes) for kind, changes in KINDS.items()}


@pytest.fixture(scope="module")
def folder(folders: dict[str, Path]) -> Path:
    return folders["base"]


def encoder(path: Path, layer: int = 2, **more: Any) -> HubertContent:
    opened = open_content(path=str(path), layer=layer, name="contentvec", **more)
    assert isinstance(opened, HubertContent)
    return opened


def refusal(path: Path | str | None, **more: Any) -> str:
    with pytest.raises(WorkbenchError) as caught:
        open_content(**{"path": str(path) if path else None, "layer": 2, "name": "contentvec", **more})
    message = str(caught.value)
    assert "\n" not in message
    return message


def noise(batch: int, samples: int) -> Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("kind", "layer"), RECORDED)
def test_hidden_frames_have_the_recorded_sums_of_transformers(folders: dict[str, Path], kind: str, layer: int) -> None:
    hidden = encoder(folders[kind], layer).network(noise(2, 16000)).double()

    assert hidden.shape == (2, 49, 16)
    total, magnitude = RECORDED[kind, layer]
    assert float(hidden.sum()) == pytest.approx(total, abs=1e-5 * magnitude)
    assert float(hidden.abs().sum()) == pytest.approx(magnitude, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_hidden_frames_equal_those_of_transformers(folders: dict[str, Path], kind: str) -> None:
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed; the recorded sums are tested above")
    from transformers import HubertModel

    reference = HubertModel.from_pretrained(str(folders[kind])).eval()
    audio = noise(2, 7919)

    with torch.no_grad():
        states = reference(audio, output_hidden_states=True).hidden_states
    for layer in (1, 2, 3):
        ours = encoder(folders[kind], layer).network(audio)
        assert float((ours - states[layer]).norm() / states[layer].norm()) < 1e-5


def mirrored(audio: Tensor) -> Tensor:
    return torch.cat([audio[:, 1:41].flip(1), audio, audio[:, -41:-1].flip(1)], dim=1)


@pytest.mark.parametrize("frames", [2, 3, 4, 10, 11, 100, 101])
def test_each_frame_of_the_network_stands_for_the_two_on_which_it_is_centred(folder: Path, frames: int) -> None:
    hubert, audio = encoder(folder), noise(2, frames * 160)

    features, hidden = hubert(audio), hubert.network(mirrored(audio))

    assert features.shape == (2, frames, 16)
    assert hidden.shape[1] == frames // 2
    twice = torch.cat([hidden.repeat_interleave(2, dim=1), hidden[:, -1:]], dim=1)[:, :frames]
    assert_close(features, twice, atol=1e-6, rtol=0)


def test_there_are_as_many_frames_as_in_the_reference_features(folder: Path) -> None:
    hubert = encoder(folder, layer=1)

    # ultimate-rvc 0.6.0: reference.wav has 557760 samples, its features 1743 frames, its pitch 3487 (one to spare)
    assert hubert.network(mirrored(noise(1, 557760))).shape == (1, 1743, 16)
    assert hubert(noise(1, 557760)).shape == (1, 3486, 16)


def test_audio_shorter_than_a_frame_of_the_network_is_filled_with_silence(folder: Path) -> None:
    hubert, audio = encoder(folder), noise(1, 160)

    features = hubert(audio)

    assert_close(features, hubert.network(torch.nn.functional.pad(mirrored(audio), (0, 160))), atol=1e-6, rtol=0)
    assert hubert.encode(np.zeros(0, np.float32)).shape == (0, 16)


def test_silence_and_rows_of_a_batch(folder: Path) -> None:
    hubert = encoder(folder)
    audio = torch.cat([torch.zeros(1, 3200), noise(1, 3200)])

    features = hubert(audio)

    assert torch.isfinite(features).all()
    assert_close(features[1:], hubert(audio[1:]), atol=1e-5, rtol=0)


def test_normalised_audio_gives_the_same_features_at_any_level_and_offset(folder: Path) -> None:
    plain, level = encoder(folder), encoder(folder, is_normalized=True)
    audio = noise(1, 4800)
    standard = (audio - audio.mean()) / audio.std(correction=0)

    assert_close(level(audio), plain(standard), atol=1e-3, rtol=0)
    assert_close(level(3 * audio + 0.2), level(audio), atol=1e-3, rtol=0)
    assert level.identity != plain.identity


def test_the_projection_of_v1_is_the_linear_map_in_the_file(folder: Path, tmp_path: Path) -> None:
    projected = encoder(folder, layer=1, is_projected=True)
    audio, weights = noise(1, 3200), load_file(str(folder / "model.safetensors"))

    expected = encoder(folder, layer=1)(audio) @ weights["final_proj.weight"].T + weights["final_proj.bias"]

    assert projected.dim == 4
    assert_close(projected(audio), expected, atol=1e-5, rtol=0)
    bare = write_hubert(tmp_path / "bare", projection_dim=None)
    assert "needs final_proj" in refusal(bare, is_projected=True)


def test_every_form_of_the_same_weights_is_the_same_encoder(folder: Path, tmp_path: Path) -> None:
    weights = load_file(str(folder / "model.safetensors"))
    old = {name: value for name, value in weights.items() if "parametrizations" not in name}
    for ours, theirs in zip((DIRECTIONS[0], LENGTHS[0]), ("weight_v", "weight_g"), strict=True):
        old[POSITIONS + theirs] = weights[POSITIONS + ours]
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((folder / "config.json").read_text())
    torch.save(
        {f"hubert.{name}": value for name, value in old.items()} | {"lm_head": torch.zeros(1)},
        pickled / "pytorch_model.bin",
    )

    forms = [folder, folder / "model.safetensors", pickled, pickled / "pytorch_model.bin"]

    identities = [encoder(form).identity for form in forms]
    assert all(identity == identities[0] for identity in identities)
    assert identities[0] == {
        "id": "contentvec", "version": "2", "layer": 2, "weights_sha256": identities[0]["weights_sha256"], "dim": 16
    }  # fmt: skip
    assert encoder(folder, layer=3).identity != identities[0]


class Dictionary:
    """Stands for fairseq's class of this name."""

    def __init__(self) -> None:
        self.symbols = ["<s>"]


@pytest.fixture
def fairseq(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pickle find the class under fairseq's name while a file is written."""
    names = ("fairseq", "fairseq.data", "fairseq.data.dictionary")
    modules = [types.ModuleType(name) for name in names]
    for name, module in zip(names, modules, strict=True):
        monkeypatch.setitem(sys.modules, name, module)
    modules[2].Dictionary = Dictionary  # type: ignore[attr-defined]
    monkeypatch.setattr(Dictionary, "__module__", names[2])


def fairseq_file(path: Path, **more: Any) -> tuple[Path, dict[str, Tensor]]:
    config = tiny_config(hidden_size=64, num_attention_heads=1)
    weights = tiny_weights(config)
    content = {"args": None, "cfg": {"task": {"normalize": False}}, "model": fairseq_names(weights), **more}
    torch.save(content, path)
    return path, weights


@pytest.mark.usefixtures("fairseq")
def test_the_file_of_fairseq_is_read_without_its_objects(tmp_path: Path) -> None:
    path, weights = fairseq_file(tmp_path / "hubert_base.pt", task_state={"dictionaries": [Dictionary()]})
    folder = tmp_path / "same"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config(hidden_size=64, num_attention_heads=1)))
    save_file(weights, str(folder / "model.safetensors"))

    assert encoder(path, layer=3).identity == encoder(folder, layer=3).identity
    assert encoder(path, layer=2, is_projected=True).dim == 4


def test_a_file_of_fairseq_that_wants_to_run_code_is_refused(tmp_path: Path) -> None:
    path, _ = fairseq_file(tmp_path / "hubert_base.pt", task_state=Trap())

    message = refusal(path)

    assert "wants to use" in message and "transformers or ONNX form" in message


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("1/0",))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("no folder", "is no transformers folder"),
        ("no config", "needs config.json"),
        ("config is text", "cannot be used"),
        ("other network", "model_type='wav2vec2', not hubert"),
        ("other activation", "a variant of HuBERT that is not known here"),
        ("truncated", "damaged or no safetensors file"),
        ("missing parameter", "is missing"),
        ("other shape", "has shape [24, 16] instead of [23, 16]"),
        ("not finite", "not finite"),
        ("layer", "content.layer=4 is out of range; allowed: 1 to 3"),
        ("other frames", "has frames of 640 samples; 320 are needed"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, damage: str, words: str) -> None:
    strides = [5, 2, 2, 2, 2, 2, 4] if damage == "other frames" else [5, 2, 2, 2, 2, 2, 2]
    folder = write_hubert(tmp_path / "broken", conv_stride=strides)
    file, config = folder / "model.safetensors", json.loads((folder / "config.json").read_text())
    weights, layer = load_file(str(file)), 4 if damage == "layer" else 2
    if damage == "no folder":
        file.unlink()
    elif damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:-200])
    elif damage == "config is text":
        (folder / "config.json").write_text("<html>")
    elif damage == "missing parameter":
        del weights["encoder.layer_norm.bias"]
    elif damage == "not finite":
        weights["encoder.layer_norm.bias"][3] = torch.nan
    changes = {
        "other network": {"model_type": "wav2vec2"}, "other activation": {"hidden_act": "relu"},
        "other shape": {"intermediate_size": 23},
    }  # fmt: skip
    if damage in changes:
        (folder / "config.json").write_text(json.dumps(config | changes[damage]))
    if damage in ("missing parameter", "not finite"):
        save_file(weights, str(file))

    assert words in refusal(folder, layer=layer)


def test_what_is_not_there_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hint = "type content.path=<folder or file>; content.path=hf:<user>/<model> takes one from the hub"
    assert refusal(None).startswith("content.path is not set; contentvec is read from a transformers folder")
    assert hint in refusal(tmp_path / "nowhere")
    assert hint in refusal(tmp_path / "vec-768-layer-12.onnx")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "needs the package huggingface_hub; type: pip install huggingface_hub" in refusal("hf:user/content-vec")


@pytest.mark.parametrize("path", ["models/hubert_base.pt", "user/content-vec", "model"])
def test_a_mistyped_path_does_not_ask_the_hub(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.features.content.hubert.fetch_from_hub", lambda name: pytest.fail("the hub was asked"))

    assert refusal(path).startswith(f"content.path={path} is not a file or folder; contentvec is read from")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "words"),
    [("folder", ""), ("error", "content.path=hf:user/content-vec: the hub did not give it (no route)")],
)
def test_a_hub_id_is_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str, words: str) -> None:
    asked: list[Any] = []

    def snapshot_download(name: str, *, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        if answer == "error":
            raise OSError("no route\nto the host")
        return str(folder)

    hub = types.ModuleType("huggingface_hub")
    hub.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)

    if answer == "folder":
        job = preprocess_job(["content=contentvec", "content.path=hf:user/content-vec"])
        path = job.content.arguments["path"]
        assert open_content(path=path, layer=2, name="contentvec").identity == encoder(folder).identity
    else:
        assert words in refusal("hf:user/content-vec")
    assert asked == [("user/content-vec", ["config.json", "model.safetensors", "pytorch_model.bin"])]


def test_the_groups_are_those_of_rvc(tmp_path: Path) -> None:
    folder = write_hubert(tmp_path / "twelve", num_hidden_layers=12)

    for group, dim, layer in (("contentvec", 16, 12), ("contentvec_v1", 4, 9)):
        opened = preprocess_job([f"content={group}", f"content.path={folder}"]).content.build()
        assert (opened.dim, opened.identity["layer"], opened.identity["id"]) == (dim, layer, "contentvec")
        assert opened.is_exportable


def test_sizes_by_default_are_those_of_the_published_base() -> None:
    sizes = HubertSizes()

    assert (sizes.hop_length, sizes.window_length) == (320, 400)


@pytest.mark.parametrize("frames", [1, 2, 1499, 1500])
def test_up_to_half_a_minute_every_frame_sees_every_frame(frames: int) -> None:
    asking, seen = part_indices(torch.zeros(frames))

    assert asking.tolist() == [list(range(frames))] == seen.tolist()


@pytest.mark.parametrize("frames", [1501, 3000, 3001, 9001])
def test_in_longer_recordings_every_frame_asks_once_and_sees_five_seconds_around(frames: int) -> None:
    asking, seen = part_indices(torch.zeros(frames))

    assert asking.flatten()[:frames].tolist() == list(range(frames))
    assert asking.shape[1] <= 1500 and seen.shape[1] <= 2000
    for ask, see in zip(asking, seen, strict=True):
        assert see.tolist() == list(range(int(see[0]), int(see[-1]) + 1))
        assert int(see[0]) <= max(0, int(ask[0]) - 250) and int(see[-1]) >= min(frames - 1, int(ask[-1]) + 250)
