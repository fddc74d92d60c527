"""Analysis and ideas by a server that speaks OpenAI's API: OpenAI itself, or any that COOP_TEXT_BASE_URL names."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError, WithJsonSchema

from coop.costs import charged_on_failure, text_cost
from coop.errors import JobError
from coop.results import Analysis, Emotion, EntryStyle, Idea, Structure, Tone, Usage
from coop.settings import Settings
from workers.engines.analyzer.judgement import NO_NICHE, Judgement
from workers.engines.analyzer.offline import niche_names
from workers.engines.analyzer.opening import first_sentence, quote_from_opening
from workers.engines.analyzer.outline import number_lines
from workers.engines.analyzer.strict_schema import strict_schema
from workers.engines.analyzer.subject import Subject
from workers.engines.deadline import Deadline
from workers.engines.openai_client import RawResponse, ask, text_endpoint
from workers.engines.plain_text import clean

PROMPT_VERSION = "v1"
_PROMPTS = Path(__file__).parents[2] / "prompts"
_FAILURE = "analysis_failed"
# The model is asked twice for a hook that stands in the transcript; then its first sentence will do.
_HOOK_TRIES = 2
_MAX_NICHE_CHARS = 40
_MAX_TITLE_CHARS = 120
_MAX_LINE_CHARS = 300
_SUGGESTED_SECONDS = (5, 600)

Message = dict[str, str]
Answer = TypeVar("Answer", bound=BaseModel)
Judged = TypeVar("Judged", EntryStyle, Structure)


def _spoken(value: Judged) -> Judged:
    if value == "no speech":
        raise ValueError("somebody speaks")
    return value


def _values_but_silence(kind: type[EntryStyle] | type[Structure]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": [each.value for each in kind if each != "no speech"]})


class _Spoken(BaseModel):
    hook: str
    entry_style: Annotated[EntryStyle, AfterValidator(_spoken), _values_but_silence(EntryStyle)]
    niche: str
    structure: Annotated[Structure, AfterValidator(_spoken), _values_but_silence(Structure)]
    emotion: Emotion


class _Silent(BaseModel):
    niche: str
    emotion: Emotion


class _Suggestion(BaseModel):
    title: str
    hook: str
    steps: list[str]
    suggested_length_seconds: int
    tone: Tone


class _Suggestions(BaseModel):
    ideas: list[_Suggestion]


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    """What is read of a chat completion; compatible servers leave the rest out."""

    choices: list[_Choice]
    usage: _Tokens | None = None


def judge(subject: Subject, settings: Settings, deadline: Deadline) -> tuple[Judgement, tuple[Usage, ...]]:
    """What the model makes of the video. Without speech it is asked for what metadata can tell, and no more."""
    if subject.transcript:
        return _judge_spoken(subject, settings, deadline)
    if not subject.has_words:
        return _silent_judgement(NO_NICHE, Emotion.NEUTRAL), ()
    messages = [_system("analyze_silent", niches=_niches()), _data(_material(subject))]
    silent, usage = _complete(_Silent, "silent_video", messages, settings, deadline)
    return _silent_judgement(_niche(silent.niche), silent.emotion), (usage,)


def _judge_spoken(subject: Subject, settings: Settings, deadline: Deadline) -> tuple[Judgement, tuple[Usage, ...]]:
    messages = [_system("analyze", niches=_niches()), _data(_material(subject))]
    usages: list[Usage] = []
    for _ in range(_HOOK_TRIES):
        with charged_on_failure(usages):
            spoken, usage = _complete(_Spoken, "video", messages, settings, deadline)
        usages.append(usage)
        hook = quote_from_opening(spoken.hook, subject.transcript)
        if hook:
            break
        messages = [*messages[:2], {"role": "system", "content": _HOOK_REMINDER}]
    else:
        hook = first_sentence(subject.transcript, subject.language)
    judgement = Judgement(hook, spoken.entry_style, _niche(spoken.niche), spoken.structure, spoken.emotion)
    return judgement, tuple(usages)


_HOOK_REMINDER = (
    "An earlier answer gave a hook that is not at the beginning of the transcript. Copy the hook word for word from the"
    " very beginning of the transcript."
)


def suggest(
    subject: Subject, analysis: Analysis, count: int, taken: Sequence[str], settings: Settings, deadline: Deadline
) -> tuple[list[Idea], tuple[Usage, ...]]:
    """Up to `count` ideas of the model's."""
    known = analysis.model_dump(mode="json", include={"niche", "structure", "emotion", "pace", "length_seconds"})
    material = _material(subject) | {"analysis": known, "taken_titles": list(taken)}
    messages = [_system("ideas", count=str(count)), _data(material)]
    answer, usage = _complete(_Suggestions, "video_ideas", messages, settings, deadline, items={"ideas": count})
    return [idea for idea in map(_idea, answer.ideas) if idea is not None], (usage,)


