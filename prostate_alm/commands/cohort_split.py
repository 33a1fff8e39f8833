"""`prostate-alm cohort split`: a test side and folds, patient by patient, each with its share of the few."""

from collections import Counter
from pathlib import Path

from rich.console import Console

from prostate_alm.datasets.datalist import read_datalist, write_datalist
from prostate_alm.datasets.stratified_split import split_datalist
from prostate_alm.errors import CohortError

IMPORTED = ("datalist.json", "import_report.json")  # what lies in the folder of an import


def split_cohort(datalist: Path, out: Path, *, folds: int, test_share: float | None, seed: int) -> None:
    """Write the datalist with folds to `out` and say how many patients of each label every part has.

    Args:
        datalist: to be split.
        out: beside it, since paths in a datalist are relative to its folder; may be the same file, but not the one
            that `cohort import` writes.
        folds: of the training side.
        test_share: share of the patients for a new test side; None keeps the one that is there.
        seed: of the draws.

    Raises:
        CohortError: `out` lies elsewhere or is that of the import, the datalist can't be used, or there are too few of
            a label.
        ArgumentError: `folds` or `test_share` is out of range.
    """
    if out.resolve().parent != datalist.resolve().parent:
        raise CohortError(f"`out` must lie beside `{datalist.name}`: the paths in it are relative to that folder.")
    if out.name == IMPORTED[0] and (out.parent / IMPORTED[1]).exists():
        raise CohortError(
            f"`{out.name}` is written anew by each `cohort import`, and the folds would be lost; give `--out` another "
            "name, such as split.json."
        )
    split = split_datalist(read_datalist(datalist), folds=folds, test_share=test_share, seed=seed)
    write_datalist(split, out)
    console = Console()
    parts = {f"fold {fold}": [e for e in split.training if e.fold == fold] for fold in range(folds)}
    for name, entries in {**parts, "test": split.test}.items():
        counts = Counter(label for _, label in {(entry.patient, entry.label) for entry in entries})
        console.print(f"{name}: {len(entries)} studies; patients with label 1: {counts[1]}, with label 0: {counts[0]}")
