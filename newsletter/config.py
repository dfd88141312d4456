"""The configuration: `newsletter.toml` and the environment, read once at the edge and passed down.

Every key has a default and a description; the table in the README is made from them. ``NEWSLETTER_SECTION__KEY``
overrides a key of the file. Secrets never stand in the file: they come from the environment or from
`secrets.env` beside the file, which only its owner may read.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from newsletter import slots
from newsletter.problems import Misconfigured
from newsletter.slots import Timetable
from newsletter.theme import COLOUR, DARK, LEAST_CONTRAST, LIGHT, Palette, Theme, contrast
from newsletter.values import EVERY, MONTHLY, WEEKLY, Source, Topic

FILE_NAME = "newsletter.toml"
SECRETS_NAME = "secrets.env"
ENVIRONMENT_PREFIX = "NEWSLETTER_"
SECRET_NAMES = {
    "ANTHROPIC_API_KEY": "The key that Claude is asked with. Without it, summaries are excerpts.",
    "SENDGRID_API_KEY": "The key of the sendgrid provider.",
    "NEWSLETTER_SMTP_PASSWORD": "The password of the smtp provider's login.",
    "NEWSLETTER_MAILBOX_PASSWORD": "The password of the mailbox that `events read` reads by IMAP.",
    "NEWSLETTER_SECRET_KEY": "Signs the links in mails; several, comma-separated, newest first, after a rotation.",
}
"""Every secret that the product knows, and what it is for."""


BACKGROUNDS = ("paper", "tint")
TEXT_COLOURS = ("ink", "muted", "accent", "ours")
LOOKS = ("light", "dark")
"""What a colour of the theme is: a look and one of these names. Backgrounds come first, text is held to them."""


class ConfigError(Misconfigured):
    """The configuration cannot be used. The text says what, where and what mends it."""


class _Table(BaseModel):
    """A table of the file: unknown keys are errors, values do not change."""

    # A value may be a secret that got into the wrong place, and --debug shows what pydantic says.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _mail_address(value: str) -> str:
    """A mail address, or an empty text. Raises ValueError for what cannot be one."""
    if value and not re.fullmatch(r"[^\s@<>\"(),:;]+@[^\s@<>\"(),:;]+", value):
        raise ValueError(f"{value!r} is no mail address")
    return value


class NewsletterConfig(_Table):
    """Who publishes what, for whom."""

    name: str = Field("AI Research Digest", min_length=1, description="What readers see in title and From.")
    tagline: str = Field("The few pieces worth your time.", description="One line under the name.")
    brief: str = Field(
        "Research on machine learning and AI safety that changes what a working engineer does or believes: "
        "new results, careful evaluations, negative results, tools. Not news, funding or opinion without evidence.",
        description="What the owner wants read for them, in their own words; candidates are judged against it.",
    )
    language: str = Field("en", pattern=r"^[a-z]{2}(-[A-Z]{2})?$", description="Language of the newsletter.")
    time_zone: str = Field("UTC", description="Time zone of dates and of the schedule, an IANA name.")

    owner_address: str = Field("", description="Address of the owner, for letters that ask for approval; empty: none.")

    @field_validator("owner_address")
    @classmethod
    def _owner_has_an_address(cls, value: str) -> str:
        return _mail_address(value)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no IANA time zone, such as Europe/Berlin") from error
        return value


class SourceConfig(_Table):
    """One source, in a `[[sources]]` table of its own."""

    name: str = Field(min_length=1, description="What readers see.")
    url: str = Field(pattern=r"^https?://\S+$", description="Address of the feed.")
    kind: str = Field("", description="Kind of the source; empty: found out from its answer.")
    weight: float = Field(1.0, gt=0, le=10, description="Multiplies the scores of its pieces.")

    @property
    def key(self) -> str:
        """Stable name of this source in the database: its address, since its name may change."""
        return self.url


class TopicConfig(_Table):
    """One topic, in a `[[topics]]` table of its own."""

    key: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="Stable key; renaming a topic keeps it.")
    name: str = Field(min_length=1, description="What readers see.")
    description: str = Field("", description="One line for the subscribe page.")
    keywords: tuple[str, ...] = Field((), description="Words and phrases that give a piece this topic.")


class ScheduleConfig(_Table):
    """When `newsletter run` sends an issue or a round-up, and whether it asks before."""

    cron: str = Field(
        "0 7 * * *",
        description="When an issue is due, as a cron expression in the newsletter's time zone; empty: only by hand.",
    )
    weekly: str = Field(
        "",
        description='When the round-up of weekly readers is due, such as "0 8 * * SUN"; empty: none is offered.',
    )
    monthly: str = Field(
        "", description='When the round-up of monthly readers is due, such as "0 8 1 * *"; empty: none is offered.'
    )
    roundup_pieces: int = Field(7, ge=1, le=50, description="Most pieces of a round-up.")
    approval: Literal["none", "required"] = Field(
        "none", description="`required`: `run` sends no issue before `newsletter issues approve`."
    )

    @field_validator("cron", "weekly", "monthly")
    @classmethod
    def _names_times(cls, value: str) -> str:
        return slots.check(value) if value.strip() else ""


class SelectionConfig(_Table):
    """How many pieces, and which may be chosen."""

    min_pieces: int = Field(3, ge=1, le=50, description="With fewer worth sending there is no issue.")
    max_pieces: int = Field(5, ge=1, le=50, description="Most pieces of one issue.")
    max_age_days: int = Field(30, ge=1, le=3650, description="Pieces published longer ago are not chosen.")
    min_score: float = Field(3.0, ge=0, le=10, description="Pieces that score less (of 10) are not worth sending.")
    max_per_source: int = Field(3, ge=1, le=50, description="Most pieces of one source in one issue.")

    @model_validator(mode="after")
    def _ordered(self) -> SelectionConfig:
        if self.min_pieces > self.max_pieces:
            raise ValueError(f"min_pieces ({self.min_pieces}) is more than max_pieces ({self.max_pieces})")
        return self


class WritingConfig(_Table):
    """Who writes the summaries, and what they hold."""

    writer: Literal["auto", "claude", "excerpts"] = Field(
        "auto", description="`claude`, `excerpts` (no key needed), or `auto`: claude when there is a key."
    )
    model: str = Field("claude-sonnet-5-5", min_length=1, description="Model that writes.")
    triage_model: str = Field(
        "claude-haiku-5-5", description="Model that appraises candidates, a cheap one; empty: they are scored by rule."
    )
    max_tokens: int = Field(
        8000, ge=500, le=64000, description="Most tokens of one answer, with what the model thinks before it."
    )
    max_usd_per_issue: float = Field(
        2.0, ge=0, description="Ceiling of what one making of an issue may cost, in USD; 0: none."
    )
    max_seconds_per_issue: float = Field(
        900.0, gt=0, description="Ceiling of the time in which an issue is written, in seconds."
    )
    concurrency: int = Field(2, ge=1, le=16, description="Pieces written at a time.")
    timeout_seconds: float = Field(
        120.0, gt=0, le=900, description="Longest wait for one answer of the model, retries included."
    )
    sections: tuple[str, ...] = Field(
        ("summary", "why_it_matters", "build", "takeaways"),
        description="Sections of a summary, in this order; each is a file of newsletter/sections.",
    )


class PriceConfig(_Table):
    """What a model costs, in a `[[prices]]` table of its own; the ceiling of an issue is reckoned by it."""

    model: str = Field(min_length=1, description="Name of the model.")
    input: float = Field(ge=0, description="USD per million tokens of the question.")
    output: float = Field(ge=0, description="USD per million tokens of the answer.")
    cache_write: float = Field(ge=0, description="USD per million tokens that the service puts into its cache.")
    cache_read: float = Field(ge=0, description="USD per million tokens that it reads from there.")
    long_from: int = Field(0, ge=0, description="A question of more tokens costs `long_times` as much; 0: none does.")
    long_times: float = Field(1.0, ge=1, description="How many times as much a long question and its answer cost.")


class FetchingConfig(_Table):
    """How sources are read."""

    allow: tuple[str, ...] = Field((), description="`host:port` that may be fetched though it is not public.")
    timeout_seconds: float = Field(20.0, gt=0, le=300, description="Longest time for one address, redirects included.")
    max_feed_bytes: int = Field(5_000_000, ge=1000, description="Largest feed, after decompression.")
    max_page_bytes: int = Field(10_000_000, ge=1000, description="Largest page, after decompression.")
    concurrency: int = Field(8, ge=1, le=16, description="Sources read at a time.")
    fresh_minutes: int = Field(60, ge=0, description="`build` and `send` do not ask a source again within this time.")
    contact: str = Field("", description="Address or URL named in our User-Agent, so that publishers can reach you.")

    @field_validator("allow")
    @classmethod
    def _host_and_port(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):\d{1,5}", entry):
                raise ValueError(f"{entry!r} is not host:port, such as 127.0.0.1:8800")
        return value


Hour = Annotated[int, Field(ge=0, le=23)]
"""An hour of the day."""


class DeliveryConfig(_Table):
    """Who carries the mail, and what it says of its sender."""

    provider: str = Field("files", description="Who carries mail: a file of newsletter/providers.")
    from_address: str = Field("digest@example.com", description="Address in From.")
    from_name: str = Field("", description="Name in From; empty: the newsletter's name.")
    reply_to: str = Field("", description="Address in Reply-To; empty: none.")
    postal_address: str = Field("", description="Postal address in the footer, which the law of many places asks for.")
    outbox: str = Field("outbox", description="Folder of the files provider, below the data folder.")
    chunk: int = Field(500, ge=1, le=10_000, description="Deliveries claimed at a time, rounded up to calls.")
    local_hour: Hour | Literal[""] = Field(
        "", description="Hour (0-23) at which each reader gets an issue, in their own time zone; empty: at once."
    )
    window_hours: float = Field(
        12,
        gt=0,
        le=24 * 31,
        description="Hours after its time within which a mail goes out by itself; later `send` asks, or takes --late.",
    )
    in_doubt: Literal["hold", "resend"] = Field(
        "hold",
        description="What nobody knows to have arrived: `hold` for you to decide, or `resend` and perhaps mail twice.",
    )
    in_doubt_grace_hours: float = Field(
        2.0, ge=0, le=168, description="How long `resend` waits for the provider's reports."
    )
    webhook_key: str = Field(
        "", description="Public key of SendGrid's signed event webhook, for `/hooks/sendgrid`; empty: no such page."
    )
    mailbox: str = Field(
        "", description="Address for mails that unsubscribe, if `events read` reads its mailbox; empty: none."
    )

    @field_validator("from_address", "reply_to", "mailbox")
    @classmethod
    def _looks_like_an_address(cls, value: str) -> str:
        return _mail_address(value)

    @field_validator("from_name", "postal_address")
    @classmethod
    def _no_control_characters(cls, value: str) -> str:
        if any(ord(char) < 32 and char != "\n" for char in value):
            raise ValueError("holds a control character")
        return value


class SmtpConfig(_Table):
    """The mail server of the smtp provider. The password of the login is a secret, NEWSLETTER_SMTP_PASSWORD."""

    host: str = Field("localhost", min_length=1, description="Name of the mail server.")
    port: int = Field(587, ge=1, le=65535, description="Port of the mail server: 587 for STARTTLS, 465 for TLS.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is encrypted: `starttls`, `tls` at once, or `none`."
    )
    username: str = Field("", description="Name of the login; empty: no login.")
    ca_file: str = Field("", description="Certificates to trust beside the system's, in PEM, beside the configuration.")
    connections: int = Field(4, ge=1, le=100, description="Connections at a time, each with one message on its way.")
    messages_per_connection: int = Field(100, ge=1, le=10_000, description="Messages sent by one connection.")
    timeout_seconds: float = Field(
        60.0,
        gt=0,
        le=600,
        description="Longest wait for an answer; for the one to a whole message, five times as long.",
    )
    return_path: str = Field(
        "",
        pattern=r"^([^\s@<>]+@[^\s@<>]+)?$",
        description="Where bounces go; {key} in it is the delivery's, as in bounces+{key}@example.com. Empty: to From.",
    )
    dkim_selector: str = Field("", description="Selector of the DKIM signature; empty: no signature.")
    dkim_domain: str = Field("", description="Domain of the DKIM signature; empty: From's.")
    dkim_key_file: str = Field("", description="RSA key of the DKIM signature, in PEM, beside the configuration.")

    @model_validator(mode="after")
    def _whole(self) -> SmtpConfig:
        if bool(self.dkim_selector) != bool(self.dkim_key_file):
            raise ValueError("dkim_selector and dkim_key_file are set both or not at all")
        return self


class WebConfig(_Table):
    """Where the public pages are, and where `newsletter serve` listens for them."""

    base_url: str = Field(
        "https://newsletter.example.com",
        pattern=r"^https?://[^\s/]+(/[^\s]*)?$",
        description="Public address of the pages; links in mails start with it.",
    )
    host: str = Field(
        "127.0.0.1", min_length=1, description="Address that `serve` listens on; a proxy in front brings TLS."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port that `serve` listens on; 0: any free one.")
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Networks of proxies whose `X-Forwarded-For` says who a visitor is, such as 127.0.0.1/32."
    )

    @field_validator("base_url")
    @classmethod
    def _without_a_slash_at_its_end(cls, value: str) -> str:
        """Whoever makes a link puts one between."""
        return value.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            try:
                ipaddress.ip_network(entry)
            except ValueError as error:
                raise ValueError(f"{entry!r} is no network, such as 127.0.0.1/32 or 10.0.0.0/8") from error
        return value


class ThemeConfig(_Table):
    """How mails and pages look. Colours of text must stand out on what lies behind them."""

    # Also what is not in the file is looked at: a colour of the owner's can stand badly on one of ours.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    logo: str = Field("", max_length=60, description="Text in place of a logo; empty: the newsletter's name.")
    templates: str = Field(
        "", description="Folder of your own templates, relative to this file; each stands in for ours of that path."
    )
    display_font: str = Field(Theme().display_font, description="Fonts of titles, the first that a reader has.")
    text_font: str = Field(Theme().text_font, description="Fonts of everything else.")
    light_paper: str = Field(LIGHT.paper, description="In the light: what all stands on.")
    light_tint: str = Field(LIGHT.tint, description="Behind the takeaways.")
    light_ink: str = Field(LIGHT.ink, description="Text.")
    light_muted: str = Field(LIGHT.muted, description="Text that matters less.")
    light_accent: str = Field(LIGHT.accent, description="Links and marks.")
    light_ours: str = Field(LIGHT.ours, description="What marks a suggestion or an excerpt.")
    dark_paper: str = Field(DARK.paper, description="The same in the dark.")
    dark_tint: str = Field(DARK.tint, description="Behind the takeaways.")
    dark_ink: str = Field(DARK.ink, description="Text.")
    dark_muted: str = Field(DARK.muted, description="Text that matters less.")
    dark_accent: str = Field(DARK.accent, description="Links and marks.")
    dark_ours: str = Field(DARK.ours, description="What marks a suggestion or an excerpt.")

    @field_validator("logo")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("holds a line break or another control character")
        return value.strip()

    @field_validator("display_font", "text_font")
    @classmethod
    def _plain_names(cls, value: str) -> str:
        if not re.fullmatch(r"[\w .-]+(,[\w .-]+)*", value):
            raise ValueError(f"{value!r} is no list of fonts, such as Georgia, Times New Roman, serif (without quotes)")
        return value

    @field_validator(*(f"{look}_{name}" for look in LOOKS for name in BACKGROUNDS + TEXT_COLOURS))
    @classmethod
    def _can_be_read(cls, value: str, info: ValidationInfo) -> str:
        if not COLOUR.fullmatch(value):
            raise ValueError(f"{value!r} is no colour, such as #0b5f58")
        look, _, name = str(info.field_name).partition("_")
        behind = BACKGROUNDS if name in TEXT_COLOURS else ()
        for place in (f"{look}_{background}" for background in behind):
            ratio = contrast(value, info.data[place]) if place in info.data else LEAST_CONTRAST
            if ratio < LEAST_CONTRAST:
                # Cut and not rounded: 4.46 must not be said to be 4.5.
                raise ValueError(
                    f"{value} has a contrast of {int(ratio * 10) / 10} on {place} {info.data[place]}, "
                    f"and text needs {LEAST_CONTRAST}"
                )
        return value

    def value(self) -> Theme:
        """The theme that the renderer works with."""
        return Theme(self._palette("light"), self._palette("dark"), self.display_font, self.text_font)

    def _palette(self, look: str) -> Palette:
        return Palette(**{name: getattr(self, f"{look}_{name}") for name in BACKGROUNDS + TEXT_COLOURS})


class DataConfig(_Table):
    """Where the state is kept."""

    folder: str = Field(
        "data", description="Folder of the database and the outbox, relative to the configuration file."
    )
    database_url: str = Field(
        "", description="Database; empty: SQLite in the data folder. Also NEWSLETTER_DATABASE_URL."
    )


DEFAULT_SOURCES = (
    SourceConfig(name="AI Alignment Forum", url="https://www.alignmentforum.org/feed.xml"),
    SourceConfig(name="The Gradient", url="https://thegradient.pub/rss/"),
)
DEFAULT_TOPICS = (
    TopicConfig(
        key="evaluations",
        name="Evaluations",
        description="What models can do, and how we know.",
        keywords=("evaluation", "evaluations", "evals", "eval", "benchmark", "benchmarks", "red team", "red-teaming"),
    ),
    TopicConfig(
        key="interpretability",
        name="Interpretability",
        description="What happens inside a model.",
        keywords=(
            "interpretability",
            "mechanistic",
            "circuits",
            "activations",
            "sparse autoencoder",
            "autoencoders",
            "features",
            "probe",
            "probes",
        ),
    ),
    TopicConfig(
        key="training",
        name="Training",
        description="How models are made, tuned and taught.",
        keywords=(
            "fine-tuning",
            "finetuning",
            "training",
            "pretraining",
            "distillation",
            "reinforcement learning",
            "RLHF",
            "unlearning",
        ),
    ),
    TopicConfig(
        key="safety",
        name="Safety",
        description="Keeping systems within what people want.",
        keywords=(
            "alignment",
            "misalignment",
            "safety",
            "reward hacking",
            "jailbreak",
            "jailbreaks",
            "sycophancy",
            "oversight",
        ),
    ),
    TopicConfig(
        key="theory",
        name="Theory and methods",
        description="Mathematics, architectures, and how research is done.",
        keywords=(
            "theorem",
            "proof",
            "graph neural network",
            "graph neural networks",
            "geometry",
            "symmetry",
            "architecture",
            "research debt",
        ),
    ),
)
DEFAULT_PRICES = (
    PriceConfig(model="claude-sonnet-5-5", input=2.0, output=10.0, cache_write=2.5, cache_read=0.2),
    PriceConfig(
        model="claude-haiku-5-5",
        input=0.1,
        output=0.5,
        cache_write=0.125,
        cache_read=0.01,
        long_from=100_000,
        long_times=5.0,
    ),
    PriceConfig(model="claude-opus-5-5", input=4.0, output=20.0, cache_write=5.0, cache_read=0.4),
    PriceConfig(model="claude-sonnet-5", input=2.0, output=10.0, cache_write=2.5, cache_read=0.2),
    PriceConfig(model="claude-haiku-4-5", input=1.0, output=5.0, cache_write=1.25, cache_read=0.1),
)
"""Anthropic's list prices in November 2026 (platform.claude.com/docs/en/about-claude/pricing). They change: check them.

