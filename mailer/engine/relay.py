"""Where mail is handed over: address, security, login and patience."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

Security = Literal["none", "starttls", "tls"]


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """One relay (RFC 6409). Time-outs are seconds; `ca_file` is for a private authority."""

    host: str
    port: int = 587
    security: Security = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    helo_name: str = "localhost"
    ca_file: str = ""
    connect_timeout: float = 30.0
    # RFC 5321 §4.5.3.2 allows 2–5 minutes; a relay of one's own that needs more is in trouble.
    command_timeout: float = 120.0
    # §4.5.3.2.6. Not shorter: giving up while the relay still delivers makes an uncertain message.
    final_timeout: float = 600.0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@lru_cache(maxsize=16)
def tls_context(ca_file: str) -> ssl.SSLContext:
    """A context that verifies certificate and name. Raises OSError where `ca_file` is unusable."""
    return ssl.create_default_context(cafile=ca_file or None)
