"""The patients whom the members can't put on their label's side stand first, and the page asks for nothing."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.hardest import hardest_patients
from prostate_alm.training.hardest_page import write_hardest_patients
from prostate_alm.training.sanity import out_of_fold
from prostate_alm.training.scoring import write_scores

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"
Row = dict[str, Any]


def row(epoch: int, index: list[int], multiplier: list[float], violation: list[float | None]) -> Row:
    return {"epoch": epoch, "index": index, "multiplier": multiplier, "violation": violation}


@pytest.fixture
def run(cohort: Path, tmp_path: Path) -> EnsembleRun:
    """Two members' logs as training would write them: of the patients 0, 3, ..., 15 each trained on three.

    The second member's multipliers are ten times as large: its `mu` grew.
    """
    run = EnsembleRun(BUNDLE, cohort, tmp_path, 2, 2)
    logs = [
        [row(1, [0, 3, 6], [0.1, 0.1, 0.1], [1.0, 1.0, None]), row(2, [0, 3, 6], [0.1, 0.4, 0.1], [0.0, 3.0, None])],
        [row(1, [9, 12, 15], [2, 2, 2], [1, 1, 1]), row(2, [9, 12, 15], [2, 3, 4], [0, 1, 2])],
    ]
    for member, rows in enumerate(logs):
        run.folder(member).mkdir(parents=True)
        text = "".join(json.dumps(line) + "\n" for line in rows)
        (run.folder(member) / "multipliers.jsonl").write_text(text)
    scores = [{"index": i, "label": int(i % 3 == 0), "logit": 0.1 * i + 5.0 * (i == 4)} for i in range(18)]
    (tmp_path / "out_of_fold.json").write_text(json.dumps(scores))
    return run


def test_the_hardest_stand_first_whatever_the_members_mu(run: EnsembleRun) -> None:
    """Relative to the members' means of 0.2 and 3: 2 of patient 3, 4/3 of 15, 1 of 12, 2/3 of 9, 1/2 of 0 and 6."""
    found = hardest_patients(run)
    assert found is not None
    assert [patient.index for patient in found.critical] == [3, 15, 12, 9, 0, 6]
    assert [patient.relative for patient in found.critical] == pytest.approx([2, 4 / 3, 1, 2 / 3, 1 / 2, 1 / 2])
    assert [patient.violation for patient in found.critical] == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.5, 0.0])
    assert {patient.members for patient in found.critical} == {1}
    assert found.histories[3].tolist() == pytest.approx([1.0, 2.0])


def test_a_patient_of_several_members_counts_in_the_mean(run: EnsembleRun) -> None:
    path = run.folder(1) / "multipliers.jsonl"
    path.write_text(json.dumps(row(1, [3, 9, 12, 15], [6.0, 3.0, 2.0, 1.0], [0.0, 1.0, 1.0, 1.0])) + "\n")
    found = hardest_patients(run)
    assert found is not None
    patient = next(patient for patient in found.critical if patient.index == 3)
    assert (patient.members, patient.relative, patient.multiplier) == pytest.approx((2, 2.0, 3.2))
    assert patient.violation == pytest.approx(4.0 / 3)
    assert len(found.histories[3]) == 1  # as far as both trained


def test_others_are_ranked_by_their_score_out_of_fold(run: EnsembleRun) -> None:
    found = hardest_patients(run)
    assert found is not None
    assert [patient.index for patient in found.others][:3] == [4, 17, 16]
    assert found.others[0].outranked == 1.0
    assert found.others[-1].outranked == pytest.approx(1 / 6)  # patient 1 outranks patient 0 alone


def test_the_page_is_whole_in_itself(run: EnsembleRun) -> None:
    page = write_hardest_patients(run)
    assert page is not None
    text = page.read_text()
    assert text.count("data:image/webp") == 6 + 12
    assert text.count("data:image/png") == 1
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert "url(" not in text
    assert re.search(r"<td class=\"number\">1</td><td class=\"key\">study003</td>", text)
    content = json.loads((run.out / "hardest_patients.json").read_text())
    assert [patient["index"] for patient in content["critical"]] == [3, 15, 12, 9, 0, 6]
    assert len(content["others"]) == 12


def test_a_run_without_the_constraint_has_no_hardest(run: EnsembleRun) -> None:
    (run.folder(1) / "multipliers.jsonl").unlink()
    assert write_hardest_patients(run) is None
    assert not (run.out / "hardest_patients.html").exists()


def test_a_flipped_label_stands_first(cohort: Path, tmp_path: Path, train_here: Callable[[EnsembleRun], None]) -> None:
    """Patient 4 has no focus and is said to need DCE; patient 3 has one and is said not to."""
    content = json.loads(cohort.read_text())
    for entry in content["training"]:
        entry["label"] = {3: 0, 4: 1}.get(entry["index"], entry["label"])
        entry |= {role: str(cohort.parent / entry[role]) for role in ("t2", "dwi", "adc")}
    datalist = tmp_path / "datalist.json"
    datalist.write_text(json.dumps({**content, "test": []}))
    small = {"profile": "tiny", "max_epochs": 8, "batch_size": 4, "network_def#widths": [4, 4], "tracker": "none"}
    run = EnsembleRun(BUNDLE, datalist, tmp_path / "run", 3, 3, settings={**small, "mu": 0.1, "learning_rate": 0.01})
    train_here(run)
    write_scores(out_of_fold(run, "last"), run.out / "out_of_fold.json")
    found = hardest_patients(run)
    assert found is not None
    assert found.critical[0].index == 4
    assert found.critical[0].relative > 1.5 * found.critical[1].relative
    assert found.others[0].index == 3
