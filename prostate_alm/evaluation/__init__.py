"""ROC at a fixed number of misses, operating points, intervals; numpy and scipy only."""
