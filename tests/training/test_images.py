"""Batches are cut from one array, in order, with each image's row; nothing is done image by image."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.data import SequentialSampler

from prostate_alm.datasets.cifar.archive import LabelledImages
from prostate_alm.errors import ArgumentError
from prostate_alm.training.images import ImageDataset, image_loader


def numbered(count: int, critical: int = 3) -> LabelledImages:
    """Image i holds the value i everywhere; the last `critical` have label 1."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 3, 4, 4)).copy()
    labels = (np.arange(count) >= count - critical).astype(np.int64)
    return LabelledImages(images, labels, np.arange(count) + 100)


class Counting:
    """A step that remembers the shapes it was given."""

    def __init__(self, step: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.step = step
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(images.shape))
        return self.step(images)


def as_float(images: torch.Tensor) -> torch.Tensor:
    return images.float()


def test_without_shuffling_images_come_in_order_with_label_and_row() -> None:
    data = numbered(10)
    batches = list(image_loader(ImageDataset(data, as_float), batch_size=4))
    assert [len(batch["label"]) for batch in batches] == [4, 4, 2]
    joined = {name: torch.cat([batch[name] for batch in batches]) for name in ("image", "label", "index")}
    assert joined["index"].tolist() == list(range(10))
    assert joined["label"].tolist() == data.labels.tolist()
    assert torch.equal(joined["image"], torch.from_numpy(data.images).float())


def test_shuffled_images_keep_their_label_and_row() -> None:
    torch.manual_seed(0)
    batches = list(image_loader(ImageDataset(numbered(50), as_float), batch_size=16, shuffle=True))
    index = torch.cat([batch["index"] for batch in batches])
    assert sorted(index.tolist()) == list(range(50))
    assert index.tolist() != list(range(50))
    assert torch.equal(torch.cat([batch["image"] for batch in batches])[:, 0, 0, 0], index.float())
    assert torch.equal(torch.cat([batch["label"] for batch in batches]), (index >= 47).long())


def test_steps_see_whole_batches_augmentation_first() -> None:
    augment, transform = Counting(lambda images: images + 1), Counting(lambda images: images.float() * 10)
    loader = image_loader(ImageDataset(numbered(10), transform, augment), batch_size=4)
    values = torch.cat([batch["image"] for batch in loader])[:, 0, 0, 0]
    assert values.tolist() == [10.0 * (row + 1) for row in range(10)]
    assert augment.shapes == transform.shapes == [(4, 3, 4, 4), (4, 3, 4, 4), (2, 3, 4, 4)]


def test_augmentation_leaves_the_images_themselves() -> None:
    data = numbered(6)
    dataset = ImageDataset(data, as_float, lambda images: images.add_(1))
    list(image_loader(dataset, batch_size=3))
    assert (data.images == numbered(6).images).all()


def test_one_image_is_a_batch_of_one_taken_apart() -> None:
    sample = ImageDataset(numbered(10), as_float)[8]
    assert sample["image"].shape == (3, 4, 4)
    assert (float(sample["image"].mean()), int(sample["label"]), int(sample["index"])) == (8.0, 1, 8)
    assert len(ImageDataset(numbered(10), as_float)) == 10


@pytest.mark.parametrize("critical_class", [0, 1])
def test_class_aware_batches_hold_as_many_critical_images_as_asked(critical_class: int) -> None:
    dataset = ImageDataset(numbered(40, critical=8 if critical_class == 1 else 32), as_float)
    loader = image_loader(dataset, batch_size=8, critical_per_batch=2, critical_classes=[critical_class])
    counts = [int((batch["label"] == critical_class).sum()) for batch in loader]
    assert counts == [2] * len(loader)
    assert len(loader) == 32 // 6


def test_a_sampler_chooses_the_rows() -> None:
    dataset = ImageDataset(numbered(10), as_float)
    loader = image_loader(dataset, batch_size=4, sampler=SequentialSampler(range(5)))
    assert [batch["index"].tolist() for batch in loader] == [[0, 1, 2, 3], [4]]


def test_a_sampler_and_class_aware_batches_exclude_each_other() -> None:
    dataset = ImageDataset(numbered(10), as_float)
    with pytest.raises(ArgumentError, match="train with one process"):
        image_loader(dataset, batch_size=4, sampler=SequentialSampler(range(5)), critical_per_batch=1)
