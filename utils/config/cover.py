"""The configuration of cover.py."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from utils.config.fields import Number, OptionalPath, OptionalText, Section, Text, setting
from utils.config.voice_keys import VoiceJob
from utils.errors import ConfigError

USAGE = """\
Let a voice sing a song: the vocals are converted, and mixed with the rest as loud as the song was.

  pip install -e ".[cover]"                                    once
  python cover.py vocals=vocals.wav instrumental=rest.wav voice=exports/alice
  python cover.py vocals=... instrumental=... backing=choir.wav voice=exports/alice effects=vocal
  python cover.py song=song.mp3 separator=demucs voice=exports/alice      another program takes the song apart

Every step is kept in the folder parts beside the result; called again, only what a changed setting concerns is made.

Environment variables set keys too, beneath the command line: VOCLO_VOICE=<file> is voice=<file>."""
HINT = "python cover.py vocals=<file> instrumental=<file> voice=exports/<voice>"


class Separator(Section):
    """The group `separator`: the program that takes a song apart into vocals and instrumental."""

    command: OptionalText = setting(
        None, "its command line; {song} is the file, {folder} an empty folder that it writes to; null: none",
        example="demucs --two-stems=vocals --out={folder} {song}",
    )  # fmt: skip
    vocals: Text = setting("**/vocals.*", "which of the files that it wrote holds the vocals, with * and **")
    rest: Text = setting("**/no_vocals.*", "which of them holds everything else")


class LeadSeparator(Separator):
    """The group `lead_separator`: the program that takes vocals apart into the lead and the backing voices."""


class Effects(Section):
    """The group `effects`: what is done to the converted voice; the values here leave it as it is."""

    low_cut_hz: Number | None = setting(None, "deeper sound is taken away", unit="Hz", ge=20, le=1000, example=90)
    presence_db: Number = setting(0.0, "louder around 3 kHz, where words are understood", unit="dB", ge=-12, le=12)
    air_db: Number = setting(0.0, "louder above 9 kHz", unit="dB", ge=-12, le=12)
    compressor_ratio: Number = setting(1.0, "of changes above the threshold; 1 is none", ge=1, le=20)
    compressor_threshold_db: Number = setting(-24.0, "where it begins", unit="dB", ge=-60, le=0)
    delay_share: Number = setting(0.0, "level of the echo beside the voice", ge=0, le=1)
    delay_ms: Number = setting(250.0, "until the echo", unit="ms", ge=1, le=2000)
    delay_feedback: Number = setting(0.2, "level of each further echo beside the one before", ge=0, le=0.9)
    reverb_share: Number = setting(0.0, "level of the room beside the voice", ge=0, le=1)
    reverb_size: Number = setting(0.4, "of the room", ge=0, le=1)
    reverb_damping: Number = setting(0.5, "of high sound in the room", ge=0, le=1)


class CoverJob(VoiceJob):
    """A song in a voice: python cover.py vocals=<file> instrumental=<file> voice=<voice>."""

    config_name: ClassVar[str] = "cover"
    usage: ClassVar[str] = USAGE

    vocals: OptionalPath = setting(None, "the voice that is replaced", example="vocals.wav")
    instrumental: OptionalPath = setting(None, "everything else of the song", example="instrumental.wav")
    backing: OptionalPath = setting(None, "backing voices, which are mixed as they are", example="backing.wav")
    song: OptionalPath = setting(
        None, "the whole song: taken apart by the separator where vocals= and instrumental= are not given, and the "
        "loudness of the result", example="song.mp3",
    )  # fmt: skip
    voice: OptionalPath = setting(None, "who sings: an exported voice, a run, a checkpoint", example="exports/alice")
    output: OptionalPath = setting(
        None, "the sound file, its ending chooses the format; null: covers/<song or vocals>/<voice>.wav",
        example="cover.mp3",
    )  # fmt: skip
    separator: Separator
    lead_separator: LeadSeparator
    effects: Effects
    pitch_shift: Literal["auto", "auto_octave"] | Number | None = setting(
        "auto_octave", "-36 to 36; auto_octave: whole octaves from the median pitch of the vocals to the voice's, "
        "which stays in tune with the instrumental; null: the voice's own default",
        unit="semitones",
    )  # fmt: skip
    loudness_mix: Number | None = setting(
        None, "1 keeps the voice's level, 0 imposes that of the vocals", ge=0, le=1, example=0
    )
    formant_shift: Number = setting(0.0, "above 0 a smaller singer", unit="semitones", ge=-12, le=12)
    convert_backing: bool = setting(False, "let the voice sing the backing voices too")
    vocals_gain_db: Number = setting(0.0, "of the converted vocals, beside the original ones", unit="dB", ge=-24, le=24)
    backing_gain_db: Number = setting(0.0, "of the backing voices", unit="dB", ge=-24, le=24)
    instrumental_gain_db: Number = setting(0.0, "of the instrumental", unit="dB", ge=-24, le=24)
    peak_db: Number = setting(-0.5, "highest sample of the result; what is beyond is limited", unit="dB", ge=-12, le=0)
    threads: int = setting(1, "of the voice", ge=1, le=64)

    @model_validator(mode="after")
    def _check_commands(self) -> Self:
        for key, command in (("separator", self.separator.command), ("lead_separator", self.lead_separator.command)):
            absent = [part for part in ("{song}", "{folder}") if command is not None and part not in command]
            if absent:
                raise ConfigError(f"{key}.command={command} has no {absent[0]}, where cover.py puts a path; add it")
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.voice is None:
            raise ConfigError("voice is missing.", hint=HINT)
        absent = [name for name in ("vocals", "instrumental") if getattr(self, name) is None]
        if self.song is None and absent:
            raise ConfigError(f"{absent[0]} is missing.", hint=f"{HINT}, or song=<file> separator=demucs")
        if len(absent) == 1:
            raise ConfigError(f"{absent[0]} is missing; give it, or only song= with a separator")
        if absent and self.separator.command is None:
            raise ConfigError(f"song={self.song} must be taken apart; add separator=demucs, or vocals=, instrumental=")
        if not absent and self.separator.command is not None:
            raise ConfigError("separator.command does nothing with vocals= and instrumental=; leave it or them out")
        if self.backing is not None and self.lead_separator.command is not None:
            raise ConfigError("backing= and lead_separator.command both give the backing voices; leave one out")
        if self.convert_backing and self.backing is None and self.lead_separator.command is None:
            raise ConfigError("convert_backing=true needs backing voices; give backing= or a lead_separator")
        return self


def cover_job(overrides: Sequence[str]) -> CoverJob:
    """Build the job of cover.py from overrides as on its command line.

    Raises:
        ConfigError: in one line, naming the key, its value and what is allowed.
    """
    return CoverJob.from_overrides(overrides)
