"""From files to a `Study`: DICOM folders and zips, NIfTI."""

from prostate_alm.readers.inspection import FoundSeries, Inspection
from prostate_alm.readers.reading import inspect_study, read_study

__all__ = ["FoundSeries", "Inspection", "inspect_study", "read_study"]
