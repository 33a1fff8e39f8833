"""Batches of small colour images, cut from one uint8 array; nothing is done image by image."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from prostate_alm.datasets.cifar.archive import LabelledImages
from prostate_alm.errors import ArgumentError
from prostate_alm.losses import ClassAwareBatchSampler

Step = Callable[[torch.Tensor], torch.Tensor]


class ImageDataset(Dataset[dict[str, torch.Tensor]]):
    """Images, augmented and standardised a batch at a time: a loader hands over the rows of a batch together.

    Args:
        data: the images.
        transform: from uint8 ``[B, 3, H, W]`` to float32.
        augment: random, before `transform`; uint8 to uint8.
    """

    def __init__(self, data: LabelledImages, transform: Step, augment: Step | None = None) -> None:
        self.data = data
        self.images, self.labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
        self.transform, self.augment = transform, augment

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return {name: values[0] for name, values in self.__getitems__([row]).items()}

    def __getitems__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """A batch: `image` ``[B, 3, H, W]``, `label` ``[B]`` int64, `index` ``[B]``, the rows."""
        index = torch.as_tensor(rows)
        images = self.images[index]
        if self.augment is not None:
            images = self.augment(images)
        return {"image": self.transform(images), "label": self.labels[index], "index": index}


def image_loader(
    dataset: ImageDataset,
    *,
    batch_size: int,
    shuffle: bool = False,
    sampler: Sampler[int] | None = None,
    critical_per_batch: int = 0,
    critical_classes: Sequence[int] = (1,),
    seed: int = 0,
) -> DataLoader[Any]:
    """Loader of whole batches.

    Args:
        dataset: made into batches.
        batch_size: the last batch may be smaller.
        shuffle: by torch's generator.
        sampler: of the rows of this process, where several train together.
        critical_per_batch: > 0 puts so many critical samples into each batch, shuffled by `ClassAwareBatchSampler`.
        critical_classes: their labels.
        seed: of the class-aware batches.

    Raises:
        ArgumentError: class-aware batches can't be filled, or a `sampler` is to share them out.
    """
    if critical_per_batch == 0:
        return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle, sampler=sampler, collate_fn=_as_it_is)
    if sampler is not None:
        raise ArgumentError(
            "class-aware batches are drawn by one process for itself; train with one process, or set "
            "`critical_per_batch` to 0."
        )
    labels = [int(label) for label in dataset.labels]
    batches = ClassAwareBatchSampler(
        labels, batch_size=batch_size, critical=critical_per_batch, critical_labels=critical_classes, seed=seed
    )
    return DataLoader(dataset, batch_sampler=batches, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    """`ImageDataset` returns batches, not lists of samples."""
    return batch
