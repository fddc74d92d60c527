"""Every setting of coop, read once from the environment and `.env`.

One field per setting: its name upper-cased (with `COOP_` in front unless an alias says otherwise) is the
environment variable, its description is what `coop settings` and `docs/configuration.md` print. A value
that makes no sense, or a `COOP_` variable that does not exist, is refused with its name.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

import platformdirs
from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from coop.jobs import Stage
from coop.redis_address import sentinel_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """A setting is wrong; the message names the variable and what it takes."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _parsed(url: str, schemes: tuple[str, ...]) -> SplitResult:
    """The messages leave the address out: it may hold a password."""
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, a bracket without its fellow
        is_complete = False
    if not is_complete:
        forms = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(f"takes an address that begins with {forms} and names a host")
    return parts


def _http_address(url: str) -> str:
    parts = _parsed(url, ("http", "https"))
    if parts.query or parts.fragment:
        raise ValueError("takes an address without ? and #: paths are appended to it")
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("takes an address in ASCII: other letters as xn-- in the host, as %XX in the path")
    return url


def _redis_address(url: SecretStr) -> SecretStr:
    if sentinel_address(url.get_secret_value()):
        return url
    parts = _parsed(url.get_secret_value(), ("redis", "rediss", "sentinel"))
    if not re.fullmatch(r"(/\d*)?", parts.path):
        raise ValueError("takes the number of a database as its path")
    return url


