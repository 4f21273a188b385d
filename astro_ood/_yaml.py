"""Strict reading of YAML: what a file says is what it seems to say.

A key that stands twice, an alias (by which a short file becomes a huge one), a tag of a language (by which it becomes code) and a
key that is no word are errors. Scalars follow YAML 1.2: `1e-4` is a number, and `no`, `12:30` and `010` are text. What is wrong
stands in one line, with file, line and column.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from astro_ood.errors import ConfigError

MAX_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """Safe YAML without its surprises."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be one word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key.value}' stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.2: 1e-4 is a number; no, on, 12:30 and 010 are what they look like
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), [c if c != "\0" else "" for c in _first])


def read_text(path: Path) -> str:
    """Text of a configuration file.

    Raises
    ------
    ConfigError
        CF01: no regular file, over 1 MB, unreadable, or not UTF-8.
    """
    try:
        if not path.is_file() and path.exists():
            raise ConfigError("CF01", path, "not a regular file", "give a YAML file")
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError("CF01", path, "the file is over 1 MB, expected a short YAML file", "is it a configuration?")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError("CF01", path, f"cannot be read ({found})", "check the path") from None


def read_yaml(text: str, where: object) -> Any:
    """Plain data of YAML text, strictly; `where` names it in errors.

    Raises
    ------
    ConfigError
        CF43: not plain YAML.
    """
    try:
        raw = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else str(where)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "too deeply nested"
        raise ConfigError("CF43", at, f"not plain YAML: {problem}", "correct that line") from None
    return {} if raw is None else raw


def read_mapping(path: Path) -> dict[str, Any]:
    """Content of a YAML or JSON file that holds keys and values.

    Raises
    ------
    ConfigError
        Unreadable, not plain, or of another shape.
    """
    raw = read_yaml(read_text(path), path)
    if not isinstance(raw, dict):
        raise ConfigError("CF43", path, f"expected keys and values, found {type(raw).__name__}", "see data/README.md")
    return raw
