"""Damaged checkpoints, ONNX files and archives of RVC: bytes, zip directories and structures changed at random."""

import io
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.fuzz_material import make_material
from benchmarks.fuzzing import Trial
from utils.audio.synthetic_speech import voice
from utils.config.train import train_job
from utils.export.analyse import analyse
from utils.inference.session import VoiceSession
from utils.rvc.layout import POSTERIOR
from utils.rvc.reading import read_foreign
from utils.training.checkpoints import load_voice

FEW_CHANNELS = (
    "model.hidden_channels=8", "model.filter_channels=16", "model.num_layers=1", "model.posterior_layers=2",
    "model.upsample_channels=32", "model.speaker_dim=4",
)  # fmt: skip
ZIP_MEMBER, CHANGED = "zip member", "changed"
Damage = Callable[[random.Random, bytes], bytes]
STRANGE: tuple[Any, ...] = (
    None, True, -1, 10**30, float("nan"), "", "x" * 10**5, "${oc.env:HOME}", [], {}, [[[]]] * 50, b"\x00",
    {"_target_": "os.system", "command": "true"}, torch.zeros(0), torch.full((3,), float("inf")),
    torch.zeros(2, 2, dtype=torch.int64),
)  # fmt: skip


def checkpoints(seed: int, work: Path) -> Iterator[Trial]:
    """Yield damaged checkpoints of a run, each opened as an export opens it; see another_by_right."""
    run, drawn = make_material(work).run, random.Random(seed)
    good = run / "checkpoints" / "best.ckpt"
    expected, content = _weights(run), torch.load(good, weights_only=True)
    place = work / "damaged_run"
    shutil.copytree(run, place, dirs_exist_ok=True)

    def read(data: bytes) -> bool:
        (place / "checkpoints" / "best.ckpt").write_bytes(data)
        found = _weights(place)
        return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)

    yield from map(another_by_right, _damaged(drawn, good.read_bytes(), content, read))


def archives(seed: int, work: Path) -> Iterator[Trial]:
    """Yield damaged files of RVC, each read as export=rvc_report reads it; see another_by_right.

    What the report says otherwise is no silence either.
    """
    drawn, path = random.Random(seed), work / "damaged.pth"
    content = shared_voice()
    good = saved(content)
    path.write_bytes(good)
    expected, told = read_foreign(path).weights, reported(path)

    def read(data: bytes) -> bool:
        path.write_bytes(data)
        if reported(path) != told:
            return True
        found = read_foreign(path).weights
        return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)

    yield from map(another_by_right, _damaged(drawn, good, content, read))


def another_by_right(trial: Trial) -> Trial:
    """Return a trial that may also be taken, where an archive was made anew around a value that was changed.

    The checksums of such an archive are right, as after training on: nothing tells it from another voice.
    """
    is_another = trial.name.startswith(ZIP_MEMBER) and trial.name.endswith(CHANGED)
    return replace(trial, read=partial(_taken_or_refused, trial.read)) if is_another else trial


def reported(path: Path) -> list[str]:
    """Return what export=rvc_report says of a file."""
    return analyse(path, None, "best", ()).lines()


def _taken_or_refused(read: Callable[[], bool | None]) -> None:
    read()


def graphs(seed: int, work: Path) -> Iterator[Trial]:
    """Yield damaged ONNX files, each opened and run as test_model.py does."""
    good, drawn = make_material(work).voice, random.Random(seed)
    data, audio = good.read_bytes(), voice(0.4, seed=1, f0_hz=150.0)[None].astype(np.float32)
    expected = VoiceSession.open(good).run(audio)
    place = work / "damaged_voice"
    place.mkdir(exist_ok=True)
    path = place / good.name

    def read(changed: bytes) -> bool:
        path.write_bytes(changed)
        return bool(np.array_equal(VoiceSession.open(path).run(audio), expected))

    while True:
        name, changed = _changed(drawn, data)
        yield Trial(name, lambda changed=changed: read(changed))  # type: ignore[misc]


def _damaged(drawn: random.Random, data: bytes, content: Any, read: Callable[[bytes], bool]) -> Iterator[Trial]:
    while True:
        choice = drawn.random()
        try:
            if choice < 0.4:
                name, changed = _changed(drawn, data)
            elif choice < 0.55:
                name, changed = _changed_zip(drawn, data)
            else:
                name, other = _changed_structure(drawn, content)
                changed = saved(other)
        except (pickle.PicklingError, RuntimeError, OverflowError):  # not everything can be written
            continue
        yield Trial(name, lambda changed=changed: read(changed))  # type: ignore[misc]


