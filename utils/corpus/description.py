"""What dataset.json says of a dataset, as typed data; a checkpoint contains the description of its dataset too."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from utils.config import AudioConfig, audio_config
from utils.config.preprocess import COPIES
from utils.corpus.signed_json import KEY, UNREADABLE, read_signed
from utils.corpus.split import HeldOutSettings
from utils.corpus.stored_array import AGAIN, DamagedFileError
from utils.corpus.teacher import TeacherDescription
from utils.errors import ConfigError, FormatError
from utils.files import is_below, sha256_of_json

DATASET_FILE = "dataset.json"
SCHEMA_VERSION = 1
ZERO_UNVOICED = "zero_unvoiced"
HIGHEST_HIGHPASS_HZ = 500  # as preprocess.highpass_hz
DECIDE_NOTHING = ("name", "source", "checksums", KEY)  # keys on which the numbers of a training do not depend
Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True)
class FeatureDescription:
    """A feature of a dataset.

    Attributes:
        fingerprint: hash of everything that shapes its values.
        identity: plain description of the encoder or tracker that computed it, with its weights' hash.
        config: how to build that encoder or tracker again, with `_target_`; empty where there is no choice.
        dim: values per frame; None for one plain value.
        dtype: "float16" or "float32".
    """

    fingerprint: str = ""
    identity: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    dim: int | None = None
    dtype: str = "float32"


@dataclass(frozen=True, kw_only=True)
class SpeakerDescription:
    """A speaker of a dataset; the index in the list of speakers is the speaker_id.

    Attributes:
        name: as the source calls them.
        minutes: length of all clips.
        files: recordings.
        clips: number of clips.
        held_out_minutes: length of the clips that are held out from training.
        f0_median_hz: over voiced frames; None where there is none.
    """

    name: str
    minutes: float = 0.0
    files: int = 0
    clips: int = 0
    held_out_minutes: float = 0.0
    f0_median_hz: float | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetDescription:
    """A dataset.

    Attributes:
        name: of its folder.
        source: folder of the recordings, as it was given.
        audio: rate and frames of the waveforms.
        reading: the preprocess settings that shape the waveforms.
        reading_fingerprint: hash of these settings, of the rate and of the code version; of a teacher, too, where there
            is one.
        content_copies: name of the setting -> values, such as content_speeds -> (0.84, 1.19).
        held_out: how the held-out clips were chosen; None where the file does not say.
        speakers: sorted by name.
        features: by name: content, content_<kind>_<k>, f0_hz, loudness_db.
        files: what -> path below the dataset's folder, of waveform, features, manifest and layout.
        checksums: "waveform" and each feature -> checksum of its file; none in datasets from before there were any.
        teacher: the voice that made the audio of the recordings; None where it is their own.
        original: content of the file that this was read from; None for a new dataset.
    """

    name: str
    audio: AudioConfig
    speakers: tuple[SpeakerDescription, ...]
    features: Mapping[str, FeatureDescription]
    source: str = ""
    reading: Mapping[str, Any] = field(default_factory=dict)
    reading_fingerprint: str = ""
    content_copies: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    held_out: HeldOutSettings | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    teacher: TeacherDescription | None = None
    original: dict[str, Any] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "DatasetDescription":
        """Read the content of a dataset.json; keys of later versions are left alone in `original`.

        Raises:
            KeyError, TypeError, ValueError, AttributeError, ConfigError: if it is not complete.
        """
        held_out = plain.get("held_out")
        return cls(
            name=plain["name"],
            source=plain["source"],
            audio=audio_config(plain["audio"]),
            reading=plain["reading"],
            reading_fingerprint=plain["reading_fingerprint"],
            content_copies={key: tuple(plain[key]) for key in COPIES if key in plain},
            held_out=None if held_out is None else _known(HeldOutSettings, held_out),
            speakers=tuple(_speaker(row) for row in plain["speakers"]),
            features={name: _known(FeatureDescription, item) for name, item in plain["features"].items()},
            files=plain["files"],
            checksums=plain.get("checksums", {}),
            teacher=_known(TeacherDescription, plain["teacher"]) if plain.get("teacher") else None,
            original=plain,
        )

    def to_plain(self) -> dict[str, Any]:
        """Return the content of dataset.json: exactly what was read, or that of a new dataset."""
        if self.original is not None:
            return self.original
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "source": self.source,
            "audio": self.audio.model_dump(),
            "reading": dict(self.reading),
            "reading_fingerprint": self.reading_fingerprint,
            **{key: list(values) for key, values in self.content_copies.items()},
            "held_out": None if self.held_out is None else asdict(self.held_out),
            "speakers": [asdict(speaker) for speaker in self.speakers],
            "features": {name: asdict(feature) for name, feature in self.features.items()},
            "files": dict(self.files),
            "checksums": dict(self.checksums),
        } | ({} if self.teacher is None else {"teacher": asdict(self.teacher)})

    @property
    def content(self) -> FeatureDescription:
        """The content vectors."""
        return self.features["content"]

    @property
    def content_dim(self) -> int:
        """D, size of a content vector."""
        return int(self.content.dim or 0)

    @property
    def pitch(self) -> FeatureDescription:
        """The fundamental frequency."""
        return self.features["f0_hz"]

    @property
    def highpass_hz(self) -> float:
        """Cut-off of the high-pass that the recordings went through; 0: none, or not known.

        Raises:
            FormatError: if it is no frequency that preprocess.py takes.
        """
        stated = self.reading.get("highpass_hz", 0)
        if isinstance(stated, bool) or not isinstance(stated, int | float) or not 0 <= stated <= HIGHEST_HIGHPASS_HZ:
            raise FormatError(
                f"the dataset {self.name} says highpass_hz={stated!r}; allowed: between 0 and {HIGHEST_HIGHPASS_HZ}; "
                "prepare it again"
            )
        return float(stated)

    @property
    def f0_convention(self) -> str:
        """What f0 holds in unvoiced frames: "zero_unvoiced" or another convention of the tracker."""
        return str(self.pitch.identity.get("unvoiced", ZERO_UNVOICED))

    @property
    def speaker_names(self) -> list[str]:
        """Names in the order of their speaker_id."""
        return [speaker.name for speaker in self.speakers]

    @property
    def fingerprint(self) -> str:
        """Hash of every feature's fingerprint and of the manifest: equal for equal data."""
        features = {name: item.fingerprint for name, item in self.features.items()}
        manifest = self.files["manifest"]  # the name holds the hash of the content
        return sha256_of_json([self.reading_fingerprint, features, manifest, self.speaker_names])

    @property
    def training_hash(self) -> str:
        """Hash of everything that decides the numbers of a training: all but checksums and names of folders."""
        return sha256_of_json({key: value for key, value in self.to_plain().items() if key not in DECIDE_NOTHING})


