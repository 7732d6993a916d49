"""How wide and deep a voice of RVC is stands in its weights, for every decoder, as its programs read it from a list."""

from pathlib import Path

import pytest
import torch

from tests.tools.rvc_tools import applio_voice, saved, small_generator
from utils.export.rvc.imported_voice import load_imported_network
from utils.rvc.layout import shapes_of
from utils.rvc.matching import network_weights
from utils.rvc.vocoders import Vocoder
from utils.rvc.widths import width_overrides

WIDTHS = {
    "hidden_channels": 8, "filter_channels": 16, "kernel_size": 3, "num_heads": 2, "num_layers": 1,
    "posterior_layers": 2, "upsample_channels": 32, "speaker_dim": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "vocoder"),
    [("rvc_v2_48k", "HiFi-GAN"), ("rvc_mrf_24k", "MRF HiFi-GAN"), ("rvc_refinegan_32k", "RefineGAN")],
)
def test_the_widths_of_a_network_are_told_by_its_shapes(model: str, vocoder: Vocoder) -> None:
    shapes = shapes_of(network_weights(small_generator(model)))

    assert width_overrides(shapes, vocoder) == [f"model.{name}={value}" for name, value in WIDTHS.items()]


def test_what_shapes_do_not_say_is_left_to_the_published_network() -> None:
    assert width_overrides({"emb_g.weight": (109, 256), "enc_p.emb_phone.weight": (192,)}, None) == [
        "model.hidden_channels=192", "model.speaker_dim=256",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_voice_narrower_than_the_published_ones_is_read(tmp_path: Path) -> None:
    network = small_generator()
    path = saved(tmp_path / "bob.pth", applio_voice(network))

    loaded = load_imported_network(path)

    expected = network.state_dict()
    for name, value in loaded.model.state_dict().items():
        if not name.startswith("enc_q."):
            torch.testing.assert_close(value, expected[name].half().float(), rtol=0, atol=0)
