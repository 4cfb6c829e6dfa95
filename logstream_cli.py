"""The command line, and the only place where LogStream is put together.

It knows argv, the environment, files, the real clock and the log sinks, and hands to everybody else
what they need. A command here only says what its options are; its body is in logstream/console and is
imported when the command runs, because `--help` should answer before Python has read a whole broker.

Errors are one line on stderr, `logstream: what, where, what to do`; exit codes are 0 ok, 1 failed,
2 usage or configuration. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    import asyncio

    from logstream.console.hosting import Node
    from logstream.settings import Settings

PROGRAM = "logstream"


class _Group(TyperGroup):
    """Ends quietly where typer would not: a closed stdout is no error, and Ctrl-C no traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _let_stdout_go()
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            print("logstream: interrupted", file=sys.stderr)
            raise typer.Exit(1) from None


_style = {"cls": _Group, "rich_markup_mode": None, "no_args_is_help": True, "add_completion": False}
app = typer.Typer(help="A replicated log that needs no operator.", pretty_exceptions_enable=False, **_style)  # type: ignore[arg-type]
topics_app = typer.Typer(help="Topics: list, create, describe, delete.", **_style)  # type: ignore[arg-type]
app.add_typer(topics_app, name="topics")

Cluster = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the cluster.")]
Bootstrap = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="A broker to ask first; several with commas.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="Name of the topic.")]


# --- nodes ---


@app.command()
def start(
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings file (INI).")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the node.")] = None,
    address: Annotated[str | None, typer.Option(metavar="IP:PORT", help="Where it listens.")] = None,
    interface: Annotated[str | None, typer.Option(metavar="NAME", help="Network interface, if no address.")] = None,
    cluster: Cluster = None,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background; `down` stops it.")] = False,
    log_file: Annotated[str | None, typer.Option(metavar="FILE", help="Also log to this file.")] = None,
    managed: Annotated[bool, typer.Option("--managed", hidden=True)] = False,
) -> int:
    """Run one node in the foreground."""
    flags: dict[tuple[str, str], object] = {
        ("node", "name"): name,
        ("node", "address"): address,
        ("node", "interface"): interface,
        ("node", "log_file"): log_file,
        ("cluster", "name"): cluster,
    }
    settings = _placed(_settings(flags, config))
    if detach:
        from logstream.console.cluster import start_detached

        return start_detached(settings, config)
    from logstream.console.hosting import host

    return host(settings, _make_node, managed)


@app.command()
def up(
    nodes: Annotated[int | None, typer.Option(min=1, max=100, help="How many; default 3, or as before.")] = None,
    cluster: Cluster = None,
) -> int:
    """Start a cluster of node processes on loopback."""
    from logstream.console import cluster as body

    return body.up(_settings({("cluster", "name"): cluster}), nodes)


@app.command()
def down(cluster: Cluster = None) -> int:
    """Stop the nodes that `up` and `start --detach` started."""
    from logstream.console import cluster as body

    return body.down(_settings({("cluster", "name"): cluster}))


@app.command()
def status(bootstrap: Bootstrap = None, cluster: Cluster = None, json: Json = False) -> int:
    """Show view, leader, members, commit and topics."""
    from logstream.console.status import show_status

    return show_status(_client_settings(bootstrap, cluster), json)


# --- records ---


@app.command()
def producer(
    topic: Topic,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="Default: stdin.")] = None,
    key: Annotated[str | None, typer.Option(help="Key of every record: all go to one partition.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="One record of each file, not of each line.")] = False,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Deadline of a record.")] = None,
    bootstrap: Bootstrap = None,
    cluster: Cluster = None,
) -> int:
    """Send lines of files or stdin as records."""
    from logstream.console.produce import Order, produce

    settings = _client_settings(bootstrap, cluster, timeout)
    return produce(settings, Order(topic, tuple(files or ()), None if key is None else os.fsencode(key), whole))


