"""Each figure moves with what it stands for, and none ever is no number."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from prostate_alm.preprocessing import Preprocessing
from prostate_alm.preprocessing.image_features import IMAGE_FEATURES, image_features
from prostate_alm.preprocessing.phantoms import golden_studies
from prostate_alm.study import Study


@pytest.fixture(scope="module")
def image(study_factory: Callable[..., Study]) -> torch.Tensor:
    return Preprocessing("tiny")(study_factory(3)).image


def figures(image: torch.Tensor) -> dict[str, float]:
    return dict(zip(IMAGE_FEATURES, image_features(image).tolist(), strict=True))


def changed(image: torch.Tensor, other: torch.Tensor) -> set[str]:
    before, after = figures(image), figures(other)
    return {name for name in IMAGE_FEATURES if abs(before[name] - after[name]) > 1e-9}


def ramp(axis: int) -> torch.Tensor:
    """All channels rise from 1 to 2 along an axis."""
    values = torch.linspace(1, 2, 12)
    return torch.moveaxis(values.expand(3, 12, 12, 12), -1, axis).contiguous()


def test_quantiles_and_shares_are_those_of_the_voxels_that_are_no_padding() -> None:
    image = torch.zeros(3, 10, 10, 10)
    image[0, :5] = torch.linspace(1, 2, 500).reshape(5, 10, 10)
    found = figures(image)
    assert found["t2_inside"] == 0.5
    assert [found[f"t2_quantile_{q}"] for q in (5, 50, 95)] == pytest.approx([1.05, 1.5, 1.95], abs=1e-6)
    assert (found["dwi_inside"], found["dwi_quantile_50"], found["t2_dwi_correlation"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("axis", "name", "sign"),
    [(2, "t2_anterior", -1), (3, "t2_superior", 1), (1, "t2_anterior", 0), (1, "t2_superior", 0)],
)
def test_halves_are_told_apart(axis: int, name: str, sign: int) -> None:
    # 12 steps of 1/11 from end to end: the halves' means lie 6 steps apart
    assert figures(ramp(axis))[name] == pytest.approx(sign * 6 / 11, abs=1e-6)


def test_steps_between_neighbours_are_measured_in_the_plane_and_across_it() -> None:
    within, across = figures(ramp(1)), figures(ramp(3))
    assert (within["t2_edges_in_plane"], within["t2_edges_through_plane"]) == pytest.approx((1 / 22, 0), abs=1e-6)
    assert (across["t2_edges_in_plane"], across["t2_edges_through_plane"]) == pytest.approx((0, 1 / 11), abs=1e-6)


def test_the_middle_is_the_middle_third() -> None:
    image = torch.ones(3, 12, 12, 12)
    image[1, 4:8, 4:8, 4:8] = 5.0
    assert figures(image)["dwi_middle"] == 5.0


def test_channels_that_vary_together_correlate(image: torch.Tensor) -> None:
    together = image.clone()
    together[2] = -together[1]
    assert figures(together)["dwi_adc_correlation"] == pytest.approx(-1.0)
    assert figures(together)["t2_adc_correlation"] == pytest.approx(-figures(together)["t2_dwi_correlation"])
    noise = torch.stack(
        [
            *torch.randn(2, 40, 40, 40, generator=torch.Generator().manual_seed(0)),
            together[0].new_ones(1).expand(40, 40, 40),
        ]
    )
    assert abs(figures(noise)["t2_dwi_correlation"]) < 0.02
    assert figures(noise)["t2_adc_correlation"] == 0.0


def test_a_channel_changes_its_own_figures_alone(image: torch.Tensor) -> None:
    other = image.clone()
    other[2] = torch.where(other[2] != 0, other[2] + 0.3, other[2])
    assert {name for name in changed(image, other) if "correlation" not in name} <= {
        name for name in IMAGE_FEATURES if name.startswith("adc_")
    }
    assert "adc_quantile_50" in changed(image, other)


@pytest.mark.parametrize("axes", [(2,), (3,)])
def test_a_study_upside_down_is_told(image: torch.Tensor, axes: tuple[int, ...]) -> None:
    assert changed(image, image.flip(axes))


def test_a_study_mirrored_across_the_midline_is_not_told(image: torch.Tensor) -> None:
    mirrored = image.flip(1)
    assert np.allclose(image_features(image), image_features(mirrored), atol=1e-9)


@pytest.mark.parametrize("image", [torch.zeros(3, 8, 8, 4), torch.ones(3, 8, 8, 4), torch.zeros(3, 1, 1, 1)])
def test_figures_of_an_image_without_content_are_numbers(image: torch.Tensor) -> None:
    image = image.clone()
    image[0, 0, 0, 0] = 1.0
    assert np.isfinite(image_features(image)).all()


def test_the_phantoms_are_built_alike_every_time() -> None:
    for name, study in golden_studies().items():
        again = golden_studies()[name]
        images = [Preprocessing("tiny")(one).image for one in (study, again)]
        assert torch.equal(*images)
        assert np.isfinite(image_features(images[0])).all()
