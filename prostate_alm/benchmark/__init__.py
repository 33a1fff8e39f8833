"""The experiments of the paper: its tables as data, ours beside them."""
