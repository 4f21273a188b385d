import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maps_support import TAN, noise, put

from astro_ood.errors import ConfigError, InputError
from astro_ood.maps import Map, collect, read_maps, split_regions
from astro_ood.maps.patches import block, cut


def maps(*regions):
    return [Map(noise(16, 16, seed=i), name=f"m{i}", region=r) for i, r in enumerate(regions)]


@given(st.integers(16, 90), st.integers(16, 90), st.integers(16, 40))
def test_patches_are_disjoint_centred_and_of_one_size(height, width, patch):
    data = np.arange(height * width, dtype=np.float64).reshape(height, width)
    if min(height, width) < patch:
        with pytest.raises(InputError, match="AOD-IN16"):
            cut(Map(data), patch)
        return
    tiles = cut(Map(data), patch)
    assert len(tiles) == (height // patch) * (width // patch)
    values = np.concatenate([t.data.ravel() for t in tiles])
    assert len(np.unique(values)) == values.size == len(tiles) * patch**2
    assert len({t.name for t in tiles}) == len(tiles)
    top, bottom = values.min() // width, height - 1 - values.max() // width
    assert abs(top - bottom) <= 1


def test_each_patch_has_the_wcs_of_its_pixels(tmp_path):
    path = put(tmp_path / "w.fits", noise(70, 100), **TAN)
    from astropy.wcs import WCS

    whole = WCS(TAN)
    for m in read_maps(path, 32):
        i, j = int(m.name[-5:-3]), int(m.name[-2:])
        assert m.wcs.wcs_pix2world([[5, 9]], 0) == pytest.approx(whole.wcs_pix2world([[2 + 32 * j + 5, 3 + 32 * i + 9]], 0))


@pytest.mark.parametrize(("ny", "nx", "n"), [(13, 13, 8), (8, 16, 8), (9, 10, 8), (1, 40, 8), (2, 2, 4), (1, 1, 1), (3, 7, 8)])
def test_blocks_are_about_eight_contiguous_and_of_similar_size(ny, nx, n):
    grid = np.array([[block(i, j, ny, nx) for j in range(nx)] for i in range(ny)])
    assert len(np.unique(grid)) == n
    for b in np.unique(grid):
        rows, cols = np.nonzero(grid == b)
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(cols) + 1)


def test_alternate_blocks_are_a_checkerboard():
    grid = np.array([[block(i, j, 8, 16) % 2 for j in range(0, 16, 4)] for i in (0, 4)])
    assert np.array_equal(grid, [[0, 1, 0, 1], [1, 0, 1, 0]])


def test_regions_of_few_and_of_many_files(tmp_path):
    paths = [put(tmp_path / f"f{i}.fits", noise(64, 64, seed=i)) for i in range(4)]
    assert {m.region for m in read_maps(paths, 32)} == {"f0", "f1", "f2", "f3"}
    assert {m.region for m in read_maps(paths[:3], 32)} == {f"f{i}:b{b}" for i in range(3) for b in range(4)}
    assert [m.region for m in read_maps(paths[:1], 64)] == ["f0"]


def test_files_of_one_name_stay_apart(tmp_path):
    paths = []
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        paths.append(put(tmp_path / str(i) / "m.fits", noise(64, 64, seed=i)))
    found = read_maps(paths, 32)
    assert len({m.name for m in found}) == 8


def test_in39_copies_are_dropped_at_reading_and_refused_at_splitting(tmp_path):
    paths = [put(tmp_path / f"{i}.fits", noise(32, 32)) for i in range(2)]
    out = collect(paths, 32)
    assert len(out.maps) == 1
    assert out.notes[-1].startswith("IN39 1 exact copies")
    twin = [Map(noise(16, 16), name=f"t{i}", region=f"r{i % 2}") for i in range(2)]
    with pytest.raises(InputError, match="AOD-IN39"):
        split_regions([*maps("r0", "r1"), *twin])


def test_default_split_alternates_in_natural_order():
    found = maps(*(f"b{i}" for i in range(12)))
    assert split_regions(found) == ([0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11])


def test_named_regions():
    found = maps("a", "b", "b", "c")
    assert split_regions(found, ["b"]) == ([1, 2], [0, 3])
    with pytest.raises(ConfigError, match=r"unknown regions d; choose among a, b, c"):
        split_regions(found, ["b", "d"])


def test_in40_too_few_maps():
    for bad, options in (
        (maps("a"), {}),
        (maps("a", "b"), {}),
        (maps("a", "a", "a"), {}),
        (maps("a", "b", "c"), {"inverted": ["a", "b", "c"]}),
    ):
        with pytest.raises(InputError, match="AOD-IN40"):
            split_regions(bad, **options)
    assert split_regions(maps("a", "b"), min_held_out=0) == ([0, 1], [])
    assert split_regions(maps("a", "b", "b")) == ([1, 2], [0])


def test_thinning_is_even_over_the_regions():
    found = maps(*(r for r in "abcd" for _ in range(10)))
    inside, outside = split_regions(found, max_inverted=5)
    assert len(inside) == 5
    assert [found[i].region for i in inside].count("a") == 3
    assert len(outside) == 20
    assert len(split_regions(found, max_inverted=100)[0]) == 20


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30), st.integers(2, 30))
def test_no_region_is_on_both_sides(regions, limit):
    found = maps(*regions)
    try:
        inside, outside = split_regions(found, max_inverted=limit)
    except InputError as error:
        assert error.code == "AOD-IN40"  # noqa: PT017
        return
    assert {found[i].region for i in inside}.isdisjoint(found[i].region for i in outside)
    assert 2 <= len(inside) <= limit
    assert len(set(inside)) == len(inside)
