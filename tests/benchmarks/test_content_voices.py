"""Voices of the built-in encoder against voices of its teacher: the teacher's features, the stages and the bar."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from benchmarks import content_voices, options
from benchmarks.content_peers import OURS, TEACHER
from benchmarks.content_voices import CONTROLS, ERROR, Figures, bars, content_overrides, convert, prepare, train
from benchmarks.target_voices import TargetVoices
from recipes.content_encoder.teacher_content import TeacherContent
from scripts import pipeline as pipeline_module
from scripts.pipeline import Pipeline
from tests.tools.teacher_tools import write_stand_in
from tests.tools.training_tools import make_dataset, training
from utils.audio.io import save_audio
from utils.audio.synthetic_speech import voice
from utils.config.export import export_job
from utils.config.preprocess import preprocess_job
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.evaluation.evaluation import Evaluation
from utils.evaluation.evaluators import Evaluators
from utils.features.content.builtin import RandomContent
from utils.run_evaluation.torch_voice import TorchVoice
from utils.training import fit
from utils.training.checkpoints import load_voice


@pytest.fixture
def statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_stand_in(tmp_path, monkeypatch)


def test_the_overrides_choose_the_teacher_wherever_the_folder_is(statistics: Path) -> None:
    folder = statistics.parent / "it's, [2] of"
    folder.mkdir()
    statistics.rename(folder / content_voices.STATISTICS)

    encoder = preprocess_job(content_overrides(TEACHER, folder)).content.build()

    assert isinstance(encoder, TeacherContent)
    assert str(preprocess_job(content_overrides(OURS, folder)).content.target).endswith("BuiltinContent")


def pretend(commands: list[list[str]], command: list[str], work: Path) -> float:
    """Make what a script would, and note its command."""
    commands.append(command)
    named = dict(item.split("=", 1) for item in command if "=" in item)
    made = {"-m": "teacher_statistics.safetensors", "preprocess.py": "datasets/{}/dataset.json"}
    made_file = work / made.get(command[0], "runs/{}/metrics.json").format(named.get("dataset.name"))
    made_file.parent.mkdir(parents=True, exist_ok=True)
    made_file.write_text("{}")
    return 1.0


def test_both_are_trained_alike_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    clips = [SimpleNamespace(source="b.wav"), SimpleNamespace(source="a.wav"), SimpleNamespace(source="b.wav")]
    store = SimpleNamespace(split=lambda part: clips if part == "val" else [])
    monkeypatch.setattr(CorpusStore, "open", lambda _: store)
    monkeypatch.setattr(pipeline_module, "run_script", partial(pretend, commands))

    def run(updates: int) -> Pipeline:
        voices = TargetVoices(Path("/speech"), tmp_path)
        assert prepare(voices) == [Path("/speech/a.wav"), Path("/speech/b.wav")]
        runs = [train(side, updates, voices) for side in (OURS, TEACHER)]
        assert runs == [tmp_path / "runs" / side for side in (OURS, TEACHER)]
        return voices.pipeline

    run(7)
    assert [command[0] for command in commands] == ["-m", "preprocess.py", "preprocess.py", "train.py", "train.py"]
    ours, theirs = (" ".join(command) for command in commands[3:])
    assert ours.replace(OURS, TEACHER) == theirs
    assert {"pretrained=none", "overtraining=off", "trainer.steps=7"} <= set(commands[3])
    assert not any("max_minutes" in item for item in commands[3])
    assert all(stage.reused for stage in run(7).stages) and len(commands) == 5
    assert [stage.name for stage in run(8).stages if not stage.reused] == ["train builtin", "train moonshine"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one update on the toy's features."""
    root = tmp_path_factory.mktemp("voices")
    return fit.train(training(make_dataset(root), root / "runs", "toy", 1, "discriminator=none"))


@pytest.mark.slow
def test_a_voice_that_cannot_be_exported_converts_in_pytorch(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RandomContent, "is_exportable", False)
    with pytest.raises(ConfigError, match="cannot stand inside an exported graph"):
        load_voice(trained, "last")
    source = tmp_path / "s.wav"
    save_audio(source, voice(1.0, f0_hz=95.0), 16000)

    convert(trained, [source], tmp_path / "converted")

    made, rate = soundfile.read(tmp_path / "converted/s.wav", dtype="float32")
    assert (made.shape, rate) == ((16000,), 16000)
    converter = TorchVoice(load_voice(trained, "last", for_export=False).converter, CONTROLS)
    audio = soundfile.read(source, dtype="float32")[0]
    shifts = {shift: float(np.abs(converter.run(audio, {"pitch_shift": shift}) - made).max()) for shift in (0.0, 12.0)}
    assert shifts[12.0] < shifts[0.0]  # 95 Hz to the 190 Hz of the first speaker
    defaults = {key: float(value) for key, value in export_job([]).export.defaults if value is not None}
    np.testing.assert_array_equal(converter.run(audio, defaults), converter.run(audio))
    assert np.abs(converter.run(audio, {"index_rate": 0.5}) - converter.run(audio)).max() > 1e-4
    assert np.abs(converter.run(audio, {"loudness_mix": 0.0}) - converter.run(audio)).max() > 1e-4


