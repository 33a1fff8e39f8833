"""`prostate-alm cohort import`: studies and a label table become NIfTI, a datalist and a report."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from prostate_alm.datasets.cohort_import import DATALIST, import_dicom_cohort
from prostate_alm.datasets.import_attention import counted_levels
from prostate_alm.datasets.import_wording import counted, ranges
from prostate_alm.datasets.label_table import read_label_table
from prostate_alm.datasets.study_keys import default_keys_file


def import_cohort(
    dicom: Path,
    labels: Path,
    out: Path,
    *,
    workers: int,
    keys: Path | None = None,
    keep: Sequence[str] = (),
    strict: bool = False,
    prune: bool = False,
) -> None:
    """Import a cohort below `out` and say what was left out and why.

    Args:
        dicom: folder of the studies.
        labels: CSV with study, patient, label; see docs/import.md for the other columns.
        out: gets `studies/`, `excluded/`, `datalist.json` and the report.
        workers: how many processes.
        keys: the private keys file; None takes `OUT.keys.csv` beside `out`.
        keep: further columns of `labels` that go into the datalist.
        strict: exclude poor images too.
        prune: remove finished studies that no row names any more.

    Raises:
        ArgumentError: `dicom` is no folder, or one of `dicom` and `out` lies in the other.
        CohortError: the table can't be used, or no study was kept.
    """
    console = Console(soft_wrap=True)
    keys = keys or default_keys_file(out)
    try:
        report = import_dicom_cohort(
            dicom, labels, out, workers=workers, keys=keys, keep=keep, strict=strict, prune=prune
        )
    except KeyboardInterrupt:
        console.print("interrupted: what is finished stays; the same command goes on from here")
        raise
    console.print(f"{report.kept} of {report.found} studies kept: {out / DATALIST}")
    attention = counted_levels(report)
    console.print(f"read first: {out / 'import_report.html'}{f' ({attention})' if attention else ''}")
    for reason, count in report.excluded_by_reason.items():
        console.print(f"  left out {count}: {reason.value}")
    if report.rows_without_study:
        rows, lines = counted(len(report.rows_without_study), "row"), ranges(report.rows_without_study)
        console.print(f"  {rows} of the label table without a study: line {lines}")
    if report.studies_without_row:
        console.print(f"  {counted(report.studies_without_row, 'study')} without a row")
    if report.folders_without_row:
        studies = counted(report.folders_without_row, "study")
        console.print(f"  {studies} imported before without a row now, not in the datalist; `--prune` removes them")
    if left_out := read_label_table(labels, keep).left_out:
        console.print(f"  columns left out, for `--keep` does not name them: {', '.join(left_out)}")
    for conflict in report.conflicts:
        console.print(f"  {conflict.message}")
    console.print(f"whose key is whose stands in {keys}; keep that file private")
