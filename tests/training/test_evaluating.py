"""States that are judged while a run trains: where their figures go, which is best, what a killed judge loses."""

import csv
import json
import os
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tools.training_tools import make_dataset, training
from utils.audio.io import save_audio
from utils.audio.synthetic_speech import voice
from utils.background import BackgroundProgram
from utils.errors import WorkbenchError
from utils.training.callbacks import evaluating
from utils.training.checkpoint_checks import steps_done
from utils.training.checkpoints import read_checkpoint
from utils.training.csv_logger import CsvLogger
from utils.training.evaluation_folder import FIGURES, EvaluationFolder, HeardStranger, JudgedState, best_state
from utils.training.fit import train
from utils.training.listening import ListeningFolder

JUDGED = ["evaluation=background", "trainer.validate_every=2"]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


class Judge:
    """Stands for the other process: judges what waits at once, or is killed at once."""

    scores: ClassVar[dict[int, float]] = {}
    is_killed = False

    def __init__(self, module: str) -> None:
        assert module == "utils.run_evaluation"
        self.is_running = False

    def start(self, run: str) -> None:
        folder = EvaluationFolder(Path(run))
        save_audio(folder.folder / "material/strangers/stranger_0.wav", voice(0.3, 16000), 16000)
        for step in [] if Judge.is_killed else folder.waiting():
            save_audio(folder.found_path(step) / "made.wav", voice(0.3, 16000), 16000)
            made = f"{folder.found_path(step).name}/made.wav"
            sound = HeardStranger("stranger_0", "Stranger 1", "material/strangers/stranger_0.wav", made)
            score = Judge.scores.get(step, 0.5)
            state = JudgedState(step, {"score": score, "f0_correlation": 0.9}, "m", score, {}, (sound,))
            (folder.found_path(step) / FIGURES).write_text(json.dumps(state.to_plain()), "utf-8")

    def wait_for(self, seconds: float) -> None: ...

    def stop(self) -> None: ...

    def problem(self) -> str | None:
        return "killed" if Judge.is_killed else None


@pytest.fixture(autouse=True)
def _judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluating, "BackgroundProgram", Judge)
    monkeypatch.setattr(Judge, "scores", {})
    monkeypatch.setattr(Judge, "is_killed", False)


