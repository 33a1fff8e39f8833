"""The answer as a DICOM Comprehensive 3D SR: TID 1500 with the algorithm's identification (TID 4019).

The document says what it is handed and no more: whoever calls gives the answer that was shown. It follows from the
answer and its images alone, so that making it again gives the same content under the same UIDs.
"""

# pydicom's data sets take their elements as attributes, of types that nobody declares
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false

import re
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from prostate_alm.errors import ArgumentError, Reason
from prostate_alm.evaluation.operating_point import OperatingPoint
from prostate_alm.report.triage import Basis, Recommendation, TriageAnswer

SCHEME = "99PALM"
"""Designator of this package's own codes."""

MRI = CodedConcept("113091000", "SCT", "Magnetic resonance imaging")
"""The procedure: whether the contrast sequence becomes part of it is what the document advises on."""

SERIES_NUMBER = 9901
SERIES_DESCRIPTION = "DCE triage - Research use only"

REFERENCE_KEYWORDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""What an image must state to be referred to."""

_EMPTY_ALLOWED = (  # type 2: there, if only empty
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
_WHERE_STATED = (
    *("IssuerOfPatientID", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("PatientAge", "PatientSize", "PatientWeight", "StudyDescription", "IssuerOfAccessionNumberSequence"),
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC"),
)
PATIENT_AND_STUDY_KEYWORDS = (*_EMPTY_ALLOWED, *_WHERE_STATED)
"""What the document takes over from its images."""

_WORDS: dict[str, str] = {
    Recommendation.DCE_RECOMMENDED: "Contrast-enhanced sequence (DCE) recommended",
    Recommendation.DCE_NOT_NEEDED: "Contrast-enhanced sequence (DCE) not needed",
    Basis.MODEL: "Score of the ensemble",
    Basis.FAILSAFE: "Fail-safe: a condition for relying on the score did not hold",
}
_ABBREVIATIONS = frozenset({"T2", "DWI", "ADC", "B", "ID"})
_NAMESPACE = uuid.UUID("0c0b5c2e-5c4b-5d0a-9d4e-3d1d5a9c7f10")


def structured_report(
    answer: TriageAnswer, images: Sequence[Dataset], *, answered_at: datetime, software_version: str
) -> Comprehensive3DSR:
    """The answer for a study as an SR document of that study.

    Args:
        answer: as it was shown to the client.
        images: headers of the images it was read from, of one study; each has `REFERENCE_KEYWORDS`, and the first
            one's patient and study (`PATIENT_AND_STUDY_KEYWORDS`) become the document's.
        answered_at: when the answer was stored.
        software_version: of this package.

    Raises:
        ArgumentError: there is no image, or they are of several studies or patients.
    """
    _check(images)
    document = Comprehensive3DSR(
        evidence=[_reference(image) for image in images],
        content=_content(answer, images, software_version)[0],
        series_instance_uid=_uid(_said(answer), "series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=report_uid(answer),
        instance_number=1,
        manufacturer="prostate-alm",
        manufacturer_model_name="prostate-alm triage",
        software_versions=software_version,
        series_description=SERIES_DESCRIPTION,
        is_complete=True,
        is_final=True,
        coding_schemes=[
            CodingSchemeIdentificationItem(
                SCHEME, name="prostate-alm", version="1", responsible_organization="prostate-alm"
            )
        ],
        device_serial_number=answer.model.sha256[:16] if answer.model else "none",
    )
    _take_over(document, images[0])
    _date(document, answered_at)
    return document


def report_uid(answer: TriageAnswer) -> UID:
    """SOPInstanceUID of the document of an answer: it follows from what it says, so sending it twice stores one."""
    return _uid(_said(answer), "document")


def _said(answer: TriageAnswer) -> str:
    """All that a document says of a study; an answer that is hidden later is another document."""
    return answer.model_dump_json(serialize_as_any=True)


def _uid(name: str, kind: str) -> UID:
    """A UID derived from a UUID (PS3.5 B.2)."""
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, f'{kind} {name}').int}")


def _check(images: Sequence[Dataset]) -> None:
    if not images:
        raise ArgumentError("`images` is empty; an SR document refers to at least one image.")
    studies = {str(image.StudyInstanceUID) for image in images}
    patients = {str(image.get("PatientID", "")) for image in images}
    if len(studies) > 1 or len(patients) > 1:
        raise ArgumentError(
            f"`images` are of {len(studies)} studies and {len(patients)} patients; an SR document has one of each."
        )


def _reference(image: Dataset) -> Dataset:
    """What highdicom needs of an image, without the patient, whose odd values it would refuse; see `_take_over`."""
    reference = Dataset()
    for keyword in REFERENCE_KEYWORDS:
        setattr(reference, keyword, image[keyword].value)
    for keyword in _EMPTY_ALLOWED:
        setattr(reference, keyword, None)
    return reference


def _take_over(document: Dataset, image: Dataset) -> None:
    """Give the document the patient and study of an image, as the image states them."""
    for keyword in PATIENT_AND_STUDY_KEYWORDS:
        if keyword in image:
            document[keyword] = image[keyword]


def _date(document: Dataset, answered_at: datetime) -> None:
    """Date the document by the answer, not by when it was written: in the zone its study states, or else in ours."""
    local = answered_at.astimezone(_zone(str(document.get("TimezoneOffsetFromUTC", ""))))
    for kind in ("Content", "InstanceCreation", "Series"):
        setattr(document, f"{kind}Date", local.strftime("%Y%m%d"))
        setattr(document, f"{kind}Time", local.strftime("%H%M%S"))
    for equipment in document.ContributingEquipmentSequence:
        equipment.ContributionDateTime = local.strftime("%Y%m%d%H%M%S")


def _zone(offset: str) -> timezone | None:
    """The zone of an offset such as -0800; None, which means this machine's, where it is none."""
    found = re.fullmatch(r"([+-])(\d\d)([0-5]\d)", offset)
    if found is None or int(found[2]) > 14:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))


