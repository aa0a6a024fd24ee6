"""A Mosquitto configuration for this deployment: loopback only, mutual TLS, and each terminal on its own topics."""

from pathlib import Path

from agent.wire import topics
from issuer.layout import Layout
from issuer.pki import ISSUER_CLIENT

_CONFIGURATION = """\
# Made by `renzheng-issuer broker-config`. Identity comes from the certificate alone: the common name is the user, the
# user is the client id, and acl.conf gives each terminal its own topics.
per_listener_settings false
listener {port} {host}
protocol mqtt
cafile {folder}/client-ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.key
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
acl_file {folder}/acl.conf
persistence {persistence}
persistence_location {folder}/store/
autosave_interval 60
set_tcp_nodelay true
max_packet_size 262144
max_queued_messages 1000
max_inflight_messages 64
persistent_client_expiration 1d
log_dest stderr
log_type error
log_type warning
log_type notice
"""


def config(root: Path, port: int, *, host: str = "127.0.0.1", persistence: bool = True, user: str = "") -> Path:
    """Write `broker/mosquitto.conf` and `broker/acl.conf` below `root`; the former's path, for `mosquitto -c`.

    `user`: the account that a Mosquitto started by root changes to ("root" to stay).
    """
    folder = Layout(root.resolve()).broker
    (folder / "store").mkdir(parents=True, exist_ok=True)
    text = _CONFIGURATION.format(port=port, host=host, folder=folder, persistence=str(persistence).lower())
    path = folder / "mosquitto.conf"
    path.write_text(text + (f"user {user}\n" if user else ""), "utf-8")
    (folder / "acl.conf").write_text(access_rules(), "utf-8")
    (folder / "acl.conf").chmod(0o700)
    return path


def access_rules() -> str:
    """The access control list, from the topic table: `%u` is the terminal."""
    lines = ["# The issuer's workers.", f"user {ISSUER_CLIENT}"]
    for topic in topics.ALL:
        access = "write" if topic.publisher == topics.ISSUER else "read"
        lines.append(f"topic {access} {topic.filter}")
    lines += ["", "# Every terminal, on its own topics only."]
    for topic in topics.ALL:
        access = "read" if topic.publisher == topics.ISSUER else "write"
        lines.append(f"pattern {access} {topic.address.format(terminal='%u')}")
    return "\n".join(lines) + "\n"
