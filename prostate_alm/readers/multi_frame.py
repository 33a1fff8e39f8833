"""Enhanced multi-frame MR: each frame becomes an `Instance` of its own, with the place and b-value its header gives it.

What a classic image says at its top level stands in functional groups here: in the shared one, or frame by frame
(PS3.3 C.7.6.16). They are put back under the tags a classic image has, so that one set of rules serves both.
"""

from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from prostate_alm.readers.b_values import B_VALUE_TAGS
from prostate_alm.readers.header import Header, values_of
from prostate_alm.readers.instance import HEADER_TAGS, Instance, instance_of

_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_MOST_FRAMES = 20_000
# functional group, its attribute, and the classic attribute it stands for
_ATTRIBUTES = (
    ("PlanePositionSequence", "ImagePositionPatient", "ImagePositionPatient"),
    ("PlaneOrientationSequence", "ImageOrientationPatient", "ImageOrientationPatient"),
    ("PixelMeasuresSequence", "PixelSpacing", "PixelSpacing"),
    ("PixelMeasuresSequence", "SpacingBetweenSlices", "SpacingBetweenSlices"),
    ("PixelValueTransformationSequence", "RescaleSlope", "RescaleSlope"),
    ("PixelValueTransformationSequence", "RescaleIntercept", "RescaleIntercept"),
    ("MRImageFrameTypeSequence", "FrameType", "ImageType"),
    ("MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime"),
    ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
    ("MRModifierSequence", "InversionRecovery", "InversionRecovery"),
    ("MRModifierSequence", "SpectrallySelectedSuppression", "ScanOptions"),
    ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue"),
    ("MRDiffusionSequence", "DiffusionDirectionality", "DiffusionDirectionality"),
    ("FrameContentSequence", "FrameAcquisitionDateTime", "AcquisitionDateTime"),
    ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
    ("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier"),
)


def read_frames(header: Header) -> list[Instance]:
    """The frames of an enhanced, or legacy converted enhanced, MR image.

    Raises:
        EOFError: it does not describe as many frames as it says it has.
    """
    tags: list[int | str] = [*sorted(HEADER_TAGS), "ContrastBolusAgentSequence", _SHARED, _PER_FRAME]
    dataset = dcmread(header.path, specific_tags=tags, stop_before_pixels=True)  # pyright: ignore[reportArgumentType]
    per_frame = dataset.get(_PER_FRAME) or []
    number = int(dataset.get("NumberOfFrames") or 0)
    if not 0 < number <= _MOST_FRAMES or len(per_frame) != number:
        raise EOFError
    whole = {**header.values, **_whole(dataset)}
    for shared in dataset.get(_SHARED) or []:
        whole.update(_group_values(shared))
    frames: list[Instance] = []
    for index, group in enumerate(per_frame):
        frame = {**whole, **_group_values(group)}
        frames.append(instance_of({**frame, **_own(frame, index)}, header, index))
    return frames


def _whole(dataset: Dataset) -> dict[int, Any]:
    """What holds for every frame and stands elsewhere in classic images."""
    return {int(Tag("ContrastBolusAgent")): "named"} if dataset.get("ContrastBolusAgentSequence") else {}


def _own(frame: dict[int, Any], index: int) -> dict[int, Any]:
    """An instance UID for each frame."""
    uid = int(Tag("SOPInstanceUID"))
    return {uid: f"{frame.get(uid, '')}#{index:05d}"}


def _group_values(group: Dataset) -> dict[int, Any]:
    """What the functional groups of one item say, under classic tags."""
    values: dict[int, Any] = {}
    for sequence, attribute, classic in _ATTRIBUTES:
        for item in group.get(sequence) or []:
            found = values_of(item, [int(Tag(attribute))])
            if found:
                values[int(Tag(classic))] = next(iter(found.values()))
    values.update(_private_b_values(group))
    return values


def _private_b_values(group: Dataset) -> dict[int, Any]:
    """Vendors' b-values in the items of their private sequences."""
    values: dict[int, Any] = {}
    for element in group:
        if element.tag.is_private and element.VR == "SQ":
            for item in element.value or []:
                values.update(values_of(item, B_VALUE_TAGS))
    return values
