"""A key is read, documented and tested, or it does not exist; a mistake is named where it stands."""

from __future__ import annotations

import configparser
import itertools
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from logstream.settings import Settings, SettingsError, SharedSettings, load
from logstream.settings.models import SECTIONS
from logstream.settings.sources import ORIGINAL_NAMES, known_variables
from logstream.settings.values import read_address, read_size

CONF = Path(__file__).parents[2] / "conf"
PAGE = (Path(__file__).parents[2] / "docs/settings.md").read_text()
NOTHING: dict[str, str] = {"LOGSTREAM_HOME": "/nowhere"}


def load_file(path: Path, text: str, environment: dict[str, str] = NOTHING) -> Settings:
    path.write_text(text)
    return load(file=path, environment=environment)


def error_of(path: Path, text: str) -> str:
    with pytest.raises(SettingsError) as raised:
        load_file(path, text)
    return str(raised.value).replace(str(path), "x.ini")


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    return tmp_path / "x.ini"


# --- the documented file ---


def test_the_documented_file_has_exactly_the_keys_that_exist() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(CONF / "logstream.ini")
    written = {section: list(parser[section]) for section in parser.sections()}
    assert written == {section: list(model.fields_by_key()) for section, model in SECTIONS.items()}


def test_the_documented_file_changes_no_default() -> None:
    documented, plain = load(file=CONF / "logstream.ini", environment=NOTHING), load(environment=NOTHING)
    assert documented.model_copy(update={"origins": {}}) == plain


def test_every_key_but_the_second_of_a_pair_has_a_sentence_above_it() -> None:
    lines = (CONF / "logstream.ini").read_text().splitlines()
    bare = [line for above, line in itertools.pairwise(lines) if "=" in line and line[0] != ";" and above[:1] != ";"]
    assert bare == ["multicast_port = 9999"]


def test_every_name_of_the_original_is_mentioned_beside_its_key() -> None:
    text = (CONF / "logstream.ini").read_text()
    assert [name for name in ORIGINAL_NAMES if name not in text] == []


# --- docs/settings.md ---


class Row(NamedTuple):
    """What the page says of one key."""

    section: str
    key: str
    default: str
    unit: str
    variables: list[str]
    trade_off: str


def rows() -> list[Row]:
    """All rows of the tables below `## [section]`."""
    found = []
    for section, text in re.findall(r"^## \[(\w+)\]\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^\| `.*\|$", text, re.MULTILINE):
            key, default, unit, variables, trade_off = (cell.strip() for cell in line.strip("|").split("|"))
            names = re.findall(r"`(\w+)`", variables)
            found.append(Row(section, key.strip("`"), default.strip("`"), unit, names, trade_off))
    return found


def test_the_page_has_every_key_with_the_default_of_the_documented_file() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(CONF / "logstream.ini")
    written = [(section, key, value) for section in parser.sections() for key, value in parser[section].items()]
    assert [(row.section, row.key, row.default) for row in rows()] == written


def test_the_page_has_every_variable_of_a_key_and_no_other() -> None:
    variables: dict[tuple[str, str], set[str]] = {key: {name} for name, key in known_variables().items()}
    for name, key in ORIGINAL_NAMES.items():
        variables[key].add(name)
    variables["node", "multicast_port"].add("MULTICAST_GROUP")  # as GROUP:PORT
    assert {(row.section, row.key): set(row.variables) for row in rows()} == variables


def sizes() -> set[tuple[str, str]]:
    """Section and key of every setting that is read like "16MiB"."""
    return {
        (section, key)
        for section, model in SECTIONS.items()
        for key, field in model.fields_by_key().items()
        if any(getattr(reading, "func", None) is read_size for reading in model.model_fields[field].metadata)
    }


def test_the_page_names_the_unit_of_a_time_and_of_a_size() -> None:
    assert {(row.section, row.key) for row in rows() if row.unit == "bytes"} == sizes() > {("node", "memory_max")}
    assert {row.key for row in rows() if row.unit == "s"} == {row.key for row in rows() if row.key.endswith("_s")}


