"""Maps: reading, cutting, splitting, normalising and writing physical images."""

from __future__ import annotations

from astro_ood.maps.batch import FieldBatch
from astro_ood.maps.consistency import same_unit, sift
from astro_ood.maps.core import Map
from astro_ood.maps.export import write_fits
from astro_ood.maps.files import resolve
from astro_ood.maps.inspection import FileSummary, inspect
from astro_ood.maps.readers import Reading, Readout, collect, read_map, read_maps
from astro_ood.maps.record import Record
from astro_ood.maps.split import split_regions
from astro_ood.maps.stretch import Stretch
from astro_ood.maps.synthetic import gaussian_field

__all__ = [
    "FieldBatch",
    "FileSummary",
    "Map",
    "Reading",
    "Readout",
    "Record",
    "Stretch",
    "collect",
    "gaussian_field",
    "inspect",
    "read_map",
    "read_maps",
    "resolve",
    "same_unit",
    "sift",
    "split_regions",
    "write_fits",
]
