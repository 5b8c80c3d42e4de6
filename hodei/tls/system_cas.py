"""The CAs that this system trusts. gRPC brings a list of its own, which no administrator maintains:
it is used only where the system has none."""

from pathlib import Path

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
)
"""Where systems keep them, if Python's ssl does not know."""


def system_cas() -> bytes | None:
    """The CAs in PEM: those of SSL_CERT_FILE, or of OpenSSL's own place, or of a place where systems
    keep them. None: there are none."""
    import ssl

    for path in (ssl.get_default_verify_paths().cafile, *BUNDLES):
        try:
            found = Path(path).read_bytes() if path else b""
        except OSError:
            continue
        if b"-----BEGIN " in found:
            return found
    return None
