"""Rules of RVC generators: the same sound in every program, and planted faults are found."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from tests.tools.generator_graphs import V1_WITHOUT_F0, V2, Kind, shape_of, write
from tests.tools.rvc_tools import small_generator
from utils.config.test_model import verify_job
from utils.export.precision import PARITY_DB
from utils.verification.candidate import Candidate
from utils.verification.file_rules import check_file
from utils.verification.measures import relative_db
from utils.verification.reference import GeneratorReference
from utils.verification.report import run_verification
from utils.verification.rules import verify
from utils.voice_file.rvc_formats import RVC_FORMATS


def failed(candidate: Candidate, reference: GeneratorReference | None = None) -> dict[str, str]:
    return {check.name: check.detail for check in verify(candidate, reference) if not check.passed}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [V2, V1_WITHOUT_F0], ids=["v2", "v1 without f0"])
def test_all_programs_hear_the_same_from_the_same_features(tmp_path: Path, kind: Kind) -> None:
    noise = small_generator(kind[0]).prior_noise(torch.zeros(1, 90)).numpy()  # type: ignore[operator]

    sounds = {}
    for name in RVC_FORMATS:
        candidate = write(tmp_path, name, kind)
        assert failed(candidate) == {}
        client = candidate.client
        # RVC-WebUI's program makes the noise, the graphs of the others have it
        features = replace(client.features(90, 3), noise=noise[0])
        sounds[name] = client.play(client.feed(features, speaker=1))

    level = np.sqrt(np.mean(np.square(sounds["wokada"])))
    for name in RVC_FORMATS:
        error = np.sqrt(np.mean(np.square(sounds[name] - sounds["wokada"])))
        assert error < 1e-5 * level, name


@pytest.mark.slow
def test_a_window_of_frames_is_the_conversion_of_its_latent(tmp_path: Path) -> None:
    client = write(tmp_path, "deiteris", V1_WITHOUT_F0).client
    features = client.features(120, 3)

    whole = client.play(client.feed(features))
    part = client.play(client.feed(features, window=(40, 60, 60)))

    # the decoder sees no neighbours at the edges of a window, and its own noise has none without f0
    edge = 15 * 400
    np.testing.assert_allclose(part[edge:-edge], whole[40 * 400 + edge : 100 * 400 - edge], atol=1e-5)


@pytest.mark.slow
def test_half_precision_features_and_weights_pass_their_own_bar(tmp_path: Path) -> None:
    half, whole = write(tmp_path, "wokada", precision="fp16"), write(tmp_path, "wokada")
    assert failed(half) == {}

    features = half.client.features(80, 1)
    features = replace(features, content=features.content.astype(np.float16).astype(np.float32))
    one, other = half.client.play(half.client.feed(features)), whole.client.play(whole.client.feed(features))

    error = relative_db(one, other)
    assert error < PARITY_DB["fp16"]
    kinds = {item.data_type for item in onnx.load(str(half.path)).graph.initializer}
    assert TensorProto.FLOAT16 in kinds


def edited(candidate: Candidate, change: Callable[[onnx.ModelProto], None]) -> Candidate:
    model = onnx.load(str(candidate.path))
    change(model)
    path = candidate.path.with_name("edited.onnx")
    onnx.save(model, str(path))
    return replace(candidate, path=path)


def rename_input(model: onnx.ModelProto) -> None:
    for item in model.graph.node:
        for place, name in enumerate(item.input):
            if name == "sid":
                item.input[place] = "speaker"
    next(item for item in model.graph.input if item.name == "sid").name = "speaker"


def after_output(operator: str, gain: float = 1e5) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for item in model.graph.node:
            for place, name in enumerate(item.output):
                if name == "audio":
                    item.output[place] = "before"
        model.graph.initializer.append(helper.make_tensor("gain", TensorProto.FLOAT, [], [gain]))
        model.graph.initializer.append(helper.make_tensor("first", TensorProto.INT64, [1], [1]))
        model.graph.initializer.append(helper.make_tensor("end", TensorProto.INT64, [1], [1 << 40]))
        inputs = {"Mul": ["before", "gain"], "Unsqueeze": ["before", "first"], "Slice": ["before", "first", "end"]}
        more = {"RandomNormalLike": ["before"]}
        node = helper.make_node(operator, {**inputs, **more}[operator], ["audio"])
        model.graph.node.append(node)

    return change


def change_metadata(**values: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        stored = next(item for item in model.metadata_props if item.key == "metadata")
        stored.value = json.dumps(json.loads(stored.value) | values)

    return change


def no_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def extra_float_input(model: onnx.ModelProto) -> None:
    after_output("Mul")(model)
    model.graph.input.append(helper.make_tensor_value_info("gain_of_host", TensorProto.FLOAT, []))
    model.graph.node[-1].input[1] = "gain_of_host"


def ignores(name: str, instead: str) -> Callable[[onnx.ModelProto], None]:
    """Return a change after which another value stands wherever an input was read."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(helper.make_tensor("start", TensorProto.INT64, [], [0]))
        for item in model.graph.node:
            for place, found in enumerate(item.input):
                if found == name:
                    item.input[place] = instead

    return change


