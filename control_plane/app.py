"""The control plane put together: its services, and the two ASGI apps over them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware

from control_plane.api import ROUTES
from control_plane.audit.audit import Audit
from control_plane.audit.head import CHAINS
from control_plane.audit.outbox import AUDIT
from control_plane.audit.retention import Retention
from control_plane.audit.search import Searches
from control_plane.audit.spool import Spool
from control_plane.campaigns.archive import Archive
from control_plane.campaigns.campaigns import Campaigns
from control_plane.campaigns.emergency import Emergencies
from control_plane.campaigns.model import CAMPAIGNS
from control_plane.campaigns.orders import Orders
from control_plane.campaigns.reconciler import Reconciler
from control_plane.campaigns.review import Reviews
from control_plane.channels.channels import Channels
from control_plane.channels.error_map import ErrorMaps
from control_plane.clock import Clock, utc_now
from control_plane.core import Core
from control_plane.documents.choice import open_store
from control_plane.documents.migrate import migrate
from control_plane.documents.records import Collection
from control_plane.documents.store import DocumentStore
from control_plane.doubts.doubts import Doubts
from control_plane.erasure.model import ERASURES
from control_plane.erasure.people_data import PeopleData
from control_plane.exports.exports import Exports
from control_plane.exports.files import Files
from control_plane.exports.model import EXPORTS
from control_plane.exports.writer import Writer
from control_plane.identity.bootstrap import Bootstrap
from control_plane.identity.identity import Identity
from control_plane.identity.lockout import Lockout
from control_plane.identity.model import FAILURES, LOGIN_STEPS, SESSIONS, USERS
from control_plane.identity.passwords import Passwords
from control_plane.identity.people import People
from control_plane.identity.remembered import Remembered
from control_plane.identity.sessions import Sessions
from control_plane.identity.totp import Totp
from control_plane.identity.users import Users
from control_plane.joining.invitations import Invitations
from control_plane.joining.model import INVITATIONS, JOIN_REQUESTS, RESETS
from control_plane.joining.requests import JoinRequests
from control_plane.joining.resets import Resets
from control_plane.mail.mail import Mail
from control_plane.measured import Measured
from control_plane.metrics import Metrics
from control_plane.moderation.content_queue import ContentQueue, sender_kind, template_kind
from control_plane.moderation.familiar import FAMILIAR, FirstTimes
from control_plane.moderation.listing import Listings
from control_plane.moderation.moderation import Moderation
from control_plane.moderation.openings import Openings
from control_plane.money.money import Money
from control_plane.routing.routing import Routing
from control_plane.senders.model import SENDERS
from control_plane.senders.senders import Senders
from control_plane.services import Services
from control_plane.settings import ControlPlaneSettings
from control_plane.stops.stops import Stops
from control_plane.templates.model import SMS_TEMPLATES
from control_plane.templates.templates import Templates
from control_plane.traffic.traffic import Traffic
from control_plane.upkeep import upkeep
from control_plane.web import routes as web
from control_plane.workspaces.counts import Counts
from control_plane.workspaces.key_file import KeyFile
from control_plane.workspaces.looks import Looks
from control_plane.workspaces.model import WORKSPACES
from control_plane.workspaces.workspaces import Workspaces
from engine.core_api.client import CoreClient

AUDITED: tuple[Collection[Any], ...] = (
    USERS,
    WORKSPACES,
    INVITATIONS,
    JOIN_REQUESTS,
    SENDERS,
    SMS_TEMPLATES,
    CAMPAIGNS,
    EXPORTS,
    ERASURES,
)
COLLECTIONS: tuple[Collection[Any], ...] = (
    *AUDITED,
    AUDIT,
    CHAINS,
    SESSIONS,
    LOGIN_STEPS,
    FAILURES,
    RESETS,
    FAMILIAR,
)
EXPORTS_EVERY_S = 60.0  # how often it is looked which files are over; a new one is begun at once


class CertificatesError(Exception):
    """The Core API's certificates are missing or unreadable."""


