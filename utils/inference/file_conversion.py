"""Convert sound files of any length, rate, format and number of channels, in bounded memory."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from utils.audio.decoder_process import read_tags
from utils.audio.mono import RESAMPLE_QUALITY
from utils.audio.writing import SoundFormat, open_writer, sound_format
from utils.errors import DataError, FormatError
from utils.inference.errors import GraphFailedError, InvalidAudioError, InvalidParameterError, OutputError
from utils.inference.opened_voice import OpenedVoice
from utils.inference.options import ConversionOptions, ProgressCallback, tell
from utils.inference.pipeline import Converter, converted_blocks, segments
from utils.inference.reshaping import with_formants
from utils.inference.session import ControlValues
from utils.inference.source import Sound, SourceAudio, SpooledSound, read_source
from utils.inference.statistics import StageTimer

CHUNK = 1 << 16  # samples that are written at a time


@dataclass(frozen=True, kw_only=True)
class FileConversion:
    """What came of a file.

    Attributes:
        source: the recording.
        output: what was written.
        seconds: of the recording.
        sample_rate: of the output.
        num_channels: of the output.
        original_rate: of the recording.
        original_channels: of the recording.
        problem: what is wrong with the recording although some of it could be read; None when nothing is.
        controls: values that the graph was given.
        num_clipped: samples of the result beyond full scale, before writing.
        tags: that were kept.
        real_time_factor: time over duration.
    """

    source: Path
    output: Path
    seconds: float
    sample_rate: int
    num_channels: int
    original_rate: int
    original_channels: int
    problem: str | None
    controls: dict[str, float]
    num_clipped: int
    tags: dict[str, str]
    real_time_factor: float


def convert_sound_file(
    voice: OpenedVoice,
    source: Path,
    destination: Path,
    options: ConversionOptions,
    *,
    timer: StageTimer,
    output_format: str | None = None,
    keeps_tags: bool = True,
    progress: ProgressCallback | None = None,
) -> FileConversion:
    """Convert a file; see VoiceConversionPipeline.convert_file."""
    started = time.perf_counter()
    try:
        kind = sound_format(output_format, destination)
    except DataError as error:
        raise InvalidParameterError(str(error)) from error
    if options.f0_hz is not None:
        raise InvalidParameterError("f0_hz belongs to convert(), which has the whole recording in memory")
    controls, formants = voice.controls_of(options), options.formant_shift_semitones
    with ExitStack() as stack:
        with timer.stage("read"):
            sounds = stack.enter_context(OpenedChannels(source, voice.sample_rate, options.channels == "keep"))
            tags = read_tags(source) if keeps_tags else {}
        if options.pitch_step is not None:
            with timer.stage("pitch"):
                controls["pitch_shift"] = voice.shift_for(sounds.first, options, controls)
        with timer.stage("convert"):
            results = []
            for number, sound in enumerate(sounds):
                made = stack.enter_context(SpooledSound())
                convert_into(voice, sound, controls, made, progress, (number, sounds.count))
                if formants:
                    made = stack.enter_context(_with_formants(voice, made, formants))
                results.append(made)
        with timer.stage("write"):
            first = sounds.first
            rate = kind.rate_for(options.output_sample_rate or first.original_rate)
            length = round(first.original_samples * rate / first.original_rate)
            clipped = write_sounds(
                results, destination, kind, from_rate=voice.sample_rate, rate=rate, length=length, tags=tags
            )
            tell(progress, "write", 1.0)
        seconds = first.original_samples / first.original_rate
        return FileConversion(
            source=source,
            output=destination,
            seconds=seconds,
            sample_rate=rate,
            num_channels=len(results),
            original_rate=first.original_rate,
            original_channels=first.original_channels,
            problem=first.problem,
            controls=controls,
            num_clipped=clipped,
            tags=tags,
            real_time_factor=(time.perf_counter() - started) / max(seconds, 1e-3),
        )


def _with_formants(voice: OpenedVoice, sound: SpooledSound, semitones: float) -> SpooledSound:
    """Return a sound with other formants, made piece by piece between quiet places."""
    moved = SpooledSound()
    for first, end in segments(sound, voice.sample_rate):
        moved.append(with_formants(voice.meter, sound.read(first, end), voice.sample_rate, semitones))
    return moved


class OpenedChannels:
    """The channels of a recording, one after the other, each at a rate; closes at the end of a `with`.

    Args:
        path: the recording.
        sample_rate: samples per second wanted.
        keeps_channels: each of them; else their mean is the only one.
    Attributes:
        first: the first one.
        count: how many there are.
    Raises:
        InvalidAudioError: if the file cannot be read.
    """

    def __init__(self, path: Path, sample_rate: int, keeps_channels: bool) -> None:
        self._path, self._sample_rate = path, sample_rate
        self.first = self._read(0 if keeps_channels else None)
        self.count = self.first.original_channels if keeps_channels else 1

    def __enter__(self) -> "OpenedChannels":
        return self

    def __exit__(self, *_: object) -> None:
        self.first.close()

    def __iter__(self) -> Iterator[Sound]:
        """Yield each channel; all but the first are read when they are reached, and closed behind it."""
        yield self.first
        for number in range(1, self.count):
            with self._read(number) as sound:
                yield sound

    def _read(self, channel: int | None) -> SourceAudio:
        try:
            return read_source(self._path, self._sample_rate, channel)
        except DataError as error:
            raise InvalidAudioError(str(error)) from error


def convert_into(
    voice: Converter,
    sound: Sound,
    controls: ControlValues,
    made: SpooledSound,
    progress: ProgressCallback | None = None,
    channel: tuple[int, int] = (0, 1),
    *,
    keeps_length: bool = True,
) -> None:
    """Convert a sound into another one.

    Args:
        voice: that converts.
        sound: at its rate.
        controls: values of the graph's optional inputs.
        made: gets the result, as long as the sound.
        progress: is told how far it is.
        channel: number of this sound, and of how many.
        keeps_length: refuse a result of another length.
    Raises:
        GraphFailedError: if the graph fails, gives another length or what is no sound.
    """
    (number, count), broken = channel, 0
    try:
        for block in converted_blocks(voice, sound, controls):
            made.append(block)
            broken += int(np.count_nonzero(~np.isfinite(block)))
            tell(progress, "convert", (number + min(1.0, len(made) / max(1, len(sound)))) / count)
    except GraphFailedError:
        raise
    except FormatError as error:
        raise GraphFailedError(str(error)) from error
    if broken:
        raise GraphFailedError(f"{broken} of {len(made)} samples of the output are not finite; nothing was written")
    if keeps_length and len(made) != len(sound):
        raise GraphFailedError(f"the graph made {len(made)} samples of {len(sound)}")


def write_sounds(
    sounds: Sequence[Sound],
    path: Path,
    kind: SoundFormat,
    *,
    from_rate: int,
    rate: int,
    length: int,
    tags: dict[str, str],
) -> int:
    """Write sounds as the channels of a file.

    Args:
        sounds: of the same length.
        path: the file.
        kind: its format.
        from_rate: samples per second of the sounds.
        rate: of the file.
        length: of the file in samples: what is missing is silence, what is beyond is cut.
        tags: title, artist and the like.
    Returns:
        How many samples are beyond full scale.
    Raises:
        OutputError: if the format cannot hold them, or the file cannot be written.
    """
    clipped, missing = 0, length
    try:
        with open_writer(path, kind, sample_rate=rate, num_channels=len(sounds), tags=tags) as write:
            for block in _resampled(sounds, from_rate, rate):
                kept = block[:missing]
                missing -= len(kept)
                clipped += int(np.count_nonzero(np.abs(kept) > 1.0))
                write(kept)
            write(np.zeros((missing, len(sounds)), np.float32))
    except DataError as error:
        raise OutputError(str(error)) from error
    return clipped


def _resampled(sounds: Sequence[Sound], from_rate: int, rate: int) -> Iterator[np.ndarray]:
    """Yield [n, C] of sounds at another rate."""
    total = len(sounds[0])
    resampler = None
    if from_rate != rate:
        resampler = soxr.ResampleStream(from_rate, rate, len(sounds), dtype="float32", quality=RESAMPLE_QUALITY)
    for first in range(0, total, CHUNK):
        block = np.stack([sound.read(first, min(total, first + CHUNK)) for sound in sounds], axis=1)
        if resampler is None:
            yield block
        else:
            yield resampler.resample_chunk(block, last=first + CHUNK >= total).reshape(-1, len(sounds))
