"""Databases for hostile publishers to fill, and the child that reads what they send."""

from __future__ import annotations

from tests.newsletter.conftest import empty_database, store

__all__ = ["empty_database", "store"]
