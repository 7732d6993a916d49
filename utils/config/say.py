"""The configuration of say.py."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from utils.config.fields import Number, OptionalPath, OptionalText, Text, setting
from utils.config.voice_keys import VoiceJob
from utils.errors import ConfigError

USAGE = """\
Let a voice read a text: a text-to-speech voice reads it, and the voice converts what was read.

  pip install -e ".[say]"                                      once
  python say.py text="Hello, this is my voice." voice=exports/alice
  python say.py file=story.txt voice=exports/alice output=story.mp3
  python say.py file=film.srt voice=exports/alice              each subtitle begins at its time

Beside the result stands what was read before it was converted: <output>_original.wav.

Environment variables set keys too, beneath the command line: VOCLO_VOICE=<file> is voice=<file>."""
FASTEST = 4.0  # of a reader: nobody understands more
HINT = 'python say.py text="Hello." voice=exports/<voice>'


class SayJob(VoiceJob):
    """Speech from text: python say.py text=<text> voice=<voice>."""

    config_name: ClassVar[str] = "say"
    usage: ClassVar[str] = USAGE

    text: OptionalText = setting(None, "what is said", example="Hello.")
    file: OptionalPath = setting(
        None, "a text file (UTF-8; an empty line ends a paragraph), or subtitles (.srt, .vtt, .ass), whose times are "
        "kept",
        example="story.txt",
    )  # fmt: skip
    voice: OptionalPath = setting(None, "who is heard: an exported voice, a run, a checkpoint", example="exports/alice")
    reader: Text = setting(
        "joe", "who reads: joe (English, piper), heart (English, hibari), or the .onnx of any voice of piper, with its "
        ".onnx.json beside it",
    )  # fmt: skip
    reader_speaker: int = setting(0, "number of the speaker, for a voice of piper with several", ge=0)
    output: OptionalPath = setting(
        None, "the sound file, its ending chooses the format; null: spoken/<voice>/<name of file=, or first words>.wav",
        example="story.mp3",
    )  # fmt: skip
    original: bool = setting(True, "also write what was read, before the conversion: <output>_original.wav")
    speed: Number = setting(1.0, "of the reader: 1.2 is a fifth faster", ge=0.5, le=2)
    fastest: Number = setting(
        1.6,
        "a subtitle whose time is too short is read faster, at most so; one that needs more is an error",
        ge=1,
        le=FASTEST,
    )
    pause_ms: Number = setting(250.0, "silence behind a sentence", unit="ms", ge=0, le=10000)
    paragraph_pause_ms: Number = setting(700.0, "silence behind a paragraph", unit="ms", ge=0, le=60000)
    threads: int = setting(1, "of the networks", ge=1, le=64)
    output_rate: int | None = setting(
        None, "of the sound file; null: that of the voice", unit="Hz", ge=4000, le=192000, example=48000
    )
    pitch_shift: Literal["auto"] | Number | None = setting(
        "auto", "-36 to 36; auto: whole semitones from the reader's median pitch to the voice's; null: the voice's own "
        "default", unit="semitones",
    )  # fmt: skip
    loudness_mix: Number | None = setting(
        None, "1 keeps the voice's level, 0 imposes the reader's", ge=0, le=1, example=1
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.text is None) == (self.file is None):
            what = "text is missing; so is file, one of the two is needed" if self.text is None else (
                "text= and file= both say what is said; leave one out"
            )  # fmt: skip
            raise ConfigError(f"{what}.", hint=HINT)
        if self.voice is None:
            raise ConfigError("voice is missing.", hint=HINT)
        return self


def say_job(overrides: Sequence[str]) -> SayJob:
    """Build the job of say.py from overrides as on its command line.

    Raises:
        ConfigError: in one line, naming the key, its value and what is allowed.
    """
    return SayJob.from_overrides(overrides)
