"""A sample of the mutation run of `benchmarks/import_mutants.py`, on a small study and on the real one."""

import importlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prostate_alm.errors import Reason
from prostate_alm.readers import read_study
from prostate_alm.study import Geometry, Volume

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def mutants(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("import_mutants")


@pytest.fixture
def whole(build, write):
    """A study whose headers say things twice, as scanners write them."""
    facts = {"SpacingBetweenSlices": 3.6, "ManufacturerModelName": "Skyra"}
    dwi = [*build.dwi(b_values=(50, 800), number=6, **facts)]
    for image in dwi:
        image.SequenceName = f"*ep_b{image.DiffusionBValue:g}t"
    images = [*build.t2(**facts), *dwi, *build.adc(**facts)]
    for image in images:
        image.SliceLocation = image.ImagePositionPatient[2]
    sagittal = build.t2(number=3, orientation=(0, 1, 0, 0, 0, -1), slices=5)
    return write([*images, *sagittal])


def wrong(mutants, source, folder, *, seed, each):
    """The mutants of `each` turn of every kind that crash, or are read with a geometry that a header contradicts."""
    bench = mutants.Bench.of(source, folder)
    found = [bench.try_mutant(seed, index) for index in range(each * len(mutants.KINDS))]
    assert {one.kind for one in found} == set(mutants.KINDS)
    assert any(one.outcome == "same" for one in found)
    assert sum(one.outcome.startswith("refused") for one in found) > len(found) / 5
    contradicted = [one for one in found if one.outcome in {"geometry", "other series"} and one.shows]
    return [one for one in found if one.outcome == "crash"] + contradicted


def test_no_damage_crashes_or_moves_a_voxel_against_a_header(mutants, whole, tmp_path):
    assert wrong(mutants, whole, tmp_path / "bench", seed=2, each=2) == []


def test_nor_does_it_in_the_real_study(mutants, tmp_path):
    data = os.environ.get("PROSTATE_ALM_DATA")
    if not data:
        pytest.skip("PROSTATE_ALM_DATA does not name the folder with prostatex/ProstateX-0000")
    assert wrong(mutants, Path(data) / "prostatex" / "ProstateX-0000", tmp_path / "bench", seed=0, each=1) == []


def test_the_bench_puts_every_file_back(mutants, whole, tmp_path):
    bench = mutants.Bench.of(whole, tmp_path / "bench")
    before = {path.name: path.read_bytes() for path in bench.folder.iterdir()}
    for index in range(len(mutants.KINDS)):
        bench.try_mutant(3, index)
    assert {path.name: path.read_bytes() for path in bench.folder.iterdir()} == before


def moved(volume, millimetres):
    affine = volume.geometry.affine + np.eye(4, k=3) * millimetres
    return Volume(volume.data, Geometry(volume.geometry.shape, affine))


def test_each_outcome_is_told_apart(mutants, whole):
    study = read_study(whole)
    other = Volume(study.t2.data + 1, study.t2.geometry)
    renamed = tuple(replace(one, number=9) if one.role == "t2" else one for one in study.series)
    changed = {
        "same": study,
        "pixels": replace(study, t2=other),
        "nudged": replace(study, t2=moved(study.t2, 0.01)),
        "geometry": replace(study, adc=moved(study.adc, 0.2)),
        "other series": replace(study, t2=other, series=renamed),
        "b-values": replace(study, dwi={50.0: study.dwi[50.0], 900.0: study.dwi[800.0]}),
        "ADC fitted": replace(study, flags=(Reason.ADC_COMPUTED,)),
    }
    assert {name: mutants.compare(study, after)[0] for name, after in changed.items()} == {
        name: name for name in changed
    }
