"""Compute what the student learns from: levelled audio and the features of a speech recogniser's encoder.

    python -m recipes.content_encoder.teacher --output features.pt --held-out librispeech=20 \
        --corpus librispeech=corpora/librispeech=0.48 --corpus nl=corpora/nl=0.12 ...

The teacher is the tiny English encoder inside the package moonshine-voice 0.0.69 (MIT).
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import logging
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recipes.content_encoder.corpora import Corpus, Recording, list_recordings, parse_corpus, parse_held_out
from utils.audio.frames import FEATURE_RATE, pad_to_frames
from utils.audio.io import load_audio
from utils.config import check_range
from utils.console import emit, table
from utils.errors import ConfigError, DataError, FormatError, WorkbenchError
from utils.features.content.network import FRAME_SAMPLES
from utils.files import atomic_write, sha256_of_json
from utils.training.checkpoints import read_plain

TEACHER_VERSION = "0.0.69"
INSTALL = f"pip install --no-deps moonshine-voice=={TEACHER_VERSION}"
# the teacher's stem: convolutions of 127, 7 and 3 samples with strides of 64, 3 and 2 (of the stage before)
TEACHER_HOP = 64 * 3 * 2
TEACHER_CENTRE = (126 + 6 * 64 + 2 * 192) // 2
LEVEL = 0.06  # root mean square of what the teacher hears
MIN_SECONDS = 0.5
SCHEMA_VERSION = 2
log = logging.getLogger(__name__)


def moonshine_weights() -> Path:
    """Return where the teacher's weights are.

    Raises:
        DataError: if the package is not installed or has another version; names the command that installs it.
    """
    found = importlib.util.find_spec("moonshine_voice")
    if found is None or not found.submodule_search_locations:
        raise DataError(f"the teacher's package is not installed; type: {INSTALL}")
    version = importlib.metadata.version("moonshine-voice")
    weights = Path(next(iter(found.submodule_search_locations))) / "assets" / "tiny-en" / "encoder_model.ort"
    if version != TEACHER_VERSION or not weights.is_file():
        raise DataError(f"moonshine-voice {version} is not the teacher that the student learned from; type: {INSTALL}")
    return weights


class MoonshineEncoder:
    """Moonshine's tiny English encoder (Jeffries et al. 2024): 16 kHz audio to 288-d features, 41.7 a second.

    Raises:
        DataError: see moonshine_weights.
    """

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(moonshine_weights()), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Return features [N, 288] of 16 kHz audio [T]; N is about T / 384, at least half a second is needed."""
        feeds = {"input_values": audio[None], "attention_mask": np.ones((1, len(audio)), np.int64)}
        return np.asarray(self._session.run(None, feeds)[0])[0]


class Clip(NamedTuple):
    """A recording as the student sees it.

    Attributes:
        recording: where it came from.
        audio: levelled samples at 16 kHz, [F * 320] int16.
        feature: the teacher's features, [F, 288] float16, 50 frames a second.
    """

    recording: Recording
    audio: Tensor
    feature: Tensor


@dataclass(frozen=True)
class Features:
    """All clips and the share of the examples that each corpus gives."""

    clips: list[Clip]
    shares: dict[str, float]

    def digest(self) -> str:
        """Return a hash of which recordings they are of, however the folders are called, and of the shares."""
        clips = [
            [item.corpus, item.speaker, item.path.name, item.is_held_out, len(clip.feature)]
            for clip in self.clips
            for item in [clip.recording]
        ]
        return sha256_of_json([clips, self.shares])


def set_level(audio: np.ndarray) -> np.ndarray:
    """Scale audio [T] to the level that the teacher hears; silence is not lifted beyond a factor of 600."""
    level = max(1e-4, float(np.sqrt(np.mean(np.square(audio)))))
    return np.clip(audio / level * LEVEL, -1, 1).astype(np.float32)


def align(features: np.ndarray, num_frames: int, frame_samples: int = FRAME_SAMPLES) -> np.ndarray:
    """Interpolate the teacher's features [N, 288] to the centres of frames; returns [num_frames, 288].

    Args:
        features: of audio at 16 kHz.
        num_frames: of the result.
        frame_samples: length of a frame, 20 ms if not given.
    """
    centres = (np.arange(num_frames) + 0.5) * frame_samples
    position = np.clip((centres - TEACHER_CENTRE) / TEACHER_HOP, 0, len(features) - 1)
    before = np.floor(position).astype(int)
    after = np.minimum(before + 1, len(features) - 1)
    weight = (position - before)[:, None]
    return features[before] * (1 - weight) + features[after] * weight


