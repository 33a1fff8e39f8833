"""Deterministic `Study` -> `image`; the same code trains and serves."""

from prostate_alm.preprocessing.prepare import PreparedImage, Preprocessing, StudyToImage, choose_high_b
from prostate_alm.study import QualityFinding

__all__ = ["PreparedImage", "Preprocessing", "QualityFinding", "StudyToImage", "choose_high_b"]
