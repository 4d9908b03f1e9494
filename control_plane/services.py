"""What the pages and the API are given: the control plane's parts, opened once by `control_plane.app`."""

import asyncio
from dataclasses import dataclass, field

from control_plane.audit.audit import Audit
from control_plane.audit.search import Searches
from control_plane.audit.spool import Spool
from control_plane.campaigns.archive import Archive
from control_plane.campaigns.campaigns import Campaigns
from control_plane.campaigns.emergency import Emergencies
from control_plane.campaigns.reconciler import Reconciler
from control_plane.channels.channels import Channels
from control_plane.channels.error_map import ErrorMaps
from control_plane.clock import Clock
from control_plane.core import Core
from control_plane.documents.store import DocumentStore
from control_plane.doubts.doubts import Doubts
from control_plane.erasure.people_data import PeopleData
from control_plane.exports.exports import Exports
from control_plane.exports.writer import Writer
from control_plane.identity.bootstrap import Bootstrap
from control_plane.identity.identity import Identity
from control_plane.identity.people import People
from control_plane.identity.remembered import Remembered
from control_plane.identity.totp import Totp
from control_plane.identity.users import Users
from control_plane.joining.invitations import Invitations
from control_plane.joining.requests import JoinRequests
from control_plane.joining.resets import Resets
from control_plane.mail.mail import Mail
from control_plane.metrics import Metrics
from control_plane.moderation.moderation import Moderation
from control_plane.money.money import Money
from control_plane.routing.routing import Routing
from control_plane.senders.senders import Senders
from control_plane.settings import ControlPlaneSettings
from control_plane.stops.stops import Stops
from control_plane.templates.templates import Templates
from control_plane.traffic.traffic import Traffic
from control_plane.workspaces.counts import Counts
from control_plane.workspaces.looks import Looks
from control_plane.workspaces.workspaces import Workspaces


@dataclass(frozen=True)
class Services:
    settings: ControlPlaneSettings
    clock: Clock
    store: DocumentStore
    core: Core
    audit: Audit
    spool: Spool
    identity: Identity
    users: Users
    totp: Totp
    remembered: Remembered
    bootstrap: Bootstrap
    workspaces: Workspaces
    looks: Looks
    counts: Counts
    people: People
    mail: Mail
    invitations: Invitations
    join_requests: JoinRequests
    resets: Resets
    senders: Senders
    templates: Templates
    campaigns: Campaigns
    archive: Archive
    exports: Exports
    export_writer: Writer
    people_data: PeopleData
    emergencies: Emergencies
    searches: Searches
    moderation: Moderation
    channels: Channels
    error_maps: ErrorMaps
    routing: Routing
    money: Money
    stops: Stops
    doubts: Doubts
    traffic: Traffic
    reconciler: Reconciler
    metrics: Metrics
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set at SIGTERM: streams end at once
