"""Does a blend of two runs keep the words? Errors of a recogniser on what each share makes of the same sources.

    python -m benchmarks.blend --first runs/alice --second runs/bob --sources songs

Needs Moonshine (pip install moonshine-voice), English alone. Printed for each share of the second voice: character
errors against what the recogniser writes of the source itself, over the length of those texts, and the median pitch.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.options import BenchmarkParser
from benchmarks.sources import pick_sources
from utils.audio.io import load_audio
from utils.audio.resample import RationalResampler
from utils.command_line import run_program
from utils.console import emit, table
from utils.evaluation.metrics import character_errors
from utils.evaluation.optional_packages import EVALUATION_RATE
from utils.evaluation.recognizers import MoonshineRecognizer
from utils.export.blended_runs import load_blended_voice
from utils.export.blending import Blend, agreement_of
from utils.features.pitch.swift import builtin_tracker
from utils.training.checkpoints import TrainedVoice, load_voice

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LONGEST_SECONDS = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("blend", __doc__)
    parser.add_argument("--first", type=Path, required=True, help="a run")
    parser.add_argument("--second", type=Path, required=True, help="another run of the same start")
    parser.add_argument("--sources", type=Path, required=True, help="folder of English recordings of others")
    parser.add_argument("--source-count", type=int, default=6, help="how many of them (default: 6)")
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES), help="of the second voice")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    options = parser.parse_args(arguments)
    return run_program("blend", lambda: _run(options))


@torch.no_grad()
def _run(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    recognizer, tracker = MoonshineRecognizer(), builtin_tracker()
    paths = [path for _, path in pick_sources(options.sources, options.source_count)]
    first, second = (load_voice(run, options.checkpoint) for run in (options.first, options.second))
    agreement = agreement_of(first.model.state_dict(), second.model.state_dict())
    emit(f"cosine between the weights of the two: {agreement:.3f}")
    sources = [load_audio(path, first.io_rate)[: LONGEST_SECONDS * first.io_rate] for path in paths]
    texts = [recognizer.transcribe(_at_evaluation_rate(source, first.io_rate)) for source in sources]
    rows = []
    for share in options.shares:
        blend = Blend("runs", {str(options.first): 1.0 - share, str(options.second): share})
        voice = load_blended_voice(Path(blend.heaviest), options.checkpoint, blend, None, trust=(), with_codebook=False)
        rows.append([f"{share:g}", *_judged(voice, sources, texts, recognizer, tracker)])
    emit(table(rows, ["share of the second", "character errors", "of", "rate", "median pitch (Hz)"]))
    return 0


def _judged(
    voice: TrainedVoice, sources: Sequence[np.ndarray], texts: Sequence[str], recognizer: Any, tracker: Any
) -> list[Any]:
    errors, length = 0, 0
    pitches = []
    for source, text in zip(sources, texts, strict=True):
        controls = (torch.tensor(value) for value in (0.0, 0, 0.0, 0.33, 1.0))
        made = voice.converter(torch.from_numpy(source)[None], *controls)[0].numpy()
        heard = _at_evaluation_rate(made, voice.io_rate)
        wrong, count = character_errors(text, recognizer.transcribe(heard))
        errors, length = errors + wrong, length + count
        f0 = tracker(torch.from_numpy(heard)[None]).numpy()
        pitches.append(f0[f0 > 0])
    median = float(np.median(np.concatenate(pitches)))
    return [errors, length, f"{errors / max(1, length):.3f}", round(median)]


def _at_evaluation_rate(audio: np.ndarray, rate: int) -> np.ndarray:
    resampled: np.ndarray = RationalResampler(rate, EVALUATION_RATE)(torch.from_numpy(audio)[None])[0].numpy()
    return resampled


if __name__ == "__main__":
    sys.exit(main())
