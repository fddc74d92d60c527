"""What a call of an engine costs, in US dollars: the operator's prices, else the price table.

`prices.json` beside this module holds, for each model, either `usd_per_minute` (of audio) or the pair
`usd_per_million_input` and `usd_per_million_output` (tokens), with the source and the date it was read. A file of the
same form named by COOP_PRICES_FILE replaces its entries. A model that is in neither has no known price: the cost is
None, never 0. Prices go by the model's name, whichever server answers: who runs a server of their own sets
COOP_TRANSCRIBE_USD_PER_MINUTE or COOP_TEXT_USD_PER_MILLION_INPUT and _OUTPUT, to 0 where it is free.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from coop.errors import JobError
from coop.results import Usage
from coop.settings import Settings, SettingsError

# Providers name a frozen version of a model with its date; it costs what the model costs.
_DATE_AT_END = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Price(BaseModel):
    """What one model costs. `date`: when `source` was read, ISO 8601."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd_per_minute: float | None = Field(None, ge=0)
    usd_per_million_input: float | None = Field(None, ge=0)
    usd_per_million_output: float | None = Field(None, ge=0)
    source: str = Field(min_length=1)
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    note: str | None = None

    @model_validator(mode="after")
    def _minutes_or_tokens(self) -> Self:
        tokens = (self.usd_per_million_input, self.usd_per_million_output)
        if any(price is None for price in tokens) and (self.usd_per_minute is None or tokens != (None, None)):
            raise ValueError("takes usd_per_minute, or usd_per_million_input and usd_per_million_output together")
        return self

    def of_tokens(self, input_tokens: int, output_tokens: int) -> float | None:
        if self.usd_per_million_input is None or self.usd_per_million_output is None:
            return None
        return (input_tokens * self.usd_per_million_input + output_tokens * self.usd_per_million_output) / 1_000_000


_TABLE = TypeAdapter(dict[str, Price])


def transcription_cost(
    model: str, seconds: float, settings: Settings, *, input_tokens: int | None = None, output_tokens: int | None = None
) -> float | None:
    """US dollars for `seconds` of audio, or for the tokens where the model is priced by tokens; None when unknown."""
    if settings.transcribe_usd_per_minute is not None:
        return settings.transcribe_usd_per_minute * seconds / 60
    price = price_of(model, settings)
    if price is None:
        return None
    if price.usd_per_minute is not None:
        return price.usd_per_minute * seconds / 60
    return None if input_tokens is None or output_tokens is None else price.of_tokens(input_tokens, output_tokens)


def text_cost(model: str, input_tokens: int, output_tokens: int, settings: Settings) -> float | None:
    """US dollars for the tokens of a text model; each price that the operator set replaces the table's."""
    listed = price_of(model, settings)
    input_price, output_price = settings.text_usd_per_million_input, settings.text_usd_per_million_output
    if listed is not None and input_price is None:
        input_price = listed.usd_per_million_input
    if listed is not None and output_price is None:
        output_price = listed.usd_per_million_output
    if input_price is None or output_price is None:
        return None
    return (input_tokens * input_price + output_tokens * output_price) / 1_000_000


@contextmanager
def charged_on_failure(spent: Sequence[Usage]) -> Iterator[None]:
    """A JobError out of here carries what was `spent` by then: an attempt that fails is paid for all the same."""
    try:
        yield
    except JobError as error:
        error.usage = (*spent, *error.usage)
        raise


def price_of(model: str, settings: Settings) -> Price | None:
    """The entry of the price table for `model` or, of a dated version, for the model it is a version of.

    Raises SettingsError when COOP_PRICES_FILE cannot be read or does not fit.
    """
    table = read_prices(settings.prices_file)
    return table.get(model) or table.get(_DATE_AT_END.sub("", model))


@functools.lru_cache(maxsize=4)
def read_prices(prices_file: Path | None = None) -> dict[str, Price]:
    """The price table, with the entries of `prices_file` in place of its own. Read once per process."""
    packaged = _TABLE.validate_json(Path(__file__).with_name("prices.json").read_bytes())
    return packaged if prices_file is None else packaged | _read_own(prices_file)


def _read_own(prices_file: Path) -> dict[str, Price]:
    try:
        return _TABLE.validate_json(prices_file.read_bytes())
    except OSError as error:
        raise SettingsError(f"COOP_PRICES_FILE: {prices_file} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise SettingsError(f"COOP_PRICES_FILE: {prices_file}: {place}: {problem['msg']}") from error
