"""A Redis under deploy/redis: its users, and with `tls` its TLS as well."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import redis
import trustme

from tests.support.redis_server import RedisServer

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "redis"
ADMIN = "admin"
ADMIN_PASSWORD = "of-the-test"


def make_users() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_users", DEPLOY / "make_users.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class GuardedRedis(RedisServer):
    """`url_of(user)` for each user of users.acl; `admin` may do all, to look on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rules, self.passwords = make_users().with_passwords((DEPLOY / "users.acl").read_text())
        self.passwords[ADMIN] = ADMIN_PASSWORD
        file = folder / "users.acl"
        file.write_text(f"{rules}user {ADMIN} reset on >{ADMIN_PASSWORD} ~* &* +@all\n")
        super().__init__(folder, "--aclfile", str(file), "--acl-pubsub-default", "resetchannels")

    def url_of(self, user: str) -> str:
        return f"redis://{user}:{quote(self.passwords[user])}@127.0.0.1:{self.port}/0"

    def probe(self) -> redis.Redis:
        return self.client(ADMIN)

    def client(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.url_of(user), decode_responses=True)

    def denials(self) -> list[str]:
        """What was refused to any user since the start, as `user: reason object`."""
        with self.client(ADMIN) as admin:
            return [f"{each['username']}: {each['reason']} {each['object']}" for each in admin.acl_log()]


class Certificates:
    """A CA, and certificates of it: of the server at 127.0.0.1 and of a machine that calls it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        for name in ("server", "machine"):
            made = authority.issue_cert("127.0.0.1", common_name=name)
            made.private_key_pem.write_to_path(str(folder / f"{name}.key"))
            made.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))

    def query(self, name: str | None = "machine") -> str:
        """What a URL ends in to use the certificate of that name, or none."""
        own = f"&ssl_certfile={self.folder}/{name}.pem&ssl_keyfile={self.folder}/{name}.key" if name else ""
        return f"?ssl_cert_reqs=required&ssl_ca_certs={self.folder}/ca.pem{own}"


def server_with_tls() -> str | None:
    """A Redis or Valkey of this machine that speaks TLS; the packaged one does not."""
    for name in ("valkey-server", "redis-server"):
        program = shutil.which(name)
        if program:
            # Told to speak TLS without a certificate, one that could says what it lacks.
            tried = subprocess.run(
                [program, "--port", "0", "--tls-port", "1"], capture_output=True, text=True, timeout=10, check=False
            )
            if "tls-cert-file" in tried.stdout:
                return program
    return None
