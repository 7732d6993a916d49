"""What a stream costs a voice, and what hosts without state do to the edges of their blocks.

    python -m benchmarks.streaming_quality --graph <voice>.onnx [--stream <voice>_stream.onnx] [--seconds 8]

The graphs convert the same recordings, the usual one also in blocks; the evaluators are those of
benchmarks/voice_quality.py. The table of edges converts blocks of 100 ms that know nothing of each other: as they are,
with their mirror image or silence added on both sides before the graph and cut off behind it, and with true sound
before them; and blocks that HistoryStream joins.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison import cell, evaluators_of
from benchmarks.feeding import feeds_of, median_hz_of
from benchmarks.options import BenchmarkParser, check_recordings, work_folder, write_figures
from benchmarks.sources import pick_sources
from benchmarks.target_voices import NUM_TARGET_CLIPS
from utils.audio.io import load_audio, save_audio
from utils.audio.listing import list_audio, spread
from utils.command_line import positive_number, run_program
from utils.console import emit, table
from utils.evaluation.evaluation import evaluate
from utils.inference.history import HistoryStream
from utils.inference.measures import PitchMeter, automatic_shift
from utils.inference.session import VoiceSession
from utils.inference.stream import StreamSession
from utils.verification.alignment import seam_scores, spectral_difference_db

BLOCK_SECONDS = 0.1
MARGIN_SECONDS = 0.1
FIGURES = (
    "resemblyzer_converted_to_target", "ecapa_converted_to_target", "f0_correlation", "voicing_agreement",
    "whisper_character_error", "distillmos_converted",
)  # fmt: skip

Convert = Callable[[np.ndarray], np.ndarray]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("streaming_quality", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Compare the graphs, print the tables; return the exit code."""
    whole = VoiceSession.open(options.graph)
    stream = StreamSession.open(options.stream) if options.stream else None
    check_recordings(options)
    work = work_folder(options)
    result = {
        "quality": compare_quality(whole, stream, options, work),
        "edges": compare_edges(whole, stream, options),
    }
    show(result)
    write_figures(options, "streaming_quality", result)
    return 0


def compare_quality(
    whole: VoiceSession, stream: StreamSession | None, options: argparse.Namespace, work: Path
) -> dict[str, Any]:
    """Return the mean figures of each way and how long a second of audio takes."""
    evaluators, meter, rate = evaluators_of(options), PitchMeter(), whole.sample_rate
    excerpts = write_excerpts(options, work / "sources", rate)
    target_hz = median_hz_of(whole)
    conversions: dict[str, Callable[..., np.ndarray]] = dict(feeds_of(whole))
    if stream is not None:
        conversions["stream"] = stream.convert
    means: dict[str, Any] = {}
    for name, convert in conversions.items():
        seconds, spent = 0.0, 0.0
        for path in excerpts:
            audio = load_audio(path, rate)
            shift = automatic_shift(meter.track(audio, rate), target_hz)
            started = time.perf_counter()
            made = convert(audio, {"pitch_shift": shift})
            seconds, spent = seconds + len(audio) / rate, spent + time.perf_counter() - started
            save_audio(work / name / path.name, made, rate)
        target = spread(list_audio(options.target), NUM_TARGET_CLIPS)
        figures = evaluate(work / name, excerpts, target, evaluators).means
        means[name] = {**figures, "real_time_factor": spent / seconds}
    return means


def write_excerpts(options: argparse.Namespace, folder: Path, sample_rate: int) -> list[Path]:
    """Write the beginnings of the sources; returns the files."""
    excerpts = []
    for speaker, path in pick_sources(options.sources, options.source_count):
        excerpt = load_audio(path, sample_rate)[: round(options.seconds * sample_rate)]
        excerpts.append(folder / f"{speaker}_{path.stem}.wav")
        save_audio(excerpts[-1], excerpt, sample_rate)
    return excerpts


def compare_edges(
    whole: VoiceSession, stream: StreamSession | None, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Return the mean seam figures of blocks of 100 ms under several treatments, and those of the stream."""
    rate, length = whole.sample_rate, round(options.seconds * whole.sample_rate)
    sources = pick_sources(options.sources, options.source_count)
    each = [edges_of(whole, stream, load_audio(path, rate)[:length]) for _, path in sources]
    return {
        name: {key: float(np.mean([figures[name][key] for figures in each])) for key in row}
        for name, row in each[0].items()
    }


def edges_of(whole: VoiceSession, stream: StreamSession | None, audio: np.ndarray) -> dict[str, dict[str, float]]:
    """Return the seam figures for one recording [T]."""
    rate = whole.sample_rate
    block, margin = round(BLOCK_SECONDS * rate), round(MARGIN_SECONDS * rate)
    audio = audio[: len(audio) // block * block]
    reference = whole.run(audio)
    treatments: dict[str, Convert] = {
        "blocks as they are": whole.run,
        "mirror on both sides": lambda part: whole.run(np.pad(part, margin, mode="reflect"))[margin:-margin],
        "silence on both sides": lambda part: whole.run(np.pad(part, margin))[margin:-margin],
    }
    pieced = {
        name: np.concatenate([convert(part) for part in audio.reshape(-1, block)])
        for name, convert in treatments.items()
    }
    for share in (0.1, 0.5):
        before = round(share * rate)
        longer = np.pad(audio, (before, 0))
        parts = [whole.run(longer[start : start + before + block])[before:] for start in range(0, len(audio), block)]
        pieced[f"{1000 * share:.0f} ms of true sound before (needs a host's help)"] = np.concatenate(parts)
    pieced["500 ms before and 60 ms ahead, met where they agree"] = HistoryStream(whole).convert(audio)
    figures = {name: _seams(reference, made, block, rate) for name, made in pieced.items()}
    if stream is not None:
        made = stream.convert(audio)
        figures["stream, blocks of 20 ms"] = _seams(made, made, stream.facts.block, rate)
        figures["stream, blocks of 20 ms"]["spectrum_db"] = spectral_difference_db(reference, made, rate)
    return figures


def _seams(reference: np.ndarray, made: np.ndarray, block: int, rate: int) -> dict[str, float]:
    seams = seam_scores(reference, made, block)
    spectrum = spectral_difference_db(reference, made, rate)
    return {"step_db": seams.step_db, "jump_db": seams.jump_db, "spectrum_db": spectrum}


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    quality = result["quality"]
    rows = [[name.replace("_", " "), *(cell(quality[kind].get(name)) for kind in quality)] for name in FIGURES]
    rows.append(["real time factor", *(cell(quality[kind]["real_time_factor"]) for kind in quality)])
    emit(table(rows, ["", *quality]))
    emit()
    edges = [[name, *(f"{value:+.1f}" for value in row.values())] for name, row in result["edges"].items()]
    emit(table(edges, ["blocks", "steps at seams, dB of level", "dB of steps in one piece", "spectrum, dB"]))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("streaming_quality", __doc__)
    parser.add_argument("--graph", type=Path, required=True, help="the usual graph")
    parser.add_argument("--stream", type=Path, help="the streaming graph of the same rate, beside the usual one")
    parser.add_target()
    parser.add_sources(6)
    parser.add_argument("--seconds", type=positive_number, default=8.0, help="of each recording at most")
    parser.add_evaluators(("resemblyzer", "ecapa", "whisper"))
    parser.add_work()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
