"""From a shared voice of RVC to a graph."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tools.hubert_tools import write_hubert
from tests.tools.rvc_tools import (
    applio_voice,
    saved,
    settings_of,
    shared_weights,
    small_generator,
    training_file,
    webui_voice,
)
from utils.audio.synthetic_speech import voice
from utils.config.export import export_job
from utils.errors import ConfigError, WorkbenchError
from utils.export.delivery import export_voice
from utils.export.graph import control_tensors
from utils.export.plans import plan_export
from utils.export.rvc import imported_voice as imported
from utils.export.rvc.analysed_voice import analyse_voice
from utils.export.rvc.imported_voice import load_imported_voice
from utils.features.pitch.filling import FilledPitch
from utils.inference.session import VoiceSession
from utils.rvc.reading import read_foreign
from utils.verification import rules
from utils.voice_file.controls import ControlDefaults

ROOT = Path(__file__).resolve().parents[2]
CONTENT = ("content=toy", "content.dim=768")
EMBEDDER = "rvc.embedder=random"  # the name of content=toy


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(WorkbenchError) as caught:
        load_imported_voice(settings_of(path, *overrides))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_weights_speakers_and_conventions_come_from_the_file(tmp_path: Path) -> None:
    network = small_generator(num_speakers=3, seed=1)
    path = saved(tmp_path / "bob.pth", applio_voice(network, embedder_model="random"))

    loaded = load_imported_voice(settings_of(path, *CONTENT))

    expected = network.half().float().state_dict()
    for name, value in loaded.model.state_dict().items():
        if name in expected and not name.startswith("enc_q."):
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    assert loaded.speakers == ["row 0", "row 1", "row 2"] and loaded.model.num_speakers == 3
    assert (loaded.step, loaded.io_rate) == (4200, 48000)
    assert not isinstance(loaded.converter.frontend.pitch_tracker, FilledPitch)  # type: ignore[attr-defined]
    assert loaded.imported is not None and loaded.imported["f0_convention"] == "zero_unvoiced"


@pytest.mark.slow
def test_chosen_rows_of_the_speaker_table_are_kept(tmp_path: Path) -> None:
    network = small_generator(num_speakers=3, seed=1)
    path = saved(tmp_path / "bob.pth", applio_voice(network, embedder_model="random"))
    settings = settings_of(path, *CONTENT, "rvc.speakers=[2]")

    loaded = load_imported_voice(settings)

    table = loaded.model.state_dict()["emb_g.weight"]
    torch.testing.assert_close(table, network.state_dict()["emb_g.weight"][2:].half().float(), rtol=0, atol=0)
    assert loaded.speakers == ["bob"]
    said = imported.explain_import(loaded)
    assert any("3 rows in the file, of which it says 1 were trained; in the voice rows [2]" in line for line in said)
    assert "the file's speaker table has the rows 0 to 2" in refusal(path, *CONTENT, "rvc.speakers=[3]")


@pytest.mark.slow
def test_the_f0_convention_is_asked_for_and_honoured(tmp_path: Path) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator()))

    assert "type rvc.f0_convention=zero_unvoiced" in refusal(path, *CONTENT, EMBEDDER)
    filled = load_imported_voice(settings_of(path, *CONTENT, EMBEDDER, "rvc.f0_convention=interpolated"))

    assert isinstance(filled.converter.frontend.pitch_tracker, FilledPitch)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"rvc\.f0_convention=guess is unknown; allowed: zero_unvoiced, interpolated"):
        settings_of(path, "rvc.f0_convention=guess")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("convention", "filled"), [("zero_unvoiced", None), ("interpolated", 1)], ids=["contradiction", "filled once"]
)
def test_a_tracker_that_draws_lines_is_neither_filled_again_nor_given_to_a_voice_of_zeros(
    tmp_path: Path, convention: str, filled: int | None
) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator()))
    given = (*CONTENT, EMBEDDER, "pitch=interpolated", f"rvc.f0_convention={convention}")

    if filled is None:
        message = refusal(path, *given)
        assert "in unvoiced frames is interpolated, that of the voice was zero_unvoiced; type pitch=builtin" in message
        return
    tracker: Any = load_imported_voice(settings_of(path, *given)).converter.frontend.pitch_tracker  # type: ignore[attr-defined]

    assert isinstance(tracker, FilledPitch) and not isinstance(tracker.tracker, FilledPitch)


def test_only_parameters_of_the_file_count_as_matched(tmp_path: Path) -> None:
    network = small_generator()
    path = saved(tmp_path / "bob.pth", webui_voice(network))

    summary = imported.load_imported_network(path).summary

    assert summary.startswith(f"{len(shared_weights(network))} parameters matched; 0 missing; 0 unexpected")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "rate", "dim", "group", "layer"),
    [("v1", "40k", 256, "contentvec_v1", 9), ("v2", "40k", 768, "contentvec", 12)],
)
def test_each_version_gets_its_layer_and_size_of_contentvec(
    tmp_path: Path, version: str, rate: str, dim: int, group: str, layer: int
) -> None:
    network = small_generator(f"rvc_{version}_{rate}", content_dim=dim)
    config = [1025, 32, 8, 8, 16, 2, 1, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3, [10, 10, 2, 2], 32, [16, 16, 4, 4]]
    content = webui_voice(network, config=[*config, 1, 4, 40000], sr=rate, version=version)
    path = saved(tmp_path / "bob.pth", content)
    encoder = write_hubert(tmp_path / "contentvec", num_hidden_layers=12, projection_dim=dim)
    given = (f"content={group}", f"content.path={encoder}", "content.is_projected=true")
    zeros = "rvc.f0_convention=zero_unvoiced"

    assert f"give that encoder with content={group} content.path=" in refusal(path, zeros)
    loaded = load_imported_voice(settings_of(path, *given, zeros))
    other = refusal(path, *given, zeros, f"content.layer={21 - layer}")

    assert loaded.dataset.content.identity["layer"] == layer
    assert "content encoder contentvec, f0 zero_unvoiced" in imported.explain_import(loaded)
    assert f"({version}) needs {dim} values of layer {layer}, the encoder contentvec gives {dim} of layer" in other


@pytest.mark.slow
def test_the_voice_hears_unvoiced_frames_as_its_file_says(tmp_path: Path) -> None:
    sound = torch.from_numpy(voice(0.6, 48000))[None].repeat(1, 2)
    sound[:, 20000:34000] = 0.05 * torch.randn(14000, generator=torch.Generator().manual_seed(0))
    found = {}
    for convention in ("zero_unvoiced", "interpolated"):
        content = {
            **webui_voice(small_generator()),
            "voclo_trainer": {"f0_convention": convention, "embedder": "random"},
        }
        path = saved(tmp_path / f"{convention}.pth", content)
        converter = load_imported_voice(settings_of(path, *CONTENT)).converter
        found[convention] = converter.frontend(sound[:, :57600])[1][0]

    unvoiced = found["zero_unvoiced"] == 0
    assert 5 < int(unvoiced.sum()) < 115
    assert bool((found["interpolated"][unvoiced] > 0).all())
    torch.testing.assert_close(found["interpolated"][~unvoiced], found["zero_unvoiced"][~unvoiced], rtol=0, atol=0)


@pytest.mark.slow
def test_other_weights_of_the_recorded_encoder_are_said(tmp_path: Path) -> None:
    own = {"f0_convention": "zero_unvoiced", "embedder": "contentvec"}
    first, second = (
        write_hubert(tmp_path / str(seed), num_hidden_layers=12, projection_dim=768, seed=seed) for seed in (0, 1)
    )
    given = [
        ("content=contentvec", f"content.path={folder}", "content.is_projected=true") for folder in (first, second)
    ]
    path = saved(tmp_path / "bob.pth", {**webui_voice(small_generator()), "voclo_trainer": own})
    identity = load_imported_voice(settings_of(path, *given[0])).dataset.content.identity
    saved(path, {**webui_voice(small_generator()), "voclo_trainer": {**own, "encoder": identity}})

    same, other = (imported.explain_import(load_imported_voice(settings_of(path, *item)))[-1] for item in given)

    assert same == "content encoder contentvec, f0 zero_unvoiced"
    assert "with other weights or another precision than the file records" in other


def test_the_file_is_read_once_for_voice_and_explanation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "bob.pth", applio_voice(small_generator(), embedder_model="random"))
    reads: list[Path] = []

    def counted(file: Path) -> Any:
        reads.append(file)
        return read_foreign(file)

    monkeypatch.setattr(imported, "read_foreign", counted)
    said = imported.explain_import(load_imported_voice(settings_of(path, *CONTENT)))

    assert said[0].startswith("bob.pth: shared voice of Applio, generator v2 48k with f0 at 48000 Hz")
    assert reads == [path]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "give that encoder with content=contentvec content.path=<folder, file or hf:user/model>"),
        (CONTENT, "was trained on content features of contentvec, content gives random"),
        (("content=toy", EMBEDDER), "needs 768 values of layer 12, the encoder random gives 16"),
        ((*CONTENT, EMBEDDER, "rvc.f0_convention=interpolated", "pitch=dio"), "cannot stand inside a graph"),
        ((*CONTENT, EMBEDDER, "rvc.speakers=[]"), "rvc.speakers"),
    ],
)
def test_what_an_imported_voice_lacks_is_named(tmp_path: Path, overrides: tuple[str, ...], message: str) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator()))

    assert message in refusal(path, *overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("run=runs/x", "voice=bob.pth"), "run=runs/x and voice=bob.pth are given"),
        (("run=runs/x", "content=toy"), "content belongs to voice="),
        (("run=runs/x", "rvc.speakers=[0]"), "rvc.speakers belongs to voice="),
        (("voice=bob.pth", "rvc.speakers=first"), "rvc.speakers=first must be a whole number or a list"),
    ],
)
def test_settings_without_effect_are_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_export(export_job(list(overrides)))

    assert message in str(caught.value)


def test_a_file_that_is_no_voice_of_a_published_size_is_named(tmp_path: Path) -> None:
    odd = small_generator("rvc_v2_48k", content_dim=100)
    path = training_file(tmp_path / "G.pth", odd)

    assert "is a generator of no published size with f0; RVC v1 and v2 at 32000, 40000" in refusal(path, *CONTENT)


@pytest.mark.slow
def test_the_report_lists_every_parameter(tmp_path: Path) -> None:
    content = webui_voice(small_generator())
    del content["weight"]["dec.cond.bias"]
    content["weight"]["dec.more"] = torch.zeros(2)

    lines = "\n".join(analyse_voice(saved(tmp_path / "bob.pth", content)).lines()).splitlines()

    assert lines[0] == "bob.pth: shared voice of RVC-WebUI, generator v2 48k with f0 at 48000 Hz"
    said = {" ".join(line.split()) for line in lines}
    assert {"content encoder contentvec", "f0 in unvoiced frames not said", "epochs 300"} <= said
    found = [line.split(maxsplit=1) for line in lines]
    assert ["missing", "dec.cond.bias [32]"] in found and ["unexpected", "dec.more [2]"] in found
    assert sum(line[0] == "matched" for line in found if line) == len(content["weight"]) - 1


@pytest.mark.slow
def test_an_imported_voice_becomes_a_graph_with_card_and_without_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # some rules judge a voice's sound, and these weights are random
    without = ("voclo, ", "latency", "not the dry signal", "pause after speech", "full-scale square")
    kept = [rule for rule in rules.RULES if not rule.name.startswith(without)]
    monkeypatch.setattr(rules, "RULES", kept)
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator(num_speakers=2, seed=1)))
    overrides = (f"export.root={tmp_path / 'out'}", "rvc.f0_convention=interpolated", EMBEDDER)

    outcome = export_voice(plan_export(export_job([f"voice={path}", *CONTENT, *overrides])))

    assert outcome.failures == []
    assert outcome.index is None
    names = sorted(item.name for item in outcome.folder.iterdir())
    assert names == ["bob_sr48000_hop480_nfft2048.onnx", "card.json", "card.md"]
    metadata = VoiceSession.open(outcome.folder / names[0]).metadata
    assert metadata is not None
    assert (metadata.f0_convention, metadata.index_sha256, metadata.model_rate) == ("interpolated", None, 48000)
    assert metadata.extra["imported"]["program"] == "rvc_webui"
    assert str(tmp_path) not in metadata.to_json()
    assert any("parameters matched; 0 missing; 0 unexpected; 0 different" in note for note in outcome.origin)


def test_an_imported_voice_hears_through_the_filter_of_its_program(tmp_path: Path) -> None:
    path = saved(tmp_path / "bob.pth", applio_voice(small_generator(), embedder_model="random"))

    converter = load_imported_voice(settings_of(path, *CONTENT), io_rate=16000).converter

    assert converter.highpass is not None
    assert converter.highpass.identity == {"id": "butterworth", "order": 5, "cutoff_hz": 48.0}
    offset = torch.full((1, 8000), 0.05)  # was sound to a gate that opens at -72 dB
    with torch.no_grad():
        assert float(converter(offset, *control_tensors(ControlDefaults())).abs().max()) == 0.0