HttpAddress = Annotated[str, AfterValidator(_http_address)]
RedisAddress = Annotated[SecretStr, AfterValidator(_redis_address)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_split)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], BeforeValidator(_split)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
ComputeType = Literal[
    "default",
    "auto",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
    "float32",
]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """The settings of one process: frozen, typed, validated."""

    # inf and nan are numbers to Python, and no age, price or deadline.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Where things are
    redis_url: RedisAddress | None = Field(
        None,
        description="Redis of the fleet (redis://, rediss:// or sentinel://HOST,HOST/0?service=NAME). Unset: `coop up`"
        " runs an embedded one, and the other commands find it through COOP_DATA_DIR.",
    )
    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("coop", appauthor=False)),
        description="Folder for the embedded Redis, the local client and work in progress.",
    )
    host: str = Field("127.0.0.1", description="Address the gateway listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port the gateway listens on.")
    public_url: HttpAddress | None = Field(
        None, description="Address callers reach the gateway at. Unset: http://HOST:PORT."
    )
    tls_cert: Path | None = Field(
        None, description="Certificate chain (PEM) the gateway serves HTTPS with; read anew when the file changes."
    )
    tls_key: Path | None = Field(None, description="Private key (PEM) of COOP_TLS_CERT.")
    trusted_proxies: Networks = Field(
        (),
        description="CIDRs of the proxies before the gateway, comma-separated; only their X-Forwarded-For is believed.",
    )
    gateway_processes: int = Field(
        1, ge=1, le=64, description="Processes of the gateway, which share its port; each takes about 90 MB."
    )
    gateway_threads: int = Field(
        320,
        ge=4,
        le=4096,
        description="Requests a process of the gateway serves at once; each held `Prefer: wait` or event stream takes"
        " one.",
    )
    api_key: SecretStr | None = Field(
        None, description="Key `coop submit` calls the gateway with. Unset: that of the client `coop up` registered."
    )
    signing_secret: SecretStr | None = Field(None, description="Secret that goes with COOP_API_KEY (whsec_...).")
    machine: str = Field(default_factory=socket.gethostname, description="Name of this machine in job documents.")
    slots: int = Field(
        default_factory=lambda: max(4, os.cpu_count() or 1),
        ge=1,
        le=512,
        description="Stages one worker runs at once.",
    )

    # What is accepted
    allow_networks: Networks = Field(
        (), description="CIDRs that may be reached although they are private; empty in production."
    )
    allow_ports: Ports = Field(
        (80, 443, 8080, 8443),
        description="Ports of public hosts that sources and callbacks may be reached at, comma-separated."
        " COOP_ALLOW_NETWORKS are open at any.",
    )
    sites: Names = Field(
        (),
        description="Sources that are taken: `all`, or yt-dlp extractor names, comma-separated. Unset: every site that"
        " yt-dlp has an extractor of its own for.",
    )
    max_duration_seconds: int = Field(600, ge=1, description="Longest video that is taken, in seconds.")
    max_media_bytes: int = Field(200 * 2**20, ge=1024, description="Largest media file that is downloaded, in bytes.")
    max_queue: int = Field(200_000, ge=1, description="Jobs that may wait at once before `queue_full`.")
    max_queue_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of COOP_MAX_QUEUE that each client may have waiting also when others have filled the queue.",
    )
    rate: int = Field(
        60_000,
        ge=1,
        description="Requests a minute that a client may make at each route, unless `coop client add --rate` says less"
        " or more.",
    )
    max_wait_seconds: int = Field(120, ge=0, description="Longest hold that `Prefer: wait` is given, in seconds.")
    retention_days: float = Field(7, gt=0, description="How long ended jobs are kept, in days.")

    cache_days: float = Field(
        1,
        ge=0,
        le=365,
        description="How long a client that sends the same video again, with the same options and engines, is given"
        " what was found the first time, in days. 0: never.",
    )
    cache_results: int = Field(10_000, ge=1, description="Results that are kept for that at most, about 6 KiB each.")

    # Reliability
    lease_seconds: float = Field(
        30, ge=1, description="How long a running stage may be silent before another worker takes its job."
    )
    shutdown_seconds: float = Field(30, ge=0, description="What a stopping worker gives the stages that still run.")
    job_max_age_seconds: Seconds = Field(
        24 * 3600, description="A job that has not ended this long after its acceptance fails with `timed_out`."
    )
    audio_ttl_seconds: int = Field(
        24 * 3600, ge=60, description="How long audio waits in Redis for the next stage, at the longest."
    )
    metadata_deadline_seconds: Seconds = Field(60, description="Deadline of the stage metadata, in seconds.")
    download_deadline_seconds: Seconds = Field(180, description="Deadline of the stage download, in seconds.")
    transcribe_deadline_seconds: Seconds = Field(600, description="Deadline of the stage transcribe, in seconds.")
    analyze_deadline_seconds: Seconds = Field(120, description="Deadline of the stage analyze, in seconds.")
    ideas_deadline_seconds: Seconds = Field(120, description="Deadline of the stage ideas, in seconds.")
    deliver_deadline_seconds: Seconds = Field(20, description="Deadline of one callback attempt, in seconds.")
    socket_timeout_seconds: Seconds = Field(
        15, description="How long a video site may stay silent in the middle of an answer."
    )

    # Engines
    transcriber: Literal["auto", "openai", "local"] = Field(
        "auto", description="Who transcribes. `auto`: openai when there is a key, else local."
    )
    analyzer: Literal["auto", "openai", "offline"] = Field(
        "auto", description="Who analyses and has ideas. `auto`: openai when there is a key, else offline."
    )
    openai_api_key: SecretStr | None = Field(
        None, alias="OPENAI_API_KEY", description="Key of the OpenAI API or a compatible server."
    )
    openai_base_url: HttpAddress | None = Field(
        None, alias="OPENAI_BASE_URL", description="Address of a compatible server. Unset: OpenAI's own."
    )
    transcribe_api_key: SecretStr | None = Field(
        None, description="Key for transcription alone. Unset: OPENAI_API_KEY."
    )
    transcribe_base_url: HttpAddress | None = Field(
        None, description="Server for transcription alone. Unset: OPENAI_BASE_URL."
    )
    transcribe_model: str = Field("whisper-1", description="Model of the openai transcriber.")
    transcribe_timeout_seconds: Seconds = Field(120, description="Time one transcription request may take.")
    transcribe_usd_per_minute: float | None = Field(
        None, ge=0, description="Price of a minute of audio. Unset: the price table."
    )
    text_api_key: SecretStr | None = Field(None, description="Key for analysis and ideas alone. Unset: OPENAI_API_KEY.")
    text_base_url: HttpAddress | None = Field(
        None, description="Server for analysis and ideas alone. Unset: OPENAI_BASE_URL."
    )
    text_model: str = Field("gpt-6-luna", description="Model of the openai analyzer.")
    text_reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = Field(
        None, description="Reasoning that is asked of the text model. Unset: the model's own default."
    )
    text_timeout_seconds: Seconds = Field(60, description="Time one analysis or ideas request may take.")
    text_usd_per_million_input: float | None = Field(
        None, ge=0, description="Price of a million input tokens. Unset: the price table."
    )
    text_usd_per_million_output: float | None = Field(
        None, ge=0, description="Price of a million output tokens. Unset: the price table."
    )
    prices_file: Path | None = Field(
        None, description="JSON file in the form of coop/prices.json that replaces its entries."
    )
    whisper_model: str = Field(
        "auto",
        description="Model of the local transcriber, a name or a folder."
        " `auto`: the packaged tiny.en if installed, else small.",
    )
    whisper_device: Literal["auto", "cpu", "cuda"] = Field("cpu", description="Device of the local transcriber.")
    whisper_compute_type: ComputeType = Field("int8", description="Arithmetic of the local transcriber.")
    local_transcriptions: int = Field(1, ge=1, description="Local transcriptions at once on this machine.")
    ffmpeg: str | None = Field(None, description="ffmpeg to run. Unset: the packaged one, else the machine's.")

    # Operators
    flower_host: str = Field("127.0.0.1", description="Address Flower listens on.")
    flower_port: int = Field(5555, ge=0, le=65535, description="Port Flower listens on.")
    flower_basic_auth: SecretStr | None = Field(
        None,
        description="USER:PASSWORD of Flower. Unset: `coop up` makes one and prints it.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Form of the log. `auto`: coloured lines at a terminal, else JSON."
    )

    @field_validator("allow_networks", mode="after")
    @classmethod
    def _no_everything(cls, networks: tuple[Network, ...]) -> tuple[Network, ...]:
        if any(network.prefixlen == 0 for network in networks):
            raise ValueError("a network of all addresses would switch the egress rules off")
        return networks

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _not_everybody(cls, networks: tuple[Network, ...]) -> tuple[Network, ...]:
        if any(network.prefixlen == 0 for network in networks):
            raise ValueError("a network of all addresses would believe every caller")
        return networks

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("COOP_TLS_CERT and COOP_TLS_KEY go together")
        return self

    @field_validator("flower_basic_auth", mode="after")
    @classmethod
    def _user_and_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.fullmatch(r"[^:,\s]+:[^,\s]+", value.get_secret_value()):
            raise ValueError("takes USER:PASSWORD, without commas")
        return value

    @property
    def base_url(self) -> str:
        """Where callers reach the gateway, without a slash at the end."""
        scheme = "https" if self.tls_cert else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"{scheme}://{host}:{self.port}").rstrip("/")

    @property
    def transcription_engine(self) -> Literal["openai", "local"]:
        """Who transcribes, as `auto` decides."""
        if self.transcriber == "auto":
            return "openai" if self.transcribe_api_key or self.openai_api_key else "local"
        return self.transcriber

    @property
    def text_engine(self) -> Literal["openai", "offline"]:
        """Who analyses and has ideas, as `auto` decides."""
        if self.analyzer == "auto":
            return "openai" if self.text_api_key or self.openai_api_key else "offline"
        return self.analyzer

    def deadline_seconds(self, stage: Stage) -> float:
        return float(getattr(self, f"{stage}_deadline_seconds"))


