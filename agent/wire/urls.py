"""Host and port of a URL, for terminal and issuer alike."""

from urllib.parse import urlsplit


def host_and_port(url: str, *, scheme: str, port: int) -> tuple[str, int]:
    """Where `url` leads; `port` is that of a URL which names none.

    Raises:
        ValueError: it has another scheme, no host, or a host that no DNS name can be. Resolvers raise something else
            than OSError for an empty or too long label.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    host.encode("idna")
    if not host or parts.scheme != scheme:
        raise ValueError(f"not {scheme}://host[:port]")
    return host, parts.port or port
