"""The part of benchmarks.interop for So-VITS-SVC: its public loaders on files written here, and its file read here.

A run of random weights is exported by export=rvc_checkpoint. The program loads G_*.pth with its config.json as for a
conversion and runs it with all noise switched off, resumes it with its optimizer as its training does, D_*.pth too, and
saves what it has; that is read here.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks.interop_asking import PROGRAMS, ask, difference_db
from models.layers.sovits_frames import OwnFrames
from utils.config.export import export_job
from utils.config.train import train_job
from utils.corpus.description import DatasetDescription, FeatureDescription, SpeakerDescription
from utils.errors import WorkbenchError
from utils.export import export
from utils.export.rvc.imported_voice import load_imported_network
from utils.rvc.reading import read_foreign
from utils.training.checkpoint_checks import PAYLOAD_KEY, SCHEMA_VERSION, STEPS

FRAMES, WORST_DB = 40, -80.0
SPEAKERS = ("anna", "bert")


class Variant(NamedTuple):
    """A kind of voice: its name in the table, version, options of the model, and the size of its content."""

    name: str
    version: str
    options: tuple[str, ...] = ()
    content_dim: int = 768


VARIANTS = (
    Variant("4.0", "4_0", content_dim=256),
    Variant("4.0 of the fork, on 768 values", "4_0"),
    Variant("4.1", "4_1"),
    Variant("4.1 on 256 values", "4_1", ("model.speaker_dim=256",), 256),
    Variant("4.1 with volume", "4_1", ("model.use_volume=true",)),
    Variant("4.1 without a pitch decoder", "4_1", ("model.predicts_f0=false",)),
    Variant("4.1 with snakes", "4_1", ("model.use_snakes=true",)),
    Variant("4.1 with a shared flow", "4_1", ("model.shares_flow=true",)),
    Variant("4.1 with a transformer flow", "4_1", ("model.transformer_flow=true",)),
    Variant("4.1 with separable convolutions", "4_1", ("model.is_separable=true",)),
)


def check_sovits(folder: Path, work: Path, chosen: Sequence[str] = ()) -> tuple[list[list[str]], bool]:
    """Try all variants, or those that are chosen, one after the other; return rows and whether all is as it must be."""
    rows, is_good = [], True
    for number, variant in enumerate(VARIANTS):
        if chosen and variant.name not in chosen:
            continue
        place = work / f"sovits_{number}"
        row, fits = _tried(folder, place, variant)
        rows.append([PROGRAMS["sovits"], variant.name, *row])
        is_good &= fits
        shutil.rmtree(place)  # a pair with its optimizers has about a gigabyte
    return rows, is_good


def _tried(folder: Path, place: Path, variant: Variant) -> tuple[list[str], bool]:
    exported, out = write_pair(place, variant), place / "out"
    given = inputs(variant.content_dim)
    np.savez(place / "inputs.npz", **given)  # type: ignore[arg-type]  # no name is an option of it
    task = {"voice": str(exported / "G_800.pth"), "discriminator": str(exported / "D_800.pth"), "out": str(out),
            "config": str(exported / "config.json"), "inputs": str(place / "inputs.npz")}  # fmt: skip
    facts = ask("sovits", folder, [task], place)[0]
    if "error" in facts:
        return [f"refused ({facts['error'][:70]})", "", "", ""], False
    modes = ("own", "automatic") if facts["predicts_f0"] else ("own",)
    there = [_difference(exported / "G_800.pth", given, mode, out) for mode in modes]
    try:
        file = read_foreign(out / "G_801.pth")
        here = max(_difference(out / "G_801.pth", given, mode, out) for mode in modes)
    except WorkbenchError as error:
        return [facts["shown"], f"{max(there):.0f}", "refused", str(error)[-80:]], False
    said = f"{facts['shown']}; {facts['parameters']} parameters, {len(facts['left'])} left as they were"
    words = f"{file.embedder}, version {file.bins}, {'+'.join(file.speakers)}"
    is_good = not facts["left"] and max(*there, here) < WORST_DB
    return [said, f"{max(there):.0f}", f"{here:.0f}", words], is_good


def _difference(path: Path, given: dict[str, np.ndarray], mode: str, out: Path) -> float:
    return difference_db(convert(path, given, mode == "automatic"), np.load(out / f"{mode}.npy"))


def inputs(dim: int) -> dict[str, np.ndarray]:
    """Return features of a conversion: content [1, F, dim], f0 between voiced frames filled, voicing and volume."""
    random = np.random.default_rng(0)
    steps = np.arange(FRAMES, dtype=np.float32)[None]
    return {
        "content": random.normal(size=(1, FRAMES, dim)).astype(np.float32),
        "f0": 120.0 + 3.0 * steps,
        "voiced": (steps % 10 < 7).astype(np.float32),
        "volume": random.uniform(0.01, 0.2, size=(1, FRAMES)).astype(np.float32),
        "speaker": np.array([1]),
    }


def write_pair(place: Path, variant: Variant) -> Path:
    """Export a run of random weights, as if it had been trained for 800 steps, as export=rvc_checkpoint does."""
    job = train_job([f"experiment=sovits_{variant.version}", "dataset.name=interop", *variant.options])
    dim = variant.content_dim
    torch.manual_seed(0)
    networks = {
        "generator": job.model.build(content_dim=dim, num_speakers=len(SPEAKERS)),
        "discriminator": job.discriminator.build(),
    }
    state = {f"{name}.{key}": value for name, part in networks.items() for key, value in part.state_dict().items()}
    content = {
        "state_dict": {**state, STEPS: torch.tensor(800)},
        "optimizer_states": [_used_optimizer(part) for part in networks.values()],
        "epoch": 12,
        PAYLOAD_KEY: {
            "schema_version": SCHEMA_VERSION, "metrics": {}, "config": job.to_yaml(),
            "dataset": _description(job.audio, dim).to_plain(),
        },
    }  # fmt: skip
    checkpoint = place / "run" / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    torch.save(content, checkpoint)
    order = export_job(["export=rvc_checkpoint", "checkpoint=last", "name=voice"])
    outcome = export(order.with_values({"run": str(place / "run"), "export.root": str(place)}))
    checkpoint.unlink()
    return outcome.folder


def _description(audio: Any, dim: int) -> DatasetDescription:
    identity = {"id": "contentvec", "layer": 9 if dim == 256 else 12, "is_projected": dim == 256}
    features = {"content": FeatureDescription(identity=identity, dim=dim), "f0_hz": FeatureDescription()}
    speakers = tuple(SpeakerDescription(name=name) for name in SPEAKERS)
    return DatasetDescription(
        name="interop", audio=audio, speakers=speakers, features=features, files={"manifest": "manifest.jsonl"}
    )


def _used_optimizer(network: nn.Module) -> dict[str, Any]:
    """Return the state of an optimizer after a step that hardly moves the weights."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-12)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer.state_dict()


def convert(path: Path, given: dict[str, np.ndarray], is_automatic: bool) -> np.ndarray:
    """Return the audio [N] of a voice by our network, with all noise switched off."""
    network: Any = load_imported_network(path).model
    content, f0_hz, voiced, volume, speaker = (torch.from_numpy(value) for value in given.values())
    with torch.no_grad():
        made = network.convert(
            OwnFrames(content, f0_hz, voiced, volume, None), speaker,
            prior_noise=torch.zeros(1, network.hidden_channels, FRAMES),
            source_noise=torch.zeros(1, FRAMES * network.own_hop),
            automatic_f0=torch.tensor(1) if is_automatic else None,
        )  # fmt: skip
    audio: np.ndarray = made.audio.flatten().numpy()
    return audio
