"""What the b-values of dcm2niix's files are worth: acquired or calculated, and whether they fit their volumes."""

import re
from collections.abc import Sequence
from dataclasses import replace

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.nifti import refuse_b_values
from prostate_alm.readers.nifti_files import NiftiFile
from prostate_alm.readers.rules import ROLES
from prostate_alm.readers.series_roles import SeriesRole, tells_of_b


def sequence_name(one: NiftiFile) -> str:
    """SequenceName of the sidecar; empty without one."""
    return str(one.sidecar.get("SequenceName", ""))


def says_acquired(one: NiftiFile) -> bool:
    """Whether its sidecar tells that a single b-value was measured, or doesn't say that it was derived."""
    if "DERIVED" not in one.image_type or len(set(one.b_values)) != 1:
        return True
    return tells_of_b(one.b_values[0], sequence_name(one), one.description)


def mark_derived(found: Sequence[NiftiFile]) -> list[NiftiFile]:
    """A single derived b-value above every acquired one was calculated, unless its sidecar says otherwise."""
    diffusion = [one for one in found if one.role is SeriesRole.DWI]
    acquired = [b for one in diffusion if says_acquired(one) for b in one.b_values]
    why = "derived, and above every acquired b-value: calculated"
    return [
        replace(one, role=SeriesRole.CALCULATED_B, why=why)
        if one in diffusion and not says_acquired(one) and acquired and one.b_values[0] > max(acquired)
        else one
        for one in found
    ]


def refuse_contradicted(files: Sequence[NiftiFile]) -> None:
    """Raise when a SequenceName holds another b-value than the ``.bval`` file."""
    for one in files:
        stated = re.search(ROLES.acquired_sequence, sequence_name(one))
        if stated and not any(abs(float(stated[1]) - b) <= ROLES.b_values_agree * max(b, 1) for b in one.b_values):
            raise StudyRefusedError(
                Reason.B_VALUE_UNKNOWN,
                f"{one.label}: the SequenceName of the sidecar and the `.bval` file disagree; convert again.",
            )


def refuse_unfit(dwi: Sequence[NiftiFile]) -> None:
    """Raise for b-values that do not fit their file, and for one that two files hold: of two acquisitions, perhaps."""
    for one in dwi:
        refuse_b_values(one.b_values, one.volumes, b_vectors=one.b_vectors, repeats=True, name=one.label)
    of_files = [b for one in dwi for b in set(one.b_values)]
    if len(set(of_files)) < len(of_files):
        raise StudyRefusedError(
            Reason.SERIES_AMBIGUOUS,
            f"{', '.join(one.label for one in dwi)} hold one b-value twice; name those to be used as `dwi_series`.",
        )
