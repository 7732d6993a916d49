"""Made-up teacher features and small sizes for the recipe of the content encoder."""

from pathlib import Path

import torch

from recipes.content_encoder.examples import ContentExamples, LabelledClip
from recipes.content_encoder.student import StudentSizes
from recipes.content_encoder.target_space import fit_space
from recipes.content_encoder.teacher_features import Clip, Features
from recipes.corpora import Recording
from recipes.sound_augmentation import SoundAugmentation

SIZES = StudentSizes(channels=16, num_layers=1, num_heads=2, rotary_dim=4, past=4, future=2, dim=8, num_units=4)


def made_up_features(num_clips: int = 6) -> Features:
    generator = torch.Generator().manual_seed(0)
    clips = []
    for index in range(num_clips):
        speaker = f"{index % 3}"
        recording = Recording("en", speaker, Path(f"{speaker}-{index}.wav"), is_held_out=speaker == "0")
        audio = torch.randint(-9000, 9000, (170 * 320,), generator=generator).to(torch.int16)
        clips.append(Clip(recording, audio, torch.randn(170, 12, generator=generator).half()))
    return Features(clips, {"en": 1.0})


def made_up_examples(
    features: Features | None = None,
    *,
    seed: int = 0,
    augmentation: SoundAugmentation | None = None,
    batch_size: int = 16,
    num_frames: int = 150,
) -> ContentExamples:
    """Return examples of such features in their own target space."""
    features = features or made_up_features()
    space = fit_space([clip.feature for clip in features.clips], dim=SIZES.dim, num_units=SIZES.num_units, seed=0)
    return ContentExamples(
        features, space, seed=seed, augmentation=augmentation, batch_size=batch_size, num_frames=num_frames
    )


def ramp_clip(num_frames: int) -> LabelledClip:
    """A clip whose sample at time t (in frames) is t / 1000 and whose targets point at the angle of their centres."""
    audio = (torch.arange(num_frames * 320) + 0.5) / 320 / 1000
    angle = (torch.arange(num_frames) + 0.5) / 1000
    target = torch.stack([angle.cos(), angle.sin()], dim=1)
    return LabelledClip((audio * 32767).round().to(torch.int16), target, torch.arange(num_frames))


def teacher_like(channels: int, num_layers: int) -> dict[str, torch.Tensor]:
    """Weights of the teacher's names for a small network."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "conv1.weight": (channels, 1, 127), "conv2.weight": (2 * channels, channels, 7), "conv2.bias": (2 * channels,),
        "conv3.weight": (channels, 2 * channels, 3), "conv3.bias": (channels,), "layer_norm.weight": (channels,),
        "groupnorm.weight": (channels,), "groupnorm.bias": (channels,),
    }  # fmt: skip
    for layer in range(num_layers):
        names = ["q_proj", "k_proj", "v_proj", "o_proj"]
        shapes |= {f"layers.{layer}.self_attn.{name}.weight": (channels, channels) for name in names}
        shapes |= {
            f"layers.{layer}.mlp.fc1.weight": (4 * channels, channels), f"layers.{layer}.mlp.fc1.bias": (4 * channels,),
            f"layers.{layer}.mlp.fc2.weight": (channels, 4 * channels), f"layers.{layer}.mlp.fc2.bias": (channels,),
            f"layers.{layer}.input_layernorm.weight": (channels,),
            f"layers.{layer}.post_attention_layernorm.weight": (channels,),
        }  # fmt: skip
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
