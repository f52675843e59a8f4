"""What counts as one address: normalised, checked without DNS, hashed for matching."""

import hashlib
import hmac
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email


@dataclass(frozen=True, slots=True)
class Normal:
    """`address` as it is kept (domain in Unicode), `domain` as it goes on the wire (A-labels)."""

    address: str
    domain: str


def normalize_address(raw: str) -> Normal:
    """Check an address by its form alone (RFC 5321 lengths, IDNA 2008). Raises ValueError.

    The local part keeps its capitals, as only its own server may fold them (RFC 5321 §2.4), but
    for role names such as Postmaster (RFC 2142).
    """
    try:
        found = validate_email(
            raw.strip(),
            check_deliverability=False,
            allow_smtputf8=True,
            allow_quoted_local=False,
            strict=True,  # lengths, too
        )
    except EmailNotValidError as error:
        raise ValueError(f"{raw.strip()[:100]!r} is not an e-mail address: {error}") from None
    if not found.local_part.isascii():
        raise ValueError(
            f"{raw.strip()[:100]!r}: the part before the @ holds characters outside ASCII, "
            "which few mail servers take (SMTPUTF8); ask for another address"
        )
    return Normal(address=found.normalized, domain=found.ascii_domain.lower())


def normalize_domain(raw: str) -> str:
    """What stands behind the @, as it goes on the wire. Raises ValueError."""
    return normalize_address(f"somebody@{raw.strip()}").domain


def hash_address(normal: Normal, *, key: bytes) -> bytes:
    """32 bytes that stand for an address, the same for any capitals in it.

    Lower case and A-labels, not casefold(): that would make faß.de and fass.de one domain.
    """
    local = normal.address.rpartition("@")[0]
    return hmac.digest(key, f"{local.lower()}@{normal.domain}".encode(), hashlib.sha256)