def _content(answer: TriageAnswer, images: Sequence[Dataset], software_version: str) -> MeasurementReport:
    model = answer.model
    observer = DeviceObserverIdentifyingAttributes(
        uid=_uid(model.sha256 if model else "none", "device"),
        name="prostate-alm triage",
        manufacturer_name="prostate-alm",
        model_name=f"{model.name} {model.version}" if model else "no ensemble",
        serial_number=model.sha256 if model else None,
    )
    return MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=codes.DCM.Device, observer_identifying_attributes=observer
            )
        ),
        procedure_reported=MRI,
        title=codes.DCM.ImagingMeasurementReport,
        imaging_measurements=[
            MeasurementsAndQualitativeEvaluations(
                tracking_identifier=TrackingIdentifier(uid=_uid(_said(answer), "tracking"), identifier="DCE triage"),
                algorithm_id=_algorithm(answer, software_version),
                finding_sites=[FindingSite(codes.SCT.Prostate)],
                measurements=_measurements(answer),
                qualitative_evaluations=_evaluations(answer),
                source_images=[
                    SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID) for image in images
                ],
            )
        ],
    )


def _algorithm(answer: TriageAnswer, software_version: str) -> AlgorithmIdentification:
    """TID 4019: which ensemble, by hash, and at which threshold with which evidence."""
    model, point = answer.model, answer.operating_point
    parameters = [answer.intended_use, f"software: prostate-alm {software_version}"]
    if model is not None:
        parameters += [f"ensemble sha256: {model.sha256}", f"members: {model.members}"]
    if point is not None and answer.basis is Basis.MODEL:  # it says nothing where the score was not relied on
        parameters += _operating_point(point)
    return AlgorithmIdentification(
        name=model.name if model else "none: no valid ensemble",
        version=model.version if model else "none",
        parameters=[_ascii(one) for one in parameters],
        manufacturer="prostate-alm",
    )


def _operating_point(point: OperatingPoint) -> list[str]:
    return [
        f"operating point: {point.name}; a study with logit >= {point.threshold:.6g} is positive",
        f"evidence: {point.false_negatives} of {point.positives} positives missed when the threshold was set "
        f"({point.evidence}, {point.status}); the true miss rate may be up to {point.miss_rate_upper_95:.1%}",
        f"specificity there: {point.specificity:.1%} of {point.negatives} negatives",
        f"assumptions: {point.assumptions}",
    ]


def _measurements(answer: TriageAnswer) -> list[Measurement]:
    """Logit and probability, where the answer shows them."""
    named = (("LOGIT", "Mean logit of the ensemble", answer.logit), ("PROBABILITY", "Model score", answer.probability))
    return [
        Measurement(CodedConcept(code, SCHEME, words), value=value, unit=codes.UCUM.NoUnits)
        for code, words, value in named
        if value is not None
    ]


def _evaluations(answer: TriageAnswer) -> list[QualitativeEvaluation]:
    """Recommendation, basis, reasons, notes, and that this is for research only."""
    return [
        QualitativeEvaluation(codes.DCM.Recommendation, _code(answer.recommendation)),
        QualitativeEvaluation(CodedConcept("BASIS", SCHEME, "Basis of the recommendation"), _code(answer.basis)),
        *_reasons("REASON", "Reason for failing safe", answer.reasons),
        *_reasons("NOTE", "Note that changed no decision", answer.flags),
        QualitativeEvaluation(
            CodedConcept("INTENDED_USE", SCHEME, "Intended use"),
            CodedConcept("RESEARCH_USE", SCHEME, f"{answer.intended_use} - not for clinical use"),
        ),
    ]


def _reasons(code: str, words: str, reasons: Sequence[Reason]) -> list[QualitativeEvaluation]:
    return [QualitativeEvaluation(CodedConcept(code, SCHEME, words), _code(reason)) for reason in reasons]


def _code(value: Recommendation | Basis | Reason) -> CodedConcept:
    """The API's code, with words: known ones, or the code's own."""
    spoken = " ".join(part if part in _ABBREVIATIONS else part.lower() for part in value.split("_"))
    return CodedConcept(value.value, SCHEME, _WORDS.get(value, spoken[:1].upper() + spoken[1:]))


def _ascii(text: str) -> str:
    """Text that every character set holds: the document keeps the one of its images."""
    return text.encode("ascii", "replace").decode("ascii")
