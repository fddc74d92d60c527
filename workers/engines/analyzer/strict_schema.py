"""JSON schemas as strict mode takes them, made from pydantic models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of `model` with every object closed and every property required.

    The fields of `model` keep to what strict mode knows: no defaults that matter, and no lengths of strings.
    """
    schema = model.model_json_schema()
    for definition in schema.get("$defs", {}).values():
        _tighten(definition)
    _tighten(schema)
    return schema


def _tighten(schema: dict[str, Any]) -> None:
    for keyword in ("title", "default", "description"):
        schema.pop(keyword, None)  # names and docstrings are ours; the prompt tells the model what it needs
    properties = schema.get("properties", {})
    if schema.get("type") == "object":
        schema |= {"additionalProperties": False, "required": list(properties)}
    for child in properties.values():
        _tighten(child)
    if "items" in schema:
        _tighten(schema["items"])
    for option in schema.get("anyOf", ()):
        _tighten(option)
