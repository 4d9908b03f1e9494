"""A Heliograph taken apart: each program, and each wire between two, in our hands.

The programs are the real ones, started as `heliograph up` starts them; the simulator and the fault proxy run
here, so that what the SMSC saw is known to the octet.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import asyncpg

from bench.chaos.database import Database, Wire, prepare_user
from bench.chaos.shim import Shim
from bench.simulators.proxy.proxy import FaultProxy
from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.server import Door, Simulator
from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient, CoreError, CoreUnavailable

LEDGER, DOCUMENTS = "ledger", "documents"
ACCOUNT, CHANNEL, PASSWORD = "chaos", "Chaos", "chaos-pw"
READY_S = 60.0
LEASE_LOST = 3  # the exit code of an engine that another one fenced
RESTART_S = 0.2
POLL_S = 0.1
WORKSPACE = UUID("00000000-0000-8000-8000-000000000001")


class LabError(Exception):
    """A program did not start, or what was waited for did not come; the message says what."""


@dataclass
class Settings:
    """Of one lab. The engine's are kept short, so that a fault and its healing fit in seconds."""

    behaviour: Behaviour = field(default_factory=lambda: Behaviour(latency_ms=20, receipt_delay_ms=100))
    door: Door = field(default_factory=Door)
    tps: int = 2000
    window: int = 100
    binds: int = 1
    max_claimed: int = 400
    account: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, str] = field(default_factory=dict)
    shim: tuple[str, ...] = ()  # programs that are preloaded: engine, postgres


ACCOUNT_SETTINGS: dict[str, Any] = {
    "response_timeout_s": 4,
    "enquire_link_s": 1,
    "enquire_timeout_s": 1,
    "bind_timeout_s": 3,
    "reconnect_min_s": 0.2,
    "reconnect_max_s": 2,
    "already_bound_min_s": 1,
    "already_bound_max_s": 2,
}
ENGINE = {
    "LEASE_S": "6",
    "LEASE_MARGIN_S": "1",
    "RESPONSE_TIMEOUT_S": "4",
    "ENQUIRE_LINK_S": "2",
    "POLL_INTERVAL_MS": "200",
    "STOP_TIMEOUT_S": "2",
    "RETRY_QUEUE_FULL_S": "3",
    "RETRY_TEMPORARY_S": "3",
}


class Process:
    """One of our programs: started again when it dies, as long as it is kept."""

    def __init__(self, module: str, environment: Mapping[str, str], log: Path) -> None:
        self.environment = dict(environment)
        self.ready: dict[str, Any] = {}
        self.deaths: list[int] = []  # exit codes
        self.faults: list[str] = []  # last words of lives that were ready, and that nobody ended
        self.module = module
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._ready_after = -1  # how often it had died when it was ready

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """The first life. Raises LabError with the program's last words if there is none."""
        if not await self._life():
            raise LabError(f"{self.module} did not start: {self.last_words()}")
        self._keeper = asyncio.create_task(self._keep())

    async def _life(self) -> bool:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self.module,
                env={**os.environ, **self.environment},
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), READY_S)
        if not line:
            await self._process.wait()
            return False
        self.ready = json.loads(line)
        self._ready_after = len(self.deaths)
        return True

    async def _keep(self) -> None:
        while True:
            assert self._process is not None
            await self._process.wait()
            code = self._process.returncode
            assert code is not None
            if code > 0 and code != LEASE_LOST and self._ready_after == len(self.deaths):
                self.faults.append(self.last_words())
            self.deaths.append(code)
            await asyncio.sleep(RESTART_S)
            await self._wanted.wait()
            await self._life()

    def process_kill(self) -> None:
        self.signal(signal.SIGKILL)

    def keep(self, wanted: bool) -> None:
        """Whether it is started again when it dies."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()

    async def back(self, deaths: int, timeout_s: float = READY_S) -> None:
        """Waits until it has died at least so often, and is ready again."""
        await until(
            lambda: len(self.deaths) >= deaths and self._ready_after == len(self.deaths) and self.alive,
            f"{self.module} is back",
            timeout_s,
        )

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def dead(self, timeout_s: float = READY_S) -> None:
        deaths = len(self.deaths)
        await until(lambda: len(self.deaths) > deaths or not self.alive, f"{self.module} ends", timeout_s)

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self.alive:
            assert self._process is not None
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), 8.0)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    def last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else "nothing"


async def until(holds: Any, what: str, timeout_s: float) -> None:
    """Polls `holds()`; LabError says `what` was waited for in vain."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not holds():
        if asyncio.get_running_loop().time() > deadline:
            raise LabError(f"waited {timeout_s:.0f} s in vain: {what}")
        await asyncio.sleep(POLL_S)