Where its pages differ, the higher one stands: a ceiling must hold.
"""


class Config(_Table):
    """The whole configuration, checked."""

    newsletter: NewsletterConfig = Field(default_factory=NewsletterConfig)
    sources: tuple[SourceConfig, ...] = DEFAULT_SOURCES
    topics: tuple[TopicConfig, ...] = DEFAULT_TOPICS
    prices: tuple[PriceConfig, ...] = DEFAULT_PRICES
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    selection: SelectionConfig = Field(default_factory=SelectionConfig)
    writing: WritingConfig = Field(default_factory=WritingConfig)
    fetching: FetchingConfig = Field(default_factory=FetchingConfig)
    delivery: DeliveryConfig = Field(default_factory=DeliveryConfig)
    smtp: SmtpConfig = Field(default_factory=SmtpConfig)
    web: WebConfig = Field(default_factory=WebConfig)
    theme: ThemeConfig = Field(default_factory=ThemeConfig)
    data: DataConfig = Field(default_factory=DataConfig)

    @model_validator(mode="after")
    def _no_twins(self) -> Config:
        _refuse_twins("sources", "url", [source.url for source in self.sources])
        _refuse_twins("topics", "key", [topic.key for topic in self.topics])
        _refuse_twins("prices", "model", [price.model for price in self.prices])
        return self

    def source_values(self) -> tuple[Source, ...]:
        """The sources as values."""
        return tuple(Source(s.key, s.name, s.url, s.kind, s.weight) for s in self.sources)

    def timetable(self) -> Timetable:
        """When issues and round-ups are due."""
        crons = {EVERY: self.schedule.cron, WEEKLY: self.schedule.weekly, MONTHLY: self.schedule.monthly}
        return Timetable(ZoneInfo(self.newsletter.time_zone), crons)

    def topic_values(self) -> tuple[Topic, ...]:
        """The topics as values."""
        return tuple(Topic(t.key, t.name, t.description, t.keywords) for t in self.topics)


def _refuse_twins(table: str, key: str, values: list[str]) -> None:
    twins = sorted({value for value in values if values.count(value) > 1})
    if twins:
        raise ValueError(f"two [[{table}]] have the same {key}: {', '.join(twins)}")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command runs with: the configuration, its place, and the secrets, which never print themselves."""

    config: Config
    folder: Path
    file: Path | None
    secrets: Secrets
    anthropic_base_url: str = ""
    sendgrid_host: str = ""

    @property
    def data_folder(self) -> Path:
        """The folder of database and outbox, absolute."""
        return (self.folder / self.config.data.folder).absolute()

    @property
    def outbox(self) -> Path:
        """The folder that the files provider writes to, absolute."""
        return self.data_folder / self.config.delivery.outbox

    @property
    def templates(self) -> Path | None:
        """The owner's folder of templates, absolute; None when there is none. Raises ConfigError when it is missing."""
        if not self.config.theme.templates:
            return None
        folder = (self.folder / self.config.theme.templates).absolute()
        if not folder.is_dir():
            raise ConfigError(f"`theme.templates`: {folder} is no folder; make it, or correct the path")
        return folder

    @property
    def database_url(self) -> str:
        """The database's URL."""
        return self.config.data.database_url or f"sqlite:///{self.data_folder / 'newsletter.sqlite3'}"


