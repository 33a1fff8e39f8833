"""A planted leak shows: by shuffled labels where the pipeline tells the label, by a path alone where an image does."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from prostate_alm.errors import TrainingError
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.sanity import modality_test, permutation_test, shuffled_labels

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"
LEAK = "$lambda item: {**item, 'image': item['image'] + 3.0 * item['label']}"
Train = Callable[[EnsembleRun], None]


@pytest.fixture
def trained() -> list[str]:
    """Names of the runs that were trained."""
    return []


@pytest.fixture
def train(trained: list[str], train_here: Train) -> Train:
    """Train the members in this process."""

    def noted(run: EnsembleRun) -> None:
        trained.append(run.out.name)
        train_here(run)

    return noted


def make_run(datalist: Path, out: Path, *, epochs: int = 1, **settings: Any) -> EnsembleRun:
    small = {"profile": "tiny", "max_epochs": epochs, "batch_size": 4, "network_def#widths": [4, 4]}
    return EnsembleRun(BUNDLE, datalist, out, 2, 2, settings={**small, **settings})


def test_a_pipeline_that_tells_the_label_is_suspected(cohort: Path, tmp_path: Path, train: Train) -> None:
    run = make_run(cohort, tmp_path, epochs=4, **{"train#hidden": LEAK})
    found = permutation_test(run, repeats=2, train=train)
    assert found.leak_suspected
    assert found.low > 0.9
    assert found.real is None


def test_shuffled_labels_are_not_learned_without_a_leak(
    cohort: Path, tmp_path: Path, train: Train, trained: list[str]
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    rows = [{"index": i, "label": int(i % 3 == 0), "logit": float(i % 3 == 0)} for i in range(18)]
    (real / "out_of_fold.json").write_text(json.dumps(rows))
    found = permutation_test(make_run(cohort, tmp_path), repeats=2, train=train, real=real)
    assert trained == ["permutation_00", "permutation_01"]
    assert not found.leak_suspected
    assert found.mean == pytest.approx(np.mean([one.last.auc for one in found.runs]))
    assert (found.real, found.p_value) == pytest.approx((1.0, 1 / 3))
    labels = [
        [entry["label"] for entry in json.loads((tmp_path / name / "datalist.json").read_text())["training"]]
        for name in trained
    ]
    assert labels[0] != labels[1]
    assert [sum(of) for of in labels] == [6, 6]
    assert len(list((tmp_path / "cache").iterdir())) == 18  # no image was prepared for a second time


def test_a_run_of_other_labels_is_no_yardstick(cohort: Path, tmp_path: Path, train: Train) -> None:
    (tmp_path / "out_of_fold.json").write_text(json.dumps([{"index": 0, "label": 1, "logit": 0.0}]))
    with pytest.raises(TrainingError, match="other patients or labels"):
        permutation_test(make_run(cohort, tmp_path / "out"), repeats=1, train=train, real=tmp_path)
    with pytest.raises(TrainingError, match="no finished run"):
        permutation_test(make_run(cohort, tmp_path / "out"), repeats=1, train=train, real=tmp_path / "out")


def test_labels_are_dealt_to_whole_patients() -> None:
    """Patients p with two studies of one label, and q with one."""
    patients = [f"p{number // 2}" for number in range(40)] + [f"q{number}" for number in range(30)]
    labels = [number // 2 % 2 for number in range(40)] + [int(number < 10) for number in range(30)]
    dealt = shuffled_labels(patients, labels, seed=3)
    assert dealt != labels
    assert Counter(dealt[40:]) == {0: 20, 1: 10}
    assert Counter(zip(dealt[:40:2], dealt[1:40:2], strict=True)) == {(0, 0): 10, (1, 1): 10}
    assert shuffled_labels(patients, labels, seed=3) == dealt
    assert shuffled_labels(patients, labels, seed=4) != dealt


def test_a_mark_in_one_image_shows_in_its_path_alone(cohort: Path, tmp_path: Path, train: Train) -> None:
    """The built patients' label is in the diffusion images; a mark is written into T2 of those who need DCE."""
    folder = tmp_path / "cohort"
    shutil.copytree(cohort.parent, folder, ignore=shutil.ignore_patterns("cache"))
    content = json.loads((folder / "datalist.json").read_text())
    clean = make_run(folder / "datalist.json", tmp_path / "clean", epochs=6)
    before = {one.path: one for one in modality_test(clean, train=train)}
    assert before["t2 alone"].found.auc < 0.75
    assert before["diffusion alone"].found.auc > 0.9
    for entry in content["training"]:
        if entry["label"]:
            image = nib.load(folder / entry["t2"])  # pyright: ignore[reportPrivateImportUsage]
            voxels = np.asarray(image.dataobj).copy()  # pyright: ignore[reportAttributeAccessIssue]
            voxels[18:26, 18:26, 3:7] = voxels.max() * 1.5
            nib.save(nib.Nifti1Image(voxels, image.affine, image.header), folder / entry["t2"])  # pyright: ignore
    marked = make_run(folder / "datalist.json", tmp_path / "marked", epochs=6)
    after = {one.path: one for one in modality_test(marked, train=train)}
    assert after["t2 alone"].found.auc > 0.9
    assert after["t2 alone"].difference == pytest.approx(after["t2 alone"].found.auc - after["both"].found.auc)
