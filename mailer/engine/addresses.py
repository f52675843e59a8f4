"""Addresses in the form they have on the wire."""

from __future__ import annotations

import re
from functools import lru_cache

import idna

_LOCAL_LIMIT = 64  # octets, RFC 5321 §4.5.3.1.1
_ADDRESS_LIMIT = 254  # §4.5.3.1.3 gives 256 for the path with its angle brackets
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*|\"(?:[ !#-;=?-\[\]-~]|\\[ -;=?-~])*\"")
_ATOM_UTF8 = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]+"
_LOCAL_UTF8 = re.compile(rf"{_ATOM_UTF8}(?:\.{_ATOM_UTF8})*")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ASCII_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")


class AddressError(ValueError):
    """An address that cannot be written on the wire; says why in plain words."""


@lru_cache(maxsize=256)
def wire_address(address: str, *, smtputf8: bool = False) -> str:
    """The address with its domain as IDNA 2008 A-labels (RFC 5890), lower case.

    Raises AddressError; a non-ASCII local part needs `smtputf8` (RFC 6531).
    """
    local, at, domain = address.rpartition("@")
    if not at or not local:
        raise AddressError("has no local part or no domain")
    if len(local.encode("utf-8", "surrogatepass")) > _LOCAL_LIMIT:
        raise AddressError("the local part is longer than 64 octets")
    if not local.isascii() and not smtputf8:
        raise AddressError("a local part outside ASCII needs SMTPUTF8")
    well_formed = _LOCAL.fullmatch(local) or (
        not local.isascii() and local.isprintable() and _LOCAL_UTF8.fullmatch(local)
    )
    if not well_formed:
        raise AddressError("the local part holds a forbidden character")
    on_wire = f"{local}@{domain_to_ascii(domain)}"
    if len(on_wire.encode()) > _ADDRESS_LIMIT:
        raise AddressError("longer than 254 octets")
    return on_wire


@lru_cache(maxsize=4096)
def domain_to_ascii(domain: str) -> str:
    """A domain as lower-case A-labels. Raises AddressError where IDNA 2008 forbids it."""
    lowered = domain.lower()
    # Python's own "idna" codec follows IDNA 2003: it would mail faß.de to another domain.
    if not domain.isascii():
        try:
            lowered = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise AddressError("the domain is not a valid domain name") from error
    if not _ASCII_DOMAIN.fullmatch(lowered):
        raise AddressError("the domain is not a valid domain name")
    return lowered
