"""What RVC's files hold: recognised, checked against themselves, and written so that the other programs read them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tools.rvc_tools import (
    SMALL_CONFIG,
    applio_voice,
    published_parameters,
    saved,
    shared_weights,
    small_discriminator,
    small_generator,
    training_file,
    webui_voice,
)
from utils.errors import FormatError
from utils.rvc.layout import PUBLISHED, layout_of, legacy_state, published_order, shapes_of
from utils.rvc.matching import compare
from utils.rvc.reading import ForeignFile, read_foreign
from utils.rvc.writing import (
    VoiceRecord,
    optimizer_content,
    training_content,
    voice_content,
    with_published_speakers,
    with_rows,
)


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        read_foreign(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def record(**changes: Any) -> VoiceRecord:
    values: dict[str, Any] = {
        "name": "bob",
        "published": next(item for item in PUBLISHED if item.name == "v2 48k"),
        "has_f0": True,
        "epoch": 12,
        "step": 3400,
        "speakers": ("bob",),
        "embedder": "contentvec",
        "f0_convention": "zero_unvoiced",
        "dataset_seconds": 3725.4,
        "created": "2026-11-21T12:00:00+00:00",
        "own": {"licence": "CC0"},
    }
    return VoiceRecord(**{**values, **changes})


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
    shapes = {key.replace("dec.ups", "dec.mrfs"): shape for key, shape in shapes.items()}

    with pytest.raises(FormatError, match=r"not RVC's HiFi-GAN \(it has dec.mrfs\)"):
        layout_of(shapes)


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
        ({"vocoder": "RefineGAN"}, "has the vocoder 'RefineGAN'"),
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


def test_a_written_voice_reads_back_with_equal_weights_in_half_precision(tmp_path: Path) -> None:
    network = small_generator(num_speakers=2)
    content = voice_content(network.state_dict(), record(speakers=("ann", "bob"), f0_convention="interpolated"))

    file: ForeignFile = read_foreign(saved(tmp_path / "pair.pth", content))

    assert file.weights.keys() == shared_weights(network).keys()
    for name, value in shared_weights(network).items():
        torch.testing.assert_close(file.weights[name], value, rtol=0, atol=0)
    assert (file.program, file.f0_convention, file.embedder) == ("voclo_trainer", "interpolated", "contentvec")
    assert (file.epoch, file.step, file.speakers) == (12, 3400, ("ann", "bob"))


def test_a_written_voice_has_the_fields_of_both_programs(tmp_path: Path) -> None:
    content = voice_content(small_generator().state_dict(), record())

    assert content["config"] == [*webui_voice(small_generator())["config"][:-3], 1, 4, 48000]
    shown = {key: value for key, value in content.items() if key not in ("weight", "config", "model_hash")}
    assert shown == {
        "info": "12epoch", "sr": "48k", "f0": 1, "version": "v2", "epoch": 12, "step": 3400,
        "creation_date": "2026-11-21T12:00:00+00:00", "dataset_length": "01:02:05", "model_name": "bob",
        "author": "not stated", "embedder_model": "contentvec", "speakers_id": 1, "vocoder": "HiFi-GAN",
        "voclo_trainer": {
            "schema_version": 1, "f0_convention": "zero_unvoiced", "embedder": "contentvec", "speakers": ["bob"],
            "step": 3400, "licence": "CC0",
        },
    }  # fmt: skip
    assert not [name for name in content["weight"] if "enc_q" in name]
    assert {value.dtype for value in content["weight"].values()} == {torch.float16}


def test_the_hash_of_a_voice_is_of_its_weights() -> None:
    first, same, other = (
        voice_content(small_generator(seed=seed).state_dict(), record(name=name))["model_hash"]
        for seed, name in ((0, "a"), (0, "b"), (1, "a"))
    )

    assert first == same != other


def trained(network: torch.nn.Module) -> dict[str, Any]:
    """State of AdamW after a step in which every parameter had a gradient of its own."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.8, 0.99), eps=1e-9)
    for index, parameter in enumerate(network.parameters()):
        parameter.grad = torch.full_like(parameter, float(index + 1))
    optimizer.step()
    return optimizer.state_dict()


@pytest.mark.parametrize("order", ["rvc_webui", "applio"])
def test_moments_follow_their_parameters_into_the_order_of_a_program(order: Any) -> None:
    network = small_generator(num_speakers=2)
    names = [name for name, _ in network.named_parameters()]

    content = optimizer_content(trained(network), names, order, 109)

    theirs = published_order(names, order)
    assert content["param_groups"][0]["params"] == list(range(len(names)))
    for index, name in enumerate(theirs):
        moment = content["state"][index]["exp_avg"]
        shape = dict(network.named_parameters())[name].shape
        if name == "emb_g.weight":
            assert moment.shape == (109, 4) and not moment[2:].any()
            moment, shape = moment[:2], torch.Size([2, 4])
        assert moment.shape == shape
        torch.testing.assert_close(moment, torch.full(shape, 0.2 * (names.index(name) + 1)))


def test_a_resuming_program_can_load_optimizer_and_continue_its_schedule(tmp_path: Path) -> None:
    network = small_generator(num_speakers=109)
    names = [name for name, _ in network.named_parameters()]
    content = training_content(
        network.state_dict(),
        optimizer_content(trained(network), names, "applio", 109),
        record(),
        learning_rate=1e-4,
    )

    read = torch.load(saved(tmp_path / "G_3400.pth", content), weights_only=True)

    assert list(read)[:4] == ["model", "iteration", "optimizer", "learning_rate"]
    assert (read["iteration"], read["learning_rate"]) == (12, 1e-4)
    # the network of the other program registers the same parameters in its own order
    parameters = [torch.nn.Parameter(read["model"][name].clone()) for name in published_order(names, "applio")]
    optimizer = torch.optim.AdamW(parameters, lr=1.0)
    optimizer.load_state_dict(read["optimizer"])
    torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.999875, last_epoch=read["iteration"] - 1)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.99)


def test_without_an_order_no_moment_is_written_and_any_program_can_load_it() -> None:
    network = small_generator()
    names = [name for name, _ in network.named_parameters()]

    content = optimizer_content(trained(network), names, None, 1)

    assert content["state"] == {}
    torch.optim.AdamW(network.parameters()).load_state_dict(content)


def test_the_speaker_table_grows_to_the_published_size_by_the_mean() -> None:
    weights = small_generator(num_speakers=3).state_dict()

    table = with_published_speakers(weights)["emb_g.weight"]

    torch.testing.assert_close(table[:3], weights["emb_g.weight"], rtol=0, atol=0)
    torch.testing.assert_close(table[3:], weights["emb_g.weight"].mean(0).expand(106, -1))
    assert with_rows(table, 5, fill=0.0) is table
