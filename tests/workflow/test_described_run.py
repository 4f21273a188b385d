"""What a finished run says of itself: the methods, the description for machines, plots and xarray in a notebook."""

import builtins
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from workflow_support import NAMES, said_by

import astro_ood as ao
from astro_ood.stores import open_shards

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))

from crate_support import ids, read_crate

PLOTS = ("spectra", "pdf", "novelty", "inversion", "latents", "gallery")


@pytest.fixture
def run(toy):
    """A finished run, opened."""
    return ao.open_run(toy.run)


@pytest.fixture
def pyplot():
    """pyplot without a screen; its figures are closed afterwards."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_the_methods_are_those_of_the_run(toy, run):
    text = (toy.run / "methods.txt").read_text(encoding="utf-8")
    fields, origin = run.fields.attrs, run.latents.attrs["origin"]
    n = fields["split"].count("inverted")
    trips = open_shards(toy.run / "latents", "latents").load("round_trip")
    inverted = np.array(fields["split"])[run.latents.attrs["items"]] == "inverted"
    for part in (
        "20 maps of 32 × 32 pixels in K, read from 6 files.",
        "0.5 × 0.5 arcmin",
        "1 file could not be used",
        f"{n} maps of 3 regions were inverted",
        origin["model_sha256"],
        f"{toy.config.inversion.n_steps} evaluations of the network",
        f"{n} inverted maps",
        f"{100 * np.median(trips[inverted]):.0f} %",
        "permutations of whole regions of the sky (at least 99 divisions for the statistics of maps)",
        f"NumPy {np.__version__}",
    ):
        assert part in text, part
    for part in ("HI4PI", "HEALPix", "Cox", "MultiDiffusion", "stochastically", "probe"):
        assert part not in text, part
    assert text.count("@") >= 10


def test_the_page_shows_the_same_methods(toy):
    page = (toy.run / "report.html").read_text(encoding="utf-8")
    text = (toy.run / "methods.txt").read_text(encoding="utf-8")
    software = next(line for line in text.splitlines() if line.startswith("Software. "))
    assert software.removeprefix("Software. ") in page
    assert "@misc{zhu2023," in page


def test_the_run_is_a_crate(toy, run):
    found = read_crate(toy.run)
    assert found["./"]["name"] == toy.config.title
    read = {entity["name"] for name, entity in found.items() if name.startswith("#input-")}
    assert read == set(NAMES)
    assert set(ids(found["./"]["mentions"])) == {
        *("#prepare", "#invert", "#diagnose", "#fit-prior", "#propose", "#decode", "#evaluate", "#report")
    }
    assert ids(found["#decode"]["object"]) == ["proposals/", "#network", "config.yaml"]
    assert found["#samples/field"]["unitText"] == run.samples.unit
    assert found["#samples/field"]["description"] == "item 7 × channel 1 × y 32 × x 32, float32"
    assert "logs/" in ids(found["./"]["hasPart"])
    settings = json.loads(found["#evaluate"]["description"].removeprefix("Settings: "))
    assert settings["validation"]["permutations"] == toy.config.validation.permutations


def test_scores_say_what_made_them(toy, run):
    record = json.loads((toy.run / "scores.json").read_text(encoding="utf-8"))["record"]
    assert record["seed"] == toy.config.seed
    assert record["settings"]["validation"] == toy.config.validation.model_dump()
    assert record["versions"]["numpy"] == np.__version__
    assert run.scores.record == record


def test_scores_without_a_record_are_read(toy, tmp_path):
    from astro_ood.api.report import collect_report
    from astro_ood.api.run import Run

    record = json.loads((toy.run / "scores.json").read_text(encoding="utf-8"))
    del record["record"]
    for path in toy.run.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "scores.json").unlink()
    (tmp_path / "scores.json").write_text(json.dumps(record), encoding="utf-8")
    old = collect_report(Run(tmp_path), "")
    assert [entry["stage"] for entry in old.provenance].count("evaluate") == 0


@pytest.mark.parametrize("name", PLOTS)
def test_plots_make_figures_that_a_notebook_shows(run, pyplot, name):
    found = getattr(run, f"plot_{name}")()
    (number,) = pyplot.get_fignums()
    figure = pyplot.figure(number)
    panels = np.ravel(found)
    assert found is not None
    assert all(panel.figure is figure for panel in panels)
    assert all(panel.has_data() for panel in panels if panel.axison or name != "gallery")
    figure.canvas.draw()
    shapes = {"spectra": (2,), "gallery": (4, 6)}
    assert np.shape(found) == shapes.get(name, ())


@pytest.mark.parametrize("name", [name for name in PLOTS if name not in ("spectra", "gallery")])
def test_plots_draw_into_axes_of_the_user(run, pyplot, name):
    figure, (ax, other) = pyplot.subplots(1, 2)
    assert getattr(run, f"plot_{name}")(ax=ax) is ax
    assert ax.has_data()
    assert not other.has_data()
    assert pyplot.get_fignums() == [figure.number]


def test_panels_draw_into_axes_of_the_user(run, pyplot):
    figure, given = pyplot.subplots(1, 2)
    upper, lower = run.plot_spectra(axes=given)
    assert (upper, lower) == tuple(given)
    assert all(panel.get_xlabel() == "k [cycles/arcmin]" and panel.get_xscale() == "log" for panel in given)
    tiles, grid = pyplot.subplots(2, 3)
    assert np.array_equal(run.plot_gallery(axes=grid), grid)
    assert [len(panel.images) for panel in grid.flat] == [1] * 6
    # the colour bar is the only one that was added
    assert len(tiles.axes) == 7
    assert pyplot.get_fignums() == [figure.number, tiles.number]


def test_the_gallery_shows_the_maps_on_one_scale(run, pyplot):
    found = run.plot_gallery(3)
    assert found.shape == (4, 3)
    shown = [panel.images[0] for panel in found.flat]
    assert len({(image.norm.vmin, image.norm.vmax) for image in shown}) == 1
    assert all(image.origin == "lower" for image in shown)
    held_out = np.array(run.fields.attrs["split"]) == "held_out"
    np.testing.assert_array_equal(np.asarray(shown[0].get_array()), np.asarray(run.fields)[held_out][0, 0])
    np.testing.assert_array_equal(np.asarray(shown[9].get_array()), np.asarray(run.samples)[0, 0])
    (bar,) = [axes for axes in found[0, 0].figure.axes if axes not in list(found.flat)]
    assert bar.get_xlabel() == "value [K], logarithmic scale"


def test_plots_of_a_run_that_is_not_finished_say_so(toy, tmp_path, pyplot):
    for name in ("fields", "latents"):
        (tmp_path / name).symlink_to(toy.run / name)
    run = ao.Run(tmp_path)
    with pytest.raises(ao.AstroOodError, match=r"AOD-ST01.*there are no scores yet"):
        run.plot_spectra()
    assert "not yet" in run._repr_html_()
    assert run.plot_inversion().has_data()
    pytest.importorskip("xarray", reason="the extra `notebook` is not installed")
    assert set(run.to_xarray().data_vars) == {"field", "z", "reconstruction", "round_trip", "latent_error"}


def test_matplotlib_is_loaded_by_a_plot_and_pyplot_by_one_without_axes(toy):
    code = (
        "import sys, astro_ood as ao; run = ao.open_run(sys.argv[1]); run.scores; run._repr_html_();"
        "before = [m for m in ('matplotlib', 'xarray', 'torch') if m in sys.modules];"
        "from matplotlib.figure import Figure; run.plot_pdf(Figure().subplots());"
        "middle = 'matplotlib.pyplot' in sys.modules;"
        "import matplotlib; matplotlib.use('Agg'); run.plot_pdf();"
        "print(before, middle, 'matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    assert said_by(code, str(toy.run)) == "[] False True False"


def test_xarray_names_axes_units_and_places(run):
    xr = pytest.importorskip("xarray", reason="the extra `notebook` is not installed")
    found = run.to_xarray()
    assert isinstance(found, xr.Dataset)
    assert dict(found.sizes)["item"] == 20
    assert dict(found.sizes)["sample"] == 7
    assert found.field.dims == found.reconstruction.dims == ("item", "channel", "y", "x")
    assert found.synthetic.dims == ("sample", "channel", "y", "x")
    assert {found.field.units, found.reconstruction.units, found.synthetic.units} == {"K"}
    assert "units" not in found.z.attrs
    assert found.y.units == "arcmin"
    np.testing.assert_allclose(found.x, (np.arange(32) - 15.5) * 0.5)
    assert list(found["item"].values) == run.fields.ids
    assert list(found.region.values) == run.fields.attrs["regions"]
    held_out = found.field.where(found.split == "held_out", drop=True)
    assert held_out.sizes["item"] == run.fields.attrs["split"].count("held_out")
    assert all(type(found[name].data).__module__.startswith("dask") for name in found.data_vars)
    np.testing.assert_array_equal(found.synthetic, np.asarray(run.samples))
    np.testing.assert_array_equal(found.round_trip, open_shards(run.root / "latents", "latents").load("round_trip"))


def test_xarray_of_one_view(run):
    pytest.importorskip("xarray", reason="the extra `notebook` is not installed")
    found = run.latents.to_xarray()
    assert (found.name, found.dims[0]) == ("latents", "item")
    assert list(found["item"].values) == run.latents.ids
    np.testing.assert_array_equal(found, np.asarray(run.latents))


def test_maps_without_a_latent_are_missing_values(run, monkeypatch):
    pytest.importorskip("xarray", reason="the extra `notebook` is not installed")
    from astro_ood.api import labelled

    store = open_shards(run.root / "latents", "latents")

    class Fewer:
        """The store without its third and last items."""

        items = store.items[[0, 1, *range(3, 19)]]

        def __getitem__(self, name):
            return store[name][[0, 1, *range(3, 19)]]

        def unit(self, name):
            return store.unit(name)

    monkeypatch.setattr(labelled, "open_shards", lambda path, stage: Fewer() if stage == "latents" else open_shards(path, stage))
    trip = run.to_xarray().round_trip
    whole = store.load("round_trip")
    assert np.flatnonzero(np.isnan(trip)).tolist() == [2, 19]
    np.testing.assert_array_equal(trip[[0, 1, *range(3, 19)]], whole[[0, 1, *range(3, 19)]])


def test_a_missing_xarray_is_one_line_with_the_command(run, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "xarray":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for call in (run.to_xarray, run.samples.to_xarray):
        with pytest.raises(ao.AstroOodError, match=r"^AOD-CF04 xarray: it is not installed; pip install 'astro-ood\[notebook\]'$"):
            call()


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"photographs": ["a", "b"], "source": "c"}, "photographs a, b (c)"),
        ({"set": "ImageNet", "n": 3}, "set: ImageNet, n: 3"),
        ("CIFAR-10", "CIFAR-10"),
        (None, "not stated"),
    ],
)
def test_a_card_may_say_anything_of_its_training_data(toy, run, stated, expected):
    from astro_ood.api.report import _model
    from astro_ood.stores import open_store

    assert _model({"trained_on": stated}, open_store(toy.run / "prior"))["trained_on"] == expected
