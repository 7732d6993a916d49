"""Targets and training examples of the content encoder, on made-up features."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.content_encoder.examples import IGNORED, as_float, cut, interpolate
from recipes.content_encoder.target_space import fit_space, speaker_offsets
from recipes.content_encoder.teacher_features import Clip
from recipes.corpora import Recording
from tests.tools.content_encoder_tools import made_up_examples, ramp_clip


def test_positions_between_frames_are_interpolated() -> None:
    frames = torch.tensor([[0.0], [10.0], [20.0]])

    values = interpolate(frames, torch.tensor([0.0, 0.5, 1.25, 99.0]))[:, 0]

    torch.testing.assert_close(values, torch.tensor([0.0, 5.0, 12.5, 20.0]), atol=0.02, rtol=0)


@pytest.mark.parametrize("speed", [0.85, 1.0, 1.17])
def test_target_and_audio_of_an_example_speak_of_the_same_moment(speed: float) -> None:
    audio, target, _ = cut(ramp_clip(400), 20, speed, 100)

    # the samples on both sides of a frame's middle, beside the angle of the target
    middle = (audio[159::320] + audio[160::320]) / 2 * 1000
    angle = torch.atan2(target[:, 1], target[:, 0]).numpy() * 1000

    # the ends ring: a ramp that starts at once has no band limit
    np.testing.assert_allclose(angle[2:-2], middle[2:-2], atol=0.05)


def test_frames_behind_the_end_carry_no_unit() -> None:
    audio, _, unit = cut(ramp_clip(30), 0, 1.0, 50)

    assert (unit[30:] == IGNORED).all()
    assert unit[:30].tolist() == list(range(30))
    assert not audio[30 * 320 :].any()


def test_samples_are_fractions_of_full_scale() -> None:
    assert as_float(torch.tensor([32767, -32767, 0], dtype=torch.int16)).tolist() == [1.0, -1.0, 0.0]


def test_projection_begins_with_its_layer() -> None:
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(400, 12, generator=generator) * 3 + 1]
    space = fit_space(features, dim=8, num_units=4, seed=0)

    layer = space.as_layer()
    found = torch.nn.functional.normalize(features[0] @ layer["weight"].T + layer["bias"], dim=-1)

    torch.testing.assert_close(found, space.project(features[0]), atol=1e-5, rtol=1e-5)


def test_much_speech_of_a_speaker_shows_the_voice_and_little_does_not() -> None:
    long = torch.ones(50 * 60, 3).half()  # 60 s
    clips = [
        Clip(Recording("en", "a", Path("a"), False), torch.zeros(1, dtype=torch.int16), long),
        Clip(Recording("en", "b", Path("b"), False), torch.zeros(1, dtype=torch.int16), long[: 50 * 5]),
    ]

    offsets = speaker_offsets(clips, torch.zeros(3))

    torch.testing.assert_close(offsets["en", "a"], torch.full((3,), 60 / 80))
    torch.testing.assert_close(offsets["en", "b"], torch.full((3,), 5 / 25))


def test_batch_depends_only_on_seed_and_step() -> None:
    one, two = (made_up_examples(seed=3, batch_size=2, num_frames=40) for _ in range(2))
    one.batch(0)

    torch.testing.assert_close(one.batch(7).audio, two.batch(7).audio)
    assert one.batch(7).audio.shape == (2, 40 * 320)


def test_held_out_speakers_are_never_examples() -> None:
    examples = made_up_examples()

    assert len(examples.held_out) == 2
    assert sum(map(len, examples._labelled.values())) == 4