def make_clip(recording: Recording) -> Clip | str:
    """Compute one clip; returns the reason instead if the recording cannot be used."""
    torch.set_num_threads(1)
    try:
        audio = load_audio(recording.path, FEATURE_RATE)
    except DataError as error:
        return str(error)
    if len(audio) < MIN_SECONDS * FEATURE_RATE:
        return f"{recording.path}: shorter than {MIN_SECONDS:g} s"
    levelled = pad_to_frames(set_level(audio), FRAME_SAMPLES)
    feature = align(_teacher().encode(levelled), len(levelled) // FRAME_SAMPLES)
    samples = torch.from_numpy(np.round(levelled * 32767)).to(torch.int16)
    return Clip(recording, samples, torch.from_numpy(feature).half())


@functools.lru_cache(maxsize=1)
def _teacher() -> MoonshineEncoder:
    """Return this process's teacher."""
    return MoonshineEncoder()


def save_features(path: Path, features: Features) -> None:
    """Write clips as plain data, readable without executing code."""
    recordings = [(clip.recording, str(clip.recording.path)) for clip in features.clips]
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "teacher": f"moonshine-voice {TEACHER_VERSION} tiny-en encoder",
        "shares": features.shares,
        "recordings": [[item.corpus, item.speaker, name, item.is_held_out] for item, name in recordings],
        "audio": [clip.audio for clip in features.clips],
        "feature": [clip.feature for clip in features.clips],
    }
    atomic_write(path, functools.partial(torch.save, content))


def load_features(path: Path) -> Features:
    """Read what save_features wrote; the tensors stay on disk until they are used.

    Raises:
        DataError: if the file is absent.
        FormatError: if it is damaged or of another kind.
    """
    if not path.is_file():
        raise DataError(f"--features {path} is not a file; make it with recipes.content_encoder.teacher")
    content = read_plain(path, "--features", mmap=True)
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise FormatError(f"--features {path} was not written by this version of teacher.py; make it again")
    clips = [
        Clip(Recording(corpus, speaker, Path(name), is_held_out), audio, feature)
        for (corpus, speaker, name, is_held_out), audio, feature in zip(
            content["recordings"], content["audio"], content["feature"], strict=True
        )
    ]
    return Features(clips, content["shares"])


def minutes_table(clips: Sequence[Clip]) -> str:
    """Lay out clips, speakers and minutes of each corpus, training and held out apart."""
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        part = "held out" if clip.recording.is_held_out else "training"
        groups.setdefault((clip.recording.corpus, part), []).append(clip)
    rows: list[list[object]] = [
        [*key, len(group), len({clip.recording.speaker for clip in group}),
         round(sum(len(clip.audio) for clip in group) / FEATURE_RATE / 60, 1)]
        for key, group in groups.items()
    ]  # fmt: skip
    return table(rows, ["corpus", "part", "clips", "speakers", "minutes"])


def make_features(corpora: Sequence[Corpus], held_out: dict[str, int], path: Path, *, workers: int) -> Features:
    """Let the teacher hear all recordings and write what it says to a file; files that cannot be used are named.

    Args:
        corpora: folders of recordings with their shares of the examples.
        held_out: how many speakers of a corpus are kept for validation.
        path: file to write, about 4 MB a minute.
        workers: processes.
    """
    _teacher()  # before anything is read: is it there?
    recordings = list_recordings(corpora, held_out)
    # threads of a forked process do not survive, so the workers start afresh
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(make_clip, recordings, chunksize=8))
    for reason in (result for result in results if isinstance(result, str)):
        log.warning("left out: %s", reason)
    clips = [result for result in results if isinstance(result, Clip)]
    used = {clip.recording.corpus for clip in clips if not clip.recording.is_held_out}
    unused = [corpus.name for corpus in corpora if corpus.name not in used]
    if unused:
        raise DataError(
            f"nothing of {', '.join(unused)} can be used for training: each file is named above, held out or belongs "
            "to an earlier corpus"
        )
    features = Features(clips, {corpus.name: corpus.share for corpus in corpora})
    save_features(path, features)
    log.info("%d clips of %d files -> %s", len(features.clips), len(results), path)
    return features


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.content_encoder.teacher", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--corpus", action="append", required=True, metavar="NAME=FOLDER=SHARE", help="recordings; repeat it"
    )
    parser.add_argument(
        "--held-out", action="append", default=[], metavar="NAME=COUNT", help="speakers of a corpus kept for validation"
    )
    parser.add_argument("--output", type=Path, required=True, help="file to write (about 4 MB a minute)")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="teacher: %(message)s")
    started = time.monotonic()
    try:
        check_range("--workers", options.workers, 1)
        corpora = [parse_corpus(text) for text in options.corpus]
        twice = {corpus.name for corpus in corpora if [item.name for item in corpora].count(corpus.name) > 1}
        if twice:
            raise ConfigError(f"--corpus {', '.join(sorted(twice))} is given twice; names tell corpora apart")
        held_out = parse_held_out(options.held_out, corpora)
        features = make_features(corpora, held_out, options.output, workers=options.workers)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    emit(minutes_table(features.clips))
    log.info("took %.0f s", time.monotonic() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
