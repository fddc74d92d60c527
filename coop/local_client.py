"""The client that `coop up` registers for the commands on its own machine, and where `coop submit` finds it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from coop.clients import ClientRegistry
from coop.private_file import write_private
from coop.settings import Settings, SettingsError


@dataclass(frozen=True)
class LocalClient:
    """Who calls, and where the gateway is."""

    server_id: str
    api_key: str = field(repr=False)
    signing_secret: str = field(repr=False)
    gateway_url: str


def find_client(settings: Settings) -> LocalClient:
    """The credentials to call with: COOP_API_KEY's, else those `coop up` made. Raises SettingsError."""
    if settings.api_key or settings.signing_secret:
        if not (settings.api_key and settings.signing_secret):
            raise SettingsError("COOP_API_KEY and COOP_SIGNING_SECRET go together: set both or none")
        key, secret = settings.api_key.get_secret_value(), settings.signing_secret.get_secret_value()
        return LocalClient("", key, secret, settings.base_url)
    client = _read(settings.data_dir)
    if client is None:
        raise SettingsError(
            f"No credentials: start `coop up` on COOP_DATA_DIR={settings.data_dir}, or set COOP_API_KEY,"
            " COOP_SIGNING_SECRET and COOP_PUBLIC_URL to those of a registered client"
        )
    return client


def ensure_client(settings: Settings, registry: ClientRegistry, gateway_url: str) -> LocalClient:
    """The local client, registered in this Redis; made on the first start. Raises ClientError, redis.RedisError."""
    name = _name(settings)
    known = _read(settings.data_dir)
    owner = registry.by_key(known.api_key) if known else None
    if known and owner:
        client = LocalClient(owner.name, known.api_key, known.signing_secret, gateway_url)
    else:
        made = registry.rotate(name) if registry.get(name) else registry.add(name)
        client = LocalClient(made.server_id, made.api_key, made.signing_secret, gateway_url)
    document = {
        "serverId": client.server_id,
        "apiKey": client.api_key,
        "signingSecret": client.signing_secret,
        "gatewayUrl": client.gateway_url,
    }
    write_private(_file(settings.data_dir), json.dumps(document, indent=2))
    return client


def _name(settings: Settings) -> str:
    # In a Redis that machines share, each one has a local client of its own.
    if settings.redis_url is None:
        return "local"
    return "local-" + re.sub(r"[^A-Za-z0-9._-]", "-", settings.machine)[:58]


def _file(data_dir: Path) -> Path:
    return data_dir / "local-client.json"


def _read(data_dir: Path) -> LocalClient | None:
    try:
        document = json.loads(_file(data_dir).read_text(encoding="utf-8"))
        return LocalClient(document["serverId"], document["apiKey"], document["signingSecret"], document["gatewayUrl"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
