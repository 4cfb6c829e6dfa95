"""`config show` tells every setting with its origin, and what it prints is a settings file that says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from logstream.console.configuration import as_file, as_object, check
from logstream.settings import Settings, load
from logstream.settings.models import SECTIONS

ENVIRONMENT = {"LOGSTREAM_HOME": "/nowhere", "NODE_ADDRESS": "127.0.0.1:8009"}


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    path = tmp_path / "my.ini"
    path.write_text("[cluster]\nname = lab\nauto_create = false\n[node]\naddress = 127.0.0.1:8001\n")
    return path


@pytest.fixture
def settings(ini: Path) -> Settings:
    return load({("client", "bootstrap"): "127.0.0.1:1"}, ini, ENVIRONMENT)


def test_every_setting_has_a_value_and_an_origin(settings: Settings, ini: Path) -> None:
    shown = as_object(settings)
    assert {section: list(shown[section]) for section in SECTIONS} == {
        section: list(model.fields_by_key()) for section, model in SECTIONS.items()
    }
    assert shown["cluster"]["name"] == {"value": "lab", "origin": f"{ini} line 2"}
    assert shown["node"]["address"] == {"value": "127.0.0.1:8009", "origin": "environment NODE_ADDRESS"}
    assert shown["client"]["bootstrap"] == {"value": "127.0.0.1:1", "origin": "option --bootstrap"}
    assert shown["cluster"]["commit"] == {"value": "all", "origin": "default"}


def test_what_is_shown_is_a_settings_file_that_says_the_same(settings: Settings, tmp_path: Path) -> None:
    written = tmp_path / "written.ini"
    written.write_text(as_file(settings))
    again = load(file=written, environment={"LOGSTREAM_HOME": "/nowhere"})
    assert again.model_copy(update={"origins": {}}) == settings.model_copy(update={"origins": {}})


def test_what_a_default_comes_to_is_said(settings: Settings) -> None:
    lines = as_file(settings).splitlines()
    assert any(line.startswith("lease_s = 0 ") and line.endswith("; default, comes to 2.45") for line in lines)
    assert any(
        line.startswith("memory_max = ") and line.endswith("; default, a quarter of the memory") for line in lines
    )


def test_a_check_names_what_of_the_file_does_not_count(
    settings: Settings, ini: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(settings, ini) == 0
    said = capsys.readouterr()
    stronger = f"{ini} line 5: [node] address does not count here, environment NODE_ADDRESS is stronger"
    assert said.err == f"logstream: {stronger}\n"
    assert said.out == f"{ini}: in order; 4 set, the others are defaults\n"
