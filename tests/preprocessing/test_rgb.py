"""Colours are shifted and scaled channel by channel."""

import numpy as np
import pytest
import torch

from prostate_alm.preprocessing.rgb import CIFAR_MEAN, CIFAR_SD, StandardiseRGB


def test_values_by_hand() -> None:
    image = torch.zeros(3, 1, 2, dtype=torch.uint8)
    image[:, 0, 1] = 255
    result = StandardiseRGB(mean=(0.5, 0.25, 0.0), sd=(0.5, 0.25, 2.0))(image)
    torch.testing.assert_close(result[:, 0, 0], torch.tensor([-1.0, -1.0, 0.0]))  # black
    torch.testing.assert_close(result[:, 0, 1], torch.tensor([1.0, 3.0, 0.5]))  # white


def test_the_formula_in_double_precision() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    expected = (image / 255 - np.reshape(CIFAR_MEAN, (3, 1, 1))) / np.reshape(CIFAR_SD, (3, 1, 1))
    result = StandardiseRGB()(torch.from_numpy(image))
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-5)


def test_a_batch_is_its_images() -> None:
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    standardise = StandardiseRGB()
    assert torch.equal(standardise(images), torch.stack([standardise(image) for image in images]))


def test_the_image_itself_stays() -> None:
    image = torch.full((3, 2, 2), 7, dtype=torch.uint8)
    StandardiseRGB()(image)
    assert image.unique().tolist() == [7]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_other_types_hold_the_same_values(dtype: torch.dtype) -> None:
    image = torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8)
    assert torch.equal(StandardiseRGB()(image.to(dtype)), StandardiseRGB()(image))
