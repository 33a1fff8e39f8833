"""The card names the loss that was trained with."""

from typing import Any

import pytest

from prostate_alm.losses.named import NAMES
from prostate_alm.training.model_card import LOSSES, loss_in_words

SETTINGS: dict[str, Any] = {
    "loss_name": "bce",
    "loss_parameter": None,
    "base_loss": "BCELoss",
    "alm": True,
    "delta": 0.25,
    "space": "probability",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "binary cross-entropy under the ranking constraint\n(margin 0.25 in probability)"),
        ({"alm": False}, "binary cross-entropy, no constraint"),
        (
            {"alm": False, "loss_name": "s-fl", "loss_parameter": 2.0},
            "symmetric focal loss (`loss_parameter` 2.0), no constraint",
        ),
    ],
)
def test_the_loss_in_words(changes: dict[str, Any], expected: str) -> None:
    assert loss_in_words(SETTINGS | changes) == expected


def test_a_component_of_the_users_own_is_named_by_its_class() -> None:
    words = loss_in_words(SETTINGS | {"base_loss": "OwnLoss", "alm": False}, by_name=False)
    assert words == "the loss `OwnLoss`, no constraint"


def test_every_loss_for_two_classes_has_words() -> None:
    assert set(LOSSES) == set(NAMES) - {"ce", "cb-ce"}
