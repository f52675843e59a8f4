"""Passwords at rest: Fernet with rotation (the first key encrypts, any of them decrypts)."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


def encrypt(secret: str, *, keys: Sequence[str]) -> str:
    """A token to store; an empty secret stays empty."""
    return _fernet(keys).encrypt(secret.encode()).decode() if secret else ""


def decrypt(token: str, *, keys: Sequence[str]) -> str:
    """Raises ValueError when no key opens the token."""
    if not token:
        return ""
    try:
        return _fernet(keys).decrypt(token.encode()).decode()
    except InvalidToken:
        raise ValueError(
            "The stored password cannot be read: none of CREDENTIAL_KEYS opens it. "
            "Put the earlier key behind the new one, or enter the password again."
        ) from None


def _fernet(keys: Sequence[str]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
