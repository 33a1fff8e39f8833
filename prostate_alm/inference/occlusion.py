"""Where in the image each path finds what speaks for DCE: occlusion sensitivity (Zeiler and Fergus 2014, section 4.1).

Patch after patch is hidden from one path and the ensemble's mean logit is computed again. MONAI's
`OcclusionSensitivity` (1.6.1) hides a patch from all channels alike, and indexes by lists in a way that torch has
announced to read otherwise.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray

from prostate_alm.errors import ArgumentError
from prostate_alm.inference.ensemble import Ensemble
from prostate_alm.inference.members import NetworkPath
from prostate_alm.preprocessing.prepare import SPACING_MM

PATCH_MM = (26.0, 26.0, 24.0)
"""About the size of a patch along H, W, D: the box of 128 x 128 x 72 mm is cut into 5 x 5 x 3."""
HIDDEN = 0.0
"""What a hidden voxel holds, as padding does: the mean of the T2 or DWI volume, an ADC of 1200e-6 mm²/s."""

Patch = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class OcclusionMap:
    """By how much the mean logit drops when a place is hidden; positive where the place speaks for DCE.

    Attributes:
        t2: ``[H, W, D]`` float32 in logits, hidden from the T2 path.
        diffusion: the same for the diffusion path.
    """

    t2: NDArray[np.float32]
    diffusion: NDArray[np.float32]


def occlusion_map(
    ensemble: Ensemble, image: torch.Tensor, *, between: Callable[[], None] = lambda: None
) -> OcclusionMap:
    """Hide one patch after the other from one path after the other.

    Args:
        ensemble: computes each of its two paths 76 times.
        image: ``[C, H, W, D]`` as `Ensemble.prepare` made it.
        between: called before each patch; what it raises ends the work, so that no patient waits for a picture.

    Raises:
        ArgumentError: the image has another shape than this ensemble's.
    """
    preprocessing = ensemble.preprocessing
    if tuple(image.shape[1:]) != tuple(preprocessing.shape):
        raise ArgumentError(f"expected an image of {preprocessing.shape} voxels, got {tuple(image.shape[1:])}.")
    patches = list(cut(preprocessing.shape, SPACING_MM[preprocessing.profile]))
    return OcclusionMap(
        t2=_path_map(ensemble, "t2", image, patches=patches, between=between),
        diffusion=_path_map(ensemble, "diffusion", image, patches=patches, between=between),
    )


def cut(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Iterator[Patch]:
    """Cut an image into patches of about `PATCH_MM`: each voxel lies in exactly one.

    Args:
        shape: voxels along H, W, D.
        spacing: their size in mm.
    """
    axes: list[list[slice]] = []
    for voxels, size, length in zip(shape, spacing, PATCH_MM, strict=True):
        parts = min(max(round(voxels * size / length), 1), voxels)
        edges = np.linspace(0, voxels, parts + 1).round().astype(int).tolist()
        axes.append([slice(start, end) for start, end in pairwise(edges)])
    yield from ((h, w, d) for h, w, d in product(*axes))


def _path_map(
    ensemble: Ensemble, path: NetworkPath, image: torch.Tensor, *, patches: list[Patch], between: Callable[[], None]
) -> NDArray[np.float32]:
    """The drop of one path's share in the mean logit."""
    whole = ensemble.path_share(path, image)
    drop = np.zeros(image.shape[1:], dtype=np.float32)
    for patch in patches:
        between()
        hidden = image.clone()
        hidden[:, *patch] = HIDDEN
        drop[patch] = whole - ensemble.path_share(path, hidden)
    return drop
