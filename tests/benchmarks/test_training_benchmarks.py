"""The parts of the training benchmarks that decide something: what is compared with what, what is skipped."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import overtraining, training_options
from benchmarks.made_curves import correlated_noise
from benchmarks.sources import pick_recordings
from utils.audio.listing import list_audio
from utils.config.train import train_job
from utils.errors import DataError


def test_minute_of_recordings_is_spread_and_always_the_same(tmp_path: Path) -> None:
    for index in range(20):
        soundfile.write(tmp_path / f"{index:02d}.wav", np.zeros(800), 8000)

    first, again = (pick_recordings(list_audio(tmp_path), 0.55) for _ in range(2))

    assert first == again == sorted(first)
    assert len(first) == 6  # of a tenth of a second each
    assert first != sorted(tmp_path.iterdir())[:6]
    with pytest.raises(DataError, match=r"2 s of recordings, 3 s are needed"):
        pick_recordings(list_audio(tmp_path), 3.0)


def test_made_noise_has_its_deviation_and_correlation() -> None:
    noise = correlated_noise(20_000, 0.3, 0.8, np.random.default_rng(0))

    assert noise.std() == pytest.approx(0.3, rel=0.05)
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(0.8, abs=0.02)


@pytest.mark.slow
def test_made_curves_are_judged(capsys: pytest.CaptureFixture[str]) -> None:
    code = overtraining.main(["--curves", "--seeds", "2"])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert len([line for line in lines if " %  " in line]) == 9
    assert all("100 %" in line for line in lines if line.startswith("0.1 %"))


@pytest.mark.parametrize("benchmark", [overtraining, training_options])
def test_absent_corpus_is_skipped_saying_so(
    benchmark: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = benchmark.main(["--target", str(tmp_path / "nowhere"), "--work", str(tmp_path)])  # type: ignore[attr-defined]

    assert code == 0
    assert "skipped:" in capsys.readouterr().out


def test_options_are_compared_with_the_defaults_of_the_same_round() -> None:
    rates = {"defaults": [1.0, 4.0, 2.0], "compile": [2.0, 8.0, 4.0]}
    results = {
        name: [{"steps_per_second": rate, "val_mel": 0.5 + index / 10 * (name == "compile")}
               for index, rate in enumerate(values)]
        for name, values in rates.items()
    }  # fmt: skip

    rows = training_options.summarise(results)

    assert rows[0] == ["defaults", 2.0, "1.00", "1.00 to 1.00", "0.5000", "+0.0000", "+0.0000 to +0.0000"]
    assert rows[1] == ["compile", 4.0, "2.00", "2.00 to 2.00", "0.6000", "+0.1000", "+0.0000 to +0.2000"]


def test_unknown_option_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = training_options.main(["--dataset", "x", "--only", "turbo", "--work", str(tmp_path)])

    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1 and "--only=defaults,turbo" not in error and "turbo" in error


BEST = "val/mel was best at step 100 (0.6000)"


def result(verdict: str | None, kept: int) -> dict[str, object]:
    return {
        "minutes": {"train": 1.0, "val": 0.5}, "held_out_files": 9, "steps": 300,
        "curve": [(50, 0.7), (100, 0.6), (150, 0.6005)], "train_mel": [(20, 0.5)],
        "verdict": verdict, "best_checkpoint_step": kept,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("minute", "whole", "kept", "code"),
    [
        (BEST, None, 100, 0),
        (BEST, None, 150, 0),  # a later step within 0.1 % of the lowest
        (BEST, None, 50, 1),
        (None, None, 100, 1),
        (BEST, BEST, 100, 1),
    ],
)
def test_both_runs_must_be_judged_rightly(
    minute: str | None, whole: str | None, kept: int, code: int, tmp_path: Path
) -> None:
    results = {"minute": result(minute, kept), "whole": result(whole, kept)}

    assert overtraining.show(results, tmp_path / "figures.json") == code
    assert (tmp_path / "figures.json").is_file()


@pytest.mark.parametrize("changed", [list(overtraining.OVERFIT), *training_options.OPTIONS.values()])
def test_settings_of_the_runs_are_known_to_train(changed: list[str]) -> None:
    assert train_job(["dataset.name=x", *changed]).dataset.name == "x"
