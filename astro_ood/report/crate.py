"""A run described for machines: RO-Crate 1.1 with the profile Process Run Crate 0.5.

One `CreateAction` a stage says what was made from what, by which software and with which settings; a store is a `Dataset` whose arrays
have units, and whose manifest carries the SHA-256 of every file in it. Files that are not in the directory of the run, the maps that
were read and the network, are described beside it. Who made the run and under which licence is not on record, so neither is claimed.

Specifications: https://w3id.org/ro/crate/1.1 and https://w3id.org/ro/wfrun/process/0.5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from astro_ood.report import words
from astro_ood.report.content import ReportData, Row
from astro_ood.report.methods import methods_of
from astro_ood.report.references import REFERENCES
from astro_ood.report.scores import write_text
from astro_ood.stores.layout import MANIFEST, RunPaths
from astro_ood.stores.manifest import file_hash

SPECIFICATION = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
# SHA-256 is no term of RO-Crate 1.1; this is that of its profiles for runs
CONTEXT = [f"{SPECIFICATION}/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]

Entity = dict[str, Any]

_SPDX = "https://spdx.org/licenses/"
_OWN_LICENCE = "MIT"
_LICENCE = re.compile(
    r"(MIT|Apache-2\.0|BSD-[23]-Clause|CC0-1\.0|CC-BY(-NC)?(-SA)?-[34]\.0|[AL]?GPL-[23]\.[01](-only|-or-later)?|MPL-2\.0)"
)
_FILES = {
    "config.yaml": ("application/yaml", "Configuration", "Every setting of the run, with its meaning."),
    "scores.csv": ("text/csv", "Scores", "Every statistic of the synthetic maps and of the baselines, scale by scale."),
    "scores.json": ("application/json", "Scores with their settings", "The same with the verdict, the curves and the settings."),
    "diagnostics.json": (
        "application/json",
        "Diagnostics of the latents",
        "What the inverted latents are like, with the curves behind it.",
    ),
    "report.html": ("text/html", "Report", "Verdict, figures and limits of the run, for people."),
    "methods.txt": ("text/plain", "Methods", "Methods section with its references, and the same for BibTeX."),
}
_STORES = {
    "fields": ("prepare", "Real maps in physical units, divided into inverted and held-out ones"),
    "probe": ("probe", "Solver, steps and micro-batch that were chosen on the maps"),
    "latents": ("invert", "Latents of the real maps, their reconstructions and errors"),
    "prior": ("fit-prior", "Distribution that was fitted to the latents, and bands of acceptance"),
    "proposals": ("propose", "New latents, with parents and weights"),
    "samples": ("decode", "Synthetic maps in physical units"),
}
_HOME = {
    "python": "https://www.python.org",
    "numpy": "https://numpy.org",
    "torch": "https://pytorch.org",
    "zarr": "https://zarr.dev",
}


def write_crate(data: ReportData, root: Path) -> Path:
    """Write `ro-crate-metadata.json` into the directory of a run, whole or not at all.

    Parameters
    ----------
    data : ReportData
        Its provenance describes the stores; the other files are hashed as they lie there now.
    root : Path
        Directory of the run.
    """
    path = RunPaths(root).crate
    graph = {"@context": CONTEXT, "@graph": describe(data, root)}
    write_text(path, json.dumps(graph, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    return path


def describe(data: ReportData, root: Path) -> list[Entity]:
    """Entities of the crate: descriptor and root first."""
    stages = _stages(data.provenance)
    files = [_file(root, name) for name in _FILES if (root / name).is_file()]
    stores = [entity for stage, entries in stages.items() for entity in _store(stage, entries, root)]
    logs = [_entity("logs/", "Dataset", name="Logs", description="What every job wrote.")] if (root / "logs").is_dir() else []
    inputs = [_input(i, f) for i, f in enumerate(data.data.files)]
    actions = _actions(data, stages, root, files, inputs)
    parts = [*files, *(entity for entity in stores if entity["@type"] == "Dataset"), *logs]
    descriptor = _entity("ro-crate-metadata.json", "CreativeWork", conformsTo=_id(SPECIFICATION), about=_id("./"))
    unlicensed = _entity(
        "#licence",
        "CreativeWork",
        name="No licence stated",
        description="The record of the run holds no licence for it. The maps that were read, and the network, have licences of their own.",
    )
    others = words.count(data.data.n_held_out, "held-out map") if data.data.n_held_out else "these maps"
    whole = _entity(
        "./",
        "Dataset",
        name=data.title,
        description=f"Synthetic maps from {words.count(data.data.n_inverted, 'real map')} through a frozen diffusion network, and "
        f"their comparison with {others}. {words.sentence(data.verdict.headline)}",
        datePublished=data.created,
        license=_id(unlicensed["@id"]),
        conformsTo=_id(PROFILE),
        hasPart=[_id(part["@id"]) for part in parts],
        mentions=[_id(action["@id"]) for action in actions],
        citation=[_id(REFERENCES[key].url) for key in methods_of(data).cited if REFERENCES[key].url],
    )
    profile = _entity(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    entities = [
        descriptor,
        whole,
        profile,
        unlicensed,
        *files,
        *stores,
        *logs,
        *inputs,
        *_network(data),
        *actions,
        *_software(data, actions),
        *_cited(data),
    ]
    return list({entity["@id"]: entity for entity in entities}.values())


def _entity(identifier: str, kind: str, /, **values: Any) -> Entity:
    """Entity without the values that are not known; one value stands for a list of one."""
    known = {key: words.clean(value) for key, value in values.items() if value is not None and value not in ("", [])}
    single = {key: value[0] if isinstance(value, list) and len(value) == 1 else value for key, value in known.items()}
    return {"@id": identifier, "@type": kind, **single}


def _id(name: str) -> Entity:
    return {"@id": name}


def _stages(provenance: Iterable[Row]) -> dict[str, list[Row]]:
    """Stores by stage, in their order."""
    found: dict[str, list[Row]] = {}
    for entry in provenance:
        if entry.get("store"):
            found.setdefault(str(entry["stage"]), []).append(entry)
    return found


def _file(root: Path, name: str) -> Entity:
    kind, title, meaning = _FILES[name]
    path = root / name
    size, changed = str(path.stat().st_size), datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return _entity(
        name,
        "File",
        name=title,
        description=meaning,
        encodingFormat=kind,
        contentSize=size,
        sha256=file_hash(path),
        dateModified=changed,
    )


def _store(stage: str, entries: Sequence[Row], root: Path) -> list[Entity]:
    """A stage's store, or all of its shards together, with manifests and arrays."""
    _, meaning = _STORES.get(stage, ("", "Store"))
    size = words.size(sum(int(e.get("bytes", 0)) for e in entries))
    shards = f", in {words.count(len(entries), 'shard')}" if len(entries) > 1 else ""
    manifests = [
        _entity(
            f"{e['store']}/{MANIFEST}",
            "File",
            name=f"Manifest of {e['store']}",
            description="Settings, inputs, versions, and the SHA-256 of every file of the store.",
            encodingFormat="application/json",
            contentSize=str((root / e["store"] / MANIFEST).stat().st_size),
            sha256=e["manifest_hash"],
        )
        for e in entries
    ]
    arrays = [_array(stage, name, [e["arrays"][name] for e in entries]) for name in entries[0].get("arrays", {})]
    whole = _entity(
        f"{stage}/",
        "Dataset",
        name=f"{stage.capitalize()}: {meaning[:1].lower()}{meaning[1:]}",
        description=f"{meaning}. Zarr version 3, {size}{shards}.",
        encodingFormat="application/vnd+zarr",
        dateCreated=max(str(e["created"]) for e in entries),
        hasPart=[_id(m["@id"]) for m in manifests],
        variableMeasured=[_id(a["@id"]) for a in arrays],
    )
    return [whole, *manifests, *arrays]


