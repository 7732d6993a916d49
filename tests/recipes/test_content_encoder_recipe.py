"""The recipe of the content encoder, on tiny networks and made-up features."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recipes.content_encoder import prompts
from recipes.content_encoder.corpora import (
    Recording,
    choose_held_out,
    list_recordings,
    parse_corpus,
    parse_held_out,
)
from recipes.content_encoder.distil import (
    Distillation,
    Sizes,
    export,
    learning_rate,
    losses,
    read_checkpoint,
    train,
)
from recipes.content_encoder.material import (
    IGNORED,
    Batch,
    Lesson,
    Material,
    as_float,
    cut,
    fit_space,
    interpolate,
    speaker_offsets,
    spherical_kmeans,
)
from recipes.content_encoder.sound_augmentation import Augmentation, augment, coloured_noise, echo
from recipes.content_encoder.teacher import (
    TEACHER_CENTRE,
    TEACHER_HOP,
    Clip,
    Features,
    align,
    load_features,
    minutes_table,
    save_features,
    set_level,
)
from utils.errors import ConfigError, DataError, FormatError
from utils.features.content.builtin import BuiltinContent

SIZES = Sizes(channels=16, num_layers=1, num_heads=2, rotary_dim=4, past=4, future=2, dim=8, num_units=4)


def made_up_features(num_clips: int = 6) -> Features:
    generator = torch.Generator().manual_seed(0)
    clips = []
    for index in range(num_clips):
        speaker = f"{index % 3}"
        recording = Recording("en", speaker, Path(f"{speaker}-{index}.wav"), is_held_out=speaker == "0")
        audio = torch.randint(-9000, 9000, (170 * 320,), generator=generator).to(torch.int16)
        clips.append(Clip(recording, audio, torch.randn(170, 12, generator=generator).half()))
    return Features(clips, {"en": 1.0})


def ramp_lesson(num_frames: int) -> Lesson:
    """A clip whose sample at time t (in frames) is t / 1000 and whose targets point at the angle of their centres."""
    audio = (torch.arange(num_frames * 320) + 0.5) / 320 / 1000
    angle = (torch.arange(num_frames) + 0.5) / 1000
    target = torch.stack([angle.cos(), angle.sin()], dim=1)
    return Lesson((audio * 32767).round().to(torch.int16), target, torch.arange(num_frames))


# corpora


def test_corpus_is_name_folder_and_share(tmp_path: Path) -> None:
    corpus = parse_corpus(f"nl={tmp_path}=0.12")

    assert (corpus.name, corpus.folder, corpus.share) == ("nl", tmp_path, 0.12)


@pytest.mark.parametrize("text", ["nl", "nl=folder", "nl=folder=0", "nl=folder=much", "=folder=1", "nl=absent=1"])
def test_bad_corpus_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ConfigError, match="--corpus"):
        parse_corpus(text)


def test_validation_needs_held_out_speakers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--held-out is missing"):
        parse_held_out([], [parse_corpus(f"nl={tmp_path}=1")])


def test_held_out_speakers_are_spread_in_numeric_order() -> None:
    speakers = {str(number) for number in range(1, 13)}

    assert choose_held_out(speakers, 3, "en") == {"3", "7", "11"}


def test_somebody_must_be_left_to_train_on() -> None:
    with pytest.raises(DataError, match="hold out fewer"):
        choose_held_out({"1", "2"}, 2, "en")


def test_linked_recordings_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "1-a.wav").touch()
    (tmp_path / "2-a.wav").touch()
    (tmp_path / "2-b.wav").symlink_to(tmp_path / "1-a.wav")

    found = list_recordings([parse_corpus(f"en={tmp_path}=1")], {"en": 1})

    assert [(item.speaker, item.is_held_out) for item in found] == [("1", False), ("2", True)]


def test_prompts_are_joined_until_nine_seconds(tmp_path: Path) -> None:
    for index in range(5):
        (tmp_path / f"{index}.g722").write_bytes(bytes(4 * prompts.BYTES_PER_SECOND))
    (tmp_path / "again.g722").symlink_to(tmp_path / "0.g722")

    groups = list(prompts.group_prompts(prompts.find_prompts(tmp_path)))

    assert [[path.stem for path in group] for group in groups] == [["0", "1", "2"], ["3", "4"]]


# teacher


def test_teacher_frame_in_the_middle_of_a_student_frame_is_taken_as_it_is() -> None:
    features = np.arange(50, dtype=float)[:, None]

    # the centre of student frame k is at (2k + 1) * 160 samples
    aligned = align(features, 40)

    for index in (10, 25, 39):
        expected = ((2 * index + 1) * 160 - TEACHER_CENTRE) / TEACHER_HOP
        assert aligned[index, 0] == pytest.approx(expected)


def test_level_is_set_and_silence_stays_finite() -> None:
    audio = np.sin(np.arange(16000) / 10).astype(np.float32) * 0.01

    assert np.sqrt(np.mean(np.square(set_level(audio)))) == pytest.approx(0.06, rel=1e-3)
    assert not set_level(np.zeros(100, np.float32)).any()


def test_features_survive_the_file(tmp_path: Path) -> None:
    features = made_up_features()

    save_features(tmp_path / "features.pt", features)
    again = load_features(tmp_path / "features.pt")

    assert again.shares == features.shares
    assert [clip.recording for clip in again.clips] == [clip.recording for clip in features.clips]
    torch.testing.assert_close(again.clips[3].audio, features.clips[3].audio)


def test_minutes_are_listed_apart_for_held_out_speakers() -> None:
    lines = minutes_table(made_up_features().clips).splitlines()

    assert [line.split()[:2] for line in lines[2:]] == [["en", "held"], ["en", "training"]]


# augmentation


def test_without_changes_the_audio_stays() -> None:
    audio = np.random.default_rng(0).standard_normal(3200).astype(np.float32)
    nothing = Augmentation(reverb_share=0, noise_share=0, equalizer_db=0, level_range_db=(0, 0))

    np.testing.assert_allclose(augment(audio, np.random.default_rng(1), nothing), audio, atol=1e-5)


def test_level_moves_by_decibels() -> None:
    audio = np.random.default_rng(0).standard_normal(3200).astype(np.float32)
    louder = Augmentation(reverb_share=0, noise_share=0, equalizer_db=0, level_range_db=(6.0206, 6.0206))

    np.testing.assert_allclose(augment(audio, np.random.default_rng(1), louder), 2 * audio, atol=1e-4)


def test_echo_has_energy_one_and_loses_sixty_decibels() -> None:
    response = echo(np.random.default_rng(0), decay_s=0.5)

    assert np.sum(np.square(response)) == pytest.approx(1)
    assert not response[:64].any()
    early, late = (np.mean(np.square(response[start : start + 800])) for start in (400, 6400))
    assert 10 * np.log10(early / late) == pytest.approx(60 * 6000 / 8000, abs=1.5)


def test_echo_never_comes_before_the_sound() -> None:
    audio = np.zeros(16000, np.float32)
    audio[15000] = 1.0
    room = Augmentation(reverb_share=1, reverb_range_db=(0, 0), noise_share=0, equalizer_db=0, level_range_db=(0, 0))

    heard = augment(audio, np.random.default_rng(0), room)

    assert np.abs(heard[:15000]).max() < 1e-5
    assert np.abs(heard[15064:]).max() > 0.01


def test_noise_lies_below_the_signal_by_the_given_ratio() -> None:
    audio = np.ones(16000, np.float32)
    noisy = Augmentation(reverb_share=0, noise_share=1, snr_range_db=(10, 10), equalizer_db=0, level_range_db=(0, 0))

    noise = augment(audio, np.random.default_rng(0), noisy) - audio

    assert np.mean(np.square(noise)) == pytest.approx(0.1, rel=1e-3)


def test_noise_has_power_one_and_repeats_with_its_seed() -> None:
    first, second = (coloured_noise(np.random.default_rng(4), 8000) for _ in range(2))

    assert np.mean(np.square(first)) == pytest.approx(1)
    np.testing.assert_array_equal(first, second)


# material


def test_positions_between_frames_are_interpolated() -> None:
    frames = torch.tensor([[0.0], [10.0], [20.0]])

    values = interpolate(frames, torch.tensor([0.0, 0.5, 1.25, 99.0]))[:, 0]

    torch.testing.assert_close(values, torch.tensor([0.0, 5.0, 12.5, 20.0]), atol=0.02, rtol=0)


@pytest.mark.parametrize("speed", [0.85, 1.0, 1.17])
def test_target_and_audio_of_an_example_speak_of_the_same_moment(speed: float) -> None:
    audio, target, _ = cut(ramp_lesson(400), 20, speed, 100)

    # the samples on both sides of a frame's middle, beside the angle of the target
    middle = (audio[159::320] + audio[160::320]) / 2 * 1000
    angle = torch.atan2(target[:, 1], target[:, 0]).numpy() * 1000

    # the ends ring: a ramp that starts at once has no band limit
    np.testing.assert_allclose(angle[2:-2], middle[2:-2], atol=0.05)


def test_frames_behind_the_end_carry_no_unit() -> None:
    audio, _, unit = cut(ramp_lesson(30), 0, 1.0, 50)

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


def test_clusters_of_two_directions_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.eye(3)[:2].repeat_interleave(50, dim=0)
    points = torch.nn.functional.normalize(directions + 0.01 * torch.randn(100, 3, generator=generator), dim=1)

    centroids = spherical_kmeans(points, 2, generator=generator)

    nearest = (points @ centroids.T).max(dim=1).values
    assert nearest.min() > 0.99


def test_batch_depends_only_on_seed_and_step() -> None:
    features = made_up_features()
    space = fit_space([clip.feature for clip in features.clips], dim=8, num_units=4, seed=0)

    one, two = (Material(features, space, seed=3, batch_size=2, num_frames=40) for _ in range(2))
    one.batch(0)

    torch.testing.assert_close(one.batch(7).audio, two.batch(7).audio)
    assert one.batch(7).audio.shape == (2, 40 * 320)


def test_held_out_speakers_are_never_drawn() -> None:
    features = made_up_features()
    space = fit_space([clip.feature for clip in features.clips], dim=8, num_units=4, seed=0)

    material = Material(features, space)

    assert len(material.held_out) == 2
    assert sum(map(len, material._lessons.values())) == 4


# training


def test_perfect_output_has_no_loss_of_direction() -> None:
    target = torch.nn.functional.normalize(torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    batch = Batch(torch.zeros(2, 5 * 320), target, torch.zeros(2, 5, dtype=torch.long))

    parts = losses(target * 2.0, torch.zeros(2, 5, 3), batch)

    assert parts["cosine"].item() == pytest.approx(0, abs=1e-6)
    assert parts["error"].item() == pytest.approx(0, abs=1e-6)  # outputs of length sqrt(D) = 2 are meant
    assert parts["mean"].item() == pytest.approx(0, abs=1e-6)
    assert parts["unit"].item() == pytest.approx(math.log(3))


def test_frames_behind_the_end_do_not_count() -> None:
    target = torch.nn.functional.normalize(torch.ones(1, 4, 4), dim=-1)
    output = target * 2.0
    output[:, 2:] = -1.0
    batch = Batch(torch.zeros(1, 4 * 320), target, torch.tensor([[0, 0, IGNORED, IGNORED]]))

    assert losses(output, torch.zeros(1, 4, 3), batch)["cosine"].item() == pytest.approx(0, abs=1e-6)


def test_learning_rate_rises_and_falls_to_a_fiftieth() -> None:
    assert learning_rate(0, 8000) == pytest.approx(1 / 100)
    assert learning_rate(8000, 8000) == pytest.approx(1 / 50)
    assert 0.99 < max(learning_rate(step, 8000) for step in range(8000)) < 1


def test_the_first_update_moves_by_a_hundredth_of_the_rate() -> None:
    features = made_up_features()
    material = Material(features, fit_space([clip.feature for clip in features.clips], dim=8, num_units=4, seed=0))
    distillation = Distillation(SIZES, num_steps=8000, rate=2e-3)
    before = distillation.network.head.bias.detach().clone()

    distillation.update(material.batch(0))

    # Adam's first step is the rate itself, whatever the gradient; decay is a fiftieth of the small weights
    moved = (distillation.network.head.bias - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 2e-5), rtol=0.05, atol=0)


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    features = made_up_features()
    heard = [clip.feature for clip in features.clips if not clip.recording.is_held_out]
    space = fit_space(heard, dim=8, num_units=4, seed=0)
    material = Material(features, space, batch_size=2, num_frames=40)
    first = Distillation(SIZES, num_steps=4)
    for step in range(2):
        first.update(material.batch(step))
    first.save(tmp_path / "stopped.ckpt", space)
    for step in range(2, 4):
        first.update(material.batch(step))

    second = Distillation(SIZES, num_steps=4)
    assert not torch.equal(second.network.head.weight, first.network.head.weight)
    second.restore(read_checkpoint(tmp_path / "stopped.ckpt"))
    for step in range(2, 4):
        second.update(material.batch(step))

    torch.testing.assert_close(second.network.state_dict(), first.network.state_dict())


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"num_steps": 2}, "steps is 2, but the checkpoint was begun with 1"),
        ({"rate": 0.1}, r"rate is 0\.1, but the checkpoint was begun with 0\.0002"),
        ({"seed": 3}, "seed is 3, but the checkpoint was begun with 0"),
        ({"start": Path("other.safetensors")}, "start is [0-9a-f]{12}, but the checkpoint was begun with none"),
        ({"features": Features(made_up_features().clips, {"en": 2.0})}, "begun with other teacher features"),
    ],
)
def test_another_training_does_not_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.safetensors").write_bytes(b"weights")
    checkpoint = Path("a.ckpt")
    begun: dict[str, Any] = {
        "features": made_up_features(),
        "num_steps": 1,
        "seed": 0,
        "sizes": SIZES,
        "is_warm": False,
    }
    train(checkpoint=checkpoint, **begun)
    before = checkpoint.read_bytes()

    with pytest.raises(ConfigError, match=words):
        train(checkpoint=checkpoint, **begun | other)

    assert checkpoint.read_bytes() == before


def test_what_is_no_checkpoint_or_cut_off_is_one_line(tmp_path: Path) -> None:
    train(made_up_features(), tmp_path / "a.ckpt", num_steps=1, seed=0, sizes=SIZES, is_warm=False)
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "a.ckpt").read_bytes()[:500])
    (tmp_path / "notes.txt").write_text("notes")

    for name in ("cut.ckpt", "notes.txt"):
        for read in (read_checkpoint, load_features):
            with pytest.raises(FormatError, match=rf"{name} cannot be read") as caught:
                read(tmp_path / name)
            assert "\n" not in str(caught.value)


def test_exported_weights_are_an_encoder(tmp_path: Path) -> None:
    result = train(made_up_features(), tmp_path / "a.ckpt", num_steps=1, seed=0, sizes=SIZES, is_warm=False)

    export(tmp_path / "a.ckpt", tmp_path / "mine.safetensors", made_up_features(), version="7")
    encoder = BuiltinContent(weights=str(tmp_path / "mine.safetensors"))

    assert encoder.encode(np.zeros(1600, np.float32)).shape == (10, 8)
    assert encoder.identity["version"] == "7"
    assert -1 <= result.cosine <= 1


def test_export_never_replaces_weights(tmp_path: Path) -> None:
    train(made_up_features(), tmp_path / "a.ckpt", num_steps=1, seed=0, sizes=SIZES, is_warm=False)
    (tmp_path / "mine.safetensors").touch()

    with pytest.raises(ConfigError, match="exists"):
        export(tmp_path / "a.ckpt", tmp_path / "mine.safetensors", made_up_features(), version="1")
