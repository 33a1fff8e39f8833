"""CIFAR-10 and CIFAR-100: the official archives and imbalanced subsets of them."""