def read_description(folder: Path) -> DatasetDescription:
    """Read the dataset.json of a dataset.

    Raises:
        FormatError: if there is none, or of another version.
        DamagedFileError: if it is not what was written.
    """
    path = folder / DATASET_FILE
    try:
        plain = read_signed(path)
        if "checksums" in plain and KEY not in plain:
            raise ValueError(f"it has no {KEY}")
        version = plain.get("schema_version")
        if version != SCHEMA_VERSION:
            raise FormatError(f"{path} has schema_version {version!r}, this program reads {SCHEMA_VERSION}; {AGAIN}")
        description = DatasetDescription.from_plain(plain)
        outside = [name for name in description.files.values() if not is_below(name)]
        if outside:
            raise ValueError(f"{outside[0]!r} is not in its folder")
    except FileNotFoundError as error:
        hint = "make it with: python preprocess.py dataset.source=<folder> dataset.name=<name>"
        raise FormatError(f"{folder} is no dataset (no {DATASET_FILE}); {hint}") from error
    except (*UNREADABLE, KeyError, TypeError, AttributeError, ConfigError) as error:
        reason = " ".join(str(error).split())
        raise DamagedFileError(f"{path} is damaged ({reason}); {AGAIN}") from error
    return description


def _speaker(row: Mapping[str, Any]) -> SpeakerDescription:
    made = _known(SpeakerDescription, row)
    numbers = (made.minutes, made.files, made.clips, made.held_out_minutes, made.f0_median_hz or 0.0)
    if not isinstance(made.name, str) or any(type(number) not in (int, float) for number in numbers):
        raise TypeError(f"the speaker {made.name!r} has a value of another kind")
    return made


def _known(kind: type[Part], row: Mapping[str, Any]) -> Part:
    """Build a part of a description from the keys that this version knows."""
    names = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in row.items() if key in names})
