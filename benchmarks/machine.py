"""What the machine is and how fast, so that figures of two machines can be compared."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from utils.audio.frames import FEATURE_RATE

SHAPE = (512, 288, 1152)  # of the products: as large as those of a content encoder
PRODUCTS, ROUNDS = 20, 9


def matrix_speed() -> float:
    """Return the 10^9 operations a second of products of float32 matrices on one thread, the best of several rounds."""
    rows, inner, columns = SHAPE
    first, second = torch.ones(rows, inner), torch.ones(inner, columns)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spent = []
        for _ in range(ROUNDS + 1):
            started = time.process_time()
            for _ in range(PRODUCTS):
                torch.matmul(first, second)
            spent.append(time.process_time() - started)
    finally:
        torch.set_num_threads(num_threads)
    return 2e-9 * rows * inner * columns * PRODUCTS / min(spent[1:])  # the first round warms up


def operations(encode: Callable[[np.ndarray], object], seconds: float = 4.0) -> float:
    """Return the 10^9 operations of products and convolutions in PyTorch for a second of 16 kHz audio."""
    counter = FlopCounterMode(display=False)
    audio = np.random.default_rng(0).standard_normal(round(seconds * FEATURE_RATE)).astype(np.float32)
    with counter:
        encode(0.1 * audio)
    return 1e-9 * counter.get_total_flops() / seconds


def least_factor(encode: Callable[[np.ndarray], object]) -> str:
    """Say what real-time factor this machine would reach if it did nothing but multiply."""
    needed, speed = operations(encode), matrix_speed()
    return (
        f"this machine multiplies matrices at {speed:.0f} GFLOP/s on one thread; builtin needs {needed:.2f} GFLOP for "
        f"a second of audio: a real-time factor of {needed / speed:.4f} if nothing else took time"
    )


def describe_machine() -> str:
    """Return what the processor is and whether it computes in bfloat16."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in known.items()}
    flags = facts.get("flags", "").split()
    has = [
        words for flag, words in (("avx512f", "AVX-512"), ("avx512_bf16", "bf16"), ("amx_bf16", "AMX")) if flag in flags
    ]
    name = facts.get("model name", platform.processor() or platform.machine())
    return f"{os.cpu_count()} cores {name}{' with ' * bool(has)}{'/'.join(has)}, torch {torch.__version__}"
