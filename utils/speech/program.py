"""What say.py does."""

import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from utils.audio.writing import SOUND_FORMATS, open_writer, sound_format
from utils.config.say import FASTEST, SayJob
from utils.errors import DataError
from utils.files import check_new_file
from utils.inference.conversion import VoiceConversionPipeline
from utils.inference.options import ConversionKeywords
from utils.speech.readers import Reader, open_reader
from utils.speech.texts import Passage, paragraphs, read_passages
from utils.speech.timeline import Timeline

SILENT = 10 ** (-50 / 20)  # sound below it at the end of a subtitle needs no time
ATTEMPTS = 4  # to fit a subtitle: the time that a reader takes is not quite inverse to its speed
MARGIN = 1.02


def run_say(job: SayJob, announce: Callable[[str], None]) -> None:
    """Read a text, convert what was read, and write both.

    Args:
        job: what to do.
        announce: is given one line for each file.
    Raises:
        ConfigError: if a setting does not fit, or a package is not installed.
        FormatError: if the voice or the reader cannot be opened.
        DataError: if there is nothing to say, a subtitle does not fit into its time, or a file cannot be written.
    """
    passages = read_passages(job.file) if job.file is not None else paragraphs(job.text or "")
    assert job.voice is not None
    with VoiceConversionPipeline(job.voice, num_threads=job.threads) as pipeline, ExitStack() as stack:
        output = job.output or Path("spoken") / pipeline.name / f"{_stem(job)}.wav"
        original = output.with_name(f"{output.stem}_original.wav")
        sound_format(None, output)
        inputs = [path for path in (job.file, job.voice) if path is not None]
        for place in (output, original) if job.original else (output,):
            check_new_file(place, "output", inputs)
        keywords: ConversionKeywords = {
            "pitch_shift_semitones": job.pitch_shift, "speaker": job.speaker, "index_rate": job.index_rate,
            "protect": job.protect, "loudness_mix": job.loudness_mix,
            "output_sample_rate": job.output_rate or pipeline.sample_rate,
        }  # fmt: skip
        pipeline.check_options(**keywords)
        reader = open_reader(job.reader, speaker=job.reader_speaker, num_threads=job.threads)
        if not job.original:
            original = Path(stack.enter_context(tempfile.TemporaryDirectory())) / original.name
        seconds, hurried = read_aloud(reader, passages, original, job)
        if job.original:
            announce(f"read by {job.reader}, {seconds:.1f} s: {original}")
        if hurried:
            announce(f"{len(hurried)} of {len(passages)} subtitles are read faster: {_named(hurried)}")
        made = pipeline.convert_file(original, output, **keywords)
        shift = made.controls.get("pitch_shift")
        moved = "" if not shift else f", pitch {shift:+g} semitones"
        announce(f"said by {pipeline.name}{moved}, {made.real_time_factor:.2f} of real time: {output}")


def read_aloud(reader: Reader, passages: Sequence[Passage], path: Path, job: SayJob) -> tuple[float, dict[str, float]]:
    """Write passages, as they are read, as a 16-bit WAV file.

    Returns:
        Its seconds, and the subtitles that are read faster with how much.
    Raises:
        DataError: if nothing of it can be said, or a subtitle does not fit into its time; nothing is written then.
    """
    rate, hurried, spoken = reader.sample_rate, {}, 0
    with open_writer(path, SOUND_FORMATS["wav"], sample_rate=rate) as write:
        timeline = Timeline(write)
        for number, passage in enumerate(passages):
            if passage.start_seconds is None:
                spoken += _read_paragraph(reader, passage, timeline, job)
                continue
            following = passages[number + 1].start_seconds if number + 1 < len(passages) else None
            audio, speed = _fitting(reader, passage, following, job)
            if speed > job.speed:
                hurried[passage.name] = speed / job.speed
            spoken += len(audio)
            timeline.place(round(passage.start_seconds * rate), audio)
        if not spoken:
            raise DataError(f"the reader {job.reader} finds nothing in the text that it can say; see its language")
        ends = [round((passage.end_seconds or 0.0) * rate) for passage in passages]
        end = max([timeline.end, *ends])
        timeline.write_until(end)
    return end / rate, hurried


def _read_paragraph(reader: Reader, passage: Passage, timeline: Timeline, job: SayJob) -> int:
    """Place the sentences of a paragraph behind what was placed; return how many samples are sound."""
    pause, spoken = round(job.pause_ms / 1000 * reader.sample_rate), 0
    start = timeline.end
    if start:
        start += round(job.paragraph_pause_ms / 1000 * reader.sample_rate)
    for audio in reader.read(passage.text, float(job.speed)):
        timeline.place(start, audio)
        start = timeline.end + pause
        spoken += len(audio)
    return spoken


def _fitting(reader: Reader, passage: Passage, following: float | None, job: SayJob) -> tuple[np.ndarray, float]:
    """Read a subtitle so fast that it ends before the next one begins, and return how fast.

    One that overlaps the next in the file has its own time, the last one all that it needs.

    Raises:
        DataError: if that is faster than allowed.
    """
    assert passage.start_seconds is not None and passage.end_seconds is not None
    speed = needed = float(job.speed)
    end = None if following is None else max(following, passage.end_seconds)
    room = None if end is None else round((end - passage.start_seconds) * reader.sample_rate)
    for _ in range(ATTEMPTS):
        speed = needed
        audio = _without_silent_end(np.concatenate([*reader.read(passage.text, speed), np.zeros(0, np.float32)]))
        if room is None or len(audio) <= room:
            return audio, speed
        needed = speed * MARGIN * len(audio) / max(1, room)
        if needed > job.fastest:
            break
    allowed = f", or allow it with fastest={needed + 0.05:.1f}" if needed < FASTEST else ""
    raise DataError(
        f"{passage.name} at {passage.start_seconds:.1f} s must be read at {needed:.1f} times the usual speed to end in "
        f"time ({(room or 0) / reader.sample_rate:.1f} s); shorten it{allowed}"
    )


def _without_silent_end(audio: np.ndarray) -> np.ndarray:
    heard = np.flatnonzero(np.abs(audio) > SILENT)
    return audio[: heard[-1] + 1] if len(heard) else audio[:0]


def _stem(job: SayJob) -> str:
    """Return a name for the result: that of the file, or the first words of the text."""
    if job.file is not None:
        return job.file.stem
    return re.sub(r"\W+", "_", job.text or "")[:40].strip("_").lower() or "text"


def _named(hurried: dict[str, float]) -> str:
    most = max(hurried, key=lambda name: hurried[name])
    return f"at most {hurried[most]:.2f} times the speed ({most})"
