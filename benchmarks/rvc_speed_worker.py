"""A process that trains and converts on request, for benchmarks/rvc_speed.py: what both sides have in common."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scripts.pipeline import ROOT
from utils.audio.synthetic_speech import voice
from utils.errors import WorkbenchError
from utils.memory import peak_bytes

SAMPLE_RATE, HOP, N_FFT, CONTENT_DIM, NUM_SPEAKERS = 48000, 480, 2048, 768, 109
Reply = dict[str, Any]


class SpeechInputs(NamedTuple):
    """What both sides are given: content [B, F, D], f0_hz [B, F], audio [B, F * hop]."""

    content: Tensor
    f0_hz: Tensor
    audio: Tensor


def make_inputs(batch: int, frames: int, seed: int, device: str, sample_rate: int = SAMPLE_RATE) -> SpeechInputs:
    """Return synthetic speech with its pitch, and smooth noise for content."""
    generator = torch.Generator().manual_seed(seed)
    sounds = [
        torch.from_numpy(voice(frames / 100, sample_rate, f0_hz=110.0 + 15 * (index % 8), seed=seed + index))
        for index in range(batch)
    ]
    noise = torch.randn(batch, CONTENT_DIM, frames, generator=generator)
    content = torch.nn.functional.avg_pool1d(noise, 5, stride=1, padding=2).transpose(1, 2) * 5**0.5
    f0_hz = (110.0 + 15.0 * (torch.arange(batch) % 8)).unsqueeze(1).repeat(1, frames)
    f0_hz[:, frames // 2 : frames // 2 + frames // 10] = 0.0
    return SpeechInputs(content.contiguous().to(device), f0_hz.to(device), torch.stack(sounds).to(device))


class Timing(NamedTuple):
    """What some work took: seconds by the clock, and of processors, which other programs hardly change."""

    seconds: float
    cpu_seconds: float


def timed(work: Callable[[], Any], device: str) -> tuple[Timing, Any]:
    """Return what work takes, and its result."""
    if device != "cpu":
        torch.cuda.synchronize()
    start, cpu_start = time.perf_counter(), time.process_time()
    result = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return Timing(time.perf_counter() - start, time.process_time() - cpu_start), result


def peak_mib() -> float:
    """Return the largest resident memory of this process so far."""
    return peak_bytes() / 2**20


def serve(commands: Mapping[str, Callable[..., Reply]]) -> None:
    """Answer requests, one JSON object a line, until there are no more; what the networks print is not an answer."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(commands[request.pop("call")](**request)) + "\n")
        answers.flush()


class Worker:
    """A running process.

    Args:
        module: what it runs, of this folder.
        arguments: its command line.
        threads: how many it may use.
        log: takes what it says besides its answers.
    """

    def __init__(self, module: str, arguments: Sequence[str], *, threads: int, log: Path) -> None:
        self._log = log
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        with log.open("w", encoding="utf-8") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", module, *arguments],
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True,
            )  # fmt: skip

    def ask(self, call: str, **values: Any) -> Reply:
        """Return the answer to a request.

        Raises:
            WorkbenchError: if the process has ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"call": call, **values}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words say why
        answer = self._process.stdout.readline()
        if not answer:
            words = self._log.read_text(encoding="utf-8").strip().splitlines() or ["no reason given"]
            raise WorkbenchError(
                f"the process that measures ended at {call}: {words[-1][:300]}; all it said: {self._log}"
            )
        reply: Reply = json.loads(answer)
        return reply

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