def variable_of(name: str) -> str:
    """The environment variable of the field `name`."""
    return Settings.model_fields[name].alias or f"COOP_{name.upper()}"


VARIABLES: Mapping[str, str] = {variable_of(name): name for name in Settings.model_fields}


def read_settings(environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
    """Settings from `.env` and, above it, the environment. An empty value counts as unset.

    Raises SettingsError for a value that does not fit and for a `COOP_` variable that does not exist.
    """
    found: dict[str, str | None] = dict(dotenv_values(dotenv)) if dotenv and dotenv.is_file() else {}
    found.update(os.environ if environ is None else environ)
    given = {name: value for name, value in found.items() if value}
    unknown = sorted(name for name in given if name.startswith("COOP_") and name not in VARIABLES)
    if unknown:
        raise SettingsError(f"no such setting: {', '.join(unknown)}; `coop settings` lists them all")
    values: dict[str, Any] = {}
    for variable, name in VARIABLES.items():
        if variable in given:
            values[Settings.model_fields[name].alias or name] = given[variable]
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    """One line per wrong variable; the value is left out, for it may be a secret."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        if not problem["loc"]:  # about several variables, which the message names
            lines.append(problem["msg"])
            continue
        place = str(problem["loc"][0])
        variable = place if place in VARIABLES else variable_of(place)
        lines.append(f"{variable}: {problem['msg']}")
    return "; ".join(lines)
