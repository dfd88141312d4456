"""Where the concrete parts are picked: from the configuration to the parts that the pipeline works with."""

from __future__ import annotations

import argparse
import datetime as dt
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from newsletter.cli._console import Console
from newsletter.cli._exits import Exit, Stop
from newsletter.config import Config, ConfigError, Settings, is_this_machine, load

if TYPE_CHECKING:
    from newsletter.deliveries import Clocks
    from newsletter.fetching import Door
    from newsletter.intake import Intake
    from newsletter.pipeline import Press
    from newsletter.providers import Provider
    from newsletter.providers.smtp import Signature
    from newsletter.rendering import Renderer
    from newsletter.sections import SectionSpec
    from newsletter.store import Store
    from newsletter.summaries import Desk
    from newsletter.writers import Writer
    from subscribers import Tokens

LINK_KEY_FILE = "links.key"
_EXAMPLE = re.compile(r"(^|[@.])example(\.(com|net|org))?$", re.IGNORECASE)
"""Names that are nobody's (RFC 2606)."""


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
    def store(self, *, read_only: bool = False, thorough: bool = False) -> Iterator[Store]:
        """The database, closed at the end. ``thorough``: looked through first, by what mails or stays."""
        from newsletter.store import open_store

        store = open_store(
            self.settings.database_url, read_only=read_only, beside=self.settings.data_folder, thorough=thorough
        )
        if store.updated:
            now, before = store.updated.after, store.updated.before
            kept = f"; as it was: {store.updated.backup}" if store.updated.backup else ""
            self.console.note(f"The database has schema {now} now, before {before}{kept}.")
        try:
            yield store
        finally:
            store.close()

    def press(self, store: Store) -> Press:
        """The parts that every stage shares."""
        from newsletter.pipeline import Press, frequencies

        config = self.config
        return Press(config, store, self.clocks, self.renderer(), self._tokens(), frequencies(config))

    def renderer(self) -> Renderer:
        """What makes mails and pages, with the owner's look, words and templates."""
        from newsletter.rendering import Masthead, Renderer

        config = self.config
        masthead = Masthead(
            name=config.newsletter.name,
            logo=config.theme.logo,
            tagline=config.newsletter.tagline,
            language=config.newsletter.language,
            time_zone=config.newsletter.time_zone,
            base_url=config.web.base_url,
            postal_address=config.delivery.postal_address,
            topic_names={topic.key: topic.name for topic in config.topics},
        )
        return Renderer(masthead, self.settings.templates, config.theme.value())

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
        if not self._link_key_file.exists():
            _write_private(self._link_key_file, secrets.token_urlsafe(32) + "\n")
        return self.kept_link_keys()

    def kept_link_keys(self) -> tuple[str, ...]:
        """The keys in the file of them, for a backup; those of the environment are the owner's to keep."""
        if self.settings.secrets.get("NEWSLETTER_SECRET_KEY") or not self._link_key_file.exists():
            return ()
        return tuple(self._link_key_file.read_text("ascii").split())

    def keep_link_keys(self, keys: Sequence[str]) -> bool:
        """Have links that these keys signed work too, behind those that there are. False: the environment decides."""
        import subscribers

        given = self.settings.secrets.get("NEWSLETTER_SECRET_KEY")
        if given:
            return set(keys) <= set(subscribers.split_keys(given))
        there = self.kept_link_keys()
        missing = [key for key in keys if key not in there]
        if missing:
            partial = self._link_key_file.with_suffix(f".{secrets.token_hex(4)}.part")
            _write_private(partial, "".join(f"{key}\n" for key in (*there, *missing)))
            partial.replace(self._link_key_file)
        return True

    def link_keys_are_known(self) -> bool:
        """Whether there are keys already, and none would have to be made."""
        return bool(self.settings.secrets.get("NEWSLETTER_SECRET_KEY") or self.kept_link_keys())

    @property
    def _link_key_file(self) -> Path:
        return self.settings.data_folder / LINK_KEY_FILE

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
        prices = {p.model: Price(**p.model_dump(exclude={"model"})) for p in self.config.prices}
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
        """Who carries the mail. Raises ConfigError for a provider that there is not, or that cannot carry it yet."""
        from newsletter import providers

        name = self.config.delivery.provider
        if name not in providers.names():
            known = ", ".join(providers.names())
            raise ConfigError(f"`delivery.provider`: there is no provider {name!r}; known: {known}")
        if name == "files":
            from newsletter.providers.files import Files

            return Files(self.settings.outbox)
        check_sender(self.config)
        return self.sendgrid() if name == "sendgrid" else self._smtp()

    def sendgrid(self, *, sandbox: bool = False) -> Provider:
        """SendGrid, at SENDGRID_HOST when the environment has one. Raises ConfigError without a key."""
        from newsletter import pipeline
        from newsletter.providers.sendgrid import HOST, SendGrid

        key = self.settings.secrets.get("SENDGRID_API_KEY")
        if not key:
            raise ConfigError("`delivery.provider` is sendgrid and SENDGRID_API_KEY is not set; set it")
        try:
            return SendGrid(
                key, self.settings.sendgrid_host or HOST, sandbox=sandbox, list_id=pipeline.sender(self.config).list_id
            )
        except ValueError as error:
            raise ConfigError(f"SENDGRID_API_KEY or SENDGRID_HOST: {error}; correct it") from error

    def _smtp(self) -> Provider:
        from newsletter.providers.smtp import Server, Smtp

        config, folder = self.config.smtp, self.settings.folder
        try:
            server = Server(
                host=config.host,
                port=config.port,
                security=config.security,
                username=config.username,
                password=self.settings.secrets.get("NEWSLETTER_SMTP_PASSWORD"),
                timeout_seconds=config.timeout_seconds,
                ca_file=folder / config.ca_file if config.ca_file else None,
            )
        except ValueError as error:
            raise ConfigError(f"`smtp.security`: {error}; set it to starttls or tls") from error
        if server.username and not server.password:
            raise ConfigError(f"`smtp.username` is {server.username} and NEWSLETTER_SMTP_PASSWORD is not set; set it")
        return Smtp(
            server,
            batch=config.connections,
            messages_per_connection=config.messages_per_connection,
            return_path=config.return_path,
            signature=self._signature(),
        )

    def _signature(self) -> Signature | None:
        """What signs by DKIM, when it is configured. Raises ConfigError for a key that cannot."""
        from newsletter.providers.smtp import BadKey, Signature

        config = self.config.smtp
        if not config.dkim_selector:
            return None
        file = self.settings.folder / config.dkim_key_file
        domain = config.dkim_domain or self.config.delivery.from_address.rpartition("@")[2]
        try:
            return Signature(config.dkim_selector, domain, file.read_bytes())
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}; correct `smtp.dkim_key_file`") from error
        except BadKey as error:
            raise ConfigError(f"{file}: {error}; make one with `openssl genrsa -out {file} 2048`") from error

    def confirm(self, question: str) -> bool:
        """Ask a person on the terminal; no is the default."""
        print(f"{question} [y/N] ", end="", file=self.console.err, flush=True)
        try:
            return input().strip().lower() in ("y", "yes")
        except EOFError:
            return False


def check_sender(config: Config) -> None:
    """Whether mail may leave to real people.

    Raises ConfigError without an https address of our pages (one of this machine may do without), a postal address,
    and a sender that is no example.
    """
    web, delivery = urlsplit(config.web.base_url), config.delivery
    host = web.hostname or ""
    if web.scheme != "https" and not is_this_machine(host):
        raise ConfigError(f"`web.base_url` is {config.web.base_url}, and links in mails must be https; correct it")
    if _EXAMPLE.search(host):
        raise ConfigError(f"`web.base_url` is {config.web.base_url}; set it to where your pages are")
    if not delivery.postal_address.strip():
        raise ConfigError("`delivery.postal_address` is empty; set the address that the footer of each mail names")
    if _EXAMPLE.search(delivery.from_address):
        raise ConfigError(f"`delivery.from_address` is {delivery.from_address}; set it to an address of yours")


def _real_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, and never over another."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as handle:
        handle.write(text)
