"""Synthetic maps as FITS files."""

from __future__ import annotations

from pathlib import Path

from astro_ood.api.run import open_run
from astro_ood.maps import write_fits
from astro_ood.stores import open_shards


def export_fits(run_directory: str | Path, out: str | Path) -> int:
    """Write each synthetic map of a run as a FITS image with BUNIT, a WCS template and ``SYNTH = T``.

    The WCS is that of the first inverted map: it gives the pixel scale, not a place on the sky.

    Returns
    -------
    int
        Number of files.
    """
    run, folder = open_run(run_directory), Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    store = open_shards(run.root / "samples", "samples")
    names, seed = store.attrs["parent_ids"], store.shards[0].manifest.seed
    maps = run.samples.to_maps()
    for image, parents, weights in zip(maps, store.load("parents"), store.load("weights"), strict=True):
        mixture = ", ".join(f"{w:+.4f} {names[p]}" for p, w in zip(parents, weights, strict=True) if p >= 0)
        history = [
            f"made by astro_ood in run {run.root.name}, proposal {store.attrs['proposal']}",
            f"latents combined: {mixture or 'none, drawn from the prior'}",
            "the WCS is a template for the pixel scale, not a position",
        ]
        write_fits(image, folder / f"{image.name}.fits", extra={"SYNTH": True, "SEED": seed, "HISTORY": history})
    return len(maps)
