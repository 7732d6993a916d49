"""What an earlier version wrote names classes where they stood then; users still find the folders of their runs."""

import importlib
from typing import Any

import pytest

from utils.config import Pluggable
from utils.config.export import export_job
from utils.config.renamed import CLASSES, MODULES, current_target, first_class_name, with_current_targets
from utils.config.test_model import convert_job
from utils.config.train import train_job
from utils.errors import ConfigError
from utils.training.fit import run_folder


@pytest.mark.parametrize("target", [*CLASSES, *(f"{module}.Any" for module in MODULES)])
def test_every_old_path_is_read_as_one_whose_module_is_there(target: str) -> None:
    module, _, name = current_target(target).rpartition(".")

    assert importlib.import_module(module).__name__ == module
    assert target not in CLASSES or hasattr(importlib.import_module(module), name)


def test_a_node_of_an_old_file_builds_the_class_of_now() -> None:
    assert Pluggable.of({"_target_": "models.rvc.RvcVoice"}, "model").target == "models.rvc.RVCModel"
    assert Pluggable.of({"_target_": "models.lite.LiteVoice"}, "model").target == "models.lite.LiteVoice"


def test_flat_and_nested_data_are_translated() -> None:
    stored = {"model._target_": "models.rvc.RvcVoice", "data": [{"_target_": "models.lite.LiteStreamVoice"}], "x": 1}

    assert with_current_targets(stored) == {
        "model._target_": "models.rvc.RVCModel",
        "data": [{"_target_": "models.lite_stream.LiteStreamVoice"}],
        "x": 1,
    }


@pytest.mark.parametrize(
    ("model", "name"),
    [("lite", "alice_litevoice"), ("lite_stream", "alice_litestreamvoice"), ("rvc_v2_40k", "alice_rvcvoice")],
)
def test_the_default_folder_of_a_run_keeps_its_name(model: str, name: str) -> None:
    audio = ["audio=rvc_40k"] if model.startswith("rvc") else []

    assert run_folder(train_job([f"model={model}", *audio, "dataset.name=alice"])).name == name
    assert first_class_name("models.toy.ToyVoice") == "ToyVoice"


@pytest.mark.parametrize(("build", "script"), [(convert_job, "test_model"), (export_job, "export")])
def test_the_mix_of_speakers_of_another_program_is_said_in_words_of_this_one(build: Any, script: str) -> None:
    with pytest.raises(ConfigError, match=r"speaker_mix=.*one speaker more.*blend=") as caught:
        build(["speaker_mix={anna: 0.5}"])
    assert "\n" not in str(caught.value), script
