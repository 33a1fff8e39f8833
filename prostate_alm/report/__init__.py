"""From logits and an operating point to a recommendation; knows no network."""
