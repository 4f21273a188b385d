"""What a run found: one page for people, and the scores as tables.

`page` puts a `ReportData` on one self-contained HTML page, `figures` draws, `words` says in sentences what the figures show, and
`scores` writes CSV and JSON. Nothing here computes a statistic or reads a store.
"""
