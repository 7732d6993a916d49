"""The class that programs convert with: any voice, any audio, any number of threads."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, Unpack

import numpy as np

from utils.audio.io import resample
from utils.errors import FormatError
from utils.inference.batches import batches
from utils.inference.devices import AUTOMATIC
from utils.inference.errors import (
    ConversionCancelledError,
    ConversionError,
    GraphFailedError,
    InvalidParameterError,
)
from utils.inference.file_conversion import FileConversion, convert_sound_file
from utils.inference.given_audio import checked_audio, checked_rate
from utils.inference.opened_voice import OpenedVoice, open_voice
from utils.inference.options import (
    Channels,
    ConversionKeywords,
    ConversionOptions,
    PitchShift,
    ProgressCallback,
    tell,
)
from utils.inference.pipeline import converted_blocks
from utils.inference.reshaping import with_formants, with_pitch
from utils.inference.session import ControlValues, VoiceSession
from utils.inference.source import ArraySound
from utils.inference.statistics import ConversionProfile, Counts, PipelineStatistics, StageTimer
from utils.voice_file.metadata import VoiceMetadata

WARM_UP_SECONDS = 1.0
MOST_THREADS = 256


class VoiceConversionPipeline:
    """A voice that converts recordings. All methods may be called from several threads at once.

    Args:
        voice: an exported voice (its folder or .onnx), a run, a checkpoint of one, or a .pth of RVC. What is no graph
            yet is exported once, see utils.inference.opening.
        device: "auto", "cpu", "cuda", "coreml" or "directml"; `device` tells which it is.
        num_threads: of one conversion. Several conversions at once share nothing but the weights.
        cpu_retry: convert again on the processor when the device fails; statistics() counts how often.
        index: the .index of a .pth.
        export_options: for what is no graph yet, settings of export_onnx.py, such as content=contentvec.
        cache: folder for its graph; None: that of the user.
    Attributes:
        device: name of the device that runs the graph.
        sample_rate: of the voice; recordings of other rates are resampled.
    Raises:
        VoiceLoadError: if the voice cannot be opened.
        DeviceError: if the device is not there, or onnxruntime cannot use it.
    """

    def __init__(
        self,
        voice: Path | str,
        *,
        device: str = AUTOMATIC,
        num_threads: int = 1,
        cpu_retry: bool = False,
        index: Path | None = None,
        export_options: Sequence[str] = (),
        cache: Path | None = None,
    ) -> None:
        if not 1 <= num_threads <= MOST_THREADS:
            raise InvalidParameterError(f"num_threads={num_threads} is out of range; allowed: 1 to {MOST_THREADS}")
        self._voice = open_voice(
            Path(voice),
            device=device,
            num_threads=num_threads,
            cpu_retry=cpu_retry,
            index=index,
            export_options=export_options,
            cache=cache,
        )
        self.device, self.sample_rate = self._voice.device.name, self._voice.sample_rate

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back; conversions that run go on to their end, later ones are a PipelineClosedError."""
        self._voice.close()

    @property
    def session(self) -> VoiceSession:
        """The graph.

        Raises:
            PipelineClosedError: after `close`.
        """
        return self._voice.session

    @property
    def name(self) -> str:
        """Name of the voice."""
        return self.session.name

    @property
    def speakers(self) -> list[str]:
        """Names of its speakers."""
        return self.session.speakers

    @property
    def metadata(self) -> VoiceMetadata | None:
        """What the exporter stored; None for a graph of another program."""
        return self.session.metadata

    def convert(
        self,
        audio: np.ndarray,
        sample_rate: int,
        *,
        output_sample_rate: int | None = None,
        pitch_shift_semitones: PitchShift = 0.0,
        f0_hz: np.ndarray | None = None,
        speaker: str | int | None = None,
        index_rate: float | None = None,
        protect: float | None = None,
        loudness_mix: float | None = None,
        formant_shift_semitones: float = 0.0,
        channels: Channels = "mix",
        progress_callback: ProgressCallback | None = None,
    ) -> np.ndarray:
        """Convert a recording of any length; see ConversionOptions for the keywords.

        Args:
            audio: [T] or [T, C], floats of full scale 1 or whole numbers of 16 or 32 bits.
            sample_rate: samples per second of it.
            progress_callback: is given a Progress again and again; returns False to stop.
        Returns:
            [T'] float32, or [T', C] for channels="keep"; T' is T, or the nearest number at another output rate. What
            is beyond full scale is not cut. Silence stays silent.
        Raises:
            InvalidAudioError: if the input is no audio.
            InvalidParameterError: if a keyword has no effect with this voice, or cannot be.
            GraphFailedError: if the graph fails or makes what is no audio.
            ConversionCancelledError: if the callback said so.
            PipelineClosedError: after `close`.
        """
        options = ConversionOptions(
            output_sample_rate=output_sample_rate,
            pitch_shift_semitones=pitch_shift_semitones,
            f0_hz=f0_hz,
            speaker=speaker,
            index_rate=index_rate,
            protect=protect,
            loudness_mix=loudness_mix,
            formant_shift_semitones=formant_shift_semitones,
            channels=channels,
        )
        return self._converted(audio, sample_rate, options, StageTimer(), progress_callback)

    def batch_convert(
        self,
        audios: Sequence[np.ndarray],
        sample_rate: int | Sequence[int],
        *,
        num_workers: int = 1,
        batch_size: int = 1,
        errors: Literal["raise", "return"] = "raise",
        **options: Unpack[ConversionKeywords],
    ) -> list[np.ndarray | ConversionError]:
        """Convert several recordings, `num_workers` at a time, each with `num_threads` threads.

        Args:
            audios: as `convert` takes them.
            sample_rate: of all, or one for each.
            num_workers: conversions at the same time.
            batch_size: so many recordings of the same length go through the graph together. That helps a graphics card;
                a processor is better used by `num_workers`.
            errors: "raise" the first error, or "return" it in the place of the result.
            **options: keywords of `convert`.
        Returns:
            A result for each recording, in their order.
        """
        rates = [sample_rate] * len(audios) if isinstance(sample_rate, int) else list(sample_rate)
        if len(rates) != len(audios):
            raise InvalidParameterError(f"sample_rate has {len(rates)} values for {len(audios)} recordings")
        chosen = ConversionOptions(**options)

        def one(number: int) -> np.ndarray | ConversionError:
            try:
                return self._converted(audios[number], rates[number], chosen, StageTimer())
            except ConversionError as error:
                if errors == "raise":
                    raise
                return error

        def work(group: list[int]) -> list[np.ndarray | ConversionError]:
            if len(group) == 1:
                return [one(group[0])]
            together, each = np.stack([audios[number] for number in group], axis=1), replace(chosen, channels="keep")
            try:
                return list(self._converted(together, rates[group[0]], each, StageTimer(), count=len(group)).T)
            except ConversionError as error:
                if errors == "raise":
                    raise
                return [error] * len(group)

        groups = batches(audios, rates, chosen, most=batch_size, longest_seconds=self._voice.whole_seconds)
        with ThreadPoolExecutor(max(1, num_workers), "voice-conversion") as pool:
            results = dict(zip(chain(*groups), chain(*pool.map(work, groups)), strict=True))
        return [results[number] for number in range(len(audios))]

    def convert_file(
        self,
        source: Path | str,
        destination: Path | str,
        *,
        output_format: str | None = None,
        keeps_tags: bool = True,
        progress_callback: ProgressCallback | None = None,
        **options: Unpack[ConversionKeywords],
    ) -> FileConversion:
        """Convert a sound file of any length, format and rate in bounded memory; it is as long as its source.

        Args:
            source: any format that libsndfile or FFmpeg reads.
            destination: written when all of it is converted, or not at all. Its ending chooses the format: .wav (16
                bits), .flac, .mp3, .ogg and .opus (Opus), .m4a (AAC, which appends up to 50 ms of silence).
            output_format: a key of utils.audio.writing.SOUND_FORMATS instead, such as "wav24" or "wav32f".
            keeps_tags: write title, artist and the like of the source into the result.
            progress_callback: see `convert`.
            **options: keywords of `convert`. Formats with few rates take the next one that they have.
        Raises:
            InvalidAudioError: if the source cannot be read.
            ConversionError: the others of `convert`; nothing is written then.
        """
        voice, timer, started = self._voice, StageTimer(), time.perf_counter()
        with _counted_errors(voice.counts):
            made = convert_sound_file(
                voice,
                Path(source),
                Path(destination),
                ConversionOptions(**options),
                timer=timer,
                output_format=output_format,
                keeps_tags=keeps_tags,
                progress=progress_callback,
            )
        voice.counts.add_conversion(made.seconds, time.perf_counter() - started, timer.seconds)
        return made

    def check_options(self, **options: Unpack[ConversionKeywords]) -> None:
        """Refuse what this voice cannot do, before there is any audio.

        Raises:
            InvalidParameterError: if a keyword has no effect with this voice, or cannot be.
        """
        self._voice.check(ConversionOptions(**options))

    def profile_conversion(
        self, audio: np.ndarray, sample_rate: int, **options: Unpack[ConversionKeywords]
    ) -> ConversionProfile:
        """Convert a recording as `convert` does and tell where the time went."""
        timer, started = StageTimer(), time.perf_counter()
        self._converted(audio, sample_rate, ConversionOptions(**options), timer)
        total = time.perf_counter() - started
        seconds = len(audio) / sample_rate
        return ConversionProfile(
            total_ms=1000 * total,
            audio_duration_s=seconds,
            rtf=total / seconds,
            throughput_samples_per_sec=seconds * self.sample_rate / total,
            stages={name: 1000 * value for name, value in timer.seconds.items()},
            device=self.device,
        )

    def warmup(self, num_iterations: int = 3) -> float:
        """Convert a second of noise some times, so that the first real conversion is not slower; not counted.

        Returns:
            Milliseconds of the last one.
        """
        noise = 0.01 * np.random.default_rng(0).standard_normal(round(WARM_UP_SECONDS * self.sample_rate))
        taken = 0.0
        for _ in range(max(1, num_iterations)):
            started = time.perf_counter()
            self._voice.run(noise.astype(np.float32))
            taken = time.perf_counter() - started
        return 1000 * taken

    def statistics(self) -> PipelineStatistics:
        """Return what was done so far."""
        return self._voice.counts.snapshot(self.device)

    def _converted(
        self,
        audio: np.ndarray,
        sample_rate: int,
        options: ConversionOptions,
        timer: StageTimer,
        progress: ProgressCallback | None = None,
        *,
        count: int = 1,
    ) -> np.ndarray:
        """Convert a recording, or `count` of them that stand side by side as channels and go through together."""
        started, voice = time.perf_counter(), self._voice
        with _counted_errors(voice.counts):
            with timer.stage("prepare"):
                tell(progress, "prepare", 0.0)
                controls = voice.controls_of(options)
                rate = checked_rate(sample_rate)
                channels = checked_audio(audio, keeps_channels=options.channels == "keep")
                sources = [resample(channel, rate, voice.sample_rate) for channel in channels]
            if options.pitch_step is not None:
                with timer.stage("pitch"):
                    tell(progress, "pitch", 0.0)
                    controls["pitch_shift"] = voice.shift_for(ArraySound(np.mean(sources, axis=0)), options, controls)
            elif options.f0_hz is not None:
                with timer.stage("pitch"):
                    tell(progress, "pitch", 0.0)
                    given = [with_pitch(voice.meter, source, voice.sample_rate, options.f0_hz) for source in sources]
                    sources, controls["pitch_shift"] = [item.audio for item in given], given[0].pitch_shift
            with timer.stage("convert"):
                if count > 1:
                    results = list(voice.run(np.stack(sources), controls))
                else:
                    results = _converted_channels(voice, sources, controls, progress)
            if options.formant_shift_semitones:
                with timer.stage("formants"):
                    semitones = options.formant_shift_semitones
                    results = [with_formants(voice.meter, made, voice.sample_rate, semitones) for made in results]
            with timer.stage("finish"):
                output_rate = options.output_sample_rate or rate
                length = round(len(audio) * output_rate / rate)
                finished = [_of_length(resample(made, voice.sample_rate, output_rate), length) for made in results]
                result = np.stack(finished, axis=1) if options.channels == "keep" else finished[0]
                tell(progress, "finish", 1.0)
        voice.counts.add_conversion(count * len(audio) / rate, time.perf_counter() - started, timer.seconds, count)
        return result


