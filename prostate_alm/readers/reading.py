"""`read_study` and `inspect_study`: the one boundary at which every failure becomes a `StudyRefusedError`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from prostate_alm.errors import ProstateALMError, Reason, StudyRefusedError
from prostate_alm.readers.adc import fit_adc, no_adc_error
from prostate_alm.readers.archive import Limits, SourceFile, open_input
from prostate_alm.readers.dicom import claims_dicom, scan_files
from prostate_alm.readers.inspection import Inspection, chosen_series, describe_nifti, describe_selection
from prostate_alm.readers.nifti import read_b_value_file, read_nifti_study
from prostate_alm.readers.series_roles import SeriesRole
from prostate_alm.readers.series_selection import Chosen, select_series
from prostate_alm.readers.volume import content_key, read_volume
from prostate_alm.study import Acquisition, Study, Volume

_NIFTI_ROLES = ("t2", "dwi", "adc")


def read_study(path: Path | str, *, limits: Limits | None = None) -> Study:
    """Read one patient's examination.

    Args:
        path: a folder or zip with DICOM of one patient, or with ``t2.nii[.gz]``, four-dimensional ``dwi.nii[.gz]``
            beside ``dwi.bval``, and optionally ``adc.nii[.gz]``.
        limits: how many files and bytes it may hold; None takes the defaults of `Limits`.

    Raises:
        StudyRefusedError: for everything that is no good study, with the reason.
    """
    with _refusing(), open_input(Path(path), limits or Limits()) as files:
        nifti = _nifti_files(files)
        if nifti:
            return _read_nifti(nifti)
        selection = select_series(scan_files(files).series)
        if selection.refusal is not None:
            raise selection.refusal
        return _load(selection.chosen)


def inspect_study(path: Path | str, *, limits: Limits | None = None) -> Inspection:
    """Say which series an input holds, which would be read, and why; headers only.

    A refusal is part of the answer and is not raised.

    Args:
        path: as for `read_study`.
        limits: as for `read_study`.
    """
    try:
        with _refusing(), open_input(Path(path), limits or Limits()) as files:
            nifti = _nifti_files(files)
            if nifti:
                return _inspect_nifti(nifti, len(files) - len(nifti))
            scan = scan_files(files)
            return describe_selection(select_series(scan.series), scan.skipped_files)
    except StudyRefusedError as error:
        return Inspection(refusal=error)


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn whatever corrupt input makes a parser raise into a refusal that quotes nothing of it."""
    try:
        yield
    except StudyRefusedError:
        raise
    except MemoryError:
        raise StudyRefusedError(Reason.INPUT_TOO_LARGE, "the study does not fit into memory; send it alone.") from None
    except ProstateALMError as error:  # our own words, which hold no patient data
        raise StudyRefusedError(Reason.GEOMETRY_INVALID, str(error)) from None
    except Exception as error:
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE, f"the input can't be read ({type(error).__name__}); export the study again."
        ) from None


def _nifti_files(files: Sequence[SourceFile]) -> dict[str, Path]:
    """The NIfTI files of a study by role, with ``bval`` for the b-values; empty when the input is DICOM."""
    named: dict[str, Path] = {}
    others: list[SourceFile] = []
    for file in files:
        role, _, ending = file.base_name.partition(".")
        if not ((role in _NIFTI_ROLES and ending in ("nii", "nii.gz")) or file.base_name == "dwi.bval"):
            others.append(file)
            continue
        name = "bval" if ending == "bval" else role
        if name in named:
            raise StudyRefusedError(
                Reason.SERIES_AMBIGUOUS, f"the input holds two NIfTI files for `{name}`; send the one to be used."
            )
        named[name] = file.path
    if named and any(claims_dicom(file) for file in others):
        raise StudyRefusedError(
            Reason.SERIES_AMBIGUOUS, "the input holds DICOM beside NIfTI files of a study; send one of the two."
        )
    return named


def _read_nifti(files: Mapping[str, Path]) -> Study:
    b_values = _nifti_b_values(files)
    return read_nifti_study(files["t2"], files["dwi"], b_values=b_values, adc=files.get("adc"))


def _inspect_nifti(files: Mapping[str, Path], skipped_files: int) -> Inspection:
    roles = [role for role in _NIFTI_ROLES if role in files]
    try:
        return describe_nifti(roles, _nifti_b_values(files), skipped_files=skipped_files)
    except StudyRefusedError as error:
        return describe_nifti(roles, (), skipped_files=skipped_files, refusal=error)


def _nifti_b_values(files: Mapping[str, Path]) -> list[float]:
    """The b-values of a set of NIfTI files that is complete."""
    for role, reason in (("t2", Reason.T2_MISSING), ("dwi", Reason.DWI_MISSING), ("bval", Reason.B_VALUE_UNKNOWN)):
        if role not in files:
            name = "dwi.bval" if role == "bval" else f"{role}.nii.gz"
            raise StudyRefusedError(reason, f"there is no `{name}` beside the other NIfTI files; send it with them.")
    b_values = read_b_value_file(files["bval"])
    if "adc" not in files and len(set(b_values)) < 2:
        raise no_adc_error()
    return b_values


def _load(chosen: Mapping[SeriesRole, Chosen]) -> Study:
    t2, dwi = chosen[SeriesRole.T2], chosen[SeriesRole.DWI]
    t2_volume = _volume(t2)
    by_b = {b: _volume(dwi, b) for b in dwi.stack.volumes}
    adc = chosen.get(SeriesRole.ADC)
    first = t2.candidate.first
    return Study(
        content_key([t2_volume, *by_b.values()]),
        t2_volume,
        by_b,
        fit_adc(by_b) if adc is None else _volume(adc),
        series=chosen_series(chosen),
        flags=(Reason.ADC_COMPUTED,) if adc is None else (),
        acquisition=Acquisition(first.vendor, first.model, first.field_strength),
    )


def _volume(chosen: Chosen, b_value: float = 0.0) -> Volume:
    return read_volume(chosen.stack, b_value, name=f"series {chosen.candidate.numbers}")