class Secrets:
    """Secrets by name; neither its repr nor a traceback shows them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name: values[name] for name in SECRET_NAMES if values.get(name)}

    def get(self, name: str) -> str:
        """The secret of that name, or an empty text. Raises KeyError for a name that the product does not know."""
        if name not in SECRET_NAMES:
            raise KeyError(name)
        return self._values.get(name, "")

    def names(self) -> tuple[str, ...]:
        """Names of the secrets that are set."""
        return tuple(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Read the configuration.

    ``path`` is what `--config` named (a file, or a folder that holds `newsletter.toml`); None means
    ``NEWSLETTER_CONFIG``, else `newsletter.toml` in the current folder, else the defaults.

    Raises ConfigError, with file, line and mend.
    """
    file = _find(path, environment)
    text = _read(file) if file else ""
    where = str(file) if file else "the environment"
    tables = _parse(text, where)
    overrides = _overrides(environment)
    for section, key, value, name in overrides:
        tables.setdefault(section, {})
        if not isinstance(tables[section], dict):
            raise ConfigError(f"{name} cannot override [[{section}]]; edit {where}")
        tables[section][key] = value
    config = _validate(tables, text, where, {(section, key): name for section, key, _, name in overrides})
    folder = file.parent if file else Path.cwd()
    secrets = read_secrets(folder / SECRETS_NAME, environment)
    anthropic, sendgrid = environment.get("ANTHROPIC_BASE_URL", ""), environment.get("SENDGRID_HOST", "")
    return Settings(config, folder.absolute(), file, secrets, anthropic, sendgrid)