def rows_of(run: Path) -> dict[str, dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as stream:
        return {row["step"]: row for row in csv.DictReader(stream)}


def best_step(run: Path) -> int:
    return steps_done(read_checkpoint(run / "checkpoints/best.ckpt"))


def test_figures_and_sounds_of_a_state_stand_at_its_step(datasets: Path, tmp_path: Path) -> None:
    Judge.scores = {2: 0.25, 4: 0.75}

    run = train(training(datasets, tmp_path, "judged", 4, *JUDGED))

    assert [rows_of(run)[step]["evaluation/score"] for step in ("2", "4")] == ["0.25", "0.75"]
    clip = next(clip for clip in ListeningFolder(run).clips() if clip.kind == "stranger")
    assert [(state.role, state.step) for state in clip.states] == [("source", None), ("converted", 2), ("converted", 4)]
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [(item.step, item.value) for item in events.Scalars("evaluation/score")] == [(2, 0.25), (4, 0.75)]
    assert [item.step for item in events.Audio("stranger_0/converted")] == [2, 4]
    assert not [path.name for path in (run / "evaluation").iterdir() if path.name.startswith(("waiting", "found"))]


@pytest.mark.slow
@pytest.mark.parametrize(("selects", "expected"), [("true", 2), ("false", 6)])
def test_the_score_chooses_the_best_state_where_it_is_asked_to(
    datasets: Path, tmp_path: Path, selects: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Judge.scores = {2: 0.9, 4: 0.5, 6: 0.6}
    monkeypatch.setattr("utils.training.callbacks.checkpointing.is_best", lambda value, lowest: True)

    run = train(training(datasets, tmp_path, f"by_{selects}", 6, *JUDGED, f"evaluation.selects={selects}"))

    assert best_step(run) == expected


@pytest.mark.slow
def test_a_run_that_goes_on_judges_what_was_left_and_keeps_its_best_state(datasets: Path, tmp_path: Path) -> None:
    Judge.scores = {2: 0.9, 4: 0.5, 6: 0.6}
    run = train(training(datasets, tmp_path, "again", 2, *JUDGED, "evaluation.selects=true"))
    folder = EvaluationFolder(run)
    folder.keep(2, run / "checkpoints/last.ckpt")  # as if killed before it was judged
    (folder.folder / "00000002.json").unlink()
    (folder.folder / "00000040.json").write_text(json.dumps(JudgedState(40, {}, "m", 1.0).to_plain()), "utf-8")

    train(training(datasets, tmp_path, "again", 6, *JUDGED, "evaluation.selects=true", "resume=last"))

    assert [state.step for state in folder.states()] == [2, 4, 6]
    assert best_step(run) == 2
    assert [rows_of(run)[step]["evaluation/score"] for step in ("2", "4", "6")] == ["0.9", "0.5", "0.6"]


def test_a_state_whose_judge_is_killed_again_and_again_is_given_up(
    datasets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Judge.is_killed = True

    run = train(training(datasets, tmp_path, "killed", 2, *JUDGED))

    assert "the state of step 2 is not judged: killed" in caplog.text
    assert (run / "checkpoints/best.ckpt").is_file() and not EvaluationFolder(run).waiting()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("evaluation.speaker=carl", "evaluation.speaker=carl is no speaker; allowed: anna, bert, or a number"),
        ("evaluation.speaker=7", "evaluation.speaker=7 is no speaker"),
        ("evaluation.sources=nowhere", "evaluation.sources=nowhere is no folder"),
        ("evaluation.sources={tmp}", "no recordings in"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_written(
    datasets: Path, tmp_path: Path, override: str, words: str
) -> None:
    with pytest.raises(WorkbenchError, match=re.escape(words)):
        train(training(datasets, tmp_path / "runs", "refused", 2, *JUDGED, override.format(tmp=tmp_path)))

    assert not (tmp_path / "runs/refused").exists()


def test_at_most_one_state_waits_behind_the_one_that_is_judged(datasets: Path, tmp_path: Path) -> None:
    folder = EvaluationFolder(tmp_path)
    (tmp_path / "last.ckpt").write_bytes(b"state of 2")
    folder.keep(2, tmp_path / "last.ckpt")
    (tmp_path / "new.ckpt").write_bytes(b"state of 4")
    (tmp_path / "new.ckpt").replace(tmp_path / "last.ckpt")

    folder.keep(4, tmp_path / "last.ckpt")

    assert [folder.waiting_path(step).read_bytes() for step in folder.waiting()] == [b"state of 2", b"state of 4"]


def test_only_states_of_the_same_sounds_compare() -> None:
    states = [
        JudgedState(2, {}, "old", 0.9), JudgedState(4, {}, "new", 0.3), JudgedState(6, {}, "new", 0.4),
        JudgedState(8, {}, "new", 0.4), JudgedState(9, {}, "new", None),
    ]  # fmt: skip

    assert best_state(states) == states[3]
    assert best_state([]) is None and best_state(states[4:]) is None


def test_a_damaged_file_of_figures_is_no_state(tmp_path: Path) -> None:
    folder = EvaluationFolder(tmp_path)
    folder.accept(JudgedState(2, {"score": 0.5}, "m", 0.5))
    (folder.folder / "00000003.json").write_text('{"step": 3', "utf-8")

    assert [(state.step, state.figures) for state in folder.states()] == [(2, {"score": 0.5})]


def test_figures_that_come_late_stand_in_the_row_of_their_step(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path / "metrics.csv")
    for step in (10, 20, 30):
        logger.log_metrics({"a": float(step)}, step)

    logger.log_metrics({"late": 0.5}, 20)
    logger.log_metrics({"late": 0.25}, 15)
    logger.log_metrics({"b": 1.0}, 30)

    rows = "step,a,late,b\n10,10,,\n15,,0.25,\n20,20,0.5,\n30,30,,1\n"
    assert (tmp_path / "metrics.csv").read_text() == rows


def test_a_background_program_tells_its_last_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_program.py").write_text("import sys\nprint('much', file=sys.stderr)\nsys.exit('the reason')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    program: Any = BackgroundProgram("failing_program")

    program.start()
    program.wait_for(20.0)

    assert not program.is_running
    assert (program.problem(), program.problem()) == ("the reason", None)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no sessions")
def test_a_background_program_gives_way_to_ours_and_outlives_what_stops_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "long_program.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    program: Any = BackgroundProgram("long_program")

    program.start()
    try:
        assert os.getsid(program.process_id) == os.getsid(0)  # priorities count within a session
        assert os.getpgid(program.process_id) == program.process_id
    finally:
        program.stop()
    assert program.problem() is None  # for we ended it
