"""What the commands' options have in common: the group class, its style, and options that many have.

typer is all that is imported here: `--help` must answer before Python has read anything else.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from logstream.console.streams import let_go

if TYPE_CHECKING:
    from logstream.settings import Settings

HELP_WIDTH_MIN = 52  # below it typer would write lines that are longer than the terminal is wide


class Group(TyperGroup):
    """Ends quietly where typer would not: a closed stdout is no error, and Ctrl-C no traceback."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the command line; it is here that `--help` is printed."""
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            let_go()
            raise typer.Exit(0) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            let_go()
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            print("logstream: interrupted", file=sys.stderr)
            raise typer.Exit(1) from None


def group(sentence: str, completion: bool = False) -> typer.Typer:
    """An app, or a group of commands in one."""
    return typer.Typer(
        help=sentence,
        cls=Group,
        rich_markup_mode=None,
        no_args_is_help=True,
        add_completion=completion,
        pretty_exceptions_enable=False,
    )


def width_of_help() -> dict[str, int]:
    """What typer is told where the terminal is narrow; nothing where its own rule does."""
    from shutil import get_terminal_size

    columns = get_terminal_size().columns
    return {"terminal_width": max(columns - 2, 20)} if columns < HELP_WIDTH_MIN else {}


def node_names(incomplete: str) -> list[str]:
    """For the shell: names of nodes of this machine that begin so."""
    from logstream.state import known_nodes

    return sorted({node.name for node, _ in known_nodes() if node.name.startswith(incomplete)})


Cluster = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the cluster.")]
Bootstrap = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="A broker to ask first; several with commas.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]


class Compression(StrEnum):
    """What --compression takes: protocol.batches.CODECS, which to import would take `--help` too long."""

    NONE = "none"
    GZIP = "gzip"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"


Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="Name of the topic.")]


def client_settings(bootstrap: str | None, cluster: str | None, timeout_s: float | None = None) -> Settings:
    """The settings of a command that asks a cluster. Raises SettingsError."""
    from logstream.settings import load

    return load({("client", "bootstrap"): bootstrap, ("client", "timeout_s"): timeout_s, ("cluster", "name"): cluster})
