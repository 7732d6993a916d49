"""The JSON inside an exported graph."""

import dataclasses
import json
import math
from pathlib import Path

import onnx
import pytest

from tests.tools.standin_voice import export_standin, metadata_of
from utils.errors import FormatError
from utils.inference.session import VoiceSession
from utils.voice_file.metadata import METADATA_KEY, SCHEMA_VERSION, metadata_from_json


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


STREAM = {"block": 240, "look_ahead": 0, "state_size": 1000, "latency_ms": 10.0}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("extra", {"stream": STREAM | {"state_size": 10**12}}),
        ("extra", {"stream": STREAM | {"block": 10**9}}),
        ("extra", {"stream": STREAM | {"latency_ms": math.inf}}),
        ("defaults", {"speaker_id": math.inf}),
        ("defaults", {"pitch_shift": math.nan}),
        ("speakers", [{"id": 0, "name": "a", "f0_median_hz": 1e300}]),
    ],
)
def test_numbers_beyond_all_sense_are_refused(key: str, value: object) -> None:
    values = dataclasses.asdict(metadata_of())
    assert metadata_from_json(json.dumps(values | {"extra": {"stream": STREAM}}), "file").extra["stream"] == STREAM

    with pytest.raises(FormatError, match="in its metadata "):
        metadata_from_json(json.dumps(values | {key: value}), "file")
