"""Figures that describe a prepared image, to tell whether it looks like those that a model was validated on."""

import numpy as np
import torch
from numpy.typing import NDArray

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
CHANNELS = ("t2", "dwi", "adc")
_PAIRS = ((0, 1), (0, 2), (1, 2))
_OF_A_CHANNEL = (
    "inside", *(f"quantile_{100 * q:.0f}" for q in QUANTILES), "middle", "anterior", "superior", "edges_in_plane",
    "edges_through_plane",
)  # fmt: skip
IMAGE_FEATURES = (
    *(f"{channel}_{name}" for channel in CHANNELS for name in _OF_A_CHANNEL),
    *(f"{CHANNELS[a]}_{CHANNELS[b]}_correlation" for a, b in _PAIRS),
)
"""Names of the figures, in the order of `image_features`."""


def image_features(image: torch.Tensor) -> NDArray[np.float64]:
    """Describe an image by plain figures; finite for every finite image.

    Of each channel: the share that is no padding; quantiles of its values; the mean of the middle third, where the
    gland lies; by how much the anterior half is brighter than the posterior one, and the superior than the inferior;
    the mean step between neighbours in the plane and across it, which noise, blur and other voxels change. Of each
    pair of channels: the correlation over the voxels that both have. T2 and DWI are z-scores, so their means and
    deviations say nothing; left and right are alike, so a study mirrored across the midline is not told.

    Args:
        image: ``[3, H, W, D]`` as `Preprocessing` makes it (W to posterior, D to superior); 0 is padding.

    Returns:
        ``[len(IMAGE_FEATURES)]``, in units of the image.
    """
    channels = image.detach().cpu().double()
    inside = channels != 0
    figures = [value for values, mask in zip(channels, inside, strict=True) for value in _of_channel(values, mask)]
    figures += [_correlation(channels[a], channels[b], inside[a] & inside[b]) for a, b in _PAIRS]
    return np.array(figures)


def _of_channel(values: torch.Tensor, inside: torch.Tensor) -> list[float]:
    known = values[inside].numpy()
    _, rows, slices = values.shape
    half_w, half_d = rows // 2, slices // 2
    middle = tuple(slice(n // 3, n - n // 3) for n in values.shape)
    return [
        float(inside.double().mean()),
        *(np.quantile(known, QUANTILES).tolist() if known.size else [0.0] * len(QUANTILES)),
        _mean(values[middle], inside[middle]),
        _mean(values[:, :half_w], inside[:, :half_w]) - _mean(values[:, half_w:], inside[:, half_w:]),
        _mean(values[..., half_d:], inside[..., half_d:]) - _mean(values[..., :half_d], inside[..., :half_d]),
        (_step(values, inside, axis=0) + _step(values, inside, axis=1)) / 2,
        _step(values, inside, axis=2),
    ]


def _mean(values: torch.Tensor, inside: torch.Tensor) -> float:
    """Mean over `inside`; 0 over nothing."""
    return float(values[inside].mean()) if inside.any() else 0.0


def _step(values: torch.Tensor, inside: torch.Tensor, *, axis: int) -> float:
    """Mean difference of neighbours along an axis, without regard to its sign."""
    length = values.shape[axis] - 1
    both = inside.narrow(axis, 0, length) & inside.narrow(axis, 1, length)
    return _mean(values.diff(dim=axis).abs(), both)


def _correlation(a: torch.Tensor, b: torch.Tensor, inside: torch.Tensor) -> float:
    """Pearson's; 0 where one is constant or fewer than two voxels are shared."""
    if int(inside.sum()) < 2:
        return 0.0
    first, second = a[inside] - a[inside].mean(), b[inside] - b[inside].mean()
    scale = float(first.norm() * second.norm())
    return float(first @ second) / scale if scale > 0 else 0.0
