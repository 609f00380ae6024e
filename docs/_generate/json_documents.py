# SPDX-License-Identifier: Apache-2.0
"""The page about the JSON documents, struct by struct, and their JSON Schemas."""

from __future__ import annotations

import json
import re
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

from markdown import code, page, prose, table

from vsmmu.cli.schemas import DOCUMENTS, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["documents", "schema_text"]


def documents() -> str:
    """The JSON documents, struct by struct."""
    blocks: list[str] = []
    seen: set[str] = set()
    for name in DOCUMENTS:
        schema = schema_of(name)
        blocks.append(
            f"## `vsmmu.{name}/1`\n\n"
            f"[JSON Schema](schemas/vsmmu.{name}-1.schema.json), or `vsmmu schema {name}`"
        )
        first = schema["$ref"].rpartition("/")[2]
        for title, definition in sorted(schema["$defs"].items(), key=lambda item: item[0] != first):
            if title not in seen:
                seen.add(title)
                blocks += _definition(title, definition)
    return page(
        "JSON documents",
        "`-o json` prints one document; `--host FILE` reads one of the first kind. Members may be added in"
        " any release, and a reader skips those that it does not know; what is there keeps its meaning.",
        *blocks,
    )


def _definition(title: str, definition: dict[str, Any]) -> Iterator[str]:
    required = definition.get("required", ())
    yield f"### {title}"
    yield _description(definition.get("description", ""))
    rows = [
        (code(name), _type(member), "yes" if name in required else "no")
        for name, member in definition.get("properties", {}).items()
    ]
    if rows:
        yield table(("member", "type", "always there"), rows)


def _description(text: str) -> str:
    """A docstring: paragraphs, then its fields as a list."""
    paragraphs, _, fields = cleandoc(text).partition("\n:")
    parts = [prose(part) for part in paragraphs.split("\n\n")]
    for field in re.split(r"\n:", fields) if fields else ():
        match = re.fullmatch(r"(?:param )?(\w+)(?: \w+)?:\s*(.*)", field, re.S)
        if match and field.startswith("param"):
            parts.append(f"- `{match[1]}`: {prose(match[2])}")
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", "\n\n".join(parts))


def _type(member: dict[str, Any]) -> str:
    if "$ref" in member:
        return str(member["$ref"].rpartition("/")[2])
    if "enum" in member:
        return " or ".join(code(json.dumps(value)) for value in member["enum"])
    if "anyOf" in member:
        return " or ".join(_type(option) for option in member["anyOf"])
    if member.get("type") == "array":
        return f"list of {_type(member.get('items') or {})}"
    if member.get("type") == "object":
        return f"object of {_type(member.get('additionalProperties') or {})}"
    return str(member.get("description") or member.get("type", "any value"))


def schema_text(name: str) -> Callable[[], str]:
    """What makes the JSON Schema of a document, to be called when its page is made."""
    return lambda: json.dumps(schema_of(name), indent=2, ensure_ascii=False) + "\n"
