"""The NIfTI or MHA volumes of a study among the files of an input.

Three layouts are known: ``t2``, ``dwi`` with ``dwi.bval`` and ``adc``, as this package writes them; whatever dcm2niix
wrote; and MHA as PI-CAI ships it. Where two files could be read for a role the input is refused, unless a person named
one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import dcm2niix
from prostate_alm.readers.adc import no_adc_error
from prostate_alm.readers.archive import SourceFile
from prostate_alm.readers.dicom import claims_dicom
from prostate_alm.readers.inspection import FoundSeries, Inspection, describe_nifti
from prostate_alm.readers.mha import group_mha, read_mha_study
from prostate_alm.readers.nifti import (
    read_b_value_file,
    read_nifti_grid,
    read_nifti_study,
    refuse_b_values,
    refuse_several,
)
from prostate_alm.readers.series_choice import SeriesChoice
from prostate_alm.readers.series_roles import SeriesRole
from prostate_alm.study import Study

_ROLES = {"t2": SeriesRole.T2, "dwi": SeriesRole.DWI, "adc": SeriesRole.ADC}
_BESIDE = (".bval", ".bvec", ".json")  # what dcm2niix writes beside an image


def examine_image_files(
    files: Sequence[SourceFile],
    *,
    series: SeriesChoice | None = None,
    high_b: float | None = None,
    load: bool = True,
) -> tuple[Inspection, Study | None] | None:
    """Read a study from the NIfTI or MHA files among `files`.

    Args:
        files: everything the input holds.
        series: files named by hand, by series number or description; see `SeriesChoice`.
        high_b: b-value of the high-b MHA file in s/mm².
        load: read the voxels too; without, only headers and the study is None.

    Returns:
        None when the input holds no such files. Otherwise what was found and the study; a refusal stands in the
        former, beside None.
    """
    named = _named_files(files)
    if named is None and not any(_is_image(file) for file in files):
        return None
    if any(claims_dicom(file) for file in files if not _is_image(file) and not file.base_name.endswith(_BESIDE)):
        return _refused(
            Reason.SERIES_AMBIGUOUS, "the input holds DICOM beside NIfTI or MHA files of a study; send one of the two."
        )
    if isinstance(named, StudyRefusedError):
        return Inspection(refusal=named), None
    if named:
        return _examine_named(named, len(files) - len(named), load=load)
    if any(_ending(file) == ".mha" for file in files):
        return _examine_mha(files, high_b, load=load)
    return dcm2niix.examine(files, series or SeriesChoice(), load=load)


def _refused(reason: Reason, message: str) -> tuple[Inspection, None]:
    return Inspection(refusal=StudyRefusedError(reason, message)), None


def _ending(file: SourceFile) -> str:
    return next((ending for ending in (".nii.gz", ".nii", ".mha") if file.base_name.endswith(ending)), "")


def _is_image(file: SourceFile) -> bool:
    return bool(_ending(file)) and not file.base_name.startswith(".")


def _named_files(files: Sequence[SourceFile]) -> dict[str, Path] | StudyRefusedError | None:
    """Files called ``t2``, ``dwi``, ``adc`` by role, with ``bval`` and ``bvec``; None when there is none."""
    named: dict[str, Path] = {}
    folders: set[str] = set()
    for file in files:
        role, _, ending = file.base_name.partition(".")
        if not ((role in _ROLES and ending in ("nii", "nii.gz")) or file.base_name in {"dwi.bval", "dwi.bvec"}):
            continue
        name = ending if ending in {"bval", "bvec"} else role
        if name in named:
            return StudyRefusedError(
                Reason.SERIES_AMBIGUOUS, f"the input holds two NIfTI files for `{name}`; send the one to be used."
            )
        named[name] = file.path
        folders.add(str(PurePosixPath(file.name).parent))
    if len(folders) > 1:
        return StudyRefusedError(
            Reason.MULTIPLE_STUDIES,
            f"the NIfTI files {', '.join(sorted(named))} lie in {len(folders)} folders, perhaps of several visits;"
            " put those of one study into one.",
        )
    return named or None


def _examine_named(files: Mapping[str, Path], skipped: int, *, load: bool) -> tuple[Inspection, Study | None]:
    roles = [role for role in _ROLES if role in files]
    b_values: list[float] = []
    try:
        b_values = _named_b_values(files)
        study = None
        if load:
            study = read_nifti_study(
                files["t2"], files["dwi"], b_values=b_values, adc=files.get("adc"), b_vectors=files.get("bvec")
            )
        else:
            _check_headers(files, b_values)
    except StudyRefusedError as error:
        return describe_nifti(roles, b_values, skipped_files=skipped, refusal=error), None
    return describe_nifti(roles, b_values, skipped_files=skipped), study


def _named_b_values(files: Mapping[str, Path]) -> list[float]:
    """The b-values of a set of NIfTI files that is complete."""
    for role, reason in (("t2", Reason.T2_MISSING), ("dwi", Reason.DWI_MISSING), ("bval", Reason.B_VALUE_UNKNOWN)):
        if role not in files:
            name = "dwi.bval" if role == "bval" else f"{role}.nii.gz"
            raise StudyRefusedError(reason, f"there is no `{name}` beside the other NIfTI files; send it with them.")
    b_values = read_b_value_file(files["bval"])
    if "adc" not in files and len(set(b_values)) < 2:
        raise no_adc_error()
    return b_values


def _check_headers(files: Mapping[str, Path], b_values: Sequence[float]) -> None:
    """Raise for what reading the voxels would refuse too, as far as the headers tell."""
    vectors = files.get("bvec")
    refuse_several(read_nifti_grid(files["t2"], "t2")[1], "t2")
    volumes = read_nifti_grid(files["dwi"], "dwi")[1]
    refuse_b_values(b_values, volumes, b_vectors=vectors, repeats=vectors is not None)


def _examine_mha(files: Sequence[SourceFile], high_b: float | None, *, load: bool) -> tuple[Inspection, Study | None]:
    try:
        groups = group_mha(files)
    except StudyRefusedError as error:
        return Inspection(refusal=error), None
    if len(groups) > 1:
        return _refused(Reason.MULTIPLE_STUDIES, f"the MHA files are of {len(groups)} studies; send one alone.")
    if not groups:
        return _refused(
            Reason.T2_MISSING, "no MHA file is named `*_t2w.mha`, `*_adc.mha` or `*_hbv.mha`; name them as PI-CAI does."
        )
    (roles,) = groups.values()
    try:
        study = read_mha_study(roles, high_b=high_b)
    except StudyRefusedError as error:
        return Inspection(_found(roles, chosen=False), skipped_files=len(files) - len(roles), refusal=error), None
    found = Inspection(_found(roles, chosen=True), study.series, skipped_files=len(files) - len(roles))
    return found, study if load else None


def _found(roles: Mapping[str, Path], *, chosen: bool) -> tuple[FoundSeries, ...]:
    return tuple(
        FoundSeries(None, role, _ROLES[role], "an MHA file of this suffix", 1, chosen=chosen)
        for role in _ROLES
        if role in roles
    )