@pytest.mark.parametrize(
    ("ours", "teacher", "outcome"),
    [
        (0.10, 0.05, "reached"),
        (0.02, 0.05, "reached"),
        (0.101, 0.05, "MISSED"),
        (float("nan"), 0.05, "MISSED"),
        (None, 0.05, "not measured"),
        (0.02, None, "not measured"),
    ],
)
def test_the_error_may_be_five_points_above_the_teachers(
    ours: float | None, teacher: float | None, outcome: str
) -> None:
    assert [bar.outcome for bar in bars({OURS: {ERROR: ours}, TEACHER: {ERROR: teacher}})] == [outcome]


@pytest.mark.parametrize(("ours", "code"), [(0.09, 0), (0.11, 1), (None, 1)])
def test_a_bar_that_is_missed_or_not_measured_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ours: float | None, code: int
) -> None:
    results: dict[str, Figures] = {OURS: {ERROR: ours, "held_out_mel": 0.5}, TEACHER: {ERROR: 0.05}}
    monkeypatch.setattr(content_voices, "check", lambda _: None)
    monkeypatch.setattr(content_voices, "evaluators_of", lambda *_, **__: Evaluators())
    monkeypatch.setattr(content_voices, "compare", lambda *_: results)

    found = content_voices.main(["--work", str(tmp_path), "--updates", "9"])

    written = json.loads((tmp_path / "content_voices.json").read_text(encoding="utf-8"))
    rows = {line.split("  ")[0]: line.split()[-3:] for line in capsys.readouterr().out.splitlines()}
    assert found == code
    shown = ["-", "0.050", "-"] if ours is None else [f"{ours:.3f}", "0.050", f"{ours - 0.05:+.3f}"]
    assert rows["whisper character error"] == shown
    assert rows["held out mel"] == ["0.500", "-", "-"]
    assert (written["updates"], written["bars"][0]["value"]) == (9, ours)


def test_every_voice_is_evaluated_on_its_own_conversions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("1-a.wav", "2-b.wav"):
        (tmp_path / name).touch()
    for index, side in enumerate((OURS, TEACHER)):
        run = tmp_path / "work/runs" / side
        run.mkdir(parents=True)
        (run / "metrics.json").write_text(json.dumps({"last": {"val/mel": index}}))
    monkeypatch.setattr(content_voices, "prepare", lambda *_: [tmp_path / "1-a.wav"])
    monkeypatch.setattr(content_voices, "train", lambda side, *_: tmp_path / "work/runs" / side)
    monkeypatch.setattr(content_voices, "convert", lambda run, sources, output: output.mkdir(parents=True))
    errors = {OURS: 0.1, TEACHER: 0.2}

    def evaluated(converted: Path, sources: list[Path], *_: object) -> Evaluation:
        return Evaluation({ERROR: errors[converted.name], "clips": len(sources)}, [])

    monkeypatch.setattr(content_voices, "evaluate", evaluated)
    options = content_voices.parse(["--target", str(tmp_path), "--sources", str(tmp_path), "--source-count", "2"])

    found = content_voices.compare(options, tmp_path / "work", Evaluators())

    assert [found[side] for side in (OURS, TEACHER)] == [
        {"held_out_mel": 0.0, ERROR: 0.1, "clips": 2},
        {"held_out_mel": 1.0, ERROR: 0.2, "clips": 2},
    ]


def no_package(name: str, package: str | None = None) -> None:
    return None


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "the shared corpora are absent; give folders with --target and --sources"),
        (["--target", "here"], "the shared corpora are absent; give folders with --target and --sources"),
        (["--target", "here", "--sources", "here"], "no recordings in here"),
    ],
)
def test_what_cannot_work_is_one_line_before_anything_is_made(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for module in (options, content_voices):
        monkeypatch.setattr(module, "CORPORA", tmp_path / "shared")
    monkeypatch.setattr(content_voices, "moonshine_weights", lambda: tmp_path)

    assert content_voices.main([*arguments, "--work", str(tmp_path / "work")]) == 2
    error = capsys.readouterr().err.strip()
    assert line in error and error.count("\n") == 0
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("arguments", [["--updates", "0"], ["--source-count", "-1"]])
def test_a_number_out_of_range_is_refused_before_anything_is_made(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        content_voices.main([*arguments, "--work", str(tmp_path / "work")])

    assert stopped.value.code == 2
    assert f"{arguments[0]}: {arguments[1]} is out of range; allowed: at least 1" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_an_absent_teacher_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", no_package)
    folders = ["--target", str(tmp_path), "--sources", str(tmp_path), "--work", str(tmp_path / "work")]

    assert content_voices.main(folders) == 2
    assert "type: pip install --no-deps moonshine-voice==0.0.69" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