def _array(stage: str, name: str, shards: Sequence[Mapping[str, Any]]) -> Entity:
    first = shards[0]
    shape = [sum(s["shape"][0] for s in shards), *first["shape"][1:]] if len(shards) > 1 else first["shape"]
    axes = " × ".join(f"{dim} {n}" for dim, n in zip(first["dims"], shape, strict=True))
    return _entity(f"#{stage}/{name}", "PropertyValue", name=name, description=f"{axes}, {first['dtype']}", unitText=first["unit"])


def _input(index: int, file: Row) -> Entity:
    """A file that was read: where it lay is known, where it is now is not."""
    size = None if file.get("bytes") is None else str(file["bytes"])
    return _entity(
        f"#input-{index}",
        "CreativeWork",
        name=str(file["path"]),
        description="File of maps that was read; not part of this directory.",
        contentSize=size,
        sha256=file.get("sha256"),
    )


def _network(data: ReportData) -> list[Entity]:
    licence = str(data.model.get("licence") or "")
    known = f"{_SPDX}{licence}" if _LICENCE.fullmatch(licence) else None
    network = _entity(
        "#network",
        "CreativeWork",
        name=f"Diffusion network {data.model.get('name') or ''}".strip(),
        description=f"Frozen. Trained on: {data.model.get('trained_on') or 'not stated'}.",
        sha256=data.model.get("sha256"),
        license=_id(known) if known else licence if licence != "not stated" else None,
    )
    return [network, _licence(licence)] if known else [network]


