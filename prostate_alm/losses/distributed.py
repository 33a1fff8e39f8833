"""The joined batch of all processes: a ranking constraint must see the positives and negatives of every rank."""

# torch leaves some of its functions untyped
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import torch
from torch import distributed

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def world_size() -> int:
    """Number of processes that train together; 1 outside `torch.distributed`."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def joined_batch(logits: torch.Tensor, labels: torch.Tensor, index: torch.Tensor) -> Batch:
    """Gather the batches of all ranks, in rank order; a sample that samplers repeated as padding counts once.

    Args:
        logits: ``[b]``, ``[b, 1]`` or ``[b, C]`` of this rank; the only ones with a gradient here.
        labels: ``[b]`` or ``[b, 1]``.
        index: ``[b]`` int64.

    Returns:
        The same for the whole batch, equal on every rank but for where the gradient goes.
    """
    gathered = [_gather(values) for values in (logits, labels, index)]
    rank = distributed.get_rank()
    gathered[0][rank] = logits
    joined = [torch.cat(parts) for parts in gathered]
    first = _first_occurrences(joined[2].reshape(-1))
    return joined[0][first], joined[1][first], joined[2].reshape(-1)[first]


def shared_gradient(value: torch.Tensor) -> torch.Tensor:
    """Scale the gradient, not the value, of a loss of the joined batch by the number of processes.

    Each rank back-propagates to its own samples only, and `DistributedDataParallel` averages over ranks; with this the
    average is the gradient of the joined batch.
    """
    return value + (world_size() - 1) * (value - value.detach())


def _gather(values: torch.Tensor) -> list[torch.Tensor]:
    """Every rank's `values`, which may differ in length."""
    lengths = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(world_size())]
    distributed.all_gather(lengths, torch.tensor([values.shape[0]], device=values.device))
    longest = max(int(length) for length in lengths)
    padded = values.new_zeros((longest, *values.shape[1:]))
    padded[: values.shape[0]] = values.detach()
    parts = [torch.empty_like(padded) for _ in range(world_size())]
    distributed.all_gather(parts, padded)
    return [part[: int(length)] for part, length in zip(parts, lengths, strict=True)]


def _first_occurrences(index: torch.Tensor) -> torch.Tensor:
    """Positions of the first occurrence of each value, ascending."""
    _, inverse = torch.unique(index, return_inverse=True)
    positions = torch.arange(index.numel(), device=index.device)
    first = torch.full((int(inverse.max()) + 1,), index.numel(), device=index.device)
    return first.scatter_reduce(0, inverse, positions, reduce="amin").sort().values
