"""Names, defaults, file names and metadata of exported voices."""

import dataclasses
import json
import math
from pathlib import Path

import onnx
import pytest

from tests.tools.standin_voice import export_standin, metadata_of
from utils.errors import ConfigError, FormatError
from utils.inference.session import VoiceSession
from utils.voice_file.contract import (
    METADATA_KEY,
    SCHEMA_VERSION,
    FileGeometry,
    check_rate,
    check_voice_name,
    geometry_at,
    metadata_from_json,
    parse_file_name,
    speaker_number,
)
from utils.voice_file.controls import CONTROLS, ControlDefaults, refuse_idle_controls


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


@pytest.mark.parametrize("name", ["alice", "a-b_c.2", "src", "hoppla", "Åsa 2", "sriracha_9", "mysr2"])
def test_ordinary_names_are_accepted(name: str) -> None:
    assert check_voice_name(name) == name


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a\n", "x" * 65, "a ", "a:b"])
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


def test_defaults_out_of_range_name_the_key() -> None:
    with pytest.raises(ConfigError, match=r"export\.defaults\.protect=2 .* between 0 and 0\.5"):
        ControlDefaults(protect=2.0)


def test_a_default_that_does_nothing_is_refused_by_its_key() -> None:
    message = r"^export\.defaults\.protect=0\.2 does nothing: the voice has no codebook .*; leave it out$"
    with pytest.raises(ConfigError, match=message):
        refuse_idle_controls({"export.defaults.protect": 0.2}, ["protect"], "the voice")
    with pytest.raises(ConfigError, match=r"^export\.pitch_shift=-4 does nothing: the voice is not told the pitch"):
        refuse_idle_controls({"export.pitch_shift": -4}, ["pitch_shift"], "the voice")

    refuse_idle_controls({"export.defaults.index_rate": 0.5, "export.defaults.protect": 0.0}, ["protect"], "the voice")


def test_every_control_has_a_default_inside_its_range() -> None:
    assert {field.name for field in dataclasses.fields(ControlDefaults)} == {control.name for control in CONTROLS}
    ControlDefaults()


@pytest.mark.parametrize(
    ("wanted", "names", "number"),
    [
        ("bob", ["ann", "bob"], 1),
        (1, ["ann", "bob"], 1),
        (2, ["1", "2"], 1),  # the name; there is no number 2
        (0, ["1", "2"], 0),
        ("1", ["1", "2"], 0),
        (1, ["0", "1"], 1),
        (1.5, ["ann", "1.5"], 1),
    ],
)
def test_a_speaker_is_a_name_before_it_is_a_number(wanted: str | float, names: list[str], number: int) -> None:
    assert speaker_number(wanted, names, "speaker", "a.onnx") == number


@pytest.mark.parametrize(
    ("wanted", "names", "message"),
    [
        (1, ["1", "2"], "speaker=1 is the name of speaker 0 and the number of speaker '2'; type the name in quotes"),
        (2, ["ann", "bob"], "speaker=2 is not in a.onnx; it has: 0 ann, 1 bob"),
        ("2", ["ann", "bob", "carl"], "speaker='2' is not in a.onnx"),
        (True, ["ann", "bob"], "speaker=True is not in a.onnx"),
        (-1, ["ann"], "speaker=-1 is not in a.onnx"),
    ],
)
def test_a_speaker_that_is_not_clear_is_refused(wanted: object, names: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        speaker_number(wanted, names, "speaker", "a.onnx")

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_metadata_reads_back() -> None:
    metadata = metadata_of()

    assert metadata_from_json(metadata.to_json(), "file") == metadata


def test_metadata_of_a_later_version_is_refused() -> None:
    values = json.loads(metadata_of().to_json()) | {"schema_version": 99}

    with pytest.raises(FormatError, match="schema_version 99"):
        metadata_from_json(json.dumps(values), "file")


def test_metadata_of_the_first_version_is_read_with_full_precision() -> None:
    values = json.loads(metadata_of().to_json()) | {"schema_version": 1}
    del values["precision"]

    metadata = metadata_from_json(json.dumps(values), "file")

    assert (metadata.schema_version, metadata.precision) == (1, "fp32")


def test_a_graph_of_a_later_version_is_one_line_for_its_readers(tmp_path: Path) -> None:
    path = export_standin(tmp_path).path
    model = onnx.load(str(path))
    stored = next(item for item in model.metadata_props if item.key == METADATA_KEY)
    stored.value = json.dumps(json.loads(stored.value) | {"schema_version": SCHEMA_VERSION + 1, "unheard_of": 1})
    onnx.save(model, str(path))

    with pytest.raises(
        FormatError, match=f"has schema_version {SCHEMA_VERSION + 1}, this program reads 1 to"
    ) as caught:
        VoiceSession.open(path)

    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 1}'])
def test_damaged_metadata_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="file: "):
        metadata_from_json(text, "file")


def test_metadata_refuses_figures_that_json_cannot_hold() -> None:
    metadata = dataclasses.replace(metadata_of(), metrics={"val/mel": math.nan})

    with pytest.raises(ValueError, match="JSON compliant"):
        metadata.to_json()
