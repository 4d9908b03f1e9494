"""`heliograph up`: everything on this machine, started in order and stopped cleanly.

PostgreSQL, the SMSC simulator, the engine and the control plane are programs of their own; this one starts
them, tells a person where to go, starts again what dies, and ends them within five seconds on Ctrl-C.
"""

import asyncio
import fcntl
import json
import os
import shlex
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from control_plane.documents.choice import kind
from control_plane.launcher import documents_place
from control_plane.launcher.postgres import DOCUMENTS, LEDGER, Postgres, PostgresError
from control_plane.launcher.ready import Program, StartError
from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient

SMPP_PORT = 2775
STOP_TIMEOUT_S = 3.0
RESTART_DELAY_S = 1.0  # doubles up to the longest, while a program does not stay up
LONGEST_DELAY_S = 30.0
STAYED_UP_S = 60.0
URL_FILE = "core_url"  # in the data folder; engine.core_api.console_link reads it
DEMO_ACCOUNT = "demo-smsc"
DEMO_CHANNEL = "Demo SMSC"
DEMO_PASSWORD = "heliosim"  # noqa: S105 - of the simulator on loopback, nothing else
SMSC_OPTIONS = (
    "--latency-ms 5 --jitter-ms 3 --receipt-share 1.0 --undelivered-share 0.02 --receipt-delay-ms 1500"
)


@dataclass
class Options:
    """What the command line chose."""

    data: Path
    ui_port: int
    api_port: int
    as_json: bool
    tps: int
    window: int
    smsc: str
    workers: int = 1
    binds: int = 1
    documents: str | None = field(default=None, repr=False)  # may hold a password
    programs: dict[str, Program] = field(default_factory=dict)


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    envvar="HELIOGRAPH_DATA",
    help="Folder of databases, certificates and logs; HELIOGRAPH_DATA names another.",
)
@click.option(
    "--ui-port",
    type=click.IntRange(0, 65535),
    default=8088,
    show_default=True,
    help="The console. 0: any free port.",
)
@click.option(
    "--api-port",
    type=click.IntRange(0, 65535),
    default=8081,
    show_default=True,
    help="Health, metrics, API. 0: any free port.",
)
@click.option(
    "--tps",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Messages a second of the demo channel.",
)
@click.option(
    "--window",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Window of the demo channel's bind.",
)
@click.option(
    "--smsc",
    default=SMSC_OPTIONS,
    show_default=True,
    help="Options of the SMSC simulator (`heliograph smsc --help`).",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Engine processes on the one ledger. They share the binds and the TPS of every account.",
)
@click.option(
    "--binds",
    type=click.IntRange(1, 256),
    default=None,
    help="Binds of the demo channel; one for every worker where it is not given.",
)
@click.option(
    "--documents",
    metavar="URL",
    envvar=documents_place.VARIABLE,
    help="Where the documents live: mongodb://host:port/database or postgresql://...; without it, in the "
    f"PostgreSQL of the data folder. With a password, name it in {documents_place.VARIABLE}: "
    "others see the options of a command.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line when ready, for programs.")