def _converted_channels(
    voice: OpenedVoice, sources: Sequence[np.ndarray], controls: ControlValues, progress: ProgressCallback | None
) -> list[np.ndarray]:
    total, done, results = sum(len(source) for source in sources), 0, []
    for source in sources:
        blocks = []
        for block in converted_blocks(voice, ArraySound(source), controls):
            blocks.append(block)
            done += len(block)
            tell(progress, "convert", min(1.0, done / total))
        made = np.concatenate(blocks)
        if len(made) != len(source):
            raise GraphFailedError(f"{voice.session.path.name} made {len(made)} samples of {len(source)}")
        results.append(made)
    return results


@contextmanager
def _counted_errors(counts: Counts) -> Iterator[None]:
    """Count what goes wrong, and let nothing out that is no ConversionError but faults of the program."""
    try:
        yield
    except ConversionCancelledError:
        counts.add("cancelled")
        raise
    except ConversionError:
        counts.add("failures")
        raise
    except FormatError as error:
        counts.add("failures")
        raise GraphFailedError(str(error)) from error


def _of_length(audio: np.ndarray, length: int) -> np.ndarray:
    """Return audio [T] cut or followed by silence: resampling twice may be a sample off."""
    return audio[:length] if len(audio) >= length else np.pad(audio, (0, length - len(audio)))
