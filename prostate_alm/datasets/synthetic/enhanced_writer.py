"""Write an examination as Enhanced MR: one multi-frame file a series, its facts in functional groups.

Vendors differ in what they put into the shared groups and what they repeat for each frame: Siemens XA shares the
orientation, Philips and GE repeat it with the pixel measures, and Philips has a rescale slope for each frame.
"""

from pathlib import Path

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian

from prostate_alm.datasets.synthetic.examination import (
    STUDY_DATE,
    Examination,
    Images,
    SeriesPlan,
    identify,
    series_time,
    stored_values,
    timing_of,
)
from prostate_alm.datasets.synthetic.part10 import decimal, synthetic_uid
from prostate_alm.datasets.synthetic.vendors import Kind, Vendor
from prostate_alm.study import Geometry

_DIFFUSION = frozenset({Kind.DWI, Kind.DIRECTIONS, Kind.CALCULATED})


def write_multi_frames(examination: Examination, folder: Path) -> None:
    """Write every series into `folder`, one Enhanced MR file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for plan in examination.series:
        dataset = _multi_frame(examination, plan)
        dataset.save_as(folder / f"{plan.number:02d}-0001.dcm", enforce_file_format=True)


def _multi_frame(examination: Examination, plan: SeriesPlan) -> Dataset:
    vendor, dataset = examination.vendor, Dataset()
    identify(dataset, examination, plan)
    dataset.ImageType = [*plan.style.image_type[:2], *_contrast(plan)]
    uid = synthetic_uid(dataset.SeriesInstanceUID, "1")
    dataset.SOPClassUID, dataset.SOPInstanceUID = EnhancedMRImageStorage, uid
    dataset.InstanceNumber, dataset.AcquisitionDateTime = 1, STUDY_DATE + series_time(plan)
    dataset.AcquisitionContrast, dataset.ComplexImageComponent = "UNKNOWN", "MAGNITUDE"
    dataset.EchoPulseSequence = "GRADIENT" if "GR" in plan.style.scanning else "SPIN"
    planar = plan.kind not in {Kind.T2, Kind.T1, Kind.T2_SAGITTAL, Kind.LOCALIZER, Kind.DCE}
    dataset.EchoPlanarPulseSequence = "YES" if planar else "NO"
    dataset.PulseSequenceName = "ep2d" if planar else "tse2d"
    geometry = plan.images[0].volume.geometry
    dataset.Columns, dataset.Rows = geometry.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    _add_frames(dataset, examination, plan)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
        EnhancedMRImageStorage,
        uid,
    )
    dataset.SharedFunctionalGroupsSequence = Sequence([_shared_groups(plan, vendor, geometry)])
    _add_dimensions(dataset, uid)
    return dataset


def _add_dimensions(dataset: Dataset, uid: UID) -> None:
    """What the three numbers of a frame's DimensionIndexValues count."""
    organization = synthetic_uid(uid, "dimensions")
    dataset.DimensionOrganizationSequence = _item(DimensionOrganizationUID=organization)
    dataset.DimensionIndexSequence = Sequence()
    pointers = (("FrameContentSequence", "StackID"), ("FrameContentSequence", "InStackPositionNumber"))
    for group, attribute in (*pointers, ("MRDiffusionSequence", "DiffusionBValue")):
        item = _item(
            DimensionOrganizationUID=organization,
            DimensionIndexPointer=tag_for_keyword(attribute),
            FunctionalGroupPointer=tag_for_keyword(group),
        )
        dataset.DimensionIndexSequence.extend(item)


def _contrast(plan: SeriesPlan) -> tuple[str, ...]:
    """Value 3 and 4 of the enhanced ImageType: what the image shows and how pixels were combined."""
    if plan.kind is Kind.ADC:
        return "DIFFUSION", "ADC"
    if plan.kind in _DIFFUSION:
        return "DIFFUSION", "TRACEW" if "DERIVED" in plan.style.image_type else "NONE"
    return "T2" if plan.kind in {Kind.T2, Kind.T2_SAGITTAL} else "UNKNOWN", "NONE"


def _add_frames(dataset: Dataset, examination: Examination, plan: SeriesPlan) -> None:
    """Frames, slices of a b-value after each other, with one item of functional groups each."""
    vendor, items, pixels = examination.vendor, [], []
    for volume, images in enumerate(plan.images, start=1):
        slices = images.volume.geometry.shape[2]
        order = range(slices - 1, -1, -1) if examination.position == "FFS" else range(slices)
        for index in order:
            items.append(_frame_groups(plan, vendor, images, index, (1, index + 1, volume)))
            pixels.append(stored_values(images.volume.data[:, :, index], vendor.slope or 1.0))
    dataset.NumberOfFrames = len(items)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(items)
    dataset.add_new("PixelData", "OW", b"".join(pixels))


def _shared_groups(plan: SeriesPlan, vendor: Vendor, geometry: Geometry) -> Dataset:
    groups, (repetition, echo) = Dataset(), timing_of(plan, vendor)
    groups.MRTimingAndRelatedParametersSequence = _item(RepetitionTime=decimal(repetition), EchoTrainLength=25)
    groups.MREchoSequence = _item(EffectiveEchoTime=echo)
    groups.MRImageFrameTypeSequence = _item(FrameType=[*plan.style.image_type[:2], *_contrast(plan)])
    if vendor.name in {"siemens", "siemens_xa"}:
        _place(groups, geometry)
    return groups


def _place(groups: Dataset, geometry: Geometry) -> None:
    """Pixel measures and plane orientation."""
    thickness, spacing = geometry.spacing[2] - 0.3, [geometry.spacing[1], geometry.spacing[0]]
    groups.PixelMeasuresSequence = _item(
        PixelSpacing=[decimal(value) for value in spacing],
        SliceThickness=decimal(thickness),
        SpacingBetweenSlices=decimal(geometry.spacing[2]),
    )
    orientation = [decimal(value) for value in geometry.direction[:, :2].T.ravel()]
    groups.PlaneOrientationSequence = _item(ImageOrientationPatient=orientation)


def _frame_groups(plan: SeriesPlan, vendor: Vendor, images: Images, index: int, place: tuple[int, int, int]) -> Dataset:
    groups, geometry = Dataset(), images.volume.geometry
    groups.FrameContentSequence = _item(
        StackID="1",
        InStackPositionNumber=place[1],
        DimensionIndexValues=list(place),
        FrameAcquisitionDateTime=STUDY_DATE + series_time(plan),
    )
    position = np.asarray(geometry.affine[:3] @ [0.0, 0.0, index, 1.0])
    groups.PlanePositionSequence = _item(ImagePositionPatient=[decimal(value) for value in position])
    if vendor.name in {"ge", "philips"}:
        _place(groups, geometry)
    slope = vendor.slope or 1.0
    groups.PixelValueTransformationSequence = _item(
        RescaleIntercept="0", RescaleSlope=decimal(slope), RescaleType="normalized" if vendor.slope else "US"
    )
    if images.b_value is not None:
        directionality = "ISOTROPIC" if images.b_value else "NONE"
        groups.MRDiffusionSequence = _item(DiffusionBValue=images.b_value, DiffusionDirectionality=directionality)
    return groups


def _item(**elements: object) -> Sequence:
    """A sequence of one item."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])
