"""`prostate-alm cohort inspect PATH`: the series of one study, the ones chosen, and why."""

from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from prostate_alm.errors import ArgumentError, Reason, StudyRefusedError
from prostate_alm.readers import FoundStudy, Inspection, SeriesChoice, examine_study, find_studies
from prostate_alm.study import Study, Volume

_SEVERAL = {Reason.MULTIPLE_PATIENTS, Reason.MULTIPLE_STUDIES, Reason.INPUT_UNREADABLE}


def inspect(
    path: Path,
    *,
    series: SeriesChoice | None = None,
    high_b: float | None = None,
    study: int | None = None,
    montage: Path | None = None,
    console: Console | None = None,
) -> None:
    """Print what an input holds and what is read from it.

    Args:
        path: a folder or zip of one study; of several, they are listed.
        series: series named by hand, as in the columns of a label table.
        high_b: b-value of a high-b MHA file in s/mm².
        study: which of several, counted from 1 as listed.
        montage: where to draw the picture that `cohort import` draws of the study; None for none.
        console: where to print; standard output when None.

    Raises:
        ArgumentError: `study` is none of those listed, or the folder of `montage` is not there.
        typer.Exit: with code 1, after the reason was printed, for an input that is no study.
    """
    out = console or Console()
    if montage is not None and not montage.parent.is_dir():
        raise ArgumentError("the folder of `montage` is not there; make it first.")
    source = path if study is None else _listed(path, study)
    found, read = examine_study(source, series=series, high_b=high_b)
    _print_series(out, found)
    if found.refusal is not None:
        if study is None and not found.found and found.refusal.reason in _SEVERAL:
            _print_studies(out, path)
        _refuse(out, found.refusal)
    assert read is not None
    _print_study(out, read)
    if series:
        names = {"t2_series": series.t2, "dwi_series": series.dwi, "adc_series": series.adc}
        columns = ", ".join(f"{name} {value}" for name, value in names.items() if value)
        out.print(f"to keep this choice, write into the label table: {escape(columns)}", soft_wrap=True)
    if montage is not None:
        from prostate_alm.datasets.montage import write_montage  # noqa: PLC0415 - draws, which few inspections want

        write_montage(read, montage)


def _studies(path: Path) -> list[FoundStudy]:
    """The studies below a path, in an order that lasts from one call to the next; none where there is no DICOM."""
    try:
        return find_studies(path, salt="")
    except StudyRefusedError:
        return []


def _listed(path: Path, number: int) -> FoundStudy:
    found = _studies(path)
    if not 1 <= number <= len(found):
        raise ArgumentError(f"`study` must be 1 to {len(found)}, got {number}; leave it out to see the studies.")
    return found[number - 1]


def _print_studies(out: Console, path: Path) -> None:
    """The studies of a mixed tree, without what their folders are called: that may be a patient's name."""
    found = _studies(path)
    if len(found) < 2 and not any(one.source for one in found):
        return
    table = _table("Studies")
    for name in ("study", "series", "images", "patient", "refused"):
        table.add_column(name, no_wrap=True)
    patients = list(dict.fromkeys(one.patient for one in found))
    for number, one in enumerate(found, start=1):
        refusal = one.refusal.reason if one.refusal else ""
        patient = str(patients.index(one.patient) + 1)
        table.add_row(str(number), str(one.series), str(one.images), patient, refusal)
    out.print(table)
    out.print("see one of them by its number: `--study N`; `cohort import` reads them all", soft_wrap=True)


def _refuse(out: Console, error: StudyRefusedError) -> None:
    out.print(f"[bold red]refused[/] {escape(str(error))}", soft_wrap=True)
    raise typer.Exit(1)


def _print_series(out: Console, inspection: Inspection) -> None:
    if inspection.found:
        table = _table("Series")
        for name in ("series", "description", "images", "role", "chosen", "why"):
            table.add_column(name, overflow="fold", no_wrap=name in ("role", "chosen"))
        for one in inspection.found:
            number = "-" if one.number is None else str(one.number)
            mark = "yes" if one.chosen else ""
            style = "bold green" if one.chosen else None
            table.add_row(
                number, escape(one.description), str(one.images), one.role, mark, escape(one.why), style=style
            )
        out.print(table)
    if inspection.runners_up:
        names = ", ".join("-" if one.number is None else str(one.number) for one in inspection.runners_up)
        out.print(f"runners-up: {names}")
    if inspection.skipped_files:
        out.print(f"skipped files (no images of the study): {inspection.skipped_files}")


def _table(title: str) -> Table:
    """Narrow enough that 80 columns hold every number whole."""
    return Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))


def _print_study(out: Console, study: Study) -> None:
    table = _table("Volumes")
    for name in ("volume", "size", "spacing mm", "origin mm (LPS)", "mean", "max"):
        table.add_column(name, overflow="fold", no_wrap=name in ("volume", "mean", "max"))
    table.add_row("T2", *_describe(study.t2))
    for b, volume in study.dwi.items():
        table.add_row(f"DWI b {b:g}", *_describe(volume))
    table.add_row("ADC, fitted" if Reason.ADC_COMPUTED in study.flags else "ADC", *_describe(study.adc))
    out.print(table)
    out.print(f"study {study.key}  flags: {', '.join(study.flags) or 'none'}")


def _describe(volume: Volume) -> tuple[str, str, str, str, str]:
    geometry = volume.geometry
    return (
        " x ".join(str(n) for n in geometry.shape),
        " x ".join(f"{value:.4g}" for value in geometry.spacing),
        ", ".join(f"{value:.2f}" for value in geometry.origin),
        f"{volume.data.mean(dtype='float64'):.3f}",
        f"{volume.data.max():g}",
    )
