"""A real study, as a folder, as a zip and over HTTP, gets the same finite logits."""

import json
import os
from pathlib import Path

import pytest

from prostate_alm.commands.triage import triage


@pytest.fixture(scope="module")
def patient():
    data = os.environ.get("PROSTATE_ALM_DATA")
    if data is None:
        pytest.skip("PROSTATE_ALM_DATA is not set; it names the folder with prostatex/ProstateX-0000")
    return Path(data) / "prostatex" / "ProstateX-0000"


def test_the_three_ways_agree(*, client, post, patient, parcels, tmp_path, capsys, zip_files):
    archive = zip_files(tmp_path / "study.zip", sorted(next(patient.iterdir()).iterdir()))
    answers = [post(client, file=archive).json()]
    for study in (patient, archive):
        triage(study, ensemble=parcels["never"])
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0]["series"]["dwi"] == {"number": 6, "description": answers[0]["series"]["dwi"]["description"],
                                           "b_values": [50.0, 400.0, 800.0]}  # fmt: skip
    for answer in answers:
        assert answer["logit"] == pytest.approx(answers[0]["logit"], abs=1e-5)
        assert answer["basis"] == answers[0]["basis"]
        assert len(answer["member_logits"]) == 3
