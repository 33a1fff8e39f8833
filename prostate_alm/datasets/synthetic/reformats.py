"""Volumes that an examination holds beside those of the study: other planes, coarse copies, maps, mosaics."""

import math

import numpy as np

from prostate_alm.study import FloatArray, Geometry, Volume


def scaled(volume: Volume, factor: float) -> Volume:
    """The same volume with its values multiplied and rounded."""
    return Volume(np.rint(volume.data * np.float32(factor)), volume.geometry, volume.frame_of_reference)


def exponential(adc: Volume, b_value: float) -> Volume:
    """``1000 exp(-b ADC)``, the map that some scanners send beside the ADC."""
    decay = np.rint(1000 * np.exp(-b_value * 1e-6 * adc.data))
    return Volume(decay, adc.geometry, adc.frame_of_reference)


def coarse(volume: Volume, step: int, factor: float = 1.0) -> Volume:
    """Every `step`-th column and row and every third slice, times `factor`."""
    data = np.rint(volume.data[::step, ::step, ::3] * np.float32(factor))
    return _placed(data, volume.geometry.affine @ np.diag([step, step, 3.0, 1.0]))


def coarser_and_wider(volume: Volume) -> Volume:
    """Every second column and row, in a field of view that is a quarter larger; nothing is seen at its margin."""
    columns, rows = volume.data.shape[0] // 8, volume.data.shape[1] // 8
    padded = np.pad(volume.data, ((columns, columns), (rows, rows), (0, 0)))
    affine = np.array(volume.geometry.affine)
    affine[:3, 3] -= affine[:3, :2] @ [columns, rows]
    return _placed(padded[::2, ::2], affine @ np.diag([2.0, 2.0, 1.0, 1.0]))


def mosaic(volume: Volume) -> Volume:
    """All slices tiled into one image, the first at the upper left."""
    columns, rows, slices = volume.data.shape
    side = math.ceil(math.sqrt(slices))
    sheet = np.zeros((columns * side, rows * side, 1), dtype=np.float32)
    for index in range(slices):
        x, y = index % side * columns, index // side * rows
        sheet[x : x + columns, y : y + rows, 0] = volume.data[:, :, index]
    affine = np.array(volume.geometry.affine)
    affine[:3, 3] -= affine[:3, :2] @ [columns * (side - 1) / 2, rows * (side - 1) / 2]
    return _placed(sheet, affine)


def coronal(volume: Volume) -> Volume:
    """Columns to the left, rows to inferior, slices to posterior, every sixth of them."""
    data = volume.data[:, ::6, ::-1].transpose(0, 2, 1)
    source, last = volume.geometry.affine, volume.data.shape[2] - 1
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = source[:3, 0], -source[:3, 2], source[:3, 1] * 6
    affine[:, 3] = source @ [0.0, 0.0, last, 1.0]
    return _placed(data, affine)


def three_planes(volume: Volume, slices: int) -> list[Volume]:
    """A few axial, coronal and sagittal slices of one size, as a localizer has them."""
    size, source = 32, volume.geometry
    axes = np.array([[0, 1, 2], [0, 2, 1], [1, 2, 0]])  # along columns, rows and slices
    planes = []
    for column, row, through in axes:
        affine = np.eye(4)
        unit = source.direction
        affine[:3, :3] = np.stack([unit[:, column] * 8.0, unit[:, row] * 8.0, unit[:, through] * 12.0], axis=1)
        middle = affine[:3, :3] @ [(size - 1) / 2, (size - 1) / 2, (slices - 1) / 2]
        affine[:3, 3] = np.array(source.centre) - middle
        values = np.linspace(20, 900, size * size * slices, dtype=np.float32).reshape(size, size, slices)
        planes.append(_placed(np.rint(values), affine))
    return planes


def _placed(data: FloatArray, affine: np.ndarray) -> Volume:
    x, y, z = data.shape
    return Volume(data, Geometry((x, y, z), affine))