def _find(path: Path | None, environment: Mapping[str, str]) -> Path | None:
    named = path or (Path(environment["NEWSLETTER_CONFIG"]) if environment.get("NEWSLETTER_CONFIG") else None)
    if named is None:
        here = Path(FILE_NAME)
        return here.absolute() if here.is_file() else None
    file = named / FILE_NAME if named.is_dir() else named
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file; `newsletter init {file.parent}` makes one")
    return file.absolute()


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = re.search(r"\(at line (\d+), column \d+\)", message)
        line = found.group(1) if found else str(text.count("\n") + 1)
        reason = re.sub(r"\s*\(at [^)]*\)", "", message)
        raise ConfigError(f"{where}:{line}: not TOML: {reason}; correct that line (texts need quotes)") from error


def _overrides(environment: Mapping[str, str]) -> list[tuple[str, str, Any, str]]:
    """What the environment overrides, as (section, key, value, variable)."""
    found: list[tuple[str, str, Any, str]] = []
    if environment.get("NEWSLETTER_DATABASE_URL"):
        found.append(("data", "database_url", environment["NEWSLETTER_DATABASE_URL"], "NEWSLETTER_DATABASE_URL"))
    for name, value in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            section, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
            found.append((section, key, _value_of(value, section, key), name))
    return found


