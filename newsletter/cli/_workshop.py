"""Where the concrete parts are picked: from the configuration to the parts that the pipeline works with."""

from __future__ import annotations

import argparse
import datetime as dt
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from newsletter.cli._console import Console
from newsletter.cli._exits import Exit, Stop
from newsletter.config import Config, ConfigError, Settings, load

if TYPE_CHECKING:
    from sqlmodel import Session

    from newsletter.deliveries import Clocks
    from newsletter.fetching import Door
    from newsletter.intake import Intake
    from newsletter.pipeline import Press
    from newsletter.providers import Provider
    from newsletter.sections import SectionSpec
    from newsletter.store import Store
    from newsletter.summaries import Desk
    from newsletter.writers import Writer
    from subscribers import Tokens

LINK_KEY_FILE = "links.key"


class Workshop:
    """Makes each part when it is first asked for, so that a command loads only what it uses.

    ``settings`` and ``make_door`` are handed in by the demo, which brings its own.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        settings: Settings | None = None,
        make_door: Callable[[Config], Door] | None = None,
        now: dt.datetime | None = None,
    ) -> None:
        self._arguments = arguments
        self._given, self._make_door, self._now = settings, make_door, now
        level = -1 if arguments.quiet else int(arguments.verbose or arguments.debug)
        self.console = Console(arguments.json, level)

    @cached_property
    def settings(self) -> Settings:
        """The configuration that --config and the environment name."""
        return self._given or load(self._arguments.config, os.environ)

    @property
    def config(self) -> Config:
        """The configuration's values."""
        return self.settings.config

    @cached_property
    def clocks(self) -> Clocks:
        """What day it is (--now stops it), and the machine's clock."""
        from newsletter.deliveries import Clocks

        frozen = self._now or self._frozen_now()
        return Clocks(now=(lambda: frozen) if frozen else _real_now, real=_real_now)

    def _frozen_now(self) -> dt.datetime | None:
        text = self._arguments.now
        if not text:
            return None
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError as error:
            raise Stop(
                Exit.USAGE, f"--now {text}: not an ISO date or time, such as 2026-05-29T07:00:00+00:00"
            ) from error
        zone = ZoneInfo(self.config.newsletter.time_zone)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(dt.UTC)

    @contextmanager
    def store(self, *, read_only: bool = False) -> Iterator[Store]:
        """The database, closed at the end."""
        from newsletter.store import open_store

        store = open_store(self.settings.database_url, read_only=read_only)
        try:
            yield store
        finally:
            store.close()

    def press(self, store: Store) -> Press:
        """The parts that every stage shares."""
        from newsletter.pipeline import Press
        from newsletter.rendering import Masthead, Renderer

        config = self.config
        masthead = Masthead(
            name=config.newsletter.name,
            tagline=config.newsletter.tagline,
            language=config.newsletter.language,
            time_zone=config.newsletter.time_zone,
            base_url=config.web.base_url.rstrip("/"),
            postal_address=config.delivery.postal_address,
            topic_names={topic.key: topic.name for topic in config.topics},
        )
        return Press(config, store, self.clocks, Renderer(masthead), self._tokens(), votes=_votes)

    def _tokens(self) -> Tokens:
        """What signs the links. Raises ConfigError for a key that could be guessed."""
        from subscribers import Tokens

        try:
            return Tokens(self._link_keys())
        except ValueError as error:
            raise ConfigError(f"NEWSLETTER_SECRET_KEY: {error}; make one with `openssl rand -hex 32`") from error

    def _link_keys(self) -> tuple[str, ...]:
        """The keys that sign links, newest first: from the environment, else a file made at the first use."""
        import subscribers

        given = self.settings.secrets.get("NEWSLETTER_SECRET_KEY")
        if given:
            return subscribers.split_keys(given)
        file = self.settings.data_folder / LINK_KEY_FILE
        if not file.exists():
            _write_private(file, secrets.token_urlsafe(32) + "\n")
        return tuple(file.read_text("ascii").split())

    @contextmanager
    def intake(self, store: Store) -> Iterator[Intake]:
        """What reads the sources; its sandbox ends with it."""
        from newsletter.intake import Intake
        from newsletter.sandbox import Sandbox

        with Sandbox(workers=2) as sandbox:
            door = self._make_door(self.config) if self._make_door else self._door()
            yield Intake(store, door, sandbox, self.config.fetching, self.config.selection.max_age_days)

    def _door(self) -> Door:
        from newsletter.fetching import Door

        fetching = self.config.fetching
        return Door(allow=fetching.allow, timeout_seconds=fetching.timeout_seconds, contact=fetching.contact)

    def desk(self, store: Store) -> Desk:
        """Who writes. Raises Stop when the configuration asks for Claude and there is no key."""
        from newsletter import sections
        from newsletter.summaries import Desk
        from newsletter.writers.excerpts import Excerpts

        writing = self.config.writing
        try:
            specs = sections.load(writing.sections)
        except KeyError as error:
            known = ", ".join(sections.names())
            raise ConfigError(f"`writing.sections`: there is no section {error}; known: {known}") from error
        excerpts = Excerpts(specs)
        key = self.settings.secrets.get("ANTHROPIC_API_KEY")
        if writing.writer == "claude" and not key:
            raise ConfigError("`writing.writer` is claude and ANTHROPIC_API_KEY is not set; set it, or use excerpts")
        if writing.writer == "excerpts" or not key:
            return Desk(store, excerpts, excerpts, specs)
        return self._desk_with_claude(store, key, specs, excerpts)

    def _desk_with_claude(self, store: Store, key: str, specs: tuple[SectionSpec, ...], excerpts: Writer) -> Desk:
        from newsletter.claude import Budget, Claude, Price
        from newsletter.costs import StoredMeter
        from newsletter.store.answers import StoredAnswers
        from newsletter.summaries import Desk
        from newsletter.triage.claude import ClaudeTriage
        from newsletter.writers.claude import ClaudeWriter

        writing, language = self.config.writing, self.config.newsletter.language
        prices = {p.model: Price(p.input, p.output, p.cache_write, p.cache_read) for p in self.config.prices}
        self._check_prices(prices)
        meter = StoredMeter(store)
        claude = Claude(
            api_key=key,
            base_url=self.settings.anthropic_base_url,
            cache=StoredAnswers(store),
            budget=Budget(writing.max_usd_per_issue or math.inf, prices, writing.max_seconds_per_issue),
            meter=meter,
            timeout_seconds=writing.timeout_seconds,
        )
        writer = ClaudeWriter(claude, specs, model=writing.model, max_tokens=writing.max_tokens, language=language)
        return Desk(
            store,
            writer,
            excerpts,
            specs,
            language,
            appraiser=ClaudeTriage(claude, writing.triage_model) if writing.triage_model else None,
            meter=meter,
            at_a_time=writing.concurrency,
        )

    def _check_prices(self, prices: Mapping[str, object]) -> None:
        """Raise ConfigError for a model whose price is not known, while there is a ceiling to hold."""
        writing = self.config.writing
        for model in filter(None, (writing.model, writing.triage_model)):
            if writing.max_usd_per_issue and model not in prices:
                raise ConfigError(
                    f"there is no price of {model}, and writing.max_usd_per_issue cannot be held without; add "
                    f'[[prices]] with model = "{model}", or set writing.max_usd_per_issue = 0 for no ceiling'
                )

    def provider(self) -> Provider:
        """Who carries the mail. Raises ConfigError for a provider that there is not."""
        from newsletter import providers
        from newsletter.providers.files import Files

        name = self.config.delivery.provider
        if name == "files":
            return Files(self.settings.outbox)
        raise ConfigError(f"`delivery.provider`: there is no provider {name!r}; known: {', '.join(providers.names())}")

    def confirm(self, question: str) -> bool:
        """Ask a person on the terminal; no is the default."""
        print(f"{question} [y/N] ", end="", file=self.console.err, flush=True)
        try:
            return input().strip().lower() in ("y", "yes")
        except EOFError:
            return False


def _real_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _votes(session: Session, piece_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Readers' votes on pieces, worth their time and not."""
    import subscribers

    found = subscribers.votes(session, piece_ids)
    return {piece: (votes.worth, votes.not_worth) for piece, votes in found.items()}


def _write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, and never over another."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as handle:
        handle.write(text)
