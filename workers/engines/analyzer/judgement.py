"""What an analyzer answers."""

from __future__ import annotations

from dataclasses import dataclass

from coop.results import Emotion, EntryStyle, Structure

# The niche of a video that nothing is known of.
NO_NICHE = "general"


@dataclass(frozen=True)
class Judgement:
    """All of an Analysis that is judged, not measured. `hook` stands in the transcript, or is empty without speech."""

    hook: str
    entry_style: EntryStyle
    niche: str
    structure: Structure
    emotion: Emotion
