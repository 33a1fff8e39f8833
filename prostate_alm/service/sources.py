"""The headers of the images an answer was read from, for the document that refers to them."""

from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.archive import Limits, SourceFile, open_input
from prostate_alm.readers.boundary import refusing
from prostate_alm.readers.dicom import quiet_pydicom, read_files, scan_of
from prostate_alm.readers.instance import Instance
from prostate_alm.readers.series_selection import select_series
from prostate_alm.report.structured_report import PATIENT_AND_STUDY_KEYWORDS, REFERENCE_KEYWORDS
from prostate_alm.service.instances import is_uid

_KEYWORDS = [*REFERENCE_KEYWORDS, *PATIENT_AND_STUDY_KEYWORDS]


def source_images(path: Path) -> list[Dataset]:
    """Headers of the images that the readers choose, or of all images where they choose none.

    Files that can't be read are left aside: the answer says so.

    Args:
        path: what `prostate_alm.readers.read_study` takes.

    Raises:
        StudyRefusedError: no DICOM image, or images of several patients or studies: no document may speak of them.
    """
    with refusing(), open_input(path, Limits()) as files:
        images = _chosen(files)
        with quiet_pydicom():
            found = [_header(file) for file in dict.fromkeys(image.path for image in images)]
        headers = [
            header for header in found if all(is_uid(str(header.get(keyword, ""))) for keyword in REFERENCE_KEYWORDS)
        ]
    if not headers:
        raise StudyRefusedError(Reason.INPUT_UNREADABLE, "the input holds no DICOM image that can be referred to.")
    return headers


def _chosen(files: Sequence[SourceFile]) -> list[Instance]:
    found = [images for _, images in read_files(files) if isinstance(images, list)]
    scan = scan_of([image for images in found for image in images if image.is_image or image.is_multi_frame])
    selection = select_series(scan.series)
    chosen = [image for one in selection.chosen.values() for image in one.stack.instances]
    if selection.refusal is None:
        return chosen
    return [image for series in scan.series for image in series.instances]


def _header(path: Path) -> Dataset:
    """The few elements a document needs, converted here where pydicom is quiet."""
    header = dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
    header.decode()
    return header
