"""Judge pitch trackers on sound whose pitch is known.

    python -m benchmarks.pitch [--corpus FOLDER] [--clips 16] [--seconds 6] [--trackers NAME ...] [--json FILE]

Recordings of many speakers are spoken again by the WORLD vocoder with a known pitch (clean, with white noise, moved by
an octave), and notes of 80 to 900 Hz are sung with and without vibrato. Beside the shipped tracker, in PyTorch and as
ONNX, stand those that are installed here.

Accuracy: voiced frames found voiced and within 50 cents. Gross errors: of frames voiced in both, more than 20 % off.
False voicing: unvoiced frames found voiced. Recall: voiced frames found voiced.
"""

import argparse
import io
import logging
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bars import Bar, plain_bars, show_bars
from benchmarks.machine import least_factor
from benchmarks.options import count, duration, new_file
from benchmarks.pitch_material import VIBRATO_CENTS, Sound, add_noise, choose_recordings, describe_voice, sing, speak
from utils.audio.frames import FEATURE_RATE
from utils.audio.spectral import use_graph_form
from utils.config import compose, instantiate
from utils.console import emit, table
from utils.errors import ConfigError, DataError, WorkbenchError
from utils.features.pitch.base import MIN_F0_HZ
from utils.features.pitch.swift import SwiftPitch
from utils.files import atomic_write_json

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"
OURS, OURS_ONNX = "builtin", "builtin, ONNX"
TRACKERS = ("builtin", "wide", "swift_f0", "fcpe", "crepe", "harvest", "dio")
SEED = 0
CENTS = 50.0
GROSS = 0.2
SAME_CENTS = 1.0  # between two runtimes
log = logging.getLogger(__name__)

Track = Callable[[np.ndarray], np.ndarray]
Conditions = Mapping[str, Sequence[Sound]]


@dataclass(frozen=True)
class Figures:
    """Shares of frames, see the head of this file; None where there is no such frame."""

    accuracy: float | None
    gross_errors: float | None
    false_voicing: float | None
    recall: float | None


@dataclass(frozen=True)
class Result:
    """Figures of each condition and processor seconds for a second of audio on one thread."""

    conditions: dict[str, Figures]
    real_time_factor: float


