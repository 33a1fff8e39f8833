"""`prostate-alm evaluate`: an ensemble on patients that no member has seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import CohortError
from prostate_alm.evaluation.operating_point import OperatingPoint, OperatingPoints
from prostate_alm.evaluation.roc import auc, fpr_at_false_negatives
from prostate_alm.inference.ensemble import Ensemble, load_ensemble
from prostate_alm.parcel import sha256_of, write_json
from prostate_alm.readers.nifti import LoadStudy
from prostate_alm.report.roc_figure import save_roc_figure


def evaluate(ensemble: Path, *, datalist: Path, out: Path, device: str = "auto") -> dict[str, Any]:
    """Score the test section of `datalist`; write `metrics.json`, `scores.json` and `roc.png` to `out`.

    Thresholds that were fixed beforehand are applied to the test set; what the best threshold on the test set itself
    would give is kept apart under "test_set_oracle".

    Raises:
        CohortError: the test section is empty.
        EnsembleError: the ensemble can't be used.
    """
    entries = read_datalist(datalist).entries("test")
    if not entries:
        raise CohortError(f"{datalist.name} has no `test` section; evaluation needs patients that no member has seen.")
    loaded = load_ensemble(ensemble, device=device)
    points = OperatingPoints.from_json(loaded.operating_points_json).points
    rows = _score(loaded, entries)
    labels, logits = np.array([row["label"] for row in rows]), np.array([row["logit"] for row in rows])
    metrics = {
        "ensemble": {"name": loaded.manifest.name, "sha256": loaded.sha256},
        "datalist_sha256": sha256_of(datalist),
        "patients": len(rows),
        "positives": int(labels.sum()),
        "auc": auc(logits, labels),
        "member_auc": [auc([row["member_logits"][m] for row in rows], labels) for m in range(loaded.manifest.members)],
        "fixed_thresholds": [_at_threshold(point, logits, labels) for point in points],
        "test_set_oracle": {f"fpr_at_{k}_fn": fpr_at_false_negatives(logits, labels, k) for k in (0, 1)},
        "auc_by_reason": _auc_by_reason(rows),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "metrics.json", metrics)
    write_json(out / "scores.json", rows)
    save_roc_figure(out / "roc.png", logits, labels=labels, points=points, title="Unseen patients")
    _print(metrics)
    return metrics


def _score(ensemble: Ensemble, entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a patient, in the order of the datalist."""
    load = LoadStudy()
    rows: list[dict[str, Any]] = []
    for entry in track(entries, description="scoring unseen patients", console=Console(stderr=True)):
        score = ensemble.score(load(entry)["study"])
        facts = {name: entry[name] for name in ("index", "study", "label")} | {"reason": entry.get("reason", "")}
        rows.append({**facts, "logit": score.logit, "member_logits": list(score.member_logits)})
    return rows


def _at_threshold(point: OperatingPoint, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """What a threshold fixed beforehand does to the test set."""
    positive = logits >= point.threshold
    return {
        "name": point.name,
        "threshold": point.threshold,
        "missed": int((~positive & (labels == 1)).sum()),
        "spared": int((~positive & (labels == 0)).sum()),
        "sensitivity": float(positive[labels == 1].mean()),
        "specificity": float((~positive[labels == 0]).mean()),
        "miss_rate_upper_95_beforehand": point.miss_rate_upper_95,
    }


def _auc_by_reason(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """AUC of each kind of positive against all negatives, where the datalist names the kind."""
    negatives = [row["logit"] for row in rows if row["label"] == 0]
    kinds = sorted({row["reason"] for row in rows if row["label"] == 1 and row["reason"]})
    groups = {kind: [row["logit"] for row in rows if row["label"] == 1 and row["reason"] == kind] for kind in kinds}
    return {k: auc(scores + negatives, [1] * len(scores) + [0] * len(negatives)) for k, scores in groups.items()}


def _print(metrics: dict[str, Any]) -> None:
    oracle = metrics["test_set_oracle"]
    table = Table(
        title=f"{metrics['patients']} unseen patients, {metrics['positives']} need DCE: AUC {metrics['auc']:.3f}"
    )
    for column in ("threshold fixed beforehand", "missed", "sensitivity", "spared DCE", "specificity"):
        table.add_column(column)
    for row in metrics["fixed_thresholds"]:
        cells = (row["name"], row["missed"], f"{row['sensitivity']:.1%}", row["spared"], f"{row['specificity']:.1%}")
        table.add_row(*(str(cell) for cell in cells))
    console = Console(stderr=True)
    console.print(table)
    best = f"FPR at 0 FN {oracle['fpr_at_0_fn']:.1%}, at 1 FN {oracle['fpr_at_1_fn']:.1%}"
    console.print(f"{best} (thresholds set on these very patients)")
