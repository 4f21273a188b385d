"""What a run found: one page for people, the scores as tables, the methods for a paper, the whole for machines.

`page` puts a `ReportData` on one self-contained HTML page, `figures` draws, `words` says in sentences what the figures show, `methods`
says what was done, `scores` writes CSV and JSON, and `crate` describes the directory. `dashboard` puts several runs on one page, by what
`comparison` finds; `document` is the frame of both pages. Nothing here computes a statistic or reads an array of a store.
"""
