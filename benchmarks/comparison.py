"""Figures of voices side by side: which are compared, which way is better, and how they are laid out."""

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scripts.pipeline import empty_folder
from utils.audio.io import load_audio, save_audio
from utils.audio.listing import spread
from utils.evaluation.evaluation import evaluate
from utils.evaluation.evaluators import Evaluators, load_evaluators

NUM_TARGET_CLIPS = 10  # recordings of the target that variants are compared with
Means = Mapping[str, float | None]
Converter = Callable[[np.ndarray], np.ndarray]
log = logging.getLogger(__name__)


class Figure(NamedTuple):
    """A figure of an evaluation by its name, and whether more of it is better."""

    name: str
    more_is_better: bool

    @property
    def label(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")


HELD_OUT_MEL = Figure("held_out_mel", False)
CONVERTED = (
    Figure("resemblyzer_converted_to_target", True),
    Figure("ecapa_converted_to_target", True),
    Figure("whisper_character_error", False),
    Figure("distillmos_converted", True),
)
# name of a figure -> heading of a narrow column
COLUMNS = {
    "resemblyzer_converted_to_target": "resemblyzer",
    "ecapa_converted_to_target": "ecapa",
    "whisper_character_error": "whisper CER",
    "moonshine_character_error": "moonshine CER",
}


def evaluators_of(options: argparse.Namespace, *, num_threads: int = 1) -> Evaluators:
    """Load the evaluators that the command line names; one that is not installed is named in a warning."""
    evaluators = load_evaluators(options.evaluators, language=options.language, num_threads=num_threads)
    for name, command in evaluators.missing.items():
        log.warning("%s is not installed, its figures will be missing; type: %s", name, command)
    return evaluators


def evaluate_variants(
    variants: Mapping[str, Converter], sample_rate: int, sources: Sequence[Path], target: Sequence[Path],
    evaluators: Evaluators, work: Path,
) -> dict[str, dict[str, float | None]]:  # fmt: skip
    """Convert every source with every variant and return the mean figures of each variant.

    Args:
        variants: name -> function from [T] to [T] at the sample rate.
        sample_rate: of the variants.
        sources: recordings to convert.
        target: recordings of the voice.
        evaluators: those that are installed.
        work: folder for the converted files.
    """
    figures: dict[str, dict[str, float | None]] = {}
    for name, convert in variants.items():
        folder = empty_folder(work / name.replace(" ", "_"))
        for source in sources:
            save_audio(folder / f"{source.stem}.wav", convert(load_audio(source, sample_rate)), sample_rate)
        log.info("evaluating %s", name)
        figures[name] = evaluate(folder, sources, spread(target, NUM_TARGET_CLIPS), evaluators).means
    return figures


def cell(value: float | None, form: str = ".3f") -> str:
    """Return a figure for a table; "-" where it was not measured."""
    return "-" if value is None else format(value, form)


def column_cells(means: Means) -> list[str]:
    """Return a cell for each of COLUMNS."""
    return [cell(means.get(name)) for name in COLUMNS]