@dataclass
class Sent:
    """A campaign under way: what we gave it."""

    campaign_id: UUID
    sender: str
    numbers: range
    policy: str


class Lab:
    """`async with Lab(settings, seed) as lab`: everything runs, one channel, no campaign."""

    def __init__(
        self,
        settings: Settings,
        seed: int,
        *,
        rows: int = 3000,
        policy: str = "hold",
        keep: Path | None = None,
    ) -> None:
        self.settings = settings
        self.rows = rows  # of a campaign, unless it says otherwise
        self.policy = policy
        self.random = random.Random(seed)
        self.seed = seed
        self.folder = keep or Path(tempfile.mkdtemp(prefix="heliograph-chaos-"))
        self._kept = keep is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.witness = self.folder / "witness.log"
        self.receipts = self.folder / "receipts.log"
        self.crash_file = self.folder / "crash"
        self.campaigns: list[Sent] = []
        self.engines: list[Process] = []
        self.control_plane: Process | None = None
        self.shims = {name: Shim(self.folder) for name in settings.shim}
        self.crashes = 0  # of an engine: each may leave max_claimed rows in doubt

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        settings = self.settings
        prepare_user()
        shim = self.shims.get("postgres")
        self.database = Database(self.folder, shim.environment if shim else {})
        await self.database.create([LEDGER, DOCUMENTS])
        self.wire = Wire(self.folder / "wire", self.database.socket)
        await self.wire.start()
        self.smsc = Simulator(settings.door, settings.behaviour, self.witness, self.receipts)
        await self.smsc.start()
        self.proxy = FaultProxy("127.0.0.1", self.smsc.port, seed=self.seed)
        await self.proxy.start()
        make(self.folder / "certs")
        await self.add_engine()
        await self.seed_channel()

    async def seed_channel(self, name: str = ACCOUNT, channel: str = CHANNEL) -> None:
        """An account at the simulator, through the fault proxy, and a channel over it."""
        settings = self.settings
        account = schema.AccountSpec(
            name=name,
            host="127.0.0.1",
            port=self.proxy.port,
            system_id=name,
            password=PASSWORD,
            tps=settings.tps,
            binds=settings.binds,
            window_size=settings.window,
            settings=ACCOUNT_SETTINGS | settings.account,
        )
        await self.patiently(lambda core: core.put_account(account))
        await self.patiently(lambda core: core.put_channel(schema.ChannelSpec(name=channel, account=name)))

    async def execute(self, statement: str, database: str = LEDGER) -> None:
        """SQL past the engine."""
        connection = await asyncpg.connect(self.database.dsn(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def recreate(self, database: str) -> None:
        """An empty database in the place of the one there is."""
        await self.execute(f'DROP DATABASE "{database}" WITH (FORCE)', "postgres")
        await self.execute(f'CREATE DATABASE "{database}"', "postgres")

    async def start_control_plane(self) -> Process:
        core_url = f"https://127.0.0.1:{self.engine.ready['core_api']}"
        options = {
            "DOCUMENTS_DSN": self.database.dsn(DOCUMENTS),
            "CORE_API_URL": core_url,
            "CERTS_DIR": str(self.folder / "certs"),
            "DATA_DIR": str(self.folder / "control_plane"),
            "UI_PORT": "0",
            "API_PORT": "0",
        }
        environment = {f"HELIOGRAPH_CONTROL_{name}": value for name, value in options.items()}
        self.control_plane = Process("control_plane", environment, self.folder / "control_plane.log")
        await self.control_plane.start()
        for name in ("ui", "api"):
            variable = f"HELIOGRAPH_CONTROL_{name.upper()}_PORT"
            self.control_plane.environment[variable] = str(self.control_plane.ready[name])
        return self.control_plane

    async def add_engine(self) -> Process:
        """One more worker of the ledger."""
        number = len(self.engines)
        shim = self.shims.get("engine")
        options = {
            "LEDGER_DSN": self.database.dsn(LEDGER, self.wire.folder),
            "DATA_DIR": str(self.folder / f"engine-{number}"),
            "CERTS_DIR": str(self.folder / "certs"),
            "CORE_API_PORT": "0",
            "MAX_CLAIMED": str(self.settings.max_claimed),
            **ENGINE,
            **self.settings.engine,
        }
        if number:  # every worker reads the secrets that any of them wrote
            options["KEY_FILE"] = str(self.folder / "engine-0" / "secrets.key")
        environment = {f"HELIOGRAPH_ENGINE_{name}": value for name, value in options.items()}
        environment["HELIOGRAPH_CRASH_AT"] = f"@{self.crash_file}-{number}"
        if shim:
            environment |= shim.environment
        engine = Process("engine", environment, self.folder / f"engine-{number}.log")
        self.engines.append(engine)
        await engine.start()
        engine.environment["HELIOGRAPH_ENGINE_CORE_API_PORT"] = str(engine.ready["core_api"])
        return engine

    async def _stop(self) -> None:
        for process in (self.control_plane, *self.engines):
            if process is not None:
                await process.stop()
        for name in ("proxy", "smsc", "wire", "database"):
            if hasattr(self, name):
                await getattr(self, name).stop()
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def engine(self) -> Process:
        return self.engines[0]

    def core(self, number: int = 0) -> "Core":
        return Core(self.engines[number], self.folder / "certs")

    def arm(self, point: str, passes: int = 1, number: int = 0) -> None:
        """The engine's next life dies there."""
        Path(f"{self.crash_file}-{number}").write_text(f"{point}:{passes}")

    async def crash(self, number: int = 0) -> None:
        """kill -9 of an engine; returns when it lives again."""
        engine = self.engines[number]
        deaths = len(engine.deaths)
        self.crashes += 1
        engine.process_kill()
        await engine.back(deaths + 1)

    def new_numbers(self, rows: int) -> range:
        """Numbers that no other campaign has."""
        first = 447_000_000_000 + len(self.campaigns) * 10_000_000
        return range(first, first + rows)

    async def adopt(self, campaign_id: UUID, numbers: range) -> Sent:
        """A campaign that came through the console: waits until the engine has it started."""
        deadline = asyncio.get_running_loop().time() + READY_S
        while True:
            with contextlib.suppress(LabError):
                found: schema.Campaign = await self.patiently(lambda core: core.campaign(campaign_id))
                if found.state != "Pending":
                    break
            if asyncio.get_running_loop().time() > deadline:
                raise LabError("what was approved is not started")
            await asyncio.sleep(POLL_S)
        sent = Sent(campaign_id, found.sender, numbers, "hold")
        self.campaigns.append(sent)
        return sent

    async def upload(self, rows: int) -> tuple[UUID, range]:
        """A recipient file of numbers that no other campaign has."""
        numbers, upload_id = self.new_numbers(rows), uuid4()

        async def lines(start: int) -> AsyncIterator[bytes]:
            data = recipient_file(numbers)
            for at in range(start, len(data), 65536):
                yield data[at : at + 65536]

        await self.patiently(
            lambda core: core.create_upload(
                schema.UploadSpec(upload_id=upload_id, workspace_id=WORKSPACE, file_name="chaos.csv")
            )
        )
        while True:
            state = await self.patiently(lambda core: core.upload(upload_id))
            if state.state == "complete":
                return upload_id, numbers
            try:
                async with self.core() as core:
                    await core.send_upload(upload_id, state.byte_offset, lines(state.byte_offset), final=True)
            except (CoreUnavailable, CoreError):
                await asyncio.sleep(POLL_S)  # it broke off: go on where it ended

    async def send(
        self,
        rows: int = 0,
        policy: str = "",
        channel: str = CHANNEL,
        options: schema.MessageOptions | None = None,
        text: str = "Hello {{name}}",
    ) -> Sent:
        """A campaign that is being sent; of the lab's size and policy unless told otherwise."""
        rows, policy = rows or self.rows, policy or self.policy
        upload_id, numbers = await self.upload(rows)
        campaign_id, sender = uuid4(), f"CHAOS{len(self.campaigns)}"
        spec = schema.CampaignSpec(
            decision_id=uuid4(),
            campaign_id=campaign_id,
            workspace_id=WORKSPACE,
            name=sender,
            channel=channel,
            options=options or schema.MessageOptions(),
            sender=sender,
            sender_revision_id=uuid4(),
            text=text,
            upload_id=upload_id,
            in_doubt=policy,  # type: ignore[arg-type]  # a policy's name
        )
        sealed = await self.patiently(lambda core: core.seal_campaign(spec))
        await self.command(campaign_id, "start", sealed.manifest_hash)
        sent = Sent(campaign_id, sender, numbers, policy)
        self.campaigns.append(sent)
        return sent

    async def command(
        self, campaign_id: UUID, command: schema.Command, manifest_hash: str | None = None
    ) -> None:
        order = schema.CampaignCommand(decision_id=uuid4(), command=command, manifest_hash=manifest_hash)
        await self.patiently(lambda core: core.command(campaign_id, order))

    async def patiently(self, ask: Any, timeout_s: float = READY_S) -> Any:
        """Asks the Core API again until the engine answers: commands carry a decision id."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                async with self.core() as core:
                    return await ask(core)
            except CoreUnavailable as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise LabError(f"the engine does not answer: {error}") from error
            except CoreError as error:
                if error.problem.status < 500 or asyncio.get_running_loop().time() > deadline:
                    raise LabError(f"the engine refuses: {error.problem.type} {error}") from error
            await asyncio.sleep(POLL_S)

    async def status(self, sent: Sent) -> schema.Campaign:
        found: schema.Campaign = await self.patiently(lambda core: core.campaign(sent.campaign_id))
        return found

    async def accepted(self, parts: int, timeout_s: float = READY_S) -> None:
        """Until the SMSC has accepted so many parts."""
        await until(lambda: self.smsc.counters()["accepted"] >= parts, f"{parts} parts accepted", timeout_s)

    async def under_way(self, share: float = 0.2) -> None:
        """Until the SMSC has accepted this share of what the campaigns hold."""
        await self.accepted(round(share * sum(len(sent.numbers) for sent in self.campaigns)))

    async def settle(self, timeout_s: float) -> None:
        """Until no message waits for its receipt, or was given up without one: a receipt that came before its
        response may be on its way to it. Whoever judges sees what still does."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        for sent in self.campaigns:
            while (counts := (await self.status(sent)).counts).waiting or counts.no_receipt:
                if asyncio.get_running_loop().time() > deadline:
                    return
                await asyncio.sleep(POLL_S)

    async def finish(self, timeout_s: float = 120.0) -> None:
        """Until every campaign is Done and the SMSC has no receipt left to bring."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        for sent in self.campaigns:
            while (now := await self.status(sent)).state not in ("Done", "Cancelled", "Failed", "Expired"):
                if asyncio.get_running_loop().time() > deadline:
                    raise LabError(
                        f"not Done after {timeout_s:.0f} s: {now.state} {now.reason!r} {schema_counts(now)}"
                    )
                await asyncio.sleep(POLL_S)
        left = ("receipts_queued", "receipts_unanswered", "delayed")

        def quiet() -> bool:
            counts = self.smsc.counters()
            return not any(counts[name] for name in left)

        def left_s() -> float:
            return max(5.0, deadline - asyncio.get_running_loop().time())

        try:
            await until(quiet, "the SMSC's receipts are brought", left_s())
        except LabError as error:
            counts, struck = self.smsc.counters(), self.proxy.counters()
            receipts = " ".join(f"{name}={counts[name]}" for name in (*left, "binds", "binds_dropped"))
            swallowed = struck.get("drop:deliver_sm_resp", 0)
            raise LabError(f"{error}: {receipts}, {swallowed} answers swallowed by the proxy") from None
        await until(
            lambda: not any(self.folder.glob("engine-*/journal/*")), "the journals are replayed", left_s()
        )


def recipient_file(numbers: range) -> bytes:
    return b"msisdn,name\n" + b"".join(b"+%d,Ada %d\n" % (n, n % 997) for n in numbers)


def schema_counts(campaign: schema.Campaign) -> str:
    counts = campaign.counts
    names = ("accepted", "delivered", "failed", "in_doubt", "waiting", "in_flight", "throttled", "retried")
    return " ".join(f"{name}={getattr(counts, name)}" for name in names)


class Core:
    """A Core API client that is closed at the end."""

    def __init__(self, engine: Process, certs: Path) -> None:
        self._client = CoreClient(f"https://127.0.0.1:{engine.ready['core_api']}", certs)

    async def __aenter__(self) -> CoreClient:
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()
