"""The runner behind the demo and the benchmarks: what it reuses, repeats and refuses."""

import json
from pathlib import Path

import pytest

from scripts import pipeline as pipeline_module
from scripts.pipeline import Pipeline, only_file, run_script, shipped_weights
from utils.errors import ConfigError, WorkbenchError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace the scripts by one that makes the file named by its last argument."""
    done: list[list[str]] = []

    def pretend(command: list[str], work: Path) -> float:
        done.append(list(command))
        output = work / command[1]
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("made")
        return 1.5

    monkeypatch.setattr(pipeline_module, "run_script", pretend)
    return done


def run_two_stages(work: Path, first: str = "a.py") -> Pipeline:
    pipeline = Pipeline(work / "state.json", work)
    pipeline.run("one", [first, "out/one"], [Path("out/one")])
    pipeline.run("two", ["b.py", "out/two"], [Path("out/two")])
    return pipeline


def test_second_run_reuses_everything_and_keeps_the_seconds(tmp_path: Path, calls: list[list[str]]) -> None:
    run_two_stages(tmp_path)

    again = run_two_stages(tmp_path)

    assert len(calls) == 2
    assert [(stage.reused, stage.seconds) for stage in again.stages] == [(True, 1.5), (True, 1.5)]


def test_changed_command_repeats_it_and_what_follows(tmp_path: Path, calls: list[list[str]]) -> None:
    run_two_stages(tmp_path)

    again = run_two_stages(tmp_path, first="other.py")

    assert [stage.reused for stage in again.stages] == [False, False]


def test_missing_output_repeats_the_stage(tmp_path: Path, calls: list[list[str]]) -> None:
    run_two_stages(tmp_path)
    (tmp_path / "out/two").unlink()

    again = run_two_stages(tmp_path)

    assert [stage.reused for stage in again.stages] == [True, False]


def test_interrupted_training_is_continued(tmp_path: Path, calls: list[list[str]]) -> None:
    run = tmp_path / "runs/x"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/last.ckpt").touch()
    record = {"command": ["train.py", "runs/x/metrics.json"], "weights": shipped_weights(), "seconds": None}
    (tmp_path / "state.json").write_text(json.dumps({"train": record}))

    pipeline = Pipeline(tmp_path / "state.json", tmp_path)
    outputs = [Path("runs/x/metrics.json")]
    pipeline.run("train", ["train.py", "runs/x/metrics.json"], outputs, run_folder=Path("runs/x"))

    assert calls == [["train.py", "runs/x/metrics.json", "resume=last"]]


def test_run_of_another_command_makes_room(tmp_path: Path, calls: list[list[str]]) -> None:
    outputs = [Path("runs/x/metrics.json")]
    commands = [["train.py", "runs/x/metrics.json", option] for option in ("a", "b")]
    old = tmp_path / "runs/x/checkpoints/last.ckpt"
    for command in commands:
        if command[2] == "b":
            (tmp_path / "state.json").unlink()  # lost, yet the folder says whose it is
            old.parent.mkdir(parents=True)
            old.touch()
        Pipeline(tmp_path / "state.json", tmp_path).run("train", command, outputs, run_folder=Path("runs/x"))

    assert not old.exists()
    assert calls == commands


def test_dataset_of_other_recordings_makes_room_and_one_of_the_same_stays(
    tmp_path: Path, calls: list[list[str]]
) -> None:
    outputs = [Path("datasets/x/dataset.json")]
    cached = tmp_path / "datasets/x/cache"

    def prepare(source: str, *options: str) -> None:
        command = ["preprocess.py", "datasets/x/dataset.json", f"dataset.source={source}", *options]
        Pipeline(tmp_path / "state.json", tmp_path).run("preprocess", command, outputs)

    prepare("a")
    cached.touch()
    prepare("a", "pitch=dio")
    assert cached.exists()
    prepare("b")
    assert not cached.exists()
    assert len(calls) == 3


def test_a_run_of_somebody_else_is_left_alone(tmp_path: Path, calls: list[list[str]]) -> None:
    theirs = tmp_path / "runs/x/checkpoints/last.ckpt"
    theirs.parent.mkdir(parents=True)
    theirs.touch()

    pipeline = Pipeline(tmp_path / "state.json", tmp_path)
    with pytest.raises(ConfigError, match=r"runs/x was not made by this command, so it is left alone"):
        pipeline.run("train", ["train.py"], [Path("runs/x/metrics.json")], run_folder=Path("runs/x"))

    assert theirs.is_file() and not calls


def test_other_weights_repeat_everything(
    tmp_path: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    weights = tmp_path / "checkout/models/weights/base.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"old")
    monkeypatch.setattr(pipeline_module, "ROOT", tmp_path / "checkout")
    caplog.set_level("INFO")
    run_two_stages(tmp_path)
    reused = run_two_stages(tmp_path)
    weights.write_bytes(b"new")

    again = run_two_stages(tmp_path)

    assert [stage.reused for stage in reused.stages] == [True, True]
    assert [stage.reused for stage in again.stages] == [False, False]
    assert "one: runs again, what is there was made with other weights" in caplog.text
    assert [stage.reused for stage in run_two_stages(tmp_path).stages] == [True, True]


def test_an_interrupted_training_of_other_weights_is_not_continued(tmp_path: Path, calls: list[list[str]]) -> None:
    run = tmp_path / "runs/x"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/last.ckpt").touch()
    command = ["train.py", "runs/x/metrics.json"]
    record = {"command": command, "weights": {"old": "00"}, "seconds": None}
    (tmp_path / "state.json").write_text(json.dumps({"train": record}))

    pipeline = Pipeline(tmp_path / "state.json", tmp_path)
    pipeline.run("train", command, [Path("runs/x/metrics.json")], run_folder=Path("runs/x"))

    assert calls == [["train.py", "runs/x/metrics.json"]]


def test_weights_of_encoder_base_and_pitch_are_remembered() -> None:
    names = set(shipped_weights())

    assert {
        "models/weights/lite_base_generator.safetensors",
        "models/weights/lite_base_discriminator.safetensors",
        "utils/features/weights/content_builtin.safetensors",
        "utils/features/weights/pitch_builtin.safetensors",
        "utils/features/weights/pitch_stream.safetensors",
        "swift_f0/model.onnx",
    } <= names


def test_stage_without_its_output_is_an_error(tmp_path: Path, calls: list[list[str]]) -> None:
    pipeline = Pipeline(tmp_path / "state.json", tmp_path)

    with pytest.raises(WorkbenchError, match=r"did not make .*other"):
        pipeline.run("one", ["a.py", "out/one"], [Path("out/other")])


def test_failing_script_is_named_with_its_code(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="ended with code 3"):
        run_script(["-c", "raise SystemExit(3)"], tmp_path)


def test_only_file_refuses_two(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).touch()

    with pytest.raises(WorkbenchError, match="found 2"):
        only_file(tmp_path, "*.onnx")
