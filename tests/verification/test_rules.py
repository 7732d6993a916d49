"""Each rule of verification finds its planted fault, and a sound graph passes all of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.tools.planted_graphs import (
    BLOCKS,
    NAME,
    RATE,
    SHAPE,
    delayed,
    external,
    extra_float,
    extra_integer,
    failed,
    node,
    reference_of,
    verify,
    with_position,
    write,
)
from tests.tools.standin_voice import export_standin
from utils.errors import ConfigError
from utils.verification import audio_rules, file_rules
from utils.verification.candidate import Candidate, Extent
from utils.verification.cases import CASES
from utils.verification.checks import Check
from utils.verification.rules import CONTROL_INPUTS, LISTENING, RULES
from utils.voice_file.kinds import AUDIO_TO_AUDIO
from utils.voice_file.onnx_contents import read_contents

ROOT = Path(__file__).resolve().parents[2]
NOT_LISTENED = {"longer than a minute", "cost"}


def infinity_rule(candidate: Candidate) -> Check:
    case = next(item for item in CASES if item.name == "infinity in the input")
    return audio_rules.check_case(candidate, case=case)


@pytest.mark.slow
def test_a_sound_graph_passes_every_rule(tmp_path: Path) -> None:
    checks = verify(write(tmp_path), extent=Extent(minutes=0.6, num_blocks=60, listens=False))

    assert failed(checks) == {}
    left_out = {*LISTENING, CONTROL_INPUTS.name}
    assert len(checks) == sum(AUDIO_TO_AUDIO in rule.kinds and rule.name not in left_out for rule in RULES)
    skipped = {check.name for check in checks if check.is_skipped}
    no_metadata = {"metadata", "files beside it", "hostile controls", "defaults", "controls take effect", *NOT_LISTENED}
    assert (
        skipped == {rule.name for rule in RULES if rule.needs_reference and AUDIO_TO_AUDIO in rule.kinds} | no_metadata
    )
    assert all(np.isfinite(list(check.figures.values())).all() for check in checks)


@pytest.mark.slow
def test_an_exported_voice_passes_every_rule_beside_pytorch(tmp_path: Path) -> None:
    checks = export_standin(tmp_path).verify()

    assert failed(checks) == {}
    assert {check.name for check in checks if check.is_skipped} == {
        "files beside it", "voclo, memory", "long recording", *NOT_LISTENED,
    }  # fmt: skip
    parities = [check.figures["parity_db"] for check in checks if "parity_db" in check.figures]
    assert len(parities) == len(CASES) == 12
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
        (audio_rules.check_batch, rows_mixed, "in a batch it differs by"),
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


@pytest.mark.slow
def test_only_the_rule_of_a_late_output_finds_it(tmp_path: Path) -> None:
    assert set(failed(verify(delayed(tmp_path, 3.0)))) == {"latency"}
    assert failed(verify(delayed(tmp_path, 0.75))) == {}


def test_weights_in_another_file_are_found_even_when_it_lies_beside(tmp_path: Path) -> None:
    path = external(tmp_path)

    found = failed(verify(path))

    assert (tmp_path / "weights.bin").exists()
    assert "in another file (" in found["file"]
    assert "weight" in read_contents(path).external


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_name_that_contradicts_the_metadata_is_found(tmp_path: Path) -> None:
    path = export_standin(tmp_path).path
    renamed = path.rename(tmp_path / "other_sr48000_hop480_nfft1920.onnx")

    found = failed(verify(renamed))

    assert set(found) == {"name"}
    assert "sr48000 in the name, 8000 inside" in found["name"]


@pytest.mark.slow
def test_a_difference_from_pytorch_is_found(tmp_path: Path) -> None:
    candidate = Candidate(path=write(tmp_path))

    found = failed(verify(candidate.path, reference_of(lambda audio: np.float32(1.0003) * candidate.run(audio))))

    assert "whole file" in found
    assert "-70.5 dB from PyTorch (allowed -80; itself -118 dB" in found["whole file"]
    assert "silence" not in found


def test_a_long_recording_of_less_than_a_minute_is_part_of_the_one_that_is_longer(tmp_path: Path) -> None:
    candidate = Candidate(path=write(tmp_path), extent=Extent(minutes=0.6, num_blocks=0, listens=True))

    check = audio_rules.check_long(candidate)

    assert check.is_skipped and check.detail == "part of what is longer than a minute"


def test_an_end_that_drifts_in_a_long_recording_is_found(tmp_path: Path) -> None:
    path = with_position(
        tmp_path,
        helper.make_node("Less", ["position", "limit"], ["early"]),
        helper.make_node("Where", ["early", "one", "less"], ["gain"]),
        node("Mul", "sound", "gain"),
        limit=np.float32(25 * RATE), one=np.float32(1), less=np.float32(0.1),
    )  # fmt: skip

    found = failed(verify(path, extent=Extent(minutes=0.6, num_blocks=0, listens=False)))

    assert set(found) == {"0.6 minutes"}
    assert "dB from the end alone" in found["0.6 minutes"]


def test_a_second_of_a_long_recording_that_sounds_otherwise_than_before_is_found(tmp_path: Path) -> None:
    path = with_position(
        tmp_path,
        helper.make_node("Sub", ["position", "limit"], ["behind"]),
        helper.make_node("Abs", ["behind"], ["far"]),
        helper.make_node("Less", ["far", "half"], ["chosen"]),
        helper.make_node("Sin", ["position"], ["tone"]),
        helper.make_node("Mul", ["sound", "tone"], ["other"]),
        node("Where", "chosen", "other", "sound"),
        limit=np.float32(40.5 * RATE), half=np.float32(0.5 * RATE),
    )  # fmt: skip

    check = audio_rules.check_long(Candidate(path=path, extent=Extent(minutes=0.8, num_blocks=0, listens=False)))

    assert not check.passed and check.detail.startswith("second 40 is "), check.detail


@pytest.mark.parametrize("seconds", [11.345, 32.335, 46.67])
def test_a_click_in_loud_sound_of_a_long_recording_is_found(seconds: float, tmp_path: Path) -> None:
    path = with_position(
        tmp_path,
        helper.make_node("Sub", ["position", "limit"], ["behind"]),
        helper.make_node("Abs", ["behind"], ["far"]),
        helper.make_node("Less", ["far", "one"], ["chosen"]),
        helper.make_node("Where", ["chosen", "size", "nothing"], ["click"]),
        node("Add", "sound", "click"),
        limit=np.float32(round(seconds * RATE) + 0.5), one=np.float32(1), size=np.float32(0.9), nothing=np.float32(0),
    )  # fmt: skip

    check = audio_rules.check_long(Candidate(path=path, extent=Extent(minutes=0.8, num_blocks=0, listens=False)))

    assert not check.passed and f"second {int(seconds)} has a click" in check.detail, check.detail


def test_rows_of_large_batches_are_compared(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        helper.make_node("Shape", ["sound"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "place"], ["rows"]),
        helper.make_node("Greater", ["rows", "five"], ["many"]),
        helper.make_node("ReduceMean", ["sound"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Expand", ["mean", "sizes"], ["mixed"]),
        node("Where", "many", "mixed", "sound"),
        constants={"place": np.int64(0), "five": np.int64(5)},
    )

    check = audio_rules.check_batch(Candidate(path=path))

    assert not check.passed and " of 8: in a batch it differs by " in check.detail, check.detail


def test_a_file_that_is_no_graph_fails_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"nothing of the kind")

    assert set(failed(verify(path))) == {"file", "loading"}


@pytest.mark.parametrize("name", ["absent.onnx", "song.wav"])
def test_no_onnx_file_is_an_error_of_the_user(name: str, tmp_path: Path) -> None:
    (tmp_path / "song.wav").touch()

    with pytest.raises(ConfigError, match=name):
        verify(tmp_path / name)


@pytest.mark.parametrize("kind", sorted({kind for rule in RULES for kind in rule.kinds}))
def test_every_rule_of_a_kind_has_a_name_of_its_own_and_says_what_it_means(kind: str) -> None:
    rules = [rule for rule in RULES if kind in rule.kinds]

    assert len({rule.name for rule in rules}) == len(rules)
    assert all(rule.meaning.endswith((".", ":")) for rule in rules), [rule for rule in rules if not rule.meaning]


def test_every_rule_stands_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "verification_rules.md").read_text(encoding="utf-8")
    first_cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    named = {part.strip().split(" (")[0] for cell in first_cells for part in [cell, *cell.split(";")]}

    missing = {rule.name.split(" (")[0] for rule in RULES} - named
    assert missing == set()
