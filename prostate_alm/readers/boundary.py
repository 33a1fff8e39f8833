"""The one boundary at which every failure to read becomes a `StudyRefusedError`."""

from collections.abc import Iterator
from contextlib import contextmanager

from prostate_alm.errors import ProstateALMError, Reason, StudyRefusedError


@contextmanager
def refusing() -> Iterator[None]:
    """Turn whatever corrupt input makes a parser raise into a refusal that quotes nothing of it."""
    try:
        yield
    except StudyRefusedError:
        raise
    except MemoryError:
        raise StudyRefusedError(Reason.INPUT_TOO_LARGE, "the study does not fit into memory; send it alone.") from None
    except ProstateALMError as error:  # our own words, which hold no patient data
        raise StudyRefusedError(Reason.GEOMETRY_INVALID, str(error)) from None
    except Exception as error:
        raise StudyRefusedError(
            Reason.INPUT_UNREADABLE, f"the input can't be read ({type(error).__name__}); export the study again."
        ) from None
