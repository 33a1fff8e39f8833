"""The data of one member: its share of the datalist, and a cache of prepared images that members share."""

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.transforms.compose import Compose
from torch.utils.data import Dataset

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.datasets.splits import member_split
from prostate_alm.networks.weights import load_weights, save_atomically

FILES = ("t2", "dwi", "adc")
Entry = Mapping[str, Any]


class MemberData:
    """What member `member` of R repeats of an F-fold split trains on and is validated on.

    Args:
        datalist: path of `datalist.json`.
        member: 0 to R F - 1; member m validates on fold m % F of repeat m // F.
        repeats: R.
        folds: F.
        seed: of the split; the same for all members.

    Attributes:
        training: entries with absolute paths.
        validation: entries with absolute paths.
        test: entries that no member ever sees.
        num_samples: one more than the largest index of the training and validation entries.
        sha256: of the datalist.
    """

    def __init__(self, datalist: str | Path, *, member: int, repeats: int, folds: int, seed: int) -> None:
        content = read_datalist(Path(datalist))
        entries = content.entries("training")
        self.training, self.validation = member_split(entries, member=member, repeats=repeats, folds=folds, seed=seed)
        self.test = content.entries("test")
        self.num_samples = max(int(entry["index"]) for entry in entries) + 1
        self.sha256 = content.sha256


class CachedDataset(Dataset[dict[str, Any]]):
    """Entries after their deterministic transforms, each computed once and kept in a file, then augmented.

    MONAI's `PersistentDataset` moves its files in from the system's temporary folder: across file systems that is a
    copy, and a member reading at that moment, or after a kill, stops on half a file. Here a file is renamed into
    place.

    Args:
        data: entries of a datalist.
        transform: deterministic steps from an entry to tensors, strings and numbers.
        augment: random steps, never cached.
        cache_dir: folder of the files; members and repeats share it. A file's name is a hash of the entry, its
            images' size and time of change, and the transforms' arguments, so a change makes a new file.
    """

    def __init__(
        self,
        data: Sequence[Entry],
        transform: Sequence[Callable[[Any], Any]],
        *,
        cache_dir: str,
        augment: Sequence[Callable[[Any], Any]] = (),
    ) -> None:
        self.data = data
        self.prepare: Callable[[Any], Any] = Compose(list(transform))
        self.augment: Callable[[Any], Any] = Compose(list(augment))
        self.cache_dir = Path(cache_dir)
        self._arguments = hashlib.sha256(pickle.dumps(list(transform))).hexdigest()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, item: int) -> dict[str, Any]:
        entry = self.data[item]
        path = self.cache_dir / f"{self._name(entry)}.pt"
        if not path.is_file():
            save_atomically(self.prepare(dict(entry)), path)
        return self.augment(load_weights(path))

    def _name(self, entry: Entry) -> str:
        stats = [Path(entry[key]).stat() for key in FILES if entry.get(key)]
        content = [dict(entry), [[stat.st_size, stat.st_mtime_ns] for stat in stats], self._arguments]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
