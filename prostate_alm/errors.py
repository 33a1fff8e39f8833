"""The exceptions of this package and the reason codes they carry.

::

    ProstateALMError
    ├── ArgumentError               an argument is out of its range (also a ValueError)
    ├── StudyRefusedError           this input does not become a study; carries a `Reason`
    │   └── StudyUnavailableError   not the input but the machine is at fault: disk, rights, memory
    ├── CohortError                 a label table, datalist or split that can't be used
    ├── DatasetError                an image archive or a subset recipe that can't be used
    ├── TrainingError               a member or ensemble run that can't go on
    ├── BackendError                the machines, or the extra, that a run was to use are not there
    ├── BenchmarkError              a table of the benchmark that can't be made or continued
    ├── LossStateError              a loss was used out of order (index missing, state of another datalist)
    └── EnsembleError               an ensemble folder that is incomplete, changed or not the pinned one

A message is a sentence to a colleague: what was expected, what came, what to do. It never holds a
patient's name, a date or a UID.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a study was refused, flagged or answered fail-safe. The values are part of the API."""

    # the input does not become a study
    INPUT_EMPTY = "INPUT_EMPTY"
    INPUT_UNREADABLE = "INPUT_UNREADABLE"
    INPUT_TOO_LARGE = "INPUT_TOO_LARGE"
    MULTIPLE_PATIENTS = "MULTIPLE_PATIENTS"
    MULTIPLE_STUDIES = "MULTIPLE_STUDIES"
    T2_MISSING = "T2_MISSING"
    DWI_MISSING = "DWI_MISSING"
    ADC_MISSING = "ADC_MISSING"
    B_VALUE_UNKNOWN = "B_VALUE_UNKNOWN"
    HIGH_B_MISSING = "HIGH_B_MISSING"
    STUDY_AMBIGUOUS = "STUDY_AMBIGUOUS"
    SERIES_AMBIGUOUS = "SERIES_AMBIGUOUS"
    SERIES_NOT_FOUND = "SERIES_NOT_FOUND"
    SLICE_MISSING = "SLICE_MISSING"
    SLICE_DUPLICATE = "SLICE_DUPLICATE"
    ORIENTATION_MIXED = "ORIENTATION_MIXED"
    SPACING_MIXED = "SPACING_MIXED"
    GEOMETRY_INVALID = "GEOMETRY_INVALID"
    PIXELS_UNREADABLE = "PIXELS_UNREADABLE"
    # the study was read, but a quality gate did not pass
    FRAME_OF_REFERENCE_DIFFERS = "FRAME_OF_REFERENCE_DIFFERS"
    COVERAGE_LOW = "COVERAGE_LOW"
    ADC_OUT_OF_RANGE = "ADC_OUT_OF_RANGE"
    ADC_SCALE_UNKNOWN = "ADC_SCALE_UNKNOWN"
    ADC_DISAGREES = "ADC_DISAGREES"
    SIGNAL_RISES_WITH_B = "SIGNAL_RISES_WITH_B"
    VOLUME_CONSTANT = "VOLUME_CONSTANT"
    VOLUME_SATURATED = "VOLUME_SATURATED"
    FIELD_OF_VIEW_SMALL = "FIELD_OF_VIEW_SMALL"
    MOTION_SUSPECTED = "MOTION_SUSPECTED"
    SUSCEPTIBILITY_SUSPECTED = "SUSCEPTIBILITY_SUSPECTED"
    CONTRAST_GIVEN = "CONTRAST_GIVEN"
    # the model can't be believed for it
    OUT_OF_DISTRIBUTION = "OUT_OF_DISTRIBUTION"
    MEMBERS_DISAGREE = "MEMBERS_DISAGREE"
    NEAR_THRESHOLD = "NEAR_THRESHOLD"
    # a note that changes no decision
    ADC_COMPUTED = "ADC_COMPUTED"
    ADC_RESCALED = "ADC_RESCALED"
    SERIES_NAMED_BY_HAND = "SERIES_NAMED_BY_HAND"
    # the ensemble or the service could not answer
    LOGIT_NOT_FINITE = "LOGIT_NOT_FINITE"
    ENSEMBLE_INVALID = "ENSEMBLE_INVALID"
    MEMBER_MISSING = "MEMBER_MISSING"
    MODEL_DIFFERS = "MODEL_DIFFERS"
    STUDY_INCOMPLETE = "STUDY_INCOMPLETE"
    NOT_STORED = "NOT_STORED"
    TIMEOUT = "TIMEOUT"
    WORKER_LOST = "WORKER_LOST"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    # the answer is kept and not shown
    SUPERSEDED = "SUPERSEDED"
    SILENT_MODE = "SILENT_MODE"
    RANDOM_AUDIT = "RANDOM_AUDIT"


class ProstateALMError(Exception):
    """Base of every exception that this package raises on purpose."""


class ArgumentError(ProstateALMError, ValueError):
    """An argument is out of its range."""


class StudyRefusedError(ProstateALMError):
    """This input does not become a study, for the stated `reason`."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason}: {super().__str__()}"

    def __reduce__(self) -> tuple[type, tuple[Reason, str]]:
        return type(self), (self.reason, str(self.args[0]))  # so that it travels between processes


class StudyUnavailableError(StudyRefusedError):
    """The machine could not read it: a full disk, a closed folder, a bad sector, no memory. It says nothing of it."""


class CohortError(ProstateALMError):
    """A label table, datalist or split can't be used as it is."""


class DatasetError(ProstateALMError):
    """An image archive, or a recipe for a subset of it, can't be used as it is."""


class TrainingError(ProstateALMError):
    """A member or ensemble run can't go on."""


class BackendError(ProstateALMError):
    """The machines that a run was to use, or the optional package for them, are not there."""


class BenchmarkError(ProstateALMError):
    """A table of the benchmark can't be made or continued."""


class LossStateError(ProstateALMError, RuntimeError):
    """A loss was used out of order, or its state belongs to another datalist."""


class EnsembleError(ProstateALMError):
    """An ensemble folder is incomplete, was changed, or is not the pinned one."""