@app.command()
def consumer(
    topic: Topic,
    start: Annotated[str, typer.Option("--from", metavar="start|end|OFFSET", help="Where to begin.")] = "start",
    follow: Annotated[bool, typer.Option("--follow", help="Go on at the end and wait for more.")] = False,
    count: Annotated[int | None, typer.Option(min=0, help="Stop after so many records.")] = None,
    json: Json = False,
    raw: Annotated[bool, typer.Option("--raw", help="Values only, nothing between them.")] = False,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write here, not to stdout.")] = None,
    bootstrap: Bootstrap = None,
    cluster: Cluster = None,
) -> int:
    """Write records to stdout, byte for byte."""
    from logstream.console.consume import Wish, consume

    wish = Wish.of(topic, start, follow, count, json, raw, output)
    return consume(_client_settings(bootstrap, cluster), wish)


# --- topics ---


@topics_app.command("list")
def topics_list(bootstrap: Bootstrap = None, cluster: Cluster = None, json: Json = False) -> int:
    """List all topics."""
    from logstream.console import topics as body

    return body.list_topics(_client_settings(bootstrap, cluster), json)


@topics_app.command("create")
def topics_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, dots, hyphens, underscores.")],
    partitions: Annotated[
        int | None, typer.Option(min=1, help="How many; default: setting default_partitions.")
    ] = None,
    bootstrap: Bootstrap = None,
    cluster: Cluster = None,
    json: Json = False,
) -> int:
    """Make a topic."""
    from logstream.console import topics as body

    return body.create_topic(_client_settings(bootstrap, cluster), name, partitions, json)


@topics_app.command("describe")
def topics_describe(name: Topic, bootstrap: Bootstrap = None, cluster: Cluster = None, json: Json = False) -> int:
    """Show a topic's partitions: assigned broker, first offset, end."""
    from logstream.console import topics as body

    return body.describe_topic(_client_settings(bootstrap, cluster), name, json)


@topics_app.command("delete")
def topics_delete(name: Topic, bootstrap: Bootstrap = None, cluster: Cluster = None, json: Json = False) -> int:
    """Remove a topic and its records."""
    from logstream.console import topics as body

    return body.delete_topic(_client_settings(bootstrap, cluster), name, json)


# --- what the rules leave to a person ---


@app.command()
def election(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The member that shall lead.")],
    bootstrap: Bootstrap = None,
    cluster: Cluster = None,
    json: Json = False,
) -> int:
    """Let a member lead, without losing anything."""
    from logstream.console.leadership import elect

    return elect(_client_settings(bootstrap, cluster), name, json)


@app.command("force-view")
def force_view(
    accept_data_loss: Annotated[
        bool, typer.Option("--accept-data-loss", help="Records that only the missing members hold are lost.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    bootstrap: Bootstrap = None,
    cluster: Cluster = None,
    json: Json = False,
) -> int:
    """Go on without a quorum, with those that answer."""
    from logstream.console import leadership as body

    return body.force_view(_client_settings(bootstrap, cluster), accept_data_loss, yes, json)


# --- the rest ---


@app.command()
def demo(
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Log file to replicate; default: one of the system's.")
    ] = None,
    json: Json = False,
) -> int:
    """Start three nodes, replicate a log file, read it back, compare, stop."""
    from logstream.console.demo import run_demo

    return run_demo(file, json)


@app.command()
def simulate(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Scenario files, or mutations.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replay this one and write its transcript.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="With --seed: every turn of every actor.")] = False,
    seeds: Annotated[str | None, typer.Option(metavar="A-B", help="Run all of these, and write figures.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")] = None,
    scenarios: Annotated[bool, typer.Option("--scenarios", help="Replay the transcripts NAME, or all.")] = False,
    rewrite: Annotated[bool, typer.Option("--rewrite", help="With --scenarios: write down what is said now.")] = False,
    mutations: Annotated[bool, typer.Option("--mutations", help="Take rules away: who notices? With --seeds.")] = False,
) -> int:
    """Run whole clusters under faults on virtual time and check every promise."""
    from logstream.console.failure import USAGE, Failure
    from simulation.command import processors, replay, seed_range, survey

    try:
        if scenarios:
            from simulation.scenarios.command import tell

            return tell(names or [], rewrite)
        if mutations:
            from simulation import mutation_table

            return mutation_table.survey(names or [], seed_range(seeds) if seeds else range(0), jobs or processors())
        if (seed is None) == (seeds is None) or names:
            raise Failure("simulate wants one of --seed N, --seeds A-B, --scenarios, --mutations", USAGE)
        return replay(seed, trace) if seed is not None else survey(seed_range(seeds or ""), jobs)
    except ValueError as error:
        raise Failure(str(error), USAGE) from None


