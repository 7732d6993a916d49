"""A voice that deiteris' program turned into a safetensors file is read like the .pth that it was made of."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.tools.rvc_tools import applio_voice, saved, small_generator, webui_voice
from utils.errors import FormatError
from utils.rvc.reading import ForeignFile, read_foreign


def converted(path: Path, content: dict[str, Any], **changes: str) -> Path:
    """Write what that program makes of the content of a .pth."""
    fields = {key: value for key, value in content.items() if key != "weight" and value is not None}
    metadata = {key: json.dumps(value) if type(value) in (dict, list) else str(value) for key, value in fields.items()}
    weights = {name: tensor.contiguous() for name, tensor in content["weight"].items()}
    save_file(weights, path, metadata={"format": "pt", **metadata, **changes})
    return path


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        read_foreign(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("voice", [webui_voice, applio_voice])
def test_it_says_what_the_pth_says(tmp_path: Path, voice: Any) -> None:
    content = voice(small_generator())
    ours, theirs = (
        read_foreign(converted(tmp_path / "bob.safetensors", content)),
        read_foreign(saved(tmp_path / "bob.pth", content)),
    )

    for name in ("kind", "program", "layout", "sample_rate", "f0_convention", "embedder", "epoch", "step", "speakers"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert isinstance(ours, ForeignFile) and ours.weights.keys() == theirs.weights.keys()
    assert all(torch.equal(ours.weights[name], value) for name, value in theirs.weights.items())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"config": "[1, 2"}, "no JSON"),
        ({"config": "[" * 100_000}, "no JSON"),
        ({"config": "[1]" + " " * 2**21}, "characters"),
        ({"config": "{}"}, "18 values"),
        ({"config": json.dumps([[1]] * 18)}, "value 0"),
        ({"f0": "x"}, "f0"),
        ({"version": "v9"}, "version"),
        ({"vocoder": "RefineGAN"}, "vocoder"),
        ({"voclo_trainer": '{"speakers": ["a\\nb"]}'}, "speakers"),
    ],
)
def test_wrong_fields_are_one_line(tmp_path: Path, changes: dict[str, str], reason: str) -> None:
    assert reason in refusal(converted(tmp_path / "bob.safetensors", webui_voice(small_generator()), **changes))


def test_weights_without_fields_and_damaged_files_are_named_for_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "bob.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    assert "safetensors file of weights without the fields of a voice" in refusal(path)

    path.write_bytes(path.read_bytes()[:-4])
    assert "damaged safetensors file" in refusal(path)

    save_file({"a": torch.zeros(3, dtype=torch.int64)}, path, metadata={"config": "[]"})
    assert "torch.int64" in refusal(path)
    assert "not a file" in refusal(tmp_path / "absent.safetensors")


def test_other_files_of_the_family_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bob.pth"
    save_file({"a": torch.zeros(3)}, path)
    assert "safetensors file under another name" in refusal(path)

    path.write_bytes(b"IwFl" + b"\0" * 60)
    assert "FAISS index" in refusal(path)


def test_a_packed_folder_is_opened_by_nobody_but_named(tmp_path: Path) -> None:
    path = tmp_path / "bob.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bob/bob.pth", b"x" * 1000)
        archive.writestr("bob/bob.index", b"x")

    assert "it holds 'bob/bob.pth': unpack it" in refusal(path)
