"""A patient's words are hidden from what is shown, and the rules still see the scanner's."""

import pytest

from prostate_alm.readers import examine_study, read_study
from prostate_alm.readers.scrubbing import scrubbed, word_hashes

WORDS = word_hashes(["Doe^Jane Mary", "QX1234567", "19500101"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("t2_tse_tra", "t2_tse_tra"),
        ("t2 DOE, jane", "t2 ***, ***"),
        ("ADCdoe2", "ADCdoe2"),  # a word is a whole run of letters: parts would hide half of what scanners write
        ("doe2 b800", "***2 b800"),
        ("QX1234567_ax", "***_ax"),
        ("ax 1234567 1950", "ax *** 1950"),
        ("2024-01-31 20240131 31.1.2024 093000", "*** *** *** ***"),
        ("series 1.2.840.113.4", "series ***"),
        ("b50.400.800 2.5x2.5", "b50.400.800 2.5x2.5"),
        ("", ""),
    ],
)
def test_words_of_the_patient_and_long_numbers_are_hidden(text: str, shown: str) -> None:
    assert scrubbed(text, WORDS) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("t2_2011_07_05", "t2_***"),
        ("t2 05Jul2011", "t2 ***"),
        ("t2 5. Okt 11", "t2 ***"),
        ("t2 05.07.11", "t2 ***"),
        ("t2proHuberlein", "t2***"),
        ("t2_Mueller", "t2_***"),
        ("t2_Muller dixon", "t2_*** dixon"),
        ("t2_tse_tra_320", "t2_tse_tra_320"),
        ("b50_400_800", "b50_400_800"),
    ],
)
def test_dates_glued_words_and_other_spellings_are_hidden(text: str, shown: str) -> None:
    assert scrubbed(text, word_hashes(["Huberlein^M\u00fcller"])) == shown


def test_words_too_short_to_tell_a_patient_hide_nothing() -> None:
    assert scrubbed("t2 ax 800", word_hashes(["Ax^T", "800"])) == "t2 ax 800"


def test_a_patient_called_as_a_sequence_changes_no_choice(build, tmp_path) -> None:
    """Tse is a common name; the series is found by its words all the same, and its name is not shown."""
    images = build.study()
    plain = read_study(build.write(images, tmp_path / "plain"))
    for image in images:
        image.PatientName, image.PatientID, image.AccessionNumber = "Tse^Diff", "ADC", "tra"
    inspection, study = examine_study(build.write(images, tmp_path / "named"))
    assert study is not None
    assert study.key == plain.key
    assert [one.description for one in study.series] == ["t2_***_***", "ep2d_***", "ep2d_***_***"]
    assert [one.role for one in inspection.chosen] == [one.role for one in plain.series]
