"""Who owns what provisioning makes: the service's own user, when root provisions for it."""

import contextlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.failures import RenzhengError

SERVICE_USER = "renzheng"


@dataclass(frozen=True, slots=True)
class Account:
    """The user that the service runs as."""

    name: str
    user: int
    group: int


def service_account() -> Account | None:
    """The service's user; None where there is none (no package), or where we are not root and act as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return None
    return Account(found.pw_name, found.pw_uid, found.pw_gid)


@contextlib.contextmanager
def acting_as(account: Account | None) -> Iterator[None]:
    """Do what follows with the rights of `account` and with no others, then be root again.

    Root that wrote into a folder of the service's user would follow the links that this user lays there.
    """
    if account is None:
        yield
        return
    groups = os.getgroups()
    os.setgroups(os.getgrouplist(account.name, account.group))
    os.setegid(account.group)
    os.seteuid(account.user)
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def make_folder(folder: Path, account: Account | None) -> None:
    """Make sure of a private folder of `account`.

    Raises:
        RenzhengError: `provision.rights`.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True)
            if account is not None:
                os.chown(folder, account.user, account.group, follow_symlinks=False)
    except OSError as error:
        raise RenzhengError("provision.rights", f"{folder}: {error.strerror}") from error
