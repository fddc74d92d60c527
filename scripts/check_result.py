"""Check the result document on stdin: it is a success, and every field of the contract is there and of its kind."""

from __future__ import annotations

import json
import sys

import jsonschema

TEXT = {"type": "string", "minLength": 1}
MAYBE_TEXT = {"type": ["string", "null"]}
MAYBE_COUNT = {"type": ["integer", "null"], "minimum": 0}


def complete(**fields: object) -> dict[str, object]:
    """An object that has all of these fields, and may have more."""
    return {"type": "object", "required": list(fields), "properties": fields}


METADATA = complete(
    id=MAYBE_TEXT,
    title=MAYBE_TEXT,
    channel=MAYBE_TEXT,
    views=MAYBE_COUNT,
    likes=MAYBE_COUNT,
    published={"type": ["string", "null"], "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
    duration={"type": ["string", "null"], "pattern": r"^PT"},
)
ANALYSIS = complete(
    hook=TEXT,
    entryStyle=TEXT,
    niche=TEXT,
    structure=TEXT,
    lengthSeconds={"type": "number", "exclusiveMinimum": 0},
    pace=TEXT,
    emotion=TEXT,
)
IDEA = complete(title=TEXT, hook=TEXT, outline=TEXT, suggestedLength={"type": "integer", "minimum": 1}, tone=TEXT)
SCHEMA = complete(
    success={"const": True},
    requestId=TEXT,
    processingTime={"type": "integer", "minimum": 1},
    timestamp={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
    result=complete(
        metadata=METADATA, transcript=TEXT, analysis=ANALYSIS, ideas={"type": "array", "minItems": 1, "items": IDEA}
    ),
)


def main() -> int:
    document = json.load(sys.stdin)
    problems = [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)
    ]
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    ideas = len(document["result"]["ideas"])
    print(f"the result has all fields: {document['result']['metadata']['title']!r}, {ideas} ideas")
    return 0


if __name__ == "__main__":
    sys.exit(main())
