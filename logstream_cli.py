"""The command line, and the only place where LogStream is put together.

It knows argv, the environment, files, the real clock and the log sinks, and hands to everybody else
what they need. A command here only says what its options are; its body is in logstream/console and is
imported when the command runs, because `--help` should answer before Python has read a whole broker.

Errors are one line on stderr, `logstream: what, where, what to do`; exit codes are 0 ok, 1 failed,
2 usage or configuration. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import gc
import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from logstream.console.grammar import (
    Bootstrap,
    Cluster,
    Compression,
    Json,
    Topic,
    client_settings,
    group,
    node_names,
    width_of_help,
)
from logstream.console.streams import let_go, prepare
from logstream.console.topic_commands import topics_app

if TYPE_CHECKING:
    import asyncio

    from logstream.console.hosting import Node as HostedNode
    from logstream.settings import Settings
    from transport.choice import Place

app = group("A replicated log that needs no operator.", completion=True)
config_app = group("Settings: show, check.")
app.add_typer(topics_app, name="topics")
app.add_typer(config_app, name="config")

# New objects before Python looks for garbage. With its own 700 it looks 200 times while a node is imported, where there
# is none: a tenth of the time from start to ready.
GARBAGE = 10_000

Config = Annotated[Path | None, typer.Option(metavar="FILE", help="Settings file (INI).")]


# --- nodes ---


@app.command()
def start(
    config: Config = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the node.")] = None,
    address: Annotated[str | None, typer.Option(metavar="IP:PORT", help="Where it listens.")] = None,
    interface: Annotated[str | None, typer.Option(metavar="NAME", help="Network interface, if no address.")] = None,
    cluster: Cluster = None,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background; `stop` stops it.")] = False,
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
    settings, _ = _placed(_settings(flags, config))
    if detach:
        from logstream.console.cluster import start_detached

        return start_detached(settings, config)
    from logstream.console.hosting import host
    from transport.service_manager import tell_service_manager

    return host(settings, _make_node, managed, tell_service_manager)


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
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second, until Ctrl-C.")] = False,
    bootstrap: Bootstrap = None,
    cluster: Cluster = None,
    json: Json = False,
) -> int:
    """Show how the cluster is: in words, members, partitions, rates."""
    from logstream.console.status import show_status, watch_status

    return (watch_status if watch else show_status)(client_settings(bootstrap, cluster), json)


@app.command("list")
def list_nodes(cluster: Cluster = None, json: Json = False) -> int:
    """List the nodes of this machine; the dead are called dead."""
    from logstream.console.processes import list_processes

    return list_processes(_settings({("cluster", "name"): cluster}), json)


@app.command()
def stop(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the node.", autocompletion=node_names)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that `up` and `start --detach` started.")] = False,
    cluster: Cluster = None,
) -> int:
    """Stop one node of this machine, or all; `up` starts them again."""
    from logstream.console import processes as body

    return body.stop(_settings({("cluster", "name"): cluster}), name, every)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the node.", autocompletion=node_names)],
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C.")] = False,
    cluster: Cluster = None,
) -> int:
    """Write a managed node's log to stdout."""
    from logstream.console.logs import show_log

    return show_log(_settings({("cluster", "name"): cluster}), name, follow)


# --- records ---


@app.command()
def producer(
    topic: Topic,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Default: stdin; a terminal prompts for lines.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Key of every record: all go to one partition.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="One record of each file, not of each line.")] = False,
    message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Send this: once, --count times, or until Ctrl-C.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="N", min=0.001, help="At most so many records a second.")
    ] = None,
    interval: Annotated[
        float | None, typer.Option(metavar="MS", min=0, help="Milliseconds from one record to the next.")
    ] = None,
    count: Annotated[int | None, typer.Option(metavar="N", min=0, help="Stop after so many records.")] = None,
    resume: Annotated[
        int, typer.Option(metavar="N", min=1, help="Begin with record N of the input: go on where it was interrupted.")
    ] = 1,
    compression: Annotated[
        Compression,
        typer.Option(metavar="KIND", help="none, gzip, snappy, lz4 or zstd; consumers undo it.", case_sensitive=False),
    ] = Compression.NONE,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Deadline of a record.")] = None,
    bootstrap: Bootstrap = None,
    cluster: Cluster = None,
) -> int:
    """Send lines of files, of stdin or of a terminal as records."""
    from logstream.console.produce import Order, produce

    order = Order.of(topic, files, key, whole, message, rate, interval, count, resume, compression.value)
    return produce(client_settings(bootstrap, cluster, timeout), order)


