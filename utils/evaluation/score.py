"""One figure for a voice, by which settings and states are compared.

    score = closeness - character error - (1 - F0 correlation) / 2

Closeness is the share of the way from the sources (0) to the speaker's own recordings (1) that the conversions have
come, the mean over the evaluators of speakers. What was not measured adds nothing. 1 is best.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SCORE = "score"
MELODY_WEIGHT = 0.5
LEAST_WAY = 0.05  # sources that are nearer to the speaker than this leave no way to go


def with_scores(files: Sequence[Mapping[str, Any]], means: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Return the rows of an evaluation with the score of each; a row has none where no speaker was evaluated."""
    ways = _ways(means)
    scored = []
    for row in files:
        closeness = [
            (float(row[f"{name}_converted_to_target"]) - start) / (end - start)
            for name, (start, end) in ways.items()
            if row.get(f"{name}_converted_to_target") is not None
        ]
        score = float(np.mean(closeness)) - _errors(row) if closeness else None
        scored.append({**row, **({SCORE: score} if score is not None else {})})
    return scored


def _ways(means: Mapping[str, float | None]) -> dict[str, tuple[float, float]]:
    ways = {}
    for key, end in means.items():
        name = key.removesuffix("_target_own")
        start = means.get(f"{name}_source_to_target")
        if name != key and end is not None and start is not None and end - start >= LEAST_WAY:
            ways[name] = (start, end)
    return ways


def _errors(row: Mapping[str, Any]) -> float:
    rates = [
        float(value) / max(1.0, float(row[key.replace("_edits", "_characters")]))
        for key, value in row.items()
        if key.endswith("_edits")
    ]
    correlation = row.get("f0_correlation")
    melody = 0.0 if correlation is None else MELODY_WEIGHT * (1 - float(correlation))
    return (float(np.mean(rates)) if rates else 0.0) + melody
