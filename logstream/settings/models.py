"""What can be set: three frozen models and the whole that carries them.

    [cluster]  SharedSettings   must agree across a cluster; `agreement()` travels in JOIN
    [node]     NodeSettings     one node's own matter
    [client]   ClientSettings   producers, consumers and the commands

A field's name is its key in the file, except that `cluster` is written `[cluster] name`. Times end in
_s and are seconds; sizes are bytes. The sentence about each key is in conf/logstream.ini.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from logstream.core.phi import deviations
from logstream.protocol.identity import CommitRule
from logstream.settings.values import read_address, read_group, read_name, read_size

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Size = Annotated[int, BeforeValidator(read_size), Field(ge=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
Address = Annotated[str, BeforeValidator(read_address)]
Name = Annotated[str, AfterValidator(read_name)]
Group = Annotated[str, AfterValidator(read_group)]
LogLevel = Literal["trace", "debug", "info", "warning", "error"]

KIB, MIB = 1 << 10, 1 << 20
_NOT_AGREED = {"cluster", "expected_nodes"}  # strangers are ignored by name; a floor is each founder's own (Q10)


class SettingsError(Exception):
    """A setting that cannot be used. The text names its origin and what would be right."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    @classmethod
    def fields_by_key(cls) -> dict[str, str]:
        """Keys as they are written in the file, each with its field."""
        return {("name" if field == "cluster" else field): field for field in cls.model_fields}


class SharedSettings(_Section):
    """What must be the same on every node of a cluster."""

    cluster: Name = "logstream"
    commit: CommitRule = "all"
    expected_nodes: int = Field(default=0, ge=0, le=1000)  # 0: as the state folder remembers (Q10)
    heartbeat_s: Seconds = 0.25
    deviation_floor_s: Seconds = 0.1
    acceptable_pause_s: Seconds = 0.75
    phi_suspect: float = Field(default=8.0, gt=0, le=100)
    phi_fail: float = Field(default=10.0, gt=0, le=100)
    failure_timeout_s: Seconds = 15.0
    lease_s: float = Field(default=0.0, ge=0, le=3600, allow_inf_nan=False)  # 0: from the values above
    probe_s: Seconds = 0.15
    slow_s: Seconds = 1.0
    discovery_s: Seconds = 0.3
    collect_s: Seconds = 0.4
    promise_s: Seconds = 1.0
    install_repeat_s: Seconds = 0.15
    leave_s: Seconds = 1.0
    retention_bytes: Size = 256 * MIB  # of one partition; 0: no limit, like the next two
    retention_records: int = Field(default=0, ge=0)
    retention_s: float = Field(default=0.0, ge=0, le=1e9, allow_inf_nan=False)
    record_max: Size = 16 * MIB
    frame_max: Size = 64 * MIB
    auto_create: bool = True
    default_partitions: int = Field(default=1, ge=1, le=10_000)

    @model_validator(mode="after")
    def _fits_together(self) -> SharedSettings:
        if self.failure_timeout_s <= self.heartbeat_s:
            raise ValueError(
                f"failure_timeout_s ({self.failure_timeout_s:g}) must be above heartbeat_s ({self.heartbeat_s:g})"
            )
        if self.phi_fail < self.phi_suspect:
            raise ValueError(f"phi_fail ({self.phi_fail:g}) must not be below phi_suspect ({self.phi_suspect:g})")
        if self.record_max < KIB:
            raise ValueError(f"record_max ({self.record_max}) must be at least {KIB} bytes")
        if self.frame_max < self.record_max + MIB:
            raise ValueError(
                f"frame_max ({self.frame_max}) must be at least 1 MiB above record_max ({self.record_max})"
            )
        return self

    @property
    def effective_lease_s(self) -> float:
        """The lease as set, else 1.5 times the time after which phi says that a peer has failed, at most 15 s."""
        if self.lease_s:
            return self.lease_s
        fail_s = self.heartbeat_s + self.acceptable_pause_s + deviations(self.phi_fail) * self.deviation_floor_s
        return min(1.5 * fail_s, 15.0)

    def agreement(self) -> tuple[str, ...]:
        """ "key=value" of every setting that nodes compare before one joins the other, sorted."""
        fields = self.model_dump(exclude=_NOT_AGREED)
        return tuple(sorted(f"{key}={_as_written(value)}" for key, value in fields.items()))


def _as_written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


class NodeSettings(_Section):
    """What one node has for itself."""

    name: Name | Literal[""] = ""  # "": derived from the address
    address: Address = ""  # "": the primary interface, port 8001
    interface: str = ""  # "": the one that has the address, or the primary one (transport/choice.py)
    multicast_group: Group = "239.0.0.1"
    multicast_port: Port = 9999
    broadcast_port: Port = 8888
    multicast: bool = True
    nack_s: Seconds = 0.02
    memory_max: Size = 0  # 0: a quarter of the memory; `load` puts the number here
    credit: Size = MIB
    log_level: LogLevel = "info"
    log_file: str = ""


class ClientSettings(_Section):
    """What producers, consumers and the commands use."""

    bootstrap: str = ""  # "HOST:PORT", several with commas; "": look for the cluster
    timeout_s: Seconds = 60.0


class Settings(BaseModel):
    """All settings of this process, and where each came from."""

    model_config = ConfigDict(frozen=True)

    shared: SharedSettings = SharedSettings()
    node: NodeSettings = NodeSettings()
    client: ClientSettings = ClientSettings()
    state_folder: Path
    origins: Mapping[str, str] = {}  # "cluster.commit" -> "conf/my.ini line 4"; not listed: default

    def origin(self, section: str, key: str) -> str:
        """In words, where the value of this key came from."""
        return self.origins.get(f"{section}.{key}", "default")

    def strength(self, section: str, key: str) -> int:
        """Who wins where two keys exclude each other: 3 an option, 2 the environment, 1 a file, 0 a default."""
        origin = self.origin(section, key)
        by_origin = {"option": 3, "environment": 2, "default": 0}
        return by_origin.get(origin.partition(" ")[0], 1)


SECTIONS: dict[str, type[_Section]] = {"cluster": SharedSettings, "node": NodeSettings, "client": ClientSettings}
