"""The configuration of preprocess.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from utils.config.audio import AudioConfig
from utils.config.fields import (
    FilePath,
    NameOrNumber,
    Number,
    OptionalPath,
    OptionalText,
    Section,
    Texts,
    as_tuple,
    section,
    setting,
)
from utils.config.job import Job, required
from utils.config.names import check_folder_name
from utils.config.pluggable import CONTENT_TEXTS, PITCH_TEXTS, Pluggable
from utils.errors import ConfigError

USAGE = """\
Make a dataset of a folder of recordings, or bring one up to date.

  python preprocess.py dataset.source=recordings dataset.name=alice                 a folder with one speaker's files
  python preprocess.py dataset.source=voices dataset.name=all                       one sub-folder per speaker
  python preprocess.py dataset.source=recordings dataset.name=alice audio=48k       for a 48 kHz voice
  python preprocess.py dataset.source=recordings dataset.name=bob dataset.teacher=bob.pth    what it makes of them

  python preprocess.py dataset.name=alice doctor=only                               examine a dataset that exists

  python preprocess.py dataset.source=voices dataset.name=all dataset.shard=3/64    one of 64 parts, for many machines
  python preprocess.py dataset.source=voices dataset.name=all dataset.merge=64      then make the dataset of them

The same command again does only what is new or changed; a run that was killed goes on where it was.

Environment variables set keys too, beneath the command line: VOCLO_DATASET__ROOT=/data is dataset.root=/data."""
HINT = "python preprocess.py dataset.source=<folder of recordings> dataset.name=<name>"
Speeds = Annotated[tuple[Annotated[Number, Field(ge=0.5, le=2.0)], ...], BeforeValidator(as_tuple)]
Levels = Annotated[tuple[Annotated[Number, Field(ge=-10, le=60)], ...], BeforeValidator(as_tuple)]
Decays = Annotated[tuple[Annotated[Number, Field(ge=0.05, le=3)], ...], BeforeValidator(as_tuple)]
MOST_SHARDS = 100_000
COPIES = ("content_speeds", "content_noise_db", "content_room_seconds")
NO_PART_OF_A_WAVEFORM = ("num_workers", *COPIES, "held_out_share", "held_out_files")
TEACHER = "dataset.teacher="
OF_TEACHERS = {"audio": (TEACHER,)}


class DatasetSource(Section):
    """The section `dataset`: which recordings become which dataset."""

    source: OptionalPath = setting(None, "folder with a sub-folder for each speaker, or of one speaker; or one file")
    name: OptionalText = setting(None, "the dataset becomes <root>/<name>")
    root: FilePath = setting("datasets", "folder of all datasets")
    speaker: OptionalText = setting(None, "name for everything in the source; null: the sub-folders' names")
    teacher: OptionalPath = setting(
        None,
        "a voice that converts the recordings, of anybody: their audio is then its own, see the section teacher",
        example="bob.pth",
    )
    exclude: Texts = setting(
        [], "recordings to leave out, below the source: paths, which may have * and ?, or one .txt file of such lines"
    )
    shard: OptionalText = setting(None, "such as 3/64: only the third of 64 parts, on any machine that shares <root>")
    merge: int | None = setting(None, "such as 64: verify so many parts and make the dataset of them", example=64)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_folder_name(self.name, "dataset.name")
        if self.shard is not None and self.merge is not None:
            words = "are two steps; give one of them"
            raise ConfigError(f"dataset.shard={self.shard} and dataset.merge={self.merge} {words}")
        if self.merge is not None and not 1 <= self.merge <= MOST_SHARDS:
            words = "must be the number of shards, for example dataset.merge=64"
            raise ConfigError(f"dataset.merge={self.merge} {words}")
        return self


class TeacherSettings(Section):
    """The section `teacher`: how the voice of dataset.teacher converts."""

    speaker: NameOrNumber | None = setting(None, "name or number of one of its speakers; null: its own default")
    pitch_shift: Literal["auto", "auto_octave"] | Number | None = setting(
        None, "-36 to 36; auto: whole semitones from each recording's median pitch to the voice's; null: auto, where "
        "it is told the pitch", unit="semitones", example="auto",
    )  # fmt: skip
    index_rate: Number | None = setting(
        None, "share of content taken from the voice's own frames; null: its own default", ge=0, le=1, example=0.5
    )
    protect: Number | None = setting(
        None, "share of index_rate in unvoiced frames; null: its own default", ge=0, le=0.5, example=0.33
    )
    index: OptionalPath = setting(None, "the .index of a .pth", example="bob.index")
    options: Texts = setting(
        [], "settings of export_onnx.py for a voice that is no graph yet", example="[content=contentvec]"
    )
    licence: OptionalText = setting(None, "of the voice, where its file does not say", example="CC0")
    consent: OptionalText = setting(None, "whose voice it is and what they agreed to, where its file does not say")


class PreprocessSettings(Section):
    """The section `preprocess`: waveforms, clips, features and the held-out part."""

    num_workers: int | None = setting(None, "processes; null: one per CPU, 0: none (in this process)", ge=0)
    highpass_hz: Number = setting(40.0, "Butterworth of order 4 against rumble and offset; 0: none", ge=0, le=500)
    loudness_lufs: Number = setting(-23.0, "each file gets one gain to this loudness (ITU-R BS.1770-4)", ge=-50, le=-10)
    peak_db: Number = setting(-1.0, "the gain leaves its peak at most here, below full scale", ge=-20, le=0)
    max_gain_db: Number = setting(40.0, "largest gain", ge=0, le=60)
    silence_max_db: Number = setting(
        -35.0, "a frame is silent 6 dB above the noise floor, at most here below the file's loudness", ge=-80, le=-15
    )
    silence_min_db: Number = setting(-50.0, "...and at least here; at most silence_max_db", ge=-100)
    min_silence_seconds: Number = setting(0.5, "shorter pauses are kept as they are", ge=0.1, le=60)
    keep_silence_seconds: Number = setting(
        0.25, "silence left before and after a clip; at most half of min_silence_seconds", ge=0
    )
    min_clip_seconds: Number = setting(1.0, "shorter clips are joined to a neighbour where there is one", ge=0.1, le=10)
    max_clip_seconds: Number = setting(
        12.0, "longer clips are cut where they are quietest; at least 3 x min_clip_seconds", le=60
    )
    content_speeds: Speeds = setting(
        [0.84, 1.19], "content is also taken from the clip at these speeds: other vocal tracts, same words"
    )
    content_noise_db: Levels = setting(
        [], "...with noise so far below the voice: for training with augmentation=noise", example="[15]"
    )
    content_room_seconds: Decays = setting(
        [], "...in rooms that fall silent in this time: for augmentation=room", example="[0.4]"
    )
    held_out_share: Number = setting(0.05, "share of the source files that is held out", ge=0, le=0.5)
    held_out_files: int = setting(
        2,
        "at least so many, from 4 files on; else, and where no speaker can spare one, the end of a file",
        ge=0,
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.silence_min_db > self.silence_max_db:
            raise ConfigError(
                f"preprocess.silence_min_db={self.silence_min_db:g} is out of range; allowed: between -100 and "
                f"preprocess.silence_max_db={self.silence_max_db:g}"
            )
        if self.keep_silence_seconds > self.min_silence_seconds / 2:
            raise ConfigError(
                f"preprocess.keep_silence_seconds={self.keep_silence_seconds:g} is out of range; allowed: at most "
                f"half of preprocess.min_silence_seconds={self.min_silence_seconds:g}"
            )
        if self.max_clip_seconds < 3 * self.min_clip_seconds:
            raise ConfigError(
                f"preprocess.max_clip_seconds={self.max_clip_seconds:g} is out of range; allowed: between 3 x "
                f"preprocess.min_clip_seconds={self.min_clip_seconds:g} and 60"
            )
        return self

    @property
    def content_copies(self) -> dict[str, tuple[Number, ...]]:
        """The lists of copies from which content is taken too."""
        return {key: getattr(self, key) for key in COPIES}

    def reading_values(self) -> dict[str, Any]:
        """Return the values that shape a clip's waveform."""
        return self.model_dump(exclude=set(NO_PART_OF_A_WAVEFORM))


