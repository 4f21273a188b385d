import re
from dataclasses import replace

import pytest
from report_fixture import make
from test_page import HOSTILE, poisoned

from astro_ood.report.limits import limits_of
from astro_ood.report.methods import methods_of
from astro_ood.report.references import REFERENCES


@pytest.fixture(scope="module")
def data():
    return make()


def said(data):
    """Paragraphs by their heading."""
    return dict(methods_of(data).paragraphs)


def with_settings(data, stage, **changes):
    """The data with another recorded configuration of one stage."""
    provenance = [{**e, "settings": e["settings"] | changes} if e["stage"] == stage else e for e in data.provenance]
    return replace(data, provenance=provenance)


def test_the_method_is_that_of_the_run(data):
    text = said(data)
    assert list(text) == ["Data", "Network", "Inversion", "New latents", "Validation", "Software"]
    for head, parts in {
        "Data": (
            "12 maps of 64 × 64 pixels in cm⁻²",
            "55 × 55 arcmin",
            "1 file could not be used",
            "[19.7, 22.3]",
            "decimal logarithm",
        ),
        "Network": ("default", "1 812 481 parameters", "crops of photographs", "none of its weights"),
        "Inversion": ("t₀ = 700", "24 evaluations", "extrapolates the predicted clean map (Lu et al. 2022b)", "6 held-out maps"),
        "New latents": ("48 new latents", "combinations of 3 inverted latents each (Bodin et al. 2024)", "48 of 53", "6 of 6"),
        "Validation": ("at least 4 999 divisions", "(Holm 1979)", "IAAFT", "no p-value below 0.0022", "power spectrum"),
        "Software": ("astro_ood 0.1.0", "NumPy 2.4.6 (Harris et al. 2020)", "on cpu in fp32", "the seed 0"),
    }.items():
        for part in parts:
            assert part in text[head], (head, part, text[head])


def test_measured_errors_are_medians_of_each_set(data):
    rows = [row["round_trip"][900.0] for row in data.inversion.rows if row["split"] == "held_out"]
    assert f"{100 * sorted(rows)[2]:.2g}" != f"{100 * sorted(rows)[3]:.2g}"
    middle = 100 * (sorted(rows)[2] + sorted(rows)[3]) / 2
    assert f"{middle:.2g} % for 6 held-out maps" in said(data)["Inversion"]


def test_citations_and_references_are_the_same(data):
    methods = methods_of(data)
    text = " ".join(text for _, text in methods.paragraphs)
    for key, reference in REFERENCES.items():
        assert (reference.label in text) == (key in methods.cited), key
    assert len(set(methods.cited)) == len(methods.cited)
    whole = methods.text("a run")
    assert whole.startswith("Methods of a run\n\nWritten from the run's own record.")
    for reference in methods.references:
        assert whole.count(reference.text) == 1


@pytest.mark.parametrize("key", REFERENCES)
def test_bibtex_entries_are_whole(key):
    reference = REFERENCES[key]
    text = reference.bibtex(key)
    assert re.match(rf"@(article|book|misc){{{key},\n", text)
    assert text.count("{") == text.count("}")
    assert not re.search(r"(?<!\\)[&%#]", re.sub(r"adsurl = .*|doi = .*", "", text))
    assert reference.url or reference.journal or key == "astro_ood"
    assert reference.text.endswith(".")


@pytest.mark.parametrize(
    ("solver", "cited", "not_cited"),
    [
        ("dpm2m", {"lu2022b"}, {"lu2022a", "cox2002", "zhao2023"}),
        ("ab2", {"lu2022a"}, {"lu2022b", "cox2002", "zhao2023"}),
        ("unipc", {"lu2022b", "zhao2023"}, {"lu2022a", "cox2002"}),
        ("rk4", {"cox2002"}, {"lu2022a", "lu2022b", "zhao2023"}),
        ("ddim", {"song2020"}, {"lu2022a", "lu2022b", "cox2002", "zhao2023"}),
        ("", {"song2020"}, {"lu2022a", "lu2022b", "cox2002", "zhao2023"}),
    ],
)
def test_a_solver_is_cited_where_it_was_used(data, solver, cited, not_cited):
    found = set(methods_of(replace(data, inversion=replace(data.inversion, solver=solver))).cited)
    assert cited <= found
    assert not not_cited & found


def test_every_solver_of_the_package_has_its_words():
    from astro_ood.diffusion.presets import latent_solvers
    from astro_ood.report.vocabulary import SOLVERS

    assert set(latent_solvers()) == set(SOLVERS)


@pytest.mark.parametrize(
    ("proposal", "words", "cited"),
    [
        ({"kind": "slerp", "k": 2, "n": 48}, "spherical interpolation", False),
        ({"kind": "gaussian", "k": 1, "n": 48}, "stationary Gaussian prior", False),
        ({"kind": "lol", "k": 5, "n": 48}, "combinations of 5 inverted latents", True),
    ],
)
def test_a_proposal_is_named_where_it_was_made(data, proposal, words, cited):
    changed = replace(data, latents=replace(data.latents, proposal=proposal))
    assert words in said(changed)["New latents"]
    assert ("bodin2024" in methods_of(changed).cited) == cited


