"""Random changes of sound: each does what its setting says."""

import numpy as np
import pytest

from recipes.sound_augmentation import SoundAugmentation, augment, coloured_noise, room_response


def test_without_changes_the_audio_stays() -> None:
    audio = np.random.default_rng(0).standard_normal(3200).astype(np.float32)
    nothing = SoundAugmentation(reverb_share=0, noise_share=0, equalizer_db=0, level_range_db=(0, 0))

    np.testing.assert_allclose(augment(audio, np.random.default_rng(1), nothing), audio, atol=1e-5)


def test_level_moves_by_decibels() -> None:
    audio = np.random.default_rng(0).standard_normal(3200).astype(np.float32)
    louder = SoundAugmentation(reverb_share=0, noise_share=0, equalizer_db=0, level_range_db=(6.0206, 6.0206))

    np.testing.assert_allclose(augment(audio, np.random.default_rng(1), louder), 2 * audio, atol=1e-4)


def test_echo_has_energy_one_and_loses_sixty_decibels() -> None:
    response = room_response(np.random.default_rng(0), decay_seconds=0.5)

    assert np.sum(np.square(response)) == pytest.approx(1)
    assert not response[:64].any()
    early, late = (np.mean(np.square(response[start : start + 800])) for start in (400, 6400))
    assert 10 * np.log10(early / late) == pytest.approx(60 * 6000 / 8000, abs=1.5)


def test_echo_never_comes_before_the_sound() -> None:
    audio = np.zeros(16000, np.float32)
    audio[15000] = 1.0
    room = SoundAugmentation(
        reverb_share=1, reverb_range_db=(0, 0), noise_share=0, equalizer_db=0, level_range_db=(0, 0)
    )

    found = augment(audio, np.random.default_rng(0), room)

    assert np.abs(found[:15000]).max() < 1e-5
    assert np.abs(found[15064:]).max() > 0.01


def test_noise_lies_below_the_signal_by_the_given_ratio() -> None:
    audio = np.ones(16000, np.float32)
    noisy = SoundAugmentation(
        reverb_share=0, noise_share=1, snr_range_db=(10, 10), equalizer_db=0, level_range_db=(0, 0)
    )

    noise = augment(audio, np.random.default_rng(0), noisy) - audio

    assert np.mean(np.square(noise)) == pytest.approx(0.1, rel=1e-3)


def test_noise_has_power_one_and_repeats_with_its_seed() -> None:
    first, second = (coloured_noise(np.random.default_rng(4), 8000) for _ in range(2))

    assert np.mean(np.square(first)) == pytest.approx(1)
    np.testing.assert_array_equal(first, second)
