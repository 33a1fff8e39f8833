"""Training batches are full, and class-aware ones hold what they promise."""

from pathlib import Path

import pytest
from torch.utils.data import SequentialSampler

from prostate_alm.errors import ArgumentError
from prostate_alm.preprocessing import StudyToImage
from prostate_alm.readers.nifti import LoadStudy
from prostate_alm.training.data import CachedDataset, MemberData, study_loader


@pytest.fixture
def data(cohort: Path) -> MemberData:
    """Twelve patients to train on, four of them positive."""
    return MemberData(cohort, member=0, repeats=1, folds=3, seed=0)


@pytest.fixture
def dataset(cohort: Path, data: MemberData) -> CachedDataset:
    prepare = [LoadStudy(), StudyToImage("tiny", [128.0, 128.0, 60.0])]
    keep = [lambda item: {name: item[name] for name in ("image", "label", "index")}]
    return CachedDataset(data.training, prepare, augment=keep, cache_dir=str(cohort.parent / "cache"))


def test_the_counts_are_those_of_the_training_side(data: MemberData) -> None:
    assert data.counts == (8, 4)
    assert sum(int(entry["label"]) for entry in data.training) == 4


def test_a_plain_epoch_is_one_pass_in_full_batches(dataset: CachedDataset) -> None:
    batches = [batch["index"].tolist() for batch in study_loader(dataset, batch_size=5)]
    assert [len(batch) for batch in batches] == [5, 5]  # two studies wait for another epoch's order
    assert len({index for batch in batches for index in batch}) == 10


def test_class_aware_batches_hold_their_positives(dataset: CachedDataset) -> None:
    loader = study_loader(dataset, batch_size=4, critical_per_batch=2, seed=1)
    assert len(loader) == 4  # eight negatives, two a batch
    assert [int(batch["label"].sum()) for batch in loader] == [2, 2, 2, 2]


def test_what_can_not_be_filled_is_refused(dataset: CachedDataset) -> None:
    with pytest.raises(ArgumentError, match="`batch_size` is 13, and a member trains on 12"):
        study_loader(dataset, batch_size=13)
    with pytest.raises(ArgumentError, match="a batch needs 5 critical"):
        study_loader(dataset, batch_size=8, critical_per_batch=5)
    with pytest.raises(ArgumentError, match="train with one process"):
        study_loader(dataset, batch_size=4, critical_per_batch=2, sampler=SequentialSampler(dataset))


def test_a_corrected_label_prepares_no_image_again(cohort: Path, data: MemberData, tmp_path: Path) -> None:
    """And it is the datalist's label that is learned, not the one that stood there when the image was cached."""
    prepare = [LoadStudy(), StudyToImage("tiny", [128.0, 128.0, 60.0])]
    entry = data.training[0]
    labels = [
        CachedDataset([{**entry, "label": label, "fold": label}], prepare, cache_dir=str(tmp_path))[0]["label"]
        for label in (0, 1)
    ]
    assert labels == [0, 1]
    assert len(list(tmp_path.iterdir())) == 1
