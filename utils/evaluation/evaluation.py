"""Evaluate converted recordings: similarity to the target, intelligibility, pitch and naturalness."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.io import load_audio
from utils.console import utf8_text
from utils.evaluation.evaluators import Evaluators
from utils.evaluation.metrics import character_errors, cosine_similarity, mean_embedding
from utils.evaluation.optional_packages import EVALUATION_RATE
from utils.evaluation.pairing import pair_files
from utils.inference.measures import PitchMeter, compare_pitch

log = logging.getLogger(__name__)


@dataclass
class Evaluation:
    """What the evaluators found.

    Attributes:
        means: one figure over all files each; None where it cannot be computed.
        files: the same for every file.
        missing: evaluators that are not installed, with the command that installs each.
        left_out: sources without a converted file.
    """

    means: dict[str, float | None]
    files: list[dict[str, Any]]
    missing: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"means": self.means, "files": self.files, "missing": self.missing, "left_out": self.left_out}


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
        below: folder of the sources; a converted file then lies in `converted` where its source lies in this one, and
            sources without one are left out. None goes by the names alone.
    Raises:
        DataError: if a source has no converted file, or it cannot be told which is whose, or a folder is empty.
    """
    pairs = pair_files(converted, sources, below)
    target_audio = [load_audio(path, EVALUATION_RATE) for path in target]
    anchors = {
        name: mean_embedding([evaluator.embed(audio) for audio in target_audio])
        for name, evaluator in evaluators.speakers.items()
    }
    meter = PitchMeter()
    files = []
    for source, output in pairs.found:
        log.info("evaluating %s", output.name)
        source_audio, output_audio = load_audio(source, EVALUATION_RATE), load_audio(output, EVALUATION_RATE)
        label = output.relative_to(converted if below else output.parent).with_suffix("").as_posix()
        row: dict[str, Any] = {"file": utf8_text(label), "seconds": round(len(output_audio) / EVALUATION_RATE, 3)}
        if source not in words_only:
            row.update(_speaker_figures(evaluators, anchors, source_audio, output_audio))
            row.update(_pitch_figures(meter, source_audio, output_audio))
        row.update(_text_figures(evaluators, source_audio, output_audio))
        if source not in words_only:
            row.update(_naturalness_figures(evaluators, source_audio, output_audio))
            row["identical"] = _is_identical(source_audio, output_audio)
        files.append(row)
    means = _means(files) | _target_figures(evaluators, anchors, target_audio)
    return Evaluation(means, files, dict(evaluators.missing), [utf8_text(str(path)) for path in pairs.absent])


def _target_figures(
    evaluators: Evaluators, anchors: dict[str, np.ndarray], target_audio: Sequence[np.ndarray]
) -> dict[str, float | None]:
    """Return the figures of the target's own recordings: what a perfect conversion could reach."""
    figures: dict[str, float | None] = {}
    for name, speaker in evaluators.speakers.items():
        similarities = [cosine_similarity(speaker.embed(audio), anchors[name]) for audio in target_audio]
        figures[f"{name}_target_own"] = float(np.mean(similarities))
    for name, naturalness in evaluators.naturalness.items():
        figures[f"{name}_target"] = float(np.mean([naturalness.score(audio) for audio in target_audio]))
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
    return {"f0_correlation": pitch.correlation, "voicing_agreement": pitch.voicing_agreement}


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


def _means(files: list[dict[str, Any]]) -> dict[str, float | None]:
    """Average every figure over the files that have it; edits become the rate over all characters, flags a count."""
    means: dict[str, float | None] = {}
    for key in files[0]:
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
