"""Find out where a training that has diverged went wrong, and stop it."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
import torch.distributed as distributed
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from models.adversarial import AdversarialTraining
from models.updating import world_size
from utils.audio.batch import VoiceBatch
from utils.errors import TrainingError
from utils.files import atomic_write_json

REPORT_FILE = "not_finite.json"
NOWHERE = "nothing when the update was repeated"


class NonFiniteGuard(Callback):
    """Stop after so many updates in a row whose gradient was not finite; they changed no weight.

    Args:
        run: folder of the run, which gets a report.
        max_skipped: updates in a row.
        name_clips: returns the names of segments, given by number, for the report.
    """

    def __init__(self, run: Path, *, max_skipped: int, name_clips: Callable[[list[int]], list[str]]) -> None:
        self.run = run
        self.max_skipped = max_skipped
        self.name_clips = name_clips

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: VoiceBatch,
        batch_idx: int,
    ) -> None:
        """Report and stop when it is enough."""
        assert isinstance(pl_module, AdversarialTraining)
        if pl_module.skipped_in_a_row < self.max_skipped:
            return
        step = pl_module.steps
        found, clips = first_found(find_not_finite(pl_module, batch), self.name_clips(batch.segment.tolist()))
        report = {
            "update": step,
            "skipped_in_a_row": pl_module.skipped_in_a_row,
            "skipped_in_all": pl_module.skipped,
            "first": found,
            "clips": clips,
        }
        path = self.run / REPORT_FILE
        if trainer.is_global_zero:
            atomic_write_json(path, report)
        raise TrainingError(
            f"the gradient of {pl_module.skipped_in_a_row} updates in a row (up to {step}) was not finite; first found "
            f"in {found}; {path} names the batch; the saved states are from before; a lower optim.optimizer.lr or "
            "trainer.precision=32-true helps where the recordings are sound"
        )


def first_found(found: str, clips: list[str]) -> tuple[str, list[str]]:
    """Return place and clips of the first process that found something in its share of the batch."""
    if world_size() == 1:
        return found, clips
    shares: list[Any] = [None] * world_size()
    distributed.all_gather_object(shares, (found, clips))
    place, theirs = next((share for share in shares if share[0] != NOWHERE), shares[0])
    return str(place), list(theirs)


def find_not_finite(module: AdversarialTraining, batch: VoiceBatch) -> str:
    """Return where NaN or infinity first appears in an update: batch, weights, an output, a loss or a gradient."""
    if module.augmentation is not None:
        batch = module.augmentation(batch)
    for item in fields(batch):
        if not _is_finite(getattr(batch, item.name)):
            return f"the batch: {item.name}"
    for name, parameter in module.named_parameters():
        if not _is_finite(parameter):
            return f"the weights: {name}"
    found: list[str] = []
    handles = [part.register_forward_hook(_watch(name, found)) for name, part in module.named_modules() if name]
    is_adversarial = module.discriminator is not None and module.steps > module.adversarial_start
    try:
        metrics = module.backward_all(batch, is_adversarial)
    finally:
        for handle in handles:
            handle.remove()
    place = next(iter(found), None) or next(
        (f"the loss {name}" for name, value in metrics.items() if not _is_finite(value)), None
    )
    if place is None:
        gradients = ((name, value.grad) for name, value in module.named_parameters() if value.grad is not None)
        place = next((f"the gradient of {name}" for name, value in gradients if not _is_finite(value)), None)
    module.zero_grad(set_to_none=True)
    return place or NOWHERE


def _watch(name: str, found: list[str]) -> Callable[[nn.Module, Any, Any], None]:
    def look(module: nn.Module, inputs: Any, output: Any) -> None:
        if not found and not all(_is_finite(tensor) for tensor in _tensors(output)):
            found.append(f"the output of {name} ({type(module).__name__})")

    return look


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in _tensors(item)]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())
