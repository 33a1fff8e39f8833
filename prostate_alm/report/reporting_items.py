"""Which items of CLAIM (Mongan et al. 2020) and TRIPOD+AI (Collins et al. 2024) a report answers, and which it can't.

Numbers are those of the guidelines; the words are ours.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """What a reviewer looks for.

    Attributes:
        what: in a few words.
        claim: numbers of CLAIM's items.
        tripod: numbers of TRIPOD+AI's items.
        where: anchor of the section that answers; empty where only the authors can.
    """

    what: str
    claim: str
    tripod: str
    where: str


ITEMS = (
    Item("Intended use and clinical role", "3", "3a, 3b", "summary"),
    Item("Objectives and hypotheses", "4", "4", ""),
    Item("Design, data sources, dates, eligibility", "5–8", "5a–6c", ""),
    Item("Preparation of the images", "9", "7, 9a", "provenance"),
    Item("De-identification, missing data, refused studies", "12, 13", "11", "patients"),
    Item("Reference standard: who set the labels, and how", "14–18", "8a–8c", ""),
    Item("Sample size and its consequences", "19", "10", "limits"),
    Item("Partitions, and at which level they are disjoint", "20, 21", "12a, 16", "patients"),
    Item("Model, software, training, ensembling", "22–27", "12c, 12g, 22", "provenance"),
    Item("Class imbalance, thresholds and how they were chosen", "26, 28", "13, 15", "thresholds"),
    Item("Metrics, uncertainty, tests", "28, 29", "12e", "performance"),
    Item("Robustness and heterogeneity; fairness", "30", "12d, 14, 23b", "subgroups"),
    Item("Explanation of the answers", "31", "", "failures"),
    Item("External validation", "32", "16", ""),
    Item("Flow and characteristics of the patients", "33, 34", "20a–20c, 21", "patients"),
    Item("Performance with its precision", "35, 36", "23a", "performance"),
    Item("Calibration and clinical utility", "36", "12e, 23a", "calibration"),
    Item("Model updating, recalibration", "", "12f, 24", "provenance"),
    Item("Failure analysis", "37", "23a", "failures"),
    Item("Limitations", "38", "26", "limits"),
    Item("Poor input data and what a user does about it", "39", "27a–27c", "patients"),
    Item("Ethics, registration, protocol, data and code, funding", "40–42", "17–19", ""),
)
