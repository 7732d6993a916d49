"""Files of So-VITS-SVC: what a generator is, what its config.json adds, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tools.rvc_tools import settings_of, training_file
from tests.tools.sovits_tools import small_sovits, sovits_config, sovits_files
from utils.config.export import export_job
from utils.config.train import train_job
from utils.errors import WorkbenchError
from utils.export import export
from utils.export.blending import Blend
from utils.export.rvc import imported_voice as imported
from utils.export.rvc.blended_files import blended_file
from utils.rvc.reading import read_foreign

OPTIONS = ["use_volume", "use_snakes", "shares_flow", "transformer_flow", "is_separable"]
CONTENT = ("content=toy", "content.dim=768", "rvc.embedder=random")


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(WorkbenchError) as caught:
        imported.load_imported_voice(settings_of(path, *CONTENT, *overrides))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let imported voices have the depth of these tests, which shapes alone do not say."""
    published = imported.voice_config

    def shrunk(file: Any) -> dict[str, Any]:
        config = published(file)
        return {**config, "model": config["model"] | {"posterior_layers": 2, "training_frames": 12}}

    monkeypatch.setattr(imported, "voice_config", shrunk)


def test_a_generator_is_read_with_its_configuration(tmp_path: Path) -> None:
    network = small_sovits()

    file = read_foreign(sovits_files(tmp_path, network, sovits_config(network)))

    assert (file.program, file.epoch, file.sample_rate, file.bins) == ("sovits", 12, 44100, "4.1")
    assert (file.embedder, file.content_layer, file.speakers) == ("contentvec", 12, ("anna", "bert"))
    assert file.layout.num_speakers == 3 and file.layout.has_posterior


@pytest.mark.parametrize("option", OPTIONS)
def test_options_are_told_by_names(option: str, tmp_path: Path) -> None:
    file = read_foreign(sovits_files(tmp_path, small_sovits(f"model.{option}=true")))

    assert file.layout.sovits is not None
    assert [name for name in OPTIONS if getattr(file.layout.sovits, name)] == [option]


def test_a_configuration_without_an_encoder_is_one_of_4_0(tmp_path: Path) -> None:
    network = small_sovits(content_dim=256)

    file = read_foreign(sovits_files(tmp_path, network, sovits_config(network, speech_encoder=None)))

    assert (file.bins, file.embedder, file.content_layer) == ("4.0", "contentvec", 9)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ssl_dim": 256}, "says ssl_dim 256, G_800.pth has 768"),
        ({"gin_channels": 768}, "says gin_channels 768, G_800.pth has 8"),
        ({"vol_embedding": True}, "says vol_embedding True, G_800.pth has False"),
        ({"speech_encoder": ["a"]}, "speech_encoder should be a text, found a value of type list"),
    ],
)
def test_a_configuration_of_another_voice_is_refused(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    network = small_sovits()

    assert reason in refusal(sovits_files(tmp_path, network, sovits_config(network, **changes)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "holds a value of type list instead of sections"),
        ('{"model": 3}', "its section 'model' is 3"),
        (json.dumps({"model": {}, "data": {}, "spk": {"a": 7}}), "spk has 'a' in row 7 of a table of 3"),
        (json.dumps({"model": {}, "data": {}, "spk": {"a\nb": 0}}), "spk has 'a\\nb' in row 0"),
        (json.dumps({"model": {}, "data": {"hop_length": 256}}), "says hop_length 256"),
    ],
)
def test_a_damaged_configuration_is_one_line(text: str, reason: str, tmp_path: Path) -> None:
    path = sovits_files(tmp_path, small_sovits())
    (tmp_path / "config.json").write_text(text, encoding="utf-8")

    assert reason in refusal(path)


@pytest.mark.slow
def test_a_voice_without_its_configuration_asks_for_it(tmp_path: Path) -> None:
    assert "put the config.json that it came with into its folder" in refusal(sovits_files(tmp_path, small_sovits()))


