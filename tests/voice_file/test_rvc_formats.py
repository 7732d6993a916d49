"""Graphs of RVC generators as other programs load them: inputs and metadata."""

import json
from dataclasses import replace

import pytest

from utils.errors import FormatError
from utils.voice_file.generator_metadata import KEYS, generator_metadata_from_json
from utils.voice_file.rvc_formats import RVC_FORMATS, GeneratorShape, client_metadata, inputs_of
from utils.voice_file.signature import FLOAT, HALF, INTEGER


def test_inputs_are_those_that_the_programs_feed() -> None:
    shape = GeneratorShape(content_dim=768, channels=192, has_f0=True, sample_rate=48000, num_speakers=1)
    found = {
        name: [(item.name, item.type, item.shape) for item in inputs_of(rvc_format, shape)]
        for name, rvc_format in RVC_FORMATS.items()
    }

    pitch = [("pitch", INTEGER, (1, "frames")), ("pitchf", FLOAT, (1, "frames"))]
    assert found["rvc_webui"] == [
        ("phone", FLOAT, (1, "frames", 768)), ("phone_lengths", INTEGER, (1,)), *pitch, ("ds", INTEGER, (1,)),
        ("rnd", FLOAT, (1, 192, "frames")),
    ]  # fmt: skip
    known = [("feats", FLOAT, (1, "frames", 768)), ("p_len", INTEGER, (1,)), *pitch, ("sid", INTEGER, (1,))]
    assert found["wokada"] == known
    scalars = [(name, INTEGER, ()) for name in ("skip_head", "return_length", "formant_length")]
    assert found["deiteris"] == [*known, *scalars]
    plain = replace(shape, has_f0=False, content_dim=256)
    assert [item.name for item in inputs_of(RVC_FORMATS["wokada"], plain)] == ["feats", "p_len", "sid"]
    half = inputs_of(RVC_FORMATS["wokada"], shape, "fp16")
    assert (half[0].type, half[3].type) == (HALF, FLOAT)


def test_client_metadata_says_what_the_clients_read() -> None:
    shape = GeneratorShape(content_dim=256, channels=192, has_f0=False, sample_rate=40000, num_speakers=1)

    assert json.loads(client_metadata(shape, "hubert_base")) == {
        "application": "VC_CLIENT", "version": "2.1", "modelType": "pyTorchRVCNono", "samplingRate": 40000, "f0": False,
        "embChannels": 256, "embedder": "hubert_base", "embOutputLayer": 9, "useFinalProj": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "bob: metadata has schema_version 99, this program reads 1 to 2"),
        ({"schema_version": 1}, "bob: its metadata is incomplete (no name)"),
        ({"schema_version": True}, "bob: metadata has schema_version True"),
    ],
)
def test_metadata_of_a_generator_is_read_by_its_version(change: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError) as caught:
        generator_metadata_from_json(json.dumps(change), "bob")

    assert str(caught.value).startswith(message)
    complete = dict.fromkeys(KEYS[1], "x") | {"schema_version": 1}
    assert generator_metadata_from_json(json.dumps(complete), "bob") == complete
    with pytest.raises(FormatError, match="no encoder_identity"):
        generator_metadata_from_json(json.dumps(complete | {"schema_version": 2}), "bob")
