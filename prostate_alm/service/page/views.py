"""What the templates show of a job: plain values, worked out without a database or a request."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prostate_alm.errors import Reason
from prostate_alm.report.triage import Basis, Recommendation, SeriesAnswer, TriageAnswer
from prostate_alm.service.page import wording
from prostate_alm.service.page.gates import GateRow, gate_rows
from prostate_alm.service.page.reasons import EXPLANATIONS, Explanation
from prostate_alm.service.page.scale import Scale, score_scale
from prostate_alm.service.records import Identity, JobRecord
from prostate_alm.service.slices import ModelImage
from prostate_alm.service.tables import JobState
from prostate_alm.study import Role

ROLES = {Role.T2: "T2", Role.DWI: "DWI", Role.ADC: "ADC"}
SCALE_BAR_MM = 20


class Tone(StrEnum):
    """How an answer is set: by colour and by words, never by colour alone."""

    RECOMMENDED = "recommended"
    FAILSAFE = "failsafe"
    NOT_NEEDED = "not-needed"
    PENDING = "pending"
    REPLACED = "replaced"


@dataclass(frozen=True)
class Patient:
    """Whose study it is, as far as it is known and still kept.

    Attributes:
        name: as people read it, or what stands in its place.
        patient_id: of the hospital; may be empty.
        accession_number: of the order; may be empty.
        known: whether `name` is a name.
    """

    name: str
    patient_id: str
    accession_number: str
    known: bool


@dataclass(frozen=True)
class WorklistRow:
    """A study in the worklist.

    Attributes:
        record: the job.
        patient: whose it is.
        tone: how the answer is set.
        answer: in words.
        why: the basis in a few words.
    """

    record: JobRecord
    patient: Patient
    tone: Tone
    answer: str
    why: str


@dataclass(frozen=True)
class Panel:
    """A series in the viewer.

    Attributes:
        channel: its name in addresses.
        path: the network's path that reads it.
        title: what it is.
        note: how it is windowed.
    """

    channel: str
    path: str
    title: str
    note: str


@dataclass(frozen=True)
class Viewer:
    """The images as the model saw them.

    Attributes:
        panels: T2, DWI and ADC.
        slices: how many.
        slice_index: the one shown first, from 0, the lowest in the patient first.
        width_mm: of a slice.
        height_mm: of a slice.
        voxel_mm: voxel size in words.
    """

    panels: tuple[Panel, ...]
    slices: int
    slice_index: int
    width_mm: float
    height_mm: float
    voxel_mm: str


class Overlay(StrEnum):
    """Where the occlusion map stands."""

    ABSENT = "absent"  # there is nothing to explain, or nothing to lay it over
    OFFERED = "offered"
    PENDING = "pending"
    FAILED = "failed"
    READY = "ready"


@dataclass(frozen=True)
class StudyView:
    """One study.

    Attributes:
        row: as in the worklist.
        basis: why, in a sentence.
        reasons: with their codes, why it failed safe.
        notes: the same for what changed no decision.
        scale: the score against the threshold.
        evidence: what the threshold is worth.
        gates: what was checked.
        series: what was used, by role.
        viewer: the images, while they are there.
        no_viewer: why there are none.
        overlay: where the occlusion map stands.
        successor: the job whose answer takes this one's place.
    """

    row: WorklistRow
    basis: str
    reasons: tuple[tuple[Reason, Explanation], ...]
    notes: tuple[tuple[Reason, Explanation], ...]
    scale: Scale | None
    evidence: str
    gates: tuple[GateRow, ...]
    series: tuple[tuple[str, SeriesAnswer], ...]
    viewer: Viewer | None
    no_viewer: str
    overlay: Overlay
    successor: str | None

    @property
    def answer(self) -> TriageAnswer | None:
        """What is shown; None while there is none, and when it is no longer valid."""
        return None if self.successor else self.row.record.shown

    @property
    def state(self) -> str:
        """Changes when the page has something new to show."""
        reasons = " ".join(code for code, _ in self.reasons)
        return f"{self.row.record.state} {self.row.tone} {reasons} {self.overlay} {self.successor or ''}".strip()


def worklist_rows(records: Sequence[JobRecord]) -> tuple[WorklistRow, ...]:
    """A row for each study, in the order given."""
    replaced = {record.supersedes for record in records}
    return tuple(worklist_row(record, replaced=record.id in replaced) for record in records)


def worklist_row(record: JobRecord, *, replaced: bool = False) -> WorklistRow:
    """A study as the worklist shows it."""
    answer, patient = record.shown, patient_of(record)
    if replaced:
        return WorklistRow(record, patient, Tone.REPLACED, "No longer valid", "more of this study arrived later")
    if answer is None:
        state = "waiting" if record.state is JobState.QUEUED else "being read"
        return WorklistRow(record, patient, Tone.PENDING, "No answer yet", f"{state}; until then DCE is recommended")
    return WorklistRow(record, patient, tone_of(answer), wording.recommendation(answer), _why(answer))


def tone_of(answer: TriageAnswer) -> Tone:
    """How an answer is set."""
    if answer.basis is Basis.FAILSAFE:
        return Tone.FAILSAFE
    return Tone.NOT_NEEDED if answer.recommendation is Recommendation.DCE_NOT_NEEDED else Tone.RECOMMENDED


def patient_of(record: JobRecord) -> Patient:
    """Whose study it is; in place of a name, why there is none."""
    identity = record.identity or Identity("", "", "", "", "")
    name = wording.name(identity.patient_name)
    if name:
        stand_in = name
    elif identity.patient_id:
        stand_in = "No name"
    elif not record.pixels:
        stand_in = "Patient data deleted"
    else:
        stand_in = "Patient not known" if record.shown else "Patient not read yet"
    return Patient(stand_in, identity.patient_id, identity.accession_number, known=bool(name))


def study_view(
    record: JobRecord,
    *,
    image: ModelImage | None = None,
    occlusion: JobRecord | None = None,
    successor: str | None = None,
    slice_index: int | None = None,
) -> StudyView:
    """One study with all that its page shows.

    Args:
        record: the job.
        image: what the model saw, while it is kept.
        occlusion: the job of its occlusion map, where it was asked for.
        successor: the job that completes its study.
        slice_index: the slice to show, from 0; None shows the middle one.
    """
    answer = None if successor else record.shown
    scale = None if answer is None else score_scale(answer)
    point = None if answer is None else answer.operating_point
    return StudyView(
        row=worklist_row(record, replaced=successor is not None),
        basis=_unanswered(record, successor) if answer is None else wording.basis(answer),
        reasons=_explained(() if answer is None else answer.reasons),
        notes=_explained(() if answer is None else answer.flags),
        scale=scale,
        evidence="" if scale is None or point is None else wording.evidence(point),
        gates=() if answer is None else gate_rows(answer.quality),
        series=_series(answer),
        viewer=None if image is None else _viewer(image, slice_index),
        no_viewer=_no_viewer(record),
        overlay=Overlay.ABSENT if answer is None else _overlay(record, image, occlusion),
        successor=successor,
    )


def explainable(record: JobRecord) -> bool:
    """Whether an occlusion map may be shown: where the score is hidden, the map would tell it."""
    return record.pixels and record.shown is not None and record.shown.logit is not None


def _unanswered(record: JobRecord, successor: str | None) -> str:
    if successor:
        return "More of this study arrived later, and this answer was given without it. The later answer counts."
    state = "waits for its turn" if record.state is JobState.QUEUED else "is being read"
    return f"The study {state}. Until there is an answer, DCE is recommended."


def _why(answer: TriageAnswer) -> str:
    if answer.basis is Basis.MODEL:
        below = answer.recommendation is Recommendation.DCE_NOT_NEEDED
        return "score below the threshold" if below else "score at or above the threshold"
    first, *others = answer.reasons
    more = f", and {len(others)} more" if others else ""
    return f"fail-safe: {EXPLANATIONS[first].title[0].lower()}{EXPLANATIONS[first].title[1:]}{more}"


def _explained(reasons: Iterable[Reason]) -> tuple[tuple[Reason, Explanation], ...]:
    return tuple((reason, EXPLANATIONS[reason]) for reason in reasons)


def _series(answer: TriageAnswer | None) -> tuple[tuple[str, SeriesAnswer], ...]:
    if answer is None:
        return ()
    return tuple((ROLES[role], answer.series[role]) for role in ROLES if role in answer.series)


def _no_viewer(record: JobRecord) -> str:
    if not record.pixels:
        return "The images were deleted, as the service does after a set time."
    if record.shown is None:
        return "The images appear here once the study was read."
    return "There are no images: the study did not get as far as the model."


def _viewer(image: ModelImage, wanted: int | None) -> Viewer:
    width, height = image.size_mm
    middle = image.slices // 2
    x, y, z = image.spacing
    return Viewer(
        panels=(
            Panel("t2", "t2", "T2", "grey: least to greatest value"),
            Panel("dwi", "diffusion", f"DWI b {image.high_b:g}", "grey: least to greatest value"),
            Panel("adc", "diffusion", "ADC", "grey: 0 to 3000 × 10⁻⁶ mm²/s"),
        ),
        slices=image.slices,
        slice_index=middle if wanted is None else min(max(wanted, 0), image.slices - 1),
        width_mm=width,
        height_mm=height,
        voxel_mm=f"{x:g} × {y:g} × {z:g} mm",
    )


def _overlay(record: JobRecord, image: ModelImage | None, occlusion: JobRecord | None) -> Overlay:
    if image is None or not explainable(record):
        return Overlay.ABSENT
    if occlusion is None:
        return Overlay.OFFERED
    if occlusion.state is not JobState.DONE:
        return Overlay.PENDING
    return Overlay.READY if occlusion.fault is None else Overlay.FAILED
