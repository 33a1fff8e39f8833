"""Scores are the same from several processes, belong to one ensemble, and outlast a corrected label."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prostate_alm.commands import scoring
from prostate_alm.commands.scoring import StudyScore, score_entries
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import Reason, StudyUnavailableError
from prostate_alm.parcel import read_manifest


@pytest.fixture(scope="module")
def ensemble(ensemble_factory: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensemble_factory(tmp_path_factory.mktemp("scoring") / "ensemble")


@pytest.fixture(scope="module")
def entries(cohort: Path) -> list[dict[str, Any]]:
    return read_datalist(cohort).entries("test")[:4]


def scores(ensemble: Path, entries: list[dict[str, Any]], kept: Path, *, workers: int = 1) -> list[StudyScore]:
    sha256 = read_manifest(ensemble)[1]
    return score_entries(ensemble, entries, sha256=sha256, kept=kept, device="cpu", workers=workers)


def test_two_processes_give_the_scores_of_one_in_the_order_of_the_entries(
    ensemble: Path, entries: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = scores(ensemble, entries, tmp_path / "one")
    monkeypatch.setattr(scoring, "STUDIES_A_PROCESS", 2)
    together = scores(ensemble, entries, tmp_path / "two", workers=2)
    assert [score.content for score in together] == [score.content for score in alone]
    assert [score.logit for score in together] == pytest.approx([score.logit for score in alone], abs=1e-5)
    assert len({score.content for score in alone}) == 4


def test_a_kept_score_belongs_to_images_and_ensemble_and_not_to_a_label(
    ensemble: Path, entries: list[dict[str, Any]], ensemble_factory: Callable[..., Path], tmp_path: Path
) -> None:
    first = scores(ensemble, entries[:1], tmp_path / "kept")
    corrected = [{**entries[0], "label": 1 - entries[0]["label"], "index": 99}]
    assert scores(ensemble, corrected, tmp_path / "kept") == first
    assert len(list((tmp_path / "kept").iterdir())) == 1
    other = ensemble_factory(tmp_path / "other", threshold=5.0)
    scores(other, entries[:1], tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_a_machine_that_can_not_read_a_study_says_nothing_of_it(
    ensemble: Path, entries: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_disk(self: object, entry: object) -> None:
        raise StudyUnavailableError(Reason.INPUT_UNREADABLE, "the disk is full")

    monkeypatch.setattr(scoring.LoadStudy, "__call__", no_disk)
    with pytest.raises(StudyUnavailableError):
        scores(ensemble, entries, tmp_path / "kept")
    assert os.listdir(tmp_path / "kept") == []  # noqa: PTH208


def test_a_score_that_is_not_finite_is_none_and_fails_safe() -> None:
    score = StudyScore(content="0" * 12, member_logits=(1.0, None))
    assert math.isnan(score.logit)
    assert StudyScore.model_validate_json(score.model_dump_json()) == score
    evidence = StudyScore(content=None, refused=Reason.T2_MISSING).evidence("f" * 64)
    assert evidence.failures == (Reason.T2_MISSING,)
