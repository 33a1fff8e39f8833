"""Deterministic `Study` -> `image`; the same code trains and serves."""
