"""Damage to the files of a DICOM study, drawn from a seed: bytes, headers, values, whole files, whole series.

A mutant is a set of changed files. It also says whether the headers of the changed study still hold something that
contradicts a changed geometry (`shows`): one image against the rest of its series, one b-value or the ADC against the
diffusion. What was done alike to a whole T2 series, or cut off its ends, contradicts nothing.
"""

import copy
import io
import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

Change = Callable[[Dataset], object]
GEOMETRY_TAGS = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"),
    *("SliceThickness", "SpacingBetweenSlices", "SliceLocation", "FrameOfReferenceUID"),
)
B_VALUE_TAGS = (0x0018_9087, 0x0019_100C, 0x0018_0024, 0x0019_0010, 0x0008_103E)
IDENTITY_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "SeriesNumber"),
    *("AcquisitionNumber", "InstanceNumber"),
)
SEQUENCE_TAGS = (
    *("ImageType", "ScanningSequence", "SequenceName", "SeriesDescription", "EchoTime", "RepetitionTime"),
    *("AcquisitionTime", "AcquisitionDate", "Modality", "Manufacturer", "SpecificCharacterSet", "ContrastBolusAgent"),
)
PIXEL_TAGS = (
    *("RescaleSlope", "RescaleIntercept", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
)


@dataclass(frozen=True)
class StudyFiles:
    """The files of an undamaged study.

    Attributes:
        root: where they lie.
        series: paths below `root` by series number, each ordered along the slice normal.
        chosen: the series number that is read for each role: t2, dwi, adc.
    """

    root: Path
    series: Mapping[int, tuple[Path, ...]]
    chosen: Mapping[str, int]

    def role_of(self, number: int) -> str:
        """What a series is read for; empty for one that is left aside."""
        return next((role for role, one in self.chosen.items() if one == number), "")


@dataclass(frozen=True)
class Mutant:
    """Damage to a study.

    Attributes:
        kind: one of `KINDS`.
        what: in words, for the record.
        files: new content by path; None for a file that is gone.
        shows: whether the headers contradict a geometry that this changes.
    """

    kind: str
    what: str
    files: Mapping[Path, bytes | None]
    shows: bool = True


def study_files(root: Path, chosen: Mapping[str, int]) -> StudyFiles:
    """Find the files of a study by series number; they are read with pydicom alone."""
    found: defaultdict[int, list[tuple[float, Path]]] = defaultdict(list)
    for path in sorted(one for one in root.rglob("*") if one.is_file()):
        image = dcmread(path, stop_before_pixels=True)
        axes = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3)
        place = float(np.cross(axes[0], axes[1]) @ np.array(image.ImagePositionPatient, dtype=float))
        found[int(image.SeriesNumber)].append((place, path.relative_to(root)))
    return StudyFiles(root, {number: tuple(path for _, path in sorted(of)) for number, of in found.items()}, chosen)


def mutant(study: StudyFiles, seed: int, index: int) -> Mutant:
    """Mutant `index` of a seed; kinds take turns."""
    kinds = list(KINDS)
    kind = kinds[index % len(kinds)]
    rng = random.Random(f"{seed} {index}")  # noqa: S311 - damage, not secrets
    what, files, shows = KINDS[kind](rng, study)
    return Mutant(kind, what, files, shows)


Damage = tuple[str, dict[Path, bytes | None], bool]


def _bit_in_header(rng: random.Random, study: StudyFiles) -> Damage:
    path, content, end = _one(rng, study)
    return _flip(rng, path, content, 0, end)


def _bit_in_geometry(rng: random.Random, study: StudyFiles) -> Damage:
    """In the value of an element that places the image, where most other bits mean nothing."""
    path, content, _ = _one(rng, study)
    spans = [span for tag, span in _elements(study.root / path).items() if tag in {Tag(one) for one in GEOMETRY_TAGS}]
    start, end = rng.choice(spans)
    return _flip(rng, path, content, start, end)


def _bit_in_pixels(rng: random.Random, study: StudyFiles) -> Damage:
    path, content, end = _one(rng, study)
    return _flip(rng, path, content, end, len(content))


