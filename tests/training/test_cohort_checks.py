"""What would spoil a training is refused before it begins, with a sentence and without a trace."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prostate_alm.errors import CohortError
from prostate_alm.training.cohort_checks import check_cohort
from prostate_alm.training.ensemble import EnsembleRun

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"
Content = dict[str, Any]
Change = Callable[[Content], None]


@pytest.fixture
def copied(cohort: Path, tmp_path: Path) -> Path:
    """The cohort in a folder of its own."""
    shutil.copytree(cohort.parent, tmp_path / "cohort", ignore=shutil.ignore_patterns("cache"))
    return tmp_path / "cohort" / "datalist.json"


def changed(datalist: Path, change: Change) -> EnsembleRun:
    """A run on the datalist after a change of its content."""
    content = json.loads(datalist.read_text())
    change(content)
    datalist.write_text(json.dumps(content))
    return EnsembleRun(BUNDLE, datalist, datalist.parent.parent / "run", 3, 3)


def set_labels(label: int, *, keep: int = 0) -> Change:
    """All training labels but the first `keep` others become `label`."""

    def change(content: Content) -> None:
        others = [entry for entry in content["training"] if entry["label"] != label]
        for entry in others[keep:]:
            entry["label"] = label

    return change


def first(**values: object) -> Change:
    return lambda content: content["training"][0].update(values)


def test_a_cohort_that_is_fine_passes(copied: Path) -> None:
    run = changed(copied, lambda content: None)
    check_cohort(run)
    assert not run.out.exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (set_labels(0), "no patient with label 1"),
        (set_labels(1), "no patient with label 0"),
        (set_labels(0, keep=2), "3 folds need as many patients with label 1, the training section has 2"),
        (first(label=2), r"`training.0.label`"),
        (first(label="yes"), r"`training.0.label`"),
        (lambda content: content["test"][0].update(patient="study000"), "1 stand in training and in test"),
        (lambda content: content["test"][0].update(study="study000"), "`study` study000 stands in 2 entries"),
        (lambda content: content["training"][0].pop("t2"), r"`training.0.t2`"),
        (lambda content: content["training"][3].pop("adc"), "1 of 24 entries name no `adc`"),
        (first(dwi="studies/gone.nii.gz"), r"`training.0.dwi` names a file that is not there"),
    ],
)
def test_a_datalist_that_can_not_be_used_is_refused(copied: Path, change: Change, sentence: str) -> None:
    run = changed(copied, change)
    with pytest.raises(CohortError, match=sentence):
        check_cohort(run)


@pytest.mark.parametrize(("copy", "where"), [("study020", "training and test"), ("study005", "the training section")])
def test_a_patient_under_two_names_is_refused(copied: Path, copy: str, where: str) -> None:
    """Packed anew, so that the bytes on the disk are others."""
    studies = copied.parent / "studies"
    content = gzip.decompress((studies / "study001" / "t2.nii.gz").read_bytes())
    (studies / copy / "t2.nii.gz").write_bytes(gzip.compress(content, compresslevel=1, mtime=1))
    with pytest.raises(CohortError, match=f"'study001', '{copy}' are the same file under 2 patients in {where}"):
        check_cohort(changed(copied, lambda content: None))


def test_two_studies_of_one_patient_may_share_an_image(copied: Path) -> None:
    shutil.copy(copied.parent / "studies/study001/t2.nii.gz", copied.parent / "studies/study002/t2.nii.gz")
    check_cohort(changed(copied, lambda content: content["training"][2].update(patient="study001")))


def test_copies_within_the_test_section_are_none_of_trainings_concern(copied: Path) -> None:
    shutil.copy(copied.parent / "studies/study020/t2.nii.gz", copied.parent / "studies/study022/t2.nii.gz")
    check_cohort(changed(copied, lambda content: None))
