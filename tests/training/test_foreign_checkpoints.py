"""A run folder of a stranger: nothing of it is executed or resolved, and whatever is wrong with it is one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tools.training_tools import make_dataset, training
from utils.config import from_yaml, run_script, to_yaml
from utils.config.export import ExportJob, export_job
from utils.config.train import train_job
from utils.corpus.signed_json import KEY, signed
from utils.errors import ConfigError, WorkbenchError
from utils.export import export
from utils.training.checkpoint_checks import PAYLOAD_KEY as OURS
from utils.training.checkpoints import load_voice, read_checkpoint
from utils.training.checks import open_dataset
from utils.training.debug_run import remove_debug_run
from utils.training.fit import Run, prepare_run, restore, train
from utils.training.resuming import ResumedCheckpoint, find_checkpoint

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(training(datasets, tmp_path_factory.mktemp("runs"), "run", 1))


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def change(run: Path, changes: Change) -> Path:
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    changes(content)
    torch.save(content, path)
    return path


def in_config(section: str, value: Any) -> Change:
    def changes(content: dict[str, Any]) -> None:
        config = from_yaml(content[OURS]["config"])
        node = config
        *way, last = section.split(".")
        for name in way:
            node = node[name]
        node[last] = value
        content[OURS]["config"] = to_yaml(config)

    return changes


def in_feature(feature: str, name: str | None, value: Any) -> Change:
    def changes(content: dict[str, Any]) -> None:
        described = content[OURS]["dataset"]["features"][feature]
        if name is None:
            described["config"] = value
        else:
            described["config"][name] = value

    return changes


def command(marker: Path) -> dict[str, Any]:
    return {"_target_": "torch.utils.collect_env.run", "command": f"touch {marker}"}


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(WorkbenchError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


PLACES = {
    "model": lambda node: in_config("model", node),
    "inside model": lambda node: in_config("model.x", [{"y": node}]),
    "content": lambda node: in_feature("content", None, node),
    "inside content": lambda node: in_feature("content", "x", node),
    "pitch": lambda node: in_feature("f0_hz", None, node),
    "inside pitch": lambda node: in_feature("f0_hz", "voicing_threshold", node),
    # sections from which a loaded voice builds nothing
    "optimizer": lambda node: in_config("optim", {"optimizer": node}),
    "inside logger": lambda node: in_config("logger", {"x": [{"y": node}]}),
    "augmentation": lambda node: in_config("augmentation", node),
    "a section of its own": lambda node: in_config("unheard_of", node),
}


ROUTES = [("load_voice", place) for place in PLACES] + [("onnx", "inside pitch"), ("onnx", "model")]
ROUTES += [(route, "inside model") for route in ("wokada", "rvc_pth", "rvc_checkpoint")]


@pytest.mark.parametrize(("route", "place"), ROUTES)
def test_a_class_that_a_checkpoint_names_is_not_run_by_any_export(
    run: Path, tmp_path: Path, place: str, route: str
) -> None:
    marker = tmp_path / "was_run"
    change(run, PLACES[place](command(marker)))

    if route == "load_voice":
        message = refusal(lambda: load_voice(run, "last"))
    else:
        overrides = [f"run={run}", f"export={route}", "checkpoint=last", f"export.root={tmp_path / 'exports'}"]
        message = refusal(lambda: export(export_job(overrides)))

    assert "no class of this workbench" in message or "no generator of RVC" in message or route.startswith("rvc")
    assert not marker.exists() and not (tmp_path / "exports").exists()


@pytest.mark.slow
def test_a_sweep_over_runs_runs_nothing_either(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    marker, other = tmp_path / "was_run", shutil.copytree(run, tmp_path / "other")
    for folder, place in ((run, "inside model"), (other, "pitch")):
        change(folder, PLACES[place](command(marker)))
    places = [f"export.root={tmp_path / 'exports'}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    monkeypatch.setattr("sys.argv", ["export_onnx.py", "-m", f"run={run},{other}", "checkpoint=last", *places])

    with pytest.raises(SystemExit) as caught:
        run_script(ExportJob, export)

    assert caught.value.code == 2 and "no class of this workbench" in capfd.readouterr().err
    assert not marker.exists() and not (tmp_path / "exports").exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["inside model", "content"])
def test_a_class_that_a_checkpoint_names_is_not_run_by_a_resume(
    run: Path, datasets: Path, tmp_path: Path, place: str
) -> None:
    marker = tmp_path / "was_run"
    path = change(run, PLACES[place](command(marker)))

    for name, resume in (("run", "last"), ("other", str(path))):
        try:
            train(training(datasets, tmp_path, name, 2, f"resume={resume}", "retrieval.codebook_size=16"))
        except WorkbenchError as error:
            assert "\n" not in str(error)

    assert not marker.exists()


def test_a_dataset_that_names_a_command_trains_and_is_refused_when_it_is_exported(
    datasets: Path, tmp_path: Path
) -> None:
    marker, foreign = tmp_path / "was_run", tmp_path / "datasets"
    shutil.copytree(datasets / "tiny", foreign / "tiny")
    described = foreign / "tiny" / "dataset.json"
    plain = json.loads(described.read_text(encoding="utf-8"))
    plain["features"]["content"]["config"]["_target_"] = "os.system"
    plain.pop(KEY)
    described.write_text(json.dumps(signed(plain)), encoding="utf-8")

    run = train(training(foreign, tmp_path, "run", 1))

    assert "os.system, no class of this workbench" in refusal(lambda: load_voice(run, "last"))
    assert not marker.exists()


@pytest.mark.parametrize("place", ["note", "pretrained.batch_size"])
def test_an_interpolation_is_resolved_on_no_way(
    run: Path, datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    change(run, in_config(place, "${oc.env:SECRET}"))

    messages = [
        refusal(lambda: load_voice(run, "last")),
        refusal(lambda: export(export_job([f"run={run}", "checkpoint=last", f"export.root={tmp_path / 'exports'}"]))),
        refusal(lambda: train(training(datasets, tmp_path, "run", 2, "resume=last"))),
    ]

    assert all("nothing was resolved" in message and "s3cr3t" not in message for message in messages)


@pytest.mark.parametrize("feature", ["content", "f0_hz"])
def test_an_interpolation_in_a_description_is_not_resolved(
    run: Path, monkeypatch: pytest.MonkeyPatch, feature: str
) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    change(run, in_feature(feature, "weights", "${oc.env:SECRET}"))

    message = refusal(lambda: load_voice(run, "last"))

    assert "nothing was resolved" in message and "s3cr3t" not in message


def test_a_configuration_that_unfolds_without_end_is_refused_on_every_way(
    run: Path, datasets: Path, tmp_path: Path
) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(8)
    )
    change(run, lambda content: content[OURS].__setitem__("config", bomb))
    (run / "config.yaml").write_text(bomb)

    assert "aliases" in refusal(lambda: load_voice(run, "last"))
    assert "aliases" in refusal(lambda: train(training(datasets, tmp_path, "run", 2, "resume=last")))
    assert "aliases" in refusal(lambda: remove_debug_run(run))
    assert (run / "checkpoints" / "last.ckpt").is_file()


def test_an_encoder_of_the_hub_is_not_downloaded_for_a_file(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, local_files_only: bool = False, **__: Any) -> str:
        assert local_files_only
        raise OSError("not here")

    huggingface_hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    node = {"_target_": "utils.features.content.hubert.open_content", "path": "hf:some/model", "layer": 9, "name": "x"}
    change(run, in_feature("content", None, node))

    assert "hf download some/model" in refusal(lambda: load_voice(run, "last"))


def test_a_class_of_ones_own_is_loaded_once_its_package_is_named(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "voices_of_mine.py").write_text("from models.toy import ToyVoice\n\nclass Mine(ToyVoice):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    run = train(training(datasets, tmp_path, "run", 1, "model._target_=voices_of_mine.Mine"))

    assert "trust=[my_package]" in refusal(lambda: load_voice(run, "last"))
    assert type(load_voice(run, "last", trust=["voices_of_mine"]).model).__name__ == "Mine"
    assert export_job([f"run={run}", "trust=[voices_of_mine]"]).trust == ("voices_of_mine",)


DAMAGES: dict[str, Change] = {
    "config missing": lambda content: content[OURS].pop("config"),
    "config list": lambda content: content[OURS].__setitem__("config", "- 1"),
    "config number": lambda content: content[OURS].__setitem__("config", 3),
    "config damaged": lambda content: content[OURS].__setitem__("config", "a: [}"),
    "config empty": lambda content: content[OURS].__setitem__("config", ""),
    "model a list": in_config("model", [1]),
    "model too wide": in_config("model.channels", 10**7),
    "model endless": in_config("model.num_layers", 10**9),
    "model argument unknown": in_config("model.nothing", 1),
    "audio missing": in_config("audio", None),
    "dataset place a list": in_config("dataset.root", [1]),
    "dataset place of two lines": in_config("dataset.root", "a\nb"),
    "dataset missing": lambda content: content[OURS].pop("dataset"),
    "features missing": lambda content: content[OURS]["dataset"].pop("features"),
    "features a list": lambda content: content[OURS]["dataset"].__setitem__("features", [1]),
    "content missing": lambda content: content[OURS]["dataset"]["features"].pop("content"),
    "identity a text": lambda content: content[OURS]["dataset"]["features"]["content"].__setitem__("identity", "x"),
    "dim a text": lambda content: content[OURS]["dataset"]["features"]["content"].__setitem__("dim", "x"),
    "dim another": lambda content: content[OURS]["dataset"]["features"]["content"].__setitem__("dim", 8),
    "dim enormous": lambda content: content[OURS]["dataset"]["features"]["content"].__setitem__("dim", 10**12),
    "no speakers": lambda content: content[OURS]["dataset"].__setitem__("speakers", []),
    "speaker a number": lambda content: content[OURS]["dataset"]["speakers"].__setitem__(0, 3),
    "speaker of two lines": lambda content: content[OURS]["dataset"]["speakers"][0].__setitem__("name", "a\nb"),
    "speaker unnamed": lambda content: content[OURS]["dataset"]["speakers"][0].__setitem__("name", None),
    "speaker's pitch a text": lambda content: content[OURS]["dataset"]["speakers"][0].__setitem__("f0_median_hz", "x"),
    "speakers named alike": lambda content: content[OURS]["dataset"]["speakers"][0].__setitem__("name", "bert"),
    "audio of the dataset": lambda content: content[OURS]["dataset"].__setitem__("audio", {"sample_rate": "x"}),
    "files a text": lambda content: content[OURS]["dataset"].__setitem__("files", "x"),
    "not finite": lambda content: content[OURS]["dataset"].__setitem__("x", float("nan")),
    "metrics list": lambda content: content[OURS].__setitem__("metrics", [1]),
    "metrics of texts": lambda content: content[OURS].__setitem__("metrics", {"val/mel": "x"}),
    "decisive a list": lambda content: content[OURS].__setitem__("decisive", [1]),
    "pretrained of numbers": lambda content: content[OURS].__setitem__("pretrained", {"generator": 1}),
    "codebook a text": lambda content: content[OURS].__setitem__("codebook", "x"),
    "codebook shapeless": lambda content: content[OURS]["codebook"].__setitem__("shape", "x"),
    "codebook another": lambda content: content[OURS]["codebook"].__setitem__("sha256", "0" * 64),
    "payload with a tensor": lambda content: content[OURS].__setitem__("x", torch.zeros(2)),
    "no state": lambda content: content.pop("state_dict"),
    "state a list": lambda content: content.__setitem__("state_dict", [torch.zeros(1)]),
    "extra tensor": lambda content: content["state_dict"].__setitem__("averaged.z", torch.zeros(1)),
    "tensor missing": lambda content: content["state_dict"].pop(averaged(content)),
    "tensor another shape": lambda content: content["state_dict"].__setitem__(averaged(content), torch.zeros(3, 3, 3)),
    "tensor not finite": lambda content: content["state_dict"][averaged(content)].fill_(float("nan")),
    "tensor a text": lambda content: content["state_dict"].__setitem__(averaged(content), "x"),
    "no steps": lambda content: content["state_dict"].pop("steps_done"),
    "steps below zero": lambda content: content["state_dict"].__setitem__("steps_done", torch.tensor(-3)),
    "steps not a number": lambda content: content["state_dict"].__setitem__("steps_done", torch.tensor(float("nan"))),
}


def averaged(content: dict[str, Any]) -> str:
    return next(key for key in content["state_dict"] if key.startswith("averaged."))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_of_a_checkpoint_is_one_line(run: Path, damage: str) -> None:
    change(run, DAMAGES[damage])

    assert str(run) in refusal(lambda: load_voice(run, "last"))


def test_a_loop_inside_a_checkpoint_is_one_line(run: Path) -> None:
    def changes(content: dict[str, Any]) -> None:
        content[OURS]["decisive"]["again"] = content[OURS]

    path = change(run, changes)

    assert "deep" in refusal(lambda: read_checkpoint(path))


STATES: dict[str, Change] = {
    "no optimizers": lambda content: content.pop("optimizer_states"),
    "one optimizer": lambda content: content["optimizer_states"].pop(),
    "optimizer a list": lambda content: content["optimizer_states"].__setitem__(0, [1]),
    "no groups": lambda content: content["optimizer_states"][0].__setitem__("param_groups", []),
    "group without parameters": lambda content: content["optimizer_states"][0]["param_groups"][0].pop("params"),
    "rate a text": lambda content: content["optimizer_states"][0]["param_groups"][0].__setitem__("lr", "x"),
    "moment another shape": lambda content: content["optimizer_states"][0]["state"][0].update(
        exp_avg=torch.zeros(7, 7)
    ),
    "moment missing": lambda content: content["optimizer_states"][0]["state"][0].pop("exp_avg_sq"),
    "no schedules": lambda content: content.pop("lr_schedulers"),
    "schedule with a method": lambda content: content["lr_schedulers"][0].__setitem__("step", 3),
    "schedule of texts": lambda content: content["lr_schedulers"][0].__setitem__("last_epoch", "x"),
    "no callbacks": lambda content: content.pop("callbacks"),
    "history a text": lambda content: content["callbacks"]["HistoryRecorder"].__setitem__("rows", "x"),
    "history of texts": lambda content: content["callbacks"]["HistoryRecorder"].__setitem__("rows", [{"step": "x"}]),
    "best a text": lambda content: content["callbacks"]["RunKeeper"].__setitem__("best_value", "x"),
    "best missing": lambda content: content["callbacks"]["RunKeeper"].pop("best_value"),
    "random states a text": lambda content: content.__setitem__("random_states", "x"),
    "random words": lambda content: content["random_states"]["processes"][0]["python"].__setitem__(1, [1, 2]),
    "torch's random state": lambda content: content["random_states"]["processes"][0].__setitem__(
        "torch", torch.zeros(3)
    ),
    "skipped a text": lambda content: content["adversarial_training"].__setitem__("skipped", "x"),
    "scalers a list": lambda content: content["adversarial_training"].__setitem__("scalers", [1]),
    "no version": lambda content: content.pop("pytorch-lightning_version"),
    "old version": lambda content: content.__setitem__("pytorch-lightning_version", "0.9"),
    "loops": lambda content: content.__setitem__("loops", {"fit_loop": 3}),
    "weights of another kind": lambda content: content["state_dict"].update(
        {averaged(content): content["state_dict"][averaged(content)].to(torch.complex64)}
    ),
}


@pytest.fixture(scope="module")
def prepared(trained: Path, datasets: Path) -> Run:
    """The run, ready to go on."""
    job = training(datasets, trained.parent, "run", 2, "resume=last")
    return prepare_run(job, open_dataset(job), trained, find_checkpoint(job, trained))


@pytest.mark.parametrize("state", STATES)
def test_a_damaged_state_is_refused_before_a_run_goes_on(prepared: Run, run: Path, state: str) -> None:
    path = change(run, STATES[state])
    random = torch.get_rng_state()

    assert str(path) in refusal(lambda: restore(prepared, ResumedCheckpoint(path, read_checkpoint(path))))

    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("value", ["x", [1], None])
def test_a_start_of_another_kind_is_refused(run: Path, datasets: Path, tmp_path: Path, value: Any) -> None:
    change(run, in_config("pretrained.batch_size", value))
    before = {item: item.read_bytes() for item in run.rglob("*") if item.is_file() and item.name != ".lock"}

    assert "is no number" in refusal(lambda: train(training(datasets, tmp_path, "run", 2, "resume=last")))

    assert all(item.read_bytes() == content for item, content in before.items())


def test_settings_of_several_lines_are_shown_in_one(run: Path, prepared: Run) -> None:
    path = change(run, lambda content: content[OURS]["decisive"].update({"a\nb": "c\nd", "seed": "e\nf"}))

    assert "'e\\nf'" in refusal(lambda: restore(prepared, ResumedCheckpoint(path, read_checkpoint(path))))


@pytest.mark.slow
def test_what_was_not_changed_goes_on(run: Path, datasets: Path, tmp_path: Path) -> None:
    change(run, lambda content: None)

    train(training(datasets, tmp_path, "run", 2, "resume=last"))

    assert int(read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]["steps_done"]) == 2
    assert load_voice(run, "last").step == 2


def test_what_is_typed_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "voices_of_mine.py").write_text("from models.toy import ToyVoice\n\nclass Mine(ToyVoice):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    job = train_job(["model=toy", "audio=16k", "model._target_=voices_of_mine.Mine"])

    assert type(job.model.build(content_dim=4, num_speakers=1)).__name__ == "Mine"
    with pytest.raises(ConfigError):
        train_job(["model=toy", "audio=16k", "model._target_=no_such.Voice"]).model.build(content_dim=4, num_speakers=1)