def _idea(suggestion: _Suggestion) -> Idea | None:
    """The suggestion as an idea of the contract; None where its words are missing."""
    title = clean(suggestion.title, _MAX_TITLE_CHARS)
    hook = clean(suggestion.hook, _MAX_LINE_CHARS)
    # Models number the steps although they are told not to.
    steps = [re.sub(r"^(\d+[.)]|[-•*])\s*", "", clean(step, _MAX_LINE_CHARS)) for step in suggestion.steps]
    if not title or not hook or not any(steps):
        return None
    shortest, longest = _SUGGESTED_SECONDS
    return Idea(
        title=title,
        hook=hook,
        outline=number_lines(step for step in steps if step),
        suggested_length=min(max(suggestion.suggested_length_seconds, shortest), longest),
        tone=suggestion.tone,
    )


def _silent_judgement(niche: str, emotion: Emotion) -> Judgement:
    return Judgement("", EntryStyle.NO_SPEECH, niche, Structure.NO_SPEECH, emotion)


def _niche(told: str) -> str:
    return clean(told, _MAX_NICHE_CHARS).lower().rstrip(".") or NO_NICHE


def _niches() -> str:
    return ", ".join(niche_names())


def _material(subject: Subject) -> dict[str, Any]:
    """What is known, without what is not: an empty field would invite inventions."""
    return {name: value for name, value in asdict(subject).items() if value}


def _system(prompt: str, **values: str) -> Message:
    text = (_PROMPTS / f"{prompt}.{PROMPT_VERSION}.txt").read_text(encoding="utf-8")
    return {"role": "system", "content": string.Template(text).substitute(values)}


def _data(material: dict[str, Any]) -> Message:
    """Strangers' text as one JSON object: whatever it contains, it cannot close its own quotation marks."""
    return {"role": "user", "content": json.dumps(material, ensure_ascii=False)}


def _complete(
    kind: type[Answer],
    name: str,
    messages: Sequence[Message],
    settings: Settings,
    deadline: Deadline,
    *,
    items: dict[str, int] | None = None,
) -> tuple[Answer, Usage]:
    """One chat completion in the form of `kind`; `items` sets how many items a list of it has."""
    schema = strict_schema(kind)
    for field, count in (items or {}).items():
        schema["properties"][field] |= {"minItems": count, "maxItems": count}
    form = {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}
    effort = {"reasoning_effort": settings.text_reasoning_effort} if settings.text_reasoning_effort else {}

    # No temperature and no limit of tokens: reasoning models refuse the one, and older servers a name of the other.
    async def send(client: Any, timeout: float) -> RawResponse:
        raw: RawResponse = await client.chat.completions.with_raw_response.create(
            model=settings.text_model, messages=messages, response_format=form, timeout=timeout, **effort
        )
        return raw

    completion = _read(_Completion, ask(text_endpoint(settings), send, deadline))
    usage = _usage_of(completion, settings)
    with charged_on_failure([usage]):
        return _read(kind, _content_of(completion)), usage


def _content_of(completion: _Completion) -> str:
    if not completion.choices:
        raise JobError(_FAILURE, "The model gave no answer.", passing=True)
    choice = completion.choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise JobError(_FAILURE, "The model refuses to answer on this video.", passing=False)
    if choice.finish_reason == "length":
        raise JobError(_FAILURE, "The model's answer was cut off.", passing=True)
    return choice.message.content or ""


def _read(kind: type[Answer], body: str) -> Answer:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise JobError(_FAILURE, "The model's answer does not have the form it was asked for.", passing=True) from error


def _usage_of(completion: _Completion, settings: Settings) -> Usage:
    tokens, model = completion.usage or _Tokens(), settings.text_model
    usd = None
    if tokens.prompt_tokens is not None and tokens.completion_tokens is not None:
        usd = text_cost(model, tokens.prompt_tokens, tokens.completion_tokens, settings)
    return Usage(
        engine="openai",
        model=model,
        input_tokens=tokens.prompt_tokens,
        output_tokens=tokens.completion_tokens,
        usd=usd,
    )
