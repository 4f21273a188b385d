"""From the stores of a run to what its report shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood import __version__
from astro_ood.api.run import Run, real_maps
from astro_ood.errors import StoreError
from astro_ood.maps import Map, Stretch
from astro_ood.maps.channels import unstack
from astro_ood.report.content import (
    DataCard,
    DiagnosticsCard,
    Gallery,
    InversionCard,
    LatentCard,
    Nearness,
    NoveltyCard,
    Pairs,
    Pdf,
    ReportData,
    Spectra,
    Verdict,
)
from astro_ood.stats.spectrum import power_spectrum
from astro_ood.stores import Store, open_shards, open_store

SHOWN = 6
_NAMES = {"held_out": "real (held out)", "real": "real (inverted)", "synthetic": "synthetic"}


def collect_report(run: Run, title: str) -> ReportData:
    """Everything that the report of a finished run shows.

    Parameters
    ----------
    run : Run
    title : str
        Title of the page; the name of the run where it is empty.
    """
    fields, prior = (open_store(path, stage=stage) for path, stage in ((run.paths.fields, "fields"), (run.paths.prior, "prior")))
    inverted, held_out = real_maps(run)
    scores = run.scores
    return ReportData(
        name=run.root.name,
        title=title or run.root.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        commands=[
            f"astro-ood run {run.root.as_posix()}/config.yaml",
            f"astro-ood verify {run.root.as_posix()}",
        ],
        verdict=Verdict(scores.status, scores.verdict, scores.sentences),  # type: ignore[arg-type]
        data=_data(run, fields, inverted, held_out),
        inversion=inversion_card(run),
        model=_model(run.latents.attrs["model_card"], prior),
        latents=latent_card(run),
        gallery=gallery(run, SHOWN, 2 * SHOWN),
        spectra=spectra_card(run),
        pdf=pdf_card(run),
        novelty=novelty_card(run),
        diagnostics=diagnostics_card(run),
        rows=scores.rows,
        provenance=[*(_stage(entry) for entry in run.provenance["stores"]), *_others(run)],
    )


def spectra_card(run: Run) -> Spectra:
    """Power spectra of all sets, as `evaluate` found them."""
    scores, curves = run.scores, run.scores.curves
    area = curves["k_unit"].removeprefix("cycles/")
    scales = [r for r in scores.rows if r["set"] == "synthetic" and r["statistic"] == "spectrum" and r["scale"] is not None]
    return Spectra(
        k=np.array(curves["k"]),
        k_unit=curves["k_unit"],
        power={_NAMES.get(name, name): np.array(p) for name, p in curves["power"].items()},
        power_unit=f"dex2 {area}2" if curves["log"] else f"({run.fields.unit or 'value'})2 {area}2",
        floor=np.array([row["floor"] for row in scales], dtype=float),
    )


def pdf_card(run: Run) -> Pdf:
    """One-point densities of all sets, as `evaluate` found them."""
    curves = run.scores.curves
    return Pdf(np.array(curves["pdf_edges"]), {_NAMES.get(name, name): np.array(d) for name, d in curves["pdf"].items()})


def _data(run: Run, fields: Store, inverted: list[Map], held_out: list[Map]) -> DataCard:
    attrs = fields.attrs
    stretch = Stretch.from_dict(attrs["stretch"])
    return DataCard(
        unit=fields.unit("field"),
        patch=inverted[0].shape[1:],
        pixel_scale=inverted[0].pixel_scale,
        stretch=stretch.to_dict(),
        regions={"inverted": sorted({m.region for m in inverted}), "held_out": sorted({m.region for m in held_out})},
        n_inverted=len(inverted),
        n_held_out=len(held_out),
        files=attrs["files"],
        skipped=[{"path": path, "message": message} for path, message in attrs["skipped"]],
        notes=[*attrs["notes"], *_left_out(run)],
        projection=str(attrs["headers"][0].get("CTYPE1", "")),
    )


def _left_out(run: Run) -> list[str]:
    """What a reader should know of items that got lost, and of channels that fell apart."""
    stores = {"latents": open_shards(run.root / "latents", "latents"), "samples": open_shards(run.root / "samples", "samples")}
    notes = []
    for name, store in stores.items():
        lost = [i for shard in store.shards for i in shard.attrs["left_out"]]
        if lost:
            notes.append(
                f"{len(lost)} {name} are not finite or no noise, and are left out: items {', '.join(str(i) for i in lost[:20])}"
            )
        frame = stores["latents"].attrs["origin"]["frame"]
        if frame["network_shape"][0] > frame["shape"][0]:
            spread = float(np.median(store.load("channel_spread")))
            notes.append(
                f"{name}: the {frame['network_shape'][0]} channels of the network disagree by {spread:.1%} of a map's standard deviation (median)"
            )
    return notes


def inversion_card(run: Run) -> InversionCard:
    """Round trip and latent error of every real map."""
    store = open_shards(run.root / "latents", "latents")
    origin, times = store.attrs["origin"], store.attrs["check_t_0"]
    main, error, checks = (store.load(name) for name in ("round_trip", "latent_error", "round_trip_check"))
    split = run.fields.attrs["split"]
    rows = [
        {
            "id": name,
            "split": split[item],
            "round_trip": {
                origin["t_0"]: float(main[i]),
                **{t: float(c) for t, c in zip(times, checks[i], strict=True) if np.isfinite(c)},
            },
            "latent_error": float(error[i]),
        }
        for i, (item, name) in enumerate(zip(store.items, store.attrs["ids"], strict=True))
    ]
    return InversionCard(
        origin["preset"], origin["t_0"], origin["n_steps"], store.attrs["evaluations"], rows, origin["solver"], origin["frame"]
    )


def _model(card: dict[str, Any], prior: Store) -> dict[str, Any]:
    recorded = prior.manifest.model or {}
    return {
        "name": recorded.get("name", ""),
        "sha256": recorded.get("sha256", ""),
        "licence": card.get("licence", "not stated"),
        "parameters": card.get("parameters", "not stated"),
        "trained_on": _trained_on(card.get("trained_on")),
    }


def _trained_on(stated: Any) -> str:
    """What a card says of the training data: the embedded ones name photographs, others may say anything."""
    if isinstance(stated, dict) and {"photographs", "source"} <= set(stated):
        return f"photographs {', '.join(map(str, stated['photographs']))} ({stated['source']})"
    if isinstance(stated, dict):
        return ", ".join(f"{key}: {value}" for key, value in stated.items())
    return str(stated) if stated else "not stated"


def latent_card(run: Run) -> LatentCard:
    """Geometry and spectra of the latents, and how new ones were made."""
    prior, proposals = (
        open_store(path, stage=stage) for path, stage in ((run.paths.prior, "prior"), (run.paths.proposals, "proposals"))
    )
    z = np.asarray(run.latents)[_inverted_rows(run)]
    spectra = [power_spectrum(x[:, 0], window=None, n_bins=12) for x in (z, proposals.load("z"))]
    attrs = proposals.attrs
    accepted, n = prior.attrs["held_out_accepted"]
    return LatentCard(
        geometry=prior.attrs["geometry"],
        k=spectra[0].k,
        power_inverted=spectra[0].power,
        power_proposed=spectra[1].power,
        prior=prior.attrs["kind"],
        proposal={"kind": attrs["kind"], "k": int(proposals.load("parents").shape[1]), "n": len(attrs["ids"])},
        criteria=attrs["criteria"],
        tally=attrs["tally"],
        held_out_accepted=(accepted, n) if n and attrs["criteria"]["bands"] else None,
    )


def _inverted_rows(run: Run) -> NDArray[np.bool_]:
    """Which of the latents belong to inverted maps."""
    return np.array(run.fields.attrs["split"])[run.latents.attrs["items"]] == "inverted"


def gallery(run: Run, n_real: int, n_synthetic: int) -> Gallery:
    """The first maps of every set, on the scale on which they are compared."""
    inverted, held_out = real_maps(run)
    store = open_shards(run.root / "latents", "latents")
    rows = np.flatnonzero(_inverted_rows(run))
    reconstructed = store.load("reconstruction", rows[:n_real]).reshape(-1, *inverted[0].shape[1:])[:n_real]
    back = {store.attrs["ids"][i] for i in rows}
    synthetic = unstack(run.samples.to_maps())[:n_synthetic]
    shown = {
        "real (held out)": held_out[:n_real],
        # those that have a latent, so that each stands above its reconstruction
        "real (inverted)": [m for m in inverted if m.name in back or m.name.rsplit("[", 1)[0] in back][:n_real],
    }
    names = {label: [m.name for m in maps] for label, maps in shown.items()}
    stacks = [np.array([m.data[0] for m in maps]).reshape(-1, *inverted[0].shape[1:]) for maps in shown.values()]
    return Gallery(
        real_held_out=stacks[0],
        real_inverted=stacks[1],
        reconstructed=reconstructed,
        synthetic=np.array([m.data[0] for m in synthetic]),
        names={**names, "reconstructed": names["real (inverted)"], "synthetic": [m.name for m in synthetic]},
        log=run.scores.curves["log"] if run.paths.scores_json.is_file() else run.fields.attrs["stretch"]["kind"] == "log10",
    )


def diagnostics_card(run: Run) -> DiagnosticsCard | None:
    """What the latents are like, as `diagnose` found; None for runs without it."""
    if not run.paths.diagnostics.is_file():
        return None
    found = run.diagnostics
    return DiagnosticsCard([one.to_dict() for one in found.judgements], found.curves, found.record)


def novelty_card(run: Run) -> NoveltyCard:
    """Distances to the nearest inverted maps, as `evaluate` found them, and the closest pairs."""
    record, (inverted, _) = run.scores.curves["novelty"], real_maps(run)
    samples, parents = unstack(run.samples.to_maps()), record.get("parent_correlation")
    # runs of earlier versions know no twins, or not which they are
    twins = record.get("scattering")
    return NoveltyCard(
        ratio=record["ratio"],
        copy_rate=record["copy_rate"],
        threshold=record["threshold"],
        samples=np.array(record["synthetic"]),
        reference=np.array(record["reference"]),
        closest=_pairs(record["closest"], samples, inverted),
        scattering=None if twins is None else _nearness(twins, samples, inverted),
        parent_correlation=None if parents is None else np.array(parents),
    )


def _nearness(record: dict[str, Any], made: list[Map], inverted: list[Map]) -> Nearness:
    samples, reference = np.array(record["synthetic"]), np.array(record["reference"])
    closest = _pairs(record["closest"], made, inverted) if "closest" in record else None
    return Nearness(record["ratio"], record["copy_rate"], record["threshold"], samples, reference, closest)


def _pairs(closest: list[tuple[int, int, float]], made: list[Map], inverted: list[Map]) -> Pairs:
    return Pairs(
        np.array([made[i].data[0] for i, _, _ in closest]),
        np.array([inverted[j].data[0] for _, j, _ in closest]),
        np.array([d for _, _, d in closest]),
        [(made[i].name, inverted[j].name) for i, j, _ in closest],
    )


def _stage(entry: dict[str, Any]) -> dict[str, Any]:
    if "problem" in entry:
        raise StoreError("ST02", entry["store"], entry["problem"], "run `astro-ood verify`")
    return {**entry, "inputs_ok": all(item["state"] == "current" for item in entry["inputs"].values())}


def _others(run: Run) -> list[dict[str, Any]]:
    """Stages that leave no store, beside those that do; nothing where it was not a stage that made their results."""
    made = {"diagnose": run.diagnostics.record if run.paths.diagnostics.is_file() else {}, "evaluate": run.scores.record}
    known = {"created": None, "model": None, "inputs_ok": None}
    return [{"stage": stage, **known, **record} for stage, record in made.items() if record]
