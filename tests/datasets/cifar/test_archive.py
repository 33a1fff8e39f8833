"""Each official packaging of the same images reads alike; what is broken is refused before any training."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from prostate_alm.datasets.cifar.archive import read_cifar
from prostate_alm.errors import ArgumentError, DatasetError

NAMES = ["cifar10", "cifar100"]
STEMS = {"cifar10": "cifar-10", "cifar100": "cifar-100"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", ["binary", "python2", "python3"])
@pytest.mark.parametrize("packing", ["folder", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2"])
def test_each_packaging_holds_the_same_images(
    tiny: SimpleNamespace, tmp_path: Path, name: str, version: str, packing: str
) -> None:
    files = tiny.files(name, version)
    if packing == "folder":
        tiny.extract(tmp_path, files)
    else:
        tiny.tar(tmp_path / f"{STEMS[name]}-{version.rstrip('23')}{packing}", files)
    archive = read_cifar(tmp_path, name)
    for part, (images, labels) in zip((archive.training, archive.test), tiny.parts[name], strict=True):
        assert np.array_equal(part.images, images)
        assert np.array_equal(part.labels, labels)
        assert (part.images.dtype, part.labels.dtype) == (np.uint8, np.int64)
        assert part.position.tolist() == list(range(len(labels))) == list(range(len(part)))
    assert archive.class_names[:2] == (("airplane", "automobile") if name == "cifar10" else ("class0", "class1"))
    assert archive.classes == (10 if name == "cifar10" else 100)
    direct = next(tmp_path.iterdir())
    assert read_cifar(direct, name).sha256 == archive.sha256


def test_the_hash_is_of_the_data_and_not_of_the_packaging(tiny: SimpleNamespace, tmp_path: Path) -> None:
    hashes: set[str] = set()
    for version in ("binary", "python2", "python3"):
        tiny.extract(tmp_path / version, tiny.files("cifar10", version))
        hashes.add(read_cifar(tmp_path / version, "cifar10").sha256)
    assert len(hashes) == 1
    files = tiny.files("cifar10", "binary")
    changed = bytearray(files["cifar-10-batches-bin/test_batch.bin"])
    changed[-1] ^= 1
    tiny.extract(tmp_path / "changed", {**files, "cifar-10-batches-bin/test_batch.bin": bytes(changed)})
    assert read_cifar(tmp_path / "changed", "cifar10").sha256 not in hashes


def test_planes_are_red_green_blue_in_rows(tmp_path: Path, tiny: SimpleNamespace) -> None:
    record = bytearray(1 + 3072)
    record[0] = 7
    record[1 + 1], record[1 + 1024 + 32], record[1 + 2048 + 1023] = 10, 20, 30
    files = {**tiny.files("cifar10", "binary"), "cifar-10-batches-bin/test_batch.bin": bytes(record)}
    tiny.extract(tmp_path, files)
    test = read_cifar(tmp_path, "cifar10").test
    assert test.labels.tolist() == [7]
    assert [tuple(map(int, place)) for place in np.argwhere(test.images[0])] == [(0, 0, 1), (1, 1, 0), (2, 31, 31)]
    assert test.images[0][test.images[0] > 0].tolist() == [10, 20, 30]


def test_the_binary_version_goes_before_the_python_one(tiny: SimpleNamespace, tmp_path: Path) -> None:
    tiny.tar(tmp_path / "cifar-10-binary.tar", tiny.files("cifar10", "binary"))
    tiny.extract(tmp_path, dict.fromkeys(tiny.files("cifar10", "python2"), b"broken"))
    assert len(read_cifar(tmp_path, "cifar10").training) == 28


@pytest.mark.parametrize("left", [{}, {"cifar-10-batches-bin/readme.html": b"CIFAR-10"}])
def test_an_extracted_folder_without_images_is_passed_over(
    tiny: SimpleNamespace, tmp_path: Path, left: dict[str, bytes]
) -> None:
    (tmp_path / "cifar-10-batches-bin").mkdir()
    tiny.extract(tmp_path, left)
    with pytest.raises(DatasetError, match="holds no archive of cifar10"):
        read_cifar(tmp_path, "cifar10")
    tiny.tar(tmp_path / "cifar-10-python.tar.gz", tiny.files("cifar10", "python2"))
    assert len(read_cifar(tmp_path, "cifar10").training) == 28


def test_an_extracted_folder_with_some_images_is_incomplete(tiny: SimpleNamespace, tmp_path: Path) -> None:
    files = tiny.files("cifar10", "binary")
    tiny.tar(tmp_path / "cifar-10-binary.tar", files)
    _drop(files, "cifar-10-batches-bin/")
    tiny.extract(tmp_path, files)
    with pytest.raises(DatasetError, match=r"lacks data_batch_3\.bin"):
        read_cifar(tmp_path, "cifar10")


def test_one_folder_serves_both_data_sets(tiny: SimpleNamespace, tmp_path: Path) -> None:
    for name in NAMES:
        tiny.tar(tmp_path / f"{STEMS[name]}-binary.tar.gz", tiny.files(name, "binary"))
    assert [len(read_cifar(tmp_path, name).training) for name in NAMES] == [28, 100]


def test_unchanged_files_are_decoded_once_and_changed_ones_again(tiny: SimpleNamespace, tmp_path: Path) -> None:
    tiny.extract(tmp_path, tiny.files("cifar10", "binary"))
    first = read_cifar(tmp_path, "cifar10")
    assert read_cifar(str(tmp_path / "cifar-10-batches-bin"), "cifar10") is first
    file = tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin"
    file.write_bytes(file.read_bytes()[3073:])
    assert len(read_cifar(tmp_path, "cifar10").training) == 27


def test_arrays_that_runs_share_cannot_be_written_to(tiny: SimpleNamespace, tmp_path: Path) -> None:
    tiny.extract(tmp_path, tiny.files("cifar10", "binary"))
    training = read_cifar(tmp_path, "cifar10").training
    for array in (training.images, training.labels, training.position):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_nothing_found_names_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cifar-10-batches-bin/, cifar-10-binary\.tar\.gz"):
        read_cifar(tmp_path, "cifar10")
    with pytest.raises(DatasetError, match=r"no folder or file `.*missing`"):
        read_cifar(tmp_path / "missing", "cifar10")
    with pytest.raises(ArgumentError, match=r"\['cifar10', 'cifar100'\], got 'mnist'"):
        read_cifar(tmp_path, "mnist")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_a_truncated_archive_is_refused(tiny: SimpleNamespace, tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cifar-10-binary{suffix}"
    tiny.tar(path, tiny.files("cifar10", "binary"))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(DatasetError, match=r"cut short|lacks|holds no file"):
        read_cifar(tmp_path, "cifar10")


@pytest.mark.parametrize("cut", range(0, 100_000, 9_973))
def test_a_tar_cut_anywhere_is_refused_or_whole(tiny: SimpleNamespace, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cifar-10-binary.tar"
    tiny.tar(path, tiny.files("cifar10", "binary"))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DatasetError):
        read_cifar(path, "cifar10")


def _drop(files: dict[str, bytes], prefix: str) -> None:
    del files[f"{prefix}data_batch_3.bin"]


def _cut(files: dict[str, bytes], prefix: str) -> None:
    files[f"{prefix}data_batch_3.bin"] = files[f"{prefix}data_batch_3.bin"][:-1]


def _mislabel(files: dict[str, bytes], prefix: str) -> None:
    files[f"{prefix}data_batch_3.bin"] = b"\x0a" + files[f"{prefix}data_batch_3.bin"][1:]


def _empty(files: dict[str, bytes], prefix: str) -> None:
    files[f"{prefix}test_batch.bin"] = b""


def _unname(files: dict[str, bytes], prefix: str) -> None:
    files[f"{prefix}batches.meta.txt"] = b"airplane\nautomobile\n"


def _repeat(files: dict[str, bytes], prefix: str) -> None:
    files["again/test_batch.bin"] = files[f"{prefix}test_batch.bin"]


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (_drop, r"lacks data_batch_3\.bin"),
        (_cut, r"`data_batch_3\.bin` must be whole records of 3073 bytes"),
        (_mislabel, r"`data_batch_3\.bin` must hold labels 0 to 9, record 0 has 10"),
        (_empty, r"test_batch\.bin hold no image"),
        (_unname, "must name 10 classes, it names 2"),
        (_repeat, r"holds test_batch\.bin twice"),
    ],
)
def test_a_broken_binary_archive_is_refused(
    tiny: SimpleNamespace, tmp_path: Path, breaks: Callable[[dict[str, bytes], str], None], message: str
) -> None:
    files = tiny.files("cifar10", "binary")
    breaks(files, "cifar-10-batches-bin/")
    tiny.tar(tmp_path / "cifar-10-binary.tar", files)
    with pytest.raises(DatasetError, match=message):
        read_cifar(tmp_path, "cifar10")


@pytest.mark.parametrize(("column", "byte", "limit"), [(0, 20, 19), (1, 100, 99)])
def test_both_label_bytes_of_cifar100_are_checked(
    tiny: SimpleNamespace, tmp_path: Path, column: int, byte: int, limit: int
) -> None:
    files = tiny.files("cifar100", "binary")
    content = bytearray(files["cifar-100-binary/train.bin"])
    content[3 * 3074 + column] = byte
    tiny.extract(tmp_path, {**files, "cifar-100-binary/train.bin": bytes(content)})
    with pytest.raises(DatasetError, match=f"labels 0 to {limit}, record 3 has {byte}"):
        read_cifar(tmp_path, "cifar100")


def test_the_other_data_set_is_refused(tiny: SimpleNamespace, tmp_path: Path) -> None:
    tiny.tar(tmp_path / "any.tar", tiny.files("cifar100", "binary"))
    with pytest.raises(DatasetError, match=r"holds no file of cifar10; expected data_batch_1\.bin"):
        read_cifar(tmp_path / "any.tar", "cifar10")


class Command:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_and_runs_nothing(tiny: SimpleNamespace, tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "made"
    bomb = pickle.dumps({"data": Command(target), "labels": []}, protocol=protocol)
    tiny.extract(tmp_path, {**tiny.files("cifar10", "python2"), "cifar-10-batches-py/data_batch_2": bomb})
    with pytest.raises(DatasetError, match=r"`data_batch_2` asks for `(posix|nt|os)\.mkdir`.* do not use it"):
        read_cifar(tmp_path, "cifar10")
    assert not target.exists()
    pickle.loads(bomb)  # it would have worked
    assert target.exists()


@pytest.mark.parametrize(
    "name", [b"numpy\nload", b"numpy.core.multiarray\nscalar", b"builtins\neval", b"_codecs\nencode"]
)
def test_names_beside_those_of_an_array_are_refused(tiny: SimpleNamespace, tmp_path: Path, name: bytes) -> None:
    content = b"c" + name + b"\n."
    tiny.extract(tmp_path, {**tiny.files("cifar10", "python2"), "cifar-10-batches-py/data_batch_2": content})
    with pytest.raises(DatasetError, match="asks for"):
        read_cifar(tmp_path, "cifar10")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"labels": [1]}, "must hold `data`"),
        ({"data": np.zeros((1, 3071), np.uint8), "labels": [1]}, "must hold `data` of 3072 bytes"),
        ({"data": np.zeros((1, 3072), np.float32), "labels": [1]}, "holds `f4`"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [1, 2]}, "`labels`, one whole number for each of its 1"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]}, "`labels`, one whole number"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, "labels 0 to 9, record 0 has 10"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [-1]}, "labels 0 to 9, record 0 has -1"),
    ],
)
def test_a_broken_batch_is_refused(
    tiny: SimpleNamespace, tmp_path: Path, batch: dict[str, object], message: str
) -> None:
    content = tiny.pickled(batch, 2)
    tiny.extract(tmp_path, {**tiny.files("cifar10", "python2"), "cifar-10-batches-py/data_batch_2": content})
    with pytest.raises(DatasetError, match=message):
        read_cifar(tmp_path, "cifar10")


@pytest.mark.parametrize("protocol", range(6))
def test_which_protocols_of_python_3_are_read(tiny: SimpleNamespace, tmp_path: Path, protocol: int) -> None:
    files, (images, labels) = tiny.files("cifar10", "python3"), tiny.parts["cifar10"][1]
    batch = {b"data": images.reshape(10, -1), b"labels": labels.tolist()}
    tiny.extract(tmp_path, {**files, "cifar-10-batches-py/test_batch": pickle.dumps(batch, protocol)})
    if protocol in {3, 4}:
        assert np.array_equal(read_cifar(tmp_path, "cifar10").test.images, images)
    else:
        with pytest.raises(DatasetError, match="asks for"):
            read_cifar(tmp_path, "cifar10")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x02]q\x00.", b"\x80\x04\x95"])
def test_a_file_that_is_no_batch_is_refused(tiny: SimpleNamespace, tmp_path: Path, content: bytes) -> None:
    tiny.extract(tmp_path, {**tiny.files("cifar10", "python2"), "cifar-10-batches-py/data_batch_2": content})
    with pytest.raises(DatasetError, match=r"`data_batch_2` (is no readable pickle|must hold a dictionary)"):
        read_cifar(tmp_path, "cifar10")


def test_a_cut_pickle_is_refused_wherever_it_is_cut(tiny: SimpleNamespace, tmp_path: Path) -> None:
    files = tiny.files("cifar10", "python2")
    whole = files["cifar-10-batches-py/data_batch_2"]
    for cut in range(0, len(whole), 997):
        tiny.extract(tmp_path, {**files, "cifar-10-batches-py/data_batch_2": whole[:cut]})
        with pytest.raises(DatasetError, match="data_batch_2"):
            read_cifar(tmp_path, "cifar10")


def test_an_array_in_column_order_is_read_in_its_order(tiny: SimpleNamespace, tmp_path: Path) -> None:
    images = tiny.parts["cifar10"][1][0].reshape(10, -1)
    content = tiny.pickled({"data": np.asfortranarray(images), "labels": list(range(10))}, 3)
    tiny.extract(tmp_path, {**tiny.files("cifar10", "python3"), "cifar-10-batches-py/test_batch": content})
    assert np.array_equal(read_cifar(tmp_path, "cifar10").test.images.reshape(10, -1), images)


@pytest.mark.skipif("PROSTATE_ALM_DATA" not in os.environ, reason="PROSTATE_ALM_DATA names no folder of real data")
def test_the_real_archives_have_whole_test_parts_and_their_names() -> None:
    folder = os.environ["PROSTATE_ALM_DATA"]
    if not list(Path(folder).glob("cifar-10*")) or not list(Path(folder).glob("cifar-100*")):
        pytest.skip("the folder of real data holds no CIFAR archives")
    ten, hundred = read_cifar(folder, "cifar10"), read_cifar(folder, "cifar100")
    assert np.bincount(ten.test.labels).tolist() == [1000] * 10
    assert ten.class_names[0::9] == ("airplane", "truck")
    assert [hundred.class_names[c] for c in (4, 30, 55, 72, 95, 73)] == [
        "beaver", "dolphin", "otter", "seal", "whale", "shark",
    ]  # fmt: skip
