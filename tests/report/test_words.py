from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixture import make, score

from astro_ood.report import words
from astro_ood.report.content import Pdf, Spectra
from astro_ood.report.limits import limits_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.5, "−0.5"),
        (1234.0, "1\u202f234"),
        (1.5e20, "1.5 × 10²⁰"),
        (1e21, "10²¹"),
        (2.5e-7, "2.5 × 10⁻⁷"),
        (1_812_481, "1\u202f812\u202f481"),
        (99.96, "100"),
        (float("nan"), "–"),
        (None, "–"),
        ("?", "–"),
    ],
)
def test_numbers_are_printed_as_people_write_them(value, text):
    assert words.number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_number_is_within_half_a_digit(x):
    text = words.number(x, 6).translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-", "\u202f"))
    if not 1e-3 <= abs(x) < 1e5 and x != 0:
        mantissa, _, exponent = text.rpartition("10" if "×" not in text else "× 10")
        text = f"{mantissa.strip() if mantissa.strip() not in ('', '-') else mantissa + '1'}e{exponent}"
    # the largest of all numbers may be rounded up to infinity
    assert float(text) == pytest.approx(x, rel=1e-5, abs=5e-324) or abs(x) > 1.79e308


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("cm-2", "cm⁻²"),
        ("Jy / beam", "Jy / beam"),
        ("erg / (s cm2)", "erg / (s cm²)"),
        ("K2", "K²"),
        ("1 / cm2", "cm⁻²"),
        ("1/s", "s⁻¹"),
        ("cm**(-2)", "cm⁻²"),
        ("log10(cm-2)", "log₁₀(cm⁻²)"),
        ("", ""),
    ],
)
def test_units_have_raised_exponents(unit, text):
    assert words.unit(unit) == text


def test_p_values_have_a_bound_instead_of_a_zero():
    assert [words.equality(p) for p in (0.0002, 0.0123, 0.5, None)] == ["< 0.001", "= 0.012", "= 0.50", "–"]


def test_the_worst_scale_is_named():
    k, power = np.array([0.1, 0.2, 0.3]), np.ones((5, 3))
    spectra = Spectra(k, "cycles/pixel", {"real (held out)": power, "synthetic": power * [1, 1, np.e]}, np.array([0.1, 0.1, 0.25]))
    text = words.spectrum_finding(spectra)
    assert "at 2 of 3 scales" in text
    assert "+1.0 in ln P (a factor of 2.7) at k = 0.3 cycles/pixel, 4 times the floor" in text


def test_overlap_of_equal_densities_is_whole():
    density = np.array([[0.5, 0.5]])
    text = words.pdf_finding(Pdf(np.array([0.0, 1.0, 2.0]), {"real (held out)": density, "synthetic": density}))
    assert "overlap by 100" in text


def test_a_cheaper_method_that_does_as_well_is_named():
    own = [score("pdf", 0, 0.5, "no difference detected"), score("spectrum", 0, 0.01, "different")]
    good = [
        score("pdf", 0, 0.5, "no difference detected", name="IAAFT"),
        score("spectrum", 0, 0.5, "no difference detected", name="IAAFT"),
    ]
    bad = [score("pdf", 0, 0.5, "different", name="augmentation"), score("spectrum", 0, 0.5, "different", name="augmentation")]
    assert "alone IAAFT would do" in words.baseline_finding(own + good + bad)
    assert "No cheaper method does as well" in words.baseline_finding(own + bad)
    copies = score("novelty_copy", 1.0, None, "copies", name="IAAFT")
    assert "No cheaper method does as well" in words.baseline_finding([*own, *good, copies])


def test_a_method_of_fewer_maps_is_quoted_with_their_number():
    own = [score("pdf", 0, 0.5, "no difference detected") | {"n_synthetic": 48}]
    other = [score("pdf", 0, 0.5, "no difference detected", name="scattering synthesis") | {"n_synthetic": 16}]
    text = words.baseline_finding(own + other)
    assert "scattering synthesis, of 16 maps only, on 1 (0 against it)" in text
    assert "more of them may differ" in text
    alike = words.baseline_finding([*own, other[0] | {"n_synthetic": 48}])
    assert "only" not in alike
    assert "more of them" not in alike


def test_limits_state_numbers_power_and_what_is_open():
    text = " ".join(limits_of(make()))
    assert "48 synthetic maps were all made from 6 real maps" in text
    assert "not below 0.009" in text
    assert "Minkowski functionals, peaks, voids, bispectrum" in text
    assert "below 42\u202f% could have been missed" in text


def test_what_disguises_text_is_replaced():
    assert words.clean("a\x00b\u202ec\ud800") == "a\ufffdb\ufffdc\ufffd"


def test_a_smallest_p_is_a_number_and_no_bound():
    data = make()
    rows = [row | {"p_min": 2e-4} if row["p_min"] is not None else row for row in data.rows]
    text = " ".join(limits_of(replace(data, rows=rows)))
    assert "no test can give p below 2 × 10⁻⁴" in text
    assert "below <" not in text
