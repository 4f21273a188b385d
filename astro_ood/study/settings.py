"""What a study is made of: networks, domains, experiments, and how much of each. `config/study.yaml` is an example."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from astro_ood._yaml import read_text, read_yaml
from astro_ood.config import Data, Model, Section
from astro_ood.errors import ConfigError

IN_DOMAIN = "in-domain"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
Experiment = Literal["E1", "E2", "E3", "E4", "E5", "E6", "E7", "E12", "E14", "E15"]
EXPERIMENTS: tuple[Experiment, ...] = get_args(Experiment)


class Synthetic(Section):
    """Maps whose law is known: Gaussian fields with P ~ k^slope, or their exponentials."""

    kind: Literal["gaussian", "lognormal"] = "gaussian"
    slope: float = Field(-3.0, ge=-6, le=0)


class Effort(Section):
    """How much is computed."""

    inverted: int = Field(24, ge=4, description="Maps inverted, at most")
    held_out: int = Field(24, ge=4, description="Maps held out, at most")
    in_domain: int = Field(24, ge=8, description="Samples of each network itself, half of them as the held-out ones")
    samples: int = Field(24, ge=4, description="New maps of each recipe")
    n_steps: int = Field(24, ge=4, description="Evaluations of the network along a trajectory")
    t_0: float = Field(
        700.0, gt=0, description="Time inverted to, in the published schedule; other networks: equal signal-to-noise"
    )
    times: list[Annotated[float, Field(gt=0)]] = Field(
        [100.0, 300.0, 500.0, 700.0, 900.0], min_length=1, description="Times of latents compared, likewise"
    )
    evaluations: list[Annotated[int, Field(ge=2)]] = Field(
        [10, 20, 40, 80], min_length=1, description="E1: evaluations per direction"
    )
    solvers: list[str] = Field(["paper", "dpm2m"], min_length=1, description="E1: the published loop, and solvers on even log SNR")
    reconstructed: int = Field(6, ge=2, description="E1, E6, E7: maps")
    candidates: int = Field(256, ge=8, description="E5: candidates of each proposal")
    etas: list[Annotated[float, Field(ge=0, le=1)]] = Field([0.0, 0.3, 0.6, 1.0], min_length=2, description="E6: stochasticity")
    directions: int = Field(2, ge=1, description="E7: random directions a map")
    fewer: list[Annotated[int, Field(ge=2)]] = Field([5, 10, 20], description="E3: numbers of maps")
    recipes: list[str] | None = Field(None, description="E15: names, see astro_ood.study.recipes; none for all")
    permutations: int = Field(999, ge=99, description="Relabellings of each test")


class StudyNetwork(Section):
    """A frozen network, and the maps that it is given."""

    model: Model = Model()
    patch: int = Field(32, ge=16, le=1024, description="Side of its maps, pixels")
    experiments: list[Experiment] | None = Field(None, description="Only these, for a slow network; none for all")
    domains: list[Name] | None = Field(None, description="Only these; none for all")
    effort: Effort | None = Field(None, description="Other numbers than the study's, as a whole")


class Study(Section):
    """Networks x domains x experiments."""

    name: Name = "study"
    seed: int = Field(0, ge=0, lt=2**63)
    networks: dict[Name, StudyNetwork] = Field(min_length=1)
    domains: dict[Name, Data | Synthetic] = Field(
        min_length=1, description="Files as in a run (patch, channels and fit follow from the network), or maps of a known law"
    )
    experiments: list[Experiment] = Field(list(EXPERIMENTS), min_length=1)
    effort: Effort = Effort()

    @model_validator(mode="after")
    def _names_exist(self) -> Study:
        for name, network in self.networks.items():
            for domain in network.domains or []:
                if domain not in self.domains:
                    raise ValueError(f"networks.{name}.domains: there is no domain '{domain}'")
        if IN_DOMAIN in self.domains:
            raise ValueError(f"'{IN_DOMAIN}' stands for the networks' own samples: choose another name")
        return self

    @property
    def root(self) -> Path:
        """Directory of the study, relative to the current directory."""
        return Path("results") / self.name

    def effort_of(self, network: str) -> Effort:
        """How much is computed through a network."""
        return self.networks[network].effort or self.effort

    def domains_of(self, network: str) -> list[str]:
        """Domains that a network is given, without its own."""
        chosen = self.networks[network].domains
        return [name for name in self.domains if chosen is None or name in chosen]

    def material(self, network: str, domain: str) -> Path:
        """Where maps and latents of a pair stand."""
        return self.root / "material" / network / f"{domain}.npz"

    def cells(self) -> list[tuple[str, str, str]]:
        """All (experiment, network, domain)."""
        found: list[tuple[str, str, str]] = []
        for name, network in self.networks.items():
            for experiment in self.experiments:
                if network.experiments is None or experiment in network.experiments:
                    own = [IN_DOMAIN] if experiment in ("E1", "E2") else []
                    found += [(experiment, name, domain) for domain in (*self.domains_of(name), *own)]
        return found

    def table(self, experiment: str, network: str, domain: str) -> Path:
        """Where the rows of a cell stand."""
        return self.root / "cells" / experiment / network / f"{domain}.csv"


def claim(study: Study) -> None:
    """Take the directory of a study, or make sure that what stands there was made by the same settings; new names may join.

    Raises
    ------
    ConfigError
        CF46: other settings of a network, a domain, the effort or the seed.
    """
    path = study.root / "study.json"
    own = study.model_dump(mode="json")
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in ("seed", "effort") if there[key] != own[key]]
        for section in ("networks", "domains"):
            both = set(there[section]) & set(own[section])
            # which of them a network is given is no matter of what is computed
            left_out = {"experiments", "domains"}
            plain = [{n: {k: v for k, v in d[section][n].items() if k not in left_out} for n in both} for d in (there, own)]
            changed += [f"{section}.{name}" for name in sorted(both) if plain[0][name] != plain[1][name]]
            own[section] = there[section] | own[section]
        if changed:
            problem = f"what stands there was made by other settings of {', '.join(changed)}"
            raise ConfigError("CF46", study.root, problem, "give the study another name, or delete the directory")
        if own == there:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".study.{os.getpid()}.tmp")
    work.write_text(json.dumps(own, indent=1), encoding="utf-8")
    work.replace(path)


def load(path: str | Path) -> Study:
    """Read the YAML file of a study.

    Raises
    ------
    ConfigError
        Unreadable, or not a study (CF43, CF44).
    """
    path = Path(path)
    raw: Any = read_yaml(read_text(path), path)
    if not isinstance(raw, dict):
        raise ConfigError(
            "CF43", path, f"expected sections such as `networks:`, found {type(raw).__name__}", "see config/study.yaml"
        )
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        found = json.dumps(first["input"], default=str)[:80]
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError("CF44", path, f"{key or 'study'} = {found}: {message}", "see config/study.yaml") from None
