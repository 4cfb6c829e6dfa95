"""`force-view` asks before it acts."""

from __future__ import annotations

import io
from typing import Any

import pytest

from logstream.console import leadership
from logstream.console.failure import Failure
from logstream.console.leadership import force_view
from logstream.protocol.identity import NO_EPOCH, Member
from logstream.protocol.messages import MetadataResponse
from logstream.settings import Settings, load

N1 = Member("n1", "s", "127.0.0.1:8001")


class PretendAdmin:
    """An Admin of a cluster without a quorum."""

    def __init__(self) -> None:
        self.forced = False

    def __enter__(self) -> PretendAdmin:
        return self

    def __exit__(self, *raised: object) -> None:
        return None

    def status(self) -> dict[str, Any]:
        return {"no_quorum": "no quorum: n2 does not answer"}

    def force_view(self, accept_data_loss: bool) -> MetadataResponse:
        self.forced = accept_data_loss
        return MetadataResponse("c1", NO_EPOCH, 1007, N1, (N1,), (), 1)


class Terminal(io.StringIO):
    """Standard input with a person behind it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def settings() -> Settings:
    return load(environment={"LOGSTREAM_HOME": "/nowhere"})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> PretendAdmin:
    pretended = PretendAdmin()
    monkeypatch.setattr(leadership, "admin", lambda settings: pretended)
    return pretended


def test_a_yes_at_the_terminal_forces_the_view(
    settings: Settings, asked: PretendAdmin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert force_view(settings, accept_data_loss=True, yes=False, as_json=False) == 0
    said = capsys.readouterr()
    assert asked.forced
    assert said.out == "n1 leads view 1007 of n1\n"
    assert "no quorum: n2 does not answer" in said.err and "will be lost" in said.err


@pytest.mark.parametrize("answer", ["", "no\n", "y\n"])
def test_anything_but_yes_changes_nothing(
    settings: Settings, asked: PretendAdmin, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    with pytest.raises(Failure, match="nothing was changed"):
        force_view(settings, accept_data_loss=True, yes=False, as_json=False)
    assert not asked.forced


def test_with_yes_as_an_option_nobody_is_asked(
    settings: Settings, asked: PretendAdmin, capsys: pytest.CaptureFixture[str]
) -> None:
    assert force_view(settings, accept_data_loss=True, yes=True, as_json=True) == 0
    assert capsys.readouterr().out == '{"leader": "n1", "view": 1007, "members": ["n1"]}\n'
