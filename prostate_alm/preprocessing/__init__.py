"""Deterministic `Study` -> `image`; the same code trains and serves."""

from prostate_alm.preprocessing.prepare import (
    PREPROCESSING_VERSION,
    PreparedImage,
    Preprocessing,
    StudyToImage,
    choose_high_b,
)
from prostate_alm.study import QualityFinding

__all__ = ["PREPROCESSING_VERSION", "PreparedImage", "Preprocessing", "QualityFinding", "StudyToImage", "choose_high_b"]
