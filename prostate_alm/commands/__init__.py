"""One file a command; the only place that joins training and serving."""
