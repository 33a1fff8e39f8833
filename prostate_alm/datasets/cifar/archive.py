"""Read CIFAR-10 and CIFAR-100 from any of their official packagings (Krizhevsky 2009).

Binary and Python versions, extracted or as a tar archive, plain or compressed by gzip, xz or bzip2; a tar is read where
it lies. Files may hold any number of records.
"""

import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prostate_alm.datasets.cifar.pickled import read_pickled
from prostate_alm.errors import ArgumentError, DatasetError

IMAGE_SHAPE = (3, 32, 32)
_IMAGE_BYTES = 3 * 32 * 32
_Records = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with their class.

    Attributes:
        images: ``[N, 3, 32, 32]`` RGB.
        labels: ``[N]``.
        position: ``[N]`` place in the archive's training or test part, batch files in their order.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    position: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class CifarArchive:
    """A whole archive; its arrays can't be written to, since one reading serves many runs.

    Attributes:
        name: "cifar10" or "cifar100".
        training: the training part, fine labels.
        test: the test part, fine labels.
        class_names: name of each class.
        sha256: of the decoded images and labels, the same for each packaging of the same data.
    """

    name: str
    training: LabelledImages
    test: LabelledImages
    class_names: tuple[str, ...]
    sha256: str

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)


@dataclass(frozen=True)
class _Layout:
    """One official version: what its folder, archive and files are called, and how a file is decoded."""

    folder: str
    archive: str
    training: tuple[str, ...]
    test: str
    names: str
    decode: Callable[[bytes, str], _Records]
    decode_names: Callable[[bytes, str], tuple[str, ...]]

    @property
    def images(self) -> tuple[str, ...]:
        return (*self.training, self.test)


def read_cifar(path: str | Path, name: str) -> CifarArchive:
    """Read an archive; within a process the same unchanged files are decoded once.

    A folder with several packagings is fine: the binary version goes before the Python one, and an extracted folder
    before a tar archive. An extracted folder without any file of images is passed over.

    Args:
        path: a folder that holds the archive or its extracted folder under an official name, or one of the two itself.
        name: "cifar10" or "cifar100".

    Raises:
        ArgumentError: `name` is neither.
        DatasetError: nothing was found, or what was found is cut short, incomplete or damaged.
    """
    if name not in _LAYOUTS:
        raise ArgumentError(f"`name` must be one of {sorted(_LAYOUTS)}, got '{name}'.")
    source = _find(Path(path), name).resolve()
    return _read(source, name, _stamp(source, name))


def _find(path: Path, name: str) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise DatasetError(f"there is no folder or file `{path}`; give the one that holds the archive of {name}.")
    for layout in _LAYOUTS[name]:
        if _holds_images(path / layout.folder, layout):
            return path / layout.folder
        for archive in _archives(layout):
            if (path / archive).is_file():
                return path / archive
    if any(_holds_images(path, layout) for layout in _LAYOUTS[name]):
        return path
    expected = [place for layout in _LAYOUTS[name] for place in (f"{layout.folder}/", *_archives(layout))]
    raise DatasetError(f"`{path}` holds no archive of {name}; put one of these there: {', '.join(expected)}.")


def _archives(layout: _Layout) -> list[str]:
    suffixes = (".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar")
    return [layout.archive + suffix for suffix in suffixes]


def _holds_images(folder: Path, layout: _Layout) -> bool:
    return any((folder / file).is_file() for file in layout.images)


def _stamp(source: Path, name: str) -> tuple[tuple[str, int, int], ...]:
    """What tells that files changed since they were read."""
    files = [source] if source.is_file() else [source / file for file in _wanted(name) if (source / file).is_file()]
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def _wanted(name: str) -> list[str]:
    return [file for layout in _LAYOUTS[name] for file in (*layout.images, layout.names)]


@lru_cache(maxsize=2)  # one of each data set; CIFAR-10 takes 180 MB
def _read(source: Path, name: str, _: object) -> CifarArchive:
    contents = (_read_tar if source.is_file() else _read_folder)(source, _wanted(name))
    layout = next((layout for layout in _LAYOUTS[name] if any(file in contents for file in layout.images)), None)
    if layout is None:
        raise DatasetError(f"`{source}` holds no file of {name}; expected {' or '.join(_expected_files(name))}.")
    missing = [file for file in (*layout.images, layout.names) if file not in contents]
    if missing:
        raise DatasetError(f"`{source}` lacks {', '.join(missing)}; download or extract the archive again.")
    training, test = _part(contents, layout, layout.training), _part(contents, layout, (layout.test,))
    names = layout.decode_names(contents[layout.names], layout.names)
    return CifarArchive(name, training, test, names, _sha256(training, test))


def _expected_files(name: str) -> list[str]:
    return [f"{layout.training[0]} and the like" for layout in _LAYOUTS[name]]


