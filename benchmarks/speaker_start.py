"""Does a voice of few recordings profit from beginning at a mix of the base's speakers instead of their mean?

    python -m benchmarks.speaker_start --target FOLDER --sources FOLDER [--minutes 0.5,1,3] [--updates 0,50,200]
    python -m benchmarks.speaker_start data.batch_size=4 data.segment_frames=60     with settings of the trainings

For each length of recordings, and after each number of updates (0: before any weight of the base has changed), a voice
from the mean (pretrained.speakers=mean) and one from the mix (pretrained.speakers=fitted): val/mel of twenty recordings
that no voice has seen, and similarity of conversions of strangers to them. Differences are over the same clips, with
95 % intervals. Runs the real scripts with the same seed. What is already there is reused.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.comparison import evaluators_of
from benchmarks.options import BenchmarkParser, check_recordings, work_folder, write_figures
from benchmarks.sources import pick_recordings, pick_sources, stage
from benchmarks.target_voices import NUM_TARGET_CLIPS, TargetVoices
from models.adversarial import distance_without_padding
from scripts.pipeline import empty_folder
from utils.audio.io import load_audio, save_audio
from utils.audio.listing import list_audio, spread
from utils.command_line import positive_number, run_program, whole_number
from utils.config.train import train_job
from utils.console import emit, table
from utils.corpus.store import CorpusStore
from utils.errors import DataError
from utils.evaluation.evaluation import evaluate
from utils.evaluation.evaluators import Evaluators
from utils.evaluation.figures import Difference, differences_of
from utils.inference.measures import PitchMeter, automatic_shift
from utils.run_evaluation.torch_voice import TorchVoice
from utils.training import load_voice
from utils.training.assembly import build_data, fit_speakers_of, start_from_pretrained
from utils.training.checkpoints import TrainedVoice, build_generator
from utils.training.losses import MelDistance
from utils.voice_file.controls import ControlDefaults

STARTS = ("mean", "fitted")
MEL = "val_mel"
FIGURES = {
    MEL: "val/mel",
    "resemblyzer_converted_to_target": "resemblyzer",
    "ecapa_converted_to_target": "ECAPA",
}
RATE = 16000  # at which lengths are counted
HELD_OUT, HELD_OUT_SHARE = "held_out", 0.5  # the most that preprocess.py holds out
SEED = 0  # of the order in which recordings are taken
Rows = dict[str, list[dict[str, Any]]]


class Starts:
    """Voices of one target from both starts.

    Args:
        options: of the command line.
        evaluators: of conversions.
    """

    def __init__(self, options: argparse.Namespace, evaluators: Evaluators) -> None:
        self.options, self.work, self._evaluators = options, work_folder(options), evaluators
        self.voices = TargetVoices(options.target, self.work)
        recordings = list_audio(options.target)
        self._held_out = spread(recordings, NUM_TARGET_CLIPS)
        held_out = set(self._held_out)
        self._others = [path for path in recordings if path not in held_out]
        self._sources = pick_sources(options.sources, options.source_count)
        share = [f"preprocess.held_out_share={HELD_OUT_SHARE}"]
        self.voices.prepare(HELD_OUT, share, source=stage(self._held_out, self.work / "recordings" / HELD_OUT))

    def figures(self, minutes: float) -> dict[int, Rows]:
        """Return number of updates -> start -> a row of each clip, for so many minutes of recordings."""
        name = f"{minutes:g}_minutes"
        chosen = pick_recordings(self._others, 60 * minutes)
        source = stage(chosen, self.work / "recordings" / name)
        self.voices.prepare(name, ["preprocess.held_out_files=1", "preprocess.held_out_share=0"], source=source)
        trained = {start: self._trained(name, start) for start in STARTS}
        return {
            updates: {start: self._rows(name, start, updates, trained[start]) for start in STARTS}
            for updates in self.options.updates
        }

    def _trained(self, dataset: str, start: str) -> dict[int, Path]:
        """Return a run for each number of updates, which continues the one before it."""
        runs: dict[int, Path] = {}
        for updates in sorted(filter(None, self.options.updates)):
            further = [f"resume={list(runs.values())[-1] / 'checkpoints' / 'last.ckpt'}"] if runs else []
            steps = [f"trainer.steps={updates}", f"trainer.validate_every={updates}"]
            words = [*self._settings(start), *steps, *further]
            runs[updates] = self.voices.train(f"{dataset}_{start}_{updates}", words, dataset)
        return runs

    def _settings(self, start: str) -> list[str]:
        return ["pretrained=builtin", f"pretrained.speakers={start}", "overtraining=off", *self.options.train]

    def _rows(self, dataset: str, start: str, updates: int, runs: Mapping[int, Path]) -> list[dict[str, Any]]:
        voice = load_voice(runs[updates or min(runs)], "last")
        if not updates:
            self._reset(voice, dataset, start)
        folder = self.work / "converted" / f"{dataset}_{start}_{updates}"
        return [*self._mel(voice), *self._similarities(voice, folder)]

    def _reset(self, voice: TrainedVoice, dataset: str, start: str) -> None:
        """Give a voice the weights that its training began with."""
        job = train_job([f"dataset.root={self.work / 'datasets'}", f"dataset.name={dataset}", *self._settings(start)])
        store = CorpusStore.open(self.work / "datasets" / dataset)
        generator = build_generator(job.model, store.description).eval()
        start_from_pretrained(job, generator, None, store.description)
        if start == "fitted":
            fit_speakers_of(job, generator, store, str(job.pretrained.generator))
        voice.model.load_state_dict(generator.state_dict())

    @torch.no_grad()
    def _mel(self, voice: TrainedVoice) -> list[dict[str, Any]]:
        """Return a row of each clip that no voice has seen: the distance of its reconstruction."""
        job = train_job([f"dataset.root={self.work / 'datasets'}", f"dataset.name={HELD_OUT}", *self._settings("mean")])
        data = build_data(job, CorpusStore.open(self.work / "datasets" / HELD_OUT))
        distance, hop = MelDistance(job.audio), voice.model.hop_length
        batches = data.val_dataloader()
        found = torch.cat([distance_without_padding(distance, voice.model(batch), batch, hop) for batch in batches])
        return [{"file": f"{HELD_OUT}_{index}", MEL: float(value)} for index, value in enumerate(found)]

    def _similarities(self, voice: TrainedVoice, folder: Path) -> list[dict[str, Any]]:
        """Convert beginnings of strangers' recordings, moved to the target's median pitch."""
        empty_folder(folder)
        torch_voice, meter, rate = TorchVoice(voice.converter, ControlDefaults()), PitchMeter(), voice.io_rate
        median_hz = self._median_hz(meter)
        sources = []
        for speaker, path in self._sources:
            audio = load_audio(path, rate)[: round(self.options.seconds * rate)]
            shift = automatic_shift(meter.track(audio, rate), median_hz)
            sources.append(folder / "clean" / f"{speaker}_{path.stem}.wav")
            save_audio(sources[-1], audio, rate)
            save_audio(folder / "made" / sources[-1].name, torch_voice.run(audio, {"pitch_shift": float(shift)}), rate)
        return evaluate(folder / "made", sources, self._held_out, self._evaluators).files

    def _median_hz(self, meter: PitchMeter) -> float:
        f0_hz = np.concatenate([meter.track(load_audio(path, RATE), RATE).f0_hz for path in self._held_out])
        return float(np.median(f0_hz[f0_hz > 0]))


def show(minutes: float, rows: Mapping[int, Rows]) -> dict[int, dict[str, Difference]]:
    """Print the table of a length of recordings; return the differences mix - mean by updates and figure."""
    found, lines = {}, []
    for updates, by_start in rows.items():
        mean, mix = (by_start[start] for start in STARTS)
        found[updates] = differences_of(mix, mean, list(FIGURES))
        for key, difference in found[updates].items():
            value = average(mean, key)
            interval = f"{difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
            lines.append([str(updates), FIGURES[key], f"{value:.4f}", f"{value + difference.mean:.4f}", interval])
    emit(table(lines, ["updates", f"{minutes:g} minutes", *STARTS, "difference (95 %)"]))
    emit()
    return found


def average(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    """Return the mean of a figure over the rows that have it."""
    return float(np.mean([row[key] for row in rows if key in row]))


def measure(options: argparse.Namespace) -> int:
    """Train, convert, print the tables; return the exit code.

    Raises:
        DataError: if recordings are absent or too few.
    """
    check_recordings(options)
    if not any(options.updates):
        raise DataError("--updates 0 alone trains no voice; add a number")
    starts = Starts(options, evaluators_of(options))
    result: dict[str, Any] = {}
    for minutes in options.minutes:
        rows = starts.figures(minutes)
        differences = show(minutes, rows)
        result[f"{minutes:g}"] = {
            str(updates): {
                "files": by_start,
                "differences": {key: list(difference) for key, difference in differences[updates].items()},
            }
            for updates, by_start in rows.items()
        }
        write_figures(options, "speaker_start", result)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("speaker_start", __doc__)
    parser.add_target()
    parser.add_sources(12)
    parser.add_argument("--minutes", type=minutes_of, default=[0.5, 1.0, 3.0], help="of recordings (default: 0.5,1,3)")
    parser.add_argument("--updates", type=updates_of, default=[0, 50, 200], help="of trainings (default: 0,50,200)")
    parser.add_argument("--seconds", type=positive_number, default=5.0, help="of each source at most")
    parser.add_evaluators(("resemblyzer", "ecapa"))
    parser.add_work()
    parser.add_train_overrides("data.batch_size=4")
    return parser.parse_args(arguments)


def minutes_of(text: str) -> list[float]:
    """Read lengths with commas between them, for argparse."""
    return [positive_number(part) for part in text.split(",")]


def updates_of(text: str) -> list[int]:
    """Read numbers of updates, 0 or more, with commas between them, for argparse."""
    return [0 if part == "0" else whole_number(part) for part in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("speaker_start", lambda: measure(options))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
