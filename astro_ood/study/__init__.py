"""The claims of arXiv:2310.09213, and what was built on them, measured on real maps: one module an experiment.

A *cell* is one experiment, one frozen network, one domain of maps; it reads the latents of that pair from disk and gives rows of a tidy
table, so that a study can be stopped and gone on with, spread over a cluster, or extended by one domain. docs/study.md tells the findings.
"""
