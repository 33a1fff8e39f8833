"""The normalised classifier and its margins."""

import math

import pytest
import torch
from torch.nn import functional

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import BCELoss, CrossEntropyLoss, LDAMLoss, NormalisedLinear

COUNTS = [10_000, 625, 1]  # their fourth roots are 10, 5 and 1


def layer(classes: int, **kwargs: float) -> NormalisedLinear:
    torch.manual_seed(0)
    return NormalisedLinear(4, classes, **kwargs)


def test_logits_are_scaled_cosines() -> None:
    head, features = layer(3, scale=7.0), torch.randn(5, 4)
    expected = 7 * functional.cosine_similarity(features[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(head(features), expected)
    torch.testing.assert_close(head(1e6 * features), expected)
    torch.testing.assert_close(head(1e-25 * features), expected)  # squares of these vanish in float32


def test_one_output_is_the_difference_of_two_cosines() -> None:
    one, two, features = layer(1), layer(2), torch.randn(5, 4)
    assert one(features).shape == (5, 1)
    torch.testing.assert_close(one(features)[:, 0], two(features)[:, 1] - two(features)[:, 0])


def test_both_forms_train_alike() -> None:
    features, labels = torch.randn(6, 4), torch.tensor([0, 1, 0, 0, 1, 0])
    gradients: list[torch.Tensor] = []
    for head in (layer(1), layer(2)):
        LDAMLoss([90, 10])(head(features), labels).backward()
        assert head.weight.grad is not None
        gradients.append(head.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_sample_without_activation_has_cosine_0_and_no_gradient() -> None:
    features = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]], requires_grad=True)
    logits = layer(3)(features)
    logits.sum().backward()
    assert (logits[0] == 0).all()
    assert features.grad is not None
    assert (features.grad[0] == 0).all()
    assert features.grad[1].abs().sum() > 0


def test_gradients_of_the_layer_are_those_of_its_value() -> None:
    features = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    head = layer(1).double()
    assert torch.autograd.gradcheck(head, features)


def test_the_layer_computes_in_float32_under_autocast() -> None:
    head, features = layer(3), torch.randn(50, 4)
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(features)
        coarse = head(features.bfloat16())
    assert logits.dtype == coarse.dtype == torch.float32
    torch.testing.assert_close(logits, head(features), rtol=0, atol=0)


def test_margins_fall_with_the_fourth_root_of_the_counts() -> None:
    scale, largest = 30.0, 0.5
    cosines, labels = 2 * torch.rand(9, 3, dtype=torch.float64) - 1, torch.arange(9) % 3
    expected: list[float] = []
    for row, y in zip(cosines.tolist(), labels.tolist(), strict=True):
        lowered = [scale * (c - largest * [0.1, 0.2, 1.0][k] * (k == y)) for k, c in enumerate(row)]
        expected.append(-math.log(math.exp(lowered[y]) / sum(math.exp(z) for z in lowered)))
    found = LDAMLoss(COUNTS, reduction="none")(scale * cosines, labels)
    assert found.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_binary_form_is_its_formula() -> None:
    z, s = torch.tensor([3.0, -4.0], dtype=torch.float64), 8.0
    found = LDAMLoss([16, 1], max_margin=0.25, scale=s, reduction="none")(z, torch.tensor([1, 0]))
    expected = [math.log(1 + math.exp(-(3 - s * 0.25))), math.log(1 + math.exp(-4 + s * 0.125))]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_margin_0_is_cross_entropy_of_the_scaled_cosines() -> None:
    logits, labels = 30 * torch.rand(9, 3), torch.arange(9) % 3
    torch.testing.assert_close(LDAMLoss(COUNTS, max_margin=0.0)(logits, labels), CrossEntropyLoss()(logits, labels))
    z, y = logits[:, 0], labels == 1
    torch.testing.assert_close(LDAMLoss([9, 1], max_margin=0.0)(z, y), BCELoss()(z, y))


@pytest.mark.parametrize("arguments", [(0, 1, 1.0), (4, 0, 1.0), (4, 1, 0.0), (4, 1, math.inf)])
def test_a_layer_out_of_range_is_refused(arguments: tuple[int, int, float]) -> None:
    with pytest.raises(ArgumentError):
        NormalisedLinear(arguments[0], arguments[1], scale=arguments[2])
