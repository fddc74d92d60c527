"""The gateway's certificate: whether it can be used, and noticing when it was renewed."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from coop.logs import get_logger

LOOK_SECONDS = 2.0

log = get_logger(__name__)


class CertificateError(Exception):
    """Certificate and key cannot be read, or are not a pair; the message says which."""


def check_certificate(certificate: Path, key: Path) -> None:
    """Raise CertificateError unless the two can be served with."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CertificateError(f"COOP_TLS_CERT={certificate}, COOP_TLS_KEY={key}: {error}") from error


def watch_certificate(certificate: Path, key: Path, on_change: Callable[[], object]) -> threading.Thread:
    """Call `on_change`, from a thread, each time the files are others and can be served with.

    Looked at by their times and sizes: that works on every system, on network drives, and through the symbolic links
    by which certbot and Kubernetes put new files in place.
    """
    thread = threading.Thread(target=_watch, args=(certificate, key, on_change), name="certificate", daemon=True)
    thread.start()
    return thread


def _watch(certificate: Path, key: Path, on_change: Callable[[], object]) -> None:
    pause = threading.Event()
    known = _look(certificate, key)
    while not pause.wait(LOOK_SECONDS):
        found = _look(certificate, key)
        if found == known:
            continue
        try:
            check_certificate(certificate, key)
        except CertificateError as error:
            # Perhaps one of the two is not there yet: looked at again when something changes.
            log.error("the new certificate cannot be used, the old one stays", error=str(error))  # noqa: TRY400  # no bug
        else:
            log.info("the certificate has changed, the gateway takes it up", certificate=str(certificate))
            on_change()
        known = found


def _look(*files: Path) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _no_password() -> str:
    """Asked of by OpenSSL for a key that is encrypted; without this it would ask at the terminal and wait."""
    raise ValueError("the key is encrypted")