def test_the_page_says_of_every_key_what_it_trades_off() -> None:
    assert [row.key for row in rows() if len(row.trade_off.split()) < 3] == []


def test_the_page_names_the_variables_that_are_not_read() -> None:
    named = set(re.findall(r"`([A-Z_]+)`", PAGE.partition("of the original are not read")[2]))
    assert named and named & (set(ORIGINAL_NAMES) | set(known_variables())) == set()


# --- the preset ---


def test_the_loopback_preset_stays_on_loopback() -> None:
    assert load(file=CONF / "local.ini", environment=NOTHING).node.address == "127.0.0.1:8001"


# --- which source wins ---


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(ini: Path) -> None:
    text = "[node]\naddress = 127.0.0.1:1\nbroadcast_port = 1\nmulticast_port = 1\n"
    ini.write_text(text)
    environment = NOTHING | {"LOGSTREAM_NODE_ADDRESS": "127.0.0.1:2", "LOGSTREAM_NODE_BROADCAST_PORT": "2"}
    settings = load({("node", "address"): "127.0.0.1:3"}, ini, environment)
    node = settings.node
    assert (node.address, node.broadcast_port, node.multicast_port, node.nack_s) == ("127.0.0.1:3", 2, 1, 0.02)
    assert [settings.origin("node", key) for key in ("address", "broadcast_port", "multicast_port", "nack_s")] == [
        "option --address",
        "environment LOGSTREAM_NODE_BROADCAST_PORT",
        f"{ini} line 4",
        "default",
    ]


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load({("node", "name"): None}, environment=NOTHING).node.name == ""


@pytest.mark.parametrize(
    ("variables", "section", "key", "value"),
    [
        ({"NODE_ADDRESS": "127.0.0.2"}, "node", "address", "127.0.0.2:8001"),
        ({"MULTICAST_GROUP": "239.1.2.3"}, "node", "multicast_group", "239.1.2.3"),
        ({"MULTICAST_GROUP": "239.1.2.3:77"}, "node", "multicast_port", 77),
        ({"BROADCAST_PORT": "78"}, "node", "broadcast_port", 78),
        ({"LEADER_ADDRESS": "10.0.0.1:8001"}, "client", "bootstrap", "10.0.0.1:8001"),
        ({"FOLLOWER_HB_INTERVAL": "0.5"}, "shared", "heartbeat_s", 0.5),
        ({"FOLLOWER_HB_INTERVAL": "0.5", "BROKER_HB_INTERVAL": "0.75"}, "shared", "heartbeat_s", 0.75),
        ({"FAILURE_TIMEOUT": "3"}, "shared", "failure_timeout_s", 3.0),
        ({"MAX_RECORDS_PER_TOPIC": "5000"}, "shared", "retention_records", 5000),
        ({"LOGSTREAM_CLUSTER_NAME": "lab"}, "shared", "cluster", "lab"),
        ({"LOGSTREAM_CLUSTER_RECORD_MAX": "1m"}, "shared", "record_max", 1 << 20),
    ],
)
def test_a_variable_sets_its_key(variables: dict[str, str], section: str, key: str, value: object) -> None:
    assert getattr(getattr(load(environment=NOTHING | variables), section), key) == value


def test_our_own_name_of_a_variable_beats_the_originals() -> None:
    environment = NOTHING | {"NODE_ADDRESS": "127.0.0.2", "LOGSTREAM_NODE_ADDRESS": "127.0.0.3"}
    assert load(environment=environment).node.address == "127.0.0.3:8001"


# --- mistakes ---


