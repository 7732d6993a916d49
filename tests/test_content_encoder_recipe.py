"""The recipe of the content encoder, on tiny networks and made-up features."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.content_encoder_recipe import prompts
from benchmarks.content_encoder_recipe.augmentation import add_noise, smear, warp_matrix
from benchmarks.content_encoder_recipe.corpora import (
    Recording,
    choose_held_out,
    list_recordings,
    parse_corpus,
    parse_held_out,
)
from benchmarks.content_encoder_recipe.distil import (
    Distillation,
    Sizes,
    export,
    learning_rate,
    losses,
    read_checkpoint,
    train,
)
from benchmarks.content_encoder_recipe.material import (
    IGNORED,
    Batch,
    Lesson,
    Material,
    cut,
    fit_space,
    interpolate,
    spherical_kmeans,
)
from benchmarks.content_encoder_recipe.teacher import (
    TEACHER_CENTRE,
    TEACHER_HOP,
    Clip,
    Features,
    align,
    load_features,
    mel_power,
    minutes_table,
    save_features,
    set_level,
)
from utils.errors import ConfigError, DataError
from utils.features.content.builtin import BuiltinContent, LogMelFront

SIZES = Sizes(channels=16, num_blocks=1, kernel_size=3, dim=8, num_units=4)


def made_up_features(num_clips: int = 6) -> Features:
    generator = torch.Generator().manual_seed(0)
    clips = []
    for index in range(num_clips):
        speaker = f"{index % 3}"
        recording = Recording("en", speaker, Path(f"{speaker}-{index}.wav"), is_held_out=speaker == "0")
        mel = torch.rand(340, 80, generator=generator)
        clips.append(Clip(recording, mel, torch.randn(170, 12, generator=generator).half()))
    return Features(clips, {"en": 1.0})


def ramp_lesson(num_frames: int) -> Lesson:
    """A clip whose mel frame i has the value i + 0.5 and whose target frame points at the angle of its centre."""
    mel = (torch.arange(num_frames) + 0.5)[:, None].expand(-1, 80).contiguous()
    angle = (torch.arange(num_frames // 2) * 2 + 1.0) / 1000
    return Lesson(mel, torch.stack([angle.cos(), angle.sin()], dim=1), torch.arange(num_frames // 2))


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


def test_mel_powers_are_those_of_the_shipped_front() -> None:
    audio = np.random.default_rng(0).standard_normal(1600).astype(np.float32) * 0.1

    expected = LogMelFront()(torch.from_numpy(audio)[None])[0]

    torch.testing.assert_close(torch.log(mel_power(audio) + 1e-6).T, expected, atol=1e-5, rtol=1e-5)


def test_features_survive_the_file(tmp_path: Path) -> None:
    features = made_up_features()

    save_features(tmp_path / "features.pt", features)
    again = load_features(tmp_path / "features.pt")

    assert again.shares == features.shares
    assert [clip.recording for clip in again.clips] == [clip.recording for clip in features.clips]
    torch.testing.assert_close(again.clips[3].mel, features.clips[3].mel)


def test_minutes_are_listed_apart_for_held_out_speakers() -> None:
    lines = minutes_table(made_up_features().clips).splitlines()

    assert [line.split()[:2] for line in lines[2:]] == [["en", "held"], ["en", "training"]]


# augmentation


def test_factor_one_leaves_the_frequency_axis() -> None:
    torch.testing.assert_close(warp_matrix(1.0), torch.eye(80), atol=1e-5, rtol=0)


def test_rows_of_a_warp_add_up_to_one() -> None:
    torch.testing.assert_close(warp_matrix(1.2).sum(dim=1), torch.ones(80))


def test_echoes_decay() -> None:
    mel = torch.zeros(20, 80)
    mel[2] = 1.0

    heard = smear(mel, decay_frames=5, strength=0.5)[:, 0]

    ratio = math.exp(-1 / 5) * 0.5
    assert heard[2] == 1.0
    assert heard[3].item() == pytest.approx(0.12 * ratio)
    assert heard[5].item() == pytest.approx(0.12 * ratio**3)
    assert heard[:2].abs().sum() == 0


def test_noise_lies_below_the_signal_by_the_given_ratio() -> None:
    mel = torch.ones(200, 80)

    noise = add_noise(mel, np.random.default_rng(0), snr_db=10.0) - mel

    assert noise.mean().item() == pytest.approx(0.1, rel=1e-4)


# material


def test_positions_between_frames_are_interpolated() -> None:
    frames = torch.tensor([[0.0], [10.0], [20.0]])

    values = interpolate(frames, torch.tensor([0.0, 0.5, 1.25, 99.0]))[:, 0]

    torch.testing.assert_close(values, torch.tensor([0.0, 5.0, 12.5, 20.0]), atol=0.02, rtol=0)


@pytest.mark.parametrize("speed", [0.85, 1.0, 1.17])
def test_target_and_mel_of_an_example_speak_of_the_same_moment(speed: float) -> None:
    mel, target, _ = cut(ramp_lesson(400), 20, speed, 100)

    # the middle of the mel frames 2k and 2k + 1 in the clip's frames, beside the angle of the target
    middle = (mel[0::2, 0] + mel[1::2, 0]) / 2
    angle = torch.atan2(target[:, 1], target[:, 0]) * 1000

    torch.testing.assert_close(angle, middle, atol=0.05, rtol=0)


def test_frames_behind_the_end_carry_no_unit() -> None:
    _, _, unit = cut(ramp_lesson(60), 0, 1.0, 100)

    assert (unit[30:] == IGNORED).all()
    assert unit[:30].tolist() == list(range(30))


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

    torch.testing.assert_close(one.batch(7).mel, two.batch(7).mel)
    assert one.batch(7).mel.shape == (2, 80, 40)


def test_held_out_speakers_are_never_drawn() -> None:
    features = made_up_features()
    space = fit_space([clip.feature for clip in features.clips], dim=8, num_units=4, seed=0)

    material = Material(features, space)

    assert len(material.held_out) == 2
    assert sum(map(len, material._lessons.values())) == 4


# training


def test_perfect_output_has_no_loss_of_direction() -> None:
    target = torch.nn.functional.normalize(torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    batch = Batch(torch.zeros(2, 80, 10), target, torch.zeros(2, 5, dtype=torch.long))

    parts = losses(target * 2.0, torch.zeros(2, 5, 3), batch)

    assert parts["cosine"].item() == pytest.approx(0, abs=1e-6)
    assert parts["error"].item() == pytest.approx(0, abs=1e-6)  # outputs of length sqrt(D) = 2 are meant
    assert parts["mean"].item() == pytest.approx(0, abs=1e-6)
    assert parts["unit"].item() == pytest.approx(math.log(3))


def test_frames_behind_the_end_do_not_count() -> None:
    target = torch.nn.functional.normalize(torch.ones(1, 4, 4), dim=-1)
    output = target * 2.0
    output[:, 2:] = -1.0
    batch = Batch(torch.zeros(1, 80, 8), target, torch.tensor([[0, 0, IGNORED, IGNORED]]))

    assert losses(output, torch.zeros(1, 4, 3), batch)["cosine"].item() == pytest.approx(0, abs=1e-6)


def test_learning_rate_rises_and_falls_to_a_fiftieth() -> None:
    assert learning_rate(0, 8000) == pytest.approx(1e-3 / 300)
    assert learning_rate(8000, 8000) == pytest.approx(2e-5)
    assert max(learning_rate(step, 8000) for step in range(8000)) < 1e-3


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

    second = Distillation(SIZES, num_steps=4, seed=9)
    second.restore(read_checkpoint(tmp_path / "stopped.ckpt"))
    for step in range(2, 4):
        second.update(material.batch(step))

    torch.testing.assert_close(second.network.state_dict(), first.network.state_dict())


def test_another_number_of_steps_does_not_continue(tmp_path: Path) -> None:
    features = made_up_features()
    train(features, tmp_path / "a.ckpt", num_steps=1, seed=0, sizes=SIZES)

    with pytest.raises(ConfigError, match="was started with 1"):
        train(features, tmp_path / "a.ckpt", num_steps=2, seed=0, sizes=SIZES)


def test_exported_weights_are_an_encoder(tmp_path: Path) -> None:
    result = train(made_up_features(), tmp_path / "a.ckpt", num_steps=1, seed=0, sizes=SIZES)

    export(tmp_path / "a.ckpt", tmp_path / "mine.safetensors", version="7", articulation_bands=20)
    encoder = BuiltinContent(weights=str(tmp_path / "mine.safetensors"))

    assert encoder.encode(np.zeros(1600, np.float32)).shape == (10, 8 + 20)
    assert encoder.identity["version"] == "7"
    assert -1 <= result.cosine <= 1


def test_export_never_replaces_weights(tmp_path: Path) -> None:
    train(made_up_features(), tmp_path / "a.ckpt", num_steps=1, seed=0, sizes=SIZES)
    (tmp_path / "mine.safetensors").touch()

    with pytest.raises(ConfigError, match="exists"):
        export(tmp_path / "a.ckpt", tmp_path / "mine.safetensors", version="1", articulation_bands=20)