def _licence(name: str) -> Entity:
    return _entity(f"{_SPDX}{name}", "CreativeWork", name=name, identifier=f"{_SPDX}{name}")


def _actions(
    data: ReportData, stages: Mapping[str, Sequence[Row]], root: Path, files: Sequence[Entity], inputs: Sequence[Entity]
) -> list[Entity]:
    """What each stage made, from what."""
    found = []
    present = {file["@id"]: file for file in files}
    config = ["config.yaml"] if "config.yaml" in present else []
    for stage, entries in stages.items():
        verb, _ = _STORES.get(stage, (stage, ""))
        used = list(dict.fromkeys(f"{str(name).split('/')[0]}/" for name in entries[0].get("inputs", {})))
        used += [entity["@id"] for entity in inputs] if stage == "fields" else []
        used += ["#network"] if entries[0].get("model") else []
        found.append(_action(verb, entries[0], max(str(e["created"]) for e in entries), [*used, *config], [f"{stage}/"]))
    everything = [f"{stage}/" for stage in stages]
    if "diagnostics.json" in present:
        diagnosed = next((row for row in data.provenance if row.get("stage") == "diagnose"), {})
        used = [name for name in everything if name in ("fields/", "latents/")]
        found.append(
            _action("diagnose", diagnosed, present["diagnostics.json"]["dateModified"], [*used, *config], ["diagnostics.json"])
        )
    scores = [name for name in ("scores.csv", "scores.json") if name in present]
    if scores:
        compared = next((row for row in data.provenance if row.get("stage") == "evaluate"), {})
        maps = [name for name in everything if name in ("fields/", "samples/")]
        found.append(_action("evaluate", compared, present[scores[0]]["dateModified"], [*maps, *config], scores))
    diagnosis = [name for name in ("diagnostics.json",) if name in present]
    written = [name for name in ("report.html", "methods.txt") if name in present]
    if written:
        found.append(
            _action(
                "report",
                {"versions": {"astro-ood": data.version}},
                data.created,
                [*everything, *diagnosis, *scores, *config],
                written,
            )
        )
    return found


def _action(verb: str, record: Row, ended: str, used: Sequence[str], made: Sequence[str]) -> Entity:
    settings = record.get("settings")
    return _entity(
        f"#{verb}",
        "CreateAction",
        name=f"astro-ood {verb}",
        description=f"Settings: {json.dumps(settings, ensure_ascii=False)}"
        if settings
        else "Settings: those of the stages before it.",
        endTime=ended,
        instrument=_id(_software_id("astro-ood", _version(record))),
        object=[_id(name) for name in used],
        result=[_id(name) for name in made],
        actionStatus="http://schema.org/CompletedActionStatus",
    )


def _version(record: Row) -> str:
    versions = record.get("versions")
    return str(versions.get("astro-ood", "")) if isinstance(versions, Mapping) else ""


def _software_id(name: str, version: str) -> str:
    return f"#{name}-{re.sub('[^A-Za-z0-9.+-]', '-', version)}" if version else f"#{name}"


def _software(data: ReportData, actions: Sequence[Entity]) -> list[Entity]:
    """What the actions were done with: every version of this package, and of the packages that it needed then."""
    needed: dict[str, dict[str, Entity]] = {"": {}, data.version: {}}
    for entry in data.provenance:
        versions = entry.get("versions")
        others = {str(name): str(value) for name, value in versions.items()} if isinstance(versions, Mapping) else {}
        packages = needed.setdefault(others.pop("astro-ood", ""), {})
        packages |= {(one := _application(name, version))["@id"]: one for name, version in sorted(others.items())}
    used = {action["instrument"]["@id"] for action in actions}
    found = [_licence(_OWN_LICENCE)]
    for version, packages in needed.items():
        own = _application(
            "astro-ood",
            version,
            license=_id(f"{_SPDX}{_OWN_LICENCE}"),
            softwareRequirements=[_id(name) for name in packages],
        )
        found += [own, *packages.values()] if own["@id"] in used else []
    return found


def _application(name: str, version: str, **values: Any) -> Entity:
    kind = "SoftwareApplication"
    return _entity(_software_id(name, version), kind, name=name, softwareVersion=version, url=_HOME.get(name), **values)


def _cited(data: ReportData) -> list[Entity]:
    cited = [REFERENCES[key] for key in methods_of(data).cited]
    return [
        _entity(r.url, "ScholarlyArticle", name=r.title, identifier=r.url, datePublished=r.year.rstrip("abc"), creditText=r.text)
        for r in cited
        if r.url
    ]
