"""The synthetic cohort: multi-parametric prostate MRI with a known truth."""
