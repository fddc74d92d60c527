"""A setting that makes no sense is refused by its name, when a process starts."""

import pytest

from coop.settings import SettingsError, read_settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COOP_REDIS_URL", "localhost:6379"),
        ("COOP_REDIS_URL", "redis://"),
        ("COOP_REDIS_URL", "http://localhost:6379"),
        ("COOP_REDIS_URL", "redis://localhost:port"),
        ("COOP_REDIS_URL", "redis://localhost/jobs"),
        ("OPENAI_BASE_URL", "nonsense"),
        ("COOP_TRANSCRIBE_BASE_URL", "localhost:11434/v1"),
        ("COOP_TEXT_BASE_URL", "http://[::1/v1"),
        ("COOP_PUBLIC_URL", "http://"),
        ("COOP_PUBLIC_URL", "https://coop.example.org/?a=b"),
        ("COOP_PUBLIC_URL", "https://münchen.example"),
        ("COOP_PUBLIC_URL", "https://coop.example.org/a b"),
        ("COOP_WHISPER_DEVICE", "gpuu"),
        ("COOP_WHISPER_COMPUTE_TYPE", "int7"),
        ("COOP_RETENTION_DAYS", "inf"),
        ("COOP_LEASE_SECONDS", "nan"),
        ("COOP_TEXT_USD_PER_MILLION_INPUT", "inf"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        read_settings({variable: value}, None)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COOP_REDIS_URL", "redis://localhost"),
        ("COOP_REDIS_URL", "redis://:p%2Fw@localhost:6379/"),
        ("COOP_REDIS_URL", "rediss://user:password@redis.example.org:6380/0?ssl_ca_certs=/etc/ca.pem"),
        ("COOP_REDIS_URL", "sentinel://:password@one:26379,two:26379/0?service=coop"),
        ("OPENAI_BASE_URL", "http://[::1]:11434/v1"),
        ("COOP_PUBLIC_URL", "https://coop.example.org/videos/"),
        ("COOP_WHISPER_DEVICE", "cuda"),
        ("COOP_WHISPER_COMPUTE_TYPE", "int8_float16"),
    ],
)
def test_a_value_that_makes_sense_is_taken(variable: str, value: str) -> None:
    read_settings({variable: value}, None)


def test_a_refused_address_is_not_told_for_it_may_hold_a_password() -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"COOP_REDIS_URL": "redis://user:hush@localhost:x/0"}, None)

    assert "hush" not in str(refused.value)
