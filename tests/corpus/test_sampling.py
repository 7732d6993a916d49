"""What is chosen for training: all of the audio, as often as asked, in batches of like length."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from utils.corpus.balance import speaker_factors
from utils.corpus.bucketing import POOL_UPDATES, LengthBuckets
from utils.corpus.sampling import SegmentPlan, segments_per_epoch
from utils.corpus.voice_augmentation import AugmentationSettings
from utils.errors import ConfigError

# clips of 1 to 12 s as slicing makes them, and some shorter ones
LENGTHS = np.concatenate([np.random.default_rng(0).integers(100, 1200, size=150), [30, 45, 70, 99]])


def plan_of(
    lengths: np.ndarray = LENGTHS,
    *,
    segment_frames: int | None = 100,
    bucket_size: int | None = 8,
    seed: int = 1,
    factors: np.ndarray | None = None,
    augmentation: AugmentationSettings | None = None,
) -> SegmentPlan:
    return SegmentPlan(
        lengths,
        np.ones(len(lengths)) if factors is None else factors,
        segment_frames=segment_frames,
        seed=seed,
        bucket_size=bucket_size,
        augmentation=augmentation,
    )


@pytest.mark.parametrize("segment_frames", [100, 300, None])
@pytest.mark.parametrize("epoch", [0, 1])
def test_every_clip_is_chosen_in_every_epoch_as_often_as_it_is_long(segment_frames: int | None, epoch: int) -> None:
    plan = plan_of(segment_frames=segment_frames)

    chosen = np.bincount(plan.clips(np.arange(plan.per_epoch) + epoch * plan.per_epoch), minlength=len(LENGTHS))

    wanted = np.ones(len(LENGTHS)) if segment_frames is None else np.maximum(LENGTHS, segment_frames) / segment_frames
    assert chosen.min() >= 1
    assert np.abs(chosen - wanted).max() < 1.02


def test_each_epoch_has_another_order_and_the_same_one_each_time() -> None:
    plan, again = plan_of(), plan_of()
    numbers = np.arange(plan.per_epoch)

    first, second = plan.clips(numbers), plan.clips(numbers + plan.per_epoch)

    assert (first != second).mean() > 0.9
    assert_array_equal(again.clips(numbers + plan.per_epoch), second)
    assert_array_equal(again.clips(numbers), first)


def test_long_run_draws_each_frame_equally_often() -> None:
    plan = plan_of(bucket_size=None)

    clips = plan.clips(np.arange(40 * plan.per_epoch))

    frames = np.bincount(clips) * np.minimum(LENGTHS, 100)
    assert_allclose(frames / LENGTHS, 40.0, rtol=0.03)


def test_buckets_make_the_same_draws_in_another_order() -> None:
    plain, buckets = plan_of(bucket_size=None), plan_of(bucket_size=8)
    numbers = range(POOL_UPDATES * 8)

    expected = sorted((segment.clip, segment.first, segment.copy_choice) for segment in map(plain.segment, numbers))
    found = [(segment.clip, segment.first, segment.copy_choice) for segment in map(buckets.segment, numbers)]

    assert sorted(found) == expected
    assert found != [(segment.clip, segment.first, segment.copy_choice) for segment in map(plain.segment, numbers)]


def padding_share(plan: SegmentPlan, updates: int) -> float:
    segments = [plan.segment(number) for number in range(8 * updates)]
    return 1 - sum(segment.frames for segment in segments) / sum(segment.padded_frames for segment in segments)


@pytest.mark.parametrize("segment_frames", [600, None])
def test_buckets_waste_little_on_padding(segment_frames: int | None) -> None:
    # unbucketed whole clips would be padded to the longest of eight
    random = np.random.default_rng(3).choice(LENGTHS, (500, 8))
    unsorted = 1 - random.mean() / random.max(axis=1).mean()

    share = padding_share(plan_of(segment_frames=segment_frames), POOL_UPDATES)

    assert share < 0.05
    assert unsorted > 0.35


def test_examples_of_an_update_are_equally_long_and_hold_their_clips_whole() -> None:
    plan = plan_of(segment_frames=None)

    for update in range(2 * POOL_UPDATES):
        segments = [plan.segment(number) for number in range(8 * update, 8 * update + 8)]

        assert len({segment.padded_frames for segment in segments}) == 1
        assert all(segment.frames == LENGTHS[segment.clip] <= segment.padded_frames for segment in segments)


def test_short_batches_are_padded_to_a_second() -> None:
    plan = plan_of(np.array([20, 30]), segment_frames=None, bucket_size=2)

    assert {plan.segment(number).padded_frames for number in range(20)} == {100}


def test_order_of_lengths_is_mixed() -> None:
    plan = plan_of(segment_frames=None)

    lengths = [plan.segment(8 * update).padded_frames for update in range(POOL_UPDATES)]

    assert np.abs(np.corrcoef(lengths, np.arange(POOL_UPDATES))[0, 1]) < 0.4


def test_batch_composition_depends_on_seed_update_and_batch_size_alone() -> None:
    def lengths(segments: np.ndarray) -> np.ndarray:
        return segments * 7919 % 1009

    one, other = (LengthBuckets(lengths, batch_size=6, seed=5) for _ in range(2))
    other.planned_of_update(1000)

    assert_array_equal(one.planned_of_update(3), other.planned_of_update(3))
    assert [one.planned(number) for number in range(18, 24)] == one.planned_of_update(3).tolist()
    assert one.longest(20) == lengths(one.planned_of_update(3)).max()
    assert not np.array_equal(
        LengthBuckets(lengths, batch_size=6, seed=6).planned_of_update(3), one.planned_of_update(3)
    )


SPEAKERS = ("anna", "bert", "carl")
OWNERS = np.repeat([0, 1, 2], [100, 40, 14])
MINUTES = np.bincount(OWNERS, LENGTHS)


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ("natural", MINUTES),
        ("uniform", np.ones(3)),
        (1.0, MINUTES),
        (0.5, np.sqrt(MINUTES)),
        ({"bert": 3}, MINUTES * [1, 3, 1]),
        ({"anna": 0, "carl": 0.5}, MINUTES * [0, 1, 0.5]),
    ],
    ids=str,
)
@pytest.mark.parametrize("bucket_size", [None, 8])
def test_speakers_are_heard_as_often_as_their_weights_say(
    weights: str | float | dict[str, float], shares: np.ndarray, bucket_size: int | None
) -> None:
    factors = speaker_factors(MINUTES, SPEAKERS, weights)[OWNERS]
    plan = plan_of(factors=factors, segment_frames=30, bucket_size=bucket_size)

    chosen = np.bincount(OWNERS[plan.clips(np.arange(plan.per_epoch))], minlength=3) / plan.per_epoch

    assert_allclose(chosen, shares / shares.sum(), atol=0.002)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("fair", "data.speaker_weights=fair is unknown; allowed: natural, uniform"),
        (2.0, "data.speaker_weights=2.0 is unknown"),
        (True, "data.speaker_weights=True is unknown"),
        ({"dora": 1.0}, "names dora; the dataset has: anna, bert, carl"),
        ({"anna": -1.0}, "data.speaker_weights.anna=-1.0 must be a number, 0 or more"),
        (dict.fromkeys(SPEAKERS, 0.0), "leaves no speaker to train on"),
    ],
    ids=str,
)
def test_bad_speaker_weights_are_refused(weights: str | float | dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        speaker_factors(MINUTES, SPEAKERS, weights)

    assert words in str(caught.value)


def test_speaker_without_training_clips_gets_no_share() -> None:
    assert_allclose(speaker_factors(np.array([600, 0]), ("a", "b"), "uniform")[0], 1 / 600)


def test_whole_clips_need_buckets() -> None:
    with pytest.raises(ConfigError, match=r"data\.segment_frames=null .*data\.bucketing=true"):
        plan_of(segment_frames=None, bucket_size=None)


def test_shares_of_content_copies_must_fit_into_one() -> None:
    with pytest.raises(ConfigError, match=r"= 1\.2 is more than 1"):
        plan_of(augmentation=AugmentationSettings(noise_share=0.6, room_share=0.6))


def test_content_copies_are_chosen_by_their_shares() -> None:
    plan = plan_of(augmentation=AugmentationSettings(noise_share=0.3, room_share=0.1))

    sources = [plan.segment(number).content_kind for number in range(2000)]

    assert sources.count("noise") / 2000 == pytest.approx(0.3, abs=0.03)
    assert sources.count("room") / 2000 == pytest.approx(0.1, abs=0.03)
    assert "perturbed" not in sources


def test_segments_per_epoch_count_the_audio_once() -> None:
    assert segments_per_epoch([250, 40, 100], 100) == 5
    assert segments_per_epoch([250, 40, 100], None) == 3


def test_another_augmentation_leaves_the_chosen_clips_as_they_are() -> None:
    changed = plan_of(augmentation=AugmentationSettings(voice_share=1.0, pitch_semitones=2.0, noise_share=0.5))

    plain = plan_of()

    for number in range(100):
        one, other = plain.segment(number), changed.segment(number)

        assert (one.clip, one.first) == (other.clip, other.first)
