"""Features of clips."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from omegaconf import OmegaConf

from tests.synthetic_speech import voice
from utils.config import compose
from utils.corpus.extraction import FeatureExtractor, retime, to_feature_rate
from utils.corpus.settings import feature_fingerprints


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    config = compose("preprocess", ["content=toy"])
    content, pitch = (OmegaConf.to_container(node, resolve=True) for node in (config.content, config.pitch))
    return FeatureExtractor(content, pitch, (0.84, 1.19))  # type: ignore[arg-type]


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.sqrt(np.square(features).mean(axis=1, keepdims=True))


@pytest.mark.parametrize("speed", [0.84, 1.19])
def test_retimed_features_lie_where_the_sound_was(speed: float) -> None:
    # features that tell their own time in the original: frame j of the copy shows the second speed * (j + 0.5) / 100
    count, copies = 200, round(200 / speed)
    angle = speed * (np.arange(copies) + 0.5) / 100
    features = unit(np.stack([np.cos(angle), np.sin(angle)], axis=1))

    back = retime(features, count, speed)

    inner = slice(2, -2)
    assert_allclose(np.arctan2(back[:, 1], back[:, 0])[inner], ((np.arange(count) + 0.5) / 100)[inner], atol=1e-3)
    assert_allclose(np.square(back).mean(axis=1), 1, atol=1e-5)


def test_retimed_features_keep_lengths_that_are_not_one() -> None:
    angle = 0.5 * np.arange(60)
    lengths = np.linspace(2.0, 14.0, 60)
    features = lengths[:, None] * unit(np.stack([np.cos(angle), np.sin(angle)], axis=1))

    back = retime(features, 50, 50 / 60)

    position = np.clip((np.arange(50) + 0.5) * 60 / 50 - 0.5, 0, 59)
    assert_allclose(np.sqrt(np.square(back).mean(axis=1)), np.interp(position, np.arange(60), lengths), rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3, 20, 99])
@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
def test_feature_rate_has_160_samples_for_each_frame(frames: int, rate: int) -> None:
    assert to_feature_rate(np.zeros(frames * rate // 100, np.float32), rate).shape == (frames * 160,)


@pytest.mark.parametrize("frames", [1, 2, 3, 20, 99])
def test_every_feature_has_one_row_for_each_frame(extractor: FeatureExtractor, frames: int) -> None:
    sound = voice(1.0)[: frames * 160]

    assert {len(extractor.compute(name, sound)) for name in extractor.names} == {frames}


def test_f0_of_a_stored_clip_is_that_of_the_sound(extractor: FeatureExtractor) -> None:
    f0_hz = extractor.compute("f0_hz", to_feature_rate(voice(2.0, 24000, f0_hz=150), 24000))

    assert (f0_hz > 0).mean() > 0.8
    assert np.median(f0_hz[f0_hz > 0]) == pytest.approx(150, rel=0.1)


def fingerprints(**changed: Any) -> dict[str, str]:
    values: dict[str, Any] = {
        "content_identity": {"id": "a"},
        "pitch_identity": {"id": "b"},
        "loudness_identity": {"id": "c"},
        "content_speeds": (0.8, 1.2),
    }
    return feature_fingerprints("reading", **(values | changed))


@pytest.mark.parametrize(
    ("changed", "touched"),
    [
        ({"content_identity": {"id": "x"}}, {"content", "content_perturbed_0", "content_perturbed_1"}),
        ({"pitch_identity": {"id": "x"}}, {"f0_hz"}),
        ({"loudness_identity": {"id": "x"}}, {"loudness_db"}),
        ({"content_speeds": (0.8, 1.3)}, {"content_perturbed_1"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_fingerprints_change_with_what_shapes_the_feature_only(changed: dict[str, Any], touched: set[str]) -> None:
    before, after = fingerprints(), fingerprints(**changed)

    assert {name for name in before if before[name] != after[name]} == touched


def test_every_feature_depends_on_the_reading() -> None:
    before, after = (
        fingerprints(),
        feature_fingerprints(
            "another",
            content_identity={"id": "a"},
            pitch_identity={"id": "b"},
            loudness_identity={"id": "c"},
            content_speeds=(0.8, 1.2),
        ),
    )

    assert all(before[name] != after[name] for name in before)
