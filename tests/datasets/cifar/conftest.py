"""Tiny CIFAR archives in each official packaging."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prostate_alm.datasets.cifar.archive import CifarArchive, LabelledImages, read_cifar

Images = tuple[np.ndarray, np.ndarray]


class Python2Pickler(pickle._Pickler):  # pyright: ignore[reportAttributeAccessIssue] - the Python version is private
    """Writes text and bytes as Python 2 did, both as byte strings; the official batches were written so."""

    write: Callable[[bytes], object]
    memoize: Callable[[object], None]

    def save_string(self, text: str | bytes) -> None:
        content = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(text)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_string, str: save_string}  # pyright: ignore  # noqa: RUF012


class ByteFile(bytearray):
    def write(self, content: bytes) -> None:
        self.extend(content)


def pickled(value: Mapping[str, Any], python: int) -> bytes:
    """A batch as Python 2 and NumPy 1 wrote it, or as Python 3 and NumPy 2 write it."""
    if python == 3:
        return pickle.dumps({key.encode(): entry for key, entry in value.items()}, protocol=4)
    file = ByteFile()
    Python2Pickler(file, 2).dump(dict(value))
    return bytes(file).replace(b"numpy._core.", b"numpy.core.")


def python_files(name: str, training: Images, test: Images, python: int = 2) -> dict[str, bytes]:
    """The official Python layout."""

    def batch(images: np.ndarray, labels: np.ndarray) -> bytes:
        data, listed = images.reshape(len(labels), -1), labels.tolist()
        if name == "cifar10":
            return pickled({"batch_label": "one", "labels": listed, "data": data, "filenames": ["x"]}, python)
        coarse = [label // 5 for label in listed]
        return pickled({"filenames": ["x"], "fine_labels": listed, "coarse_labels": coarse, "data": data}, python)

    if name == "cifar100":
        names = {"fine_label_names": [f"class{c}" for c in range(100)], "coarse_label_names": ["x"] * 20}
        files = {"train": batch(*training), "test": batch(*test), "meta": pickled(names, python)}
        return {f"cifar-100-python/{file}": content for file, content in files.items()}
    names = {"label_names": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]}
    parts = np.array_split(np.arange(len(training[1])), 5)
    files = {f"data_batch_{i}": batch(training[0][p], training[1][p]) for i, p in enumerate(parts, 1)}
    files |= {"test_batch": batch(*test), "batches.meta": pickled({**names, "num_vis": 3072}, python)}
    return {f"cifar-10-batches-py/{file}": content for file, content in files.items()}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files as an extracted archive."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture(scope="session")
def tiny(cifar_writers: SimpleNamespace) -> SimpleNamespace:
    """Images of both data sets and all writers: `files(name, version)` are "binary", "python2" or "python3" files."""
    parts: dict[str, tuple[Images, Images]] = {
        "cifar10": (cifar_writers.images([3] * 9 + [1], 1), cifar_writers.images([1] * 10, 2)),
        "cifar100": (cifar_writers.images([1] * 100, 3), cifar_writers.images([1] * 50 + [0] * 50, 4)),
    }

    def files(name: str, version: str) -> dict[str, bytes]:
        if version == "binary":
            return getattr(cifar_writers, name)(*parts[name])
        return python_files(name, *parts[name], python=int(version[-1]))

    return SimpleNamespace(parts=parts, files=files, extract=write_files, tar=cifar_writers.tar, pickled=pickled)


@pytest.fixture(scope="session")
def cifar10(cifar_folder: Path) -> CifarArchive:
    return read_cifar(cifar_folder, "cifar10")


@pytest.fixture(scope="session")
def cifar100(cifar_folder: Path) -> CifarArchive:
    return read_cifar(cifar_folder, "cifar100")


@pytest.fixture(scope="session")
def numbered() -> SimpleNamespace:
    """Make an archive of given class counts in memory; each image's first pixel is its position, test ones are 255."""

    def part(counts: list[int], red: int | None) -> LabelledImages:
        labels = np.random.default_rng(5).permutation(np.repeat(np.arange(len(counts)), counts))
        position = np.arange(len(labels))
        images = np.zeros((len(labels), 3, 32, 32), np.uint8)
        images[:, 0, 0, 0] = 0 if red is None else red
        images[:, 1, 0, 0], images[:, 2, 0, 0] = position // 256, position % 256
        return LabelledImages(images, labels, position)

    def make(name: str, training: list[int], test: list[int]) -> CifarArchive:
        names = tuple(f"class{c}" for c in range(len(training)))
        return CifarArchive(name, part(training, None), part(test, 255), names, "0" * 64)

    return SimpleNamespace(archive=make)