MISTAKES = {
    "[cluster]\nheartbeat = 1\n": "line 2: unknown key heartbeat in section [cluster], did you mean heartbeat_s?",
    "\n[clutser]\n": "line 2: unknown section [clutser], did you mean cluster?",
    "a = 1\n": "line 1: text before the first section, write [cluster], [node] or [client] above it",
    "[node]\nname = a\n\nname = b\n": "line 4: name is set twice in section [node], keep one",
    "[node]\n[client]\n[node]\n": "line 3: section [node] is there twice, put its keys together",
    "[node]\nnonsense\n": "line 2: not of the form key = value",
    "[DEFAULT]\nname = a\n": "line 1: unknown section [DEFAULT], known are: cluster, node, client",
    "[cluster]\ncommit = some\n": "line 2: commit = 'some': input should be 'all' or 'majority'",
    "[cluster]\nrecord_max = big\n": (
        "line 2: record_max = 'big': a size is a number with k, M or G behind it, like 16MiB"
    ),
    "[node]\naddress = here\n": (
        "line 2: address = 'here': an address is IP:PORT with an IPv4 address, like 127.0.0.1:8001"
    ),
    "[node]\nmulticast_group = 10.0.0.1\n": (
        "line 2: multicast_group = '10.0.0.1': a multicast group is an IPv4 address from 224.0.0.0 to 239.255.255.255"
    ),
    "[cluster]\nheartbeat_s = 20\n": "line 2: failure_timeout_s (15) must be above heartbeat_s (20)",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_the_file_is_named_with_its_line(ini: Path, text: str) -> None:
    assert error_of(ini, text) == f"x.ini {MISTAKES[text]}"


def test_a_file_that_is_not_there_is_named(ini: Path) -> None:
    with pytest.raises(SettingsError, match=r"x\.ini: cannot read the settings file: No such file"):
        load(file=ini, environment=NOTHING)


def test_a_file_that_is_not_text_is_named(ini: Path) -> None:
    ini.write_bytes(b"[node]\nname = \xff\n")
    with pytest.raises(SettingsError, match=r"x\.ini: not UTF-8 text at byte 14"):
        load(file=ini, environment=NOTHING)


def test_an_unknown_variable_is_named_with_the_nearest() -> None:
    with pytest.raises(SettingsError) as raised:
        load(environment={"LOGSTREAM_NODE_ADRESS": "x"})
    said = "environment variable LOGSTREAM_NODE_ADRESS is not a setting, did you mean LOGSTREAM_NODE_ADDRESS?"
    assert str(raised.value) == said


def test_a_wrong_value_on_the_command_line_names_the_option() -> None:
    with pytest.raises(SettingsError, match=r"option --address: address = '1\.2\.3': an address is IP:PORT"):
        load({("node", "address"): "1.2.3"}, environment=NOTHING)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "x" * 101, "ü"])
def test_a_cluster_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="a name has 1 to 100"):
        load({("cluster", "name"): name}, environment=NOTHING)


# --- values ---


@pytest.mark.parametrize(
    ("text", "size"),
    [("7", 7), ("64k", 1 << 16), ("16MiB", 16 << 20), ("1.5g", 3 << 29), ("2 GB", 2 << 30), ("0", 0)],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    ("text", "address"),
    [("", ""), ("localhost", "127.0.0.1:8001"), ("10.0.0.1", "10.0.0.1:8001"), ("10.0.0.1:9", "10.0.0.1:9")],
)
def test_an_address_may_lack_its_port(text: str, address: str) -> None:
    assert read_address(text) == address


@pytest.mark.parametrize(
    "text", ["10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:", "10.0.0.1:x", "10.0.0.1:٣", "::1", "a:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"an address is|a port is"):
        read_address(text)


def test_without_a_limit_a_node_keeps_a_quarter_of_the_memory() -> None:
    assert 1 << 20 < load(environment=NOTHING).node.memory_max < 1 << 50


# --- agreement ---


def test_nodes_agree_on_everything_shared_but_the_name_and_the_floor() -> None:
    keys = [line.partition("=")[0] for line in SharedSettings().agreement()]
    assert keys == sorted(set(SharedSettings.model_fields) - {"cluster", "expected_nodes"})


def test_a_difference_shows_in_the_agreement_as_it_is_written_in_the_file() -> None:
    one, other = SharedSettings(), SharedSettings(auto_create=False, heartbeat_s=1.0)
    assert set(other.agreement()) - set(one.agreement()) == {"auto_create=false", "heartbeat_s=1"}