def deaf_to_noise(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("no", TensorProto.FLOAT, [], [0.0]))
    ignores("rnd", "silenced")(model)
    model.graph.node.insert(0, helper.make_node("Mul", ["rnd", "no"], ["silenced"]))


def newer_operators(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 19


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rules", "change"),
    [
        ({"inputs", "conversion"}, rename_input),
        ({"conversion"}, after_output("Slice")),
        ({"conversion"}, after_output("Mul")),
        ({"file", "same input, same output"}, after_output("RandomNormalLike")),
        ({"conversion"}, after_output("Unsqueeze")),
        ({"conversion", "inputs take effect"}, after_output("Mul", float("nan"))),
        ({"inputs", "conversion"}, extra_float_input),
        ({"metadata"}, no_metadata),
        ({"metadata"}, change_metadata(embChannels=256)),
        ({"metadata"}, change_metadata(f0=1)),
        ({"metadata"}, change_metadata(embedder="our own")),
        ({"metadata"}, change_metadata(version="2.0")),
        ({"file"}, newer_operators),
    ],
    ids=[
        "name",
        "a sample short",
        "too loud",
        "random",
        "rank",
        "NaN",
        "extra float input",
        "no metadata",
        "channels",
        "f0",
        "embedder",
        "version",
        "opset",
    ],
)
def test_each_planted_fault_is_found(
    tmp_path: Path, rules: set[str], change: Callable[[onnx.ModelProto], None]
) -> None:
    candidate = write(tmp_path, "wokada")

    assert rules <= set(failed(edited(candidate, change)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rvc_format", "rules", "change"),
    [
        ("rvc_webui", {"conversion"}, after_output("Mul")),
        ("rvc_webui", {"conversion", "inputs take effect"}, after_output("Mul", float("nan"))),
        ("rvc_webui", {"inputs", "conversion"}, extra_float_input),
        ("rvc_webui", {"inputs take effect"}, deaf_to_noise),
        ("deiteris", {"window"}, ignores("skip_head", "start")),
        ("deiteris", {"window"}, ignores("formant_length", "return_length")),
        ("deiteris", {"window"}, ignores("return_length", "formant_length")),
        ("deiteris", {"window"}, ignores("skip_head", "formant_length")),
    ],
    ids=["too loud", "NaN", "extra float input", "deaf to rnd", "skip_head ignored", "formant_length ignored",
         "return_length ignored", "another window"],
)  # fmt: skip
def test_faults_in_graphs_of_the_other_programs_are_found(
    tmp_path: Path, rvc_format: str, rules: set[str], change: Callable[[onnx.ModelProto], None]
) -> None:
    found = failed(edited(write(tmp_path, rvc_format), change))

    assert rules <= set(found), found


@pytest.mark.slow
@pytest.mark.parametrize("rvc_format", RVC_FORMATS)
def test_weights_in_another_file_are_found(tmp_path: Path, rvc_format: str) -> None:
    candidate = write(tmp_path, rvc_format)
    path = tmp_path / "apart.onnx"
    onnx.save(onnx.load(str(candidate.path)), str(path), save_as_external_data=True, location="w", size_threshold=0)

    check = check_file(replace(candidate, path=path))

    assert not check.passed
    assert "tensor(s) in another file (" in check.detail


@pytest.mark.slow
def test_a_reference_that_is_nan_is_no_proof(tmp_path: Path) -> None:
    candidate = write(tmp_path, "deiteris")

    found = failed(candidate, GeneratorReference(convert=lambda fed: np.full_like(candidate.client.play(fed), np.nan)))

    assert {"conversion", "window"} <= set(found)


@pytest.mark.slow
def test_verify_tries_a_generator_by_the_rules_of_its_program(tmp_path: Path) -> None:
    """What the file is comes from our metadata, else the client's, else its inputs."""
    own = {"voclo_trainer_generator": json.dumps({"dialect": "wokada", **asdict(shape_of(V2)), "num_speakers": 2})}
    metadata: dict[str, dict[str, str] | None] = {"own": own, "client": None, "none": {}}
    for rvc_format, source, speakers in (
        ("wokada", "own", 2), ("wokada", "client", 1), ("wokada", "none", 1), ("deiteris", "client", 1),
        ("deiteris", "none", 1), ("rvc_webui", "none", 1),
    ):  # fmt: skip
        path = write(tmp_path, rvc_format).path
        model = onnx.load(str(path))
        stored = metadata[source]
        if stored is not None:
            del model.metadata_props[:]
            helper.set_model_props(model, stored)
        path.write_bytes(model.SerializeToString())

        candidate = Candidate(path=path)

        found = candidate.generator
        assert found is not None and candidate.kind == rvc_format
        expected = replace(shape_of(V2), num_speakers=speakers)
        expected = expected if rvc_format == "rvc_webui" else replace(expected, channels=found.shape.channels)
        assert (found.rvc_format.name, found.shape, found.precision) == (rvc_format, expected, "fp32")


@pytest.mark.slow
def test_verify_writes_whose_rules_a_generator_keeps(tmp_path: Path) -> None:
    path = write(tmp_path, "wokada", V1_WITHOUT_F0).path

    places = {"verify": str(path), "report": str(tmp_path / "r.json")}
    report = run_verification(verify_job(["verify=x"]).with_values(places))

    assert report["passed"], report["checks"]
    assert report["kind"] == "wokada"
    assert report["notes"][0] == "tried by the rules of w-okada's voice changer (docs/reference/generator_graphs.md)"
    assert "metadata" in [check["name"] for check in report["checks"]]


@pytest.mark.slow
def test_a_file_of_another_program_is_found(tmp_path: Path) -> None:
    written = {name: write(tmp_path, name) for name in RVC_FORMATS}

    for name, candidate in written.items():
        for other, rvc_format in RVC_FORMATS.items():
            assert candidate.expected_generator is not None
            graph = replace(candidate.expected_generator, rvc_format=rvc_format)
            found = failed(replace(candidate, expected_generator=graph))
            assert ("inputs" in found) == (other != name)


@pytest.mark.slow
def test_a_difference_from_pytorch_is_found(tmp_path: Path) -> None:
    candidate = write(tmp_path, "wokada")

    found = failed(candidate, GeneratorReference(convert=lambda fed: 1.001 * candidate.client.play(fed)))

    assert set(found) == {"conversion", "own metadata"}  # an export also says what it is
    assert found["own metadata"] == "key 'voclo_trainer_generator' is missing"
    assert "-60.0 dB from PyTorch (allowed -80)" in found["conversion"]
