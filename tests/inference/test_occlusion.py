"""Hiding a place from a path lowers the logit by what the place gave to it, and by nothing elsewhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.inference.occlusion import cut, occlusion_map

SHAPE = (64, 64, 12)  # of the profile "tiny": cut at 13, 26, 38, 51 in the plane and at 4, 8 along D
MEMBERS = (1.0, 2.0, 6.0)


def summing_weights(weights, *, t2: float, diffusion: float):
    """Weights with which a member adds up what is bright: each path copies its first channel, the head takes its mean.

    After max-pooling by 4 x 4 x 2, a voxel block of that size counts 1 of 16 * 16 * 6 cells.
    """
    made = {name: torch.zeros_like(value) for name, value in weights.items()}
    for name, value in made.items():
        if name.endswith("running_var") or (name.endswith(".weight") and value.ndim == 1):
            value.fill_(1.0)  # normalisation that changes nothing
        elif value.ndim == 5:
            value[0, 0, 1, 1, 1] = 1.0
    features = made["head.1.weight"].shape[1] // 4
    made["head.1.weight"][0, 0] = t2
    made["head.1.weight"][0, 2 * features] = diffusion
    return made


@pytest.fixture(scope="module")
def ensemble(ensemble_factory, weights_factory, tmp_path_factory):
    """T2 counts for its members' mean of 3 a cell, diffusion for -3."""
    weights = [summing_weights(weights_factory(0), t2=w * 1536, diffusion=-w * 1536) for w in MEMBERS]
    return load_ensemble(ensemble_factory(tmp_path_factory.mktemp("summing") / "e", weights=weights))


def test_only_the_place_that_counts_is_seen_and_by_its_worth(ensemble):
    image = torch.zeros(3, *SHAPE)
    image[0, 16:20, 32:36, 4:6] = 2.0  # a cell
    image[1, 48:51, 0:4, 8:10] = 0.5  # three of the four rows of a cell; the fourth lies in the next patch
    image[1, 48:52, 60:64, 0:2] = 0.5  # all four: either patch keeps the cell's largest voxel, so neither counts
    image[2] = torch.rand(SHAPE)  # ADC, which these members do not read
    found = occlusion_map(ensemble, image)
    t2, diffusion = np.zeros(SHAPE), np.zeros(SHAPE)
    t2[13:26, 26:38, 4:8] = 3.0 * 2.0
    diffusion[38:51, 0:13, 8:12] = -3.0 * 0.5
    assert found.t2 == pytest.approx(t2, abs=1e-3)
    assert found.diffusion == pytest.approx(diffusion, abs=1e-3)
    assert found.t2.dtype == found.diffusion.dtype == np.float32


@settings(deadline=None, max_examples=30)
@given(
    shape=st.tuples(*[st.integers(1, 20)] * 3),
    spacing=st.tuples(*[st.floats(0.5, 50)] * 3),
)
def test_every_voxel_lies_in_exactly_one_patch(shape, spacing):
    times = np.zeros(shape, int)
    for patch in cut(shape, spacing):
        times[patch] += 1
        assert all(part.stop > part.start for part in patch)
    assert (times == 1).all()


def test_backends_draw_the_same_map(shared_ensemble, study_factory):
    image = torch.randn((3, *SHAPE), generator=torch.Generator().manual_seed(1))
    maps = [occlusion_map(load_ensemble(shared_ensemble, backend=name), image) for name in ("torch", "openvino")]
    assert maps[0].t2 == pytest.approx(maps[1].t2, abs=1e-5)
    assert maps[0].diffusion == pytest.approx(maps[1].diffusion, abs=1e-5)
    assert maps[0].t2.std() > 1e-3


class PatientWaitsError(Exception):
    pass


def test_it_ends_when_a_patient_waits(ensemble):
    calls = []

    def patient_comes():
        calls.append(1)
        if len(calls) == 5:
            raise PatientWaitsError

    with pytest.raises(PatientWaitsError):
        occlusion_map(ensemble, torch.zeros(3, *SHAPE), between=patient_comes)
    assert len(calls) == 5


def test_an_image_of_another_size_is_refused(ensemble):
    with pytest.raises(ArgumentError, match=r"64, 64, 12.*32, 32, 12"):
        occlusion_map(ensemble, torch.zeros(3, 32, 32, 12))
