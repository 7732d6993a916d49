"""Generators as graphs of other programs: inputs as each feeds them, the same sound, planted faults."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from tests.tools.rvc_tools import saved, shrink_imported_voices, small_generator, webui_voice
from utils.config import compose
from utils.errors import ConfigError, ExportError, FormatError, WorkbenchError
from utils.export.precision import PARITY_DB
from utils.export.rvc import generators
from utils.export.rvc.generator_graph import build_generator_graph
from utils.export.rvc.generators import GeneratorJob, export_generator, generator_job
from utils.verification.candidate import Candidate, Extent, relative_db
from utils.verification.job import VerifyJob, run_verification
from utils.verification.kinds import generator_of
from utils.verification.rvc_clients import GeneratorCandidate, check_file, check_generator
from utils.voice_file.generator_metadata import KEYS, generator_metadata_from_json
from utils.voice_file.rvc_formats import RVC_FORMATS, GeneratorShape, client_metadata, inputs_of
from utils.voice_file.signature import FLOAT, HALF, INTEGER

Kind = tuple[str, int, bool]
V2, V1_WITHOUT_F0 = ("rvc_v2_32k", 768, True), ("rvc_v1_40k", 256, False)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let imported voices have the small networks of these tests."""
    shrink_imported_voices(monkeypatch)


@cache
def graph_bytes(rvc_format: str, kind: Kind, precision: str) -> bytes:
    """Trace a small random voice of two speakers, once for each kind of graph."""
    model, content_dim, has_f0 = kind
    sizes = ("model.upsample_channels=16", f"model.use_f0={str(has_f0).lower()}")
    network = small_generator(model, *sizes, num_speakers=2, content_dim=content_dim)
    shape, chosen = shape_of(kind), RVC_FORMATS[rvc_format]
    metadata = {"metadata": client_metadata(shape, "hubert_base")} if chosen.has_client_metadata else {}
    graph = build_generator_graph(network.eval(), chosen, shape, precision=precision, metadata=metadata)
    return graph.SerializeToString()


def shape_of(kind: Kind) -> GeneratorShape:
    model, content_dim, has_f0 = kind
    rate = int(model[-3:-1]) * 1000
    return GeneratorShape(content_dim=content_dim, channels=8, has_f0=has_f0, sample_rate=rate, num_speakers=2)


def write(folder: Path, rvc_format: str, kind: Kind = V2, precision: str = "fp32") -> GeneratorCandidate:
    path = folder / f"{rvc_format}_{precision}.onnx"
    path.write_bytes(graph_bytes(rvc_format, kind, precision))
    return GeneratorCandidate(path=path, rvc_format=RVC_FORMATS[rvc_format], shape=shape_of(kind), precision=precision)


def failed(candidate: GeneratorCandidate) -> dict[str, str]:
    return {check.name: check.detail for check in check_generator(candidate) if not check.passed}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [V2, V1_WITHOUT_F0], ids=["v2", "v1 without f0"])
def test_all_programs_hear_the_same_from_the_same_features(tmp_path: Path, kind: Kind) -> None:
    noise = small_generator(kind[0])._prior_noise(torch.zeros(1, 90)).numpy()  # type: ignore[operator]

    heard = {}
    for name in RVC_FORMATS:
        candidate = write(tmp_path, name, kind)
        assert failed(candidate) == {}
        features = replace(
            candidate.features(90, 3), noise=noise[0]
        )  # RVC-WebUI's program draws it, the others have it
        heard[name] = candidate.play(candidate.feed(features, speaker=1))

    level = np.sqrt(np.mean(np.square(heard["wokada"])))
    for name in RVC_FORMATS:
        error = np.sqrt(np.mean(np.square(heard[name] - heard["wokada"])))
        assert error < 1e-5 * level, name


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


def test_a_window_of_frames_is_the_conversion_of_its_latent(tmp_path: Path) -> None:
    candidate = write(tmp_path, "deiteris", V1_WITHOUT_F0)
    features = candidate.features(120, 3)

    whole = candidate.play(candidate.feed(features))
    part = candidate.play(candidate.feed(features, window=(40, 60, 60)))

    # the decoder sees no neighbours at the edges of a window, and its own noise has none without f0
    edge = 15 * 400
    np.testing.assert_allclose(part[edge:-edge], whole[40 * 400 + edge : 100 * 400 - edge], atol=1e-5)


