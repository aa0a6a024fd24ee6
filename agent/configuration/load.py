"""Read a settings file; a wrong value is named with its file, its key and what is allowed."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agent.configuration.schema import Settings
from agent.failures import RenzhengError

MAX_SETTINGS_BYTES = 256 * 1024

Model = TypeVar("Model", bound=BaseModel)


def load(path: Path) -> Settings:
    """The settings in the TOML file at `path`, with relative paths made absolute.

    Raises:
        RenzhengError: `settings.invalid`, with one line for each wrong value.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SETTINGS_BYTES + 1)
    except OSError as error:
        raise RenzhengError("settings.invalid", f"{path}: {error.strerror}") from error
    if len(raw) > MAX_SETTINGS_BYTES:
        raise RenzhengError("settings.invalid", f"{path}: larger than {MAX_SETTINGS_BYTES} bytes")
    try:
        tables = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RenzhengError("settings.invalid", f"{path}: not TOML: {error}") from error
    return parse(tables, source=str(path), base=path.parent)


def parse(tables: Mapping[str, object], *, source: str, base: Path) -> Settings:
    """Settings from parsed tables; `source` names them in errors, `base` is what relative paths start from.

    Raises:
        RenzhengError: `settings.invalid`.
    """
    try:
        return _absolute(Settings.model_validate(tables), base.resolve())
    except ValidationError as error:
        raise RenzhengError("settings.invalid", "\n".join(_lines(source, error))) from error


def _lines(source: str, error: ValidationError) -> list[str]:
    lines = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"]) or "(the whole file)"
        allowed = "no such setting" if item["type"] == "extra_forbidden" else item["msg"]
        lines.append(f"{source}: {key}: {allowed}")
    return lines


def _absolute(model: Model, base: Path) -> Model:
    changes: dict[str, object] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path) and not value.is_absolute():
            changes[name] = base / value
        elif isinstance(value, BaseModel):
            changes[name] = _absolute(value, base)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            changes[name] = tuple(_absolute(item, base) for item in value)
    return model.model_copy(update=changes)
