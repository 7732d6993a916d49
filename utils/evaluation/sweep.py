"""Which settings of the controls suit a voice: one after the other, judged by the score."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from utils.audio.listing import spread
from utils.errors import ConfigError
from utils.evaluation.evaluation import evaluate
from utils.evaluation.evaluators import Evaluators
from utils.evaluation.figures import difference_of, terms_of
from utils.evaluation.score import SCORE, with_scores
from utils.evaluation.voices import Voice, convert_sources

MOST_SOURCES = 8
INDEX_RATES = (0.3, 0.6, 0.9)
PROTECTIONS = (0.0, 0.5)


class Setting(NamedTuple):
    """Controls, and whether the pitch is moved to the target's."""

    controls: dict[str, float]
    is_auto: bool

    @property
    def words(self) -> str:
        """As one types it."""
        parts = [f"{name}={value:g}" for name, value in self.controls.items()]
        return " ".join(["pitch_shift=auto"] * self.is_auto + parts) or "the voice's own settings"


@dataclass
class Sweep:
    """What was tried.

    Attributes:
        rows: (setting, score, rows of its evaluation), the start first.
        recommendation: one line.
    """

    rows: list[tuple[Setting, float, list[dict[str, Any]]]] = field(default_factory=list)
    recommendation: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        tried = [
            {"setting": setting.words, "score": score if math.isfinite(score) else None}
            for setting, score, _ in self.rows
        ]
        return {"tried": tried, "recommendation": self.recommendation}


def sweep_voice(
    voice: Voice,
    sources: Sequence[Path],
    root: Path,
    target: Sequence[Path],
    evaluators: Evaluators,
    work: Path,
    controls: Mapping[str, float],
    announce: Callable[[str], None],
) -> Sweep:
    """Try pitch_shift=auto, then values of index_rate, then of protect, each time from the best so far.

    Args:
        voice: that has a graph.
        sources: at most MOST_SOURCES of them are used.
        root: folder of the sources.
        target: recordings of the speaker.
        evaluators: at least one of speakers, or nothing is recommended.
        work: an empty folder.
        controls: where to begin.
        announce: is given a line for each setting.
    """
    if not evaluators.speakers:
        return Sweep(recommendation="no recommendation: no evaluator of speakers is installed")
    few = spread(sources, MOST_SOURCES)
    sweep = Sweep()

    def attempt(setting: Setting) -> float:
        folder = work / str(len(sweep.rows))
        convert_sources(voice, few, root, folder, setting.controls, step=1 if setting.is_auto else None)
        found = evaluate(folder, few, target, evaluators, below=root)
        rows = with_scores(found.files, found.means)
        terms = terms_of(rows, SCORE)
        score = terms.value if terms else float("-inf")
        sweep.rows.append((setting, score, rows))
        announce(f"{setting.words}: score {score:.3f}")
        return score

    best = Setting(dict(controls), False)
    best_score = attempt(best)
    if not math.isfinite(best_score):
        sweep.recommendation = "no recommendation: the sources are as near to the speaker as its own recordings"
        return sweep
    for candidates in (_shifts, _index_rates, _protections):
        for setting in candidates(best):
            try:
                score = attempt(setting)
            except ConfigError as error:
                announce(f"{setting.words} is left out: {error}")
                continue
            if score > best_score:
                best, best_score = setting, score
    sweep.recommendation = _recommend(sweep, best)
    return sweep


def _shifts(best: Setting) -> list[Setting]:
    return [] if "pitch_shift" in best.controls else [Setting(best.controls, True)]


def _index_rates(best: Setting) -> list[Setting]:
    return [Setting({**best.controls, "index_rate": rate}, best.is_auto) for rate in INDEX_RATES]


def _protections(best: Setting) -> list[Setting]:
    if not best.controls.get("index_rate"):
        return []  # protect is a share of index_rate
    return [Setting({**best.controls, "protect": share}, best.is_auto) for share in PROTECTIONS]


def _recommend(sweep: Sweep, best: Setting) -> str:
    start, chosen = sweep.rows[0], next(row for row in sweep.rows if row[0] == best)
    if chosen is start:
        return f"recommended: {start[0].words} (score {start[1]:.3f}; nothing that was tried is better)"
    first, second = terms_of(chosen[2], SCORE), terms_of(start[2], SCORE)
    is_same = first is not None and second is not None and len(first.numerators) == len(second.numerators)
    is_real = is_same and first is not None and second is not None and difference_of(first, second).is_real
    scores = f"score {chosen[1]:.3f} against {start[1]:.3f} of {start[0].words}"
    if is_real:
        return f"recommended: {best.words} ({scores}, more than noise)"
    return f"recommended: {start[0].words}; {best.words} is not better beyond noise ({scores})"
