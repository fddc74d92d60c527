"""Give each user of users.acl a password: `python make_users.py /etc/valkey/users.acl HOST:PORT`.

Writes Redis' ACL file, readable by its owner alone and with hashes in place of the passwords, and prints once the
COOP_REDIS_URL of each user. Run it again to change all passwords; then `ACL LOAD`, or restart Redis.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

TEMPLATE = Path(__file__).with_name("users.acl")


def users(template: str) -> Iterator[list[str]]:
    """The words of each user's rules; continued lines are indented, comments left out."""
    words: list[str] = []
    for line in template.splitlines():
        if line.startswith("user ") and words:
            yield words
            words = []
        if not line.startswith("#"):
            words += line.split()
    yield words


def with_passwords(template: str) -> tuple[str, dict[str, str]]:
    """The ACL file, and the password of each user that is not `off`."""
    lines, passwords = [], {}
    for _, name, reset, *rules in users(template):
        if "off" not in rules:
            passwords[name] = secrets.token_urlsafe(32)
            rules = ["on", f"#{hashlib.sha256(passwords[name].encode()).hexdigest()}", *rules]
        lines.append(" ".join(["user", name, reset, *rules]))
    return "\n".join(lines) + "\n", passwords


def main(target: str, address: str) -> None:
    text, passwords = with_passwords(TEMPLATE.read_text(encoding="utf-8"))
    file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as out:
        out.write(text)
    for name, password in passwords.items():
        sys.stdout.write(f"{name:10} COOP_REDIS_URL=rediss://{name}:{password}@{address}/0\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
