"""From files to a `Study`: DICOM folders and zips, NIfTI."""
