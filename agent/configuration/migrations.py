"""Settings written for an older schema, brought forward one version at a time, on plain tables.

`MIGRATIONS[n]` turns tables of schema n into tables of schema n + 1. A step neither validates nor fills in defaults:
the schema does that after the last one. The schema has one version so far, hence no step.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from agent.configuration.schema import Settings
from agent.failures import RenzhengError

Tables = dict[str, Any]
Step = Callable[[Tables], Tables]

MIGRATIONS: Mapping[int, Step] = {}


def current_schema() -> int:
    """The version that `schema.Settings` describes."""
    (version,) = get_args(Settings.model_fields["version"].annotation)
    return int(version)


def migrate(
    tables: Tables, written_for: int, *, current: int | None = None, steps: Mapping[int, Step] = MIGRATIONS
) -> Tables:
    """`tables` of schema `written_for` as tables of schema `current` (ours).

    Raises:
        RenzhengError: `configuration.schema`; newer than this software, or so old that a step is missing.
    """
    current = current_schema() if current is None else current
    if written_for > current:
        raise RenzhengError(
            "configuration.schema", f"written for schema {written_for}; this software knows up to {current}"
        )
    for version in range(written_for, current):
        step = steps.get(version)
        if step is None:
            raise RenzhengError("configuration.schema", f"no migration leads from schema {version} to {version + 1}")
        tables = step(tables)
    return tables
