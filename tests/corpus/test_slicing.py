"""Cutting recordings into clips."""

import numpy as np
import pytest

from utils.config.preprocess import PreprocessSettings, preprocess_job
from utils.corpus.slicing import Span, find_clips, silence_threshold_db, smooth

SOUND, QUIET = -3.0, -90.0


@pytest.fixture(scope="module")
def settings() -> PreprocessSettings:
    return preprocess_job([]).preprocess


def levels(*stretches: tuple[float, float]) -> np.ndarray:
    """Frames at levels in dB from (seconds, level) pairs."""
    return np.concatenate([np.full(round(seconds * 100), level) for seconds, level in stretches])


def random_levels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    stretches = [(rng.exponential(2.0) + 0.02, rng.choice([SOUND, QUIET, -30.0, -60.0])) for _ in range(60)]
    return levels(*stretches) + rng.normal(0, 2, sum(round(s * 100) for s, _ in stretches))


@pytest.mark.parametrize("seed", range(20))
def test_every_frame_with_sound_is_in_exactly_one_clip(settings: PreprocessSettings, seed: int) -> None:
    track = random_levels(seed)
    covered = np.zeros(len(track), int)

    for clip in find_clips(track, settings):
        covered[clip.first : clip.end] += 1

    active = smooth(track, 3) > silence_threshold_db(track, settings)
    assert (covered[active] == 1).all()
    assert covered.max(initial=0) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_no_clip_is_longer_than_allowed(settings: PreprocessSettings, seed: int) -> None:
    assert max(clip.length for clip in find_clips(random_levels(seed), settings)) <= 1200


def test_long_sound_without_pause_gives_no_short_rest(settings: PreprocessSettings) -> None:
    clips = find_clips(levels((12.3, SOUND)), settings)

    assert len(clips) == 2
    assert min(clip.length for clip in clips) >= 100


def test_long_sound_is_cut_where_it_is_quietest(settings: PreprocessSettings) -> None:
    track = levels((8.0, SOUND), (0.1, -25.0), (7.0, SOUND))

    first, second = find_clips(track, settings)

    assert 800 <= first.end <= 810
    assert second == Span(first.end, len(track))


def test_pause_is_removed_but_for_its_edges(settings: PreprocessSettings) -> None:
    clips = find_clips(levels((3.0, SOUND), (5.0, QUIET), (3.0, SOUND)), settings)

    # a quarter of a second stays on both sides, and one frame of smoothing
    assert clips == [Span(0, 300 + 25 + 1), Span(800 - 25 - 1, 1100)]


def test_short_sound_joins_its_nearer_neighbour(settings: PreprocessSettings) -> None:
    track = levels((3.0, SOUND), (1.8, QUIET), (0.2, SOUND), (0.8, QUIET), (3.0, SOUND))

    clips = find_clips(track, settings)

    assert len(clips) == 2
    assert clips[1].first < 500


def test_lone_short_sound_is_kept(settings: PreprocessSettings) -> None:
    clips = find_clips(levels((5.0, QUIET), (0.2, SOUND), (5.0, QUIET)), settings)

    assert len(clips) == 1
    assert clips[0].first <= 500 and clips[0].end >= 520


def test_noise_floor_is_not_taken_for_sound(settings: PreprocessSettings) -> None:
    track = levels((3.0, SOUND), (5.0, -45.0), (3.0, SOUND))

    assert len(find_clips(track, settings)) == 2


def test_silence_gives_no_clips(settings: PreprocessSettings) -> None:
    assert find_clips(levels((3.0, -120.0)), settings) == []


def test_shortest_recording_is_one_clip(settings: PreprocessSettings) -> None:
    assert find_clips(np.array([SOUND]), settings.model_copy(update={"min_clip_seconds": 1.0})) == [Span(0, 1)]
