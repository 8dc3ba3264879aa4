"""Every setting: its variable, its unit, its default and one line of help. Read once, at start."""

import re
from collections.abc import Mapping
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRET_FILE = "secret.key"  # noqa: S105 - a file's name
"""What the data folder keeps where SMARTFIN_SECRET_KEY is unset."""


class Mode(StrEnum):
    """Which world is served. The two never share a row or a key."""

    SANDBOX = "sandbox"
    LIVE = "live"


class Role(StrEnum):
    """What a process does."""

    ALL = "all"
    API = "api"


def _url(expected: str, *schemes: str) -> AfterValidator:
    """A URL with one of these schemes and, for each of its hosts, a port that is a number or none."""

    def check(value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        try:
            url = urlsplit(value.get_secret_value())
            # PostgreSQL's may name several hosts, with a comma between them.
            _ports = [urlsplit(f"//{host}").port for host in url.netloc.rpartition("@")[2].split(",")]
        except ValueError:  # it would quote the value
            raise ValueError(f"expected {expected}") from None
        if url.scheme not in schemes:
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


_DATABASE_URL = _url("postgresql://user:password@host:port/database", "postgresql", "postgres")
_REDIS_URL = _url("redis://host:port/0, rediss://… or unix:///path", "redis", "rediss", "unix")
_SMTP_URL = _url("smtp://user:password@host:587 or smtps://…:465", "smtp", "smtps")
_WEB_URL = _url("https://host/path", "https", "http")


def _unless_production(settings: dict[str, Any]) -> bool:
    return not settings.get("production", False)


def _json_in_production(settings: dict[str, Any]) -> Literal["text", "json"]:
    return "json" if settings.get("production", False) else "text"


def _archive_url(value: str | None) -> str | None:
    if value is not None and "://" in value and value.split("://")[0] not in ("s3", "gs", "az", "abfss"):
        raise ValueError("expected a folder, s3://bucket/folder, gs://… or az://…")
    return value


_LICENCE = re.compile(r"([a-z]+):(guest|registered|vip|admin)=(?:barred|delayed:([0-9]{1,5}))")
LONGEST_DELAY_S = 86_400


def _licences(value: str | None) -> str | None:
    rules = _licence_rules(value)
    if len({rule[:2] for rule in rules}) < len(rules):
        raise ValueError("a source has two licences for one tier")
    if any(not 1 <= delay_s <= LONGEST_DELAY_S for *_, delay_s in rules if delay_s != inf):
        raise ValueError(f"a delay is 1 to {LONGEST_DELAY_S} seconds")
    return value


def _licence_rules(value: str | None) -> list[tuple[str, str, float]]:
    rules = []
    for text in filter(None, (value or "").replace(" ", "").split(",")):
        if (rule := _LICENCE.fullmatch(text)) is None:
            raise ValueError(f"expected source:tier=barred or source:tier=delayed:seconds, and not {text}")
        rules.append((rule[1], rule[2], float(rule[3]) if rule[3] else inf))
    return rules


def _jwks_url(value: str | None, told: ValidationInfo) -> str | None:
    if value is not None and not value.startswith(("https://", "http://")):
        raise ValueError("expected https://…")
    if value is not None and not (told.data.get("token_issuer") and told.data.get("token_audience")):
        raise ValueError("it takes SMARTFIN_TOKEN_ISSUER and SMARTFIN_TOKEN_AUDIENCE too")
    return value


class Settings(BaseSettings):
    """What the environment, or a file `.env` in the working directory, says; a DSN never shows in a repr."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", populate_by_name=True, frozen=True
    )

    mode: Mode = Field(
        Mode.SANDBOX,
        alias="SMARTFIN_MODE",
        description="`sandbox` serves a make-believe exchange, every value marked synthetic; `live` serves real data.",
    )
    data_dir: Path = Field(
        Path(".smartfin"),
        alias="SMARTFIN_DATA_DIR",
        description="Folder of the PostgreSQL and Valkey that SmartFin runs itself.",
    )
    database_url: Annotated[SecretStr | None, _DATABASE_URL] = Field(
        None,
        alias="DATABASE_URL",
        description="Your own PostgreSQL (16 or newer); unset: one is run in the data folder.",
    )
    redis_url: Annotated[SecretStr | None, _REDIS_URL] = Field(
        None,
        alias="REDIS_URL",
        description="Your own Redis (7 or newer) or Valkey; unset: one is run in the data folder.",
    )
    archive_url: Annotated[str | None, AfterValidator(_archive_url)] = Field(
        None,
        alias="SMARTFIN_ARCHIVE_URL",
        min_length=1,
        description="Folder or object store (`s3://…`, `gs://…`, `az://…`) that keeps archived months of bars.",
    )
    host: str = Field("127.0.0.1", alias="SMARTFIN_HOST", description="Address to listen on.")
    port: int = Field(8000, alias="SMARTFIN_PORT", ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(
        1, alias="SMARTFIN_WORKERS", ge=1, le=64, description="Processes of `smartfin serve` that answer clients."
    )
    role: Role = Field(
        Role.ALL,
        alias="SMARTFIN_ROLE",
        description="`all` answers clients, collects ticks and does jobs; `api` answers clients only.",
    )
    production: bool = Field(
        False,
        alias="SMARTFIN_PRODUCTION",
        description="On: introspection, suggestions, GraphiQL and documents' text by GET are off unless set by name.",
    )
    introspection: bool = Field(
        default_factory=_unless_production,
        alias="SMARTFIN_INTROSPECTION",
        description="Whether `__schema` and `__type` are answered.",
    )
    suggestions: bool = Field(
        default_factory=_unless_production,
        alias="SMARTFIN_SUGGESTIONS",
        description="Whether errors suggest names of the schema.",
    )
    graphiql: bool = Field(
        default_factory=_unless_production,
        alias="SMARTFIN_GRAPHIQL",
        description="Whether a browser is shown GraphiQL.",
    )
    text_by_get: bool = Field(
        default_factory=_unless_production,
        alias="SMARTFIN_TEXT_BY_GET",
        description="Whether GET may carry the text of a document; by hash or id it always may.",
    )
    documents_only: bool = Field(
        False,
        alias="SMARTFIN_DOCUMENTS_ONLY",
        description="On: only documents that `smartfin documents` published are served.",
    )
    document_cache_count: int = Field(
        1000,
        alias="SMARTFIN_DOCUMENT_CACHE_COUNT",
        ge=1,
        le=1_000_000,
        description="Parsed documents that each process keeps.",
    )
    document_cache_bytes: int = Field(
        16_777_216,
        alias="SMARTFIN_DOCUMENT_CACHE_BYTES",
        ge=65_536,
        le=17_179_869_184,
        description="Memory that the parsed documents of a process may take, about.",
    )
    max_body_bytes: int = Field(
        131_072,
        alias="SMARTFIN_MAX_BODY_BYTES",
        ge=1024,
        le=16_777_216,
        description="Bytes of a request's body, or of the query string of a GET (65535 with its path at most).",
    )
    max_document_length: int = Field(
        32_768,
        alias="SMARTFIN_MAX_DOCUMENT_LENGTH",
        ge=256,
        le=4_194_304,
        description="Characters of a document.",
    )
    max_tokens: int = Field(
        4000, alias="SMARTFIN_MAX_TOKENS", ge=16, le=1_000_000, description="Words and signs of a document."
    )
    max_comments: int = Field(
        100, alias="SMARTFIN_MAX_COMMENTS", ge=0, le=1_000_000, description="Comments of a document."
    )
    max_directives: int = Field(
        30, alias="SMARTFIN_MAX_DIRECTIVES", ge=0, le=100_000, description="Directives of a document."
    )
    max_depth: int = Field(
        12,
        alias="SMARTFIN_MAX_DEPTH",
        ge=1,
        le=100,
        description="Fields within each other; introspection has a limit of its own.",
    )
    max_fields: int = Field(
        1500,
        alias="SMARTFIN_MAX_FIELDS",
        ge=1,
        le=1_000_000,
        description="Fields of an operation, those of a fragment at each place that spreads it.",
    )
    max_root_fields: int = Field(
        20, alias="SMARTFIN_MAX_ROOT_FIELDS", ge=1, le=10_000, description="Questions of an operation."
    )
    max_aliases: int = Field(60, alias="SMARTFIN_MAX_ALIASES", ge=0, le=100_000, description="Aliases of an operation.")
    max_repeats: int = Field(
        20,
        alias="SMARTFIN_MAX_REPEATS",
        ge=0,
        le=100_000,
        description="Fields of an operation that were selected beside them already.",
    )
    max_variables_bytes: int = Field(
        32_768,
        alias="SMARTFIN_MAX_VARIABLES_BYTES",
        ge=256,
        le=16_777_216,
        description="Bytes of the variables as JSON.",
    )
    max_list_items: int = Field(
        200,
        alias="SMARTFIN_MAX_LIST_ITEMS",
        ge=1,
        le=1_000_000,
        description="Items of a list among arguments or variables.",
    )
    max_cost: int = Field(
        1000,
        alias="SMARTFIN_MAX_COST",
        ge=1,
        le=1_000_000_000,
        description="What the fields of an operation may cost: a quote 1, a history 10, an indicator 1.",
    )
    request_timeout_seconds: float = Field(
        30,
        alias="SMARTFIN_REQUEST_TIMEOUT_SECONDS",
        gt=0,
        le=3600,
        description="Seconds until a request that is not answered is given up.",
    )
    drain_seconds: float = Field(
        0,
        alias="SMARTFIN_DRAIN_SECONDS",
        ge=0,
        le=300,
        description="Seconds that a server told to end still lets clients in, for balancers that watch `/readyz`.",
    )
    compress_from_bytes: int = Field(
        4096,
        alias="SMARTFIN_COMPRESS_FROM_BYTES",
        ge=1,
        le=1_073_741_824,
        description="Answers of so many bytes are compressed (gzip) for clients that take it.",
    )
    secret_key: SecretStr | None = Field(
        None,
        alias="SMARTFIN_SECRET_KEY",
        min_length=32,
        description="Seals sources' keys and signs tokens, alike in all processes; unset: made in the data folder.",
    )
    token_issuer: str | None = Field(
        None,
        alias="SMARTFIN_TOKEN_ISSUER",
        min_length=1,
        description="Identity provider whose tokens are good: `iss`.",
    )
    token_audience: str | None = Field(
        None, alias="SMARTFIN_TOKEN_AUDIENCE", min_length=1, description="Whom its tokens must be for: `aud`."
    )
    jwks_url: Annotated[str | None, AfterValidator(_jwks_url)] = Field(
        None,
        alias="SMARTFIN_JWKS_URL",
        description="Where it publishes its keys (RS256, ES256, EdDSA); needs the two above.",
    )
    tier_claim: str = Field(
        "smartfin_tier",
        alias="SMARTFIN_TIER_CLAIM",
        min_length=1,
        description="Claim of its tokens that names the tier, alone or in a list; without it the user's row counts.",
    )
    sign_up: bool = Field(
        True, alias="SMARTFIN_SIGN_UP", description="Whether anybody may make an account; those there are may sign in."
    )
    access_token_seconds: int = Field(
        900,
        alias="SMARTFIN_ACCESS_TOKEN_SECONDS",
        ge=10,
        le=86_400,
        description="Seconds that the access token of a session is good; `refreshSession` gives the next.",
    )
    session_days: int = Field(
        30,
        alias="SMARTFIN_SESSION_DAYS",
        ge=1,
        le=3650,
        description="Days that a session lasts without `refreshSession`.",
    )
    database_pool_size: int = Field(
        10, alias="SMARTFIN_DATABASE_POOL_SIZE", ge=1, le=200, description="PostgreSQL connections of each process."
    )
    keep_quotes_days: int = Field(
        400,
        alias="SMARTFIN_KEEP_QUOTES_DAYS",
        ge=7,
        le=36_500,
        description="Days that quotes are kept in PostgreSQL, and until their month is over; bars are kept for good.",
    )
    keep_quarantine_days: int = Field(
        90,
        alias="SMARTFIN_KEEP_QUARANTINE_DAYS",
        ge=1,
        le=36_500,
        description="Days that values which were set aside as impossible are kept in PostgreSQL.",
    )
    quote_fresh_seconds: float = Field(
        30,
        alias="SMARTFIN_QUOTE_FRESH_SECONDS",
        gt=0,
        le=3600,
        description="Seconds that a cached quote counts as fresh.",
    )
    quote_keep_seconds: int = Field(
        86400,
        alias="SMARTFIN_QUOTE_KEEP_SECONDS",
        ge=60,
        le=31_536_000,
        description="Seconds that a cached quote is kept, to be served marked STALE if no source answers.",
    )
    origins: str | None = Field(
        None,
        alias="SMARTFIN_ORIGINS",
        description="Origins of the pages that may ask here from a browser, with commas, beside our own; `*` is any.",
    )
    websocket_backlog_bytes: int = Field(
        1_000_000,
        alias="SMARTFIN_WEBSOCKET_BACKLOG_BYTES",
        ge=100_000,
        le=100_000_000,
        description="Bytes that may wait for a slow WebSocket client; over that it is closed (1013) and may come back.",
    )
    websocket_messages_per_second: int = Field(
        100,
        alias="SMARTFIN_WEBSOCKET_MESSAGES_PER_SECOND",
        ge=1,
        le=10_000,
        description="Messages that a WebSocket client may send in a second; over that it is closed (4429).",
    )
    rate_limit: Literal["on", "off"] = Field(
        "on", alias="SMARTFIN_RATE_LIMIT", description="`off`: nobody has a budget; for benchmarks."
    )
    guest_budget: int = Field(
        10_000,
        alias="SMARTFIN_GUEST_BUDGET",
        ge=1,
        le=1_000_000_000,
        description="What the operations of a guest's address may cost in a minute.",
    )
    registered_budget: int = Field(
        20_000,
        alias="SMARTFIN_REGISTERED_BUDGET",
        ge=1,
        le=1_000_000_000,
        description="What those of a user of the tier REGISTERED may cost in a minute.",
    )
    vip_budget: int = Field(
        100_000,
        alias="SMARTFIN_VIP_BUDGET",
        ge=1,
        le=1_000_000_000,
        description="What those of a user of the tier VIP may cost in a minute.",
    )
    admin_budget: int = Field(
        1_000_000,
        alias="SMARTFIN_ADMIN_BUDGET",
        ge=1,
        le=1_000_000_000,
        description="What those of an admin may cost in a minute.",
    )
    guest_subscriptions: int = Field(
        10,
        alias="SMARTFIN_GUEST_SUBSCRIPTIONS",
        ge=1,
        le=1000,
        description="Operations that a guest may have under way on one WebSocket, or from an address as event streams.",
    )
    registered_subscriptions: int = Field(
        50,
        alias="SMARTFIN_REGISTERED_SUBSCRIPTIONS",
        ge=1,
        le=1000,
        description="Those that a user of the tier REGISTERED may have on one WebSocket, or as event streams.",
    )
    vip_subscriptions: int = Field(
        50,
        alias="SMARTFIN_VIP_SUBSCRIPTIONS",
        ge=1,
        le=1000,
        description="Those that a user of the tier VIP may have.",
    )
    admin_subscriptions: int = Field(
        50,
        alias="SMARTFIN_ADMIN_SUBSCRIPTIONS",
        ge=1,
        le=1000,
        description="Those that an admin may have.",
    )
    guest_symbols: int = Field(
        100,
        alias="SMARTFIN_GUEST_SYMBOLS",
        ge=1,
        le=100_000,
        description="Symbols that all subscriptions of a guest together may watch on one WebSocket, or from an address"
        " as event streams; one counts each time that it is named.",
    )
    registered_symbols: int = Field(
        500,
        alias="SMARTFIN_REGISTERED_SYMBOLS",
        ge=1,
        le=100_000,
        description="Those that a user of the tier REGISTERED may watch on one WebSocket, or as event streams.",
    )
    vip_symbols: int = Field(
        2000,
        alias="SMARTFIN_VIP_SYMBOLS",
        ge=1,
        le=100_000,
        description="Those that a user of the tier VIP may watch.",
    )
    admin_symbols: int = Field(
        5000, alias="SMARTFIN_ADMIN_SYMBOLS", ge=1, le=100_000, description="Those that an admin may watch."
    )
    alerts_per_user: int = Field(
        500, alias="SMARTFIN_ALERTS_PER_USER", ge=1, description="Alerts that a user may have."
    )
    watchlists_per_user: int = Field(
        20,
        alias="SMARTFIN_WATCHLISTS_PER_USER",
        ge=1,
        le=1000,
        description="Watchlists that a user may have, each of 100 symbols at most.",
    )
    smtp_url: Annotated[SecretStr | None, _SMTP_URL] = Field(
        None,
        alias="SMARTFIN_SMTP_URL",
        description="Mail server: `smtp://user:password@host:587` (STARTTLS) or `smtps://…:465`; unset: no e-mails.",
    )
    mail_from: str = Field("smartfin@localhost", alias="SMARTFIN_MAIL_FROM", description="Sender of e-mails.")
    sms_url: Annotated[SecretStr | None, _WEB_URL] = Field(
        None,
        alias="SMARTFIN_SMS_URL",
        description="HTTP gateway that is posted `to` and `text` as JSON; unset: no SMS.",
    )
    sms_key: SecretStr | None = Field(
        None, alias="SMARTFIN_SMS_KEY", description="What the SMS gateway gets as `Authorization: Bearer`."
    )
    webhook_hosts: str | None = Field(
        None,
        alias="SMARTFIN_WEBHOOK_HOSTS",
        description="Hosts that webhooks may reach though they are in a private network, with commas.",
    )
    sandbox_seed: int = Field(
        1, alias="SMARTFIN_SANDBOX_SEED", ge=0, le=2**32 - 1, description="The same seed gives the same sandbox market."
    )
    sandbox_ticks_per_second: float = Field(
        1,
        alias="SMARTFIN_SANDBOX_TICKS_PER_SECOND",
        ge=0.1,
        le=1000,
        description="Ticks per second of each sandbox symbol that somebody watches.",
    )
    cross_check_share: float = Field(
        0.01,
        alias="SMARTFIN_CROSS_CHECK_SHARE",
        ge=0,
        le=1,
        description="Share of the quotes from sources that a second source is asked for too, to compare them.",
    )
    sources: str | None = Field(
        None,
        alias="SMARTFIN_SOURCES",
        description="Names of the sources to use in live mode, with commas; unset: all that need no key or have one.",
    )
    licences: Annotated[str | None, AfterValidator(_licences)] = Field(
        None,
        alias="SMARTFIN_LICENCES",
        description="What a tier and those below do not get of a source, or get so many seconds late, with commas:"
        " `polygon:guest=barred,yahoo:registered=delayed:900`.",
    )
    alphavantage_api_key: SecretStr | None = Field(
        None, alias="ALPHAVANTAGE_API_KEY", description="Turns the source Alpha Vantage on."
    )
    polygon_api_key: SecretStr | None = Field(
        None, alias="POLYGON_API_KEY", description="Turns the source Massive (formerly Polygon) on."
    )
    alphavantage_requests_per_minute: int | None = Field(
        None,
        alias="ALPHAVANTAGE_REQUESTS_PER_MINUTE",
        ge=1,
        le=100_000,
        description="What a paid plan of Alpha Vantage allows (75 to 1200); unset: the free one, 25 a day.",
    )
    polygon_requests_per_minute: int | None = Field(
        None,
        alias="POLYGON_REQUESTS_PER_MINUTE",
        ge=1,
        le=100_000,
        description="What to ask of a paid plan of Massive, which advises 6000 at most; unset: the free one, 5.",
    )
    yahoo_url: str = Field("https://query1.finance.yahoo.com", alias="SMARTFIN_YAHOO_URL", description="Yahoo's API.")
    yahoo_cookie_url: str = Field(
        "https://fc.yahoo.com", alias="SMARTFIN_YAHOO_COOKIE_URL", description="Where Yahoo hands out its cookie."
    )
    yahoo_ws_url: str = Field(
        "wss://streamer.finance.yahoo.com", alias="SMARTFIN_YAHOO_WS_URL", description="Yahoo's stream."
    )
    alphavantage_url: str = Field(
        "https://www.alphavantage.co", alias="SMARTFIN_ALPHAVANTAGE_URL", description="Alpha Vantage's API."
    )
    polygon_url: str = Field("https://api.massive.com", alias="SMARTFIN_POLYGON_URL", description="Massive's API.")
    polygon_ws_url: str = Field(
        "wss://delayed.massive.com",
        alias="SMARTFIN_POLYGON_WS_URL",
        description="Massive's stream; `wss://socket.massive.com` where the plan is real time.",
    )
    binance_url: str = Field(
        "https://data-api.binance.vision", alias="SMARTFIN_BINANCE_URL", description="Binance's market-data API."
    )
    binance_ws_url: str = Field(
        "wss://data-stream.binance.vision", alias="SMARTFIN_BINANCE_WS_URL", description="Binance's stream."
    )
    kraken_url: str = Field("https://api.kraken.com", alias="SMARTFIN_KRAKEN_URL", description="Kraken's API.")
    kraken_ws_url: str = Field("wss://ws.kraken.com", alias="SMARTFIN_KRAKEN_WS_URL", description="Kraken's stream.")
    metrics: bool = Field(
        default_factory=_unless_production,
        alias="SMARTFIN_METRICS",
        description="Whether `/metrics` is answered on the port of clients; with several workers it never is.",
    )
    metrics_port: int | None = Field(
        None,
        alias="SMARTFIN_METRICS_PORT",
        ge=1,
        le=65535,
        description="Port of `/metrics` alone, for each process; the workers of one take those that follow too.",
    )
    otlp_endpoint: str | None = Field(
        None,
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        min_length=1,
        description="Where traces go (OTLP over HTTP), `http://localhost:4318`; unset: nothing is traced.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="SMARTFIN_LOG_LEVEL", description="Least level that is logged; of libraries, only warnings are."
    )
    log_format: Literal["text", "json"] = Field(
        default_factory=_json_in_production,
        alias="SMARTFIN_LOG_FORMAT",
        description="How lines are logged: `text`, or `json` with an object a line.",
    )

    @property
    def allowed_origins(self) -> frozenset[str]:
        """The origins of SMARTFIN_ORIGINS, as browsers write them; `*` among them is any."""
        texts = (origin.strip().rstrip("/").lower() for origin in (self.origins or "").split(","))
        return frozenset(filter(None, texts))

    @property
    def licence_rules(self) -> list[tuple[str, str, float]]:
        """What SMARTFIN_LICENCES says: source, tier in lower case, delay in seconds; infinity where it is barred."""
        return _licence_rules(self.licences)

    @property
    def secrets(self) -> list[str]:
        """All that must never be shown, in the clear."""
        values = (getattr(self, name) for name in Settings.model_fields)
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]

    @property
    def allowed_webhook_hosts(self) -> frozenset[str]:
        """The hosts of SMARTFIN_WEBHOOK_HOSTS, in lower case."""
        return frozenset(filter(None, (self.webhook_hosts or "").replace(" ", "").lower().split(",")))

    @property
    def api_keys(self) -> dict[str, str]:
        """The keys of sources that are set, in the clear, by the source's name."""
        fields = {"alphavantage": self.alphavantage_api_key, "polygon": self.polygon_api_key}
        return {source: key.get_secret_value() for source, key in fields.items() if key is not None}

    def key_variable(self, source: str) -> str | None:
        """The variable that sets the key of a source; None for one that needs none."""
        field = type(self).model_fields.get(f"{source}_api_key")
        return field.alias if field else None

    @property
    def requests_per_minute(self) -> dict[str, int]:
        """What the paid plans allow, by the source's name; the others have the free one."""
        told = {"alphavantage": self.alphavantage_requests_per_minute, "polygon": self.polygon_requests_per_minute}
        return {source: count for source, count in told.items() if count is not None}

    def with_api_keys(self, keys: Mapping[str, str]) -> "Settings":
        """The same, with keys of sources where they are unset here."""
        update = {f"{source}_api_key": SecretStr(key) for source, key in keys.items() if source not in self.api_keys}
        return self.model_copy(update=update)

    def allows(self, source: str) -> bool:
        """Whether SMARTFIN_SOURCES leaves the source in."""
        return self.sources is None or source in self.sources.replace(" ", "").split(",")

    @property
    def database_dsn(self) -> str | None:
        """DATABASE_URL, in the clear."""
        return self.database_url.get_secret_value() if self.database_url else None

    @property
    def redis_dsn(self) -> str | None:
        """REDIS_URL, in the clear."""
        return self.redis_url.get_secret_value() if self.redis_url else None


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process; an override whose value is None counts as not given.

    Raises ValueError with one line for each bad variable, naming it and never showing a secret.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        names = {name: str(field.alias) for name, field in Settings.model_fields.items()}
        lines = []
        for fault in error.errors(include_url=False, include_context=False):
            if fault["type"] == "default_factory_not_called":  # its default depends on what is wrong elsewhere
                continue
            variable = names.get(str(fault["loc"][0]), str(fault["loc"][0]))
            shown = "" if variable.endswith(("_URL", "_KEY")) else f" (got {fault['input']!r})"
            lines.append(f"{variable}: {fault['msg'].removeprefix('Value error, ')}{shown}")
        raise ValueError("\n".join(lines)) from None
