"""From a loss to an update of one network: loss scale, average over devices, clipping, finiteness."""

import math
from collections.abc import Iterable

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def world_size() -> int:
    """Return the number of processes that train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def reduce_over_devices(value: Tensor, operation: distributed.ReduceOp.RedOpType = distributed.ReduceOp.SUM) -> Tensor:
    """Return a tensor combined over all processes; one process gets it back as it is."""
    if world_size() == 1:
        return value
    combined = value.clone()
    distributed.all_reduce(combined, op=operation)
    return combined


def mean_over_devices(metrics: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the means of scalars over all devices, whose shares of a batch are equally large; one exchange for all."""
    if world_size() == 1:
        return metrics
    joined = torch.stack([value.detach().float() for value in metrics.values()])
    return dict(zip(metrics, (reduce_over_devices(joined) / world_size()).unbind(), strict=True))


def copy_from_first_device(module: nn.Module) -> None:
    """Give every process the parameters and buffers of the first one."""
    if world_size() > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            distributed.broadcast(tensor.data, src=0)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes, in one exchange.

    All processes have gradients for the same parameters. One exchange after the last micro-batch takes the place of
    torch's DistributedDataParallel: two networks with one backward pass each would make that exchange everything twice.
    """
    if world_size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(joined)
    joined /= world_size()
    parts = joined.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)])


class NetworkUpdate:
    """The optimizer of one network with what belongs before its step.

    Args:
        network: its parameters are updated.
        optimizer: of the network.
        schedule: learning rates of the optimizer.
        clip_norm: largest gradient norm; infinite for no limit.
        scaler: loss scale of a training in 16 bits; each network has its own, because one that two optimizers share
            changes between them.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        *,
        clip_norm: float = math.inf,
        scaler: GradScaler,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.scaler = scaler

    def take_settings(self, fresh: torch.optim.Optimizer) -> None:
        """Replace learning rate, decay and the like, which a resumed state brought along, by those of a new optimizer.

        Args:
            fresh: made for the same network by the present configuration.
        """
        groups = zip(self.optimizer.param_groups, fresh.param_groups, strict=True)
        for number, (group, configured) in enumerate(groups):
            rate = configured["lr"]
            group |= {key: value for key, value in configured.items() if key not in ("params", "lr")}
            group["initial_lr"] = rate
            if isinstance(self.schedule, torch.optim.lr_scheduler.LambdaLR):
                self.schedule.base_lrs[number] = rate
                group["lr"] = rate * self.schedule.lr_lambdas[number](self.schedule.last_epoch)

    def prepare(self) -> Tensor:
        """Average, unscale and clip the gradients; return their norm before clipping, not finite if one of them is."""
        parameters = list(self.network.parameters())
        average_gradients(parameters)
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        return nn.utils.clip_grad_norm_(parameters, self.clip_norm)

    def step(self) -> None:
        """Update the weights; in 16 bits also the scale."""
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
        else:
            self.optimizer.step()

    def finish(self) -> None:
        """Move scale and schedule to the next update and drop the gradients."""
        if self.scaler.is_enabled():
            self.scaler.update()
        self.schedule.step()
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad(set_to_none=True)
