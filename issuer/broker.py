"""A Mosquitto configuration for this deployment: loopback only, mutual TLS, and each terminal on its own topics."""

import json
from collections.abc import Sequence
from pathlib import Path

from agent.wire import topics
from issuer import dynamic_security
from issuer.errors import IssuerError
from issuer.layout import Layout
from issuer.pki import ISSUER_CLIENT

_CONFIGURATION = """\
# Made by `renzheng-issuer broker-config`. Identity comes from the certificate alone: the common name is the user, the
# user is the client id, and the access rules give each terminal its own topics.
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
{access}
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


def config(
    root: Path,
    port: int,
    *,
    host: str = "127.0.0.1",
    persistence: bool = True,
    user: str = "",
    dynamic: Sequence[str] | None = None,
) -> Path:
    """Write `broker/mosquitto.conf` and its access rules below `root`; the former's path, for `mosquitto -c`.

    `user`: the account that a Mosquitto started by root changes to ("root" to stay). `dynamic`: the terminals to begin
    with, for the dynamic security plug-in in place of an ACL file.
    """
    layout = Layout(root.resolve())
    folder = layout.broker
    (folder / "store").mkdir(parents=True, exist_ok=True)
    if dynamic is None:
        rules, access = folder / "acl.conf", f"acl_file {folder}/acl.conf"
        rules.write_text(access_rules(layout.workers), "utf-8")
    else:
        rules = folder / "dynamic-security.json"
        access = f"plugin {_plugin()}\nplugin_opt_config_file {rules}"
        rules.write_text(json.dumps(dynamic_security.document(dynamic, layout.workers), indent=1), "utf-8")
    rules.chmod(0o600)
    text = configuration(str(folder), port, access, host=host, persistence=persistence)
    path = folder / "mosquitto.conf"
    path.write_text(text + (f"user {user}\n" if user else ""), "utf-8")
    return path


def configuration(folder: str, port: int, access: str, *, host: str = "127.0.0.1", persistence: bool = True) -> str:
    """The text of `mosquitto.conf` with the access rules of the lines `access`."""
    stays = str(persistence).lower()
    return _CONFIGURATION.format(port=port, host=host, folder=folder, access=access, persistence=stays)


def _plugin() -> Path:
    found = sorted(Path("/usr/lib").glob("**/mosquitto_dynamic_security.so"))
    if not found:
        raise IssuerError("Mosquitto's dynamic security plug-in is not installed: apt-get install mosquitto")
    return found[0]


def access_rules(workers: Sequence[str] = (ISSUER_CLIENT,)) -> str:
    """The access control list for `workers` and for all terminals, from the topic table: `%u` is the terminal."""
    lines = ["# The issuer's workers."]
    for worker in workers:
        lines.append(f"user {worker}")
        for topic in topics.ALL:
            access = "write" if topic.publisher == topics.ISSUER else "read"
            lines.append(f"topic {access} {topic.filter}")
    lines += ["", "# Every terminal, on its own topics only."]
    for topic in topics.ALL:
        access = "read" if topic.publisher == topics.ISSUER else "write"
        lines.append(f"pattern {access} {topic.address.format(terminal='%u')}")
    return "\n".join(lines) + "\n"
