"""The one boundary at which every failure to read becomes a `StudyRefusedError`."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from prostate_alm.errors import ProstateALMError, Reason, StudyRefusedError, StudyUnavailableError


@contextmanager
def refusing() -> Iterator[None]:
    """Turn whatever corrupt input makes a parser raise into a refusal that quotes nothing of it."""
    try:
        yield
    except StudyRefusedError:
        raise
    except ProstateALMError as error:  # our own words, which hold no patient data
        raise StudyRefusedError(Reason.GEOMETRY_INVALID, str(error)) from None
    except Exception as error:
        raise_if_unavailable(error)
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE, f"the input can't be read ({type(error).__name__}); export the study again."
        ) from None


def raise_if_unavailable(error: Exception) -> None:
    """Tell a fault of the machine from one of the input.

    Raises:
        StudyUnavailableError: the memory was too small, or the operating system could not read or write a file. It
            answers EINVAL to a seek to a place before the file's begin, which only a corrupt file asks for.
    """
    if isinstance(error, MemoryError):
        raise StudyUnavailableError(
            Reason.INPUT_TOO_LARGE, "the study does not fit into memory; send it alone."
        ) from None
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        what = error.strerror or type(error).__name__
        raise StudyUnavailableError(
            Reason.INPUT_UNREADABLE, f"a file can't be read or unpacked ({what}); check the disk and your rights."
        ) from None
