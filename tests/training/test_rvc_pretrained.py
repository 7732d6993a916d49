"""Training begins with the published networks, or is refused in one line that leaves the network as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.toy import ToyVoice
from tests.tools.corpus_tools import described
from tests.tools.rvc_tools import (
    applio_voice,
    saved,
    small_discriminator,
    small_generator,
    training_file,
    webui_voice,
)
from utils.corpus.description import DatasetDescription
from utils.errors import WorkbenchError
from utils.training.pretrained import load_pretrained

CONTENTVEC = {"id": "contentvec"}


def dataset(num_speakers: int = 1, **identity: Any) -> DatasetDescription:
    names = [f"s{index}" for index in range(num_speakers)]
    return described(*names, content={**CONTENTVEC, **identity})


def load(network: nn.Module, path: Path, name: str = "pretrained.generator", **more: Any) -> str:
    rows = len(network.state_dict().get("emb_g.weight", [0]))
    return load_pretrained(network, str(path), name, dataset(rows), **more)


def refusal(network: nn.Module, path: Path, name: str = "pretrained.generator", **more: Any) -> str:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(WorkbenchError) as caught:
        load(network, path, name, **more)
    message = str(caught.value)
    assert "\n" not in message
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    return message


def assert_equal(network: nn.Module, other: nn.Module, *, but: tuple[str, ...] = ()) -> None:
    theirs = other.state_dict()
    for name, value in network.state_dict().items():
        if not name.startswith(but):
            torch.testing.assert_close(value, theirs[name], rtol=0, atol=0)


def test_a_generator_and_a_discriminator_are_taken_over(tmp_path: Path) -> None:
    generator, discriminator = small_generator(num_speakers=5, seed=1), small_discriminator(seed=1)
    ours, our_discriminator = small_generator(num_speakers=5), small_discriminator()

    said = load(ours, training_file(tmp_path / "f0G48k.pth", generator))
    load(our_discriminator, training_file(tmp_path / "f0D48k.pth", discriminator), "pretrained.discriminator")

    assert_equal(ours, generator)
    assert_equal(our_discriminator, discriminator)
    count = len(generator.state_dict())
    assert f"{count} parameters matched; 0 missing; 0 unexpected; 0 different" in said


def test_names_of_parametrizations_are_taken_over(tmp_path: Path) -> None:
    other, ours = small_generator(seed=1), small_generator()
    renamed = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): value.half()
        for name, value in other.state_dict().items()
    }

    load(ours, saved(tmp_path / "G.pth", {"model": renamed}))

    assert_equal(ours, other.half().float())


@pytest.mark.parametrize(
    ("speakers", "rows", "said"),
    [(None, [0, 1], "row(s) 0, 1 of the file's 9"), ([7, 7], [7, 7], "row(s) 7, 7"), ("mean", None, "at the mean")],
)
def test_the_speaker_table_is_fitted_and_the_line_says_how(
    tmp_path: Path, speakers: Any, rows: list[int] | None, said: str
) -> None:
    theirs, ours = small_generator(num_speakers=9, seed=1), small_generator(num_speakers=2)
    table = theirs.state_dict()["emb_g.weight"].clone()

    line = load(ours, training_file(tmp_path / "G.pth", theirs), speakers=speakers)

    expected = table[rows] if rows else table.mean(0).expand(2, -1)
    torch.testing.assert_close(ours.state_dict()["emb_g.weight"], expected)
    assert said in line
    assert_equal(ours, theirs, but=("emb_g",))


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        (None, "the dataset has 3 speakers, the file's table 2 rows"),
        ([0, 1, 2], "the file's speaker table has the rows 0 to 1"),
        ([0], "must name one row for each of the 3 speaker(s)"),
        ("first", "pretrained.speakers=first must be a list of row numbers such as [0,5], mean, or null"),
        (5, "pretrained.speakers=5 must be a list of row numbers"),
        (["a"], "pretrained.speakers=['a'] must be a list of row numbers"),
        ([1.7], "pretrained.speakers=[1.7] must be a list of row numbers"),
        ([True], "pretrained.speakers=[True] must be a list of row numbers"),
    ],
)
def test_a_speaker_table_that_does_not_fit_is_refused(tmp_path: Path, speakers: Any, message: str) -> None:
    path = training_file(tmp_path / "G.pth", small_generator(num_speakers=2, seed=1))

    assert message in refusal(small_generator(num_speakers=3), path, speakers=speakers)


@pytest.mark.parametrize(
    ("model", "overrides", "dim", "message"),
    [
        ("rvc_v2_40k", (), 768, "is a generator v2 40k with f0, this model is a generator v2 48k with f0"),
        ("rvc_v1_48k", (), 256, "is a generator v1 48k with f0, this model is a generator v2 48k with f0"),
        ("rvc_v2_48k", ("model.use_f0=false",), 768, "is a generator v2 48k without f0, this model"),
    ],
)
def test_a_file_of_another_rate_version_or_kind_is_named(
    tmp_path: Path, model: str, overrides: tuple[str, ...], dim: int, message: str
) -> None:
    path = training_file(tmp_path / "G.pth", small_generator(model, *overrides, content_dim=dim, seed=1))

    assert message in refusal(small_generator(), path)


def test_generator_and_discriminator_are_not_confused(tmp_path: Path) -> None:
    generator = training_file(tmp_path / "G.pth", small_generator(seed=1))
    discriminator = training_file(tmp_path / "D.pth", small_discriminator(seed=1))

    assert "give it as pretrained.discriminator" in refusal(small_generator(), discriminator)
    message = refusal(small_discriminator(), generator, "pretrained.discriminator")
    assert "give it as pretrained.generator" in message
    assert "is a discriminator v2, this model is a discriminator v1" in refusal(
        small_discriminator("v1"), discriminator, "pretrained.discriminator"
    )


def test_missing_unexpected_and_other_shapes_are_counted_and_named(tmp_path: Path) -> None:
    state = small_generator(seed=1).state_dict()
    del state["flow.flows.0.post.bias"]
    state["dec.extra.weight"] = torch.zeros(2, 3)
    state["dec.cond.bias"] = torch.zeros(31)

    message = refusal(small_generator(), saved(tmp_path / "G.pth", {"model": state}))

    assert f"{len(state) - 2} parameters matched; 1 missing (flow.flows.0.post.bias [4])" in message
    assert "1 unexpected (dec.extra.weight [2, 3]); 1 different (dec.cond.bias [31] instead of [32])" in message


@pytest.mark.slow
def test_a_shared_voice_is_continued_on_request_only_with_a_posterior_of_our_own(tmp_path: Path) -> None:
    theirs, ours = small_generator(seed=1), small_generator()
    path = saved(tmp_path / "bob.pth", webui_voice(theirs))
    fresh = {name: value.clone() for name, value in ours.state_dict().items() if name.startswith("enc_q.")}

    assert "has no posterior (enc_q, " in refusal(ours, path)
    line = load(ours, path, fresh_posterior=True)

    matched = len(ours.state_dict()) - len(fresh)
    assert f"{matched} parameters matched; 0 missing; 0 unexpected; 0 different" in line
    assert f"{len(fresh)} enc_q parameters are not in the file and begin random" in line
    assert_equal(ours, theirs.half().float(), but=("enc_q.",))
    for name, value in fresh.items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=0)


def test_a_shared_voice_of_another_encoder_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "bob.pth", applio_voice(small_generator(seed=1), embedder_model="spin"))

    message = refusal(small_generator(), path, fresh_posterior=True)

    assert "was trained on content features of spin, the dataset has those of contentvec" in message
    assert message.endswith("prepare the dataset with content=spin")


def test_a_training_file_of_ours_of_another_encoder_is_refused(tmp_path: Path) -> None:
    own = {"voclo_trainer": {"embedder": "spin", "encoder": {"layer": 9}}}
    path = training_file(tmp_path / "G.pth", small_generator(seed=1), **own)

    message = refusal(small_generator(), path)

    assert "was trained on content features of spin, the dataset has those of contentvec" in message
    assert message.endswith("prepare the dataset with content=spin content.layer=9")


def test_features_that_a_file_does_not_tell_are_said_once_for_the_generator(tmp_path: Path) -> None:
    generator = training_file(tmp_path / "G.pth", small_generator(seed=1))
    without_f0 = training_file(tmp_path / "G0.pth", small_generator("rvc_v2_48k", "model.use_f0=false", seed=1))
    discriminator = training_file(tmp_path / "D.pth", small_discriminator(seed=1))

    line = load(small_generator(), generator)
    plain = load(small_generator("rvc_v2_48k", "model.use_f0=false"), without_f0)
    line_of_discriminator = load(small_discriminator(), discriminator, "pretrained.discriminator")

    encoder = "the file does not say its content encoder; the dataset's contentvec is used"
    f0 = "the file does not say what its f0 held in unvoiced frames; the dataset's zero_unvoiced is used"
    assert encoder in line and f0 in line
    assert encoder in plain and "unvoiced" not in plain
    assert "does not say" not in line_of_discriminator


def test_names_of_any_length_and_kind_stay_in_one_line(tmp_path: Path) -> None:
    state = small_generator(seed=1).state_dict()
    state["dec.extra\n" + 500 * "x"] = torch.zeros(2)

    message = refusal(small_generator(), saved(tmp_path / "G.pth", {"model": state}))

    assert "1 unexpected ('dec.extra\\n" in message
    assert len(message) < 400 + len(str(tmp_path))


def test_another_architecture_is_named(tmp_path: Path) -> None:
    path = training_file(tmp_path / "G.pth", small_generator(seed=1))
    toy = ToyVoice(sample_rate=16000, n_fft=640, content_dim=16, num_speakers=1)

    assert "the network here is ToyVoice" in refusal(toy, path)


def test_an_absent_file_says_what_may_be_given(tmp_path: Path) -> None:
    assert "allowed: a .safetensors file, a .pth file of RVC" in refusal(small_generator(), tmp_path / "f0G48k.pth")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"fresh_posterior": True}, r"pretrained\.fresh_posterior belongs to a \.pth"),
        ({"speakers": [0]}, r"rows of a speaker table are chosen in a \.pth"),
    ],
)
def test_settings_for_a_pth_are_refused_with_another_file(settings: dict[str, Any], reason: str) -> None:
    file = "models/weights/lite_base_generator.safetensors"

    with pytest.raises(WorkbenchError, match=reason):
        load_pretrained(small_generator(), file, "pretrained.generator", dataset(), **settings)


@pytest.mark.parametrize(
    ("file", "pitch", "said"),
    [
        (
            "interpolated",
            {"id": "swift"},
            "its f0 in unvoiced frames was interpolated, that of the dataset is zero_unvoiced",
        ),
        ("interpolated", {"unvoiced": "interpolated"}, ""),
        ("zero_unvoiced", {"unvoiced": "interpolated"}, "prepare it with pitch=builtin"),
        (None, {"unvoiced": "interpolated"}, "held in unvoiced frames; the dataset's interpolated is used"),
    ],
)
def test_another_f0_convention_than_the_dataset_is_said(
    tmp_path: Path, file: str | None, pitch: dict[str, str], said: str
) -> None:
    network = small_generator()
    path = training_file(tmp_path / "G.pth", network, voclo_trainer={"f0_convention": file} if file else {})

    line = load_pretrained(network, str(path), "pretrained.generator", described(content=CONTENTVEC, pitch=pitch))

    assert said in line
    assert ("unvoiced" in line) == bool(said)


@pytest.mark.parametrize(
    ("layer", "recorded", "refused"), [(12, None, False), (9, None, True), (9, 9, False), (12, 9, True)]
)
def test_content_of_another_layer_is_refused(tmp_path: Path, layer: int, recorded: int | None, refused: bool) -> None:
    network = small_generator()
    own = {"voclo_trainer": {"encoder": {"layer": recorded}}} if recorded else {}
    path = training_file(tmp_path / "G.pth", network, **own)

    if not refused:
        assert "0 missing" in load_pretrained(network, str(path), "pretrained.generator", dataset(layer=layer))
        return
    with pytest.raises(WorkbenchError, match=rf"reads layer {recorded or 12} .* the dataset has layer {layer}"):
        load_pretrained(network, str(path), "pretrained.generator", dataset(layer=layer))
