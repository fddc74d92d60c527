"""A stand-in for the OpenAI API, on a real socket of 127.0.0.1: transcriptions and chat completions.

It checks every request against what the API documents, and answers 400 in OpenAI's own form to what the API would
refuse: an unknown or ill-typed parameter, a file without a known ending, a format the model does not know, a schema
that strict mode does not take. All is well until a test says otherwise:

    with OpenAIServer() as server:
        settings = server.settings(ideas_deadline_seconds=5)   # or OPENAI_API_KEY=server.api_key, OPENAI_BASE_URL=...
        server.says = "What the next transcriptions hear."
        server.script("chat", rate_limited(7), server_error())  # for the next two; then it answers as usual again
        server.delay["transcriptions"] = 0.5                     # seconds before each answer
        ...
        server.requests[-1].fields["response_format"]
        server.left.wait(5)                                      # a caller hung up before its answer

The usual answer of `transcriptions` is `says` as two segments, of `chat` an answer that fits the schema asked for, or
what `server.answers[schema name]` holds: a JSON document, or a function of the request's fields that makes one.
"""

from __future__ import annotations

import itertools
import json
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email import policy
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from coop.settings import Settings

KNOWN_ENDINGS = ("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm")
MAX_FILE_BYTES = 25 * 2**20
_SPEECH = "Stop buying cheap power supplies. A bad one can kill your whole computer."

