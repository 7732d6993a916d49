"""Evaluate converted recordings: similarity to the target, intelligibility, pitch and naturalness."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from utils.audio.io import load_audio
from utils.console import utf8_text
from utils.errors import DataError, WorkbenchError
from utils.evaluation.evaluators import Evaluators
from utils.evaluation.metrics import character_errors, cosine_similarity, mean_embedding
from utils.evaluation.optional_packages import EVALUATION_RATE
from utils.evaluation.pairing import pair_files
from utils.inference.measures import PitchMeter, compare_pitch, measure_level

Value = TypeVar("Value")
log = logging.getLogger(__name__)


@dataclass
class Evaluation:
    """What the evaluators found.

    Attributes:
        means: one figure over all files each; None where it cannot be computed.
        files: the same for every file.
        missing: evaluators that are not installed, with the command that installs each.
        left_out: sources without a converted file.
        failures: "file" and "reason" of each recording that could not be evaluated.
    """

    means: dict[str, float | None]
    files: list[dict[str, Any]]
    missing: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def evaluate(
    converted: Path,
    sources: Sequence[Path],
    target: Sequence[Path],
    evaluators: Evaluators,
    *,
    words_only: Collection[Path] = (),
    below: Path | None = None,
) -> Evaluation:
    """Evaluate converted recordings.

    Args:
        converted: folder of converted files, named as their sources.
        sources: the source recordings; those without a converted file are an error unless `below` is given.
        target: recordings of the target voice, best held out of training.
        evaluators: from `load_evaluators`.
        words_only: sources of which only the words are evaluated; not the first one.
        below: folder of the sources; a converted file then lies in `converted` where its source lies in this one,
            sources without one are left out, and a recording that cannot be evaluated is a failure of the result. None
            goes by the names alone, and everything must be there and whole.
    Raises:
        DataError: if a source has no converted file, or it cannot be told which is whose, or a folder is empty; if no
            recording of the target or no pair could be evaluated.
    """
    pairs = pair_files(converted, sources, below)
    patience = _Patience(is_strict=below is None)
    reference = [own for path in target if (own := patience.of(path, partial(_own_figures, evaluators, path)))]
    if not reference:
        raise patience.nothing_left("recording of the target")
    anchors = {name: mean_embedding([own.embeddings[name] for own in reference]) for name in evaluators.speakers}
    judge = _Judge(evaluators, anchors)
    rows = []
    for source, output in pairs.found:
        log.info("evaluating %s", output.name)
        label = output.relative_to(converted if below else output.parent).with_suffix("").as_posix()
        row = patience.of(output, partial(judge.row, label, source, output, words_only=source in words_only))
        rows += [] if row is None else [row]
    if not rows:
        raise patience.nothing_left("converted file")
    means = means_of(rows) | _target_figures(evaluators, anchors, reference)
    absent = [utf8_text(str(path)) for path in pairs.absent]
    return Evaluation(means, rows, dict(evaluators.missing), absent, patience.failures)


class _Patience:
    """Tries recording after recording and keeps what failed.

    Args:
        is_strict: let the first failure end it.
    """

    def __init__(self, *, is_strict: bool) -> None:
        self.is_strict = is_strict
        self.failures: list[dict[str, str]] = []

    def of(self, path: Path, action: Callable[[], Value]) -> Value | None:
        """Return what the action gives; None if it fails, which is entered as a failure of the file."""
        if self.is_strict:
            return action()
        try:
            return action()
        except Exception as error:  # networks of others: each file stands for itself, and the report names it
            reason = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
            log.info("%s cannot be evaluated", path, exc_info=True)
            reason = (reason.splitlines() or [""])[0]
            self.failures.append({"file": utf8_text(str(path)), "reason": utf8_text(reason)})
            return None

    def nothing_left(self, what: str) -> DataError:
        """Return the error for no file that could be evaluated."""
        first = f": {self.failures[0]['reason']}" if self.failures else ""
        return DataError(f"no {what} can be evaluated{first}")


class _Own(NamedTuple):
    """Embeddings and scores of a recording of the target, by evaluator."""

    embeddings: dict[str, np.ndarray]
    scores: dict[str, float]


def _own_figures(evaluators: Evaluators, path: Path) -> _Own:
    audio = load_audio(path, EVALUATION_RATE)
    embeddings = {name: evaluator.embed(audio) for name, evaluator in evaluators.speakers.items()}
    scores = {name: evaluator.score(audio) for name, evaluator in evaluators.naturalness.items()}
    _require_finite({**embeddings, **scores}, path)
    return _Own(embeddings, scores)


def _require_finite(figures: Mapping[str, Any], path: Path) -> None:
    """Refuse figures that are no numbers, as of silence."""
    for name, value in figures.items():
        if isinstance(value, float | np.ndarray) and not np.isfinite(value).all():
            raise DataError(f"{path}: {name} is no number, as of silence")


class _Judge:
    """Evaluates converted files.

    Args:
        evaluators: networks.
        anchors: mean embedding of the target, by evaluator.
    """

    def __init__(self, evaluators: Evaluators, anchors: dict[str, np.ndarray]) -> None:
        self._evaluators, self._anchors = evaluators, anchors
        self._meter = PitchMeter()

    def row(self, label: str, source: Path, output: Path, *, words_only: bool) -> dict[str, Any]:
        """Return the figures of a converted file.

        Raises:
            DataError: if it or its source cannot be read, or a figure of them is no number.
        """
        evaluators = self._evaluators
        source_audio, output_audio = load_audio(source, EVALUATION_RATE), load_audio(output, EVALUATION_RATE)
        row: dict[str, Any] = {"file": utf8_text(label), "seconds": round(len(output_audio) / EVALUATION_RATE, 3)}
        if not words_only:
            row.update(_speaker_figures(evaluators, self._anchors, source_audio, output_audio))
            row.update(_pitch_figures(self._meter, source_audio, output_audio))
        row.update(_text_figures(evaluators, source_audio, output_audio))
        if not words_only:
            row.update(_naturalness_figures(evaluators, source_audio, output_audio))
            row["level_change_db"] = measure_level(output_audio).rms_db - measure_level(source_audio).rms_db
            row["identical"] = _is_identical(source_audio, output_audio)
        _require_finite(row, output)
        return row


def _target_figures(
    evaluators: Evaluators, anchors: dict[str, np.ndarray], reference: Sequence[_Own]
) -> dict[str, float | None]:
    """Return the figures of the target's own recordings: what a perfect conversion could reach."""
    figures: dict[str, float | None] = {}
    for name in evaluators.speakers:
        figures[f"{name}_target_own"] = float(
            np.mean([cosine_similarity(own.embeddings[name], anchors[name]) for own in reference])
        )
    for name in evaluators.naturalness:
        figures[f"{name}_target"] = float(np.mean([own.scores[name] for own in reference]))
    return figures


