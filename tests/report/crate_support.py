"""What RO-Crate 1.1 and Process Run Crate 0.5 require of a crate, as checks."""

import hashlib
import json
import re

# the terms of RO-Crate's context that a run needs; another one would have no meaning there
TERMS = {
    *(
        "about",
        "actionStatus",
        "citation",
        "conformsTo",
        "contentSize",
        "creditText",
        "dateCreated",
        "dateModified",
        "datePublished",
    ),
    *("description", "encodingFormat", "endTime", "hasPart", "identifier", "instrument", "license", "mentions", "name", "object"),
    *("result", "softwareRequirements", "softwareVersion", "unitText", "url", "variableMeasured", "version", "@id", "@type"),
}
TIME = r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\+\d\d:\d\d|Z))?"


def many(value):
    """Values of a property: one stands for a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def ids(value):
    """What a property refers to."""
    return [item["@id"] for item in many(value)]


def read_crate(root):
    """Entities by their names, after everything that the specifications require was found."""
    record = json.loads((root / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    assert set(record) == {"@context", "@graph"}
    context, *more = many(record["@context"])
    assert context == "https://w3id.org/ro/crate/1.1/context"
    own = {term for extension in more for term in extension}
    assert len({e["@id"] for e in record["@graph"]}) == len(record["@graph"])
    entities = {e["@id"]: e for e in record["@graph"]}
    _check_descriptor_and_root(entities)
    for entity in entities.values():
        assert set(entity) <= TERMS | own, entity
        _check_flat(entity, entities)
    _check_data_entities(entities, root)
    _check_actions(entities)
    return entities


def _check_descriptor_and_root(entities):
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert root["@type"] == "Dataset"
    assert {"name", "description", "datePublished", "license", "hasPart"} <= set(root)
    assert re.fullmatch(TIME, root["datePublished"])
    assert entities[root["license"]["@id"]].keys() >= {"name", "description"}
    profile = entities[root["conformsTo"]["@id"]]
    assert profile["@type"] == "CreativeWork"
    assert profile["@id"].startswith("https://w3id.org/ro/wfrun/process/")


def _check_flat(entity, entities):
    """No entity inside another, no reference to nothing, no list of one."""
    for key, value in entity.items():
        assert not (isinstance(value, list) and len(value) < 2), (entity["@id"], key)
        for item in many(value):
            assert isinstance(item, str) or set(item) == {"@id"}, (entity["@id"], key)
            if isinstance(item, dict) and key != "conformsTo":
                assert item["@id"] in entities, (entity["@id"], key, item)


def _check_data_entities(entities, root):
    reached, waiting = set(), ["./"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += ids(entities[name].get("hasPart"))
    data = {name for name, e in entities.items() if e["@type"] in ("File", "Dataset")}
    assert data == reached
    for name in data - {"./"}:
        path = root / name
        if entities[name]["@type"] == "Dataset":
            assert name.endswith("/")
            assert path.is_dir()
        else:
            content = path.read_bytes()
            assert entities[name]["contentSize"] == str(len(content)), name
            assert entities[name]["sha256"] == hashlib.sha256(content).hexdigest(), name


def _check_actions(entities):
    actions = {name: e for name, e in entities.items() if e["@type"] == "CreateAction"}
    assert set(ids(entities["./"]["mentions"])) == set(actions)
    for action in actions.values():
        assert {"name", "description", "endTime", "instrument", "result"} <= set(action)
        assert re.fullmatch(TIME, action["endTime"])
        assert entities[action["instrument"]["@id"]]["@type"] == "SoftwareApplication"
        for name in [*ids(action.get("object")), *ids(action["result"])]:
            assert entities[name]["@type"] in ("File", "Dataset", "CreativeWork")
