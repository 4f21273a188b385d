"""Diagnostics on the page: table, figures in words, and pages without them."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from report_fixture import make

from astro_ood.report import diagnostics, page
from astro_ood.report.content import DiagnosticsCard

CURVES = {
    "gaussianity": {"n": 9, "names": ["projections", "kurtosis"], "scores": [0.4, -40.0]},
    "spectrum": {"k": [0.1, 0.2, 0.4], "mean": [3.0, 1.0, 0.5], "low": [2.0, 0.0, 0.4], "high": [4.0, 1.2, 0.6]},
    "separability": {
        "white noise": {"sizes": [5, 9], "value": [0.6, 0.9], "low": [0.3, 0.7], "high": [0.8, None]},
        "<b>others</b>": {"sizes": [9], "value": [0.5], "low": [0.3], "high": [0.7]},
    },
    "smooth_areas": {"deciles": list(np.linspace(0.7, 1.3, 10))},
}
ASKED = {
    "bandwidth": {"t": 700.0, "tau": 0.1, "noise": [0.2, 0.3, None], "another": [0.1, 0.15, 0.0], "gap": [1.2, 1.3, 1.4]},
    "interference": {
        "etas": [1.0, 0.0, 0.3],
        "fraction": [0.9, 0.0, 0.1],
        "low": [0.7, 0.0, 0.05],
        "high": [0.99, 0.3, 0.4],
        "n": 12,
        "false_capture": 0.0,
        "sensitivity": 0.9,
    },
}
JUDGED = [
    {"name": "Gaussian", "verdict": "different", "words": "not Gaussian in the <i>kurtosis</i>"},
    {"name": "white", "verdict": "undecided", "words": "9 latents cannot show it"},
]


def test_the_page_holds_them():
    text = page.render(make(diagnostics=DiagnosticsCard(JUDGED, CURVES)))
    assert "Diagnostics of the latents" in text
    assert "Not Gaussian in the &lt;i&gt;kurtosis" in text
    assert "<b>others" not in text
    assert "farthest, kurtosis, lies" in text
    assert "0.9 from white noise" in text
    assert "smoothest tenth of their maps: 0.7 times" in text


def test_a_page_without_them_says_nothing():
    assert "Diagnostics of the latents" not in page.render(make())
    bare = page.render(make(diagnostics=DiagnosticsCard(JUDGED[1:], {})))
    assert "9 latents cannot show it" in bare


def test_what_the_network_answered_is_shown():
    judged = [*JUDGED, {"name": "bandwidth", "verdict": "holds", "words": "at t = 700 decoding stays"}]
    text = page.render(make(diagnostics=DiagnosticsCard(judged, CURVES | ASKED)))
    assert "At t = 700 decoding stays" in text
    assert "median 0.3 along noise, 0.1 towards another map, which lies 1.3 away" in text
    assert "Captured by the network&#39;s own domain, of 12 decoded maps: 90% at eta 1, 0% at eta 0, 10% at eta 0.3." in text
    assert "Bandwidth holds where" not in page.render(make(diagnostics=DiagnosticsCard(JUDGED, CURVES)))


@pytest.mark.parametrize("name", [*diagnostics.FIGURES, *diagnostics.ASKED])
def test_each_figure_draws_what_it_is_given(name):
    figure = (diagnostics.FIGURES | diagnostics.ASKED)[name]((CURVES | ASKED)[name])
    (axes,) = figure.axes
    assert axes.has_data()
    figure.canvas.draw()


def test_what_was_not_measured_is_switched_off():
    axes = Figure().subplots(2, 2).ravel()
    diagnostics.draw({"spectrum": CURVES["spectrum"]}, list(axes))
    assert [one.axison for one in axes] == [False, True, False, False]
