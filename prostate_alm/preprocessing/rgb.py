"""Colour images as a network sees them."""

from collections.abc import Sequence

import torch

# mean and standard deviation of the training images of CIFAR-10, red, green, blue, in [0, 1]
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_SD = (0.2470, 0.2435, 0.2616)


class StandardiseRGB:
    """``(image / 255 - mean) / sd``, channel by channel.

    Args:
        mean: of each channel, in [0, 1].
        sd: of each channel, > 0.
    """

    def __init__(self, mean: Sequence[float] = CIFAR_MEAN, sd: Sequence[float] = CIFAR_SD) -> None:
        self.scale = 1.0 / (255.0 * torch.tensor(sd, dtype=torch.float32)[:, None, None])
        self.shift = -(torch.tensor(mean) / torch.tensor(sd))[:, None, None]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 ``[..., 3, H, W]`` -> float32 of the same shape."""
        return torch.addcmul(self.shift, images.float(), self.scale)