def test_parameters_that_are_missing_are_named(tmp_path: Path) -> None:
    network = small_sovits()
    path = sovits_files(tmp_path, network, sovits_config(network))
    content = torch.load(path, weights_only=True)
    del content["model"]["dec.conv_pre.weight_v"]
    torch.save(content, path)

    assert "keys of So-VITS-SVC's generator are missing: dec.conv_pre.weight_v" in refusal(path)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "overrides", [(), ("model.shares_flow=true", "model.use_snakes=true", "model.use_volume=true")]
)
def test_a_voice_converts_with_the_weights_and_speakers_of_its_file(overrides: tuple[str, ...], tmp_path: Path) -> None:
    network = small_sovits(*overrides)
    path = sovits_files(tmp_path, network, sovits_config(network))

    loaded = imported.load_imported_voice(settings_of(path, *CONTENT))

    found, expected = loaded.model.state_dict(), network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found if name != "emb_g.weight")
    assert torch.equal(found["emb_g.weight"], expected["emb_g.weight"][:2])
    assert (loaded.speakers, loaded.io_rate) == (["anna", "bert"], 44100)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_released_generator_without_posterior_is_enough(tmp_path: Path) -> None:
    network = small_sovits()
    path = sovits_files(tmp_path, network, sovits_config(network))
    content = torch.load(path, weights_only=True)
    content["model"] = {key: value.half() for key, value in content["model"].items() if not key.startswith("enc_q.")}
    torch.save(content, path)

    assert imported.load_imported_voice(settings_of(path, *CONTENT)).speakers == ["anna", "bert"]


def test_its_discriminator_is_known(tmp_path: Path) -> None:
    network = train_job(["discriminator=sovits", "discriminator.channels=64"]).discriminator.build()

    assert str(read_foreign(training_file(tmp_path / "D_0.pth", network)).layout) == "discriminator sovits"


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_voice_hears_audio_as_it_is_as_in_its_own_program(tmp_path: Path) -> None:
    network = small_sovits()
    path = sovits_files(tmp_path, network, sovits_config(network))

    assert imported.load_imported_voice(settings_of(path, *CONTENT)).converter.highpass is None


@pytest.mark.slow
def test_voices_are_blended_row_by_row(tmp_path: Path) -> None:
    paths = []
    for name, factor in (("one", 1.0), ("two", 1.1)):
        (tmp_path / name).mkdir()
        network = small_sovits()
        network.load_state_dict({key: factor * value for key, value in network.state_dict().items()})
        config = {**sovits_config(network), "spk": {f"{name} a": 0, "b": 1}}
        paths.append(sovits_files(tmp_path / name, network, config))
    states = [read_foreign(path).weights for path in paths]

    made = blended_file(Blend("files", {str(paths[0]): 0.4, str(paths[1]): 0.6}))

    assert (made.speakers, made.bins, made.layout.sovits is not None) == (("one a+two a", "b"), "4.1", True)
    for name, value in made.weights.items():
        torch.testing.assert_close(value, 0.4 * states[0][name] + 0.6 * states[1][name])
    with pytest.raises(WorkbenchError, match="of no size that other programs know; type export=onnx"):
        words = f"blend={{{paths[0]}: 0.4, {paths[1]}: 0.6}}"
        export(export_job([words, "export=rvc_pth", "name=ab", f"export.root={tmp_path}"]))


@pytest.mark.slow
def test_voices_of_two_versions_are_not_blended(tmp_path: Path) -> None:
    paths = []
    for name, encoder in (("old", None), ("new", "vec256l9")):
        (tmp_path / name).mkdir()
        network = small_sovits(content_dim=256)
        paths.append(sovits_files(tmp_path / name, network, sovits_config(network, speech_encoder=encoder)))

    with pytest.raises(WorkbenchError, match=r"are of different programs \(4.0, 4.1\)"):
        blended_file(Blend("files", {str(path): 0.5 for path in paths}))
