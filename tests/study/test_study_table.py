"""Rows on disk, and their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astro_ood.errors import InputError
from astro_ood.study.table import COLUMNS, Row, bootstrap, read_table, write_table

numbers = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda v: float(f"{v:.5g}"))
texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
rows = st.builds(
    Row,
    texts,
    texts,
    texts,
    texts,
    texts,
    st.none() | numbers,
    numbers,
    st.none() | numbers,
    st.none() | numbers,
    st.integers(0, 10**6),
)


@given(st.lists(rows, max_size=5))
def test_rows_come_back(tmp_path_factory, given_rows):
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    write_table(given_rows, path)
    assert read_table([path]) == given_rows
    assert list(path.parent.iterdir()) == [path]


def test_another_table_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="IN25"):
        read_table([path])
    assert len(COLUMNS) == 10


def test_the_interval_of_a_mean_covers_it():
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(100):
        _, low, high = bootstrap(rng.standard_normal(30), np.mean, seed=i, n_boot=300)
        hits += low <= 0 <= high
    assert 86 <= hits <= 99  # percentile intervals of 30 values: 93 % expected, four standard deviations


def test_no_finite_value_has_no_interval():
    assert np.isnan(bootstrap([np.nan, np.inf])).all()