def _value_of(value: str, section: str, key: str) -> Any:
    """The text of a variable as the key's type reads it; lists are comma-separated or TOML."""
    model = Config.model_fields[section].annotation if section in Config.model_fields else None
    if not (isinstance(model, type) and issubclass(model, BaseModel) and key in model.model_fields):
        return value
    if get_origin(model.model_fields[key].annotation) is not tuple:
        return value
    return tuple(part.strip() for part in value.strip("[] ").replace('"', "").split(",") if part.strip())


def _validate(tables: dict[str, Any], text: str, where: str, variables: Mapping[tuple[str, str], str]) -> Config:
    try:
        return Config.model_validate(tables)
    except ValidationError as error:
        problems = [_explain(dict(problem), text, where, variables) for problem in error.errors()]
        raise ConfigError("\n".join(problems)) from error


def _explain(problem: dict[str, Any], text: str, where: str, variables: Mapping[tuple[str, str], str]) -> str:
    path = tuple(problem["loc"])
    names = tuple(str(part) for part in path if not isinstance(part, int))
    variable = variables.get((names[0], names[1])) if len(names) >= 2 else None
    place = variable or _place(where, text, path)
    dotted = ".".join(names) or "the file"
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key `{dotted}`{_did_you_mean(names)}"
    if problem["type"] == "missing":
        return f"{place}: `{dotted}` is missing; add it"
    reason = str(problem["msg"]).removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    return f"{place}: `{dotted}`: {reason}; correct it (`newsletter config show` prints every key)"