Document = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One scripted answer. `body` as it goes over the wire; without `status` the connection is just closed."""

    status: int | None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True)
class Request:
    """What was asked: `endpoint` is `transcriptions` or `chat`; of a multipart form, `fields` without the file."""

    endpoint: str
    headers: dict[str, str]
    fields: Document
    file_name: str | None = None
    file: bytes | None = None


def error(status: int, message: str, *, kind: str, code: str | None = None, **headers: str) -> Reply:
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return Reply(status, json.dumps(body).encode(), {name.replace("_", "-"): text for name, text in headers.items()})


def unauthorized() -> Reply:
    return error(401, "Incorrect API key provided: sk-****.", kind="invalid_request_error", code="invalid_api_key")


def rate_limited(retry_after: float | str | None = None) -> Reply:
    headers = {} if retry_after is None else {"retry_after": str(retry_after)}
    return error(429, "Rate limit reached.", kind="requests", code="rate_limit_exceeded", **headers)


def no_quota() -> Reply:
    return error(429, "You exceeded your current quota.", kind="insufficient_quota", code="insufficient_quota")


def server_error(status: int = 500, retry_after: float | None = None) -> Reply:
    headers = {} if retry_after is None else {"retry_after": str(retry_after)}
    return error(status, "The server had an error.", kind="server_error", **headers)


def unknown_model() -> Reply:
    return error(404, "The model does not exist.", kind="invalid_request_error", code="model_not_found")


def garbage(content_type: str = "application/json") -> Reply:
    return Reply(200, b"<html>not what you asked for", content_type=content_type)


def hang_up() -> Reply:
    return Reply(None)


def completion(content: str | None, *, finish_reason: str = "stop", refusal: str | None = None) -> Reply:
    """A chat completion with this text."""
    return Reply(200, json.dumps(_completion(content, finish_reason, refusal)).encode())


def refusal() -> Reply:
    return completion(None, refusal="I can't help with that.")


def truncated_json() -> Reply:
    """A body whose JSON content breaks off although the model says it came to its end."""
    return completion('{"hook": "Stop buying ch')


def cut_off() -> Reply:
    """The model ran into its limit of tokens."""
    return completion('{"hook": "Stop buying ch', finish_reason="length")


def content_filtered() -> Reply:
    return completion(None, finish_reason="content_filter")


def no_choices() -> Reply:
    return Reply(200, json.dumps(_completion(None, "stop", None) | {"choices": []}).encode())


def transcription(**document: Any) -> Reply:
    """A transcription with just these fields."""
    return Reply(200, json.dumps(document).encode())


class OpenAIServer:
    """The stand-in, running between `with` and its end. See the module for how to use it."""

    def __init__(self, api_key: str = "sk-test-0123456789") -> None:
        self.api_key = api_key
        self.says = _SPEECH
        self.language = "english"
        self.answers: dict[str, Document | Callable[[Document], Document]] = {}
        self.delay: dict[str, float] = {"transcriptions": 0.0, "chat": 0.0}
        self.requests: list[Request] = []
        self.left = threading.Event()  # set when a caller hung up before it was answered
        self.stopping = threading.Event()
        self._scripts: dict[str, deque[Reply]] = {"transcriptions": deque(), "chat": deque()}
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stand_in = self

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def settings(self, **more: Any) -> Settings:
        """Settings that use the stand-in."""
        return Settings(**{"OPENAI_API_KEY": self.api_key, "OPENAI_BASE_URL": self.base_url, **more})

    def script(self, endpoint: str, *replies: Reply) -> None:
        """Answer the next requests of `endpoint` so, one reply each."""
        self._scripts[endpoint].extend(replies)

    def asked(self, endpoint: str) -> list[Request]:
        return [request for request in self.requests if request.endpoint == endpoint]

    def reply_to(self, request: Request) -> Reply:
        self.requests.append(request)
        if request.headers.get("authorization") != f"Bearer {self.api_key}":
            return unauthorized()
        try:
            _check(request)
        except _BadRequestError as problem:
            return error(400, str(problem), kind="invalid_request_error", code="invalid_value")
        if self._scripts[request.endpoint]:
            return self._scripts[request.endpoint].popleft()
        return self._transcribe(request) if request.endpoint == "transcriptions" else self._complete(request)

    def _transcribe(self, request: Request) -> Reply:
        sentences = [part.strip() + "." for part in self.says.split(".") if part.strip()]
        times = [(index * 2.0, index * 2.0 + 2.0) for index in range(len(sentences))]
        body: Document = {"text": " ".join(sentences)}
        form = request.fields.get("response_format", "json")
        if form == "verbose_json":
            segments = [_verbose_segment(*each) for each in zip(itertools.count(), times, sentences, strict=False)]
            body |= {"task": "transcribe", "language": self.language, "duration": 4.0, "segments": segments}
            body |= {"usage": {"type": "duration", "seconds": 4}}
        elif form == "diarized_json":
            segments = [_spoken_segment(*each) for each in zip(itertools.count(), times, sentences, strict=False)]
            body |= {"task": "transcribe", "duration": 4.0, "segments": segments}
        if request.fields["model"].startswith("gpt-4o"):
            body |= {"usage": {"type": "tokens", "input_tokens": 40, "output_tokens": 20, "total_tokens": 60}}
        elif request.fields["model"] == "gpt-transcribe":
            body |= {"languages": [{"code": "en"}], "usage": {"type": "duration", "seconds": 4}}
        return Reply(200, json.dumps(body).encode())

    def _complete(self, request: Request) -> Reply:
        form = request.fields["response_format"]["json_schema"]
        answer = self.answers.get(form["name"]) or _Example(form["schema"]).document()
        document = answer(request.fields) if callable(answer) else answer
        return completion(json.dumps(document))

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    stand_in: OpenAIServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    _ENDPOINTS = {"/v1/audio/transcriptions": "transcriptions", "/v1/chat/completions": "chat"}

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        endpoint = self._ENDPOINTS.get(self.path)
        if endpoint is None:
            self._send(error(404, f"Unknown request URL: POST {self.path}.", kind="invalid_request_error"))
            return
        headers = {name.lower(): text for name, text in self.headers.items()}
        parse = _parse_form if headers.get("content-type", "").startswith("multipart/form-data") else _parse_json
        try:
            request = Request(endpoint, headers, *parse(headers, content))
        except _BadRequestError as problem:
            self._send(error(400, str(problem), kind="invalid_request_error"))
            return
        reply = self.server.stand_in.reply_to(request)
        if self._caller_waits(self.server.stand_in.delay[endpoint]):
            self._send(reply)

    def _caller_waits(self, seconds: float) -> bool:
        """Wait before the answer, and see whether the caller waits too."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.server.stand_in.stopping.is_set():
            hung_up, _, _ = select.select([self.connection], [], [], min(left, 0.05))
            if hung_up:  # nothing more is due from the caller, so this is the end of the connection
                self.close_connection = True
                self.server.stand_in.left.set()
                return False
        return True

    def _send(self, reply: Reply) -> None:
        self.close_connection = reply.status is None
        if reply.status is None:
            return
        try:
            self.send_response(reply.status)
            headers = {"content-type": reply.content_type, "content-length": str(len(reply.body)), **reply.headers}
            for name, text in headers.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(reply.body)
        except ConnectionError:
            self.close_connection = True  # the caller gave up waiting

    def log_message(self, format: str, *args: object) -> None:
        """Tests read `requests`, not a log."""


class _BadRequestError(Exception):
    """The API would refuse the request with 400 and these words."""


