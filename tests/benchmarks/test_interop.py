"""benchmarks.interop: a loader of another program runs in a process of its own, and what it makes is compared."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.interop import Voice, judged, voices
from benchmarks.interop_asking import PROGRAMS, RVC_PROGRAMS, difference_db
from benchmarks.interop_sovits import VARIANTS, inputs
from benchmarks.interop_worker import PROGRAMS as CALLS
from benchmarks.interop_worker import settings_of


def test_every_program_has_a_loader_and_every_voice_one_that_must_take_it() -> None:
    assert set(CALLS) == set(PROGRAMS)
    assert all(set(voice.takers) <= set(RVC_PROGRAMS) and voice.takers for voice in voices())
    assert {voice.published.vocoder for voice in voices()} == {"HiFi-GAN", "MRF HiFi-GAN", "RefineGAN"}
    assert [voice.name for voice in voices(["v1 40k"])] == ["v1 40k"]
    rates = {(voice.published.vocoder, voice.published.sample_rate) for voice in voices()}
    assert len(rates) == 12 and {voice.embedder for voice in voices()} == {"contentvec", "spin"}


def test_the_values_of_a_voice_are_the_settings_of_its_program() -> None:
    voice = voices(["v2 48k"])[0].published
    values = [voice.num_bins, 32, 192, 192, 768, 2, 6, 3, 0, "1", [3], [[1]], [12], 512, [24], 109, 256, 48000]

    settings = settings_of(values)

    assert (settings.data.filter_length, settings.data.sampling_rate) == (2048, 48000)
    assert (settings.model.upsample_rates, settings.model.gin_channels) == ([12], 256)


@pytest.mark.parametrize(("factor", "wanted"), [(1.1, -20.0), (1.0, -300.0)])
def test_the_difference_is_that_of_powers(factor: float, wanted: float) -> None:
    one = np.sin(np.arange(100.0))

    assert difference_db(one, factor * one) == pytest.approx(wanted, abs=15 if factor == 1.0 else 1e-6)
    assert difference_db(one, one[:-1]) == float("inf")


def test_a_refusal_of_a_program_is_told_and_counts(tmp_path: Path) -> None:
    voice: Voice = voices()[0]

    row, is_good = judged(voice, tmp_path / "bob.pth", json.loads('{"error": "KeyError: dec"}'), tmp_path)

    assert row[0] == "refused (KeyError: dec)" and not is_good


def test_every_option_of_sovits_is_tried_on_features_that_tell_voiced_from_unvoiced() -> None:
    options = {word.partition("=")[0] for variant in VARIANTS for word in variant.options}
    assert options == {
        f"model.{name}"
        for name in (
            "use_volume", "predicts_f0", "use_snakes", "shares_flow", "transformer_flow", "is_separable", "speaker_dim",
        )
    }  # fmt: skip
    sizes = {(variant.version, variant.content_dim) for variant in VARIANTS}
    assert sizes == {("4_0", 256), ("4_0", 768), ("4_1", 256), ("4_1", 768)}
    given = inputs(256)
    assert given["content"].shape == (1, 40, 256) and 0 < given["voiced"].mean() < 1 and given["f0"].min() > 50