def up(
    data: Path,
    ui_port: int,
    api_port: int,
    tps: int,
    window: int,
    smsc: str,
    workers: int,
    binds: int | None,
    documents: str | None,
    as_json: bool,
) -> None:
    """Start everything here: PostgreSQL, engines, control plane and an SMSC simulator. Ctrl-C stops it.

    A program that dies is started again.
    """
    binds = binds or workers
    options = Options(data.resolve(), ui_port, api_port, as_json, tps, window, smsc, workers, binds)
    options.documents = documents or None
    try:
        _check_documents(options)
        for port, name in ((ui_port, "--ui-port"), (api_port, "--api-port")):
            _check_port(port, name)
        code = asyncio.run(_run(options))
    except (StartError, PostgresError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


def _check_documents(options: Options) -> None:
    if options.documents is not None:
        try:
            kind(options.documents)
        except ValueError as error:
            raise StartError(f"the URL of --documents ({documents_place.VARIABLE}) {error}") from None
    try:
        documents_place.check(options.data, options.documents)
    except documents_place.ElsewhereError as error:
        raise StartError(str(error)) from None


def _check_port(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise StartError(
                f"port {port} is in use by another program: stop it, or choose another with {option}"
            ) from None


async def _run(options: Options) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    logs = options.data / "logs"
    lock = _take_folder(logs)
    postgres = Postgres(options.data / "postgres")
    starting = asyncio.create_task(_start(options, postgres, logs))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return 0
        _announce(options, starting.result(), postgres.pid)
        watchers = [asyncio.create_task(_keep(options, name)) for name in options.programs]
        watchers.append(asyncio.create_task(_keep_postgres(options, postgres)))
        await stopping
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        if not options.as_json:
            click.echo("\nStopping ...")
        return 0
    finally:
        stopping.cancel()
        (options.data / URL_FILE).unlink(missing_ok=True)
        await _stop(options.programs, postgres)
        if not options.as_json:
            click.echo(f"Stopped. Everything is kept in {options.data}")
        os.close(lock)


def _take_folder(logs: Path) -> int:
    """Make the data folder and hold it: the lock lives as long as this process. StartError in one line."""
    try:
        logs.mkdir(parents=True, exist_ok=True)
        lock = os.open(logs.parent / "up.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StartError(
            f"cannot write to {error.filename} ({error.strerror}): choose another folder with --data"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StartError(
            f"Heliograph runs on {logs.parent} already: stop it, or choose another folder with --data"
        ) from None
    return lock


async def _start(options: Options, postgres: Postgres, logs: Path) -> list[dict[str, Any]]:
    """Start the programs in their order; returns the first logins that nobody has used yet."""
    say = (lambda _text: None) if options.as_json else click.echo
    say("Starting PostgreSQL ...")
    await asyncio.to_thread(postgres.start)
    await postgres.prepare((LEDGER,) if options.documents else (LEDGER, DOCUMENTS))
    certs = options.data / "certs"
    make(certs)

    engines = "the engine" if options.workers == 1 else f"{options.workers} engines"
    say(f"Starting the SMSC simulator, {engines} and the control plane ...")
    smsc = Program(
        "the SMSC simulator",
        "bench.simulators.smsc",
        [
            *("--password", DEMO_PASSWORD, "--system-id", "heliograph"),
            *("--witness", str(options.data / "witness.log")),
            *shlex.split(options.smsc),
        ],
        {},
        logs / "smsc.log",
    )
    options.programs["smsc"] = smsc
    await _start_smsc(smsc)

    for number in range(1, options.workers + 1):
        await _start_engine(options, number, postgres.dsn(LEDGER), certs, logs)
    core_urls = _core_urls(options)
    await _seed_channel(core_urls, certs, smsc.ready["listening"], options)
    _publish(options.data / URL_FILE, core_urls)

    control_plane = Program(
        "the control plane",
        "control_plane",
        [],
        {
            documents_place.VARIABLE: options.documents or postgres.dsn(DOCUMENTS),
            "HELIOGRAPH_CONTROL_CORE_API_URL": " ".join(core_urls),
            "HELIOGRAPH_CONTROL_CERTS_DIR": str(certs),
            "HELIOGRAPH_CONTROL_DATA_DIR": str(options.data / "control_plane"),
            "HELIOGRAPH_CONTROL_UI_PORT": str(options.ui_port),
            "HELIOGRAPH_CONTROL_API_PORT": str(options.api_port),
        },
        logs / "control_plane.log",
    )
    options.programs["control_plane"] = control_plane
    documents_place.note(options.data, options.documents)
    await control_plane.start()
    ready = control_plane.ready
    control_plane.environment["HELIOGRAPH_CONTROL_UI_PORT"] = str(ready["ui"])
    control_plane.environment["HELIOGRAPH_CONTROL_API_PORT"] = str(ready["api"])
    logins: list[dict[str, Any]] = ready.get("first_logins", [])
    return logins


async def _start_engine(options: Options, number: int, dsn: str, certs: Path, logs: Path) -> None:
    """The first keeps the name and the folder it has where it is the only one."""
    name = "engine" if number == 1 else f"engine-{number}"
    key_file = options.data / "engine" / "secrets.key"  # one for all: they read the same passwords
    engine = Program(
        "the engine" if options.workers == 1 else f"engine {number}",
        "engine",
        [],
        {
            "HELIOGRAPH_ENGINE_LEDGER_DSN": dsn,
            "HELIOGRAPH_ENGINE_DATA_DIR": str(options.data / name),
            "HELIOGRAPH_ENGINE_KEY_FILE": str(key_file),
            "HELIOGRAPH_ENGINE_CERTS_DIR": str(certs),
            "HELIOGRAPH_ENGINE_CORE_API_PORT": "0",
        },
        logs / f"{name}.log",
    )
    options.programs[name] = engine
    await engine.start()
    # the same again after a restart
    engine.environment["HELIOGRAPH_ENGINE_CORE_API_PORT"] = str(engine.ready["core_api"])


def _core_urls(options: Options) -> list[str]:
    return [
        f"https://127.0.0.1:{program.ready['core_api']}"
        for name, program in options.programs.items()
        if name in _engines(options.programs)
    ]


def _engines(programs: dict[str, Program]) -> list[str]:
    return [name for name in programs if name == "engine" or name.startswith("engine-")]


def _publish(file: Path, core_urls: list[str]) -> None:
    """Tells `heliograph stop` and the like where the engines are."""
    fresh = file.with_suffix(".new")
    fresh.write_text("".join(f"{url}\n" for url in core_urls), "ascii")
    fresh.replace(file)


async def _seed_channel(core_urls: list[str], certs: Path, smpp_port: int, options: Options) -> None:
    core = CoreClient(" ".join(core_urls), certs)
    try:
        await core.put_account(
            schema.AccountSpec(
                name=DEMO_ACCOUNT,
                host="127.0.0.1",
                port=smpp_port,
                system_id="heliograph",
                password=DEMO_PASSWORD,
                tps=options.tps,
                binds=options.binds,
                window_size=options.window,
            )
        )
        await core.put_channel(schema.ChannelSpec(name=DEMO_CHANNEL, account=DEMO_ACCOUNT))
    finally:
        await core.close()


async def _start_smsc(smsc: Program) -> None:
    """On SMPP's own port where it is free, on any other where it is not; the same again after a restart."""
    given = smsc.arguments
    for port in (SMPP_PORT, 0):
        smsc.arguments = ["--port", str(port), *given]
        try:
            await smsc.start()
        except StartError:
            if not port:
                raise
        else:
            break
    smsc.arguments = ["--port", str(smsc.ready["listening"]), *given]


def _announce(options: Options, logins: list[dict[str, Any]], postgres_pid: int) -> None:
    ready = options.programs["control_plane"].ready
    ui = f"http://127.0.0.1:{ready['ui']}"
    api = f"http://127.0.0.1:{ready['api']}"
    if options.as_json:
        pids = {name: program.pid for name, program in options.programs.items()}
        pids["postgres"] = postgres_pid
        core = _core_urls(options)
        smpp = options.programs["smsc"].ready["listening"]
        line = {
            "ready": True,
            "smpp": smpp,
            "ui": ui,
            "api": api,
            "core_api": core[0],
            "core_apis": core,
            "pids": pids,
            "logins": logins,
        }
        click.echo(json.dumps({**line, "data": str(options.data), "pid": os.getpid()}))
        return
    click.echo(f"\nHeliograph is running: {ui}\n")
    _tell_logins(logins)
    click.echo(f"Health and metrics: {api}   Data and logs: {options.data}\nCtrl-C stops everything.")


def _tell_logins(logins: list[dict[str, Any]]) -> None:
    """Each start of the control plane gives new ones to those who never chose a password."""
    if not logins:
        return
    click.echo("First logins (each must choose a password of its own):")
    width = max(len(login["email"]) for login in logins)
    for login in logins:
        click.echo(f"  {login['email']:<{width}}  {login['password']}  {login['role']}")
    click.echo("")


class Delays:
    """How long to wait before a program that ended is started again."""

    def __init__(self) -> None:
        self._next_s = RESTART_DELAY_S

    def after(self, up_s: float) -> float:
        """`up_s`: how long it ran."""
        if up_s >= STAYED_UP_S:
            self._next_s = RESTART_DELAY_S
        delay_s, self._next_s = self._next_s, min(2 * self._next_s, LONGEST_DELAY_S)
        return delay_s


async def _keep(options: Options, name: str) -> None:
    """A program that dies is started again: what it had claimed or accepted is in the databases."""
    program, delays_s = options.programs[name], Delays()
    while True:
        begun = time.monotonic()
        code = await program.wait()
        delay_s = delays_s.after(time.monotonic() - begun)
        click.echo(
            f"{program.name} ended unexpectedly (exit {code}); starting it again in {delay_s:g} s", err=True
        )
        await asyncio.sleep(delay_s)
        try:
            await program.start()
        except StartError as error:
            click.echo(str(error), err=True)
        else:
            logins = program.ready.get("first_logins", [])
            if options.as_json:
                click.echo(json.dumps({"restarted": name, "pid": program.pid, "logins": logins}))
            else:
                _tell_logins(logins)


async def _keep_postgres(options: Options, postgres: Postgres) -> None:
    """The database too; the programs wait for it and go on by themselves."""

    def back(pid: int) -> None:
        if options.as_json:
            click.echo(json.dumps({"restarted": "postgres", "pid": pid}))

    await postgres.keep(lambda line: click.echo(line, err=True), back)


async def _stop(programs: dict[str, Program], postgres: Postgres) -> None:
    """The control plane and the engine first, while the SMSC and the database still answer."""
    await asyncio.gather(
        *(
            programs[name].stop(STOP_TIMEOUT_S)
            for name in ("control_plane", *_engines(programs))
            if name in programs
        )
    )
    if "smsc" in programs:
        await programs["smsc"].stop(1.0)
    await asyncio.to_thread(postgres.stop)
