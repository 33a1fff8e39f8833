"""Every batch holds its critical samples, each equally often, never twice."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data.dataloader import DataLoader
from monai.data.dataset import Dataset

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import ClassAwareBatchSampler


def make_labels(critical: int, others: int) -> list[int]:
    return [1] * critical + [0] * others


@given(st.integers(1, 9), st.integers(10, 60), st.integers(1, 5), st.integers(1, 6), st.integers(0, 3))
def test_batches_are_as_promised(critical: int, others: int, k: int, rest: int, epoch: int) -> None:
    labels = make_labels(max(critical, k), others)
    sampler = ClassAwareBatchSampler(labels, batch_size=k + rest, critical=k)
    sampler.set_epoch_(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) == others // rest
    for batch in batches:
        assert len(set(batch)) == k + rest
        assert sum(labels[i] for i in batch) == k
    drawn = Counter(i for batch in batches for i in batch)
    assert max(drawn[i] for i in drawn if labels[i] == 0) == 1
    visits = [drawn[i] for i in range(max(critical, k))]
    assert max(visits) - min(visits) <= 2  # shuffled passes over all, cut anywhere


def test_an_epoch_repeats_and_epochs_differ() -> None:
    sampler = ClassAwareBatchSampler(make_labels(4, 30), batch_size=6, critical=2, seed=3)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch_(1)
    assert list(sampler) != first


def test_several_critical_classes_and_the_prior() -> None:
    labels = [0, 1, 2, 3] * 10
    sampler = ClassAwareBatchSampler(labels, batch_size=5, critical=2, critical_labels=(2, 3))
    assert all(sum(labels[i] >= 2 for i in batch) == 2 for batch in sampler)
    assert sampler.effective_prior == pytest.approx(0.4)


@pytest.mark.parametrize("loader", [torch.utils.data.DataLoader, DataLoader])
def test_works_with_the_loaders_of_torch_and_monai(loader: type) -> None:
    labels = make_labels(3, 12)
    data = Dataset([{"label": label} for label in labels])
    batches = list(loader(data, batch_sampler=ClassAwareBatchSampler(labels, batch_size=5, critical=1)))
    assert [int(batch["label"].sum()) for batch in batches] == [1, 1, 1]


@pytest.mark.parametrize(("critical", "others", "k"), [(1, 20, 2), (5, 2, 1), (5, 20, 0), (5, 20, 6)])
def test_a_batch_that_cannot_be_filled_is_refused(critical: int, others: int, k: int) -> None:
    with pytest.raises(ArgumentError):
        ClassAwareBatchSampler(make_labels(critical, others), batch_size=6, critical=k)