def _parse_json(headers: dict[str, str], content: bytes) -> tuple[Document]:
    if headers.get("content-type", "").split(";")[0] != "application/json":
        raise _BadRequestError("Unsupported content type")
    try:
        return (json.loads(content),)
    except ValueError as error:
        raise _BadRequestError("We could not parse the JSON body of your request.") from error


def _parse_form(headers: dict[str, str], content: bytes) -> tuple[Document, str | None, bytes | None]:
    head = f"content-type: {headers['content-type']}\r\n\r\n".encode()
    form = BytesParser(policy=policy.HTTP).parsebytes(head + content)
    fields: Document = {}
    file_name, file = None, None
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if name == "file":
            file_name, file = part.get_filename(), payload
        elif name.endswith("[]"):
            fields.setdefault(name[:-2], []).append(payload.decode())
        else:
            fields[name] = payload.decode()
    return fields, file_name, file


def _check(request: Request) -> None:
    if request.endpoint == "transcriptions":
        _check_transcription(request)
    else:
        _check_completion(request.fields)


# What the reference of POST /audio/transcriptions lists, by model.
_FORM_FIELDS = {
    "chunking_strategy", "include", "keywords", "known_speaker_names", "known_speaker_references", "language",
    "languages", "model", "prompt", "response_format", "stream", "temperature", "timestamp_granularities",
}  # fmt: skip
_FORMATS = {
    "whisper-1": {"json", "text", "srt", "verbose_json", "vtt"},
    "gpt-4o-transcribe": {"json"},
    "gpt-4o-mini-transcribe": {"json"},
    "gpt-4o-transcribe-diarize": {"json", "text", "diarized_json"},
    "gpt-transcribe": {"json"},
}


def _check_transcription(request: Request) -> None:
    fields = request.fields
    _require(not (unknown := fields.keys() - _FORM_FIELDS), f"Unrecognized request arguments: {sorted(unknown)}")
    model, form = fields.get("model"), fields.get("response_format", "json")
    _require(isinstance(model, str) and model, "you must provide a model parameter")
    _require(bool(request.file) and request.file_name is not None, "file: field required")
    ending = request.file_name.rpartition(".")[2].lower()
    _require(ending in KNOWN_ENDINGS, f"Unrecognized file format. Supported formats: {list(KNOWN_ENDINGS)}")
    _require(len(request.file) <= MAX_FILE_BYTES, "Maximum content size limit (26214400) exceeded")
    _require(
        form in _FORMATS.get(model, _FORMATS["whisper-1"]), f"response_format {form!r} is not compatible with {model!r}"
    )
    granularities = fields.get("timestamp_granularities", [])
    _require(not granularities or form == "verbose_json", "timestamp_granularities needs verbose_json")
    _require(set(granularities) <= {"word", "segment"}, "Invalid timestamp_granularities")
    singular, plural = fields.get("language"), fields.get("languages", [])
    _require(model != "gpt-transcribe" or singular is None, "language is not supported; use languages")
    _require(model == "gpt-transcribe" or not plural, "languages is not supported with this model")
    for code in [*plural, *([singular] if singular is not None else [])]:
        _require(len(code) in (2, 3) and code.isalpha() and code.islower(), f"Invalid language {code!r}")
    _require("diarize" not in model or fields.get("chunking_strategy"), "chunking_strategy is required")


_CHAT_FIELDS = {"messages", "model", "response_format", "reasoning_effort", "max_completion_tokens", "store"}
_EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}


def _check_completion(fields: Document) -> None:
    # Reasoning models refuse what older ones took: temperature, top_p, max_tokens, penalties, stop.
    _require(not (unknown := fields.keys() - _CHAT_FIELDS), f"Unsupported parameter: {sorted(unknown)}")
    _require(isinstance(fields.get("model"), str) and fields["model"], "you must provide a model parameter")
    _require(fields.get("reasoning_effort", "low") in _EFFORTS, "Invalid reasoning_effort")
    messages = fields.get("messages")
    _require(isinstance(messages, list) and messages, "messages: expected a non-empty array")
    for message in messages:
        _require(message.keys() == {"role", "content"}, "messages: unexpected keys")
        _require(message["role"] in {"system", "developer", "user", "assistant"}, "messages: unknown role")
        _require(isinstance(message["content"], str) and message["content"], "messages: content must be text")
    form = fields.get("response_format")
    _require(isinstance(form, dict) and form.keys() == {"type", "json_schema"}, "response_format: wrong shape")
    _require(form["type"] == "json_schema", "response_format: a schema is expected here")
    _check_json_schema(form["json_schema"])


