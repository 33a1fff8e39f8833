"""Copies of an examination are found however they were resaved; different patients stay apart."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prostate_alm.datasets.near_duplicates import LIMIT, Descriptor, descriptor, find
from prostate_alm.datasets.synthetic.cohort import CohortPlan
from prostate_alm.datasets.synthetic.patient import synthesize_study
from prostate_alm.preprocessing.grid import sample_on
from prostate_alm.readers import read_study
from prostate_alm.study import Geometry, Study, Volume

Change = Callable[[Study], Study]


@pytest.fixture(scope="module")
def patients() -> list[Study]:
    """Nine of them, from three scanners."""
    return [synthesize_study(plan)[0] for plan in CohortPlan(9, seed=21).of_split("training")]


def with_t2(study: Study, data: np.ndarray, geometry: Geometry | None = None) -> Study:
    return replace(study, key="copy", t2=Volume(data.astype(np.float32), geometry or study.t2.geometry))


def in_eight_bits(study: Study) -> Study:
    scale = np.percentile(study.t2.data, 99.5) / 255
    return with_t2(study, np.clip(np.rint(study.t2.data / scale), 0, 255) + 30)


def noisier(study: Study) -> Study:
    sigma = 0.05 * np.percentile(study.t2.data, 99)
    return with_t2(study, np.abs(study.t2.data + np.random.default_rng(1).normal(0, sigma, study.t2.data.shape)))


def cropped_and_placed_elsewhere(study: Study) -> Study:
    """10 mm less on two sides and two slices less, as an anonymiser leaves it that resets the position."""
    columns, rows = (round(10 / step) for step in study.t2.geometry.spacing[:2])
    data = study.t2.data[columns:, :-rows, 2:]
    affine = np.array(study.t2.geometry.affine)
    affine[:3, 3] = 0
    return with_t2(study, data, Geometry(data.shape, affine))


def at_another_spacing(study: Study) -> Study:
    old = study.t2.geometry
    shape, spacing = (150, 150, 14), (1.1, 1.0, 4.2)
    affine = np.eye(4)
    affine[:3, :3] = old.direction * spacing
    affine[:3, 3] = np.array(old.centre) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    grid = Geometry(shape, affine)
    return with_t2(study, sample_on(study.t2, grid)[0].numpy(), grid)


CHANGES: list[Change] = [in_eight_bits, noisier, cropped_and_placed_elsewhere, at_another_spacing]


def test_different_patients_stay_apart(patients: list[Study]) -> None:
    assert find({study.key: descriptor(study) for study in patients}) == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_copy_is_found_among_others(patients: list[Study], change: Change) -> None:
    original = patients[4]
    described = {study.key: descriptor(study) for study in [*patients, change(original)]}
    (pair,) = find(described)
    assert {pair.first, pair.second} == {original.key, "copy"}
    assert not pair.identical
    assert 0 <= pair.distance <= LIMIT


def test_the_same_voxels_are_identical_whatever_the_headers_say(patients: list[Study]) -> None:
    copy = replace(patients[0], key="copy", series=(), flags=())
    (pair,) = find({study.key: descriptor(study) for study in [*patients, copy]})
    assert (pair.first, pair.second, pair.identical, pair.distance) == (patients[0].key, "copy", True, 0.0)


def test_a_copy_of_t2_with_other_diffusion_is_near_and_not_identical(patients: list[Study]) -> None:
    mixed = replace(patients[0], key="copy", dwi=patients[1].dwi)
    (pair,) = find({patients[0].key: descriptor(patients[0]), "copy": descriptor(mixed)})
    assert not pair.identical
    assert pair.distance == pytest.approx(0, abs=1e-3)


def test_a_descriptor_outlives_a_file(patients: list[Study]) -> None:
    one = descriptor(patients[0])
    text = one.to_text()
    back = Descriptor.from_text(text)
    assert "\n" not in text
    assert back.content == one.content
    assert np.array_equal(back.values, one.values)


def test_an_empty_volume_resembles_nothing(patients: list[Study]) -> None:
    empty = [with_t2(patients[0], np.full(patients[0].t2.data.shape, level)) for level in (0, 7)]
    assert find({str(i): descriptor(study) for i, study in enumerate([*empty, patients[1]])}) == []
    assert find({}) == []


@pytest.mark.skipif("PROSTATE_ALM_DATA" not in os.environ, reason="PROSTATE_ALM_DATA names no folder of real studies")
def test_copies_of_a_real_study_are_found(patients: list[Study]) -> None:
    real = read_study(Path(os.environ["PROSTATE_ALM_DATA"]) / "prostatex" / "ProstateX-0000")
    described = {study.key: descriptor(study) for study in [*patients, real]}
    for change in CHANGES:
        (pair,) = find({**described, "copy": descriptor(change(real))})
        assert (pair.first, pair.second) == (real.key, "copy")