def _flip(rng: random.Random, path: Path, content: bytearray, start: int, end: int) -> Damage:
    offset, bit = rng.randrange(start, end), rng.randrange(8)
    content[offset] ^= 1 << bit
    return f"bit {bit} of byte {offset}", {path: bytes(content)}, True


def _element_head(rng: random.Random, study: StudyFiles) -> Damage:
    """Tag, VR or length of an element."""
    path, content, _ = _one(rng, study)
    start, _ = rng.choice(list(_elements(study.root / path).values()))
    offset = start - rng.randint(1, 8)
    content[offset] = rng.randrange(256)
    return f"byte {offset}, before the value at {start}", {path: bytes(content)}, True


def _truncated(rng: random.Random, study: StudyFiles) -> Damage:
    path, content, end = _one(rng, study)
    length = rng.randrange(rng.choice([1, end, end]), len(content)) if rng.random() < 0.8 else rng.randrange(end)
    return f"cut to {length} of {len(content)} bytes", {path: bytes(content[:length])}, True


def _zeroed(rng: random.Random, study: StudyFiles) -> Damage:
    path, content, end = _one(rng, study)
    start = rng.randrange(rng.choice([end, len(content)]))
    length = min(rng.choice([4, 16, 64, 512, 4096]), len(content) - start)
    content[start : start + length] = bytes(length)
    return f"{length} bytes from {start} are 0", {path: bytes(content)}, True


def _deleted(rng: random.Random, study: StudyFiles) -> Damage:
    number = _series(rng, study)
    paths = study.series[number]
    if rng.random() < 0.25:
        return f"every second file of series {number} deleted", dict.fromkeys(paths[rng.randrange(2) :: 2]), True
    gone = rng.sample(paths, rng.choice([1, 1, 1, 2, 3]))
    at_edge = study.role_of(number) == "t2" and _is_edge(gone, paths)
    return f"{len(gone)} files of series {number} deleted", dict.fromkeys(gone), not at_edge


def _is_edge(gone: Sequence[Path], paths: Sequence[Path]) -> bool:
    """Whether what is left of a stack has no hole."""
    left = [index for index, path in enumerate(paths) if path not in gone]
    return left[-1] - left[0] + 1 == len(left)


def _series_deleted(rng: random.Random, study: StudyFiles) -> Damage:
    number = rng.choice(list(study.series))
    return f"series {number} deleted", dict.fromkeys(study.series[number]), False


def _doubled(rng: random.Random, study: StudyFiles) -> Damage:
    path, content, _ = _one(rng, study)
    image = dcmread(io.BytesIO(content))
    how = rng.choice(["under another name", "under another SOP instance UID", "with other pixels", "elsewhere"])
    if how == "under another SOP instance UID":
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"{image.SOPInstanceUID}.1")
    if how == "with other pixels":
        image.PixelData = bytes(image.PixelData[1:]) + b"\1"
    if how == "elsewhere":
        image.ImagePositionPatient = [value + rng.choice([0, 0.05, 3]) for value in image.ImagePositionPatient]
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"{image.SOPInstanceUID}.1")
    doubled = bytes(content) if how == "under another name" else _bytes(image)
    return f"a file twice, {how}", {path.with_name(f"again-{path.name}"): doubled}, True


def _swapped(tags: Sequence[int | str]) -> Callable[[random.Random, StudyFiles], Damage]:
    """The values of one element exchanged between two files."""

    def damage(rng: random.Random, study: StudyFiles) -> Damage:
        number = _series(rng, study)
        other = number if rng.random() < 0.6 else _series(rng, study)
        first, second = rng.choice(study.series[number]), rng.choice(study.series[other])
        images = [dcmread(study.root / one) for one in (first, second)]
        tag = _present(rng, tags, images[0])
        pair = [copy.deepcopy(image[tag]) if tag in image else None for image in images]
        for image, element in zip(images, reversed(pair), strict=True):
            if element is not None:
                image[tag] = element
            elif tag in image:
                del image[tag]
        changed: dict[Path, bytes | None] = {first: _bytes(images[0]), second: _bytes(images[1])}
        return f"{Tag(tag)} between series {number} and {other}", changed, True

    return damage


