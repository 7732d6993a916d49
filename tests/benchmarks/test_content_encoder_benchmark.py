"""The measures of content encoders, on features whose answer is known."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import content_peers
from benchmarks.content_encoder import find_clips
from benchmarks.content_measures import content_ratio, measure, remove_mean, speaker_leak, warped_distance
from benchmarks.content_peers import as_graph
from utils.errors import DataError
from utils.features.content.builtin import BuiltinContent

DIM = 32
NUM_SPEAKERS = 3
NUM_SENTENCES = 6


def synthetic_clips(speaker_weight: float, sentence_weight: float) -> dict[str, dict[str, np.ndarray]]:
    """Features of 40 frames: a vector that belongs to the sentence and the frame, one of the speaker, and noise."""
    rng = np.random.default_rng(0)
    sentences = rng.standard_normal((NUM_SENTENCES, 40, DIM)) * sentence_weight
    speakers = rng.standard_normal((NUM_SPEAKERS, DIM)) * speaker_weight
    return {
        f"s{index}": {
            f"{number:02d}": words + offset + 0.3 * rng.standard_normal((40, DIM))
            for number, words in enumerate(sentences)
        }
        for index, offset in enumerate(speakers)
    }


@pytest.mark.slow
def test_identical_features_have_no_distance() -> None:
    features = np.random.default_rng(1).standard_normal((20, DIM))

    assert warped_distance(features, features) == pytest.approx(0, abs=1e-9)


def test_slower_speech_has_no_distance() -> None:
    features = np.random.default_rng(1).standard_normal((20, DIM))

    assert warped_distance(features, np.repeat(features, 2, axis=0)) == pytest.approx(0, abs=1e-9)


def test_opposite_features_have_distance_two() -> None:
    features = np.ones((5, DIM))

    assert warped_distance(features, -features) == pytest.approx(2)


def test_distance_is_the_mean_along_the_path() -> None:
    # by hand: the best path is the diagonal, with the costs 0 (parallel) and 1 (orthogonal)
    first = np.array([[1.0, 0.0], [0.0, 1.0]])
    second = np.array([[2.0, 0.0], [1.0, 0.0]])

    # (0,0) (1,0) (1,1) costs 0 + 1 + 1; (0,0) (0,1) (1,1) costs 0 + 0 + 1; the diagonal costs 0 + 1
    assert warped_distance(first, second) in (pytest.approx(1 / 2), pytest.approx(1 / 3))


def test_features_of_the_sentence_have_a_high_ratio() -> None:
    ratio = content_ratio(remove_mean(synthetic_clips(speaker_weight=0.0, sentence_weight=1.0)))

    assert ratio is not None
    assert ratio > 5


def test_features_of_the_speaker_have_a_ratio_below_one() -> None:
    ratio = content_ratio(remove_mean(synthetic_clips(speaker_weight=1.0, sentence_weight=0.0)))

    assert ratio is not None
    assert ratio < 1


def test_without_parallel_sentences_there_is_no_ratio() -> None:
    clips = {
        speaker: {f"{speaker}{name}": feature for name, feature in sentences.items()}
        for speaker, sentences in synthetic_clips(1.0, 1.0).items()
    }

    assert content_ratio(clips) is None


def test_features_of_the_speaker_leak_always() -> None:
    assert speaker_leak(remove_mean(synthetic_clips(speaker_weight=1.0, sentence_weight=0.1))) == 1.0


def test_features_of_the_sentence_leak_no_more_than_chance() -> None:
    # a clip is nearest to its sentence in other voices, and only its own copy is left out: the others attract it
    leak = speaker_leak(remove_mean(synthetic_clips(speaker_weight=0.0, sentence_weight=1.0)))

    assert leak is not None
    assert leak <= 1 / NUM_SPEAKERS


def test_a_clip_does_not_vouch_for_itself() -> None:
    # two clips a speaker in opposite directions: only the clip itself would point to its speaker
    axes = np.eye(4)
    clips = {
        "a": {"1": np.tile(axes[0], (3, 1)), "2": np.tile(-axes[0], (3, 1))},
        "b": {"1": np.tile(3 * axes[1] + axes[0], (3, 1)), "2": np.tile(3 * axes[1] - axes[0], (3, 1))},
    }

    leak = speaker_leak(clips)

    # a1 has itself left out, its speaker is -a1: cosine -1, and b is 0: wrong; so is a2; both b are right
    assert leak == 0.5


def test_a_single_speaker_cannot_be_judged() -> None:
    assert speaker_leak({"a": {"1": np.ones((2, 3)), "2": np.ones((2, 3))}}) is None


def test_measure_reports_chance_and_speed() -> None:
    audio = {
        speaker: {name: feature[:, 0] for name, feature in sentences.items()}
        for speaker, sentences in synthetic_clips(0.0, 1.0).items()
    }

    figures = measure(lambda samples: np.stack([samples, samples**2], axis=1), audio)

    assert figures.chance == pytest.approx(1 / 3)
    assert figures.real_time_factor >= 0


def test_a_name_without_sentence_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ann.wav").touch()

    with pytest.raises(DataError, match=r"ann\.wav is not named <speaker>_<sentence>"):
        find_clips(tmp_path)


def test_one_speaker_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ann_1.wav").touch()

    with pytest.raises(DataError, match="only one speaker"):
        find_clips(tmp_path)


def test_whisper_encodes_all_of_a_long_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[np.ndarray] = []

    class Model:
        def feature_extractor(self, audio: np.ndarray) -> np.ndarray:
            pieces.append(audio)
            return np.zeros((80, len(audio) // 160 + 1))

        def encode(self, spectrogram: np.ndarray) -> np.ndarray:
            return np.full((1, spectrogram.shape[1] // 2, 512), len(pieces))

    monkeypatch.setattr(content_peers, "whisper_model", lambda *_, **__: Model())
    audio = np.arange(70 * 16000, dtype=np.float32)

    features = content_peers.WhisperEncoder().encode(audio)

    assert [len(piece) for piece in pieces] == [30 * 16000] * 3
    np.testing.assert_array_equal(np.concatenate(pieces)[: len(audio)], audio)
    assert features[::500, 0].tolist() == [1, 1, 1, 2, 2, 2, 3]
    assert features.shape == (3500, 512)


@pytest.mark.slow
def test_the_graph_beside_the_encoder_says_the_same() -> None:
    encoder = BuiltinContent()
    audio = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1

    difference = as_graph(encoder)(audio) - encoder.encode(audio)

    assert difference.shape == (100, encoder.dim)
    assert np.abs(difference).max() < 1e-3
