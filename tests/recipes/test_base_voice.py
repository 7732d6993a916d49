"""The recipe of the base voice leaves out whom the benchmark of quality converts."""

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.options import CORPORA
from benchmarks.sources import pick_sources

ROOT = Path(__file__).resolve().parents[2]
CARD = (ROOT / "models/weights/lite_base.md").read_text(encoding="utf-8")
RECIPE = (ROOT / "configs/experiment/lite_base.yaml").read_text(encoding="utf-8")
READERS = re.compile(r"(?:\b\d+ ){19}\d+\b")


def test_card_and_recipe_name_the_same_twenty_readers() -> None:
    found = {tuple(line.split()) for line in READERS.findall(CARD) + READERS.findall(RECIPE)}

    assert len(READERS.findall(CARD)) == 2 and len(READERS.findall(RECIPE)) == 1
    assert len(found) == 1
    assert len(set(next(iter(found)))) == 20


@pytest.mark.skipif(not (CORPORA / "librispeech").is_dir(), reason="needs the shared corpora")
def test_they_are_those_that_are_converted() -> None:
    assert [speaker for speaker, _ in pick_sources(CORPORA / "librispeech", 20)] == READERS.findall(RECIPE)[0].split()


def test_the_commands_of_the_card_lay_out_speakers_without_them(tmp_path: Path) -> None:
    names = [
        "librispeech/60-1-1.flac",
        "librispeech/61-1-1.flac",
        "librispeech/8095-2-1.flac",
        "librispeech/809-2-1.flac",
    ]
    names += ["nl/flemishguy/1.flac", "nl/nathalie/1.flac"]
    names += [f"{language}/{number:04d}.wav" for language in ("en", "es", "fr", "it", "ru") for number in range(55)]
    names += [f"ru_festvox/{number:04d}.wav" for number in range(140)]
    for name in names:
        (tmp_path / "recordings" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "recordings" / name).touch()
    commands = next(block for block in re.findall(r"```sh\n(.*?)```", CARD, re.DOTALL) if "held_out" in block)

    subprocess.run(["sh", "-euc", commands], cwd=tmp_path, check=True)

    speakers = {path.name: len(list(path.iterdir())) for path in (tmp_path / "speakers").iterdir()}
    assert speakers == {
        "ls61": 1, "ls809": 1, "flemishguy": 1, "nathalie": 1, "festvox_ru": 130,
        "asterisk_en": 47, "asterisk_es": 41, "asterisk_fr": 48, "asterisk_it": 50, "asterisk_ru": 47,
    }  # fmt: skip
