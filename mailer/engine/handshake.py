"""From a relay's address to a connection that is ready for MAIL FROM."""

from __future__ import annotations

import smtplib
import socket
import time

from mailer.engine.conversation import Stage
from mailer.engine.exchange import ask, broken, expect, unusable
from mailer.engine.relay import RelayAddress, tls_context
from mailer.engine.wire import Wire


def open_wire(relay: RelayAddress) -> Wire:
    """Connect, greet, secure, log in. Raises EndedError with nothing left open."""
    try:
        opened = socket.create_connection((relay.host, relay.port), relay.connect_timeout)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name no resolver takes
        raise broken(Stage.CONNECT, error) from error
    wire = Wire(opened, helo_name=relay.helo_name, patience=relay.connect_timeout)
    try:
        if relay.security == "tls":
            _wrap(wire, relay)
        ask(wire, Stage.CONNECT, None)
        _greet(wire, Stage.CONNECT)
        if relay.security == "starttls":
            _start_tls(wire, relay)
        if relay.username:
            _log_in(wire, relay)
    except BaseException:
        wire.sock.close()
        raise
    wire.patience = relay.command_timeout
    return wire


def _greet(wire: Wire, stage: Stage) -> None:
    begun = time.monotonic()
    try:
        code, text = wire.ehlo()
        wire.round_trip = min(wire.round_trip, time.monotonic() - begun)
        if code in (500, 502):  # a server older than extensions (RFC 5321 §3.2)
            code, text = wire.helo()
    except (OSError, smtplib.SMTPException) as error:
        raise broken(stage, error) from error
    expect(stage, code, text, 2)


def _start_tls(wire: Wire, relay: RelayAddress) -> None:
    if not wire.has_extn("starttls"):
        # Never go on in the clear: whoever sits in between may have removed the offer.
        raise unusable(Stage.TLS, "the relay does not offer STARTTLS")
    ask(wire, Stage.TLS, "STARTTLS")
    _wrap(wire, relay)
    _greet(wire, Stage.TLS)


def _wrap(wire: Wire, relay: RelayAddress) -> None:
    try:
        wire.wrap(tls_context(relay.ca_file), relay.host)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise broken(Stage.TLS, error) from error


def _log_in(wire: Wire, relay: RelayAddress) -> None:
    wire.user, wire.password = relay.username, relay.password
    offered = wire.esmtp_features.get("auth", "").upper().split()
    known = {"PLAIN": wire.auth_plain, "LOGIN": wire.auth_login, "CRAM-MD5": wire.auth_cram_md5}
    if relay.security == "none" and "CRAM-MD5" in offered:
        offered = ["CRAM-MD5"]  # the one that does not show the password on the line
    mechanism = next((name for name in known if name in offered), "")
    if not mechanism:
        raise unusable(Stage.AUTH, "the relay offers no way to log in that is known here")
    try:
        # One mechanism, once: trying them all with a wrong password locks accounts.
        wire.auth(mechanism, known[mechanism])  # type: ignore[arg-type]
    except smtplib.SMTPAuthenticationError as refusal:
        error = refusal.smtp_error
        text = error if isinstance(error, bytes) else error.encode()
        expect(Stage.AUTH, refusal.smtp_code, text, 2)
    except UnicodeError as error:
        reason = "the user name or password has characters outside ASCII"
        raise unusable(Stage.AUTH, reason) from error
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise broken(Stage.AUTH, error) from error
