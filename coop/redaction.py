"""Secrets are taken out of every line of the log, as the last step, whatever put them in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from coop.settings import Settings

MASK = "***"
# Shorter ones would mask ordinary words; a password of five letters is no secret anyway.
_SHORTEST = 6

# Of the query of a URL, what names a video and no visitor; all else may be a token.
_PLAIN_PARAMETERS = ("v", "list", "t", "p", "page", "limit", "status")

# In the order of the most telling first. Each keeps what stands before the secret, as its group 1.
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"()coop_[\w-]{40,}",
        r"()whsec_[\w+/=-]{16,}",
        # Not within a word (`task-…`), but after the escape sequence of a colour, which ends in a letter.
        r"()(?:(?<![a-z])|(?<=\x1b\[\dm)|(?<=\x1b\[\d\dm))sk-[\w-]{12,}",
        r"()v1a?,[\w+/=-]{40,}",
        r"((?:bearer|basic)\s+)[\w+/=.~-]{6,}",
        r"((?:set-)?cookie\\?[\"']?\s*[:=]\s*\\?[\"']?)[^\"'\r\n]+",
        r"(://)[^/\s\"'@]+(?=@)",
        # urllib3 tells the path of a failed request: of a callback it may be the secret itself.
        r"(with url: )\S+",
        rf"([?&;](?!(?:{'|'.join(_PLAIN_PARAMETERS)})=)[\w.\[\]%~-]{{1,64}}=)[^&;\s\"'<>)\\]+",
    )
)
# Every line that one of the patterns may fit holds one of these.
_HINT = re.compile(r"coop_|whsec_|sk-|v1a?,|bearer|basic|cookie|@|with url|[?&;][\w.\[\]%~-]{1,64}=", re.IGNORECASE)


def redactor(settings: Settings) -> Callable[[str], str]:
    """A function that masks, in a text, this process' own secrets and whatever looks like one."""
    literals = sorted(_literals(settings), key=len, reverse=True)
    own = re.compile("|".join(map(re.escape, literals))) if literals else None

    def redact(text: str) -> str:
        if own:
            text = own.sub(MASK, text)
        if _HINT.search(text):
            for pattern in _PATTERNS:
                text = pattern.sub(rf"\g<1>{MASK}", text)
        return text

    return redact


def _literals(settings: Settings) -> set[str]:
    """The secrets of the settings, and the passwords in their URLs, in every form that a log may show them in."""
    plain: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            secret = value.get_secret_value()
            password = urlsplit(secret).password if "://" in secret else secret.partition(":")[2]
            plain.update(part for part in (secret, password, unquote(password or "")) if part)
    found = {text for text in plain if len(text) >= _SHORTEST}
    return found | {quote(text, safe="") for text in found} | {json.dumps(text)[1:-1] for text in found}