def _speaker_figures(
    evaluators: Evaluators, anchors: dict[str, np.ndarray], source: np.ndarray, output: np.ndarray
) -> dict[str, float]:
    figures = {}
    for name, evaluator in evaluators.speakers.items():
        source_embedding, output_embedding = evaluator.embed(source), evaluator.embed(output)
        figures[f"{name}_source_to_target"] = cosine_similarity(source_embedding, anchors[name])
        figures[f"{name}_converted_to_target"] = cosine_similarity(output_embedding, anchors[name])
        figures[f"{name}_converted_to_source"] = cosine_similarity(output_embedding, source_embedding)
    return figures


def _pitch_figures(meter: PitchMeter, source: np.ndarray, output: np.ndarray) -> dict[str, float | None]:
    pitch = compare_pitch(meter.track(source, EVALUATION_RATE), meter.track(output, EVALUATION_RATE))
    return {
        "f0_correlation": pitch.correlation,
        "f0_error_cents": pitch.error_cents,
        "voicing_agreement": pitch.voicing_agreement,
    }


def _text_figures(evaluators: Evaluators, source: np.ndarray, output: np.ndarray) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, recognizer in evaluators.recognizers.items():
        expected, found = recognizer.transcribe(source), recognizer.transcribe(output)
        edits, length = character_errors(expected, found)
        figures[f"{name}_text_source"] = expected
        figures[f"{name}_text_converted"] = found
        figures[f"{name}_edits"] = edits
        figures[f"{name}_characters"] = length
    return figures


def _naturalness_figures(evaluators: Evaluators, source: np.ndarray, output: np.ndarray) -> dict[str, float]:
    figures = {}
    for name, evaluator in evaluators.naturalness.items():
        figures[f"{name}_source"], figures[f"{name}_converted"] = evaluator.score(source), evaluator.score(output)
    return figures


def _is_identical(source: np.ndarray, output: np.ndarray) -> bool:
    """Return whether the output is the unconverted input, up to its level."""
    length = min(len(source), len(output))
    return abs(cosine_similarity(source[:length], output[:length])) > 0.99


def means_of(files: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Average every figure over the files that have it; edits become the rate over all characters, flags a count."""
    means: dict[str, float | None] = {}
    for key in dict.fromkeys(key for row in files for key in row):
        values = [row[key] for row in files if row.get(key) is not None]
        if key.endswith("_edits"):
            recognizer = key.removesuffix("_edits")
            characters = sum(row[f"{recognizer}_characters"] for row in files)
            means[f"{recognizer}_character_error"] = sum(values) / characters if characters else None
        elif key == "identical":
            means["identical_files"] = float(sum(values))
        elif not key.endswith(("_characters", "_source_text")) and key != "seconds" and not _is_text(values):
            means[key] = float(np.mean(values)) if values else None
    return means


def _is_text(values: list[Any]) -> bool:
    return any(isinstance(value, str) for value in values)
