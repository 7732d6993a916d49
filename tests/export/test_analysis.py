"""Voices are looked into: what they say of themselves, and whether their weights are sound."""

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.tools.rvc_tools import applio_voice, saved, small_generator, webui_voice
from tests.tools.training_tools import make_dataset, training
from utils.config.export import export_job
from utils.errors import ConfigError, FormatError
from utils.export import export
from utils.export.analyse import analyse
from utils.export.analysed_files import analyse_graph, analyse_index
from utils.export.analysis import Analysis, index_remarks, name_remarks
from utils.export.health import health_of
from utils.export.rvc.analysed_voice import analyse_voice
from utils.rvc.reading import read_foreign
from utils.training.fit import train
from utils.voice_file.rvc_formats import CLIENT_KEY, GeneratorShape, client_metadata


def test_what_is_no_number_dead_or_zero_is_counted() -> None:
    plain, normalised = torch.ones(4, 3), torch.ones(4, 3, 2)
    plain[1] = 0.0
    plain[2, 0] = torch.nan
    gain = torch.ones(4, 1, 1)
    gain[3] = 0.0
    normalised[3] = 0.0  # its gain is zero, too: one channel, not two
    normalised[0] = 0.0
    table = torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])

    health = health_of(
        {"a.weight": plain, "b.weight_g": gain, "b.weight_v": normalised, "c.weight": torch.zeros(2, 2),
         "c.bias": torch.zeros(2), "emb_g.weight": table}
    )  # fmt: skip

    assert health.not_finite == {"a.weight": 1}
    assert health.dead_channels == {"a.weight": 1, "b.weight_g": 1, "b.weight_v": 1}
    assert (health.all_zero, health.equal_speakers, health.largest) == (("c.weight",), (1, 2), 4.0)
    assert not health.is_sound and health_of({"a.weight": torch.ones(2, 2)}).is_sound


def test_a_voice_of_applio_is_shown_as_applio_shows_it(tmp_path: Path) -> None:
    content = applio_voice(small_generator(num_speakers=3), author="Ann", creation_date="2026-08-01")

    analysis = analyse_voice(saved(tmp_path / "bob.pth", content))

    plain = json.loads(json.dumps(analysis.to_plain(), allow_nan=False))
    wanted = {
        "name": "bob", "creator": "Ann", "created": "2026-08-01", "program": "Applio", "epochs": 200, "steps": 4200,
        "sample_rate": 48000, "vocoder": "HiFi-GAN", "embedder": "contentvec", "dataset_length": "00:10:00",
        "hash": "0" * 64, "speakers_trained": 1, "speaker_rows": 3, "f0_convention": "zero_unvoiced",
    }  # fmt: skip
    assert {key: plain[key] for key in wanted} == wanted
    assert "2 of 3 rows of speakers are unused (1 to 2); rvc.speakers=[0] keeps the first alone" in plain["remarks"]
    lines = {" ".join(line.split()) for line in analysis.lines()}
    assert {"creator Ann", "length of the dataset 00:10:00", "vocoder HiFi-GAN", "dead channels: none"} <= lines


def test_what_a_person_looks_for_stands_behind_the_list_of_parameters(tmp_path: Path) -> None:
    content = applio_voice(small_generator(num_speakers=3))

    lines = analyse_voice(saved(tmp_path / "bob.pth", content)).lines()

    is_of_list = ["emb_g.weight [" in line for line in lines]
    assert any(is_of_list) and is_of_list.index(True) < lines.index("weights:")
    assert "parameters matched; 0 missing" in lines[-1]


def test_speakers_that_are_called_by_their_row_alone_are_counted() -> None:
    def shown(*names: str) -> list[str]:
        speakers = [{"row": f"row {row}", "name": name} for row, name in enumerate(names)]
        return Analysis(path=Path("bob.pth"), what="a voice", facts={}, speakers=speakers).lines()[1:]

    assert shown("row 0", "row 1") == ["speakers: 2, without names"]
    assert shown("row 0", "bert") == ["speakers:", "  row 0  row 0", "  row 1  bert"]
    assert shown() == []


def test_nan_is_reported_and_only_the_report_opens_such_a_voice(tmp_path: Path) -> None:
    content = webui_voice(small_generator())
    content["weight"]["dec.conv_pre.bias"][0] = torch.inf
    path = saved(tmp_path / "bob_trained.pth", content)

    analysis = analyse_voice(path)

    assert analysis.health is not None and analysis.health.not_finite == {"dec.conv_pre.bias": 1}
    assert any("NaN or infinity: 1, in dec.conv_pre.bias 1" in line for line in analysis.lines())
    assert any("pass over files with 'trained' in their names" in remark for remark in analysis.remarks)
    with pytest.raises(FormatError, match="holds NaN or infinity"):
        read_foreign(path)


