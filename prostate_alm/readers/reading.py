"""`read_study`, `inspect_study` and `examine_study`: from an input to a study, to what is in it, or to both."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.adc import fit_adc
from prostate_alm.readers.archive import Limits, open_input
from prostate_alm.readers.boundary import refusing
from prostate_alm.readers.dicom import Scan, scan_files
from prostate_alm.readers.image_files import examine_image_files
from prostate_alm.readers.inspection import Inspection, chosen_series, describe_selection
from prostate_alm.readers.rules import rules_sha256
from prostate_alm.readers.series_choice import SeriesChoice
from prostate_alm.readers.series_roles import SeriesRole
from prostate_alm.readers.series_selection import select_series
from prostate_alm.readers.studies import FoundStudy
from prostate_alm.readers.tie_breaks import Chosen
from prostate_alm.readers.volume import content_key, read_volume
from prostate_alm.study import Acquisition, Study, Volume

Input = Path | str | FoundStudy


def read_study(
    path: Input, *, limits: Limits | None = None, series: SeriesChoice | None = None, high_b: float | None = None
) -> Study:
    """Read one patient's examination.

    Args:
        path: a folder or zip with DICOM of one patient, or with NIfTI or MHA files (see `image_files`); or a study
            that `find_studies` found.
        limits: how many files and bytes it may hold; None takes the defaults of `Limits`.
        series: series named by hand; None leaves the choice to the rules.
        high_b: b-value of the high-b MHA file in s/mm², which states none.

    Raises:
        StudyRefusedError: for everything that is no good study, with the reason.
    """
    inspection, study = _examine(path, limits, series, high_b, load=True)
    if study is None:
        assert inspection.refusal is not None
        raise inspection.refusal
    return study


def inspect_study(
    path: Input, *, limits: Limits | None = None, series: SeriesChoice | None = None, high_b: float | None = None
) -> Inspection:
    """Say which series an input holds, which would be read, and why; headers only.

    A refusal is part of the answer and is not raised. Arguments are those of `read_study`.
    """
    return _examine(path, limits, series, high_b, load=False)[0]


def examine_study(
    path: Input, *, limits: Limits | None = None, series: SeriesChoice | None = None, high_b: float | None = None
) -> tuple[Inspection, Study | None]:
    """What `inspect_study` says and the study that `read_study` gives, from one reading of the headers.

    A refusal, of the pixels too, stands in the inspection beside None. Arguments are those of `read_study`.
    """
    return _examine(path, limits, series, high_b, load=True)


def _examine(
    path: Input, limits: Limits | None, series: SeriesChoice | None, high_b: float | None, *, load: bool
) -> tuple[Inspection, Study | None]:
    try:
        with refusing():
            if isinstance(path, FoundStudy):
                with path.scan(limits or Limits()) as scan:
                    return _examine_scan(scan, series, load=load)
            with open_input(Path(path), limits or Limits()) as files:
                images = examine_image_files(files, series=series, high_b=high_b, load=load)
                return images if images is not None else _examine_scan(scan_files(files), series, load=load)
    except StudyRefusedError as error:
        return Inspection(refusal=error), None


def _examine_scan(scan: Scan, series: SeriesChoice | None, *, load: bool) -> tuple[Inspection, Study | None]:
    selection = select_series(scan.series, series)
    inspection = describe_selection(selection, scan.skipped_files)
    if selection.refusal is not None or not load:
        return inspection, None
    try:
        with refusing():
            return inspection, _load(selection.chosen, inspection.flags)
    except StudyRefusedError as error:
        return replace(inspection, refusal=error), None


def _load(chosen: Mapping[SeriesRole, Chosen], flags: tuple[Reason, ...]) -> Study:
    t2, dwi = chosen[SeriesRole.T2], chosen[SeriesRole.DWI]
    t2_volume = _volume(t2)
    by_b = {b: _volume(dwi, b) for b in dwi.stack.volumes}
    adc = chosen.get(SeriesRole.ADC)
    first = t2.candidate.first
    contrast = any(image.contrast_agent for one in chosen.values() for image in one.stack.instances)
    return Study(
        content_key([t2_volume, *by_b.values()]),
        t2_volume,
        by_b,
        fit_adc(by_b) if adc is None else _volume(adc),
        series=chosen_series(chosen),
        flags=flags,
        acquisition=Acquisition(first.vendor, first.model, first.field_strength, contrast),
        rules_sha256=rules_sha256(),
    )


def _volume(chosen: Chosen, b_value: float = 0.0) -> Volume:
    return read_volume(chosen.stack, b_value, name=f"series {chosen.candidate.numbers}")
