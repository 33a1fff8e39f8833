"""From files to a `Study`: DICOM folders and zips, NIfTI, MHA."""

from prostate_alm.readers.inspection import FoundSeries, Inspection
from prostate_alm.readers.reading import examine_study, inspect_study, read_study
from prostate_alm.readers.series_choice import SeriesChoice
from prostate_alm.readers.studies import FoundStudy, find_studies

__all__ = [
    "FoundSeries",
    "FoundStudy",
    "Inspection",
    "SeriesChoice",
    "examine_study",
    "find_studies",
    "inspect_study",
    "read_study",
]
