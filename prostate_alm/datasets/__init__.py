"""Cohorts: datalists and splits, import from DICOM, the synthetic cohort."""
