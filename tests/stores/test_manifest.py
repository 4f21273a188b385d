"""The manifest is read back exactly or refused."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores_support import write

from astro_ood.errors import StoreError
from astro_ood.stores import LAYOUT_VERSION, Manifest, manifest_hash
from astro_ood.stores.manifest import json_hash

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)


def manifest(content: object) -> Manifest:
    made = {"settings": {"a": content}, "settings_hash": json_hash({"a": content}), "inputs": {}, "model": None, "seed": None}
    return Manifest(LAYOUT_VERSION, "fields", "2025-01-01T00:00:00+00:00", ["x"], {}, **made, arrays={}, files={})


@given(JSON)
@settings(deadline=None)
def test_text_returns(content):
    text = manifest(content).to_json()
    assert Manifest.from_json(text).to_json() == text
    assert Manifest.from_json(text).settings == {"a": content}


def test_no_flipped_bit_goes_unseen():
    whole = manifest({"é": 1.5}).to_json().encode()
    for position in range(len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[position] ^= 1 << bit
            try:
                text = data.decode()
            except UnicodeDecodeError:
                continue
            with pytest.raises(StoreError, match=r"AOD-ST0[23]"):
                Manifest.from_json(text)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '{"layout": 1}', "[" * 100_000, '{"layout": 1, "layout": 1}', '{"layout": 1, "x": NaN}']
)
def test_other_text_is_refused(text):
    with pytest.raises(StoreError, match="AOD-ST02"):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stage", 3),
        ("files", []),
        ("files", {"a": {"size": 1}}),
        ("arrays", {"a": 1}),
        ("inputs", None),
        ("settings", {"a": 2}),
        ("extra", 1),
        ("stage", None),
    ],
)
def test_a_consistent_digest_does_not_excuse_other_content(key, value):
    content = json.loads(manifest(1).to_json())
    del content["sha256"]
    content[key] = value
    content["sha256"] = json_hash(content)
    with pytest.raises(StoreError, match="AOD-ST02"):
        Manifest.from_json(json.dumps(content, indent=1, sort_keys=True) + "\n")


@pytest.mark.parametrize("layout", [0, 2, "1", None, True, 1.0])
def test_an_unknown_layout_is_named(layout):
    content = json.loads(manifest(1).to_json()) | {"layout": layout}
    with pytest.raises(StoreError, match=r"AOD-ST03 .*reads layout 1"):
        Manifest.from_json(json.dumps(content))


def test_facts_of_the_writing(tmp_path):
    returned = write(
        tmp_path / "s", settings={"b": 1, "a": [1.5, "x"]}, inputs={"fields": "ab"}, model={"name": "default", "sha256": "cd"}
    )
    file = tmp_path / "s" / "manifest.json"
    read = Manifest.from_json(file.read_text())
    assert read == returned
    assert manifest_hash(tmp_path / "s") == hashlib.sha256(file.read_bytes()).hexdigest()
    assert read.settings_hash == hashlib.sha256(b'{"a":[1.5,"x"],"b":1}').hexdigest()
    assert (read.inputs, read.model, read.seed) == ({"fields": "ab"}, {"name": "default", "sha256": "cd"}, 7)
    assert read.arrays["x"].shape == [3, 1, 4, 5]
    assert (read.arrays["x"].dtype, read.arrays["x"].unit) == ("float32", "K")
    assert read.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"numpy", "zarr"} <= set(read.versions)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(read.created)).total_seconds()) < 60
    present = {path.relative_to(tmp_path / "s").as_posix() for path in (tmp_path / "s" / "data.zarr").rglob("*") if path.is_file()}
    assert set(read.files) == present
    for name, info in read.files.items():
        data = (tmp_path / "s" / name).read_bytes()
        assert (info.size, info.sha256) == (len(data), hashlib.sha256(data).hexdigest())
