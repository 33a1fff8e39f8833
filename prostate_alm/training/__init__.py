"""From a datalist to members and an ensemble."""
