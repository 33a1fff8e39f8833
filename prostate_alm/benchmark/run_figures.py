"""The figures of one network from its scores."""

import numpy as np

from prostate_alm.benchmark.records import Scores
from prostate_alm.evaluation.multiclass import error_at_tpr, overall_accuracy, per_class_accuracy
from prostate_alm.evaluation.roc import auc, fpr_at_tpr

BINARY_TPRS = (1.0, 0.99, 0.98, 0.96, 0.95, 0.92, 0.90)
MULTICLASS_TPRS = (0.8, 0.9)


def figures(scores: Scores, critical_classes: tuple[int, ...]) -> dict[str, float]:
    """Return the figures of one network: the paper's, each in [0, 1]."""
    labels, critical = scores.labels.array(), scores.critical.array()
    if scores.prediction is None or scores.other is None:
        return {"auc": auc(critical, labels)} | {f"fpr@tpr={t}": fpr_at_tpr(critical, labels, t) for t in BINARY_TPRS}
    prediction, other = scores.prediction.array(), scores.other.array()
    found = {"accuracy": overall_accuracy(prediction, labels)}
    classes = range(int(labels.max()) + 1)
    found |= {f"accuracy[{c}]": share for c, share in per_class_accuracy(prediction, labels, classes).items()}
    if len(critical_classes) == 1:
        found |= {
            f"error@tpr={t}": error_at_tpr(critical, other, labels, critical_classes[0], t) for t in MULTICLASS_TPRS
        }
    else:
        rest = ~np.isin(labels, critical_classes)
        found["accuracy[others]"] = overall_accuracy(prediction[rest], labels[rest])
    return found
