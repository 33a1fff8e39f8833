"""Sampling keeps every voxel where it lies in the patient: exact on ramps, equal to SimpleITK, blind to file order."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from prostate_alm.errors import ArgumentError
from prostate_alm.preprocessing.grid import box_grid, sample_on, sample_positive_on
from prostate_alm.study import Geometry, Volume


def rotation(x: float, z: float) -> NDArray[np.float64]:
    """Tilt by `x` degrees about the left-right axis after turning by `z` about the long axis."""
    a, b = np.radians(x), np.radians(z)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return about_x @ about_z


def make_geometry(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], tilt: float = 0.0, turn: float = 0.0
) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = rotation(tilt, turn) * np.array(spacing)
    affine[:3, 3] = np.array([12.0, -30.0, 7.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(shape, affine)


def positions(geometry: Geometry) -> NDArray[np.float64]:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), axis=-1)
    return index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]


def ramp(geometry: Geometry) -> Volume:
    """A value that is a linear function of the patient position: linear interpolation must return it exactly."""
    return Volume((positions(geometry) @ np.array([0.5, -1.25, 2.0]) + 500).astype(np.float32), geometry)


def test_a_ramp_in_the_patient_is_sampled_exactly() -> None:
    source = make_geometry((60, 70, 30), (1.1, 0.9, 3.3), tilt=17.0, turn=5.0)
    grid = box_grid(source, box_mm=(40.0, 44.0, 60.0), spacing_mm=(1.0, 1.0, 3.0))
    values, inside = sample_on(ramp(source), grid)
    assert inside.all()
    assert np.abs(values.numpy() - ramp(grid).data).max() < 2e-3


def test_smoothing_before_coarsening_keeps_a_ramp() -> None:
    source = make_geometry((100, 100, 40), (0.5, 0.5, 3.0), tilt=18.5)
    grid = box_grid(source, box_mm=(24.0, 24.0, 60.0), spacing_mm=(2.0, 2.0, 6.0))
    values, _ = sample_on(ramp(source), grid)
    assert np.abs(values.numpy() - ramp(grid).data).max() < 2e-3


def test_agrees_with_simpleitk_on_another_tilted_grid() -> None:
    rng = np.random.default_rng(0)
    source = make_geometry((40, 36, 12), (1.8, 2.2, 3.0), tilt=4.0, turn=-6.0)
    grid = box_grid(
        make_geometry((64, 64, 20), (0.5, 0.5, 3.0), tilt=18.0), box_mm=(60.0, 60.0, 36.0), spacing_mm=(1.0, 1.0, 3.0)
    )
    volume = Volume(rng.standard_normal(source.shape).astype(np.float32), source)
    image = sitk.GetImageFromArray(volume.data.transpose(2, 1, 0))
    image.SetSpacing(source.spacing)
    image.SetOrigin(source.origin)
    image.SetDirection(source.direction.ravel().tolist())
    reference = sitk.Image(list(grid.shape), sitk.sitkFloat32)
    reference.SetSpacing(grid.spacing)
    reference.SetOrigin(grid.origin)
    reference.SetDirection(grid.direction.ravel().tolist())
    expected = sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, 0.0))
    values, inside = sample_on(volume, grid)
    assert 0.5 < inside.float().mean() < 1.0
    difference = np.abs(values.numpy() - expected.transpose(2, 1, 0))[inside.numpy()]
    assert np.quantile(difference, 0.98) < 1e-4  # the outermost half voxel is filled differently
    assert (expected.transpose(2, 1, 0)[~inside.numpy()] == 0).all()


@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_how_the_file_stored_its_axes_changes_nothing(flips: tuple[int, ...]) -> None:
    source = make_geometry((30, 34, 12), (2.0, 2.0, 3.0), tilt=10.0)
    volume = ramp(source)
    affine = source.affine.copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (source.shape[axis] - 1)
        affine[:3, axis] *= -1
    flipped = Volume(np.flip(volume.data, axis=flips), Geometry(source.shape, affine))
    box: tuple[float, float, float] = (40.0, 40.0, 24.0)
    images = [sample_on(v, box_grid(v.geometry, box_mm=box, spacing_mm=(1.0, 1.0, 3.0)))[0] for v in (volume, flipped)]
    assert torch.allclose(images[0], images[1], atol=1e-3)


def test_the_box_is_centred_on_the_volume_and_points_to_the_patient() -> None:
    grid = box_grid(
        make_geometry((384, 384, 19), (0.5, 0.5, 3.0), tilt=18.5),
        box_mm=(128.0, 128.0, 72.0),
        spacing_mm=(2.0, 2.0, 6.0),
    )
    assert grid.shape == (64, 64, 12)
    assert grid.centre == pytest.approx((12.0, -30.0, 7.0))
    assert (np.diag(grid.direction) > 0.9).all()


def test_outside_the_volume_there_is_nothing() -> None:
    source = make_geometry((20, 20, 4), (2.0, 2.0, 3.0))
    grid = box_grid(source, box_mm=(80.0, 80.0, 24.0), spacing_mm=(2.0, 2.0, 3.0))
    values, inside = sample_on(Volume(np.full(source.shape, 7.0, np.float32), source), grid)
    assert int(inside.sum()) == 20 * 20 * 4
    assert (values[inside] == 7).all()
    assert (values[~inside] == 0).all()


def test_zeros_of_an_adc_map_are_holes_not_values() -> None:
    source = make_geometry((40, 40, 8), (1.0, 1.0, 3.0))
    data = np.full(source.shape, 1500.0, np.float32)
    data[10:20, 10:20] = 0.0
    grid = box_grid(source, box_mm=(36.0, 36.0, 24.0), spacing_mm=(2.0, 2.0, 3.0))
    values, valid = sample_positive_on(Volume(data, source), grid)
    assert 0 < int((~valid).sum()) < valid.numel() / 4
    assert torch.allclose(values[valid], torch.tensor(1500.0))
    assert (values[~valid] == 0).all()


def test_a_box_of_broken_voxels_is_refused() -> None:
    with pytest.raises(ArgumentError, match="whole number"):
        box_grid(make_geometry((20, 20, 4), (2.0, 2.0, 3.0)), box_mm=(41.0, 40.0, 24.0), spacing_mm=(2.0, 2.0, 3.0))


@pytest.mark.parametrize("jitter", [1e-6, -1e-6])
def test_the_last_digit_of_an_affine_flips_no_voxel(jitter: float) -> None:
    """Round millimetres meet the rim of a volume and half of a hole exactly, and NIfTI rounds affines to float32."""
    source = make_geometry((20, 20, 8), (2.0, 2.0, 3.0))
    grid = Geometry(
        (24, 24, 8), source.affine @ np.array([[1, 0, 0, -0.5], [0, 1, 0, -0.5], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    )
    data = np.full(source.shape, 900.0, np.float32)
    data[6:12, 6:12] = 0.0
    moved = source.affine.copy()
    moved[:3, 3] += jitter
    for sample in (sample_on, sample_positive_on):
        masks = [sample(Volume(data, Geometry(source.shape, affine)), grid)[1] for affine in (source.affine, moved)]
        assert torch.equal(masks[0], masks[1])
