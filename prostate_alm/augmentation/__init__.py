"""Random transforms, for training only."""
