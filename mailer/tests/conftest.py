"""Fixtures for mailer's tests."""

from .ledger import engine

__all__ = ["engine"]
