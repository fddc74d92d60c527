"""What yt-dlp learnt in the stage metadata, on its way to the stage download: a page is not extracted twice."""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.stages.work import Work

ARTIFACT = "extraction"

# Sites sign media addresses for hours, some for a few minutes only.
_FRESH_SECONDS = 600.0


class Extraction(BaseModel):
    """`info`: as `workers.engines.ytdlp.extract` gives it; `machine` and `at` (Unix seconds): where and when."""

    model_config = ConfigDict(frozen=True)

    info: dict[str, Any]
    machine: str
    at: float

    @classmethod
    def of(cls, info: dict[str, Any], machine: str) -> Extraction:
        return cls(info=info, machine=machine, at=time.time())

    def is_usable(self, machine: str) -> bool:
        """Whether `machine` may still use it: media addresses are bound to who asked for them, and end."""
        return self.machine == machine and 0 <= time.time() - self.at < _FRESH_SECONDS


def save_extraction(work: Work, extraction: Extraction) -> None:
    work.artifacts.save(ARTIFACT, extraction.model_dump_json().encode())


def load_extraction(work: Work) -> dict[str, Any] | None:
    """The dictionary that the stage metadata left, if it may be used here and now."""
    content = work.artifacts.load(ARTIFACT)
    if content is None:
        return None
    try:
        extraction = Extraction.model_validate_json(content)
    except ValidationError:
        # Left by another version of the service: as good as none.
        return None
    return extraction.info if extraction.is_usable(work.settings.machine) else None
