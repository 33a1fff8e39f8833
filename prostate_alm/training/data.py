"""The data of one member: its share of the datalist, and a cache of prepared images that members share."""

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.data.dataloader import DataLoader
from monai.transforms.compose import Compose
from torch.utils.data import Dataset, Sampler

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.datasets.splits import member_split
from prostate_alm.errors import ArgumentError
from prostate_alm.losses import ClassAwareBatchSampler
from prostate_alm.networks.weights import load_weights, save_atomically

FILES = ("t2", "dwi", "adc")
NOT_OF_THE_IMAGE = ("label", "fold")
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
        counts: training entries of label 0 and of label 1.
        num_samples: one more than the largest index of the training and validation entries.
        sha256: of the datalist.
    """

    def __init__(self, datalist: str | Path, *, member: int, repeats: int, folds: int, seed: int) -> None:
        content = read_datalist(Path(datalist))
        entries = content.entries("training")
        self.training, self.validation = member_split(entries, member=member, repeats=repeats, folds=folds, seed=seed)
        self.test = content.entries("test")
        positives = sum(int(entry["label"]) for entry in self.training)
        self.counts = (len(self.training) - positives, positives)
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
        augment: random steps, and others that are not to be cached.
        cache_dir: folder of the files; members, repeats and runs share it. A file's name is a hash of the entry, its
            images' size and time of change, and the transforms' arguments, so a change makes a new file. Label and
            fold are no part of it: the label is the datalist's own each time, and one that was corrected, or shuffled
            for a permutation test, prepares no image again.
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
        prepared = load_weights(path)
        return self.augment({**prepared, "label": entry["label"]} if "label" in prepared else prepared)

    def _name(self, entry: Entry) -> str:
        stats = [Path(entry[key]).stat() for key in FILES if entry.get(key)]
        images = {name: value for name, value in entry.items() if name not in NOT_OF_THE_IMAGE}
        content = [images, [[stat.st_size, stat.st_mtime_ns] for stat in stats], self._arguments]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def study_loader(
    dataset: CachedDataset,
    *,
    batch_size: int,
    critical_per_batch: int = 0,
    seed: int = 0,
    sampler: Sampler[int] | None = None,
) -> DataLoader:
    """Loader of shuffled training batches, all of them full: a batch of one has no batch statistics.

    Args:
        dataset: made into batches.
        batch_size: studies a batch.
        critical_per_batch: > 0 puts so many patients who need DCE into each batch; an epoch is then one pass over the
            others.
        seed: of the class-aware batches.
        sampler: of the rows of this process, where several train together; None shuffles by torch's generator.

    Raises:
        ArgumentError: there are fewer studies than fill one batch, class-aware batches can't be filled, or a `sampler`
            is to share them out.
    """
    if critical_per_batch == 0:
        if len(dataset) < batch_size:
            raise ArgumentError(
                f"`batch_size` is {batch_size}, and a member trains on {len(dataset)} studies; set it to at most that."
            )
        return DataLoader(dataset, batch_size=batch_size, shuffle=sampler is None, sampler=sampler, drop_last=True)
    if sampler is not None:
        raise ArgumentError(
            "class-aware batches are drawn by one process for itself; train with one process, or set "
            "`critical_per_batch` to 0."
        )
    labels = [int(entry["label"]) for entry in dataset.data]
    batches = ClassAwareBatchSampler(labels, batch_size=batch_size, critical=critical_per_batch, seed=seed)
    return DataLoader(dataset, batch_sampler=batches)