def build(
    settings: ControlPlaneSettings, store: DocumentStore, core: Core, clock: Clock = utc_now
) -> Services:
    """The services over a store and an engine; nothing runs yet. Raises KeyFileError."""
    metrics = Metrics()
    passwords = Passwords(
        time_cost=settings.argon2_time_cost,
        memory_kib=settings.argon2_memory_kib,
        parallelism=settings.argon2_parallelism,
    )
    spool = Spool(settings.data_dir, max_bytes=settings.audit_fallback_bytes, metrics=metrics)
    audit = Audit(store, AUDITED, metrics, spool, Retention(store, settings.audit_retention_days))
    sessions = Sessions(store, idle_s=settings.session_idle_s, absolute_s=settings.session_absolute_s)
    remembered = Remembered(settings.stop_session_s)
    lockout = Lockout(store, failures=settings.lockout_failures, lock_s=settings.lockout_s)
    keys = KeyFile(settings.data_dir)
    totp = Totp(store, keys, clock)
    workspaces = Workspaces(store, keys, clock)
    people, mail = People(store, clock), Mail(settings)
    senders = Senders(workspaces, clock)
    templates = Templates(workspaces, clock)
    orders = Orders(store, core, clock, metrics)
    emergencies = Emergencies(core, spool, orders, clock)
    campaigns = Campaigns(
        core, workspaces, senders, templates, audit, orders, Reviews(core), clock, emergencies.saw
    )
    identity = Identity(store, audit, passwords, sessions, lockout, clock, metrics, remembered, spool, totp)
    spool.before_moving = identity.end_logged_out
    files = Files(settings.data_dir)
    writer = Writer(store, core, files, keys, clock, keep_s=settings.exports_keep_s)
    exports = Exports(store, campaigns, audit, files, writer, clock, keep_s=settings.exports_keep_s)
    moderation = Moderation(
        workspaces,
        campaigns,
        orders,
        Listings(core),
        Openings(keys, clock),
        FirstTimes(workspaces, clock),
        ContentQueue(workspaces, [sender_kind(senders), template_kind(templates)]),
        clock,
        metrics,
    )
    return Services(
        settings=settings,
        clock=clock,
        store=store,
        core=core,
        audit=audit,
        spool=spool,
        identity=identity,
        users=Users(store, identity, remembered, clock),
        totp=totp,
        remembered=remembered,
        bootstrap=Bootstrap(store, passwords, workspaces, clock),
        workspaces=workspaces,
        looks=Looks(audit, clock),
        counts=Counts(store),
        people=people,
        mail=mail,
        invitations=Invitations(store, passwords, mail, clock, life_s=settings.invitation_s),
        join_requests=JoinRequests(store, people, clock),
        resets=Resets(
            store, passwords, sessions, remembered, lockout, mail, clock, life_s=settings.password_reset_s
        ),
        senders=senders,
        templates=templates,
        campaigns=campaigns,
        archive=Archive(store, campaigns, clock),
        exports=exports,
        export_writer=writer,
        people_data=PeopleData(store, core, workspaces, exports, audit, clock),
        moderation=moderation,
        emergencies=emergencies,
        searches=Searches(store),
        channels=Channels(core, audit, clock),
        error_maps=ErrorMaps(core, audit, clock),
        routing=Routing(core, audit, clock),
        money=Money(core, audit, clock),
        stops=Stops(core, audit, spool, clock),
        doubts=Doubts(core, audit, workspaces, clock),
        traffic=Traffic(core, audit, clock),
        reconciler=Reconciler(store, orders, metrics),
        metrics=metrics,
    )


@asynccontextmanager
async def opened(settings: ControlPlaneSettings) -> AsyncIterator[Services]:
    """Services on the real store and engine, with the sweeper and the reconciler running.

    Raises SchemaTooNew where the documents are of a newer release.
    """
    store = await open_store(settings.documents_dsn.get_secret_value(), connections=settings.documents_pool)
    try:
        await migrate(store)
        await store.ensure(COLLECTIONS)
        core = _client(settings)
        try:
            services = build(settings, store, core)
            async with running(services):
                yield services
        finally:
            await core.close()
    finally:
        await store.close()


def _client(settings: ControlPlaneSettings) -> CoreClient:
    try:
        return CoreClient(settings.core_api_url, settings.certs_dir)
    except OSError as error:  # also of a certificate that is none (ssl.SSLError)
        folder = settings.certs_dir
        raise CertificatesError(
            f"no usable certificates of the Core API in {folder} ({error}): make them with `heliograph certs`"
        ) from error


@asynccontextmanager
async def running(services: Services) -> AsyncIterator[None]:
    """The background work: audit sweeper and spool, reconciler, upkeep."""
    settings = services.settings
    tasks = [
        asyncio.create_task(services.audit.run(settings.sweep_interval_s), name="audit sweeper"),
        asyncio.create_task(
            services.spool.run(services.audit, services.clock, settings.sweep_interval_s), name="audit spool"
        ),
        asyncio.create_task(services.reconciler.run(settings.reconcile_interval_s), name="reconciler"),
        asyncio.create_task(services.export_writer.run(EXPORTS_EVERY_S), name="exports"),
        asyncio.create_task(upkeep(services.store, services.audit, services.clock), name="upkeep"),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


def ui_app(services: Services) -> Starlette:
    """The pages (control_plane/web), which bring routes, middleware and their error pages."""
    app = Starlette(
        routes=web.routes(services),
        middleware=[Middleware(Measured, metrics=services.metrics, face="ui"), *web.middleware(services)],
        exception_handlers=web.exception_handlers(services),
    )
    app.state.services = services
    return app


def api_app(services: Services) -> Starlette:
    """Health, readiness and metrics; the public API joins them."""
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Measured, metrics=services.metrics, face="api")],
    )
    app.state.services = services
    return app
