"""A certificate authority of a test's own."""

from __future__ import annotations

from pathlib import Path

import trustme


class Authority:
    """Certificates for 127.0.0.1, written where a server reads them."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.root = folder / "root.pem"
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self._authority.cert_pem.write_to_path(str(self.root))

    def issue(self) -> Authority:
        """Put a new certificate in place of the one before, key first, as a renewal does."""
        made = self._authority.issue_cert("127.0.0.1", "localhost")
        made.private_key_pem.write_to_path(str(self.key))
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        return self