def _read_folder(folder: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    return {file: (folder / file).read_bytes() for file in wanted if (folder / file).is_file()}


def _read_tar(path: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                file = PurePosixPath(member.name).name
                content = archive.extractfile(member) if file in wanted and member.isfile() else None
                if content is None:
                    continue
                if file in contents:
                    raise DatasetError(f"`{path}` holds {file} twice; use the official archive.")
                contents[file] = content.read()
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise DatasetError(
            f"`{path}` is cut short, damaged or no tar archive ({type(error).__name__}); download it again."
        ) from None
    return contents


def _part(contents: Mapping[str, bytes], layout: _Layout, files: Sequence[str]) -> LabelledImages:
    records = [layout.decode(contents[file], file) for file in files]
    images = np.concatenate([images for images, _ in records])
    labels = np.concatenate([labels for _, labels in records])
    if len(labels) == 0:
        raise DatasetError(f"{', '.join(files)} hold no image; download the archive again.")
    position = np.arange(len(labels), dtype=np.int64)
    for array in (images, labels, position):
        array.setflags(write=False)
    return LabelledImages(images, labels, position)


def _sha256(*parts: LabelledImages) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.images.shape}".encode())
        digest.update(part.images.tobytes())
        digest.update(part.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _decode_binary(content: bytes, file: str, *, label_counts: tuple[int, ...]) -> _Records:
    """Records of one byte a label (CIFAR-100: coarse, then fine) and 1024 bytes each of red, green and blue."""
    size = len(label_counts) + _IMAGE_BYTES
    if len(content) % size:
        raise DatasetError(
            f"`{file}` must be whole records of {size} bytes, it has {len(content)} bytes; it is cut short or of the "
            "other data set."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    for column, count in enumerate(label_counts):
        _check_labels(records[:, column], count, file)
    images = records[:, len(label_counts) :].reshape(-1, *IMAGE_SHAPE)
    return images, records[:, len(label_counts) - 1].astype(np.int64)


def _decode_pickled(content: bytes, file: str, *, key: str, classes: int) -> _Records:
    batch = read_pickled(content, file)
    images, labels = batch.get("data"), batch.get(key)
    if not isinstance(images, np.ndarray) or images.shape[1:] != (_IMAGE_BYTES,):
        raise DatasetError(f"`{file}` must hold `data` of {_IMAGE_BYTES} bytes an image; download the archive again.")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or len(labels) != len(images):
        raise DatasetError(f"`{file}` must hold `{key}`, one whole number for each of its {len(images)} images.")
    _check_labels(np.array(labels), classes, file)
    return np.ascontiguousarray(images).reshape(-1, *IMAGE_SHAPE), np.array(labels, dtype=np.int64)


def _check_labels(labels: NDArray[Any], count: int, file: str) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= count))
    if wrong.size:
        raise DatasetError(
            f"`{file}` must hold labels 0 to {count - 1}, record {wrong[0]} has {labels[wrong[0]]}; the file is "
            "damaged or of the other data set."
        )


def _decode_text_names(content: bytes, file: str, *, classes: int) -> tuple[str, ...]:
    return _checked_names(content.decode("latin1").split(), file, classes)


def _decode_pickled_names(content: bytes, file: str, *, key: str, classes: int) -> tuple[str, ...]:
    names = read_pickled(content, file).get(key)
    found = names if isinstance(names, list) else []
    return _checked_names(
        [name.decode("latin1") if isinstance(name, bytes) else str(name) for name in found], file, classes
    )


def _checked_names(names: Sequence[str], file: str, classes: int) -> tuple[str, ...]:
    if len(names) != classes:
        raise DatasetError(f"`{file}` must name {classes} classes, it names {len(names)}; extract the archive again.")
    return tuple(names)


_LAYOUTS = {
    "cifar10": (
        _Layout(
            folder="cifar-10-batches-bin",
            archive="cifar-10-binary",
            training=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            test="test_batch.bin",
            names="batches.meta.txt",
            decode=partial(_decode_binary, label_counts=(10,)),
            decode_names=partial(_decode_text_names, classes=10),
        ),
        _Layout(
            folder="cifar-10-batches-py",
            archive="cifar-10-python",
            training=tuple(f"data_batch_{number}" for number in range(1, 6)),
            test="test_batch",
            names="batches.meta",
            decode=partial(_decode_pickled, key="labels", classes=10),
            decode_names=partial(_decode_pickled_names, key="label_names", classes=10),
        ),
    ),
    "cifar100": (
        _Layout(
            folder="cifar-100-binary",
            archive="cifar-100-binary",
            training=("train.bin",),
            test="test.bin",
            names="fine_label_names.txt",
            decode=partial(_decode_binary, label_counts=(20, 100)),
            decode_names=partial(_decode_text_names, classes=100),
        ),
        _Layout(
            folder="cifar-100-python",
            archive="cifar-100-python",
            training=("train",),
            test="test",
            names="meta",
            decode=partial(_decode_pickled, key="fine_labels", classes=100),
            decode_names=partial(_decode_pickled_names, key="fine_label_names", classes=100),
        ),
    ),
}
