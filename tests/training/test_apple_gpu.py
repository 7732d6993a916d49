"""trainer.accelerator=mps: when it is used, in 32 bits, and without float64, which such a GPU does not have."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models import adversarial
from models.layers import rvc_decoder
from models.layers.widest_float import widest_float
from models.streams import source as stream_source
from tests.tools.model_tools import small_model
from tests.tools.step_tools import DIM, FRAMES, Loose, make, validated
from utils.audio.batch import VoiceBatch
from utils.config.train import train_job
from utils.errors import ConfigError
from utils.training.checks import check_machine
from utils.training.devices import choose_accelerator, choose_precision, first_device, fit_to_device


class NoFloat64(TorchDispatchMode):
    """Fails where a tensor of float64 is made, as a device without them does."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            assert not (isinstance(value, torch.Tensor) and value.dtype == torch.float64), function
        return result


@pytest.fixture
def without_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processor pass for a device that has no float64."""
    for module in (adversarial, rvc_decoder, stream_source):
        monkeypatch.setattr(module, "widest_float", lambda device: torch.float32)


@pytest.mark.parametrize(
    ("accelerator", "has_mps", "device", "lightning"),
    [
        ("auto", True, "cpu", "cpu"),  # not tested, so not chosen by itself
        ("mps", True, "mps", "mps"),
        ("gpu", True, "mps", "gpu"),
        ("mps", False, "cpu", "mps"),  # which Lightning refuses
        ("cpu", True, "cpu", "cpu"),
    ],
)
def test_apple_gpu_is_used_where_it_is_asked_for(
    accelerator: str, has_mps: bool, device: str, lightning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    job = train_job([f"trainer.accelerator={accelerator}"])

    assert (first_device(job).type, choose_accelerator(job)) == (device, lightning)


def test_apple_gpu_trains_in_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)

    assert choose_precision(train_job(["trainer.accelerator=mps"])) == "32-true"
    with pytest.raises(ConfigError, match=r"trainer\.precision=bf16-mixed cannot be used .*trainer\.precision=auto"):
        check_machine(train_job(["trainer.accelerator=mps", "trainer.precision=bf16-mixed"]))


def test_only_apple_gpus_lack_float64() -> None:
    assert widest_float(torch.device("mps")) == torch.float32
    assert widest_float(torch.device("cpu")) == widest_float(torch.device("cuda")) == torch.float64


@pytest.mark.parametrize("name", ["toy", "lite", "lite_stream", "rvc_v2_40k"])
def test_no_float64_is_computed_in_an_update_or_a_validation(name: str, without_float64: None) -> None:
    generator = train_job(small_model(name)).model.build(content_dim=DIM, num_speakers=2)
    weights = dict.fromkeys(("spectral", "adversarial", "feature_matching", *generator.training_terms), 1.0)
    module = make(kind=Loose, generator=generator, ema_decay=0.5, loss_weights=weights)
    hop, rng = generator.hop_length, torch.Generator().manual_seed(0)
    batch = VoiceBatch(
        audio=0.1 * torch.randn(2, FRAMES * hop, generator=rng),
        content=torch.randn(2, FRAMES, DIM, generator=rng),
        f0_hz=100 + 100 * torch.rand(2, FRAMES, generator=rng),
        loudness_db=-30 + 5 * torch.rand(2, FRAMES, generator=rng),
        speaker_id=torch.zeros(2, dtype=torch.int64),
        num_frames=torch.full((2,), FRAMES),
        segment=torch.arange(2),
    )
    fit_to_device(module, torch.device("mps"))

    with NoFloat64():
        module.backward_all(batch, is_adversarial=True)
        validated(module, batch)
        module.on_validation_epoch_end()

    assert all(value.dtype != torch.float64 for value in module.buffers())


def test_other_devices_keep_their_buffers() -> None:
    generator = train_job(["model=lite"]).model.build(content_dim=DIM, num_speakers=2)
    before = {name: value.dtype for name, value in generator.named_buffers()}

    fit_to_device(generator, torch.device("cpu"))

    assert torch.float64 in before.values()
    assert {name: value.dtype for name, value in generator.named_buffers()} == before
