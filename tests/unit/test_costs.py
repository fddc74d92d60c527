import json

import pytest

from coop.costs import price_of, read_prices, text_cost, transcription_cost
from coop.settings import Settings, SettingsError


def test_a_minute_of_whisper_costs_what_the_table_says():
    cost = transcription_cost("whisper-1", 30, Settings())

    assert cost == pytest.approx(0.003)


def test_a_model_priced_by_tokens_costs_its_tokens_whatever_the_length():
    cost = transcription_cost("gpt-4o-transcribe", 30, Settings(), input_tokens=1000, output_tokens=100)

    assert cost == pytest.approx(0.0025 + 0.001)


def test_a_model_priced_by_tokens_has_no_known_cost_when_no_tokens_were_counted():
    assert transcription_cost("gpt-4o-transcribe", 30, Settings()) is None


def test_input_and_output_tokens_have_prices_of_their_own():
    cost = text_cost("gpt-6-luna", 2_000_000, 1_000_000, Settings())

    assert cost == pytest.approx(0.2 + 0.5)


def test_a_dated_version_costs_what_its_model_costs():
    assert price_of("gpt-6-luna-2026-09-22", Settings()) == price_of("gpt-6-luna", Settings())


@pytest.mark.parametrize("model", ["llama3.3", "gpt-99", ""])
def test_an_unknown_model_costs_an_unknown_sum_and_never_nothing(model):
    assert text_cost(model, 1000, 1000, Settings()) is None
    assert transcription_cost(model, 60, Settings()) is None


def test_a_text_model_is_not_priced_by_the_minute_of_another_kind():
    assert text_cost("whisper-1", 1000, 1000, Settings()) is None


def test_the_operators_prices_replace_the_table():
    settings = Settings(transcribe_usd_per_minute=0.6, text_usd_per_million_input=10, text_usd_per_million_output=20)

    assert transcription_cost("whisper-1", 10, settings) == pytest.approx(0.1)
    assert text_cost("llama3.3", 100_000, 100_000, settings) == pytest.approx(3)


def test_a_price_of_0_is_free_and_not_unset():
    settings = Settings(transcribe_usd_per_minute=0, text_usd_per_million_input=0, text_usd_per_million_output=0)

    assert transcription_cost("whisper-1", 600, settings) == 0
    assert text_cost("gpt-6-luna", 1000, 1000, settings) == 0


def test_one_own_text_price_leaves_the_other_to_the_table():
    cost = text_cost("gpt-6-luna", 1_000_000, 1_000_000, Settings(text_usd_per_million_input=7))

    assert cost == pytest.approx(7.5)


def test_every_packaged_price_names_its_source_and_date():
    for model, price in read_prices().items():
        assert price.source.startswith("https://"), model
        assert price.date >= "2026-09-22", model


def test_the_default_models_have_a_price():
    settings = Settings()

    assert price_of(settings.transcribe_model, settings)
    assert price_of(settings.text_model, settings)


def test_an_own_price_file_replaces_its_entries_and_keeps_the_others(tmp_path):
    own = tmp_path / "prices.json"
    own.write_text(json.dumps({"whisper-1": {"usd_per_minute": 1, "source": "contract", "date": "2026-11-01"}}))
    settings = Settings(prices_file=own)

    assert transcription_cost("whisper-1", 60, settings) == 1
    assert text_cost("gpt-6-luna", 1_000_000, 0, settings) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "the file: Invalid JSON"),
        ('{"m": {"usd_per_minute": -1, "source": "x", "date": "2026-11-01"}}', "m.usd_per_minute"),
        ('{"m": {"usd_per_minuet": 1, "source": "x", "date": "2026-11-01"}}', "m.usd_per_minuet"),
        ('{"m": {"source": "x", "date": "2026-11-01"}}', "m: Value error, takes usd_per_minute"),
        ('{"m": {"usd_per_million_input": 1, "source": "x", "date": "2026-11-01"}}', "together"),
        ('{"m": {"usd_per_minute": 1, "date": "2026-11-01"}}', "m.source"),
    ],
)
def test_a_wrong_price_file_is_refused_with_its_place(tmp_path, content, complaint):
    own = tmp_path / "prices.json"
    own.write_text(content)

    with pytest.raises(SettingsError, match="COOP_PRICES_FILE") as refusal:
        read_prices(own)

    assert complaint in str(refusal.value)


def test_a_price_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"COOP_PRICES_FILE: .* cannot be read"):
        read_prices(tmp_path / "absent.json")
