"""`prostate-alm cohort import`: DICOM and a label table become NIfTI and a datalist."""

from pathlib import Path

from rich.console import Console

from prostate_alm.datasets.cohort_import import import_dicom_cohort


def import_cohort(dicom: Path, labels: Path, out: Path, *, workers: int) -> None:
    """Import a cohort below `out` and say what was left out and why.

    Args:
        dicom: a folder with one folder or zip a study, named as in the table's `study` column.
        labels: CSV with study, patient, label and optionally split (training or test); further columns are kept.
        out: gets `studies/`, `datalist.json` and `import_report.json`.
        workers: how many processes.

    Raises:
        ArgumentError: `dicom` is no folder.
        CohortError: the table can't be used, or no study was kept.
    """
    report = import_dicom_cohort(dicom, labels, out, workers=workers)
    console = Console()
    console.print(f"{report.kept} of {report.found} studies kept: {out / 'datalist.json'}")
    for reason, count in sorted(report.excluded_by_reason.items()):
        console.print(f"  left out {count}: {reason}")
    if report.labels_without_study:
        console.print(f"  {len(report.labels_without_study)} rows name no study that is there")
    if report.studies_without_label:
        console.print(f"  {len(report.studies_without_label)} studies have no row")
