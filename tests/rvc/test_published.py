"""The published networks of RVC: numbering of their parameters, and how they are recognised."""

from typing import Any

import pytest

from tests.tools.rvc_tools import (
    published_parameters,
    small_generator,
)
from utils.errors import FormatError
from utils.rvc.layout import layout_of, legacy_state, published_order, shapes_of


@pytest.mark.parametrize(
    ("table", "order"),
    [
        ("v1_40k_rvc_webui", "rvc_webui"),
        ("v2_48k_applio", "applio"),
        ("v2_discriminator", "applio"),
        ("v2_discriminator", "rvc_webui"),
    ],
)
def test_parameters_are_numbered_as_each_program_does(table: str, order: Any) -> None:
    names = list(published_parameters()[table])

    assert published_order(sorted(names), order) == names


def test_the_programs_differ_in_where_the_source_convolutions_stand() -> None:
    names = list(published_parameters()["v2_48k_applio"])

    webui = published_order(names, "rvc_webui")

    assert webui != names and sorted(webui) == sorted(names)
    assert webui.index("dec.noise_convs.0.weight") < webui.index("dec.conv_pre.weight")
    assert names.index("dec.noise_convs.0.weight") > names.index("dec.ups.3.weight_v")


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("v1_40k_rvc_webui", "generator v1 40k with f0"),
        ("v2_48k_applio", "generator v2 48k with f0"),
        ("v2_discriminator", "discriminator v2"),
    ],
)
def test_published_networks_are_recognised(table: str, name: str) -> None:
    layout = layout_of({key: tuple(shape) for key, shape in published_parameters()[table].items()})

    assert str(layout) == name
    assert layout.num_speakers == (0 if "discriminator" in name else 109)


def test_the_config_list_is_the_published_one() -> None:
    shapes = {key: tuple(shape) for key, shape in published_parameters()["v2_48k_applio"].items()}

    values = layout_of(shapes).fits[0].config_list(shapes)

    assert values == [
        1025, 32, 192, 192, 768, 2, 6, 3, 0, "1", [3, 7, 11], [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
        [12, 10, 2, 2], 512, [24, 20, 4, 4], 109, 256, 48000,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("model", ["v1_32k", "v1_40k", "v1_48k", "v2_32k", "v2_40k", "v2_48k"])
@pytest.mark.parametrize("use_f0", ["true", "false"])
def test_our_networks_have_the_layout_of_their_name(model: str, use_f0: str) -> None:
    network = small_generator(
        f"rvc_{model}", f"model.use_f0={use_f0}", content_dim=256 if model.startswith("v1") else 768
    )

    layout = layout_of(shapes_of(legacy_state(network.state_dict())))

    assert [item.name for item in layout.fits] == [model.replace("_", " ")]
    assert layout.has_f0 == (use_f0 == "true") and layout.has_posterior


def test_other_vocoders_are_named() -> None:
    shapes = {key: tuple(shape) for key, shape in published_parameters()["v2_48k_applio"].items()}
    shapes = {key.replace("dec.ups", "dec.rings"): shape for key, shape in shapes.items()}

    with pytest.raises(FormatError, match=r"none of HiFi-GAN, MRF HiFi-GAN, RefineGAN \(it has dec.rings\)"):
        layout_of(shapes)