@pytest.mark.parametrize(
    ("dim", "words"),
    [(256, "it must not be used there"), (100, "no voice of RVC has content of 100 values"), (768, None)],
)
def test_an_index_says_which_voices_would_take_it(dim: int, words: str | None, tmp_path: Path) -> None:
    index = faiss.IndexFlatL2(dim)
    vectors = np.random.default_rng(0).normal(size=(9, dim)).astype(np.float32)
    vectors[4] = 0.0
    vectors[5, 0] = np.nan
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "bob.index"))

    analysis = analyse_index(tmp_path / "bob.index")

    assert (analysis.facts["vectors"], analysis.facts["content_dim"]) == (9, dim)
    assert analysis.health is not None and analysis.health.not_finite == {"vectors": 1}
    assert analysis.health.dead_channels == {"vectors": 1}
    assert any(words in remark for remark in analysis.remarks) if words else not analysis.remarks


def test_a_graph_of_a_client_is_looked_into(tmp_path: Path) -> None:
    kernel = np.ones((3, 2, 1), np.float32)
    kernel[2] = 0.0
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(kernel, "w")])
    model = helper.make_model(graph)
    shape = GeneratorShape(content_dim=768, channels=192, has_f0=True, sample_rate=40000, num_speakers=1)
    helper.set_model_props(model, {CLIENT_KEY: client_metadata(shape, "hubert_base")})
    onnx.save(model, str(tmp_path / "bob.onnx"))

    analysis = analyse_graph(tmp_path / "bob.onnx")

    assert analysis.facts["architecture"] == "pyTorchRVCv2" and analysis.facts["embedder"] == "contentvec"
    assert (analysis.facts["sample_rate"], analysis.facts["embedder_layer"]) == ("40000", "12")
    assert analysis.health is not None and analysis.health.dead_channels == {"w": 1}


def test_a_damaged_graph_or_index_is_one_line(tmp_path: Path) -> None:
    for name in ("bob.onnx", "bob.index"):
        (tmp_path / name).write_bytes(b"\x08\x09damaged")
        with pytest.raises(FormatError) as caught:
            analyse(tmp_path / name, None, "best")
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_run_is_looked_into_and_written_as_json(tmp_path: Path) -> None:
    run = train(training(make_dataset(tmp_path), tmp_path, "run", 1))

    outcome = export(export_job([f"run={run}", "export=rvc_report", f"report={tmp_path / 'run.json'}"]))

    plain = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert outcome.files == (tmp_path / "run.json",)
    assert (plain["architecture"], plain["steps"], plain["speaker_rows"], plain["sample_rate"]) == (
        "ToyVoice", 1, 2, 16000,
    )  # fmt: skip
    assert [speaker["name"] for speaker in plain["speakers"]] == ["anna", "bert"]
    assert plain["health"]["is_sound"] and plain["epochs"] == 1


@pytest.mark.parametrize(
    ("dim", "encoder", "words"),
    [
        (256, {"id": "builtin"}, "for every v1 voice, as its vectors have 256 values; they are of the encoder builtin"),
        (768, {"id": "spin", "layer": 12}, "for every v2 voice"),
        (256, {"id": "contentvec", "layer": 12}, "for every v1 voice"),
        (256, {"id": "contentvec", "layer": 9}, None),
        (768, {"id": "hubert_base", "layer": 12}, None),
        (100, {"id": "builtin"}, None),
    ],
)
def test_an_index_that_other_programs_would_offer_is_told(dim: int, encoder: dict[str, Any], words: str | None) -> None:
    found = index_remarks(Path("bob.index"), dim, encoder)

    assert (words in found[0]) if words else not found


@pytest.mark.parametrize("name", ["bob_trained.index", "Trained.pth"])
def test_a_name_that_programs_pass_over_is_told(name: str) -> None:
    assert "pass over files with 'trained' in their names" in name_remarks(Path(name))[0]
    assert not name_remarks(Path("bob.pth"))


def test_a_cluster_file_is_shown_by_its_speakers(tmp_path: Path) -> None:
    centres = {"cluster_centers_": np.ones((4, 256), dtype=np.float32)}
    path = saved(tmp_path / "kmeans_4.pt", {"anna": centres, "bert": centres})

    analysis = analyse(path, None, "best")

    assert (analysis.facts["vectors"], analysis.facts["content_dim"]) == (8, 256)
    assert [speaker["name"] for speaker in analysis.speakers] == ["anna", "bert"]
    assert any("rvc.cluster=kmeans_4.pt" in line for line in analysis.lines())


def test_a_folder_is_told_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder; give a file, or a run of train\.py with run="):
        analyse(tmp_path, None, "best")
