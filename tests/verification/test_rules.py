"""Each rule of verification finds its planted fault, and a sound graph passes all of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.scripts.test_test_model import run
from tests.tools.planted_graphs import (
    BLOCKS,
    NAME,
    RATE,
    SHAPE,
    SHORT,
    delayed,
    external,
    extra_float,
    extra_integer,
    failed,
    node,
    verify,
    with_position,
    write,
)
from tests.tools.standin_voice import export_standin, metadata_of
from utils.errors import ConfigError
from utils.verification import audio_rules, file_rules, host_rules
from utils.verification.alignment import copy_likeness, level_delay, seam_scores, spectral_difference_db
from utils.verification.candidate import Candidate, Extent
from utils.verification.checks import Check
from utils.verification.live_host import LiveHost, numbers_in_name
from utils.verification.suite import check_conformance
from utils.voice_file.metadata import METADATA_KEY
from utils.voice_file.onnx_contents import read_contents


def infinity_rule(candidate: Candidate) -> Check:
    case = next(item for item in audio_rules.cases(RATE) if item.name == "infinity in the input")
    return audio_rules.check_case(candidate, case)


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
