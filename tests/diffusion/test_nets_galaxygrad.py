"""The mixer of galaxygrad against its formulas in numpy, and against what a score must be."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from astro_ood.diffusion.nets import ARCHITECTURES, ScoreNet
from astro_ood.diffusion.nets.galaxygrad import leaf_names, named
from astro_ood.diffusion.weights import fit_state, guess_architecture, read_state
from astro_ood.errors import ModelError

HIDDEN, MIX_PATCH, MIX_HIDDEN, BLOCKS, PATCH = 6, 7, 5, 2, 4


def random_leaves(rng, grid=3):
    """Leaves in the order and with the shapes of equinox."""
    n = grid**2
    block = [(MIX_PATCH, n), (MIX_PATCH,), (n, MIX_PATCH), (n,), (MIX_HIDDEN, HIDDEN), (MIX_HIDDEN,), (HIDDEN, MIX_HIDDEN)]
    block += [(HIDDEN,), (HIDDEN, n), (HIDDEN, n), (n, HIDDEN), (n, HIDDEN)]
    head = [(HIDDEN, 2, PATCH, PATCH), (HIDDEN, 1, 1), (1, HIDDEN, PATCH, PATCH), (1, 1, 1)]
    shapes = [*head, *block * BLOCKS, (HIDDEN, n), (HIDDEN, n)]
    return [0.4 * rng.normal(size=shape).astype(np.float32) for shape in shapes] + [np.array(8.0)]


def save(path, leaves):
    with path.open("wb") as file:
        for leaf in leaves:
            np.save(file, leaf)
    return path


def opened(path):
    state = read_state(path)
    kind = ARCHITECTURES["galaxygrad"]
    net = kind.build(kind.arguments_from(state)["network"])
    fit_state(net, state, path, "galaxygrad")
    return net.eval()


def layer_norm(y, weight, bias):
    return (y - y.mean()) / np.sqrt(y.var() + 1e-5) * weight + bias


def perceptron(y, w1, b1, w2, b2):
    return np.maximum(y @ w1.T + b1, 0) @ w2.T + b2


def score(leaves, x, t):
    """The network written out for one map (H, W), patch by patch."""
    conv_in, b_in, conv_out, b_out = leaves[:4]
    h, w = (side // PATCH for side in x.shape)
    image = np.stack([x, np.full_like(x, t / leaves[-1])])
    y = np.empty((HIDDEN, h * w))
    for p in range(h * w):
        i, j = PATCH * (p // w), PATCH * (p % w)
        y[:, p] = (conv_in * image[None, :, i : i + PATCH, j : j + PATCH]).sum((1, 2, 3)) + b_in[:, 0, 0]
    for b in range(BLOCKS):
        p1, p2, p3, p4, h1, h2, h3, h4, n1, m1, n2, m2 = leaves[4 + 12 * b : 16 + 12 * b]
        y = y + perceptron(layer_norm(y, n1, m1), p1, p2, p3, p4)
        y = (y.T + perceptron(layer_norm(y.T, n2, m2), h1, h2, h3, h4)).T
    y = layer_norm(y, *leaves[-3:-1])
    out = np.empty_like(x)
    for p in range(h * w):
        i, j = PATCH * (p // w), PATCH * (p % w)
        # a correlation with the dilated map meets the kernel from its end
        out[i : i + PATCH, j : j + PATCH] = np.tensordot(y[:, p], conv_out[0, :, ::-1, ::-1], 1) + b_out
    return out


def test_agrees_with_its_formulas(tmp_path):
    rng = np.random.default_rng(3)
    leaves = random_leaves(rng)
    net = opened(save(tmp_path / "net.eqx", leaves))
    assert net.config["shape"] == [1, 12, 12]
    assert net.config["last"] == 8
    x, t = rng.normal(size=(2, 1, 12, 12)).astype(np.float32), np.array([0.3, 7.7], np.float32)
    with torch.inference_mode():
        found = net(torch.from_numpy(x), torch.from_numpy(t)).numpy()
    expected = np.stack([score(leaves, image[0].astype(float), time) for image, time in zip(x, t, strict=True)])
    np.testing.assert_allclose(found[:, 0], expected, atol=2e-5 * np.abs(expected).max())


def test_is_known_by_its_leaves_and_by_its_names(tmp_path):
    state = read_state(save(tmp_path / "net.eqx", random_leaves(np.random.default_rng(0))))
    assert guess_architecture(state) == guess_architecture(named(state)) == "galaxygrad"
    assert named(named(state)) is not state
    assert list(named(state)) == leaf_names(BLOCKS)
    kind = ARCHITECTURES["galaxygrad"]
    assert kind.arguments_from(state) == kind.arguments_from(named(state))


@pytest.mark.parametrize("drop", [1, 5])
def test_other_leaves_stay_unnamed(tmp_path, drop):
    state = read_state(save(tmp_path / "net.eqx", random_leaves(np.random.default_rng(0))[:-drop]))
    assert named(state) is state
    assert guess_architecture(state) is None


def test_takes_its_own_size_only():
    net = ScoreNet((1, 8, 12), hidden=6, mix_patch=4, mix_hidden=4, blocks=1)
    assert net.fixed_size
    again = ScoreNet(**net.config)
    again.load_state_dict(net.state_dict())
    x = torch.randn(3, 1, 8, 12)
    torch.testing.assert_close(net(x, torch.tensor([2.0])), again(x, torch.tensor([2.0, 2.0, 2.0])))
    with pytest.raises(ValueError, match="whole number of patches"):
        ScoreNet((1, 10, 12))


def test_a_map_that_is_not_square_must_be_described():
    net = ScoreNet((1, 8, 12), hidden=6, mix_patch=4, mix_hidden=4, blocks=1)
    with pytest.raises(ModelError, match=r"AOD-MD02 .*6 patches, which is no square"):
        ARCHITECTURES["galaxygrad"].arguments_from(net.state_dict())


@pytest.fixture(scope="module")
def published():
    """Weights of the galaxygrad wheel, which is never imported."""
    folder = os.environ.get("ASTRO_OOD_GALAXYGRAD")
    spec = None if folder else importlib.util.find_spec("galaxygrad")
    places = [folder] if folder else (spec.submodule_search_locations or []) if spec else []
    files = sorted(file for place in places for file in Path(place).glob("*.eqx"))
    if not files:
        pytest.skip("no galaxygrad: set ASTRO_OOD_GALAXYGRAD to the folder of its .eqx files, or install it")
    return files


def test_published_scores_are_those_of_noise_in_the_end(published):
    """At the last time, alpha_bar = exp(-10), nothing is left of the data: the score is that of N(0, 1), -x."""
    torch.manual_seed(0)
    sides = set()
    for file in published:
        net = opened(file)
        x = torch.randn(8, *net.config["shape"])
        with torch.inference_mode():
            error = net(x, torch.tensor([10.0])) + x
        assert error.square().mean() < 0.01 * x.square().mean(), file.name
        sides.add(net.image_size)
    assert sides <= {32, 60, 64, 72}
