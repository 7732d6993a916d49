"""Where a voice that is fed in blocks by themselves loses its naturalness: one part after the other is cut.

    python -m benchmarks.block_losses RUN [--frames 10] [--evaluators distillmos]

RUN is a run of model=lite or lite_blocks. Strangers are converted as a whole; then the pulses alone begin anew in each
block, then they are closed (PulseTrain), then the transform, the network and at last the features are those of blocks
too. The last rows are what a host that keeps no sound gets, with and without closed ends.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import voice_judge as judge
from benchmarks.comparison import evaluators_of
from benchmarks.judged_clips import ClipMaker
from benchmarks.options import BenchmarkParser, check_recordings, work_folder, write_figures
from benchmarks.target_voices import NUM_TARGET_CLIPS
from models.layers.excitation import PulseTrain
from models.layers.source_filter import Filters
from scripts.pipeline import empty_folder
from utils.audio.io import save_audio
from utils.audio.listing import list_audio, spread
from utils.command_line import positive_number, run_program, whole_number
from utils.console import emit, table
from utils.errors import ConfigError
from utils.evaluation.evaluation import evaluate
from utils.inference.measures import PitchMeter, automatic_shift
from utils.training.block_training import in_blocks
from utils.training.checkpoints import TrainedVoice, load_voice

COLUMNS = {name: title for name, title in judge.COLUMNS.items() if name not in judge.OF_SOME_ROWS}


@dataclass(frozen=True)
class Way:
    """Which parts are made in blocks.

    Attributes:
        name: of the row.
        closed: whether pulses end with a whole cycle.
        pulses: whether they begin anew in each block.
        transform: whether the filters are applied to each block alone.
        network: whether it reads blocks.
        features: whether they are heard in blocks.
    """

    name: str
    closed: bool = False
    pulses: bool = False
    transform: bool = False
    network: bool = False
    features: bool = False


WAYS = (
    Way("whole"),
    Way("pulses begin anew", pulses=True),
    Way("the same, closed", closed=True, pulses=True),
    Way("and the transform", closed=True, pulses=True, transform=True),
    Way("and the network", closed=True, pulses=True, transform=True, network=True),
    Way("and the features: all, closed", True, True, True, True, True),
    Way("all, not closed", False, True, True, True, True),
)


class Voice:
    """A trained voice whose parts can be cut into blocks.

    Args:
        trained: of a light model.
        length: frames of a block.
    Raises:
        ConfigError: if it is another model.
    """

    def __init__(self, trained: TrainedVoice, length: int) -> None:
        self.generator: Any = trained.model
        if not hasattr(self.generator, "predict_filters") or self.generator.is_for_streams:
            raise ConfigError("the run is no voice of model=lite or lite_blocks, of which alone the parts are known")
        self.frontend, self.length = trained.converter.frontend, length
        self.rate, self.hop = trained.model.sample_rate, trained.model.hop_length
        self.median_hz = trained.dataset.speakers[0].f0_median_hz or 0.0

    @torch.no_grad()
    def convert(self, audio: Tensor, semitones: float, way: Way) -> Tensor:
        """Return [1, F * hop] of audio [1, T], without retrieval."""
        by_frame = audio[:, : audio.shape[1] // self.hop * self.hop].reshape(1, -1, self.hop)
        content, f0_hz, loudness_db = self._of(
            lambda audio: self.frontend(audio.flatten(1)), [by_frame], cut=way.features
        )
        f0_hz = f0_hz * 2.0 ** (semitones / 12.0)
        filters = Filters(*self._of(self._read, [content, f0_hz, loudness_db], cut=way.network))
        synthesis = self.generator.synthesis
        train = PulseTrain(self.rate, self.hop, closed=way.closed)
        (pulses,) = self._of(lambda f0: [train(f0).unflatten(1, (f0.shape[1], -1))], [f0_hz], cut=way.pulses)
        noise = synthesis.noise.row(f0_hz).unflatten(1, (f0_hz.shape[1], -1))
        if way.transform:  # each block has the beginning of the noise, as in a call of its own
            noise = noise[:, : self.length].repeat(1, -(-noise.shape[1] // self.length), 1)[:, : noise.shape[1]]
        (made,) = self._of(partial(self._apply, synthesis), [pulses, noise, *filters], cut=way.transform)
        return made.flatten(1)

    def _of(self, function: Any, values: list[Tensor], *, cut: bool) -> list[Tensor]:
        return in_blocks(function, self.length if cut else values[0].shape[1], values)

    def _hear(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.frontend(audio.flatten(1))

    def _read(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor) -> Filters:
        speaker = torch.zeros(len(content), dtype=torch.int64)
        filters: Filters = self.generator.predict_filters(content, f0_hz, loudness_db, speaker)
        return filters

    @staticmethod
    def _apply(synthesis: Any, pulses: Tensor, noise: Tensor, *filters: Tensor) -> list[Tensor]:
        spectra = [synthesis.stft.by_frame(source.flatten(1)) for source in (pulses, noise)]
        audio = synthesis.stft.inverse_by_frame(*Filters(*filters).apply(*spectra))
        return [audio.unflatten(1, (pulses.shape[1], -1))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("block_losses", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Print the table; return the exit code."""
    check_recordings(options)
    torch.set_num_threads(1)
    voice = Voice(load_voice(options.run), options.frames)
    target = spread(list_audio(options.target), NUM_TARGET_CLIPS)
    clips, meter, evaluators = ClipMaker(options, voice.rate, target).plain(), PitchMeter(), evaluators_of(options)
    work = work_folder(options)
    for clip in clips:
        save_audio(work / "clean" / f"{clip.name}.wav", clip.clean, voice.rate)
    sources = [work / "clean" / f"{clip.name}.wav" for clip in clips]
    shifts = [automatic_shift(meter.track(clip.clean, voice.rate), voice.median_hz, 1) for clip in clips]
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, way in enumerate(WAYS):
        folder = work / f"{number}"
        empty_folder(folder)
        for clip, semitones in zip(clips, shifts, strict=True):
            made = voice.convert(torch.from_numpy(clip.clean)[None], semitones, way)[0].numpy()
            save_audio(folder / f"{clip.name}.wav", made, voice.rate)
        rows[way.name] = list(evaluate(folder, sources, target, evaluators).files)
    lines = [[name, *(judge.cell(files, key) for key in COLUMNS)] for name, files in rows.items()]
    emit(table(lines, ["", *COLUMNS.values()]))
    write_figures(options, "block_losses", rows)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("block_losses", __doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="of a light voice")
    parser.add_argument("--frames", type=whole_number, default=10, help="of a block, of 10 ms (default: 10)")
    parser.add_target()
    parser.add_sources(12)
    parser.add_argument("--seconds", type=positive_number, default=5.0, help="of each recording at most")
    parser.add_evaluators(("distillmos",))
    parser.add_work()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