def _changed(drawn: random.Random, data: bytes) -> tuple[str, bytes]:
    """Return bytes that an accident could have left, and what was done."""
    place, kind = (
        drawn.randrange(len(data)),
        drawn.choice(("bit", "byte", "cut", "zeros", "double", "empty", "text", "swap")),
    )
    length = drawn.choice((1, 16, 4096))
    new = {
        "bit": lambda: data[:place] + bytes([data[place] ^ 1 << drawn.randrange(8)]) + data[place + 1 :],
        "byte": lambda: data[:place] + drawn.randbytes(1) + data[place + 1 :],
        "cut": lambda: data[:place],
        "zeros": lambda: data[:place] + bytes(length) + data[place + length :],
        "double": lambda: data[:place] + data[place : place + length] + data[place:],
        "empty": lambda: b"",
        "text": lambda: drawn.choice(
            (b"{}", b"null", b"version https://git-lfs.github.com/spec/v1\n", b"<html>", b"PK\x03\x04")
        ),
        "swap": lambda: data[place:] + data[:place],
    }[kind]()
    return f"{kind} at {place} of {len(data)}", new


def _changed_zip(drawn: random.Random, data: bytes) -> tuple[str, bytes]:
    """Return an archive of which a member is gone, doubled, renamed, changed or very large."""
    target, kind = io.BytesIO(), drawn.choice(("gone", "double", "renamed", CHANGED, "bomb"))
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as made:
        chosen = drawn.choice(source.namelist())
        for name in source.namelist():
            content = source.read(name)
            if name != chosen:
                made.writestr(name, content)
                continue
            if kind == "double":
                made.writestr(f"{name}", content)
                made.writestr(f"{name}", content[::-1])
            elif kind == "renamed":
                made.writestr(f"../{name}", content)
            elif kind == CHANGED:
                made.writestr(name, _changed(drawn, content or b"x")[1])
            elif kind == "bomb":
                made.writestr(name, bytes(50_000_000), zipfile.ZIP_DEFLATED)
    return f"{ZIP_MEMBER} {chosen} {kind}", target.getvalue()


def _changed_structure(drawn: random.Random, content: Any) -> tuple[str, Any]:
    """Return plain data of which one value, at a random depth, is gone or another, and its path."""
    if not isinstance(content, dict | list) or not content or drawn.random() < 0.12:
        return "", drawn.choice(STRANGE)
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key = drawn.choice(keys)
    copy: Any = content.copy()
    if drawn.random() < 0.1:
        del copy[key]
        return f"{key} gone", copy
    value = content[key]
    if isinstance(value, torch.Tensor) and drawn.random() < 0.5:
        half = value[: len(value) // 2] if value.dim() else value + 1
        name, copy[key] = drawn.choice((
            ("turned", value.T.contiguous() if value.dim() == 2 else value[None]), ("halved", half),
            ("integers", value.to(torch.int32)), ("not a number", value * float("nan")),
            ("complex", value.to(torch.complex64)), ("sparse", value.to_sparse()),
            ("strided", value[None].expand(2, *value.shape)[0]),
        ))  # fmt: skip
        return f"{key} {name}", copy
    path, copy[key] = _changed_structure(drawn, value)
    return f"{key}.{path}" if path else f"{key} another", copy


def saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _weights(run: Path) -> dict[str, torch.Tensor]:
    voice_of_run = load_voice(run, "best")
    return dict(voice_of_run.converter.state_dict())


def shared_voice() -> dict[str, Any]:
    """Return a voice as RVC-WebUI shares it, with few channels and random weights."""
    torch.manual_seed(0)
    words = ["model=rvc_v2_48k", "audio=rvc_48k", *FEW_CHANNELS]
    generator = train_job(words).model.build(content_dim=768, num_speakers=1)
    weights = {key: value.half() for key, value in generator.state_dict().items() if not key.startswith(POSTERIOR)}
    config = [
        1025,
        32,
        8,
        8,
        16,
        2,
        1,
        3,
        0,
        "1",
        [3, 7, 11],
        [[1, 3, 5]] * 3,
        [12, 10, 2, 2],
        32,
        [24, 20, 4, 4],
        1,
        4,
        48000,
    ]
    return {"weight": weights, "config": config, "info": "300epoch", "sr": "48k", "f0": 1, "version": "v2"}
