"""`prostate-alm cohort inspect PATH`: the series of one study, the ones chosen, and why."""

from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import Inspection, inspect_study, read_study
from prostate_alm.study import Study, Volume


def inspect(path: Path, console: Console | None = None) -> None:
    """Print what an input holds and what is read from it.

    Args:
        path: a folder or zip of one study.
        console: where to print; standard output when None.

    Raises:
        typer.Exit: with code 1, after the reason was printed, for an input that is no study.
    """
    out = console or Console()
    found = inspect_study(path)
    _print_series(out, found)
    if found.refusal is not None:
        _refuse(out, found.refusal)
    try:
        study = read_study(path)
    except StudyRefusedError as error:
        _refuse(out, error)
    else:
        _print_study(out, study)


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
