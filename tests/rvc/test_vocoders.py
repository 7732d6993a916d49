"""Voices of Applio with other decoders than RVC's, and the programs by their own fields."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tools.rvc_tools import (
    SMALL_CONFIG,
    applio_voice,
    saved,
    small_discriminator,
    small_generator,
    training_file,
    webui_voice,
)
from utils.errors import FormatError
from utils.rvc.layout import PUBLISHED, layout_of, published_order
from utils.rvc.reading import read_foreign
from utils.rvc.writing import VoiceRecord, voice_content

PARAMETERS = Path(__file__).resolve().parents[1] / "golden" / "applio_parameters.json"
STAGES = {24000: [[10, 6, 2, 2], [20, 12, 4, 4]], 48000: [[12, 10, 2, 2], [24, 20, 4, 4]]}


def voice_of(model: str, **changes: Any) -> dict[str, Any]:
    """Return the content of a voice of Applio with a small network of one of our models."""
    network = small_generator(model)
    rate = 1000 * int(model[-3:-1])
    factors, kernels = STAGES[rate]
    config = [513 if rate == 24000 else 1025, *SMALL_CONFIG[1:12], factors, 32, kernels, 1, 4, rate]
    return applio_voice(network, **{"sr": rate, "config": config, **changes})


@pytest.mark.parametrize(
    ("model", "vocoder", "name"),
    [
        ("rvc_v2_24k", "HiFi-GAN", "generator v2 24k with f0"),
        ("rvc_mrf_48k", "MRF HiFi-GAN", "generator v2 48k MRF HiFi-GAN with f0"),
        ("rvc_refinegan_24k", "RefineGAN", "RefineGAN"),
    ],
)
def test_voices_of_every_vocoder_are_read(model: str, vocoder: str, name: str, tmp_path: Path) -> None:
    file = read_foreign(saved(tmp_path / "bob.pth", voice_of(model, vocoder=vocoder)))

    assert name in str(file.layout) and file.layout.vocoder == vocoder
    rate = 1000 * int(model[-3:-1])
    assert [item.options for item in file.layout.fits if item.sample_rate == rate] == [(model, f"rvc_{model[-3:]}")]


@pytest.mark.parametrize(
    ("model", "said"), [("rvc_mrf_48k", "HiFi-GAN"), ("rvc_v2_48k", "RefineGAN"), ("rvc_refinegan_48k", "MRF HiFi-GAN")]
)
def test_a_file_that_names_another_vocoder_than_it_has_is_refused(model: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=f"says vocoder {said}, but its decoder is that of"):
        read_foreign(saved(tmp_path / "bob.pth", voice_of(model, vocoder=said)))


def test_the_rate_of_a_refinegan_pair_is_that_of_its_posterior(tmp_path: Path) -> None:
    file = read_foreign(training_file(tmp_path / "f0G24k.pth", small_generator("rvc_refinegan_24k")))

    assert {item.sample_rate for item in file.layout.fits} == {24000, 32000}
    assert file.sample_rate is None  # nothing in it tells the two apart


def test_discriminator_v3_is_not_taken_for_v2(tmp_path: Path) -> None:
    files = [
        read_foreign(training_file(tmp_path / f"{version}.pth", small_discriminator(version)))
        for version in ("v2", "v3")
    ]

    assert [str(file.layout) for file in files] == ["discriminator v2", "discriminator v3"]


@pytest.mark.parametrize("name", ["applio_mrf_48k", "applio_refinegan_32k", "applio_discriminator_v3"])
def test_parameters_are_numbered_as_applio_does(name: str) -> None:
    names = list(json.loads(PARAMETERS.read_text(encoding="utf-8"))[name])

    assert published_order(sorted(names), "applio") == names


@pytest.mark.parametrize(("name", "rate"), [("applio_mrf_48k", 48000), ("applio_refinegan_32k", 32000)])
def test_the_config_list_of_a_vocoder_is_that_of_its_rate(name: str, rate: int) -> None:
    shapes = {key: tuple(shape) for key, shape in json.loads(PARAMETERS.read_text(encoding="utf-8"))[name].items()}
    published = next(item for item in layout_of(shapes).fits if item.sample_rate == rate)

    values = published.config_list(shapes)

    assert values[:12] == [
        published.num_bins, 32, 192, 192, 768, 2, 6, 3, 0, "1", [3, 7, 11], [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    ]  # fmt: skip
    assert values[12:] == [
        list(published.upsample_rates), 512, list(published.upsample_kernels), 109, 256, rate,
    ]  # fmt: skip


@pytest.mark.parametrize("model", ["rvc_mrf_48k", "rvc_refinegan_24k"])
def test_a_written_voice_is_read_as_what_it_was(model: str, tmp_path: Path) -> None:
    published = next(item for item in PUBLISHED if item.options[0] == model)
    record = VoiceRecord(
        name="bob", published=published, has_f0=True, epoch=3, step=9, speakers=("bob", "eve"), embedder="spin",
        f0_convention="zero_unvoiced", dataset_seconds=60.0, created="2026-12-01", own={},
    )  # fmt: skip
    network = small_generator(model, num_speakers=2)

    content = voice_content(network.state_dict(), record)
    file = read_foreign(saved(tmp_path / "bob.pth", content))

    assert (content["vocoder"], content["embedder_model"]) == (published.vocoder, "spin")
    assert content["speaker_info"] == [{"id": 0, "name": "bob"}, {"id": 1, "name": "eve"}]
    assert file.speakers == ("bob", "eve")
    assert file.layout.vocoder == published.vocoder and file.sample_rate == published.sample_rate


@pytest.mark.parametrize(
    ("fields", "program", "embedder", "convention"),
    [
        ({"creation_date": "2026-10-01", "f0_median": 190.5}, "rvc_next", "contentvec", "interpolated"),
        ({"f0_median": 190.5, "embedder_model": "spin"}, "rvc_next", "spin", "interpolated"),
        ({"embedder_model": "spin"}, "rvc_webui", "spin", None),
        ({"creation_date": "2026-10-01"}, "rvc_webui", "contentvec", None),
        ({"vocoder": "HiFi-GAN"}, "applio", None, "zero_unvoiced"),
        ({"model_hash": "0" * 64}, "applio", None, "zero_unvoiced"),
    ],
)
def test_programs_are_known_by_their_own_fields(
    fields: dict[str, Any], program: str, embedder: str | None, convention: str | None, tmp_path: Path
) -> None:
    file = read_foreign(saved(tmp_path / "bob.pth", webui_voice(small_generator(), **fields)))

    assert (file.program, file.embedder, file.f0_convention) == (program, embedder, convention)


@pytest.mark.parametrize(
    ("info", "names"),
    [
        ({0: "bob", 1: "eve"}, ("bob", "eve")),
        ({"1": "eve"}, ("row 0", "eve")),
        ({"x": "bob", 7: "far"}, ()),
        (["bob"], ()),
        ([{"id": 0, "name": "bob"}, {"id": 1, "name": "eve"}, {"id": 9, "name": "far"}, {"id": 1}], ("bob", "eve")),
        (None, ()),
    ],
)
def test_names_of_speakers_are_read(info: Any, names: tuple[str, ...], tmp_path: Path) -> None:
    content = webui_voice(small_generator(num_speakers=2), speaker_info=info)

    assert read_foreign(saved(tmp_path / "bob.pth", content)).speakers == names


def test_a_name_of_a_speaker_that_is_no_line_is_refused(tmp_path: Path) -> None:
    content = webui_voice(small_generator(), speaker_info={0: "a\nb"})

    with pytest.raises(FormatError, match="'speaker_info' should be a name of one line"):
        read_foreign(saved(tmp_path / "bob.pth", content))