@app.command()
def bench(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="produce, or all.")],
    json: Json = False,
) -> int:
    """Measure on a cluster of three processes, beside plain sockets in the same run."""
    from logstream.console.failure import USAGE, Failure

    if what not in ("produce", "all"):
        raise Failure(f"there is no benchmark {what!r}, try: produce, all", USAGE)
    try:
        from benchmarks import produce
    except ImportError:
        raise Failure("the benchmarks are not installed, run `logstream bench` from a checkout") from None
    figures = produce.run()
    print(dumps(figures) if json else produce.table(figures))
    return 0


@app.command()
def version(json: Json = False) -> int:
    """Show version, protocol version and Python's version."""
    from logstream.console.version import show_version

    return show_version(json)


# --- putting together ---


def _settings(flags: dict[tuple[str, str], object], config: Path | None = None) -> Settings:
    from logstream.settings import load

    return load(flags, config)


def _client_settings(bootstrap: str | None, cluster: str | None, timeout_s: float | None = None) -> Settings:
    return _settings(
        {("client", "bootstrap"): bootstrap, ("client", "timeout_s"): timeout_s, ("cluster", "name"): cluster}
    )


def _placed(settings: Settings) -> Settings:
    """With an address that is on this machine, and with a name."""
    from logstream.console.failure import USAGE, Failure
    from transport.interfaces import NoSuchInterface, interface_of, interfaces, primary_interface

    address = settings.node.address
    try:
        if address:
            interface_of(address.partition(":")[0])
        elif settings.node.interface:
            named = [found for found in interfaces() if found.name == settings.node.interface]
            if not named:
                known = ", ".join(dict.fromkeys(found.name for found in interfaces()))
                raise NoSuchInterface(f"interface {settings.node.interface} is not on this machine: it has {known}")
            address = f"{named[0].address}:8001"
        else:
            address = f"{primary_interface().address}:8001"
    except NoSuchInterface as error:
        key = "address" if address else "interface"
        raise Failure(f"{settings.origin('node', key)}: {error}", USAGE) from None
    name = settings.node.name or address.replace(":", "-")
    return settings.model_copy(update={"node": settings.node.model_copy(update={"address": address, "name": name})})


def _make_node(settings: Settings, loop: asyncio.AbstractEventLoop) -> Node:
    from actors.node import node_on_this_machine

    return node_on_this_machine(settings, loop)


# --- errors ---


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    try:
        code = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _let_stdout_go()
        return 0
    except Exception as error:
        text, code = _explained(error)
        print(f"logstream: {text}", file=sys.stderr)
    return code if isinstance(code, int) else 0


def _explained(error: Exception) -> tuple[str, int]:
    """The line and the exit code of an error."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
        return "no command given", 2
    if hasattr(error, "format_message"):
        return _usage(error), 2
    from logstream.console.failure import Failure
    from logstream.local import LocalClusterError
    from logstream.protocol.errors import LogStreamError
    from logstream.settings import SettingsError

    match error:
        case Failure():
            return str(error), error.exit_code
        case SettingsError():
            return str(error), 2
        case LogStreamError() | LocalClusterError():
            return " ".join(str(error).split()), 1
        case OSError():
            return f"{error.filename}: {error.strerror}" if error.filename else str(error), 1
        case _:
            return _unforeseen(error), 1


def _unforeseen(error: Exception) -> str:
    """A bug of ours, in one line that is worth reporting."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = f"{Path(at.tb_frame.f_code.co_filename).name} line {at.tb_lineno}" if at else "unknown"
    return f"internal error, please report it: {type(error).__name__}: {' '.join(str(error).split())} at {where}"


def _usage(error: Any) -> str:
    """A usage error of typer in one line, with the nearest known option and where to read more."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context else PROGRAM
    option = getattr(error, "option_name", None)
    if option and type(error).__name__ == "NoSuchOption":
        near = sorted(error.possibilities or ())
        said = f"unknown option {option}" + (f", did you mean {' or '.join(near)}?" if near else ",")
    else:
        said = " ".join(error.format_message().split())
        said = said[:1].lower() + said[1:].rstrip(".") + ("" if said.endswith("?") else ",")
    return f"{said} see {where} --help"


def _let_stdout_go() -> None:
    """The reader is gone: nothing more to write, and no complaint when Python flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
