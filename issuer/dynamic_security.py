"""The access rules for Mosquitto's dynamic security plug-in: stricter than an ACL file, and changed while it runs.

An ACL file filters what is delivered; the plug-in also refuses the SUBSCRIBE itself, and can throw a revoked terminal
out at once. Mosquitto 2.0 knows no `%u` there, so every terminal has a role of its own, made from the topic table.
"""

from collections.abc import Iterable
from typing import Any

from agent.wire import topics
from issuer.pki import ISSUER_CLIENT

_Rule = dict[str, Any]


def document(terminals: Iterable[str], workers: Iterable[str] = (ISSUER_CLIENT,)) -> dict[str, Any]:
    """The plug-in's file (`plugin_opt_config_file`) for workers and terminals: nothing is allowed by default."""
    names = list(terminals)
    roles = [_role(ISSUER_CLIENT, _issuer_rules()), *(_role(role_of(name), terminal_rules(name)) for name in names)]
    clients = [
        *(_client(worker, ISSUER_CLIENT) for worker in workers),
        *(_client(name, role_of(name)) for name in names),
    ]
    access = {"publishClientSend": False, "publishClientReceive": False, "subscribe": False, "unsubscribe": True}
    return {"defaultACLAccess": access, "roles": roles, "clients": clients, "groups": []}


def enrol_commands(terminal: str) -> dict[str, Any]:
    """What to publish on `$CONTROL/dynamic-security/v1` so that a running broker lets a new terminal in."""
    role = {"command": "createRole", "rolename": role_of(terminal), "acls": terminal_rules(terminal)}
    client = {"command": "createClient", "username": terminal, "roles": [{"rolename": role_of(terminal)}]}
    return {"commands": [role, client]}


def revoke_commands(terminal: str) -> dict[str, Any]:
    """What to publish so that a running broker throws `terminal` out; whoever comes back by its name may do nothing.

    `disableClient` alone is not enough: it guards passwords, and certificates pass it by with their rights in place.
    """
    client = {"command": "deleteClient", "username": terminal}
    return {"commands": [client, {"command": "deleteRole", "rolename": role_of(terminal)}]}


def role_of(terminal: str) -> str:
    """The name of a terminal's role."""
    return f"terminal-{terminal}"


def terminal_rules(terminal: str) -> list[_Rule]:
    """What one terminal may do: its own topics, each in its own direction."""
    rules: list[_Rule] = []
    for topic in topics.ALL:
        name = topic.of(terminal)
        if topic.publisher == topics.ISSUER:
            rules += [_rule("subscribeLiteral", name), _rule("publishClientReceive", name)]
        else:
            rules.append(_rule("publishClientSend", name))
    return rules


def _issuer_rules() -> list[_Rule]:
    rules = [_rule("publishClientSend", "$CONTROL/dynamic-security/#")]
    for topic in topics.ALL:
        if topic.publisher == topics.ISSUER:
            rules.append(_rule("publishClientSend", topic.filter))
        else:
            rules += [_rule("subscribePattern", topic.filter), _rule("publishClientReceive", topic.filter)]
            rules.append(_rule("subscribePattern", topic.shared_filter))
    return rules


def _rule(kind: str, topic: str) -> _Rule:
    return {"acltype": kind, "topic": topic, "priority": 0, "allow": True}


def _role(name: str, rules: list[_Rule]) -> dict[str, Any]:
    return {"rolename": name, "acls": rules}


def _client(username: str, role: str) -> dict[str, Any]:
    return {"username": username, "roles": [{"rolename": role}]}
