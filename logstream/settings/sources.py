"""Where settings come from: flags, then the environment, then a file, then the defaults.

    flag --address  >  LOGSTREAM_NODE_ADDRESS  >  NODE_ADDRESS  >  [node] address  >  the model's default

Each source gives a table (section, key) -> Found(text, origin); the first that has a key wins, and its
origin is remembered, so that an error about a value says where that value stands. Unknown names are
errors with the nearest known one: a typing mistake must not become a silent default.
"""

from __future__ import annotations

import configparser
import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from logstream.settings.models import SECTIONS, Settings, SettingsError
from logstream.settings.values import memory_of_this_machine
from logstream.state import home_folder

PREFIX = "LOGSTREAM_"
_NOT_A_SETTING = {"LOGSTREAM_HOME"}

# The original's names, the weaker ones first where two mean the same key.
ORIGINAL_NAMES: dict[str, tuple[str, str]] = {
    "NODE_ADDRESS": ("node", "address"),
    "MULTICAST_GROUP": ("node", "multicast_group"),
    "BROADCAST_PORT": ("node", "broadcast_port"),
    "LEADER_ADDRESS": ("client", "bootstrap"),
    "FOLLOWER_HB_INTERVAL": ("cluster", "heartbeat_s"),
    "BROKER_HB_INTERVAL": ("cluster", "heartbeat_s"),
    "FAILURE_TIMEOUT": ("cluster", "failure_timeout_s"),
    "MAX_RECORDS_PER_TOPIC": ("cluster", "retention_records"),
}

Key = tuple[str, str]  # section and key, as in the file


class Found(NamedTuple):
    """A value and the words for where it stands."""

    value: object
    origin: str


def load(
    flags: Mapping[Key, object] | None = None,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of this process. Flags that are None were not given. Raises SettingsError."""
    environment = os.environ if environment is None else environment
    found: dict[Key, Found] = {}
    if file is not None:
        found |= from_file(file)
    found |= from_environment(environment)
    found |= from_flags(flags or {})
    sections = {name: _validated(name, found) for name in SECTIONS}
    return Settings(
        shared=sections["cluster"],
        node=_with_memory(sections["node"]),
        client=sections["client"],
        state_folder=home_folder(environment),
        origins={f"{section}.{key}": value.origin for (section, key), value in found.items()},
    )


def from_flags(flags: Mapping[Key, object]) -> dict[Key, Found]:
    """What was said on the command line."""
    return {
        key: Found(value, f"option --{key[1].replace('_', '-')}") for key, value in flags.items() if value is not None
    }


# --- environment ---


def from_environment(environment: Mapping[str, str]) -> dict[Key, Found]:
    """LOGSTREAM_<SECTION>_<KEY> and the original's names. Raises SettingsError for an unknown LOGSTREAM_ name."""
    found: dict[Key, Found] = {}
    for name, key in ORIGINAL_NAMES.items():
        if environment.get(name):
            found |= _original(name, key, environment[name])
    known = known_variables()
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in _NOT_A_SETTING:
            if name not in known:
                raise SettingsError(f"environment variable {name} is not a setting{_nearest(name, known)}")
            found[known[name]] = Found(environment[name], f"environment {name}")
    return found


def known_variables() -> dict[str, Key]:
    """Every LOGSTREAM_ name with its section and key."""
    return {
        f"{PREFIX}{section}_{key}".upper(): (section, key)
        for section, model in SECTIONS.items()
        for key in model.fields_by_key()
    }


def _original(name: str, key: Key, value: str) -> dict[Key, Found]:
    """The original wrote MULTICAST_GROUP with or without a port."""
    origin = f"environment {name}"
    if name != "MULTICAST_GROUP":
        return {key: Found(value, origin)}
    group, colon, port = value.partition(":")
    found = {key: Found(group, origin)}
    if colon:
        found["node", "multicast_port"] = Found(port, origin)
    return found


# --- file ---


def from_file(file: Path) -> dict[Key, Found]:
    """What an INI file says. Raises SettingsError with file and line."""
    text = _read(file)
    parser = configparser.ConfigParser(interpolation=None, default_section="", inline_comment_prefixes=(" #", " ;"))
    try:
        parser.read_string(text, source=str(file))
    except configparser.Error as error:
        raise SettingsError(_malformed(file, error)) from None
    found: dict[Key, Found] = {}
    for section in parser.sections():
        found |= _section(file, text, section, dict(parser.items(section)))
    return found


def _section(file: Path, text: str, section: str, values: dict[str, str]) -> dict[Key, Found]:
    if section not in SECTIONS:
        raise SettingsError(f"{_where(file, text, section)}: unknown section [{section}]{_nearest(section, SECTIONS)}")
    known = SECTIONS[section].fields_by_key()
    for key in values:
        if key not in known:
            where = _where(file, text, section, key)
            raise SettingsError(f"{where}: unknown key {key} in section [{section}]{_nearest(key, known)}")
    return {(section, key): Found(value, _where(file, text, section, key)) for key, value in values.items()}


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: not UTF-8 text at byte {error.start}, is this a settings file?") from None
    except OSError as error:
        raise SettingsError(f"{file}: cannot read the settings file: {error.strerror}") from None


def _malformed(file: Path, error: configparser.Error) -> str:
    match error:
        case configparser.MissingSectionHeaderError(lineno=line):
            return f"{file} line {line}: text before the first section, write [cluster], [node] or [client] above it"
        case configparser.DuplicateSectionError(section=section, lineno=line):
            return f"{file} line {line}: section [{section}] is there twice, put its keys together"
        case configparser.DuplicateOptionError(option=key, section=section, lineno=line):
            return f"{file} line {line}: {key} is set twice in section [{section}], keep one"
        case configparser.ParsingError(errors=[(line, _), *_]):
            return f"{file} line {line}: not of the form key = value"
        case _:
            return f"{file}: {error}".splitlines()[0]


def _where(file: Path, text: str, section: str, key: str = "") -> str:
    """File and line of a section's header, or of a key in it; configparser does not keep line numbers."""
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped.startswith(f"[{section}]")
            if inside and not key:
                return f"{file} line {number}"
        elif inside and stripped.replace(":", "=").partition("=")[0].strip().lower() == key:
            return f"{file} line {number}"
    return str(file)


# --- validation ---


def _validated(section: str, found: Mapping[Key, Found]) -> Any:
    model = SECTIONS[section]
    values = {
        field: found[section, key].value for key, field in model.fields_by_key().items() if (section, key) in found
    }
    try:
        return model(**values)
    except ValidationError as error:
        raise SettingsError(_explained(section, found, error)) from None


def _explained(section: str, found: Mapping[Key, Found], error: ValidationError) -> str:
    first = error.errors()[0]
    said = first["msg"].removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    if not first["loc"]:
        origins = dict.fromkeys(
            value.origin for (where, key), value in found.items() if where == section and key in said
        )
        return f"{', '.join(origins) or 'settings'}: {said}"
    field = str(first["loc"][0])
    key = next(key for key, name in SECTIONS[section].fields_by_key().items() if name == field)
    value, origin = found[section, key]
    return f"{origin}: {key} = {str(value)!r}: {said}"


def _with_memory(node: Any) -> Any:
    return node if node.memory_max else node.model_copy(update={"memory_max": memory_of_this_machine() // 4})


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else f", known are: {', '.join(known)}" if len(known) < 20 else ""
