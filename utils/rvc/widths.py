"""How wide and deep a generator of RVC is: what its programs read from the list under "config" stands in its shapes."""

import re
from collections.abc import Mapping

from utils.rvc.vocoders import DECODERS, Vocoder

Shapes = Mapping[str, tuple[int, ...]]

PRIOR, NEAR = "enc_p.encoder.ffn_layers.0.conv_1.weight", "enc_p.encoder.attn_layers.0.emb_rel_k"
BLOCKS = r"enc_p\.encoder\.attn_layers\.(\d{1,3})\."
POSTERIOR_BLOCKS = r"enc_q\.enc\.in_layers\.(\d{1,3})\."


def width_overrides(shapes: Shapes, vocoder: Vocoder | None) -> list[str]:
    """Return the settings that compose a model of these shapes; what they do not say stays as published.

    Args:
        shapes: of a generator, under the names of files.
        vocoder: kind of its decoder.
    """
    decoder = DECODERS[vocoder or "HiFi-GAN"]
    hidden, head = _size(shapes, "enc_p.emb_phone.weight", 0), _size(shapes, NEAR, 2)
    found = {
        "hidden_channels": hidden,
        "filter_channels": _size(shapes, PRIOR, 0),
        "kernel_size": _size(shapes, PRIOR, 2),
        "num_heads": hidden // head if head else 0,
        "num_layers": _count(shapes, BLOCKS),
        "posterior_layers": _count(shapes, POSTERIOR_BLOCKS),
        "upsample_channels": decoder.first_share * _size(shapes, decoder.first, 0),
        "speaker_dim": _size(shapes, "emb_g.weight", 1),
    }
    return [f"model.{name}={value}" for name, value in found.items() if value > 0]


def _size(shapes: Shapes, name: str, axis: int) -> int:
    return (*shapes.get(name, ()), 0, 0, 0)[axis]


def _count(shapes: Shapes, pattern: str) -> int:
    return len({match[1] for name in shapes if (match := re.match(pattern, name))})
