"""One log file for everything that runs here; the terminal stays for people.

structlog and the standard library's loggers write JSON lines to
`<LEDGERLINE_HOME>/logs/ledgerline.log`. Passwords in addresses and e-mail addresses are masked in
the finished line, whoever wrote it, so neither a traceback nor a library's message can leak one.
"""

from __future__ import annotations

import logging
import logging.handlers
import re
from pathlib import Path

import structlog

# scheme://user:password@host, password=…, and name@host.tld
_MASKS = (
    (re.compile(r"(://[^:/@\s\"']*:)[^@\s\"']+@"), r"\1***@"),
    (re.compile(r"(?i)(passw(?:or)?d|pwd|secret|token)(\W{1,4})[^\s,;&\"'})]+"), r"\1\2***"),
    (re.compile(r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}"), "***@***"),
)
_NOISY = ("alembic", "cmdstanpy", "prophet", "matplotlib", "pymongo", "sqlalchemy", "urllib3")


def masked(text: str) -> str:
    """`text` without passwords, tokens and e-mail addresses."""
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


class _MaskingFormatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def log_file(home: Path) -> Path:
    """Where `configure` writes."""
    return home / "logs" / "ledgerline.log"


def configure(home: Path, level: str = "INFO") -> Path:
    """Send structlog and the root logger to the log file; returns its path.

    Where the folder can't be written, logs are dropped rather than the command refused: commands
    that need the folder for their data say so themselves.
    """
    path = log_file(home)
    shared = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=20_000_000, backupCount=5, encoding="utf-8"
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(
        _MaskingFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # an unknown name falls back to INFO instead of ending the command over its own log
    root.setLevel(logging.getLevelNamesMapping().get(level.upper(), logging.INFO))
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return path
