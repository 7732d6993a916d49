"""What a run writes down about itself: its table, curves, audio and plots, the line on the console."""

import csv
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tools.training_tools import make_dataset, training
from utils.errors import ConfigError
from utils.training.callbacks.media import chosen_clips, compare_pitch
from utils.training.callbacks.monitoring import hyper_parameters
from utils.training.callbacks.progress import ProgressLine, clock_time
from utils.training.csv_logger import CsvLogger
from utils.training.fit import train
from utils.training.loggers import build_loggers
from utils.training.plots import HIGH, LOW, PitchPanel, colours, plot_mels, plot_pitch
from utils.training.step_clock import BATCH, FETCH, StepClock

CHANGED = ["trainer.validate_every=2", "trainer.media=true", "trainer.log_every=1", "optim.accumulate=2"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


# metrics.csv


def test_figures_of_a_step_stand_in_one_row_whoever_logs_them(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path / "metrics.csv")

    logger.log_metrics({"b": 1.0}, 10)
    logger.log_metrics({"a": 0.25}, 10)
    logger.log_metrics({"b": 2.0, "a": 0.5}, 20)
    logger.log_metrics({"b": 3.0}, 20)
    logger.log_metrics({"b": float("nan")}, 30)

    assert (tmp_path / "metrics.csv").read_text() == "step,b,a\n10,1,0.25\n20,3,0.5\n30,nan,\n"


def test_table_of_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    first = CsvLogger(path)
    first.restart(0)
    for step in (10, 20, 30):
        first.log_metrics({"a": step}, step)
    with path.open("a") as stream:
        stream.write("4")  # killed while it wrote

    second = CsvLogger(path)
    second.restart(20)
    second.log_metrics({"b": 7.0}, 20)
    second.log_metrics({"a": 0.5, "b": 8.0}, 30)

    assert path.read_text() == "step,a,b\n10,10,\n20,20,7\n30,0.5,8\n"


def test_new_run_begins_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("some,other\nfile,1\n")

    logger = CsvLogger(tmp_path / "metrics.csv")
    logger.restart(0)
    logger.log_metrics({"a": 1}, 1)

    assert (tmp_path / "metrics.csv").read_text() == "step,a\n1,1\n"


# a whole run


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def resumed(datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps that had gone on to the sixth, was lost, and was resumed at the second."""
    runs = tmp_path_factory.mktemp("runs")
    run = train(training(datasets, runs, "lost", 2, *CHANGED))
    shutil.copy(run / "checkpoints" / "last.ckpt", run / "kept")
    train(training(datasets, runs, "lost", 6, "resume=last", *CHANGED))
    shutil.move(run / "kept", run / "checkpoints" / "last.ckpt")
    return train(training(datasets, runs, "lost", 4, "resume=last", *CHANGED))


def events_of(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "audio": 0}).Reload()


def test_table_has_one_row_for_each_step_and_nothing_of_the_lost_part(resumed: Path) -> None:
    rows = rows_of(resumed / "metrics.csv")

    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert [bool(row["val/mel"]) for row in rows] == [False, True, False, True]
    history = json.loads((resumed / "metrics.json").read_text())["history"]
    assert [float(row["val/mel"]) for row in rows if row["val/mel"]] == pytest.approx(
        [row["val/mel"] for row in history], rel=1e-6
    )


def test_tensorboard_has_each_step_once_and_nothing_of_the_lost_part(resumed: Path) -> None:
    events = events_of(resumed)

    for tag in ("train/generator/total", "performance/steps_per_second"):
        assert [item.step for item in events.Scalars(tag)] == [1, 2, 3, 4], tag
    for tag in ("val/mel", "val/best_mel", "val/f0_error_cents", "val/voicing_error"):
        assert [item.step for item in events.Scalars(tag)] == [2, 4], tag


def test_curves_of_every_run(resumed: Path) -> None:
    scalars = set(events_of(resumed).Tags()["scalars"])

    names = ("spectral", "adversarial", "feature_matching")
    wanted = {f"train/{kind}/{name}" for kind in ("generator", "generator_weighted") for name in names}
    wanted |= {"train/generator/total", "train/generator/gradient_norm", "train/discriminator/total"}
    wanted |= {"learning_rate/generator", "learning_rate/discriminator", "memory/resident_mib"}
    wanted |= {f"performance/{name}" for name in ("steps_per_second", "data_wait_ms", "outside_share")}
    assert wanted <= scalars
    assert "hp_metric" not in scalars


def test_weighted_losses_are_the_raw_ones_times_their_weights_and_add_up(resumed: Path) -> None:
    row = rows_of(resumed / "metrics.csv")[2]

    weights = {"spectral": 15.0, "adversarial": 1.0, "feature_matching": 2.0}
    for name, weight in weights.items():
        raw, weighted = (float(row[f"train/{kind}/{name}"]) for kind in ("generator", "generator_weighted"))
        assert weighted == pytest.approx(weight * raw, rel=1e-5)
    total = sum(float(row[f"train/generator_weighted/{name}"]) for name in weights)
    assert float(row["train/generator/total"]) == pytest.approx(total, rel=1e-5)


def test_sounds_and_plots_have_one_tag_with_a_timeline(resumed: Path) -> None:
    events = events_of(resumed)

    for tag in ("clip0/converted", "clip1/converted_up_4_semitones"):
        sounds = events.Audio(tag)
        assert [item.step for item in sounds] == [2, 4], tag
        assert {item.sample_rate for item in sounds} == {16000.0}
    assert [item.step for item in events.Audio("clip0/real")] == [2]
    for tag in ("clip0/mel", "clip1/f0"):
        assert [item.step for item in events.Images(tag)] == [2, 4], tag
    assert not [tag for tag in events.Tags()["audio"] if "step" in tag]


def test_hyper_parameters_are_told_with_the_criterion(resumed: Path) -> None:
    events = events_of(resumed)

    content = events.PluginTagToContent("hparams")
    assert {"_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"} <= set(content)
    assert b"optim.optimizer.lr" in content["_hparams_/session_start_info"]
    assert b"val/best_mel" in content["_hparams_/experiment"]


def test_hyper_parameters_are_plain_and_name_no_folder(datasets: Path, tmp_path: Path) -> None:
    values = hyper_parameters(training(datasets, tmp_path, "x", 1))

    assert values["optim.ema_decay"] == 0.998
    assert values["model._target_"] == "models.toy.ToyVoice"
    assert values["overtraining.first_step"] == 0
    assert not [key for key, value in values.items() if str(tmp_path) in str(value)]


# where the time goes


def test_clock_adds_up_stages_and_leaves_validation_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("utils.training.step_clock.time.perf_counter", lambda: now[0])
    clock = StepClock()

    def stage(name: str, seconds: float) -> None:
        with clock.profile(name):
            now[0] += seconds

    stage(FETCH, 1.0)
    stage(BATCH, 4.0)
    clock.pause()
    now[0] += 50.0
    stage("something else", 7.0)
    stage(FETCH, 2.0)
    stage(BATCH, 5.0)

    assert (clock.fetching, clock.computing, clock.paused) == (3.0, 9.0, 57.0)


# plots


def test_spectrogram_is_drawn_with_low_frequencies_at_the_bottom() -> None:
    mel = np.full((10, 300), LOW)
    mel[0] = HIGH  # the lowest band

    plot = plot_mels([("title", mel)])

    assert plot.shape == (14 + 20, 600, 3)
    assert plot[-1, 300].tolist() == colours(np.ones(1))[0].tolist()
    assert plot[-20, 300].tolist() == colours(np.zeros(1))[0].tolist()


def test_pitch_asked_for_and_heard_lie_over_each_other_only_where_they_agree() -> None:
    frames = 200
    asked = np.full(frames, 200.0)
    asked[100:] = 0.0
    same, octave = (plot_pitch([PitchPanel("title", asked, asked * factor)]) for factor in (1.0, 2.0))

    def rows(plot: np.ndarray, colour: tuple[int, int, int], column: int) -> list[int]:
        return np.flatnonzero((plot[:, column] == colour).all(axis=-1)).tolist()

    column = 46 + 2 * 50
    assert np.mean(rows(same, (150, 190, 240), column)) == pytest.approx(rows(same, (200, 50, 20), column)[0], abs=1)
    above = rows(octave, (200, 50, 20), column)[0]
    # an octave is log(2) / log(1100 / 50) of the 168 pixels of the axis
    assert rows(same, (200, 50, 20), column)[0] - above == pytest.approx(168 * np.log(2) / np.log(22), abs=1.5)
    assert not rows(same, (200, 50, 20), 46 + 2 * 150)


def test_pitch_is_compared_in_cents_where_both_are_voiced() -> None:
    requested, measured = np.array([100.0, 100.0, 0.0, 100.0]), np.array([200.0, 100.0, 100.0, 0.0])

    fit = compare_pitch(requested, measured)

    assert fit.cents.tolist() == [1200.0, 0.0]
    assert fit.voicing_error == 0.5


def test_shown_clips_are_spread_over_the_held_out_ones() -> None:
    assert chosen_clips(10, 2) == [4, 9]
    assert chosen_clips(1, 2) == [0]
    assert chosen_clips(2, 2) == [0, 1]


def test_plots_in_the_event_file_can_be_opened(resumed: Path) -> None:
    image = events_of(resumed).Images("clip0/f0")[-1]

    plot = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
    assert plot.shape[2] == 3
    assert len(np.unique(plot.reshape(-1, 3), axis=0)) > 10


# the console


class Terminal(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, is_first: bool = True) -> str:
    """Return what a run of four validations, two seconds a step, writes."""
    now = [100.0]
    monkeypatch.setattr("utils.training.callbacks.progress.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("utils.training.callbacks.progress._steps", lambda module: module.steps)
    values = {"train/generator/spectral": 0.5, "val/mel": 0.25}
    trainer: Any = SimpleNamespace(
        callback_metrics=values, callbacks=[], sanity_checking=False, is_global_zero=is_first
    )
    line, module = ProgressLine(total_steps=40, stream=stream), SimpleNamespace(steps=0)
    line.on_train_start(trainer, module)  # type: ignore[arg-type]
    for step in range(1, 41):
        now[0] += 2.0
        module.steps = step
        line.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
        if step % 10 == 0:
            line.on_validation_start(trainer, module)  # type: ignore[arg-type]
            now[0] += 100.0  # no part of the rate
            line.on_validation_end(trainer, module)  # type: ignore[arg-type]
    line.on_train_end(trainer, module)  # type: ignore[arg-type]
    return stream.getvalue()


def test_file_gets_whole_lines_and_few_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(io.StringIO(), monkeypatch).splitlines()

    assert "\r" not in "".join(lines)
    assert len(lines) == 4
    assert lines[0] == "step 10/40  mel 0.5000  val/mel 0.2500  0.5 steps/s  1:00 left"
    assert lines[-1] == "step 40/40  mel 0.5000  val/mel 0.2500  0.5 steps/s  0:00 left"


def test_terminal_gets_one_line_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    written = shown(Terminal(), monkeypatch)

    assert written.count("\n") == 1 and written.endswith("\n")
    drawn = written.rstrip("\n").split("\r")[1:]
    assert len(drawn) == 45
    assert drawn[20].startswith("step 20/40  [############............]  mel 0.5000")
    assert max(map(len, drawn)) < 80


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_of_several_processes_one_speaks(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(stream, monkeypatch, is_first=False) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(7, "0:07"), (750.4, "12:30"), (11100, "3:05:00"), (2 * 86400 + 11100, "2 d 3:05:00")]
)
def test_time_left_is_a_clock(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


# services


@pytest.mark.parametrize("service", ["wandb", "mlflow"])
def test_service_that_is_not_installed_is_one_line(datasets: Path, tmp_path: Path, service: str) -> None:
    if __import__("importlib.util").util.find_spec(service):
        pytest.skip(f"{service} is installed")

    with pytest.raises(ConfigError, match=f"logger={service} needs the package {service}; type: pip install") as caught:
        build_loggers(training(datasets, tmp_path, "x", 1, f"logger={service}"), tmp_path / "x")

    assert "\n" not in str(caught.value)
