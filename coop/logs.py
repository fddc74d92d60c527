"""Logs: constant messages with named values, JSON in production, coloured lines at a terminal; no secret in any."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Any

import structlog

from coop.redaction import redactor
from coop.settings import Settings

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a module. Values go in as keyword arguments: `log.info("stage ended", stage=stage)`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger


def _console() -> structlog.dev.ConsoleRenderer:
    # The default shows every local variable of a traceback, keys and bodies among them.
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def configure_logs(settings: Settings) -> None:
    """Send this process' log, its libraries' included, to stderr in the form and at the level of the settings."""
    coloured = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer: Any = _console() if coloured else structlog.processors.JSONRenderer()
    final: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not coloured:
        final.append(structlog.processors.format_exc_info)
    redact = redactor(settings)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=list(_SHARED),
            # Last, on the finished line, so that a traceback is as clean as a value.
            processors=[*final, renderer, lambda _, __, line: redact(str(line))],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    _report_what_nobody_caught()
    # A line per request to an engine says nothing that the stage's own line does not.
    for chatty in ("httpx", "httpx2", "httpcore", "urllib3", "openai", "faster_whisper"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Its methods below the level do nothing at all.
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=True,
    )


def _report_what_nobody_caught() -> None:
    """Python would write it to stderr past all of this, with every secret that its message holds."""
    log = logging.getLogger("coop")

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical("the process ends with an error", exc_info=(kind, error, trace))

    def of_thread(found: threading.ExceptHookArgs) -> None:
        error = found.exc_value or found.exc_type()
        log.critical("a thread ended with an error", exc_info=(found.exc_type, error, found.exc_traceback))

    sys.excepthook = of_process
    threading.excepthook = of_thread
