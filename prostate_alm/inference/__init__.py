"""From an ensemble folder to logits; knows no threshold."""
