"""Each rule of verification finds its planted fault, and a sound graph passes all of them."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from benchmarks.old_runtimes import Comparison
from tests.standin_voice import export_standin, metadata_of
from tests.test_inference_script import run
from utils.errors import ConfigError, FormatError
from utils.export.checks import Check
from utils.export.contract import CONTROLS, METADATA_KEY
from utils.export.signals import speech_like
from utils.inference.conformance import audio_rules, control_rules, file_rules, host_rules
from utils.inference.conformance.alignment import copy_likeness, level_delay, seam_scores, spectral_difference_db
from utils.inference.conformance.audio_rules import Case, check_case
from utils.inference.conformance.candidate import Candidate, Extent, relative_db
from utils.inference.conformance.live_host import LiveHost, numbers_in_name
from utils.inference.conformance.onnx_file import read_contents
from utils.inference.conformance.suite import check_conformance, check_file

RATE = 8000
NAME = "tiny_sr8000_hop80_nfft320.onnx"
SHORT = Extent(minutes=0, num_blocks=0)
SHAPE = ["batch", "time"]
BLOCKS = {f"voclo, blocks of {size}" for size in (4410, 4800, 19200)}


def write(
    folder: Path,
    *last: NodeProto,
    name: str = NAME,
    inputs: tuple[onnx.ValueInfoProto, ...] = (),
    constants: dict[str, Any] | None = None,
    output_type: int = TensorProto.FLOAT,
    output_shape: list[Any] | None = None,
    first: tuple[NodeProto, ...] | None = None,
) -> Path:
    """Write a graph that rectifies its input; `last` are nodes from "sound" to "output"."""
    clean = (
        helper.make_node("IsNaN", ["audio"], ["broken"]),
        helper.make_node("Where", ["broken", "zero", "audio"], ["real"]),
        helper.make_node("Clip", ["real", "low", "high"], ["finite"]),
        helper.make_node("Abs", ["finite"], ["sound"]),
    )
    nodes = [*(clean if first is None else first), *(last or (helper.make_node("Identity", ["sound"], ["output"]),))]
    values = {"zero": np.float32(0), "low": np.float32(-1), "high": np.float32(1), **(constants or {})}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, SHAPE), *inputs],
        [helper.make_tensor_value_info("output", output_type, output_shape or SHAPE)],
        [onnx.numpy_helper.from_array(np.array(value), key) for key, value in values.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(folder / name))
    return folder / name


def node(operator: str, *inputs: str, **attributes: Any) -> NodeProto:
    """Return a node from its inputs to "output"."""
    return helper.make_node(operator, list(inputs), ["output"], **attributes)


def delayed(folder: Path, milliseconds: float) -> Path:
    """Write a graph whose output comes late."""
    late = round(milliseconds * RATE / 1000)
    return write(
        folder,
        helper.make_node("Pad", ["sound", "pads"], ["longer"]),
        node("Slice", "longer", "start", "end", "axis"),
        constants={"pads": np.array([0, late, 0, 0]), "start": np.array([0]), "end": np.array([-late]),
                   "axis": np.array([1])},
    )  # fmt: skip


def with_position(folder: Path, *last: NodeProto, **constants: Any) -> Path:
    """Write a graph whose last nodes also know "position", the number of each sample."""
    counting = (
        helper.make_node("Equal", ["sound", "sound"], ["same"]),
        helper.make_node("Cast", ["same"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("CumSum", ["ones", "axis"], ["position"]),
    )
    return write(folder, *counting, *last, constants={"axis": np.int64(1), **constants})


def extra_float(folder: Path) -> Path:
    value = helper.make_tensor_value_info("noise", TensorProto.FLOAT, SHAPE)
    return write(folder, node("Add", "sound", "noise"), inputs=(value,))


def extra_integer(folder: Path) -> Path:
    value = helper.make_tensor_value_info("sid", TensorProto.INT64, ["batch"])
    return write(
        folder,
        helper.make_node("Cast", ["sid"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["number"], ["sum"], keepdims=0),
        node("Add", "sound", "sum"),
        inputs=(value,),
    )


def external(folder: Path) -> Path:
    path = write(folder, node("Add", "sound", "weight"), constants={"weight": np.zeros((1, 2000), np.float32)[:, :1]})
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def infinity_rule(candidate: Candidate) -> Check:
    case = next(item for item in audio_rules.cases(RATE) if item.name == "infinity in the input")
    return audio_rules.check_case(candidate, case)


def failed(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.detail for check in checks if not check.passed}


def verify(path: Path, **values: Any) -> list[Check]:
    return check_conformance(Candidate(path=path, **{"extent": SHORT, **values}))


def test_a_sound_graph_passes_every_rule(tmp_path: Path) -> None:
    checks = verify(write(tmp_path), extent=Extent(minutes=0.6, num_blocks=60))

    assert failed(checks) == {}
    assert len(checks) == 27
    assert all(np.isfinite(list(check.figures.values())).all() for check in checks)


def test_an_exported_voice_passes_every_rule_beside_pytorch(tmp_path: Path) -> None:
    subject = export_standin(tmp_path)

    checks = verify(subject.path, reference=lambda audio: subject.reference(audio, subject.defaults))

    assert failed(checks) == {}
    parities = [check.figures["parity_db"] for check in checks if "parity_db" in check.figures]
    assert len(parities) == 11
    assert max(parities) < -80


@pytest.mark.parametrize(
    ("rules", "plant"),
    [
        ({"first output", "whole file", *BLOCKS}, lambda folder: write(
            folder, node("Unsqueeze", "sound", "axis"), constants={"axis": np.array([1])},
            output_shape=["batch", 1, "time"])),
        ({"1 sample", "whole file", "voclo, odd sizes", *BLOCKS}, lambda folder: write(
            folder, node("Slice", "sound", "from", "to", "axis"),
            constants={"from": np.array([0]), "to": np.array([-1]), "axis": np.array([1])})),
        ({"1 sample", "whole file", "voclo, odd sizes", *BLOCKS}, lambda folder: write(
            folder, node("Pad", "sound", "pads"), constants={"pads": np.array([0, 0, 0, 1])})),
        ({"NaN in the input", "only NaN"}, lambda folder: write(
            folder, first=(helper.make_node("Abs", ["audio"], ["sound"]),))),
        ({"silence", "silence, 1 sample", "pause after speech"}, lambda folder: write(
            folder, node("Div", "sound", "sound"))),
        ({"not the dry signal"}, lambda folder: write(folder, node("Identity", "finite"))),
        ({"not the dry signal"}, lambda folder: write(
            folder, node("Mul", "finite", "gain"), constants={"gain": np.float32(-0.3)})),
        ({"silence", "silence, 1 sample", "pause after speech", "only NaN"}, lambda folder: write(
            folder, node("Add", "sound", "hum"), constants={"hum": np.float32(0.01)})),
        ({"whole file", "full-scale square", *BLOCKS}, lambda folder: write(
            folder, node("Mul", "sound", "gain"), constants={"gain": np.float32(100)})),
        ({"whole file", "batch of 3", "latency", *BLOCKS}, lambda folder: write(
            folder, node("Mul", "sound", "zero"))),
        ({"required input", "whole file"}, extra_float),
        ({"required input", "whole file", *BLOCKS}, extra_integer),
        ({"first output", *BLOCKS}, lambda folder: write(
            folder, node("Cast", "sound", to=TensorProto.DOUBLE), output_type=TensorProto.DOUBLE)),
        ({"file", "same input, same output"}, lambda folder: write(
            folder, helper.make_node("RandomNormalLike", ["sound"], ["noise"]), node("Mul", "sound", "noise"))),
        ({"latency"}, lambda folder: delayed(folder, 3.0)),
        ({"voclo, seams"}, lambda folder: with_position(
            folder, helper.make_node("Less", ["position", "two"], ["start"]),
            helper.make_node("Where", ["start", "click", "zero"], ["clicks"]), node("Add", "sound", "clicks"),
            two=np.float32(1.5), click=np.float32(2.9))),
        ({"file"}, lambda folder: write(folder, *[
            helper.make_node("If", ["flag"], ["output"], then_branch=branch, else_branch=branch)
            for branch in [helper.make_graph([helper.make_node("RandomUniformLike", ["sound"], ["o"])], "b", [],
                           [helper.make_tensor_value_info("o", TensorProto.FLOAT, SHAPE)])]],
            constants={"flag": np.bool_(True)})),
    ],
    ids=["rank 3", "one sample short", "one sample long", "NaN through", "NaN from silence", "dry", "dry, inverted",
         "hum", "too loud", "mute", "extra float input", "extra integer input", "double output", "random", "late",
         "clicks at starts", "random inside a branch"],
)  # fmt: skip
def test_each_planted_fault_is_found(rules: set[str], plant: Callable[[Path], Path], tmp_path: Path) -> None:
    found = failed(verify(plant(tmp_path)))

    assert rules <= set(found), found


def only_nan_is_caught(folder: Path) -> Path:
    return write(folder, first=(
        helper.make_node("IsNaN", ["audio"], ["broken"]),
        helper.make_node("Where", ["broken", "zero", "audio"], ["real"]),
        helper.make_node("Abs", ["real"], ["sound"])))  # fmt: skip


def rows_mixed(folder: Path) -> Path:
    return write(
        folder, helper.make_node("ReduceMean", ["sound"], ["mean"], axes=[0], keepdims=1), node("Add", "sound", "mean")
    )


def dry_and_late(folder: Path, milliseconds: float = 30.0) -> Path:
    late = round(milliseconds * RATE / 1000)
    return write(
        folder, helper.make_node("Pad", ["finite", "pads"], ["longer"]),
        node("Slice", "longer", "start", "end", "axis"),
        constants={"pads": np.array([0, late, 0, 0]), "start": np.array([0]), "end": np.array([-late]),
                   "axis": np.array([1])},
    )  # fmt: skip


def contributed(folder: Path) -> Path:
    path = write(folder, helper.make_node("Gelu", ["sound"], ["output"], domain="com.microsoft"))
    model = onnx.load(str(path))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, str(path))
    return path


def with_opset(folder: Path, version: int) -> Path:
    model = onnx.load(str(write(folder)))
    model.opset_import[0].version = version
    onnx.save(model, str(folder / NAME))
    return folder / NAME


def two_outputs(folder: Path) -> Path:
    model = onnx.load(str(write(folder)))
    model.graph.output.append(helper.make_tensor_value_info("sound", TensorProto.FLOAT, SHAPE))
    onnx.save(model, str(folder / NAME))
    return folder / NAME


def fixed_axis(folder: Path) -> Path:
    model = onnx.load(str(write(folder)))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, str(folder / NAME))
    return folder / NAME


@pytest.mark.parametrize(
    ("rule", "plant", "reason"),
    [
        (infinity_rule, only_nan_is_caught, "not finite"),
        (audio_rules.check_repetition, rows_mixed, "in a batch it differs by"),
        (audio_rules.check_conversion, dry_and_late, "correlation with the input at most 1.00"),
        (file_rules.check_file, contributed, "operator com.microsoft.Gelu is not standard"),
        (file_rules.check_file, lambda folder: with_opset(folder, 16), "opset 16; allowed: 17 to 20"),
        (file_rules.check_file, lambda folder: with_opset(folder, 21), "opset 21; allowed: 17 to 20"),
        (file_rules.check_output, two_outputs, "2 outputs; only the first is ever read"),
        (file_rules.check_inputs, fixed_axis, "has fixed axes [1, 'time']; both must be free"),
    ],
    ids=["infinity", "batch", "late and dry", "contrib operator", "old", "new", "two outputs", "fixed axis"],
)
def test_a_rule_by_itself_finds_its_fault(
    rule: Callable[[Candidate], Check], plant: Callable[[Path], Path], reason: str, tmp_path: Path
) -> None:
    check = rule(Candidate(path=plant(tmp_path)))

    assert not check.passed
    assert reason in check.detail


@pytest.mark.parametrize(("needs_context", "outcome"), [(False, "FAIL"), (True, "WARN")])
def test_clicks_of_an_architecture_that_needs_context_are_a_warning(
    tmp_path: Path, needs_context: bool, outcome: str
) -> None:
    path = with_position(
        tmp_path, helper.make_node("Less", ["position", "two"], ["start"]),
        helper.make_node("Where", ["start", "click", "zero"], ["clicks"]), node("Add", "sound", "clicks"),
        two=np.float32(1.5), click=np.float32(2.9),
    )  # fmt: skip
    model = onnx.load(str(path))
    described = replace(metadata_of("tiny"), extra={"needs_context": needs_context})
    helper.set_model_props(model, {METADATA_KEY: described.to_json()})
    path.write_bytes(model.SerializeToString())

    check = host_rules.check_seams(Candidate(path=path))

    assert check.outcome == outcome
    assert check.figures["seam_step_db"] > host_rules.SEAM_STEP_DB
    assert ("wants sound around each block" in check.detail) == needs_context


def test_smooth_blocks_of_such_an_architecture_pass_without_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path)
    model = onnx.load(str(path))
    helper.set_model_props(model, {METADATA_KEY: replace(metadata_of("tiny"), extra={"needs_context": True}).to_json()})
    path.write_bytes(model.SerializeToString())

    assert host_rules.check_seams(Candidate(path=path)).outcome == "PASS"


def test_only_the_rule_of_a_late_output_finds_it(tmp_path: Path) -> None:
    assert set(failed(verify(delayed(tmp_path, 3.0)))) == {"latency"}
    assert failed(verify(delayed(tmp_path, 0.75))) == {}


def test_an_extra_float_input_is_filled_with_audio_by_the_live_host(tmp_path: Path) -> None:
    path = extra_float(tmp_path)
    block = np.linspace(-0.5, 0.5, 100, dtype=np.float32)

    played = LiveHost(Candidate(path=path).session).process(block)

    assert played.problem is None
    np.testing.assert_allclose(played.samples, np.abs(block) + block, atol=1e-6)


def test_the_live_host_plays_the_dry_voice_when_a_rank_is_wrong(tmp_path: Path) -> None:
    block = np.ones(100, np.float32)

    played = LiveHost(Candidate(path=extra_integer(tmp_path)).session).process(block)

    assert played.is_dry
    assert "the run fails, the dry voice passes" in str(played.problem)
    np.testing.assert_array_equal(played.samples, block)


def test_weights_in_another_file_are_found_even_when_it_lies_beside(tmp_path: Path) -> None:
    path = external(tmp_path)

    found = failed(verify(path))

    assert (tmp_path / "weights.bin").exists()
    assert "in another file (" in found["file"]
    assert "weight" in read_contents(path).external


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("voice.onnx", "is not named <name>_sr"),
        ("a_sr8000.onnx", "is not named <name>_sr"),
        ("a_sr2_sr8000_hop80_nfft320.onnx", "would read as a rate"),
        ("a_sr8000_hop80_nfft320.ONNX", "is not named"),
    ],
)
def test_a_name_that_hosts_misread_is_found(name: str, reason: str, tmp_path: Path) -> None:
    found = failed(verify(write(tmp_path, name=name)))

    assert set(found) == {"name"}
    assert reason in found["name"]


def test_a_name_that_contradicts_the_metadata_is_found(tmp_path: Path) -> None:
    path = export_standin(tmp_path).path
    renamed = path.rename(tmp_path / "other_sr48000_hop480_nfft1920.onnx")

    found = failed(verify(renamed))

    assert set(found) == {"name"}
    assert "sr48000 in the name, 8000 inside" in found["name"]


def test_a_difference_from_pytorch_is_found(tmp_path: Path) -> None:
    candidate = Candidate(path=write(tmp_path), extent=SHORT)

    def reference(audio: np.ndarray) -> np.ndarray:
        return np.float32(1.0003) * candidate.run(audio)

    found = failed(check_conformance(replace(candidate, reference=reference)))

    assert "whole file" in found
    assert "-70.5 dB from PyTorch (allowed -80; itself -142 dB" in found["whole file"]
    assert "silence" not in found


def test_an_end_that_drifts_in_a_long_recording_is_found(tmp_path: Path) -> None:
    path = with_position(
        tmp_path,
        helper.make_node("Less", ["position", "limit"], ["early"]),
        helper.make_node("Where", ["early", "one", "less"], ["gain"]),
        node("Mul", "sound", "gain"),
        limit=np.float32(25 * RATE), one=np.float32(1), less=np.float32(0.1),
    )  # fmt: skip

    found = failed(verify(path, extent=Extent(minutes=0.6, num_blocks=0)))

    assert set(found) == {"0.6 minutes"}
    assert "dB from the end alone" in found["0.6 minutes"]


def test_memory_that_grows_with_every_block_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter((100_000_000, 120_000_000))
    monkeypatch.setattr(host_rules, "resident_bytes", lambda: next(readings))

    found = failed(verify(write(tmp_path), extent=Extent(minutes=0, num_blocks=10)))

    assert found["voclo, memory over 10 blocks"].startswith("+20.0 MB (allowed 8)")


def test_memory_of_this_process_can_be_read() -> None:
    if not host_rules.MEMORY_STATISTICS.exists():
        pytest.skip("no /proc here")
    before = host_rules.resident_bytes()
    held = np.ones(20_000_000)

    assert before is not None
    assert (host_rules.resident_bytes() or 0) - before > 0.9 * held.nbytes


def test_a_file_that_is_no_graph_fails_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"nothing of the kind")

    assert set(failed(verify(path))) == {"file", "loading"}


@pytest.mark.parametrize("name", ["absent.onnx", "song.wav"])
def test_no_onnx_file_is_an_error_of_the_user(name: str, tmp_path: Path) -> None:
    (tmp_path / "song.wav").touch()

    with pytest.raises(ConfigError, match=name):
        verify(tmp_path / name)


def test_the_live_host_reads_a_name_token_by_token() -> None:
    assert numbers_in_name(Path("a_sr48000_hop480_nfft1920.onnx")) == {"sr": 48000, "hop": 480, "nfft": 1920}
    assert numbers_in_name(Path("voice.onnx")) == {"sr": 44100, "hop": 512, "nfft": 2048}
    assert numbers_in_name(Path("hope_sr2_SR9_sr3.onnx")) == {"sr": 3, "hop": 512, "nfft": 2048}


@pytest.mark.parametrize("late", [0, 3, 80, -24])
def test_delay_is_measured_to_a_tenth_of_a_millisecond(late: int) -> None:
    rng = np.random.default_rng(0)
    envelope = np.repeat(rng.uniform(0, 1, 200), RATE // 50)
    one, other = (envelope * rng.standard_normal(len(envelope)) for _ in range(2))

    delay = level_delay(one, np.roll(one, late), RATE)

    assert delay.seconds == pytest.approx(late / RATE, abs=1e-4)
    assert delay.correlation > 0.99
    assert abs(level_delay(one, np.roll(other, late), RATE).seconds - late / RATE) < 2e-3


def test_copies_are_told_from_other_signals() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, RATE))

    assert copy_likeness(one, np.roll(-0.2 * one, 40), RATE) > 0.98
    assert copy_likeness(one, other, RATE) < 0.1


def test_seams_and_spectra_are_zero_for_equal_conversions() -> None:
    audio = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    stepped = audio + 10 * (np.arange(RATE) // 800 % 2).astype(np.float32)

    even, rough = seam_scores(audio, audio, 800), seam_scores(audio, stepped, 800)
    assert (even.jump_db, even.step_db) == (pytest.approx(0, abs=3), pytest.approx(3, abs=3))
    assert (rough.jump_db, rough.step_db) == (pytest.approx(17, abs=2), pytest.approx(20, abs=2))
    assert spectral_difference_db(audio, audio, RATE) == 0
    assert spectral_difference_db(audio, 0.5 * audio, RATE) == pytest.approx(20 * np.log10(2), abs=0.2)


def test_script_exits_by_the_outcome_and_writes_the_report(tmp_path: Path) -> None:
    write(tmp_path)
    delayed(tmp_path, 3.0).rename(tmp_path / "late_sr8000_hop80_nfft320.onnx")
    write(tmp_path)
    quick = ("verify_minutes=0.1", "verify_blocks=20")

    good = run(tmp_path, f"verify={NAME}", "report=out/r.json", *quick)
    bad = run(tmp_path, "verify=late_sr8000_hop80_nfft320.onnx", *quick)

    assert (good.returncode, bad.returncode) == (0, 1), good.stderr + bad.stderr
    assert "PASS  not the dry signal" in good.stdout
    assert "equality with PyTorch was not tried" in good.stdout
    assert "FAIL  latency" in bad.stdout
    assert "1 of 27 rules do not hold" in bad.stdout
    report = json.loads((tmp_path / "out" / "r.json").read_text(encoding="utf-8"))
    assert report["passed"]
    failing = json.loads((tmp_path / "verified" / "late_sr8000_hop80_nfft320.json").read_text(encoding="utf-8"))
    assert [check["name"] for check in failing["checks"] if not check["passed"]] == ["latency"]
    assert failing["checks"][-2]["figures"]["latency_seconds"] == pytest.approx(0.003, abs=2e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify=none.onnx",), "error: none.onnx does not exist; give an exported .onnx file"),
        (("verify=none.onnx", "audio=x.wav"), "error: verify= tries a graph on its own signals"),
        (("verify=none.onnx", "verify_minutes=-1"), "error: verify_minutes=-1 is out of range"),
        (("verify=none.onnx", "verify_blocks=many"), "error: verify_blocks=many must be a whole number"),
    ],
)
def test_script_says_in_one_line_what_the_user_can_repair(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    finished = run(tmp_path, *arguments)

    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1


def dry_where(folder: Path, condition: str, **limits: float) -> Path:
    """Write a graph that gives the input back while `condition` of the number of samples and `limit` is true."""
    return write(
        folder,
        helper.make_node("Shape", ["sound"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "place"], ["count"]),
        helper.make_node(condition, ["count", "limit"], ["passes"]),
        node("Where", "passes", "finite", "sound"),
        constants={"place": np.int64(limits.pop("place", 1)), "limit": np.int64(limits["limit"])},
    )


@pytest.mark.parametrize(
    ("condition", "limits", "rules"),
    [
        ("Less", {"limit": 20000}, {"voclo, odd sizes", "voclo, seams", *BLOCKS}),
        ("Less", {"limit": 800}, {"voclo, odd sizes"}),
        ("Greater", {"limit": 12 * RATE}, {"0.6 minutes"}),
        ("Greater", {"limit": 1, "place": 0}, {"batch of 3"}),
    ],
    ids=["in every block", "in the shortest blocks", "in long recordings", "in batches"],
)
def test_the_dry_voice_is_found_wherever_it_passes(
    condition: str, limits: dict[str, float], rules: set[str], tmp_path: Path
) -> None:
    path = dry_where(tmp_path, condition, **limits)

    found = failed(verify(path, extent=Extent(minutes=0.6 if "0.6 minutes" in rules else 0, num_blocks=0)))

    assert rules <= set(found), found
    assert all("the unconverted sound comes back (correlation 1.00" in found[rule] for rule in rules), found


def test_trouble_in_the_blocks_of_the_seams_is_told(tmp_path: Path) -> None:
    check = host_rules.check_seams(Candidate(path=extra_integer(tmp_path)))

    assert not check.passed
    assert "the run fails, the dry voice passes" in check.detail


def test_seams_rougher_than_one_piece_are_a_warning_with_the_figure(tmp_path: Path) -> None:
    path = with_position(
        tmp_path, helper.make_node("Less", ["position", "two"], ["start"]),
        helper.make_node("Where", ["start", "click", "zero"], ["clicks"]), node("Add", "sound", "clicks"),
        two=np.float32(1.5), click=np.float32(0.25),
    )  # fmt: skip

    check = host_rules.check_seams(Candidate(path=path))

    assert check.outcome == "WARN", check.detail
    assert check.figures["seam_jump_db"] > host_rules.SEAM_JUMP_DB
    assert check.figures["seam_step_db"] < host_rules.SEAM_STEP_DB
    assert f"{check.figures['seam_jump_db']:+.1f} dB against the steps of one piece" in check.detail
    assert "as with every voice that keeps no state" in check.detail


def with_controls(folder: Path, *last: NodeProto, **constants: Any) -> Path:
    """Write a graph with the five optional inputs, all of them bounded, and nodes from "sound" to "output"."""
    path = write(folder, *last, constants=constants)
    model = onnx.load(str(path))
    for control in CONTROLS:
        kind = TensorProto.INT64 if control.is_integer else TensorProto.FLOAT
        model.graph.input.append(helper.make_tensor_value_info(control.name, kind, []))
        model.graph.initializer.append(helper.make_tensor(control.name, kind, [], [0]))
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("reason", "nodes"),
    [
        (
            "index_rate=1: 2400 of 2400 samples are not finite",
            (
                helper.make_node("Sub", ["most", "index_rate"], ["rest"]),
                helper.make_node("Sqrt", ["rest"], ["root"]),
                helper.make_node("Mul", ["root", "zero"], ["nothing"]),
                node("Add", "sound", "nothing"),
            ),
        ),
        (
            "pitch_shift=nan: 2400 of 2400 samples are not finite",
            (helper.make_node("Mul", ["pitch_shift", "zero"], ["nothing"]), node("Add", "sound", "nothing")),
        ),
        (
            "pitch_shift=1000: peak",
            (
                helper.make_node("IsNaN", ["pitch_shift"], ["bad"]),
                helper.make_node("Where", ["bad", "zero", "pitch_shift"], ["real_shift"]),
                helper.make_node("Clip", ["real_shift", "zero", "thousand"], ["shift"]),
                node("Add", "sound", "shift"),
            ),
        ),
        (
            "speaker_id=2147483647: the run fails: ",
            (
                helper.make_node("Gather", ["table", "speaker_id"], ["row"]),
                node("Add", "sound", "row"),
            ),
        ),
    ],
    ids=["a value within the range", "NaN", "far beyond the range", "speaker"],
)
def test_a_control_that_breaks_the_sound_is_found(reason: str, nodes: tuple[NodeProto, ...], tmp_path: Path) -> None:
    path = with_controls(
        tmp_path, *nodes, most=np.float32(0.75), thousand=np.float32(1e3), table=np.array([0.0, np.nan], np.float32)
    )

    check = control_rules.check_hostile_controls(Candidate(path=path))

    assert not check.passed
    assert reason in check.detail


def test_a_graph_without_controls_skips_their_rule_and_one_of_ours_must_have_them(tmp_path: Path) -> None:
    path = write(tmp_path)
    skipped = control_rules.check_hostile_controls(Candidate(path=path))
    model = onnx.load(str(path))
    helper.set_model_props(model, {METADATA_KEY: metadata_of("tiny").to_json()})
    path.write_bytes(model.SerializeToString())

    check = file_rules.check_inputs(Candidate(path=path))

    assert skipped.outcome == "SKIP"
    assert "no optional scalar input pitch_shift, speaker_id, index_rate, protect, loudness_mix" in check.detail


def sequence_output(folder: Path) -> Path:
    path = write(folder, helper.make_node("SequenceConstruct", ["sound"], ["output"]))
    model = onnx.load(str(path))
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, SHAPE))
    model.graph.output[0].CopyFrom(helper.make_value_info("output", kind))
    onnx.save(model, str(path))
    return path


def string_output(folder: Path) -> Path:
    return write(folder, node("Cast", "sound", to=TensorProto.STRING), output_type=TensorProto.STRING)


def with_metadata(folder: Path, name: str = NAME, **values: Any) -> Path:
    path = write(folder, name=name)
    model = onnx.load(str(path))
    stored = json.loads(metadata_of("tiny").to_json()) | values
    helper.set_model_props(model, {METADATA_KEY: json.dumps(stored)})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("plant", "reasons"),
    [
        (sequence_output, {"whole file": "its first output output is seq(tensor(float)), no audio"}),
        (string_output, {"whole file": "its first output output is tensor(string), no audio"}),
        (lambda folder: with_metadata(folder, sample_rate="8000"), {"name": "sample_rate is '8000', no multiple"}),
        (lambda folder: with_metadata(folder, sample_rate=0), {"name": "sample_rate is 0, no multiple of 100 from"}),
        (lambda folder: with_metadata(folder, speakers=3), {"name": "speakers is 3, no list of mappings"}),
        (lambda folder: with_metadata(folder, extra=[]), {"name": "extra is [], no mapping"}),
        (
            lambda folder: with_metadata(folder, NAME.replace(".onnx", "_stream.onnx"), extra={"stream": {}}),
            {"name": "extra.stream is {}; it needs block", "stream, signature": "extra.stream is {}; it needs block"},
        ),
    ],
    ids=["sequence", "text", "rate of letters", "rate of zero", "speakers", "extra", "stream without facts"],
)
def test_an_odd_file_fails_in_rows_not_in_a_traceback(
    plant: Callable[[Path], Path], reasons: dict[str, str], tmp_path: Path
) -> None:
    found = failed(verify(plant(tmp_path)))

    for rule, reason in reasons.items():
        assert reason in found[rule], found


def test_whatever_a_rule_raises_is_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(candidate: Candidate) -> Check:
        raise KeyError("gone")

    monkeypatch.setattr(audio_rules, "check_latency", broken)
    monkeypatch.setattr(audio_rules, "cases", lambda rate: iter(()))

    assert failed(verify(write(tmp_path))) == {"latency": "KeyError: 'gone'"}
    monkeypatch.setattr(audio_rules, "cases", lambda rate: 1 // 0)
    assert set(failed(verify(write(tmp_path)))) == {"inputs of the rules"}


def test_no_comparison_lets_nan_pass(tmp_path: Path) -> None:
    sound, broken = np.ones((1, 8), np.float32), np.full((1, 8), np.nan, np.float32)

    assert relative_db(broken, sound) == relative_db(sound, broken) == np.inf
    found = failed(verify(write(tmp_path), reference=lambda audio: np.full_like(audio, np.nan)))
    assert "whole file" in found and "inf dB from PyTorch" in found["whole file"]
    assert not Comparison("1.19.2", relative_db(broken, sound), "all").is_near
    assert Comparison("1.19.2", -100.0, "all").is_near


def test_a_file_that_is_no_voice_is_one_line(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["label"])],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.INT64, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, [1, 3, 8, 8])],
    )
    path = tmp_path / "classifier.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))

    with pytest.raises(FormatError, match=r"classifier\.onnx is no voice: it takes image tensor\(int64\)"):
        check_file(Candidate(path=path))
    assert check_file(Candidate(path=write(tmp_path), extent=SHORT)).kind == "audio_to_audio"


class Unsteady:
    """A voice whose answer has a share that the last bit of its input decides, and a graph that is `apart` from it."""

    parity_db = -80.0
    own_change_db = Candidate.own_change_db

    def __init__(self, share: float, apart: float) -> None:
        self.share, self.apart = share, apart

    def reference(self, audio: np.ndarray) -> np.ndarray:
        return audio + np.float32(self.share) * np.sin(1e8 * audio.astype(np.float64)).astype(np.float32)

    def run(self, audio: np.ndarray) -> np.ndarray:
        return self.reference(audio) + np.float32(self.apart) * np.sin(np.arange(audio.shape[1], dtype=np.float32))


@pytest.mark.parametrize(
    ("share", "apart", "words"),
    [
        (0.0, 1e-5, "PyTorch -8"),
        (3e-4, 3e-4, "dB when the last bit of the input changes"),  # no nearer than the voice is to itself
        (0.0, 3e-4, r"allowed -80; itself -1\d\d dB when the last bit"),
        (3e-4, 1e-2, r"allowed -5\d"),
        (0.3, 0.1, "allowed -50"),
    ],
)
def test_limit_of_parity_follows_what_the_voice_makes_of_the_last_bit(share: float, apart: float, words: str) -> None:
    audio = speech_like(RATE, RATE // 4, 1)[None]

    check = check_case(cast(Candidate, Unsteady(share, apart)), Case(name="square", audio=audio, is_sound=False))

    assert check.outcome == ("FAIL" if "allowed" in words else "WARN" if "last bit" in words else "PASS")
    assert re.search(words, check.detail), check.detail
