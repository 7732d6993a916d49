"""When a run is called overtrained: curves of known answer, false alarms and delay over seeds, exact resumption."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.tools.training_tools import make_dataset, training
from utils.errors import ConfigError
from utils.training.callbacks.overtraining import OvertrainingWatch
from utils.training.checkpoint_checks import PAYLOAD_KEY
from utils.training.checkpoints import read_checkpoint
from utils.training.fit import train
from utils.training.overtraining import OvertrainingDetector, OvertrainingRule, Verdict, noise_of

EVERY = 100  # updates between validations


def first_verdict(values: Sequence[float], **changed: object) -> Verdict | None:
    detector = OvertrainingDetector(OvertrainingRule(**({"patience": 500} | changed)))  # type: ignore[arg-type]
    for index, value in enumerate(values):
        verdict = detector.update((index + 1) * EVERY, value)
        if verdict is not None:
            return verdict
    return None


def falling(count: int) -> np.ndarray:
    """A held-out curve that is still improving, as in a real run: fast, then slowly."""
    return 0.5 + 0.5 * np.exp(-np.arange(count) / 8) + 0.05 * np.exp(-np.arange(count) / 80)


def noise(count: int, deviation: float, seed: int) -> np.ndarray:
    return deviation * np.random.default_rng(seed).standard_normal(count)


def test_rising_curve_is_found_with_the_step_of_its_best_value() -> None:
    # best at validation 10 (step 1000), then one percent more each time; smoothing over five lags by two
    curve = [1.0 - 0.02 * index for index in range(10)] + [0.82 * (1 + 0.01 * index) for index in range(1, 20)]

    verdict = first_verdict(curve)

    assert verdict is not None
    assert (verdict.kind, verdict.best_step, verdict.best_value) == ("overtrained", 1000, curve[9])
    assert verdict.step == verdict.since + 500
    assert 1000 < verdict.since <= 1000 + 8 * EVERY
    assert verdict.value > verdict.reference * 1.01


@pytest.mark.parametrize("deviation", [0.0, 0.002, 0.02])
def test_flat_curve_is_not_overtrained(deviation: float) -> None:
    curve = np.concatenate([falling(30), np.full(170, falling(30)[-1])]) + noise(200, deviation, 1)

    assert first_verdict(curve.tolist()) is None


@pytest.mark.parametrize("deviation", [0.0, 0.002, 0.02])
def test_improving_curve_is_not_overtrained(deviation: float) -> None:
    assert first_verdict((falling(200) + noise(200, deviation, 2)).tolist()) is None


def test_passing_rise_shorter_than_the_patience_is_forgiven() -> None:
    assert first_verdict([1.0] * 10 + [1.1] * 5 + [1.0] * 30) is None
    assert first_verdict([1.0] * 10 + [1.1] * 8) is not None


def test_single_wild_values_change_nothing() -> None:
    curve = np.full(100, 0.6)
    curve[[20, 40, 41, 70]] = [9.0, 0.01, float("nan"), float("inf")]

    verdict = first_verdict(curve.tolist())

    assert verdict is None


def test_rise_smaller_than_the_smallest_change_is_none() -> None:
    curve = [0.6] * 10 + [0.6 * 1.009] * 50

    assert first_verdict(curve) is None
    assert first_verdict(curve, min_improvement=0.008) is not None


def test_rise_within_the_noise_is_none() -> None:
    curve = np.concatenate([np.full(60, 0.6), np.full(60, 0.612)])

    assert first_verdict(curve.tolist()) is not None
    assert first_verdict((curve + noise(120, 0.02, 3)).tolist()) is None


@pytest.mark.slow
def test_false_alarms_and_delay_over_seeds() -> None:
    """Noise of 1 % on a curve: none of 30 flat ones is called overtrained, all of 30 that rise by 0.5 % a time are."""
    flat = [first_verdict((np.full(200, 0.6) + noise(200, 0.006, seed)).tolist(), patience=600) for seed in range(30)]
    rise = np.concatenate([np.full(40, 0.6), 0.6 * (1 + 0.005 * np.arange(1, 61))])
    risen = [first_verdict((rise + noise(100, 0.006, seed)).tolist(), patience=600) for seed in range(30)]

    delays = [(verdict.step - 40 * EVERY) / EVERY for verdict in risen if verdict is not None]
    assert sum(verdict is not None for verdict in flat) == 0
    assert len(delays) == 30
    assert min(delays) >= 6 and np.median(delays) <= 18  # six of them are the patience


def test_noise_is_that_of_single_values_and_ignores_trend_and_jumps() -> None:
    estimates = []
    for seed in range(50):
        values = 0.5 - 0.01 * np.arange(60) + noise(60, 0.01, seed)
        values[30:] += 1.0
        estimates.append(noise_of(values.tolist()))

    # the median of seventeen values follows the one in their middle a little
    assert np.mean(estimates) == pytest.approx(0.01, rel=0.15)
    assert noise_of([0.5]) == noise_of([]) == 0.0


def test_plateau_is_called_only_when_asked_for() -> None:
    curve = [1.0 - 0.02 * index for index in range(9)] + [0.82] * 30

    verdict = first_verdict(curve, plateau_patience=2000)

    assert first_verdict(curve) is None
    assert verdict is not None
    assert (verdict.kind, verdict.step - verdict.since, verdict.best_step) == ("stalled", 2000, 1000)


def test_values_before_the_first_step_are_not_judged() -> None:
    curve = [0.5] * 10 + [0.6] * 40

    assert first_verdict(curve) is not None
    assert first_verdict(curve, first_step=1100) is None


def test_step_seen_twice_counts_once() -> None:
    detector = OvertrainingDetector(OvertrainingRule(patience=500))
    for value in (1.0, 2.0, 3.0):
        detector.update(100, value)

    assert detector.state_dict() == {"steps": [100], "values": [1.0]}


def test_new_best_takes_the_verdict_back() -> None:
    detector = OvertrainingDetector(OvertrainingRule(patience=500))
    for index, value in enumerate([1.0] * 10 + [1.2] * 15):
        detector.update(index, value)
        detector.update(1000 + index * EVERY, value)
    assert detector.verdict is not None

    for index in range(5):
        detector.update(10_000 + index, 0.8)

    assert detector.verdict is None


@pytest.mark.parametrize("cut", [0, 1, 4, 12, 17, 30])
def test_interrupted_detector_comes_to_the_same_verdict(cut: int) -> None:
    curve = [1.0 - 0.02 * index for index in range(10)] + [0.82 * (1 + 0.01 * index) for index in range(1, 30)]
    rule = OvertrainingRule(patience=500)
    first, whole, second = (OvertrainingDetector(rule) for _ in range(3))
    for index in range(cut):
        first.update((index + 1) * EVERY, curve[index])

    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    verdicts = [
        (whole.update((index + 1) * EVERY, value), second.update((index + 1) * EVERY, value))
        for index, value in enumerate(curve)
    ]

    assert verdicts[-1][0] is not None
    assert all(one == other for one, other in verdicts[cut:])


# the learning rate makes the curve rise: from the tenth step on the weights fly apart
RUINED = ["optim.optimizer.lr=0.02", "trainer.validate_every=1", "optim.ema_decay=0", "discriminator=none"]
IMPATIENT = ["overtraining.smooth=1", "overtraining.patience=2", "overtraining.min_improvement=0.0001"]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


def test_resumed_run_that_had_ended_for_this_reason_ends_at_once_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rule = OvertrainingRule(patience=500)
    state = {"steps": [(index + 1) * EVERY for index in range(18)], "values": [1.0] * 10 + [1.1] * 8}
    trainers = [SimpleNamespace(is_global_zero=True, should_stop=False, callbacks=[]) for _ in range(3)]

    for trainer, mode, told in zip(trainers, ("stop", "warn", "stop"), (state, state, None), strict=True):
        watch = OvertrainingWatch(rule, mode)
        if told:
            watch.load_state_dict(told)
        watch.on_train_start(trainer, None)  # type: ignore[arg-type]

    said = capsys.readouterr().out.splitlines()
    assert [trainer.should_stop for trainer in trainers] == [True, False, False]
    assert len(said) == 1
    assert "best at step 100 (1.0000)" in said[0] and "overtraining=warn" in said[0]


@pytest.mark.slow
def test_run_stops_keeps_its_best_and_says_why(
    datasets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(training(datasets, tmp_path, "stopped", 60, *RUINED, *IMPATIENT))

    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("overtraining:")]
    metrics = json.loads((run / "metrics.json").read_text())
    best = read_checkpoint(run / "checkpoints" / "best.ckpt")
    assert f"best at step {metrics['best']['step']} ({metrics['best']['val/mel']:.4f})" in said
    assert "stopping, checkpoints/best.ckpt" in said
    assert metrics["steps"] < 60
    assert metrics["last"]["val/mel"] > metrics["best"]["val/mel"]
    assert int(best["state_dict"]["steps_done"]) == metrics["best"]["step"]
    assert best[PAYLOAD_KEY]["metrics"]["val/mel"] == pytest.approx(metrics["best"]["val/mel"])


@pytest.mark.slow
def test_warning_goes_on(datasets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(training(datasets, tmp_path, "warned", 30, *RUINED, *IMPATIENT, "overtraining=warn"))

    lines = capsys.readouterr().out.splitlines()
    assert json.loads((run / "metrics.json").read_text())["steps"] == 30
    assert [line for line in lines if line.startswith("overtraining:") and "going on" in line]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("overtraining.mode=maybe", "overtraining.mode=maybe .*stop, warn, off"),
        ("overtraining.patience=0", "overtraining.patience=0 .*at least 1"),
        ("overtraining.smooth=0", "overtraining.smooth=0 .*at least 1"),
        ("overtraining.min_improvement=2", "overtraining.min_improvement=2 .*between 0 and 0.5"),
        ("overtraining.plateau_patience=0", "overtraining.plateau_patience=0 .*at least 1"),
    ],
)
def test_value_out_of_range_is_one_line(datasets: Path, tmp_path: Path, override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        train(training(datasets, tmp_path, "x", 1, override))

    assert not (tmp_path / "x").exists()
