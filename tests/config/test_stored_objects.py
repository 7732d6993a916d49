"""What a file names is built only if it is a class of this workbench, or of a package that the user trusts."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from models.base import BaseVoiceConversionModel
from utils.config.stored_objects import (
    StoredObject,
    is_known,
    known_targets,
    require_known_targets,
    require_trust,
)
from utils.errors import ConfigError, FormatError

TOY = {"_target_": "models.toy.ToyVoice", "sample_rate": 16000, "n_fft": 640, "channels": 8}
PITCH = {"_target_": "utils.features.pitch.swift.SwiftPitch", "voicing_threshold": 0.4}
FILLED = {"_target_": "utils.features.pitch.filling.FilledPitch", "tracker": PITCH}


def refusal(node: Any, kind: str = "model", trust: tuple[str, ...] = ()) -> str:
    with pytest.raises(FormatError) as caught:
        StoredObject.of(node, kind, "last.ckpt", trust)
    assert "\n" not in str(caught.value) and "last.ckpt" in str(caught.value)
    return str(caught.value)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package whose import leaves a mark."""
    folder = tmp_path / "networks_of_mine"
    folder.mkdir()
    (folder / "__init__.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\nfrom os import system\n")
    (folder / "nets.py").write_text(
        "import torch\nfrom models.toy import ToyVoice\n\nclass Mine(ToyVoice):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder.name
    for name in [name for name in sys.modules if name.split(".")[0] == folder.name]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("model", "models.lite.LiteVoice"),
        ("model", "models.rvc.RVCModel"),
        ("content", "utils.features.content.builtin.BuiltinContent"),
        ("content", "utils.features.content.hubert.open_content"),
        ("content", "recipes.content_encoder.teacher_content.TeacherContent"),
        ("pitch", "utils.features.pitch.world.WorldPitch"),
    ],
)
def test_every_class_of_the_configuration_groups_is_known(kind: str, target: str) -> None:
    assert target in known_targets(kind)
    assert not is_known(target, "pitch" if kind != "pitch" else "model")


def test_a_class_of_ours_is_built_with_its_arguments_and_under_its_old_name() -> None:
    model = StoredObject.of(TOY, "model", "last.ckpt").build(BaseVoiceConversionModel, content_dim=16, num_speakers=2)

    assert isinstance(model, BaseVoiceConversionModel) and model.sample_rate == 16000
    assert StoredObject.of({"_target_": "models.rvc.RvcVoice"}, "model", "x").target == "models.rvc.RVCModel"


def test_an_object_inside_another_is_built_where_it_is_known() -> None:
    built = StoredObject.of(FILLED, "pitch", "last.ckpt").build(nn.Module)

    assert built.tracker.voicing_threshold == 0.4


@pytest.mark.parametrize(
    "target",
    [
        "os.system", "builtins.eval", "torch.utils.collect_env.run", "torch.hub.load", "models.lite.torch.hub.load",
        "models.lite.LiteVoice.__init__", "models.lite", "models.lite.nn.Linear", "utils.config.script.run_script",
        "hydra.utils.instantiate", "pathlib.Path", "models.lite.LiteVoice ", "models.lite.LiteVoice\n", "", ".", "..os",
        "models/lite.LiteVoice", "MODELS.LITE.LITEVOICE", "utils.features.pitch.swift.SwiftPitch", "tests.x.Y",
    ],
)  # fmt: skip
def test_another_target_is_refused_and_its_module_not_imported(target: str) -> None:
    before = set(sys.modules)

    assert "no class of this workbench" in refusal({"_target_": target})
    assert "no class of this workbench" in refusal({**TOY, "deep": {"in": [{"_target_": target}]}})
    assert set(sys.modules) == before


@pytest.mark.parametrize("value", [None, 3, ["models.toy.ToyVoice"], {"_target_": "models.toy.ToyVoice"}])
def test_a_target_that_is_no_text_is_refused(value: Any) -> None:
    refusal({"_target_": value})
    refusal({**TOY, "x": {"_target_": value}})


@pytest.mark.parametrize("key", ["_args_", "_partial_", "_recursive_", "_convert_", "__class__", "_mode_"])
def test_keys_that_steer_how_objects_are_made_are_refused(key: str) -> None:
    assert key in refusal({**TOY, key: ["x"]})
    assert key in refusal({**TOY, "x": [{key: True}]})


