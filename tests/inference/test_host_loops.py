"""The loops that docs/guides/hosts.md shows to authors of runtimes do what HistoryStream does."""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.feeding import WHOLE, feeds_of
from tests.tools.document_tools import read
from utils.inference.history import HistoryStream
from utils.verification.signals import speech_like

PAGE = "docs/guides/hosts.md"
RATE, BLOCKS = 16000, 5
BLOCK, HISTORY, AHEAD = 1600, 8000, 960
SIZES = f"{RATE}, {BLOCK}, {HISTORY}, {AHEAD}"
JAVASCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
let calls = 0;
const run = async (audio) => {
  calls += 1;
  return audio.map((value, n) => 0.5 * value + 0.2 * Math.sin((2 * Math.PI * 110 * n) / RATE + 1.7 * calls));
};
const given = new Float32Array(new Uint8Array(readFileSync("given.f32")).buffer);
const made = new Float32Array(given.length);
const blocks = new Blocks(run, SIZES);
for (let at = 0; at < given.length; at += BLOCK) made.set(await blocks.process(given.slice(at, at + BLOCK)), at);
writeFileSync("made.f32", made);
"""
RUST = """
fn main() {
    let mut calls = 0;
    let run = |audio: &[f32]| -> Result<Vec<f32>, std::io::Error> {
        calls += 1;
        let turn = |n: usize| 2.0 * std::f64::consts::PI * 110.0 * n as f64 / RATE as f64 + 1.7 * calls as f64;
        Ok(audio.iter().enumerate().map(|(n, value)| 0.5 * value + 0.2 * turn(n).sin() as f32).collect())
    };
    let bytes = std::fs::read("given.f32").unwrap();
    let given: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    let mut blocks = Blocks::new(run, SIZES);
    let made: Vec<f32> = given.chunks(BLOCK).flat_map(|part| blocks.process(part).unwrap()).collect();
    std::fs::write("made.f32", made.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
}
"""


class Singing:
    """A voice that keeps half of what it is given and sings 110 Hz, in each run from another phase."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.calls = 0

    def run(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        self.calls += 1
        turn = 2 * np.pi * 110 * np.arange(len(audio)) / RATE + 1.7 * self.calls
        return (0.5 * audio + 0.2 * np.sin(turn)).astype(np.float32)


def shown(language: str) -> str:
    """Return the block of the page in a language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", read(PAGE), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def given() -> np.ndarray:
    return speech_like(RATE, BLOCKS * BLOCK, 3).astype(np.float32)


def by_history_stream() -> np.ndarray:
    stream = HistoryStream(Singing())
    assert (stream.block, stream.delay) == (BLOCK, AHEAD)
    return np.concatenate([stream.process(part) for part in given().reshape(-1, BLOCK)])


def with_sizes(program: str) -> str:
    """Return a driver with the numbers in the place of their names."""
    return program.replace("SIZES", SIZES).replace("RATE", str(RATE)).replace("BLOCK", str(BLOCK))


def by_program(folder: Path, command: list[str]) -> np.ndarray:
    given().astype("<f4").tofile(folder / "given.f32")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return np.fromfile(folder / "made.f32", "<f4")


def test_loop_in_python_is_history_stream() -> None:
    names: dict[str, Any] = {}
    exec(shown("python"), names)
    make: Callable[..., Any] = names["Blocks"]
    blocks = make(Singing().run, RATE, BLOCK, HISTORY, AHEAD)

    made = np.concatenate([blocks.process(part) for part in given().reshape(-1, BLOCK)])

    np.testing.assert_allclose(made, by_history_stream(), atol=1e-5)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node: apt install nodejs")
def test_loop_in_javascript_is_history_stream(tmp_path: Path) -> None:
    program = shown("js") + with_sizes(JAVASCRIPT)
    (tmp_path / "loop.mjs").write_text(program, encoding="utf-8")

    made = by_program(tmp_path, ["node", "loop.mjs"])

    np.testing.assert_allclose(made, by_history_stream(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("rustc") is None, reason="no rustc: apt install rustc")
def test_loop_in_rust_is_history_stream(tmp_path: Path) -> None:
    program = read("docs/guides/hosts/blocks.rs") + with_sizes(RUST)
    (tmp_path / "loop.rs").write_text(program, encoding="utf-8")
    compiling = ["rustc", "--edition", "2021", "loop.rs"]
    subprocess.run(compiling, cwd=tmp_path, check=True, capture_output=True, timeout=120)

    made = by_program(tmp_path, ["./loop"])

    np.testing.assert_allclose(made, by_history_stream(), atol=1e-5)


def test_page_names_every_way_that_the_measurement_has() -> None:
    assert all(f"`{name}`" in read(PAGE) for name in feeds_of(Singing()) if name != WHOLE)
