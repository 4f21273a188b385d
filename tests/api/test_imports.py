"""What is loaded when, and which package may know which."""

import ast
import subprocess
import sys

import pytest

HEAVY = ("torch", "pandas", "matplotlib", "zarr", "dask", "h5py", "astropy", "scipy", "pydantic", "yaml")


def loaded(root, code: str) -> set[str]:
    """Heavy packages in a fresh process after some code."""
    ending = f"; import sys; print(','.join(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + ending], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(filter(None, done.stdout.strip().split(",")))


def test_importing_the_package_loads_nothing_heavy(root):
    assert loaded(root, "import astro_ood; dir(astro_ood); astro_ood.__version__") == set()


@pytest.mark.parametrize(
    "name", ["astro_ood.maps", "astro_ood.stats.scores", "astro_ood.stores", "astro_ood.report", "astro_ood.cli"]
)
def test_packages_without_networks_load_no_torch(root, name):
    found = loaded(root, f"import {name}")
    assert not found & {"torch", "matplotlib", "pandas"}


def test_the_workflow_needs_the_configuration_alone(root):
    found = loaded(root, "import astro_ood.config, astro_ood._resources, astro_ood.errors")
    assert found <= {"pydantic", "yaml"}


def test_maps_are_read_without_networks(root):
    assert "torch" not in loaded(root, "import astro_ood as ao; ao.read_maps; ao.Map; ao.Stretch; ao.open_run; ao.validate")


def test_contracts_of_the_layers(root):
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_nothing_prints_and_no_error_is_swallowed(root):
    """No `print` in the package, and no bare `except`."""
    for path in (root / "astro_ood").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id == "print"), path
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None), path