def _place(where: str, text: str, path: tuple[Any, ...]) -> str:
    line = line_of(text, path)
    return f"{where}:{line}" if line else where


def line_of(text: str, path: tuple[Any, ...]) -> int:
    """The line, from 1, on which a key of a TOML text stands: its own, else its table's; 0 when it has none.

    ``path`` is a location as pydantic gives it: ``("sources", 1, "url")``.
    """
    if not path:
        return 0
    section, key = str(path[0]), next((str(p) for p in path[1:] if isinstance(p, str)), "")
    wanted = next((p for p in path[1:] if isinstance(p, int)), 0)
    current, count, table_line = "", -1, 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)\s*([\w.-]+)\s*\]", line)
        if header:
            current = header.group(2)
            count += header.group(1) == "[[" and current == section
            if current == section and (header.group(1) == "[" or count == wanted):
                table_line = number
        inside = current == section and (count in (-1, wanted))
        if key and inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
            return number
        if not current and re.match(rf"\s*[\"']?{re.escape(section)}[\"']?\s*[.=]", line):
            return number
    return table_line


def _did_you_mean(names: tuple[str, ...]) -> str:
    known = _keys_beside(names)
    close = difflib.get_close_matches(names[-1], known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean `{'.'.join((*names[:-1], close[0]))}`?"
    elsewhere = [dotted for dotted, _, _ in keys() if dotted.rsplit(".", 1)[-1] == names[-1]]
    if elsewhere:
        return f"; did you mean `{elsewhere[0]}`?"
    return f"; known here: {', '.join(known)}"


def _keys_beside(names: tuple[str, ...]) -> list[str]:
    if len(names) == 1:
        return list(Config.model_fields)
    model = _model_of(Config.model_fields[names[0]].annotation)
    return list(model.model_fields) if model else []


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model behind an annotation: itself, or the member of a tuple of it."""
    candidates = (annotation, *get_args(annotation))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def keys() -> Iterator[tuple[str, Any, str]]:
    """Every key as (dotted name, default, description), in the file's order; for the README and `config show`."""
    for section, field in Config.model_fields.items():
        model = _model_of(field.annotation)
        if model is None:
            continue
        for name, inner in model.model_fields.items():
            default = None if inner.is_required() else inner.get_default(call_default_factory=False)
            yield f"{section}.{name}", default, inner.description or ""


def is_this_machine(host: str) -> bool:
    """Whether a host's name or address is this machine's own, by its looks: no name is looked up."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_secrets(file: Path, environment: Mapping[str, str]) -> Secrets:
    """The secrets of a `secrets.env` (``NAME=value`` lines) and of the environment, which wins.

    Raises ConfigError when others than its owner may read the file, or a line is no ``NAME=value``.
    """
    values: dict[str, str] = {}
    if file.is_file():
        if os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise ConfigError(f"{file}: others can read it; `chmod 600 {file}` mends that")
        values = _secret_lines(file)
    return Secrets({**values, **environment})


def _secret_lines(file: Path) -> dict[str, str]:
    values = {}
    for number, line in enumerate(_read(file).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, separator, value = line.removeprefix("export ").partition("=")
        if not separator:
            raise ConfigError(f"{file}:{number}: not NAME=value; correct that line")
        if name.strip() not in SECRET_NAMES:
            close = difflib.get_close_matches(name.strip(), SECRET_NAMES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(SECRET_NAMES)}"
            # What looks like no name may be a secret whose own name is missing.
            said = f" {name.strip()}" if re.fullmatch(r"[A-Z][A-Z_]*", name.strip()) else ""
            raise ConfigError(f"{file}:{number}: unknown secret{said}; {hint}")
        values[name.strip()] = value.strip().strip("'\"")
    return values