class PreprocessJob(Job):
    """A dataset to be made: python preprocess.py dataset.source=<folder> dataset.name=<name>."""

    config_name: ClassVar[str] = "preprocess"
    usage: ClassVar[str] = USAGE

    audio: AudioConfig
    content: Pluggable = setting(..., "the encoder of what is said", texts=CONTENT_TEXTS)
    pitch: Pluggable = setting(..., "the tracker of the fundamental frequency", texts=PITCH_TEXTS)
    dataset: DatasetSource
    teacher: TeacherSettings = section(only_with=OF_TEACHERS)
    preprocess: PreprocessSettings
    doctor: bool | Literal["only"] = setting(
        True, "examine the recordings at the end and say what would help; only: examine the dataset as it is"
    )

    @property
    def uses(self) -> dict[str, str]:
        """What is asked for, by what settings may depend on."""
        return {"audio": TEACHER if self.dataset.teacher else "the recordings' own audio"}

    @property
    def source(self) -> Path:
        """The recordings."""
        return required("dataset.source", self.dataset.source, HINT)

    @property
    def folder(self) -> Path:
        """The dataset's folder."""
        return self.dataset.root / required("dataset.name", self.dataset.name, HINT)


def preprocess_job(overrides: Sequence[str]) -> PreprocessJob:
    """Build the job of preprocess.py from overrides as on its command line.

    Raises:
        ConfigError: in one line, naming the key, its value and what is allowed.
    """
    return PreprocessJob.from_overrides(overrides)