@app.command()
def consumer(
    topic: Topic,
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="start|end|OFFSET|TIME", help="Where to begin; TIME: 10m ago, or 2026-11-23T10:00."
        ),
    ] = "start",
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
    return consume(client_settings(bootstrap, cluster), wish)


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

    return elect(client_settings(bootstrap, cluster), name, json)


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

    return body.force_view(client_settings(bootstrap, cluster), accept_data_loss, yes, json)


# --- settings ---


@config_app.command("show")
def config_show(config: Config = None, json: Json = False) -> int:
    """Show every setting with its value, and where that came from."""
    from logstream.console.configuration import show

    return show(_settings({}, config), json)


@config_app.command("check")
def config_check(config: Config = None) -> int:
    """Check settings: file, environment and what they are worth together."""
    from logstream.console.configuration import check

    return check(_settings({}, config), config)


# --- the rest ---


@app.command()
def netdiag(
    config: Config = None,
    address: Annotated[str | None, typer.Option(metavar="IP:PORT", help="Where a node would listen.")] = None,
    interface: Annotated[str | None, typer.Option(metavar="NAME", help="Network interface to test.")] = None,
    cluster: Cluster = None,
    json: Json = False,
) -> int:
    """Show the network interfaces, and test broadcast and multicast."""
    from logstream.console.netdiag import show_diagnosis
    from transport.diagnosis import diagnose
    from transport.stack import StackSettings

    flags: dict[tuple[str, str], object] = {
        ("node", "address"): address,
        ("node", "interface"): interface,
        ("cluster", "name"): cluster,
    }
    settings, place = _placed(_settings(flags, config))
    origin = settings.origin("node", "interface" if settings.node.interface else "address")
    return show_diagnosis(diagnose(place, origin, StackSettings.of(settings)), json)


@app.command()
def demo(
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Log file to replicate; default: one of the system's.")
    ] = None,
    json: Json = False,
) -> int:
    """Replicate a log file over three nodes, read it back, compare."""
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
    """Run clusters under faults on virtual time, check all promises."""
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
    """Measure on three processes, beside plain sockets."""
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


def _placed(settings: Settings) -> tuple[Settings, Place]:
    """With an address that is on this machine and with a name; and the interface that has the address."""
    from logstream.console.failure import USAGE, Failure
    from transport.choice import place
    from transport.interfaces import NoSuchInterface

    node = settings.node
    address, interface = node.address, node.interface
    by_address, by_interface = (settings.strength("node", key) for key in ("address", "interface"))
    if address and interface and by_address != by_interface:  # the stronger source means its own
        address, interface = (address, "") if by_address > by_interface else ("", interface)
    try:
        found = place(address, interface)
    except NoSuchInterface as error:
        raise Failure(f"{settings.origin('node', error.key)}: {error}", USAGE) from None
    name = node.name or found.address.replace(":", "-")
    chosen = {"address": found.address, "interface": interface, "name": name}
    return settings.model_copy(update={"node": node.model_copy(update=chosen)}), found


def _make_node(settings: Settings, loop: asyncio.AbstractEventLoop) -> HostedNode:
    from actors.node import node_on_this_machine

    return node_on_this_machine(settings, loop)


# --- errors ---


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    gc.set_threshold(GARBAGE)
    prepare()
    try:
        code = app(args=arguments, prog_name="logstream", standalone_mode=False, **width_of_help())
        sys.stdout.flush()
    except BrokenPipeError:
        let_go()
        return 0
    except Exception as error:
        from logstream.console.complaint import explained

        text, code = explained(error)
        print(f"logstream: {text}", file=sys.stderr)
        _last_flush()
    return code if isinstance(code, int) else 0


def _last_flush() -> None:
    """Python flushes at exit, too, and would complain where that cannot work."""
    try:
        sys.stdout.flush()
    except OSError:
        let_go()


if __name__ == "__main__":
    sys.exit(main())
