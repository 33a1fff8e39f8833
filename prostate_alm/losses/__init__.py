"""Losses, the ranking constraint and its augmented Lagrangian; torch only."""