def _one_changed(tags: Sequence[int | str]) -> Callable[[random.Random, StudyFiles], Damage]:
    """One element of one file, or of some files of a series, changed alike."""

    def damage(rng: random.Random, study: StudyFiles) -> Damage:
        number = _series(rng, study)
        paths = study.series[number]
        some = rng.sample(paths, rng.choice([1, 1, 1, 1, len(paths) // 3, len(paths) // 2, len(paths) - 1]))
        return _changed(rng, study, tags, some, number)

    return damage


def _all_changed(tags: Sequence[int | str]) -> Callable[[random.Random, StudyFiles], Damage]:
    """One element of a whole series changed alike; T2 has nothing to contradict it, diffusion and ADC each other."""

    def damage(rng: random.Random, study: StudyFiles) -> Damage:
        number = _series(rng, study)
        what, files, _ = _changed(rng, study, tags, study.series[number], number)
        return what, files, study.role_of(number) in {"dwi", "adc"}

    return damage


def _stretched(rng: random.Random, study: StudyFiles) -> Damage:
    """All positions of a series moved apart or together, as if slices had another distance."""
    number = _series(rng, study)
    factor = rng.choice([0.5, 0.9, 1.1, 1.2, 2.0, -1.0])
    changed: dict[Path, bytes | None] = {}
    for path in study.series[number]:
        image = dcmread(study.root / path)
        image.ImagePositionPatient = [_decimal(float(value) * factor) for value in image.ImagePositionPatient]
        changed[path] = _bytes(image)
    return f"positions of series {number} times {factor}", changed, factor != -1.0 or study.role_of(number) != "t2"


def _changed(
    rng: random.Random, study: StudyFiles, tags: Sequence[int | str], paths: Sequence[Path], number: int
) -> Damage:
    tag = _present(rng, tags, dcmread(study.root / paths[0], stop_before_pixels=True))
    words, change = _draw_change(rng, tag)
    changed: dict[Path, bytes | None] = {}
    for path in paths:
        image = dcmread(study.root / path)
        change(image)
        changed[path] = _bytes(image)
    return f"{Tag(tag)} {words} in {len(paths)} files of series {number}", changed, True


def _draw_change(rng: random.Random, tag: int | str) -> tuple[str, Change]:
    """What happens to one element, the same for every image it is applied to."""
    state = rng.getrandbits(64)
    if rng.random() < 0.15:
        return "removed", lambda image: image.pop(tag, None)

    def change(image: Dataset) -> None:
        draw = random.Random(state)  # noqa: S311 - damage, not secrets
        if tag == "ImageOrientationPatient" and draw.random() < 0.5:
            image.ImageOrientationPatient = _turned(image, draw)
        elif tag in image:
            image[tag].value = _other(image[tag].value, draw)
        elif tag in ("RescaleSlope", "RescaleIntercept"):
            image.RescaleSlope, image.RescaleIntercept = 1, 0
            image[tag].value = draw.choice([0, 0.1, 2, 1000, -1])
        else:
            value = draw.choice([1, 2, 100])
            setattr(image, str(tag), value if dictionary_VR(tag) == "US" else str(value))

    return "changed", change


def _turned(image: Dataset, draw: random.Random) -> list[float]:
    """The orientation turned about a coordinate axis; it stays perpendicular and of length 1."""
    angle, axis = math.radians(draw.choice([0.05, 0.2, 0.5, 1, 5, 45, 90, 180])), draw.randrange(3)
    turn = np.eye(3)
    i, j = [other for other in range(3) if other != axis]
    turn[[i, i, j, j], [i, j, i, j]] = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    axes = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3) @ turn.T
    return [_decimal(value) for value in axes.ravel()]


def _other(value: Any, draw: random.Random) -> Any:
    """Another value of the same kind."""
    if isinstance(value, (bytes, bytearray)):
        at = draw.randrange(max(len(value), 1))
        return bytes(value[:at]) + bytes([draw.randrange(48, 58)]) + bytes(value[at + 1 :])
    if isinstance(value, str):
        at = draw.randrange(max(len(value), 1))
        return draw.choice([value[:at] + draw.choice("0123456789") + value[at + 1 :], value[:at], ""])
    if isinstance(value, Sequence):
        parts, at = list(value), draw.randrange(max(len(value), 1))
        if draw.random() < 0.2 or not parts:
            return draw.choice([parts[::-1], parts[:at], []])
        parts[at] = _other(parts[at], draw)
        return parts
    return None if value is None else _other_number(value, draw)


def _other_number(value: float, draw: random.Random) -> float:
    number = float(value)
    if isinstance(value, int):
        return int(draw.choice([number + 1, max(number - 1, 0), 2 * number, 0]))
    step = 10 ** draw.uniform(-3, 2)
    return _decimal(draw.choice([number + step, number - step, -number, 2 * number, 0.9 * number, 0.0]))


def _decimal(value: float) -> float:
    return float(f"{value:.9g}")


def _series(rng: random.Random, study: StudyFiles) -> int:
    """A series: mostly one of those that are read."""
    return rng.choice(list(study.chosen.values()) if rng.random() < 0.85 else list(study.series))


def _one(rng: random.Random, study: StudyFiles) -> tuple[Path, bytearray, int]:
    """A file, its content, and where its pixels begin."""
    path = rng.choice(study.series[_series(rng, study)])
    return path, bytearray((study.root / path).read_bytes()), _elements(study.root / path)[0x7FE0_0010][0]


def _elements(path: Path) -> dict[int, tuple[int, int]]:
    """Where the values of the top level lie in a file, by tag."""
    image = dcmread(path, defer_size=1024)
    raw = [image.get_item(tag, keep_deferred=True) for tag in image.keys()]  # noqa: SIM118 - iterating converts
    found = [one for one in raw if isinstance(one, RawDataElement) and one.length]
    return {int(one.tag): (one.value_tell, one.value_tell + one.length) for one in found}


def _present(rng: random.Random, tags: Sequence[int | str], image: Dataset) -> int | str:
    """One of the elements, mostly one that is there."""
    there = [tag for tag in tags if tag in image]
    return rng.choice(there if there and rng.random() < 0.9 else [tag for tag in tags if isinstance(tag, str)] or there)


def _bytes(image: Dataset) -> bytes:
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


KINDS: dict[str, Callable[[random.Random, StudyFiles], Damage]] = {
    "bit flipped in the header": _bit_in_header,
    "bit flipped in a geometry value": _bit_in_geometry,
    "bit flipped in the pixels": _bit_in_pixels,
    "byte of a tag, VR or length": _element_head,
    "truncated": _truncated,
    "block of zeros": _zeroed,
    "files deleted": _deleted,
    "series deleted": _series_deleted,
    "file doubled": _doubled,
    "geometry swapped between files": _swapped(GEOMETRY_TAGS),
    "identity swapped between files": _swapped(IDENTITY_TAGS),
    "sequence facts or b-value swapped": _swapped((*SEQUENCE_TAGS, *B_VALUE_TAGS)),
    "geometry changed in some images": _one_changed(GEOMETRY_TAGS),
    "geometry changed in a series": _all_changed(GEOMETRY_TAGS),
    "positions stretched in a series": _stretched,
    "rescale or encoding changed in some images": _one_changed(PIXEL_TAGS),
    "rescale or encoding changed in a series": _all_changed(PIXEL_TAGS),
    "b-value changed in some images": _one_changed(B_VALUE_TAGS),
    "b-value changed in a series": _all_changed(B_VALUE_TAGS),
    "identity changed in some images": _one_changed(IDENTITY_TAGS),
    "identity changed in a series": _all_changed(IDENTITY_TAGS),
    "sequence facts changed in some images": _one_changed(SEQUENCE_TAGS),
    "sequence facts changed in a series": _all_changed(SEQUENCE_TAGS),
}
