"""Mean false error and mean squared false error by hand."""

import math

import pytest
import torch

from prostate_alm.losses import MeanFalseErrorLoss, MeanSquaredFalseErrorLoss

# sigmoid of these is 3/4, 1/4, 1/2, 1/5: errors 1/32 for the positive, 1/32, 1/8, 1/50 for the negatives
Z = torch.tensor([math.log(3), -math.log(3), 0.0, -math.log(4)], dtype=torch.float64)
Y = torch.tensor([1, 0, 0, 0])
FNE, FPE = 1 / 32, (1 / 32 + 1 / 8 + 1 / 50) / 3


@pytest.mark.parametrize(
    ("loss", "terms"), [(MeanFalseErrorLoss, [FPE, FNE]), (MeanSquaredFalseErrorLoss, [FPE**2, FNE**2])]
)
def test_binary_form_by_hand(loss: type[MeanFalseErrorLoss], terms: list[float]) -> None:
    assert loss("none")(Z, Y).tolist() == pytest.approx(terms, rel=1e-12)
    assert loss()(Z, Y).item() == pytest.approx(sum(terms), rel=1e-12)
    assert loss("mean")(Z, Y).item() == pytest.approx(sum(terms) / 2, rel=1e-12)


def test_multi_class_form_by_hand() -> None:
    # softmax (1/2, 1/4, 1/4) and (1/6, 1/6, 2/3), of class 0 and class 2; class 1 is not there
    logits = torch.tensor([[2.0, 1.0, 1.0], [1.0, 1.0, 4.0]], dtype=torch.float64).log()
    errors = [(1 / 4 + 1 / 16 + 1 / 16) / 2, 0.0, (1 / 36 + 1 / 36 + 1 / 9) / 2]
    labels = torch.tensor([0, 2])
    assert MeanFalseErrorLoss("none")(logits, labels).tolist() == pytest.approx(errors, rel=1e-12)
    assert MeanSquaredFalseErrorLoss()(logits, labels).item() == pytest.approx(sum(e * e for e in errors), rel=1e-12)


def test_two_outputs_have_twice_the_error_of_one() -> None:
    two = torch.stack([torch.zeros_like(Z), Z], dim=1)
    torch.testing.assert_close(MeanFalseErrorLoss()(two, Y), 2 * MeanFalseErrorLoss()(Z, Y))
    torch.testing.assert_close(MeanSquaredFalseErrorLoss()(two, Y), 4 * MeanSquaredFalseErrorLoss()(Z, Y))


def test_each_class_counts_alike_however_many_its_samples() -> None:
    repeated = torch.cat([Z[:1], Z[1:].repeat(7)]), torch.cat([Y[:1], Y[1:].repeat(7)])
    torch.testing.assert_close(MeanFalseErrorLoss()(*repeated), MeanFalseErrorLoss()(Z, Y))


def test_a_missing_class_has_term_0() -> None:
    assert MeanSquaredFalseErrorLoss("none")(Z[1:], Y[1:]).tolist() == pytest.approx([FPE**2, 0.0])
