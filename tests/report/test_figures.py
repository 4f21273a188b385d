import base64
import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from report_fixture import make

from astro_ood.report import figures, images


@pytest.fixture(scope="module")
def data():
    return make()


def decode(uri):
    return base64.b64decode(uri.partition(",")[2])


def draw_all(data):
    latents = data.latents
    return {
        "bar": figures.colour_bar(20.0, 22.0, data.data.unit, log=True),
        "inversion": figures.inversion_figure(data.inversion),
        "latents": figures.latents_figure(latents.k, latents.power_inverted, latents.power_proposed),
        "spectra": figures.spectra_figure(data.spectra),
        "pdf": figures.pdf_figure(data.pdf, data.data.unit, log=True),
        "novelty": figures.novelty_figure(data.novelty),
    }


def test_every_axis_is_named(data):
    for name, figure in draw_all(data).items():
        for axes in figure.axes:
            shown = [axes.get_ylabel()] if name != "bar" else []
            shown += [axes.get_xlabel()] if axes is figure.axes[-1] and name != "inversion" else []
            assert all(shown), name


def test_the_drawn_difference_is_that_of_mean_logarithms(data):
    lower = draw_all(data)["spectra"].axes[1]
    power = data.spectra.power
    expected = np.log(power["synthetic"]).mean(axis=0) - np.log(power["real (held out)"]).mean(axis=0)
    assert any(len(line.get_ydata()) == len(expected) and np.allclose(line.get_ydata(), expected) for line in lower.lines)


def test_both_variants_are_the_same_drawing(data):
    picture = images.svg(draw_all(data)["novelty"], "finding")
    light, dark = decode(picture.light).decode(), decode(picture.dark).decode()
    for colour, other in images.DARK.items():
        assert colour not in dark.lower()
        light = light.replace(colour, other)
    assert light == dark
    assert ElementTree.fromstring(light).tag.endswith("svg")
    assert images.svg(draw_all(data)["novelty"], "finding") == picture


def test_foreign_text_is_no_mathematics(data):
    hostile = r"$\frac{<script>alert(1)</script>" + "\u4e2d"
    spectra = replace(
        data.spectra, k_unit=hostile, power_unit=hostile, power=data.spectra.power | {hostile: data.spectra.power["synthetic"]}
    )
    text = decode(images.svg(figures.spectra_figure(spectra), "").light).decode()
    assert "script" not in text


def test_a_map_keeps_its_orientation_levels_and_gaps():
    values = np.array([[0.0, 1.0], [np.nan, 5.0]])
    image = Image.open(io.BytesIO(decode(images.map_png(values, 0.0, 1.0, 64))))
    # FITS: the first row is the lowest
    assert np.array_equal(np.asarray(image), [[255, 254], [0, 254]])
    assert np.array_equal(np.asarray(image.convert("RGB"))[0, 0], images.palette()[255])


def test_large_maps_are_averaged():
    x = np.arange(100.0).reshape(10, 10)
    small = images.reduced(x, 4)
    assert small.shape == (3, 3)
    assert small[0, 0] == x[:3, :3].mean()
    assert images.reduced(x, 10) is x
