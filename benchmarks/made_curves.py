"""The rule that calls a training overtrained, on made curves: false alarms and delay under several kinds of noise."""

import numpy as np

from utils.training.overtraining import OvertrainingDetector, OvertrainingRule

LENGTH, BEST = 200, 40  # validations of a curve; the best one of a rising curve


def correlated_noise(count: int, deviation: float, correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise [count] whose neighbours are correlated."""
    innovations = rng.standard_normal(count)
    values = np.empty(count)
    values[0] = innovations[0]
    for index in range(1, count):
        values[index] = correlation * values[index - 1] + np.sqrt(1 - correlation**2) * innovations[index]
    return deviation * values


def detected_at(values: np.ndarray, patience: int) -> int | None:
    """Return the validation at which a curve is called overtrained."""
    detector = OvertrainingDetector(OvertrainingRule(patience=patience))
    return next((index for index, value in enumerate(values) if detector.update(index + 1, float(value))), None)


def curve_rows(patience: int, count: int) -> list[list[object]]:
    """Return one row for each kind of noise: alarms on flat and on improving curves, delay on rising ones.

    Args:
        patience: in validations.
        count: curves of each kind.
    """
    improving = 0.5 + 0.5 * np.exp(-np.arange(LENGTH) / 8) + 0.05 * np.exp(-np.arange(LENGTH) / 80)
    rising = np.concatenate([np.full(BEST, 1.0), 1 + 0.005 * np.arange(1, LENGTH - BEST + 1)])
    rows: list[list[object]] = []
    for deviation in (0.001, 0.003, 0.01):
        for correlation in (0.0, 0.5, 0.8):
            found: dict[str, list[int | None]] = {"flat": [], "improving": [], "rising": []}
            for seed in range(count):
                noise = 1 + correlated_noise(LENGTH, deviation, correlation, np.random.default_rng(seed))
                for name, curve in (("flat", np.ones(LENGTH)), ("improving", improving), ("rising", rising)):
                    found[name].append(detected_at(curve * noise, patience))
            alarms = [sum(item is not None for item in found[name]) / count for name in ("flat", "improving")]
            late = sorted(item - BEST + 1 for item in found["rising"] if item is not None and item >= BEST)
            early = sum(item is not None and item < BEST for item in found["rising"]) / count
            delays = [late[len(late) // 2], late[int(0.95 * (len(late) - 1))]] if late else [0, 0]
            rows.append([f"{100 * deviation:g} %", correlation, *[f"{100 * alarm:.1f} %" for alarm in alarms],
                         f"{100 * (len(late) / count + early):.0f} %", *delays])  # fmt: skip
    return rows
