"""Judge several ways of converting the same recordings; used by benchmarks.precision and benchmarks.retrieval."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from scripts.pipeline import empty_folder
from utils.audio.io import load_audio, save_audio
from utils.audio.listing import spread
from utils.evaluation.evaluation import evaluate
from utils.evaluation.evaluators import Evaluators

NUM_TARGET_CLIPS = 10
# figure of the judges -> heading
FIGURES = {
    "resemblyzer_converted_to_target": "resemblyzer",
    "ecapa_converted_to_target": "ecapa",
    "whisper_character_error": "whisper CER",
    "moonshine_character_error": "moonshine CER",
}
Converter = Callable[[np.ndarray], np.ndarray]
log = logging.getLogger(__name__)


def judge_variants(
    variants: Mapping[str, Converter], sample_rate: int, sources: Sequence[Path], target: Sequence[Path],
    judges: Evaluators, work: Path,
) -> dict[str, dict[str, float | None]]:  # fmt: skip
    """Convert every source with every variant and return the judges' mean figures of each variant.

    Args:
        variants: name -> function from [T] to [T] at the sample rate.
        sample_rate: of the variants.
        sources: recordings to convert.
        target: recordings of the voice.
        judges: those that are installed.
        work: folder for the converted files.
    """
    figures: dict[str, dict[str, float | None]] = {}
    for name, convert in variants.items():
        folder = empty_folder(work / name.replace(" ", "_"))
        for source in sources:
            save_audio(folder / f"{source.stem}.wav", convert(load_audio(source, sample_rate)), sample_rate)
        log.info("judging %s", name)
        figures[name] = evaluate(folder, sources, spread(target, NUM_TARGET_CLIPS), judges).means
    return figures


def figure_cells(means: Mapping[str, float | None]) -> list[str]:
    """Return a cell for each of FIGURES; "-" where there is no such judge."""
    values = [means.get(name) for name in FIGURES]
    return ["-" if value is None else f"{value:.3f}" for value in values]


def missing_lines(judges: Evaluators) -> list[str]:
    """Return a line for each judge that is not installed, with the command that installs it."""
    return [f"{name} is not installed, its column is empty; type: {how}" for name, how in judges.missing.items()]
