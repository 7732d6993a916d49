"""RVC's networks have the published names and shapes and give the published numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.golden import main
from benchmarks.golden_networks import discriminator_errors, rvc_errors, spectrum_errors
from models.layers.rvc_encoders import quantize_f0
from tests.tools.golden_tools import digest, load, over_tolerance
from utils.config.train import train_job


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dim", "use_f0", "expected"),
    [
        ("v1_32k", 256, True, (619, 36294338, "70cb828ea19de13b")),
        ("v1_40k", 256, True, (560, 36360514, "6ecf658662406554")),
        ("v1_48k", 256, True, (619, 36400834, "53651608d9946cf6")),
        ("v2_32k", 768, True, (560, 36880706, "2ea94b92ef1582e4")),
        ("v2_40k", 768, True, (560, 36458818, "af04e6b02b817835")),
        ("v2_48k", 768, True, (560, 37638466, "251c5287c2ecc04e")),
        ("v2_48k", 768, False, (549, 37567040, "52c7137d874f60b4")),
    ],
)
def test_generator_has_the_published_names_and_shapes(
    name: str, dim: int, use_f0: bool, expected: tuple[int, int, str]
) -> None:
    overrides = [f"model=rvc_{name}", f"audio=rvc_{name[3:]}", f"model.use_f0={str(use_f0).lower()}"]

    voice = train_job(overrides).model.build(content_dim=dim, num_speakers=109)

    assert digest(voice) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "expected"),
    [("v1", (129, 54968286, "8b87832e18189ae9")), ("v2", (165, 71410594, "2a78ab7c9ba71868"))],
)
def test_discriminator_has_the_published_names_and_shapes(version: str, expected: tuple[int, int, str]) -> None:
    node = train_job([f"discriminator=rvc_{version}"]).discriminator

    assert digest(node.build()) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v1_40k_f0", "v2_40k_f0", "v2_48k_f0", "v2_48k_nof0"])
def test_generator_gives_the_published_numbers(name: str) -> None:
    version, _, pitch = name.split("_")
    arrays = load("rvc_inputs", f"rvc_content_{version}", f"rvc_{name}")

    assert not over_tolerance(rvc_errors(arrays, f"rvc_{name.rsplit('_', 1)[0]}", pitch == "f0"))


@pytest.mark.slow
def test_discriminator_gives_the_published_numbers() -> None:
    assert not over_tolerance(discriminator_errors(load("discriminator_v2"), "rvc_v2"))


@pytest.mark.parametrize("rate", ["32k", "48k"])
def test_spectrograms_are_the_published_ones(rate: str) -> None:
    assert not over_tolerance(spectrum_errors(load(f"spectrogram_{rate}")))


def test_golden_check_passes_and_fails_by_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = load("spectrogram_32k")
    np.savez(tmp_path / "spectrograms.npz", **arrays)  # type: ignore[arg-type]  # numpy types no arrays by name
    assert main([str(tmp_path)]) == 0
    arrays["mel_32k"] = arrays["mel_32k"] + 0.001
    np.savez(tmp_path / "spectrograms.npz", **arrays)  # type: ignore[arg-type]

    assert main([str(tmp_path)]) == 1

    assert "over it: spectrograms mel_32k" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (None, b"", "holds no recorded numbers"),
        ("spectrograms.npz", b"PK\x03\x04 cut", "damaged"),
        ("rvc_v2_17k_f0.npz", None, "rvc_v2_17k"),
    ],
)
def test_golden_check_refuses_a_wrong_folder_in_one_line(
    name: str | None, content: bytes | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name and content is None:
        arrays = load("rvc_inputs", "rvc_content_v2")
        np.savez(tmp_path / name, **arrays)  # type: ignore[arg-type]
    elif name and content:
        (tmp_path / name).write_bytes(content)

    assert main([str(tmp_path)]) == 2

    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_golden_check_names_missing_arrays_and_skipped_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = load("spectrogram_32k")
    del arrays["mel_32k"]
    np.savez(tmp_path / "spectrograms.npz", **arrays)  # type: ignore[arg-type]
    np.savez(tmp_path / "discriminator_v2.npz", real=np.zeros((1, 1, 480), dtype=np.float32))
    np.savez(tmp_path / "rvc_v2_48k_f0.npz", **load("rvc_v2_48k_f0"))  # type: ignore[arg-type]
    np.savez(tmp_path / "rvc_v2_48k.npz", audio=np.zeros(2))

    assert main([str(tmp_path)]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("missing")] == [
        "missing: discriminator_v2.npz lacks fake",
        *(f"missing: rvc_v2_48k_f0.npz lacks {name}" for name in ("phone", "spec", "speaker", "f0")),
        "missing: spectrograms.npz lacks mel_32k",
    ]
    assert [line for line in lines if line.startswith("skipped rvc_v2_48k.npz: its name is none of ")]
    assert "1 arrays" in lines[-1] and "6 missing" in lines[-1]


def test_golden_check_refuses_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent")]) == 2
    assert "not a folder" in capsys.readouterr().err


def test_pitch_bins_are_the_published_ones() -> None:
    arrays = load("rvc_inputs")

    assert torch.equal(quantize_f0(torch.from_numpy(arrays["f0"])), torch.from_numpy(arrays["coarse"]))
