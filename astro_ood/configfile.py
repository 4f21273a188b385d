"""Configurations as files: commented YAML, and the JSON schema that editors check it by; both generated from the classes of `config`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from astro_ood.config import Config, Section


def dump_schema() -> str:
    """JSON schema of the configuration."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def dump_yaml(config: Config, head: str = "", notes: Mapping[str, str] | None = None) -> str:
    """Commented YAML of a configuration.

    Parameters
    ----------
    config : Config
    head : str
        Comment lines at the top.
    notes : mapping, optional
        Dotted key (``"data.unit"``) to a remark that follows its description.
    """
    notes = notes or {}
    lines = [f"# {line}".rstrip() for line in head.splitlines()]
    for name, field in Config.model_fields.items():
        value = getattr(config, name)
        if not isinstance(value, Section):
            lines.append(_line(name, value, field.description, notes.get(name), ""))
            continue
        lines += ["", f"# {(type(value).__doc__ or '').strip()}", f"{name}:"]
        lines += [
            _line(key, getattr(value, key), sub.description, notes.get(f"{name}.{key}"), "  ")
            for key, sub in type(value).model_fields.items()
        ]
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", "\n".join(lines) + "\n")


def write_effective(config: Config) -> None:
    """Write the configuration of a run into its directory, whole or not at all."""
    target = config.effective
    work = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    work.write_text(dump_yaml(config, "astro_ood: the configuration of this run"), encoding="utf-8")
    work.replace(target)


# what YAML does not take as it is, or takes for the end of a line
_UNPRINTABLE = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _line(key: str, value: Any, description: str | None, note: str | None, indent: str) -> str:
    comment = " ".join(f"{description or ''}{f' [{note}]' if note else ''}".split())
    plain = value.model_dump() if isinstance(value, Section) else value
    # JSON is YAML, and quotes every string that could be mistaken
    return f"{indent}# {comment}\n{indent}{key}: {json.dumps(plain, ensure_ascii=False)}"
