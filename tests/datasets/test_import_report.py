"""The report's counts are those of its studies, and no study is excluded without a reason."""

import pytest
from pydantic import ValidationError

from prostate_alm.datasets.import_report import (
    ImportReport,
    StudyRecord,
    make_import_report,
)
from prostate_alm.errors import Reason


def record(index: int, reason: Reason | None = None) -> StudyRecord:
    return StudyRecord(
        key=f"s{index}", patient=f"p{index}", index=index, label=1, split="training", kept=reason is None, reason=reason
    )


def test_the_counts_come_from_the_studies() -> None:
    studies = [record(0), record(1, Reason.T2_MISSING), record(2, Reason.DWI_MISSING), record(3, Reason.T2_MISSING)]
    report = make_import_report(studies, rows_without_study=[9])
    assert (report.found, report.kept) == (4, 1)
    assert list(report.excluded_by_reason.items()) == [(Reason.T2_MISSING, 2), (Reason.DWI_MISSING, 1)]
    assert ImportReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize("change", [{"kept": 1}, {"found": 3}, {"excluded_by_reason": {}}])
def test_counts_that_do_not_add_up_are_refused(change: dict[str, object]) -> None:
    good = make_import_report([record(0), record(1), record(2, Reason.T2_MISSING), record(3)])
    with pytest.raises(ValidationError, match="counts of `studies`"):
        ImportReport.model_validate({**good.model_dump(), **change})


@pytest.mark.parametrize("kept", [True, False])
def test_a_reason_stands_with_an_excluded_study_only(kept: bool) -> None:
    wrong = {**record(0).model_dump(), "kept": kept, "reason": Reason.T2_MISSING if kept else None}
    with pytest.raises(ValidationError, match="`reason`"):
        StudyRecord.model_validate(wrong)