def compare(found: np.ndarray, truth: np.ndarray) -> Figures:
    """Compare f0 in Hz [F]; 0 is unvoiced, and NaN in the truth is not judged."""
    voiced, unvoiced = truth > 0, truth == 0
    both = voiced & (found > 0)
    ratio = found[both] / truth[both]
    close = np.abs(1200 * np.log2(ratio)) <= CENTS
    return Figures(
        accuracy=_share(close, voiced),
        gross_errors=_share(np.abs(ratio - 1) > GROSS, both),
        false_voicing=_share(unvoiced & (found > 0), unvoiced),
        recall=_share(both, voiced),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> float | None:
    return float(part.sum() / whole.sum()) if whole.any() else None


def measure(track: Track, conditions: Conditions) -> Result:
    """Track all sounds."""
    track(next(iter(conditions.values()))[0].audio)  # the first call loads and compiles
    figures, seconds, spent = {}, 0.0, 0.0
    for name, sounds in conditions.items():
        # processor time of the one thread: the same as the clock when nothing else runs, and robust when something does
        started = time.process_time()
        found = [track(sound.audio) for sound in sounds]
        spent += time.process_time() - started
        seconds += sum(len(sound.audio) for sound in sounds) / FEATURE_RATE
        figures[name] = compare(np.concatenate(found), np.concatenate([sound.f0_hz for sound in sounds]))
    return Result(figures, spent / seconds)


def build_conditions(corpus: Path, num_clips: int, max_seconds: float) -> dict[str, list[Sound]]:
    """Synthesise all sounds.

    Raises:
        DataError: if the corpus is absent or empty.
    """
    if not corpus.is_dir():
        raise DataError(f"{corpus} is absent; give a folder of speech with --corpus")
    chosen = choose_recordings(corpus, num_clips, SEED)
    log.info("recordings: %s", ", ".join(str(path.relative_to(corpus)) for path in chosen))
    voices = [describe_voice(path, max_seconds) for path in chosen]
    clean = [speak(voice) for voice in voices]
    return {
        "clean": clean,
        "20 dB noise": [add_noise(sound, 20.0, index) for index, sound in enumerate(clean)],
        "10 dB noise": [add_noise(sound, 10.0, index) for index, sound in enumerate(clean)],
        "octave up": [speak(voice, 2.0) for voice in voices],
        "octave down": [_in_range(speak(voice, 0.5)) for voice in voices],
        "sung": [sing(0.0, SEED), sing(VIBRATO_CENTS, SEED)],
    }


def _in_range(sound: Sound) -> Sound:
    """Leave out of the judgement what is lower than trackers are asked for."""
    too_low = (sound.f0_hz > 0) & (sound.f0_hz < MIN_F0_HZ)
    return Sound(sound.audio, np.where(too_low, np.nan, sound.f0_hz))


def load_trackers(names: Sequence[str]) -> dict[str, Track]:
    """Return the trackers that can be compared here; one whose package is missing is named.

    Raises:
        ConfigError: if the shipped tracker, of which the bars are, is asked for and missing, or none is left.
    """
    trackers: dict[str, Track] = {}
    for name in names:
        try:
            config = compose("preprocess", ["dataset.source=none", "dataset.name=none", f"pitch={name}"])
            tracker = instantiate(config.pitch, "pitch")
        except ConfigError as error:
            if name == OURS:
                raise
            log.warning("%s is left out: %s", name, error)
            continue
        trackers[name] = tracker.track
        if name == OURS:
            trackers[OURS_ONNX] = exported(tracker)
    if not trackers:
        raise ConfigError(f"none of {', '.join(names)} can be compared here; the lines above say what to install")
    return trackers


def exported(tracker: SwiftPitch) -> Track:
    """Return the tracker as an ONNX graph in onnxruntime on one thread."""
    import onnxruntime

    use_graph_form(tracker)
    buffer = io.BytesIO()
    axes = {"audio": {0: "batch", 1: "time"}, "f0_hz": {0: "batch", 1: "frames"}}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tracker,
            (torch.zeros(2, FEATURE_RATE),),
            buffer,  # type: ignore[arg-type]  # the tracing exporter accepts a stream
            dynamo=False,
            opset_version=17,
            input_names=["audio"],
            output_names=["f0_hz"],
            dynamic_axes=axes,
        )
    use_graph_form(tracker, enabled=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda audio: session.run(None, {"audio": audio[None]})[0][0]


def difference(first: Track, second: Track, conditions: Conditions) -> tuple[float, int]:
    """Return the largest difference in cents where both are voiced, and how many frames are voiced in one alone."""
    largest, alone = 0.0, 0
    for sounds in conditions.values():
        for sound in sounds:
            one, other = first(sound.audio), second(sound.audio)
            alone += int(((one > 0) != (other > 0)).sum())
            both = (one > 0) & (other > 0)
            if both.any():
                largest = max(largest, float(np.abs(1200 * np.log2(one[both] / other[both])).max()))
    return largest, alone


def judge(ours: Result, difference_cents: float, num_alone: int) -> list[Bar]:
    """Return the bars of the shipped tracker; gross errors and false voicing are those of the worst condition."""
    worst_gross = max(figures.gross_errors or 0.0 for figures in ours.conditions.values())
    worst_voicing = max(figures.false_voicing or 0.0 for figures in ours.conditions.values())
    return [
        Bar("accuracy, clean", ours.conditions["clean"].accuracy, 0.80, True),
        Bar("accuracy, 10 dB noise", ours.conditions["10 dB noise"].accuracy, 0.77, True),
        Bar("gross errors, worst condition", worst_gross, 0.01, False),
        Bar("false voicing, worst condition", worst_voicing, 0.02, False),
        Bar("real-time factor, one thread", ours.real_time_factor, 0.01, False),
        Bar("PyTorch to ONNX, cents", difference_cents, SAME_CENTS, False),
        Bar("PyTorch to ONNX, frames voiced in one alone", num_alone, 0, False),
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pitch", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=CORPORA, help="folder of speech (default: shared corpora)")
    parser.add_argument("--clips", type=count, default=16, help="recordings, of as many speakers as there are")
    parser.add_argument("--seconds", type=duration, default=6.0, help="of each recording at most")
    parser.add_argument("--trackers", nargs="+", default=TRACKERS, choices=TRACKERS, help="only these; harvest is slow")
    parser.add_argument("--json", type=new_file, help="write the figures here too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the shipped tracker misses a bar."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="pitch: %(message)s")
    torch.set_num_threads(1)
    try:
        trackers = load_trackers(options.trackers)
        conditions = build_conditions(options.corpus.resolve(), options.clips, options.seconds)
        results = {name: measure(track, conditions) for name, track in trackers.items()}
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    show(results)
    bars: list[Bar] = []
    machine = None
    if OURS in trackers:
        machine = least_factor(trackers[OURS])
        emit(f"\n{machine}")
        bars = judge(results[OURS], *difference(trackers[OURS], trackers[OURS_ONNX], conditions))
        emit()
        show_bars(bars)
    if options.json:
        atomic_write_json(options.json, {**_plain(results, bars), "machine": machine})
    return 0 if all(bar.is_reached for bar in bars) else 1


def show(results: Mapping[str, Result]) -> None:
    """Print the table: a line for each tracker and condition."""
    rows = [
        [name, condition, *(_figure(value) for value in asdict(figures).values()), f"{result.real_time_factor:.4f}"]
        for name, result in results.items()
        for condition, figures in result.conditions.items()
    ]
    headers = ["tracker", "condition", "accuracy", "gross errors", "false voicing", "recall", "RTF, 1 thread"]
    emit(table(rows, headers))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _plain(results: Mapping[str, Result], bars: Sequence[Bar]) -> dict[str, Any]:
    return {
        "trackers": {name: asdict(result) for name, result in results.items()},
        "bars": plain_bars(bars),
    }


if __name__ == "__main__":
    sys.exit(main())
