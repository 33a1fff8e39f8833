"""Batches that always hold critical samples: without one, the constraint of a batch is silent."""

from collections.abc import Iterator, Sequence

import torch

from prostate_alm.errors import ArgumentError


class ClassAwareBatchSampler:
    """Batches of `critical` critical and ``batch_size - critical`` other samples, as a `batch_sampler` of a loader.

    At one critical in 100 to 200, half to three quarters of plain batches of 64 hold none. An epoch here is one pass
    over the other samples; critical ones are drawn in shuffled passes over all of them, so each is seen equally often
    and never twice in a batch. Positions are those of the data set.

    The batches' prior differs from the data's: `effective_prior` says what a probability learnt from them is
    calibrated to.

    Args:
        labels: label of each sample, in the order of the data set.
        critical_labels: which labels are critical.
        batch_size: samples a batch.
        critical: how many of them are critical.
        seed: with the epoch, it decides the order; see `set_epoch_`.

    Raises:
        ArgumentError: a batch can't be filled.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        batch_size: int,
        critical: int,
        critical_labels: Sequence[int] = (1,),
        seed: int = 0,
    ) -> None:
        self.batch_size, self.critical, self.seed, self.epoch = batch_size, critical, seed, 0
        is_critical = torch.tensor([label in critical_labels for label in labels], dtype=torch.bool)
        self._critical = is_critical.nonzero().reshape(-1)
        self._others = (~is_critical).nonzero().reshape(-1)
        if not 1 <= critical < batch_size:
            raise ArgumentError(f"`critical` must be 1 to {batch_size - 1} of a batch of {batch_size}, got {critical}.")
        if self._critical.numel() < critical or self._others.numel() < batch_size - critical:
            raise ArgumentError(
                f"a batch needs {critical} critical and {batch_size - critical} other samples; the data set has "
                f"{self._critical.numel()} and {self._others.numel()}."
            )

    @property
    def effective_prior(self) -> float:
        """Share of critical samples in the batches."""
        return self.critical / self.batch_size

    def set_epoch_(self, epoch: int) -> None:
        """Choose the order of the next pass; the same seed and epoch draw the same batches."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches an epoch; other samples that fill no batch wait for another epoch's order."""
        return self._others.numel() // (self.batch_size - self.critical)

    def __iter__(self) -> Iterator[list[int]]:
        """One epoch of batches, each in random order."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        others = self._others[torch.randperm(self._others.numel(), generator=generator)]
        size = self.batch_size - self.critical
        for batch, critical in zip(range(len(self)), self._critical_batches(generator), strict=False):
            mixed = torch.cat([critical, others[batch * size : (batch + 1) * size]])
            yield mixed[torch.randperm(self.batch_size, generator=generator)].tolist()  # pyright: ignore - untyped list

    def _critical_batches(self, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Shuffled passes without end; what is left of a pass begins the next batch, none twice in it."""
        left = self._critical[:0]
        while True:
            shuffled = self._critical[torch.randperm(self._critical.numel(), generator=generator)]
            fresh = torch.cat([shuffled[~torch.isin(shuffled, left)], shuffled[torch.isin(shuffled, left)]])
            queue = torch.cat([left, fresh])
            while queue.numel() >= self.critical and not _repeats(queue[: self.critical]):
                yield queue[: self.critical]
                queue = queue[self.critical :]
            left = queue


def _repeats(values: torch.Tensor) -> bool:
    return values.numel() != torch.unique(values).numel()  # pyright: ignore - torch leaves it untyped