def test_half_precision_features_and_weights_pass_their_own_bar(tmp_path: Path) -> None:
    half, whole = write(tmp_path, "wokada", precision="fp16"), write(tmp_path, "wokada")
    assert failed(half) == {}

    features = half.features(80, 1)
    features = replace(features, content=features.content.astype(np.float16).astype(np.float32))
    one, other = half.play(half.feed(features)), whole.play(whole.feed(features))

    error = relative_db(one, other)
    assert error < PARITY_DB["fp16"]
    kinds = {item.data_type for item in onnx.load(str(half.path)).graph.initializer}
    assert TensorProto.FLOAT16 in kinds


def edited(candidate: GeneratorCandidate, change: Callable[[onnx.ModelProto], None]) -> GeneratorCandidate:
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


@pytest.mark.parametrize("rvc_format", RVC_FORMATS)
def test_weights_in_another_file_are_found(tmp_path: Path, rvc_format: str) -> None:
    candidate = write(tmp_path, rvc_format)
    path = tmp_path / "apart.onnx"
    onnx.save(onnx.load(str(candidate.path)), str(path), save_as_external_data=True, location="w", size_threshold=0)

    check = check_file(replace(candidate, path=path))

    assert not check.passed
    assert "weights in another file (" in check.detail


def test_a_reference_that_is_nan_is_no_proof(tmp_path: Path) -> None:
    candidate = write(tmp_path, "deiteris")

    found = failed(replace(candidate, reference=lambda fed: np.full_like(candidate.play(fed), np.nan)))

    assert {"conversion", "window"} <= set(found)


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

        found = generator_of(Candidate(path=path))

        assert found is not None
        expected = replace(shape_of(V2), num_speakers=speakers)
        expected = expected if rvc_format == "rvc_webui" else replace(expected, channels=found.shape.channels)
        assert (found.rvc_format.name, found.shape, found.precision) == (rvc_format, expected, "fp32")


def test_verify_writes_whose_rules_a_generator_keeps(tmp_path: Path) -> None:
    path = write(tmp_path, "wokada", V1_WITHOUT_F0).path

    report = run_verification(VerifyJob(onnx=path, report=tmp_path / "r.json", extent=Extent()))

    assert report["passed"], report["checks"]
    assert report["kind"] == "wokada"
    assert report["notes"][0] == "tried by the rules of w-okada's voice changer (docs/reference/generator_graphs.md)"
    assert "metadata" in [check["name"] for check in report["checks"]]


def test_a_file_of_another_program_is_found(tmp_path: Path) -> None:
    written = {name: write(tmp_path, name) for name in RVC_FORMATS}

    for name, candidate in written.items():
        for other, rvc_format in RVC_FORMATS.items():
            found = failed(replace(candidate, rvc_format=rvc_format))
            assert ("inputs" in found) == (other != name)


def test_a_difference_from_pytorch_is_found(tmp_path: Path) -> None:
    candidate = write(tmp_path, "wokada")

    found = failed(replace(candidate, reference=lambda fed: 1.001 * candidate.play(fed)))

    assert set(found) == {"conversion"}
    assert "-60.0 dB from PyTorch (allowed -80)" in found["conversion"]


def job(path: Path, *overrides: str) -> GeneratorJob:
    return generator_job(compose("export", [f"voice={path}", f"export.root={path.parent / 'out'}", *overrides]))


@pytest.mark.usefixtures("small")
def test_a_shared_voice_is_delivered_with_its_proof(tmp_path: Path) -> None:
    rvc_format = "wokada"
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator(num_speakers=2, seed=1)))

    lines = export_generator(
        job(path, f"export={rvc_format}", "rvc.speakers=[1]", "licence=CC0", "rvc.f0_convention=interpolated")
    )

    folder = tmp_path / "out" / "bob"
    assert sorted(item.name for item in folder.iterdir()) == [f"bob_{rvc_format}.json", f"bob_{rvc_format}.onnx"]
    report = json.loads((folder / f"bob_{rvc_format}.json").read_text(encoding="utf-8"))
    assert all(check["passed"] for check in report["verification"])
    parity = next(check for check in report["verification"] if check["name"] == "conversion")["figures"]["parity_db"]
    assert parity < -100
    stored = {item.key: item.value for item in onnx.load(str(folder / f"bob_{rvc_format}.onnx")).metadata_props}
    own = json.loads(stored[generators.OWN_KEY])
    assert (own["licence"], own["speakers"], own["num_speakers"]) == ("CC0", ["bob"], 1)
    # a shared file does not say more
    assert (own["schema_version"], own["dataset_fingerprint"], own["metrics"], own["pitch"]) == (2, "unknown", {}, {})
    assert generator_metadata_from_json(stored[generators.OWN_KEY], "bob") == own
    recorded = (own["f0_convention"], own["encoder"], report["f0_convention"], report["encoder"])
    assert recorded == ("interpolated", "contentvec") * 2
    assert any("trained with f0 interpolated in unvoiced frames" in line for line in lines)
    assert json.loads(stored["metadata"])["samplingRate"] == 48000
    assert str(tmp_path) not in stored[generators.OWN_KEY]
    assert any("PASS  conversion" in line for line in lines)


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


