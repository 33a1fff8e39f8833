"""The SR document of an answered study, made anew from what is shown and the headers of its images."""

import io
from http import HTTPStatus

import structlog

from prostate_alm import __version__
from prostate_alm.errors import ProstateALMError, StudyUnavailableError
from prostate_alm.readers.dicom import quiet_pydicom
from prostate_alm.report.structured_report import structured_report
from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.problems import ProblemCode
from prostate_alm.service.records import JobRecord
from prostate_alm.service.sources import source_images
from prostate_alm.service.storage import Storage, study_in

logger = structlog.get_logger()


class NoReportError(ProstateALMError):
    """A study has no SR document.

    Attributes:
        status: of the response that says so.
        code: of the problem.
    """

    def __init__(self, status: HTTPStatus, code: ProblemCode, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def report_content(record: JobRecord, storage: Storage) -> bytes:
    """The DICOM file with the SR document of an answer as it is shown now; the same as long as the answer is.

    Raises:
        NoReportError: the study has no answer yet, its images are gone, or no document may refer to them.
    """
    if record.shown is None or record.answered_at is None:
        raise NoReportError(
            HTTPStatus.CONFLICT, ProblemCode.NOT_ANSWERED, "the study has no answer yet; ask again when it has one"
        )
    if not record.pixels:
        raise NoReportError(
            HTTPStatus.GONE,
            ProblemCode.PIXELS_GONE,
            "the images were deleted after their time; the answer is still there",
        )
    try:
        images = source_images(study_in(storage.input_of(record.id)))
        with quiet_pydicom(), io.BytesIO() as file:
            structured_report(
                record.shown, images, answered_at=record.answered_at, software_version=__version__
            ).save_as(file)
            return file.getvalue()
    except (StudyUnavailableError, OSError):
        raise
    except Exception as error:  # no images of one patient, or a header that no document can take over
        if not isinstance(error, ProstateALMError):
            logger.error("no document could be made", job=record.id, error=describe_error(error))
        raise NoReportError(
            HTTPStatus.NOT_FOUND,
            ProblemCode.SR_NOT_AVAILABLE,
            "the study holds no DICOM images of one patient that a document could refer to; see the answer itself",
        ) from None
