"""Synthetic maps as FITS files."""

from __future__ import annotations

from pathlib import Path

from astro_ood.api.run import open_run
from astro_ood.maps import write_fits


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
    attrs = run.samples.attrs
    history = [
        f"made by astro_ood from run {run.root.name}",
        f"inverted maps: {', '.join(attrs['parent_ids'])}",
        "the WCS is a template for the pixel scale, not a position",
    ]
    maps = run.samples.to_maps()
    for image in maps:
        write_fits(image, folder / f"{image.name}.fits", extra={"SYNTH": True, "HISTORY": history})
    return len(maps)
