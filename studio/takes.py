"""What was read aloud: one recording a sentence, and what the microphone said of each."""

import glob
import logging
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.jobs import content_of
from studio.prompts import coverage, prompts_of
from studio.texts import Line, Texts
from studio.uploads import UploadFolder
from studio.workspace import STATE, Workspace
from utils.errors import ConfigError
from utils.files import atomic_write_json

NOISE_LIMIT_DB, NOISE_FAIR_DB = -45.0, -55.0  # level of a room above which it is heard in the voice
LOW_DB, HOT_PEAK_DB = -40.0, -1.0
CONVERT = "convert"  # folder of uploads to be converted
MOST_BYTES = 64 * 2**20  # five minutes of 48 kHz, with room
NAME = re.compile(r"(?P<language>[a-z]{2})_(?P<number>\d{2})\.wav")
UNREADABLE = ".unreadable"  # added to the name of a file that is kept although nobody can read it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Take:
    """A recorded sentence.

    Attributes:
        seconds: its length.
        level_db: its loudness as root mean square below full scale.
        peak_db: of its loudest sample.
        clipped: how many samples are at full scale.
        pitch_low_hz, pitch_median_hz, pitch_high_hz: 5, 50 and 95 % of its pitches; 0 where there is none.
    """

    seconds: float = 0.0
    level_db: float = -100.0
    peak_db: float = -100.0
    clipped: float = 0
    pitch_low_hz: float = 0.0
    pitch_median_hz: float = 0.0
    pitch_high_hz: float = 0.0

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Take":
        """Read what the browser or a file says; what is no finite number counts as nothing."""
        names = cls.__dataclass_fields__
        numbers = {name: values[name] for name in names if isinstance(values.get(name), int | float)}
        return cls(**{name: float(value) for name, value in numbers.items() if math.isfinite(value)})

    @property
    def fault(self) -> str:
        """What is wrong with it: "clipped", "quiet", "short", or "" if nothing is."""
        if self.clipped or self.peak_db > HOT_PEAK_DB:
            return "clipped"
        if self.seconds < 1:
            return "short"
        return "quiet" if self.level_db < LOW_DB else ""


class Takes:
    """The takes of a voice, in recordings/<voice>, one file a sentence.

    Args:
        workspace: has the folder.
        voice: name of the voice.
    """

    def __init__(self, workspace: Workspace, voice: str) -> None:
        self.folder: UploadFolder = workspace.recordings(voice)
        self._facts = workspace.folder / STATE / "takes" / f"{voice}.json"

    def path(self, language: str, number: int) -> Path:
        """Return where the recording of a sentence lies."""
        return self.folder.folder / f"{language}_{number + 1:02d}.wav"

    def of(self, language: str) -> dict[int, Take]:
        """Return the recorded sentences of a language by their numbers, from 0 on."""
        facts = self._measured()
        numbers = range(len(prompts_of(language)))
        return {
            number: self._take(facts, language, number) for number in numbers if self.path(language, number).is_file()
        }

    def save(self, language: str, number: int, sound: Iterable[bytes], take: Take) -> None:
        """Keep a recording; an earlier one of the same sentence is replaced.

        Raises:
            ConfigError: if there is no such sentence.
            DataError: if it is too large or the disk is full.
        """
        if not 0 <= number < len(prompts_of(language)):
            raise ConfigError(Line("error.take_sentence", number=number, language=language))
        target = self.path(language, number)
        saved = self.folder.save(target.name, sound, (".wav",))
        saved.replace(target)
        facts = self._measured()
        self._set_aside()
        atomic_write_json(self._facts, {**facts, target.name: asdict(take)})

    def remove(self, language: str, number: int) -> None:
        """Remove the recording of a sentence."""
        self.path(language, number).unlink(missing_ok=True)

    @property
    def unreadable(self) -> Path | None:
        """The file of what was measured of takes, where nobody can read it, also after it was set aside; else None."""
        kept = self._unreadable()
        return self._facts if self._is_damaged() else kept[-1] if kept else None

    def summary(self, language: str) -> dict[str, float]:
        """Return minutes, the share of the sentences' sounds, and the pitches from low to high in Hz."""
        takes = self.of(language)
        low = [take.pitch_low_hz for take in takes.values() if take.pitch_low_hz]
        high = [take.pitch_high_hz for take in takes.values() if take.pitch_high_hz]
        return {
            "minutes": sum(take.seconds for take in takes.values()) / 60,
            "coverage": coverage(language, takes),
            "low_hz": min(low, default=0.0),
            "high_hz": max(high, default=0.0),
        }

    def _measured(self) -> dict[str, Any]:
        return content_of(self._facts) or {}

    def _is_damaged(self) -> bool:
        return self._facts.is_file() and content_of(self._facts) is None

    def _unreadable(self) -> list[Path]:
        return sorted(self._facts.parent.glob(f"{glob.escape(self._facts.name)}{UNREADABLE}*"))

    def _set_aside(self) -> None:
        """Keep a file that cannot be read under another name, before a new one takes its place."""
        if self._is_damaged():
            target = self._facts.with_name(f"{self._facts.name}{UNREADABLE}{len(self._unreadable()) + 1}")
            log.warning("%s cannot be read and is kept as %s", self._facts, target.name)
            self._facts.replace(target)

    def _take(self, facts: dict[str, Any], language: str, number: int) -> Take:
        said = facts.get(self.path(language, number).name)
        return Take.of(said if isinstance(said, dict) else {})


def add_routes(app: Any, workspace: Workspace) -> None:
    """Take what the microphone recorded: POST /take/<voice>/<language>/<number>?<what was measured>."""
    from fastapi import HTTPException, Request

    from studio.prompts import prompt_languages
    from utils.errors import WorkbenchError

    @app.post("/take/{voice}/{language}/{number}")
    async def take(voice: str, language: str, number: int, request: Request) -> dict[str, str]:
        body = await _body(request)
        try:
            if language not in prompt_languages():
                raise ConfigError(Line("error.take_language", language=language))
            facts = {key: _number(value) for key, value in request.query_params.items()}
            Takes(workspace, voice).save(language, number, [body], Take.of(facts))
        except WorkbenchError as error:
            raise HTTPException(400, _reader(request).told(error)) from error
        return {"saved": f"{language}_{number + 1:02d}.wav"}

    @app.post("/microphone")
    async def microphone(request: Request) -> dict[str, str]:
        body = await _body(request)
        try:
            saved = UploadFolder(workspace.uploads / CONVERT).save("microphone.wav", [body], (".wav",))
        except WorkbenchError as error:
            raise HTTPException(400, _reader(request).told(error)) from error
        return {"saved": saved.name}

    async def _body(request: Request) -> bytes:
        """Return the sound of a request, bounded."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                large = Line("error.take_large", size=f"{MOST_BYTES / 1e6:.0f}")
                raise HTTPException(413, _reader(request).told(large))
        if body[:4] != b"RIFF":
            raise HTTPException(400, _reader(request).told(Line("error.take_kind")))
        return bytes(body)


def _reader(request: Any) -> Texts:
    """Return the texts of the language that a page says it is in."""
    return Texts(request.headers.get("accept-language", ""))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
