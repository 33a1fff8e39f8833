"""The picture shows the slice that moves the score most, in colours that say which way."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from prostate_alm.errors import ArgumentError
from prostate_alm.report.case_picture import GAP, TILE, TILES, draw_case


def pixels(case):
    content = base64.b64decode(case.picture.uri.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(3, 16, 12, 5)).astype(np.float32) * 0.1


def test_the_strongest_slice_is_shown_with_its_direction(image):
    t2, diffusion = np.zeros((2, 16, 12, 5), dtype=np.float32)
    t2[:8, :, 3] = 2.0  # the patient's right, which is on the left
    diffusion[:, :, 1] = -1.0
    diffusion[:, :, 3] = -1.0
    picture = draw_case(image, t2_map=t2, diffusion_map=diffusion)
    assert (picture.slice_number, picture.slices) == (4, 5)
    shown = pixels(picture)
    assert shown.shape == (TILE, len(TILES) * (TILE + GAP) - GAP, 3)
    where = shown[:, 3 * (TILE + GAP) : 3 * (TILE + GAP) + TILE]
    left, right = where[20:-20, 10:70], where[20:-20, 100:160]
    assert (left[..., 0] - left[..., 2]).mean() > 40  # amber
    assert abs((right[..., 0] - right[..., 2]).mean()) < 5  # grey
    against = shown[20:-20, 4 * (TILE + GAP) + 10 : -10]
    assert (against[..., 2] - against[..., 0]).mean() > 20  # blue, half as strong


def test_a_map_of_nothing_shows_the_middle(image):
    nothing = np.zeros((16, 12, 5), dtype=np.float32)
    assert draw_case(image, t2_map=nothing, diffusion_map=nothing).slice_number == 3


def test_arrays_that_do_not_fit_are_refused(image):
    with pytest.raises(ArgumentError, match="two maps"):
        draw_case(image, t2_map=np.zeros((16, 12, 4), np.float32), diffusion_map=np.zeros((16, 12, 5), np.float32))