@pytest.mark.parametrize("node", [None, 3, "models.toy.ToyVoice", [], {}, {"sample_rate": 1}])
def test_what_is_no_object_is_one_line(node: Any) -> None:
    refusal(node)


def test_limits_of_depth_number_and_length() -> None:
    nested: Any = 1
    for _ in range(20):
        nested = [nested]
    loop: list[Any] = []
    loop.append(loop)

    for value in (nested, loop, [0] * 5000, "x" * 5000, "\0", 2**70, object(), {1.5: 2}):
        refusal({**TOY, "x": value})
    assert "nothing was resolved" in refusal({**TOY, "x": "${oc.env:HOME}"})


def test_wrong_arguments_are_one_line() -> None:
    for wrong in ({"no_such": 1}, {"sample_rate": "fast"}):
        with pytest.raises(ConfigError, match=r"last\.ckpt: model cannot be built") as caught:
            node = StoredObject.of({**TOY, **wrong}, "model", "last.ckpt")
            node.build(BaseVoiceConversionModel, content_dim=16, num_speakers=1)
        assert "\n" not in str(caught.value)


def test_a_package_is_imported_only_once_it_is_trusted(package: str, tmp_path: Path) -> None:
    node = {**TOY, "_target_": f"{package}.nets.Mine"}

    assert "trust=[my_package]" in refusal(node)
    refusal(node, trust=("networks_of",))
    refusal(node, trust=(f"{package}.other",))
    assert not (tmp_path / "imported").exists()
    for trust in (package, f"{package}.nets", f"{package}.nets.Mine"):
        built = StoredObject.of(node, "model", "last.ckpt", [trust]).build(
            BaseVoiceConversionModel, content_dim=4, num_speakers=1
        )
        assert type(built).__name__ == "Mine"


@pytest.mark.parametrize(
    "name", ["system", "nets.torch.hub.load", "nets.torch", "nets.ToyVoice.__init__", "nets.Nothing"]
)
def test_a_trusted_package_does_not_lead_to_what_it_imports(package: str, name: str) -> None:
    node = StoredObject.of({"_target_": f"{package}.{name}"}, "model", "last.ckpt", [package])

    with pytest.raises((ConfigError, FormatError), match=r"last\.ckpt") as caught:
        node.build(BaseVoiceConversionModel, content_dim=4, num_speakers=1)

    assert "\n" not in str(caught.value)


def test_a_class_of_another_kind_is_refused_before_it_is_made(package: str) -> None:
    (Path(sys.path[0]) / package / "hostile.py").write_text(
        "class Boom:\n    def __init__(self, **_):\n        1 / 0\n"
    )
    node = StoredObject.of({"_target_": f"{package}.hostile.Boom"}, "model", "last.ckpt", [package])

    with pytest.raises(FormatError, match="is no BaseVoiceConversionModel"):
        node.build(BaseVoiceConversionModel)


@pytest.mark.parametrize(
    "item", ["os", "subprocess", "builtins", "__main__", "my-package", "", "a b", "/tmp", "a..b", "*"]
)
def test_trust_takes_packages_alone(item: str) -> None:
    with pytest.raises(ConfigError, match="trust="):
        require_trust([item])


@pytest.mark.parametrize(
    ("target", "trust"),
    [
        (None, ()),
        ("models.rvc.RvcVoice", ()),  # of an earlier version
        ("torch.optim.SGD", ()),
        ("torch.optim.lr_scheduler.StepLR", ()),
        ("utils.training.schedules.Cosine", ()),
        ("mine.Optimizer", ("mine",)),
    ],
)
def test_a_stored_configuration_may_name_what_a_training_uses(target: str | None, trust: tuple[str, ...]) -> None:
    require_known_targets({"optim": [{"optimizer": {"_target_": target}}]}, "last.ckpt", trust)


@pytest.mark.parametrize(
    "target",
    ["mine.Optimizer", "os.system", "torch.optim.adamw.torch.load", "torch.optim.", "models.lite.torch.load", 3, {}],
)
@pytest.mark.parametrize("key", ["_target_", "optimizer._target_"])
def test_a_stored_configuration_that_names_anything_else_is_refused(target: object, key: str) -> None:
    with pytest.raises(FormatError, match=r"last\.ckpt names _target_=.* no class of this workbench"):
        require_known_targets({"optim": [{key: target}]}, "last.ckpt")
