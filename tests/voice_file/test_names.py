"""Names of voices and files, and the numbers in them."""

from pathlib import Path

import pytest

from utils.errors import ConfigError, FormatError
from utils.voice_file.geometry import FileGeometry, check_rate, geometry_at
from utils.voice_file.names import check_voice_name, parse_file_name


def test_file_name_reads_back() -> None:
    geometry = FileGeometry(name="my_voice", sample_rate=48000, hop_length=480, n_fft=1920)

    assert geometry.file_name == "my_voice_sr48000_hop480_nfft1920.onnx"
    assert parse_file_name(Path("somewhere") / geometry.file_name) == geometry


def test_other_file_names_are_refused() -> None:
    with pytest.raises(FormatError, match="is not named <name>_sr"):
        parse_file_name(Path("voice.onnx"))


@pytest.mark.parametrize("name", ["a_sr2", "hop3", "nfft9_b", "x_sr44.1_y", "a_hop1e3"])
def test_names_that_a_runtime_would_misread_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="would read as a rate or size"):
        check_voice_name(name)


@pytest.mark.parametrize(
    "name", ["alice", "a-b_c.2", "src", "hoppla", "Åsa 2", "sriracha_9", "mysr2", "Žofie (2)", "console"]
)
def test_ordinary_names_are_accepted(name: str) -> None:
    assert check_voice_name(name) == name


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a\n", "x" * 65, "a ", "a:b", "CON", "nul.x"])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used in a file name"):
        check_voice_name(name)


def test_geometry_follows_the_rate_of_the_graph() -> None:
    geometry = geometry_at("v", 44100, model_rate=24000, model_n_fft=960)

    assert (geometry.hop_length, geometry.n_fft) == (441, 1764)


@pytest.mark.parametrize("rate", [44101, 0, 4000, 400000])
def test_impossible_rates_are_refused(rate: int) -> None:
    with pytest.raises(ConfigError, match=f"{rate} is not possible"):
        check_rate(rate)
