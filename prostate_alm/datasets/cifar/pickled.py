"""The Python batches of CIFAR are pickles; this reads them without running anything that a pickle asks for.

A pickle may name any function to call. Here the few names that a NumPy array needs stand for records of our own, so
not even NumPy's code runs on what the file says; every other name is refused.
"""

import io
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prostate_alm.errors import DatasetError


def read_pickled(content: bytes, file: str) -> dict[str, Any]:
    """The dictionary in a batch or meta file, its keys as text and its arrays rebuilt.

    Args:
        content: bytes of the file; written by Python 2, as the official ones are, or by Python 3 with pickle protocol
            3 or 4. With another protocol Python 3 asks for functions beside NumPy's own, and is refused.
        file: its name, for messages.

    Raises:
        DatasetError: the pickle is broken, asks for anything but plain values and byte arrays, or holds no dictionary.
    """
    try:
        found = _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
    except DatasetError as error:
        raise DatasetError(f"`{file}` {error}") from None
    except Exception as error:  # a broken pickle can raise anything
        raise DatasetError(
            f"`{file}` is no readable pickle ({type(error).__name__}); download the archive again."
        ) from None
    if not isinstance(found, dict):
        raise DatasetError(f"`{file}` must hold a dictionary, it holds a {type(found).__name__}.")
    return {_text(key): _array(value, file) if isinstance(value, _Array) else value for key, value in found.items()}


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


class _Dtype:
    """What the pickle says of an array's type; its byte order and flags say nothing about single bytes."""

    def __init__(self, name: str | bytes, *_: object) -> None:
        self.name = _text(name)

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """What the pickle says of an array: ``(version, shape, dtype, is Fortran, bytes)``."""

    def __init__(self, *_: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


# `numpy.core` is where NumPy 1, which wrote the official files, kept them; `numpy._core` is NumPy 2's place.
_STAND_INS = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
}


class _BatchUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _STAND_INS:
            raise DatasetError(
                f"asks for `{module_name}.{global_name}`, which no CIFAR batch needs; it is not the official file, "
                "do not use it."
            )
        return _STAND_INS[module_name, global_name]


def _array(pickled: _Array, file: str) -> NDArray[np.uint8]:
    try:
        _, shape, dtype, fortran, content = pickled.state
        if dtype.name != "u1":
            raise DatasetError(f"`{file}` must hold its images as unsigned bytes (u1), it holds `{dtype.name}`.")
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")
    except (TypeError, ValueError, AttributeError):
        raise DatasetError(f"`{file}` holds a broken array; download the archive again.") from None
