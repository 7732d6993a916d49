"""Encoders that the built-in one is compared with: audio at 16 kHz to features, each at a rate of its own."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import onnxruntime
import torch

from recipes.content_encoder.teacher import MoonshineEncoder, set_level
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE
from utils.errors import DataError
from utils.evaluation.optional_packages import MissingEvaluatorError
from utils.evaluation.recognizers import whisper_model
from utils.export.finishing import finish_graph
from utils.export.tracing import Signature, trace
from utils.features.content.builtin import BuiltinContent

OURS, OURS_ONNX, TEACHER = "builtin", "builtin, ONNX", "moonshine"
NUM_MFCC = 20
WHISPER_SECONDS = 30  # of audio in one call; whatever is shorter is filled with silence
WHISPER_RATE = 50
log = logging.getLogger(__name__)

Encode = Callable[[np.ndarray], np.ndarray]


class Peer(NamedTuple):
    """An encoder: audio [T] at 16 kHz to features [F, D], about `rate` a second."""

    encode: Encode
    rate: float


class WhisperEncoder:
    """The encoder of Whisper base (Radford et al. 2022): 512 components, 50 a second."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory(prefix="whisper-base-") as folder:
            self._model = whisper_model(Path(folder), num_threads=1)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Return features [F, 512] of 16 kHz audio [T]; longer audio is encoded in pieces of 30 s."""
        step = WHISPER_SECONDS * FEATURE_RATE
        return np.concatenate(
            [self._encode_piece(audio[start : start + step]) for start in range(0, max(1, len(audio)), step)]
        )

    def _encode_piece(self, audio: np.ndarray) -> np.ndarray:
        padded = np.pad(audio, (0, WHISPER_SECONDS * FEATURE_RATE - len(audio)))
        spectrogram = self._model.feature_extractor(padded)[:, : WHISPER_SECONDS * 100]
        output = np.asarray(self._model.encode(spectrogram))[0]
        return output[: len(audio) * WHISPER_RATE // FEATURE_RATE]


def mfcc(audio: np.ndarray) -> np.ndarray:
    """Return 20 mel cepstral coefficients [F, 20] of 16 kHz audio [T], 100 frames a second."""
    return librosa.feature.mfcc(y=audio, sr=FEATURE_RATE, n_mfcc=NUM_MFCC, n_fft=512, hop_length=FEATURE_HOP).T


def as_graph(encoder: BuiltinContent) -> Encode:
    """Return an encoder as the ONNX graph that stands inside exported voices, in onnxruntime on one thread."""
    signature = Signature(
        values=(torch.zeros(1, FEATURE_RATE),),
        inputs=("audio",),
        outputs=("content",),
        free_axes={"audio": {0: "batch", 1: "time"}, "content": {0: "batch", 1: "frames"}},
    )
    graph = finish_graph(trace(encoder, signature, opset=17), metadata={})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda audio: np.asarray(session.run(None, {"audio": audio[None]})[0])[0]


def load_encoders(weights: str) -> dict[str, Peer]:
    """Return the encoders that can be compared here; a missing optional one is named."""
    builtin = BuiltinContent(weights=weights)
    peers = {
        OURS: Peer(builtin.encode, 100),
        OURS_ONNX: Peer(as_graph(builtin), 100),
        "builtin, short look-ahead": Peer(BuiltinContent(weights=weights, look_ahead="short").encode, 100),
        "mfcc": Peer(mfcc, 100),
    }
    try:
        teacher = MoonshineEncoder()
    except DataError as error:
        log.warning("moonshine is left out: %s", error)
    else:
        peers[TEACHER] = Peer(lambda audio: teacher.encode(set_level(audio)), FEATURE_RATE / 384)
    try:
        peers["whisper base"] = Peer(WhisperEncoder().encode, WHISPER_RATE)
    except MissingEvaluatorError as error:
        log.warning("whisper base is left out; type: %s", error)
    return peers