def test_nothing_is_claimed_that_was_not_done(data):
    bare = replace(
        data,
        data=replace(data.data, n_held_out=0, regions={"inverted": ["a"]}, skipped=[], unit="", pixel_scale=None, files=[]),
        inversion=replace(data.inversion, preset="paper", solver="ddim", rows=[], frame={}),
        latents=replace(data.latents, criteria={"kind": "none", "bands": []}, held_out_accepted=None),
        model={"name": "x", "trained_on": "not stated"},
        rows=[],
        novelty=None,
        provenance=[],
        title="a run",
    )
    methods = methods_of(bare)
    text = " ".join(text for _, text in methods.paragraphs)
    for word in (
        "held-out",
        "Holm",
        "p-value",
        "permut",
        "IAAFT",
        "arcmin",
        "file",
        "even in the logarithm",
        "deterministically",
        "η",
    ):
        assert word not in text, word
    for word in ("none was held out", "unit is not known", "at the published times", "does not state", "No acceptance criterion"):
        assert word in text, word
    assert "Validation" not in said(bare)
    assert "Software" not in said(bare)
    assert set(methods.cited) == {"zhu2023", "song2020", "bodin2024"}


def test_rows_of_other_sets_are_baselines(data):
    rows = [row for row in data.rows if row["set"] != "IAAFT"]
    methods = methods_of(replace(data, rows=rows))
    assert "schreiber1996" not in methods.cited
    text = dict(methods.paragraphs)["Validation"]
    assert "augmentation by flips" in text
    assert "(Bruna & Mallat 2018; Allys et al. 2020) (16 maps only)" in text
    assert "equal numbers" not in text
    equal = [row | {"n_synthetic": 48} for row in rows]
    assert "equal numbers of maps" in dict(methods_of(replace(data, rows=equal)).paragraphs)["Validation"]


@pytest.mark.parametrize(
    ("title", "path", "sha256", "cited"),
    [
        ("Some maps", "a.fits", "f86a2ac8249077c64b6c63e6db6993adf6ad5b3b4477a6c5fbf28ec0207b1645", {"hi4pi2016"}),
        ("Hydrogen of HI4PI", "a.fits", None, {"hi4pi2016"}),
        ("Dust", "dust_ebv_Planck13_healpix_lowres.fits", None, {"planck2014"}),
        ("Clouds", "/data/HI4PI/a.fits", None, set()),
        ("Clouds", "a.fits", "0" * 64, set()),
    ],
)
def test_published_maps_are_cited_where_the_run_says_so(data, title, path, sha256, cited):
    files = [{"path": path, "sha256": sha256, "bytes": 1}]
    found = methods_of(replace(data, title=title, data=replace(data.data, files=files))).cited
    assert set(found) & {"hi4pi2016", "planck2014"} == cited


def test_the_healpix_projection_comes_from_the_headers(data):
    assert "gorski2005" not in methods_of(data).cited
    assert "gorski2005" in methods_of(replace(data, data=replace(data.data, projection="GLON-HPX"))).cited


def test_how_maps_met_the_network(data):
    card = data.inversion
    wide = replace(card, frame={"shape": [1, 60, 64], "network_shape": [3, 64, 64]})
    text = said(replace(data, inversion=wide))["Network"]
    assert "repeated in the 3 channels" in text
    assert "padded by reflection to 64 × 64" in text
    stacked = replace(card, frame={"shape": [3, 64, 64], "network_shape": [3, 64, 64]})
    assert "stacked, 3 at a time" in said(replace(data, inversion=stacked))["Network"]
    windowed = with_settings(data, "latents", model={"window": 32})
    assert "bartal2023" in methods_of(windowed).cited
    assert "bartal2023" not in methods_of(with_settings(data, "latents", model={"window": 64})).cited


def test_a_probe_and_noise_are_told_where_they_were_used(data):
    assert "probe" not in said(data)["Inversion"]
    probed = replace(data, inversion=replace(data.inversion, preset="tolerance"))
    assert "chosen by a probe on the maps for a tolerance of 1%" in said(probed)["Inversion"]
    noisy = with_settings(data, "samples", decoding={"eta": 0.5})
    assert "stochastically with η = 0.5 (Song et al. 2020)" in said(noisy)["New latents"]


def test_what_was_steered_is_no_evidence(data):
    assert not any("guided" in line for line in limits_of(data))
    guided = with_settings(data, "samples", decoding={"eta": 0.0, "guidance": {"statistics": ["spectrum", "pdf", "phases"]}})
    steered = "the power spectrum, the values of the pixels and the correlations between scales"
    assert f"moved towards {steered} of the inverted maps" in said(guided)["New latents"]
    assert any(line.startswith(f"Decoding was guided: {steered} of the synthetic maps") for line in limits_of(guided))


def test_regions_are_what_is_exchanged_where_they_hold_several_maps(data):
    assert "permutations of whole maps" in said(data)["Validation"]
    shared = replace(data.data, regions={"inverted": ["a", "b"], "held_out": ["c", "d"]})
    assert "permutations of whole regions of the sky" in said(replace(data, data=shared))["Validation"]


def test_versions_that_differ_between_stages_are_all_named(data):
    mixed = [{**e, "versions": {"numpy": "2.0.0"}} if e["stage"] == "prior" else e for e in data.provenance]
    assert "NumPy 2.4.6 and 2.0.0" in said(replace(data, provenance=mixed))["Software"]


def test_hostile_words_are_cleaned_and_stay_words(data):
    methods = methods_of(poisoned(data))
    text = methods.text(HOSTILE)
    assert not re.search("[\x00\u202e\ud800]", text)
    assert "<script>alert(1)</script>" in text
    assert "script" not in methods.bibtex
