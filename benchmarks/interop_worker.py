"""The loaders and savers of another program, run in a process of their own by benchmarks/interop.py.

It imports nothing of this repository: packages of the programs have the same names (utils, train, configs). Modules
that a loader imports for other purposes and that are not installed are replaced by empty ones, and named.
"""

import argparse
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]
import numpy as np  # noqa: E402
import torch  # noqa: E402

OF_OTHER_DEVICES = ("torch_directml", "intel_extension_for_pytorch")
CODE = (".py", ".json", ".txt", ".yaml")
MODEL_KEYS = (
    "inter_channels", "hidden_channels", "filter_channels", "n_heads", "n_layers", "kernel_size", "p_dropout",
    "resblock", "resblock_kernel_sizes", "resblock_dilation_sizes", "upsample_rates", "upsample_initial_channel",
    "upsample_kernel_sizes", "spk_embed_dim", "gin_channels",
)  # fmt: skip


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives empty modules for what the code of a program imports and is not installed.

    Args:
        folder: of the program; other packages try what they can do without.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: set[str] = set()

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Return a module that pretends, unless the package around it is real."""
        top = name.partition(".")[0]
        if top in OF_OTHER_DEVICES or ("." in name and top not in self.names):
            return None
        frame = sys._getframe(1)
        while frame.f_back is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if not frame.f_code.co_filename.startswith(str(self.folder)):
            return None
        self.names.add(top)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return what has every attribute."""
        module = MagicMock(name=spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is there to be executed."""


def silence_noise() -> None:
    """Let all random numbers of a conversion be zero."""

    def zeros(*size: Any, **more: Any) -> torch.Tensor:
        return torch.zeros(*size, device=more.get("device"), dtype=more.get("dtype"))

    for name, made in {"randn_like": torch.zeros_like, "rand": zeros, "randn": zeros}.items():
        setattr(torch, name, made)


def infer(
    network: Any, given: dict[str, torch.Tensor], has_f0: bool, more: Sequence[int] = (), absent: Sequence[None] = ()
) -> np.ndarray:
    """Return the audio [N] of a program's own network; `absent` stands where it wants the pitch of a voice without."""
    pitch = (given["coarse"], given["f0"]) if has_f0 else absent
    with torch.no_grad():
        found = network.infer(given["phone"], given["lengths"], *pitch, given["speaker"], *more)
    audio: np.ndarray = (found[0] if isinstance(found, tuple) else found).flatten().float().numpy()
    return audio


def settings_of(values: Sequence[Any]) -> SimpleNamespace:
    """Return a program's settings from the 18 values in a voice."""
    bins, _, *model, rate = values
    data = SimpleNamespace(filter_length=2 * (bins - 1), sampling_rate=rate, sample_rate=rate)
    return SimpleNamespace(data=data, model=SimpleNamespace(**dict(zip(MODEL_KEYS, model, strict=True))))


def applio(task: dict[str, str], given: dict[str, torch.Tensor], out: Path) -> dict[str, Any]:
    """Load with VoiceConverter, save with extract_model."""
    from rvc.infer.infer import VoiceConverter
    from rvc.train.process.extract_model import extract_model
    from rvc.train.process.model_information import model_information

    converter = VoiceConverter()
    converter.load_model(task["voice"])
    converter.setup_network()
    voice = converter.cpt
    np.save(out / "audio.npy", infer(converter.net_g, given, bool(converter.use_f0), absent=(None, None)))
    (out / "model_info.json").write_text(
        json.dumps({"total_dataset_duration": "00:10:00", "embedder_model": voice["embedder_model"], "speakers_id": 1})
    )
    if not Path("assets/config.json").exists():  # the program's start makes it so
        shutil.copy("assets/config_template.json", "assets/config.json")
    state = converter.net_g.state_dict()
    settings = settings_of(voice["config"])
    extract_model(
        state, converter.tgt_sr, "saved", str(out / "saved.pth"), 7, 70, settings, converter.vocoder,
        pitch_guidance=bool(converter.use_f0), version=converter.version,
    )  # fmt: skip
    said = dict(line.split(": ", 1) for line in model_information(task["voice"]).splitlines() if ": " in line)
    rows = voice["config"][-3]
    shown = ", ".join(said.get(key, "") for key in ("Epochs", "Steps", "Vocoder", "Dataset Length", "Embedder Model"))
    return {"rate": converter.tgt_sr, "version": converter.version, "speakers": rows, "shown": shown}


def rvc_webui(task: dict[str, str], given: dict[str, torch.Tensor], out: Path) -> dict[str, Any]:
    """Load with VC.get_vc, save with savee."""
    path = Path(task["voice"])
    os.environ |= {"weight_root": str(path.parent), "index_root": str(path.parent), "outside_index_root": ""}
    from infer.vc.modules import VC
    from infer.vc.utils import get_index_path_from_model
    from train.process_ckpt import savee

    voice = VC(SimpleNamespace(device="cpu", is_half=False, x_pad=1, x_query=6, x_center=38, x_max=41))
    voice.get_vc(path.name)
    np.save(out / "audio.npy", infer(voice.net_g, given, bool(voice.if_f0)))
    Path("assets/weights").mkdir(parents=True, exist_ok=True)
    rate = voice.tgt_sr
    savee(
        voice.net_g.state_dict(),
        f"{rate // 1000}k",
        voice.if_f0,
        "saved",
        7,
        voice.version,
        settings_of(voice.cpt["config"]),
    )
    shutil.move("assets/weights/saved.pth", out / "saved.pth")
    index = get_index_path_from_model(path.name)
    return {"rate": rate, "version": voice.version, "speakers": voice.cpt["config"][-3], "index": Path(index).name}


def rvc_next(task: dict[str, str], given: dict[str, torch.Tensor], out: Path) -> dict[str, Any]:
    """Load with load_voice, save with save_small_from_state."""
    from rvc_next.engine.models.checkpoint import save_small_from_state, small_config_from_hparams
    from rvc_next.engine.models.loader import load_voice

    voice = load_voice(task["voice"], "cpu", False)
    np.save(out / "audio.npy", infer(voice.net_g, given, voice.if_f0))
    settings = settings_of(voice.small.config)
    save_small_from_state(
        voice.net_g.state_dict(), small_config_from_hparams(settings), out / "saved.pth", sr=f"{voice.tgt_sr // 1000}k",
        pitch_guidance=voice.if_f0, version=voice.version, info="7epoch", speaker_info=voice.small.speaker_info,
        extra={"epoch": 7, "step": 70, "creation_date": "2026-12-01T00:00:00", "f0_median": 190.0},
    )  # fmt: skip
    names = [entry["name"] for entry in voice.small.speaker_info]
    return {"rate": voice.tgt_sr, "version": voice.version, "speakers": voice.n_spk, "names": names}


CLIENT_CLASSES = {
    "pyTorchRVC": "RVCInferencer", "pyTorchRVCNono": "RVCInferencerNono", "pyTorchRVCv2": "RVCInferencerv2",
    "pyTorchRVCv2Nono": "RVCInferencerv2Nono",
}  # fmt: skip


def client(task: dict[str, str], given: dict[str, torch.Tensor], out: Path, *, is_fork: bool) -> dict[str, Any]:
    """Load with the slot generator and the inferencer of w-okada's voice changer or of deiteris' fork."""
    from data.ModelSlot import RVCModelSlot
    from voice_changer.RVC.RVCModelSlotGenerator import RVCModelSlotGenerator

    slot = RVCModelSlotGenerator._setInfoByPytorch(task["voice"], RVCModelSlot())
    name = CLIENT_CLASSES[slot.modelType]
    inferencer = getattr(importlib.import_module(f"voice_changer.RVC.inferencer.{name}"), name)()
    inferencer.load_model(task["voice"]) if is_fork else inferencer.loadModel(task["voice"], -1)
    frames = int(given["phone"].shape[1])
    np.save(out / "audio.npy", infer(inferencer.model, given, slot.f0, (0, frames, frames) if is_fork else ()))
    if is_fork:
        from voice_changer.common.SafetensorsUtils import convert_single

        shutil.copy(task["voice"], out / "saved.pth")
        convert_single(str(out / "saved.pth"), True)
    return {"rate": slot.samplingRate, "version": "v2" if slot.embChannels == 768 else "v1", "encoder": slot.embedder}


def client_graph(task: dict[str, str], given: dict[str, torch.Tensor], out: Path, *, is_fork: bool) -> dict[str, Any]:
    """Load a graph with the slot generator and the inferencer of the same programs."""
    from data.ModelSlot import RVCModelSlot
    from voice_changer.RVC.RVCModelSlotGenerator import RVCModelSlotGenerator

    slot = RVCModelSlotGenerator._setInfoByONNX(task["graph"], RVCModelSlot())
    name = "OnnxRVCInferencer" if slot.f0 else "OnnxRVCInferencerNono"
    inferencer = getattr(importlib.import_module(f"voice_changer.RVC.inferencer.{name}"), name)()
    load = inferencer.load_model if is_fork else inferencer.loadModel
    load(task["graph"], *(() if is_fork else (-1,)), slot.version)
    frames = int(given["phone"].shape[1])
    values = (given[key] for key in ("phone", "lengths", "coarse", "f0", "speaker"))
    audio = inferencer.infer(*values, *((0, frames, frames) if is_fork else (None,)))
    np.save(out / "audio.npy", audio.flatten().float().numpy())
    return {"rate": slot.samplingRate, "version": slot.version, "encoder": slot.embedder, "type": str(slot.modelType)}


def wokada(task: dict[str, str], given: dict[str, torch.Tensor], out: Path) -> dict[str, Any]:
    """See client and client_graph."""
    return (client_graph if "graph" in task else client)(task, given, out, is_fork=False)


def deiteris(task: dict[str, str], given: dict[str, torch.Tensor], out: Path) -> dict[str, Any]:
    """See client and client_graph."""
    return (client_graph if "graph" in task else client)(task, given, out, is_fork=True)


def sovits(task: dict[str, str], given: dict[str, torch.Tensor], out: Path) -> dict[str, Any]:
    """Load with Svc.load_model, resume and save with load_checkpoint and save_checkpoint."""
    from inference.infer_tool import Svc

    utils: Any = importlib.import_module("utils")  # its own, not ours
    models: Any = importlib.import_module("models")
    voice = Svc.__new__(Svc)  # its own constructor also loads the content encoder
    voice.net_g_path, voice.dev = task["voice"], torch.device("cpu")
    voice.hps_ms = utils.get_hparams_from_file(task["config"], True)
    voice.load_model()
    network, model = voice.net_g_ms, voice.hps_ms.model
    content, told = given["content"].transpose(1, 2), {"uv": given["voiced"], "g": given["speaker"].unsqueeze(0)}
    volume = given["volume"] if model.vol_embedding else None
    predicts = bool(network.use_automatic_f0_prediction)
    for name, is_automatic in {"own": False, **({"automatic": True} if predicts else {})}.items():
        audio, _ = network.infer(content, f0=given["f0"], vol=volume, predict_f0=is_automatic, noice_scale=0.4, **told)
        np.save(out / f"{name}.npy", audio.flatten().numpy())
    stored = set(torch.load(task["voice"], weights_only=True)["model"])
    left = sorted(stored ^ set(network.state_dict()))
    train = voice.hps_ms.train
    discriminator = models.MultiPeriodDiscriminator(model.use_spectral_norm)
    for part, path in ((discriminator, task["discriminator"]), (network, task["voice"])):
        optimizer = torch.optim.AdamW(part.parameters(), train.learning_rate, betas=train.betas, eps=train.eps)
        _, _, rate, epoch = utils.load_checkpoint(path, part, optimizer)
        for parameter in part.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.param_groups[0]["lr"] = 0.0  # the step only shows that the moments have the shapes of the parameters
        optimizer.step()
    utils.save_checkpoint(network, optimizer, rate, epoch, str(out / "G_801.pth"))
    shutil.copy(task["config"], out / "config.json")
    shown = f"epoch {epoch}, {len(optimizer.state_dict()['state'])} moments, {model.speech_encoder or 'no encoder'}"
    return {"shown": shown, "predicts_f0": predicts, "parameters": len(stored), "left": left}


def blend_of(program: str, pair: Sequence[str], share: float, out: Path) -> str | None:
    """Let the program blend two voices; return the file, None for a program without."""
    target = out / "blend.pth"
    if program == "applio":
        from rvc.train.process.model_blender import model_blender

        Path("logs").mkdir(exist_ok=True)
        shutil.move(model_blender("blend", *pair, share)[1], target)
    elif program == "rvc_next":
        from rvc_next.engine.models.merge import merge_models

        merge_models(*pair, target, alpha=share)
    elif program == "rvc_webui":
        from train.process_ckpt import merge

        merge(*pair, share, "48k", "是", "", "blend", "v2")
        shutil.move("assets/weights/blend.pth", target)
    else:
        return None
    return str(target)


PROGRAMS = {call.__name__: call for call in (applio, rvc_webui, rvc_next, wokada, deiteris, sovits)}


def scratch_copy(folder: Path, place: Path) -> Path:
    """Copy the code of a checkout, so that nothing is written into it."""

    def other_files(directory: str, names: list[str]) -> set[str]:
        return {name for name in names if (Path(directory) / name).is_file() and not name.endswith(CODE)}

    return Path(shutil.copytree(folder, place, ignore=other_files, symlinks=True))


def main() -> None:
    """Do the tasks of a file, each reported in <out>/facts.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tasks", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    copy = scratch_copy(options.folder.resolve(), options.tasks.parent / f"{options.program}_copy")
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.argv = [sys.argv[0]]
    absent = Absent(copy)
    sys.meta_path.append(absent)
    for task in json.loads(options.tasks.read_text("utf-8")):
        out = Path(task["out"])
        facts: dict[str, Any] = {}
        try:
            if "pair" in task:
                facts["blend"] = blend_of(options.program, task["pair"], task["share"], out)
            else:
                given = {name: torch.from_numpy(value) for name, value in np.load(task["inputs"]).items()}
                silence_noise()
                facts = PROGRAMS[options.program](task, given, out)
        except Exception as error:  # noqa: BLE001  what a program refuses is what is measured
            facts = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]}
            (out / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
        facts["replaced"] = sorted(absent.names)
        (out / "facts.json").write_text(json.dumps(facts, default=str), encoding="utf-8")


if __name__ == "__main__":
    main()
