"""One person is known again under another PatientID; nobody's placeholder is anybody."""

import subprocess
import sys

import pytest

from prostate_alm.readers.person import person_of

BORN = "19500317"


@pytest.mark.parametrize(
    "spelling",
    [
        "MÜLLER^Jörg",
        "Mueller^Joerg",
        "Müller^Jörg^Karl^Dr.",
        "müller^jörg karl",
        "Mu\u0308ller^Jo\u0308rg",
        "JÖRG MÜLLER",
    ],
)
def test_a_name_is_known_in_other_spellings(spelling: str) -> None:
    assert person_of(spelling, BORN) == person_of("Müller^Jörg", BORN) != ""


@pytest.mark.parametrize(
    ("name", "born"),
    [("Müller^Jürgen", BORN), ("Möller^Jörg", BORN), ("Müller^Jörg", "19500318"), ("Müller^Jörg", "19510317")],
)
def test_another_name_or_day_is_another_person(name: str, born: str) -> None:
    assert person_of(name, born) not in {"", person_of("Müller^Jörg", BORN)}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "^",
            "ANONYMOUS",
            "ANONYMOUS^PATIENT",
            "Anonymized^^",
            "Prostate^Study",
            "Smith",
            "Smith^J",
            "Case^Twelve",
        ),
        *("PAT^0012", "ProstateX-0012", "sub 12^a b", "XXX^XXX", "De-Identified^Name", "A^B", "Mustermann^Max"),
    ],
)
def test_who_has_no_name_is_nobody(name: str) -> None:
    assert person_of(name, BORN) == ""


@pytest.mark.parametrize("born", ["", "1950", "19000317", "19500101", "00010101", "19501301", "1950-03-17", "***"])
def test_who_was_born_on_no_day_is_nobody(born: str) -> None:
    assert person_of("Müller^Jörg", born) == ""


def test_another_process_can_not_tell() -> None:
    code = f"from prostate_alm.readers.person import person_of; print(person_of('Roe^Jane', '{BORN}'))"
    theirs = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    assert theirs not in {"", person_of("Roe^Jane", BORN)}
