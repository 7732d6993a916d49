"""Files of RVC are recognised and checked against themselves."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tools.rvc_tools import (
    SMALL_CONFIG,
    applio_voice,
    saved,
    shared_weights,
    small_discriminator,
    small_generator,
    training_file,
    webui_voice,
)
from utils.errors import FormatError
from utils.rvc.matching import compare
from utils.rvc.reading import read_foreign


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        read_foreign(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_voice_of_rvc_webui_is_read(tmp_path: Path) -> None:
    network = small_generator(num_speakers=3)

    file = read_foreign(saved(tmp_path / "bob.pth", webui_voice(network)))

    assert (file.kind, file.program, file.sample_rate, file.epoch) == ("voice", "rvc_webui", 48000, 300)
    assert (file.embedder, file.f0_convention) == ("contentvec", None)
    assert str(file.layout) == "generator v2 48k with f0" and file.layout.num_speakers == 3
    assert not file.layout.has_posterior
    assert all(torch.equal(value, file.weights[name]) for name, value in shared_weights(network).items())


def test_a_voice_of_applio_is_read(tmp_path: Path) -> None:
    content = applio_voice(small_generator(), embedder_model="spin")

    file = read_foreign(saved(tmp_path / "bob.pth", content))

    assert (file.program, file.sample_rate, file.epoch, file.step) == ("applio", 48000, 200, 4200)
    assert (file.embedder, file.f0_convention, file.trained_speakers) == ("spin", "zero_unvoiced", 1)


def test_a_blended_voice_of_applio_does_not_say_its_embedder(tmp_path: Path) -> None:
    content = applio_voice(small_generator(), embedder_model=None, author=None, model_hash=None)

    assert read_foreign(saved(tmp_path / "blend.pth", content)).embedder is None


def test_names_of_parametrizations_are_those_of_files(tmp_path: Path) -> None:
    network = small_generator()
    renamed = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): value
        for name, value in network.state_dict().items()
    }
    assert renamed.keys() != network.state_dict().keys()

    file = read_foreign(saved(tmp_path / "G.pth", {"model": renamed}))

    assert file.weights.keys() == network.state_dict().keys()


def test_pretrained_networks_are_told_apart(tmp_path: Path) -> None:
    generator = read_foreign(training_file(tmp_path / "f0G48k.pth", small_generator(num_speakers=109)))
    discriminator = read_foreign(training_file(tmp_path / "f0D48k.pth", small_discriminator("v1")))

    assert (generator.kind, generator.sample_rate, generator.epoch) == ("training", 48000, 30)
    assert generator.layout.has_posterior and generator.layout.num_speakers == 109
    assert str(discriminator.layout) == "discriminator v1"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "v1"}, "says version v1, but its content input has 768 values (v2)"),
        ({"version": None}, "says version v1, but its content input has 768 values (v2)"),
        ({"sr": "40k"}, "sr says 40000 Hz, its 'config' 48000 Hz"),
        ({"f0": 0}, "says without f0"),
        ({"config": None}, "should be a list of 18 values, found none"),
        ({"config": [1, 2]}, "found 2 values"),
        ({"weight": {}}, "no table of weights"),
        ({"weight": {"a": 1}}, "is no tensor"),
        (
            {"weight": {"a": torch.zeros(1)}},
            "keys of RVC's generator are missing: enc_p.emb_phone.weight, emb_g.weight",
        ),
        ({"weight": None}, "has neither 'weight' nor 'model', but config, f0, info, sr, version"),
        ({"vocoder": "RingFormer"}, "has the vocoder 'RingFormer'; HiFi-GAN, MRF HiFi-GAN, RefineGAN are read"),
        ({"vocoder": "Refine\n" * 99}, "has the vocoder 'Refine\\nRefine\\n"),
        ({"version": "v\n2"}, "says version 'v\\n2', but its content input"),
        ({"f0": torch.ones(2)}, "'f0' should be a number or a text, found a value of type Tensor"),
        ({"sr": "²k", "config": [*SMALL_CONFIG, 1, 4, "²k"]}, "its 'config' ends with '²k' instead of a sample rate"),
        ({"config": [*SMALL_CONFIG, 1, 4, 9**600]}, "ends with a number of many digits instead of a sample rate"),
        ({"config": [*SMALL_CONFIG, 1, 4, "9" * 5000]}, "ends with '9999"),
        ({"config": [*SMALL_CONFIG[:14], [24, 20, "4", 4], 1, 4, 48000]}, "value 14 of its 'config' should be a list"),
        ({"config": [*SMALL_CONFIG[:11], [1], *SMALL_CONFIG[12:], 1, 4, 48000]}, "value 11 of its 'config' should be"),
        ({"embedder_model": "a\nb"}, "'embedder_model' should be a name of one line, found 'a\\nb'"),
        (
            {"voclo_trainer": {"speakers": [["a"]]}},
            "'speakers' should be a name of one line, found a value of type",
        ),
        ({"voclo_trainer": {"f0_convention": "guessed"}}, "has the f0 convention 'guessed'"),
    ],
)
def test_a_voice_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator(), **changes))

    assert reason in refusal(path)


def test_a_decoder_of_another_rate_than_the_file_says_is_refused(tmp_path: Path) -> None:
    content = webui_voice(small_generator(), sr="32k")
    content["config"][-1] = 32000

    assert "says 32000 Hz, but its decoder is that of 48000 Hz" in refusal(saved(tmp_path / "bob.pth", content))


@pytest.mark.parametrize(
    ("claimed", "changes", "reason"),
    [
        (48000, {}, None),
        (32000, {}, "its 'config' ends with 32000 Hz and has the upsample factors [10, 6, 2, 2, 2]"),
        (48000, {12: [10, 4, 2, 2, 2]}, "the upsample factors [10, 4, 2, 2, 2]; RVC v1 48k has [10, 6, 2, 2, 2]"),
        (48000, {14: [16, 16, 4, 4]}, "the upsample kernels [16, 16, 4, 4]; RVC v1 48k has [16, 16, 4, 4, 4]"),
        (48000, {0: 513}, "the spectrogram bins 513; RVC v1 48k has 1025"),
    ],
)
def test_a_voice_without_f0_whose_config_is_of_another_rate_is_refused(
    tmp_path: Path, claimed: int, changes: dict[int, Any], reason: str | None
) -> None:
    network = small_generator("rvc_v1_48k", "model.use_f0=false", content_dim=256)
    values = [*SMALL_CONFIG[:12], [10, 6, 2, 2, 2], 32, [16, 16, 4, 4, 4], 1, 4, claimed]
    config = [changes.get(index, value) for index, value in enumerate(values)]
    content = webui_voice(network, config=config, sr=f"{claimed // 1000}k", f0=0, version="v1")
    path = saved(tmp_path / "bob.pth", content)

    if reason is None:
        assert read_foreign(path).sample_rate == claimed
    else:
        assert reason in refusal(path)


UNFOLDED: Any = "x"
for _ in range(40):  # shared lists inside each other: 2 to the power of 40 texts when written out
    UNFOLDED = [UNFOLDED, UNFOLDED]


@pytest.mark.parametrize(
    "field",
    [
        "info",
        "sr",
        "vocoder",
        "version",
        "f0",
        "epoch",
        "step",
        "speakers_id",
        "embedder_model",
        "config",
        "weight",
        0,
        12,
    ],
)
def test_lists_that_unfold_without_end_are_refused_at_once(tmp_path: Path, field: str | int) -> None:
    content = webui_voice(small_generator())
    if isinstance(field, int):
        content["config"][field] = UNFOLDED
    else:
        content[field] = {"a": UNFOLDED} if field == "weight" else [UNFOLDED] * 18 if field == "config" else UNFOLDED

    assert len(refusal(saved(tmp_path / "bob.pth", content))) < 200 + len(str(tmp_path))


@pytest.mark.parametrize("field", ["f0_convention", "speakers", "embedder", "step"])
def test_what_this_workbench_records_may_not_unfold_either(tmp_path: Path, field: str) -> None:
    content = webui_voice(small_generator(), voclo_trainer={field: UNFOLDED})

    assert "it is no RVC file" in refusal(saved(tmp_path / "bob.pth", content))


def test_numbers_of_any_size_are_read_as_unknown(tmp_path: Path) -> None:
    content = applio_voice(small_generator(), epoch=10**600, step=float("inf"), info="²epoch", speakers_id=-1)

    file = read_foreign(saved(tmp_path / "bob.pth", content))

    assert (file.epoch, file.step, file.trained_speakers) == (0, 0, 0)


def test_a_prefix_of_training_on_several_devices_is_taken_off(tmp_path: Path) -> None:
    content = webui_voice(small_generator())
    content["weight"] = {f"module.{name}": value for name, value in content["weight"].items()}

    file = read_foreign(saved(tmp_path / "bob.pth", content))

    assert file.weights.keys() == shared_weights(small_generator()).keys()


@pytest.mark.parametrize("number", ["00", "٣", "9" * 5000])
def test_numbers_in_names_that_are_no_numbers_do_not_count(tmp_path: Path, number: str) -> None:
    content = webui_voice(small_generator())
    content["weight"][f"dec.ups.{number}.weight_v"] = torch.zeros(1, 1, 1)

    assert str(read_foreign(saved(tmp_path / "bob.pth", content)).layout) == "generator v2 48k with f0"


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    content = webui_voice(small_generator())
    content["weight"]["dec.conv_pre.bias"][3] = float("nan")

    assert "dec.conv_pre.bias holds NaN or infinity" in refusal(saved(tmp_path / "bob.pth", content))
    content["weight"]["dec.conv_pre.bias"] = torch.zeros(32, dtype=torch.int64)
    assert "holds torch.int64" in refusal(saved(tmp_path / "bob.pth", content))


def test_the_comparison_names_every_parameter_with_its_shape() -> None:
    match = compare({"a": (1,), "b": (2, 3), "d": (4,)}, {"a": (1,), "b": (3, 2), "c": (5,)})

    assert match.rows() == [
        ["missing", "c [5]"],
        ["unexpected", "d [4]"],
        ["different", "b [2, 3] instead of [3, 2]"],
        ["matched", "a [1]"],
    ]
    assert not match.is_complete
    assert match.summary() == (
        "1 parameters matched; 1 missing (c [5]); 1 unexpected (d [4]); 1 different (b [2, 3] instead of [3, 2])"
    )