@pytest.mark.usefixtures("small")
def test_a_rule_that_fails_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator(seed=1)))
    (tmp_path / "out" / "bob").mkdir(parents=True)
    (tmp_path / "out" / "bob" / "bob_wokada.onnx").write_bytes(b"earlier")
    monkeypatch.setitem(generators.PARITY_DB, "fp32", -200.0)

    with pytest.raises(ExportError, match=r"nothing was exported.*failed: conversion .*dB from PyTorch"):
        export_generator(job(path, "export=wokada", "licence=other"))

    assert (tmp_path / "out" / "bob" / "bob_wokada.onnx").read_bytes() == b"earlier"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("export=deiteris", "export.precision=fp16"),
            "fp16 is nothing that deiteris' voice changer loads; allowed: fp32",
        ),
        (("export=wokada", "export.embedder=mine"), "export.embedder=mine is unknown; allowed: hubert_base"),
        (("export=wokada", "run=runs/x"), "are given; export one of them"),
        (("export=wokada", "rvc.speakers=[7]"), "the file's speaker table has the rows 0 to 0"),
        (("export=wokada", "rvc.f0_convention=guess"), "rvc.f0_convention=guess is unknown; allowed: zero_unvoiced"),
        (("export=wokada", "rvc.embedder=spin"), "trained on content features of spin, which these programs do not"),
        (
            ("export=wokada", "rvc.embedder=hubert"),
            "trained on content features of hubert, which these programs do not",
        ),
        (("export=wokada", "content=toy"), "content= has no place in export=wokada"),
        (("export=rvc_webui", "pitch=builtin"), "pitch= has no place in export=rvc_webui"),
    ],
)
def test_what_a_program_cannot_have_is_one_line(tmp_path: Path, overrides: tuple[str, ...], message: str) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator()))

    with pytest.raises(WorkbenchError) as caught:
        export_generator(job(path, *overrides))

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["rvc.f0_convention=interpolated", "rvc.embedder=contentvec", "rvc.speakers=[0]"])
def test_what_a_run_knows_itself_is_not_asked(override: str) -> None:
    with pytest.raises(ConfigError, match=r"^rvc\.\w+ belongs to voice=<file\.pth>; a run knows its own$"):
        generator_job(compose("export", ["run=runs/x", "export=wokada", override]))


@pytest.mark.usefixtures("small")
def test_encoder_and_convention_come_from_the_settings_else_from_the_file(tmp_path: Path) -> None:
    own = {"voclo_trainer": {"f0_convention": "interpolated", "embedder": "spin"}}
    silent = saved(tmp_path / "bob.pth", webui_voice(small_generator()))
    ours = saved(tmp_path / "ann.pth", {**webui_voice(small_generator()), **own})
    given = ("export=wokada", "rvc.f0_convention=zero_unvoiced", "rvc.embedder=contentvec")

    unknown, known, asked = (
        generators.load_generator(item)
        for item in (job(silent, "export=wokada"), job(ours, "export=wokada"), job(ours, *given))
    )

    assert (unknown.f0_convention, unknown.encoder) == (None, "contentvec")
    assert (known.f0_convention, known.encoder) == ("interpolated", "spin")
    assert (asked.f0_convention, asked.encoder) == ("zero_unvoiced", "contentvec")
    note = generators._notes(job(silent, "export=wokada"), unknown)[1]
    assert "does not say what its f0 held in unvoiced frames" in note and "\n" not in note


@pytest.mark.usefixtures("small")
def test_a_file_of_ours_on_another_layer_is_refused(tmp_path: Path) -> None:
    own = {"embedder": "contentvec", "encoder": {"id": "contentvec", "layer": 9}}
    path = saved(tmp_path / "bob.pth", {**webui_voice(small_generator()), "voclo_trainer": own})

    with pytest.raises(ConfigError, match="layer 9 without projection of contentvec, but every program gives RVC v2"):
        export_generator(job(path, "export=wokada"))


@pytest.mark.usefixtures("small")
def test_an_encoder_that_the_programs_lack_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator()))
    load = generators.load_generator
    monkeypatch.setattr(generators, "load_generator", lambda given: replace(load(given), encoder="builtin"))

    with pytest.raises(ConfigError, match="content features of builtin, which these programs do not compute"):
        export_generator(job(path, "export=wokada"))
