"""What is in deploy/ can be used: a service under systemd, an image and three containers.

Neither systemd nor a container engine is needed: files are read, and what they start is started here. The
scripts in deploy/netns/ have tests of their own (test_namespaces.py).
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from logstream.settings import NodeSettings, SharedSettings
from logstream.settings.sources import from_environment
from logstream.settings.values import DEFAULT_PORT
from tests.processes.local_cluster import PROGRAM, ROOT

DOCKER = ROOT / "deploy/docker"
UNIT = ROOT / "deploy/systemd/logstream.service"
DEADLINE_S = 60


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run logstream, with the words that a container or service would use, from this environment."""
    environment = {**os.environ, "NODE_ADDRESS": "127.0.0.1:8001", **variables}
    command = [sys.executable, PROGRAM, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)


# --- docker ---


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as pairs of instruction and what follows it."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(words[0], words[1]) for line in lines if (words := line.split(maxsplit=1))]


def last(instruction: str) -> str:
    return [rest for name, rest in instructions() if name == instruction][-1]


def copied() -> list[str]:
    """What is copied from the repository into the image."""
    sources = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    return [source.removeprefix("./") for group in sources for source in group]


def test_what_the_image_copies_is_not_kept_away_from_it() -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == set(copied())


def test_what_the_image_copies_is_enough_to_build_the_wheel(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in copied():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, source], check=True, timeout=DEADLINE_S, capture_output=True)
    packed = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {"logstream/__init__.py", "logstream/_program/logstream_cli.py"} <= set(packed)


def test_the_image_exposes_the_ports_of_the_settings() -> None:
    node = NodeSettings()
    assert last("EXPOSE") == f"{DEFAULT_PORT}/tcp {node.broadcast_port}/udp {node.multicast_port}/udp"


def test_what_a_container_starts_and_asks_are_commands_that_exist() -> None:
    (program,), command = json.loads(last("ENTRYPOINT")), json.loads(last("CMD"))
    healthy = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert program == healthy[0] == "logstream"
    for words in (command, healthy[1:]):
        assert run(*words, "--help").returncode == 0
    assert run("version").returncode == 0


def compose() -> dict[str, Any]:
    text = (DOCKER / "compose.yaml").read_text()
    return yaml.safe_load(text)  # type: ignore[no-any-return]


def test_the_compose_file_builds_this_dockerfile_from_this_repository() -> None:
    for service in compose()["services"].values():
        context = (DOCKER / service["build"]["context"]).resolve()
        assert (context, (context / service["build"]["dockerfile"]).resolve()) == (ROOT, DOCKER / "Dockerfile")


def test_the_compose_file_has_three_nodes_on_one_bridge_that_find_their_interfaces_themselves() -> None:
    services, networks = compose()["services"], compose()["networks"]
    assert [network["driver"] for network in networks.values()] == ["bridge"]
    for name, service in services.items():
        assert service["networks"] == list(networks)
        found = {key: value.value for key, value in from_environment(service["environment"]).items()}
        assert found == {("node", "name"): name, ("cluster", "expected_nodes"): str(len(services))}
    assert len(services) == 3


def test_a_container_gets_more_time_to_stop_than_a_node_takes_to_leave() -> None:
    for service in compose()["services"].values():
        assert int(service["stop_grace_period"].removesuffix("s")) > SharedSettings().leave_s + 5


# --- systemd ---


def unit() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(UNIT)
    return parsed


def test_the_service_starts_a_node_with_options_that_exist() -> None:
    service = unit()["Service"]
    program, *words = service["ExecStart"].split()
    assert (Path(program).name, words) == ("logstream", ["start", "--config", "/etc/logstream/logstream.ini"])
    wrong = run(*words[:2], "/nowhere.ini")
    assert wrong.stderr == "logstream: /nowhere.ini: cannot read the settings file: No such file or directory\n"
    assert (service["Type"], service["StateDirectory"]) == ("notify", "logstream")
    assert service["Environment"] == "LOGSTREAM_HOME=/var/lib/logstream"
    assert int(service["TimeoutStopSec"]) > SharedSettings().leave_s + 5


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_service(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/logstream/bin/logstream", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=DEADLINE_S)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_a_node_tells_its_service_manager_when_it_is_a_member_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, socket.socket() as probe:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE_S)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        variables = {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "LOGSTREAM_HOME": str(tmp_path / "home"),
            "LOGSTREAM_NODE_BROADCAST_PORT": str(port),
            "LOGSTREAM_NODE_MULTICAST_PORT": str(port),
        }
        command = [sys.executable, PROGRAM, "start", "--address", f"127.0.0.1:{port}", "--cluster", f"unit-{port}"]
        node = subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True)
        try:
            assert manager.recv(100) == b"READY=1"
            node.send_signal(signal.SIGTERM)
            assert manager.recv(100) == b"STOPPING=1"
            _, said = node.communicate(timeout=DEADLINE_S)
        finally:
            node.kill()
    assert node.returncode == 0
    assert said.index("ClusterState") < said.index("logstream: ready")
