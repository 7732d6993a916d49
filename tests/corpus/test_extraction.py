"""Features of clips."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.tools.corpus_tools import make_job, write_sounds
from utils.audio.surroundings import add_noise, put_into_room
from utils.audio.synthetic_speech import voice
from utils.config.preprocess import preprocess_job
from utils.corpus.extraction import FeatureExtractor, retime, to_feature_rate
from utils.corpus.fingerprints import feature_fingerprints
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.store import CorpusStore


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    job = preprocess_job(["content=toy"])
    return FeatureExtractor(job.content.to_plain(), job.pitch.to_plain(), (0.84, 1.19))


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


CONTENT = ("content", "content_perturbed_0", "content_perturbed_1", "content_noise_0", "content_room_0")


def fingerprints(**changed: Any) -> dict[str, str]:
    values: dict[str, Any] = {
        "content_identity": {"id": "a"},
        "pitch_identity": {"id": "b"},
        "loudness_identity": {"id": "c"},
        "content_speeds": (0.8, 1.2),
        "content_noise_db": (15.0,),
        "content_room_seconds": (0.4,),
    }
    return feature_fingerprints("reading", **(values | changed))


@pytest.mark.parametrize(
    ("changed", "touched"),
    [
        ({"content_identity": {"id": "x"}}, set(CONTENT)),
        ({"pitch_identity": {"id": "x"}}, {"f0_hz"}),
        ({"loudness_identity": {"id": "x"}}, {"loudness_db"}),
        ({"content_speeds": (0.8, 1.3)}, {"content_perturbed_1"}),
        ({"content_noise_db": (12.0,)}, {"content_noise_0"}),
        ({"content_room_seconds": (0.5,)}, {"content_room_0"}),
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
            content_noise_db=(15.0,),
            content_room_seconds=(0.4,),
        ),
    )

    assert all(before[name] != after[name] for name in before)


def test_noise_and_room_copies_are_made_when_asked_and_follow_from_the_sound(tmp_path: Path) -> None:
    wanted = ["preprocess.content_noise_db=[15]", "preprocess.content_room_seconds=[0.4]"]
    write_sounds(tmp_path / "source", {f"{index}.wav": voice(1.0, seed=index) for index in range(2)})
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "data"))

    work = prepare_dataset(make_job(tmp_path / "source", tmp_path / "data", *wanted))["work"]
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "again", *wanted))

    store, again = CorpusStore.open(tmp_path / "data"), CorpusStore.open(tmp_path / "again")
    computed = {name for name, count in work["files_computed"].items() if count}
    assert computed == {"content_noise_0", "content_room_0"}
    for name in computed:
        copy, plain = store.feature(name, store.clips[0]), store.feature("content", store.clips[0])
        assert copy.shape == plain.shape
        assert not np.array_equal(copy, plain)
        assert np.array_equal(copy, again.feature(name, again.clips[0]))


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_noise_lies_as_far_below_the_voice_as_asked(snr_db: float) -> None:
    audio = voice(2.0)

    noise = add_noise(audio, snr_db, np.random.default_rng(1)) - audio

    assert 20 * np.log10(audio.std() / noise.std()) == pytest.approx(snr_db, abs=0.1)


def test_room_decays_in_its_time_behind_a_direct_sound_that_stays() -> None:
    click = np.zeros(16000, np.float32)
    click[1000] = 0.5

    wet = put_into_room(click, 0.4, 16000, np.random.default_rng(1))

    assert np.abs(np.delete(wet[:1030], 1000)).max() < 1e-6
    assert np.argmax(np.abs(wet)) == 1000
    levels = [20 * np.log10(np.sqrt(np.mean(wet[1000 + at : 1000 + at + 480] ** 2))) for at in (800, 4000)]
    assert levels[0] - levels[1] == pytest.approx(60 * 0.2 / 0.4, abs=3)
    assert np.mean(wet**2) == pytest.approx(np.mean(click**2), rel=1e-3)


def test_silence_has_neither_noise_nor_room() -> None:
    silence, rng = np.zeros(4000, np.float32), np.random.default_rng(0)

    assert not add_noise(silence, 10.0, rng).any()
    assert not put_into_room(silence, 0.3, 16000, rng).any()
