"""Standard output is the result's; the engine's log of each link would only stand in its way."""

import logging
import sys

import structlog


def log_warnings_only() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.getLogger("smpp").setLevel(logging.WARNING)
