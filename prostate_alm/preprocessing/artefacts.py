"""Two scores of what goes wrong in echo-planar diffusion: ghosts of motion, and signal lost at metal.

Both are plain figures, not judgements of an expert. Their limits stand in `quality.py`; `benchmarks/quality_gates.py`
holds them against synthetic studies with and without each artefact. Distortion at rectal gas is not measured: its
pile-up looks like anatomy.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from prostate_alm.study import Volume

_EDGE_SIGMA_MM = 8.0  # coarser than this is anatomy, not an edge that could be copied
_NEAREST_GHOST = 0.12  # of the rows
_MIRROR_SIGMA_MM = 4.0
_MIRROR_REACH_MM = 64.0
_LOST, _EXPECTED = 0.35, 0.6  # of the mirrored voxel's signal; of the region's median


def motion_score(dwi: Volume) -> float:
    """How much of an image comes back shifted along its rows' axis (Y, where phases are usually encoded).

    A ghost is a copy of the image, so the edges of a ghosted slice correlate with themselves at the ghost's distance.
    This is the largest autocorrelation of the edges, over shifts of 12 % to 50 % of the rows, averaged over slices.

    Args:
        dwi: the volume of one b-value. Severe ghosts blur a high b-value until no copy is left to be told, and are
            plain in a low one.

    Returns:
        About 0.03 without ghosts, up to 0.11 in voxels of 4 mm; 0 for a constant volume. Ghosts along X are not seen.
    """
    edges = dwi.data.astype(np.float64)
    edges -= gaussian_filter1d(edges, _EDGE_SIGMA_MM / dwi.geometry.spacing[1], axis=1, mode="wrap")
    rows = edges.shape[1]
    power = np.abs(np.fft.fft(edges, axis=1)) ** 2
    correlation = np.fft.ifft(power, axis=1).real.sum(axis=0)  # [shift, slice]
    correlation = correlation / np.maximum(correlation[:1], 1e-9)
    nearest = max(3, int(_NEAREST_GHOST * rows))
    return float(max(correlation.mean(axis=1)[nearest : rows // 2 + 1].max(initial=0.0), 0.0))


def susceptibility_score(dwi: Volume, *, middle: tuple[float, float, float]) -> float:
    """Share of the pelvis whose signal is lost on one side only, as around a hip prosthesis.

    Args:
        dwi: the volume of the lowest b-value.
        middle: patient position in mm of what lies in the patient's midline: the centre of the T2 volume.

    Returns:
        Share of the voxels within 64 mm of the middle that have less than 35 % of the signal of their mirror image
        across the midline, where that is not dark itself.
    """
    inside, mirrored = _sides(dwi, middle)
    if inside.size == 0:
        return 0.0
    typical = float(np.median(inside))
    return float(((inside < _LOST * mirrored) & (mirrored > _EXPECTED * typical)).mean())


def _sides(dwi: Volume, middle: tuple[float, float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smoothed signal near the middle, and the same mirrored along X; both empty when the middle is outside."""
    spacing = np.array(dwi.geometry.spacing)
    smooth = gaussian_filter(dwi.data.astype(np.float64), (*(_MIRROR_SIGMA_MM / spacing[:2]), 0.7))
    x, y, _ = np.linalg.inv(dwi.geometry.affine)[:3] @ [*middle, 1.0]
    columns, _, slices = dwi.geometry.shape
    centre, line = round(x + 0.5), round(y + 0.5)
    reach_x = min(round(_MIRROR_REACH_MM / spacing[0]), centre, columns - centre)
    reach_y = round(_MIRROR_REACH_MM / spacing[1])
    if reach_x < 1:
        return np.empty(0), np.empty(0)
    edge = slices // 6
    region = smooth[centre - reach_x : centre + reach_x, max(line - reach_y, 0) : line + reach_y, edge : slices - edge]
    return region, region[::-1]