def _check_json_schema(form: Document) -> None:
    _require(form.keys() <= {"name", "description", "schema", "strict"}, "json_schema: unexpected keys")
    name = form.get("name", "")
    _require(0 < len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum(), "json_schema: invalid name")
    _require(form.get("strict") is True, "json_schema: strict is expected here")
    schema = form["schema"]
    _require(schema.get("type") == "object" and "anyOf" not in schema, "schema must be a JSON Schema of type object")
    for name, definition in schema.get("$defs", {}).items():
        _check_strict(definition, f"$defs.{name}", schema)
    _check_strict(schema, "schema", schema)


# The keywords of the guide to structured outputs; others, like default or uniqueItems, are refused.
_KEYWORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"enum", "const", "pattern", "format"},
    "integer": {"enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "number": {"enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "boolean": {"enum", "const"},
    "null": set(),
}


def _check_strict(schema: Document, place: str, root: Document) -> None:
    if "$ref" in schema:
        _require(schema.keys() == {"$ref"}, f"{place}: $ref cannot have keywords beside it")
        _require(schema["$ref"].removeprefix("#/$defs/") in root.get("$defs", {}), f"{place}: unknown $ref")
        return
    if "anyOf" in schema:
        for option in schema["anyOf"]:
            _check_strict(option, f"{place}.anyOf", root)
        return
    kind = schema.get("type")
    _require(kind in _KEYWORDS, f"{place}: schema must have a 'type' key")
    allowed = _KEYWORDS[kind] | {"type", "title", "description"} | ({"$defs"} if schema is root else set())
    _require(schema.keys() <= allowed, f"{place}: {sorted(schema.keys() - allowed)} is not permitted")
    if kind == "object":
        properties = schema.get("properties", {})
        _require(schema.get("additionalProperties") is False, f"{place}: 'additionalProperties' must be false")
        _require(sorted(schema.get("required", [])) == sorted(properties), f"{place}: 'required' must list every key")
        for name, child in properties.items():
            _check_strict(child, f"{place}.{name}", root)
    if kind == "array":
        _require(isinstance(schema.get("items"), dict), f"{place}: array schema missing items")
        _check_strict(schema["items"], f"{place}.items", root)


def _require(condition: object, complaint: str) -> None:
    if not condition:
        raise _BadRequestError(complaint)


class _Example:
    """A document that fits a schema: every string another one, every list two long (or as its bounds say)."""

    def __init__(self, schema: Document) -> None:
        self._schema = schema
        self._texts = itertools.cycle(_SAYINGS)

    def document(self) -> Document:
        return self._of(self._schema)

    def _of(self, schema: Document) -> Any:
        if "$ref" in schema:
            return self._of(self._schema["$defs"][schema["$ref"].removeprefix("#/$defs/")])
        if "enum" in schema:
            return schema["enum"][0]
        match schema["type"]:
            case "object":
                return {name: self._of(child) for name, child in schema["properties"].items()}
            case "array":
                return [self._of(schema["items"]) for _ in range(schema.get("minItems", 2))]
            case "string":
                return next(self._texts)
            case "boolean":
                return False
            case _:
                return schema.get("minimum", 30)


# Fifteen, so that the titles of ten ideas with four texts each are ten.
_SAYINGS = (
    "Quiet fans for hot summers", "A cable that burnt down", "Old cases worth keeping", "Why screens flicker",
    "Three tools on my bench", "Paste like a professional", "My first broken board", "Dust is the enemy",
    "Memory that lies to you", "When cheap is fine", "Loud drives and short lives", "Ports nobody uses",
    "The screw that fits all", "Rescue a wet keyboard", "Light without heat",
)  # fmt: skip


def _verbose_segment(index: int, times: tuple[float, float], text: str) -> Document:
    return {
        "id": index, "seek": 0, "start": times[0], "end": times[1], "text": f" {text}", "tokens": [50364],
        "temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01,
    }  # fmt: skip


def _spoken_segment(index: int, times: tuple[float, float], text: str) -> Document:
    return {
        "id": f"seg_{index}", "type": "transcript.text.segment", "speaker": "A",
        "start": times[0], "end": times[1], "text": text,
    }  # fmt: skip


def _completion(content: str | None, finish_reason: str, refused: str | None) -> Document:
    message = {"role": "assistant", "content": content, "refusal": refused, "annotations": []}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1795305600, "model": "gpt-6-luna",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
    }  # fmt: skip
