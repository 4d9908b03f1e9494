"""The control plane's metrics. No number, person, message or campaign is a label."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """One registry a process, made by `control_plane.app`: tests can have their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.logins = Counter(
            "heliograph_logins", "Login attempts by outcome.", ["outcome"], registry=self.registry
        )
        self.decisions = Counter(
            "heliograph_campaign_decisions",
            "Decisions of moderators by verdict; `late` ones found it decided.",
            ["verdict"],
            registry=self.registry,
        )
        self.orders = Counter(
            "heliograph_core_orders",
            "Orders sent to the engine by kind and outcome (acknowledged, refused, unreachable).",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.outstanding = Gauge(
            "heliograph_core_orders_outstanding",
            "Campaigns with orders the engine has not acknowledged, at the last look.",
            registry=self.registry,
        )
        self.audit_events = Counter("heliograph_audit_events", "Audit events stored.", registry=self.registry)
        self.audit_fallback_events = Counter(
            "heliograph_audit_fallback_events",
            "Audit events written to the fallback file because the documents did not answer.",
            registry=self.registry,
        )
        self.audit_fallback_bytes = Gauge(
            "heliograph_audit_fallback_bytes",
            "Size of the audit's fallback file; it is full at the setting AUDIT_FALLBACK_BYTES.",
            registry=self.registry,
        )
        self.audit_lost_events = Counter(
            "heliograph_audit_lost_events",
            "Audit events that neither the documents nor the fallback file took. Alert on any.",
            registry=self.registry,
        )
        self.requests = Counter(
            "heliograph_http_requests",
            "Requests answered, by face (ui, api), method and status class.",
            ["face", "method", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "heliograph_http_request_seconds",
            "Time until an answer began, by face.",
            ["face"],
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
