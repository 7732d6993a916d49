"""Read one recording: mono, resample, high-pass, one gain, clips. Bounded memory however long the file is."""

import tempfile
from pathlib import Path
from typing import IO

import numpy as np

from utils.audio.frames import num_frames, seconds_to_frames
from utils.audio.io import float_to_int16
from utils.audio.mono import best_attempt
from utils.config import AudioConfig
from utils.config.preprocess import PreprocessSettings
from utils.corpus.arrays import new_array
from utils.corpus.conditioning import Conditioned, ConditioningTarget, condition
from utils.corpus.recording import Recording
from utils.corpus.slicing import Span, find_clips
from utils.errors import DataError

SPOOL_BYTES = 64 << 20  # longer recordings wait on disk between the two passes


def read_recording(path: Path, audio: AudioConfig, settings: PreprocessSettings, output: Path) -> Recording:
    """Read a file and write the waveform of its clips, int16 [sum of frames * hop_length], to an array.

    Steps: decode; mean of the channels; resample (soxr HQ); Butterworth high-pass of order 4; loudness of the whole
    file (BS.1770-4 integrated); one gain for the whole file to preprocess.loudness_lufs, limited so that the peak stays
    under preprocess.peak_db; cut at silences.

    Args:
        path: the recording.
        audio: rate and hop of the result.
        settings: the `preprocess` keys.
        output: the .npy file to make; not made when nothing is usable.
    Returns:
        The description; its `problem` says why nothing is usable.
    Raises:
        DataError: if nothing can be decoded.
    """
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        conditioned = _condition_best(path, ConditioningTarget(audio, settings, spool))
        recording = conditioned.recording
        if recording.problem is None:
            found = find_clips(conditioned.levels_db, settings)
            recording.clips = without_spans(found, conditioned.broken, seconds_to_frames(settings.min_clip_seconds))
            if not recording.clips:
                recording.problem = "broken: nothing is left" if found else "silent: no frame rises above the noise"
        if recording.problem is None:
            _write_clips(recording, spool, audio.hop_length, output)
    return recording


def _condition_best(path: Path, target: ConditioningTarget) -> Conditioned:
    """Decode with libsndfile, with ffmpeg where libsndfile gives up, and again where the channels cancel."""
    best, library, channel = best_attempt(lambda library, channel: condition(path, target, library, channel))
    notes = best.recording.notes
    if best.num_samples == 0:
        raise DataError("nothing can be decoded" + "".join(f" ({note})" for note in notes[:1]))
    if library == "ffmpeg" and not notes:
        notes.append("libsndfile cannot read it to its end: decoded by ffmpeg")
    if channel is not None:
        notes.append(f"the channels cancel each other: channel {channel + 1} alone is used")
    return best


def without_spans(clips: list[Span], broken: list[Span], shortest: int) -> list[Span]:
    """Return what clips have outside of broken frames; a clip that is cut leaves pieces of at least `shortest` frames.

    Args:
        clips: in order.
        broken: in order.
        shortest: frames.
    """
    kept = []
    for clip in clips:
        inside = [span for span in broken if span.first < clip.end and clip.first < span.end]
        edges = [clip.first, *(frame for span in inside for frame in span), clip.end]
        pieces = [Span(first, end) for first, end in zip(edges[::2], edges[1::2], strict=True)]
        kept += [piece for piece in pieces if piece.length >= shortest] if inside else pieces
    return kept


def _write_clips(recording: Recording, spool: IO[bytes], hop_length: int, output: Path) -> None:
    gain = np.float32(10 ** (recording.gain_db / 20))
    assert recording.clips[-1].end <= num_frames(recording.num_samples, hop_length)
    with new_array(output, (recording.num_frames * hop_length,), np.int16) as target:
        position = 0
        for clip in recording.clips:
            spool.seek(clip.first * hop_length * 4)
            samples = np.frombuffer(spool.read(clip.length * hop_length * 4), dtype=np.float32)
            target[position : position + len(samples)] = float_to_int16(samples * gain)
            position += clip.length * hop_length
