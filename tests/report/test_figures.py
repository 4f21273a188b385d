import base64
import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from report_fixture import make

from astro_ood.report import figures, images
from astro_ood.report.gallery import gallery_figure


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
        "fingerprints": figures.fingerprint_figure(data.novelty.scattering),
    }


def test_every_axis_is_named(data):
    for name, figure in draw_all(data).items():
        for axes in figure.axes:
            shown = [axes.get_ylabel()] if name != "bar" else []
            shown += [axes.get_xlabel()] if axes is figure.axes[-1] and name != "inversion" else []
            assert all(shown), name


def test_sets_differ_by_colour_and_by_line():
    """Every set that can stand in one figure with others, on a light and on a dark ground."""
    styles = [style for name, style in figures._STYLES.items() if name != "reconstructed"]
    colours = [colour.lower() for colour, _, _ in styles]
    assert len(set(colours)) == len({images.DARK.get(colour, colour) for colour in colours}) == len(colours)
    dashes = [str(line) for name, (_, _, line) in figures._STYLES.items() if name not in ("reconstructed", "synthetic")]
    assert len(set(dashes)) == len(dashes)


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


def draw_into(data, axes):
    """Every figure but the spectra, each in axes of the caller's."""
    latents = data.latents
    figures.inversion_figure(data.inversion, axes[0])
    figures.latents_figure(latents.k, latents.power_inverted, latents.power_proposed, axes[1])
    figures.pdf_figure(data.pdf, data.data.unit, True, axes[2])
    return figures.novelty_figure(data.novelty, axes[3])


def test_the_same_is_drawn_into_axes_of_the_caller(data):
    figure = Figure(figsize=(12, 9))
    part, other = figure.subfigures(1, 2)
    axes = part.subplots(2, 2).ravel()
    assert draw_into(data, axes) is figure
    assert other.axes == []
    own = draw_all(data)
    for panel, name in zip(axes, ("inversion", "latents", "pdf", "novelty"), strict=True):
        (alone,) = own[name].axes
        assert len(panel.lines) == len(alone.lines), name
        for one, two in zip(panel.lines, alone.lines, strict=True):
            np.testing.assert_array_equal(one.get_xydata(), two.get_xydata())
        assert (panel.get_xlabel(), panel.get_ylabel(), panel.get_yscale()) == (
            alone.get_xlabel(),
            alone.get_ylabel(),
            alone.get_yscale(),
        )


def test_spectra_side_by_side_have_an_axis_each(data):
    stacked, aside = Figure(), Figure()
    for figure, panels in ((stacked, stacked.subplots(2, 1, sharex=True)), (aside, aside.subplots(1, 2))):
        assert figures.spectra_figure(data.spectra, panels) is figure
    assert [axes.get_xlabel() for axes in stacked.axes] == ["", "k [cycles/pixel]"]
    assert [axes.get_xlabel() for axes in aside.axes] == ["k [cycles/pixel]"] * 2
    assert {axes.get_xscale() for axes in (*stacked.axes, *aside.axes)} == {"log"}
    assert aside.axes[0].get_xlim() == aside.axes[1].get_xlim() == stacked.axes[1].get_xlim()


def test_what_makes_the_figure_is_the_caller_s(data):
    made = []

    def make(**options):
        made.append(Figure(**options))
        return made[-1]

    assert figures.pdf_figure(data.pdf, "K", False, make) is made[0]
    assert made[0].get_layout_engine() is not None


def test_the_gallery_has_one_scale_a_colour_bar_and_grey_gaps(data):
    figure = gallery_figure(data.gallery, "cm-2", (2.0, 1.0), n=4)
    *panels, bar = figure.axes
    assert len(panels) == 16
    low, high = images.bar_ends(data.gallery)
    for panel in panels:
        (image,) = panel.images
        assert (image.norm.vmin, image.norm.vmax) == pytest.approx((10**low, 10**high))
        assert panel.get_aspect() == 2.0
        assert image.origin == "lower"
    assert bar.get_xlabel() == "value [cm⁻²], logarithmic scale"
    assert bar.get_xlim() == pytest.approx((10**low, 10**high))
    gap = panels[0].images[0].get_array()
    assert gap.mask[:5, :9].all()
    assert not gap.mask[5:].any()
    colour = panels[0].images[0].cmap(gap)[0, 0, :3]
    np.testing.assert_allclose(colour, images.palette()[images.INVALID] / 255, atol=1 / 255)
    titles = [panel.get_title(loc="left") for panel in panels]
    assert [title for title in titles if title] == ["real (held out)", "real (inverted)", "reconstructed", "synthetic"]


def test_a_gallery_of_few_maps_leaves_places_empty(data):
    few = replace(data.gallery, real_held_out=data.gallery.real_held_out[:0], synthetic=data.gallery.synthetic[:2])
    figure = gallery_figure(few, "", n=6)
    assert [len(axes.images) for axes in figure.axes[:-1]] == [1] * 12 + [1, 1, 0, 0, 0, 0]


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
