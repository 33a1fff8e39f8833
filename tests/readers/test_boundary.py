"""What the machine can't do is told from what the input is not."""

import errno
import gzip
import pickle

import pytest

from prostate_alm.errors import Reason, StudyRefusedError, StudyUnavailableError
from prostate_alm.readers.boundary import refusing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.ENOENT, errno.EMFILE])
def test_what_the_system_can_not_read_or_write_is_no_fault_of_the_input(number: int) -> None:
    with pytest.raises(StudyUnavailableError) as error, refusing():
        raise OSError(number, "words", "/home/Doe")
    assert "words" in str(error.value)
    assert "Doe" not in str(error.value)
    assert type(pickle.loads(pickle.dumps(error.value))) is StudyUnavailableError


def test_too_little_memory_is_none_either() -> None:
    with pytest.raises(StudyUnavailableError) as error, refusing():
        raise MemoryError
    assert error.value.reason is Reason.INPUT_TOO_LARGE


@pytest.mark.parametrize(
    "fault", [OSError("Doe"), gzip.BadGzipFile("Doe"), OSError(errno.EINVAL, "a seek before the begin"), ValueError()]
)
def test_what_a_corrupt_input_makes_a_parser_raise_is(fault: Exception) -> None:
    with pytest.raises(StudyRefusedError) as error, refusing():
        raise fault
    assert type(error.value) is StudyRefusedError
    assert "Doe" not in str(error.value)
