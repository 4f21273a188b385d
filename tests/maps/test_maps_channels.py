"""Maps as channels of one image: contents, regions, cuts."""

import numpy as np
import pytest

from astro_ood.errors import InputError
from astro_ood.maps import Map
from astro_ood.maps.channels import crop, stack, unstack


def maps(regions, side=16):
    rng = np.random.default_rng(0)
    return [
        Map(rng.standard_normal((side, side)).astype(np.float32), "K", f"m{i}", region, header={"CRPIX1": 1.0})
        for i, region in enumerate(regions)
    ]


def test_stacked_and_apart_again():
    before = maps("aaabbbccc")
    stacked = stack(before)
    assert [m.shape for m in stacked] == [(3, 16, 16)] * len(stacked)
    after = unstack(stacked)
    assert sorted(m.digest for m in after) == sorted(m.digest for m in before)
    assert unstack(before) == before
    assert {m.unit for m in after} == {"K"}


def test_maps_of_one_region_go_together_where_there_are_enough():
    stacked = stack(maps("aaaabbb"))
    assert [m.region for m in stacked] == ["a", "b"]


def test_images_that_share_a_region_belong_to_one():
    stacked = stack(maps("aabbccdefghi"))
    assert len(stacked) == 4
    by_region = {}
    for m in stacked:
        for region in m.region.split(" + "):
            by_region.setdefault(region, set()).add(m.region)
    assert all(len(names) == 1 for names in by_region.values())
    assert len({m.region for m in stacked}) == 3


@pytest.mark.parametrize(("some", "problem"), [(maps("ab"), "do not fill 3"), (stack(maps("aaa")) * 3, "several channels")])
def test_refuses_what_cannot_be_stacked(some, problem):
    with pytest.raises(InputError, match=f"IN32.*{problem}"):
        stack(some)


def test_crop_keeps_the_first_pixel():
    (m,) = maps("a", 21)
    (cut,) = crop([m], 8)
    assert cut.shape == (1, 16, 16)
    assert np.array_equal(cut.data, m.data[:, :16, :16])
    assert cut.header == m.header
    with pytest.raises(InputError, match=r"IN31.*fewer than 32"):
        crop([m], 32)
