"""Statistics of maps and the tests that say whether two sets of maps differ."""
