"""What is a batch and what is not."""

import pytest
import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.batch import as_binary, as_classes, checked_reduction, full_precision, reduced


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bool])
def test_binary_batches_become_flat(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    scores, targets = as_binary(torch.tensor([0.5, -1.0, 2.0]).reshape(shape), torch.tensor([[0], [1], [1]]).to(dtype))
    assert (scores.tolist(), targets.tolist()) == ([0.5, -1.0, 2.0], [False, True, True])


@pytest.mark.parametrize("logits", [torch.zeros(3, 2), torch.zeros(1, 2), torch.tensor(0.0), torch.zeros(3)])
def test_shapes_that_are_no_binary_batch_are_refused(logits: torch.Tensor) -> None:
    with pytest.raises(ArgumentError, match="one logit and one label a sample"):
        as_binary(logits, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(2), torch.tensor([0, 1])),
        (torch.zeros(2, 1), torch.tensor([0, 1])),
        (torch.zeros(3, 4), torch.tensor([0, 1])),
        (torch.zeros(2, 4), torch.tensor([0.0, 1.0])),
        (torch.zeros(2, 4, 1), torch.tensor([0, 1])),
    ],
)
def test_shapes_that_are_no_multi_class_batch_are_refused(logits: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(ArgumentError, match="C >= 2 and integer"):
        as_classes(logits, labels)


@pytest.mark.parametrize("labels", [[0, 4], [-1, 0]])
def test_a_label_outside_the_classes_is_refused(labels: list[int]) -> None:
    with pytest.raises(ArgumentError, match="0 to 3"):
        as_classes(torch.zeros(2, 4), torch.tensor(labels))
    with pytest.raises(ArgumentError, match="0 or 1"):
        as_binary(torch.zeros(2), torch.tensor(labels))


def test_nan_is_refused_and_infinity_is_not() -> None:
    with pytest.raises(ArgumentError, match="NaN"):
        as_binary(torch.tensor([0.0, torch.nan]), torch.tensor([0, 1]))
    with pytest.raises(ArgumentError, match="NaN"):
        as_classes(torch.tensor([[0.0, torch.nan]]), torch.tensor([0]))
    assert as_binary(torch.tensor([torch.inf, -torch.inf]), torch.tensor([0, 1]))[0].isinf().all()


@pytest.mark.parametrize(
    ("came", "computed"),
    [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float64)],
)
def test_at_least_float32(came: torch.dtype, computed: torch.dtype) -> None:
    assert full_precision(torch.zeros(1, dtype=came)).dtype is computed


def test_reductions() -> None:
    values = torch.tensor([1.0, 2.0, 6.0])
    assert (reduced(values, "mean"), reduced(values, "sum")) == (3.0, 9.0)
    assert reduced(values, "none") is values
    assert reduced(values[:0], "mean") == 0
    with pytest.raises(ArgumentError, match="'average'"):
        checked_reduction("average")
