"""Sections of the configuration for what comes after the proposals: how latents become maps, and how both are judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all sections: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, validate_default=True)


class Guidance(Section):
    """Statistics of the inverted maps that decoded maps are moved towards; they are no evidence for the new maps (docs/guidance.md)."""

    t_from: float | None = Field(
        None, ge=0, description="Time from which on estimates are moved, in the network's own steps; none: t_0"
    )
    steps: int = Field(8, ge=0, le=1000, description="Steps downhill at each evaluation of the network; 0: only at the end")
    last: int = Field(120, ge=0, le=10_000, description="Steps downhill of the decoded map")
    strength: float = Field(1.0, gt=0, le=1, description="Part of the way that an estimate is moved")
    aim: Literal["parent", "draw", "mean"] = Field(
        "parent", description="Statistics of one inverted map, a draw from their law, or their mean"
    )
    statistics: list[Literal["spectrum", "pdf", "scattering", "phases"]] = Field(
        ["spectrum", "pdf", "scattering", "phases"], min_length=1, description="Which are steered"
    )
    soft: bool = Field(True, description="Targets as they are seen through the noise of their time")


class Decoding(Section):
    """How new latents become maps."""

    eta: float = Field(0.0, ge=0, le=1, description="Stochasticity: 0 deterministic, 1 ancestral")
    guidance: Guidance | None = Field(
        Guidance(),
        description="Move maps towards statistics of the inverted ones (docs/guidance.md); null: do not, as for maps of several channels",
    )
    transfer: bool = Field(
        False,
        description="Filter decoded maps by one gain for each scale, from the first 24 samples to the inverted maps; every shard decodes "
        "these 24; the spectrum is then no evidence (docs/trajectories.md)",
    )
    shards: int = Field(2, ge=1, le=2000, description="Jobs that the decoding is divided into")


class Validation(Section):
    """How the new maps are compared with the held-out ones."""

    permutations: int = Field(4999, ge=99, le=1_000_000, description="Random relabellings of a test")
    log: bool | None = Field(None, description="Compare log10 of the maps; none: where the stretch is log10")
    baselines: list[Literal["augmentation", "gaussian", "iaaft", "scattering"]] | None = Field(
        None, description="Methods without a network to compare with; none: all, scattering only for maps of up to 128 x 128 pixels"
    )
    galaxies: bool = Field(False, description="Compare concentration, asymmetry, Gini and M20: for maps of one galaxy each")
    synthesised: int | None = Field(
        None, ge=2, description="Maps of the scattering baseline at most (0.4 s for 64 x 64); none: as new ones"
    )


class Diagnostics(Section):
    """What is found out about the latents; what needs the network is left out by default (docs/diagnostics.md)."""

    trajectories: bool = Field(
        False,
        description="Let the network draw maps of its own, compare their latents, and measure bandwidth and mode interference; some "
        "hundred evaluations for each map",
    )
    maps: int = Field(6, ge=2, le=512, description="trajectories: inverted maps around which the bandwidth is measured")
    etas: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [0.0, 0.3, 1.0], min_length=2, max_length=16, description="trajectories: stochasticities at which capture is counted"
    )
    own: int = Field(
        16, ge=4, le=512, description="trajectories: maps that the network draws; as many inverted ones are decoded at each eta"
    )
