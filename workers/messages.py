"""What a message in a queue may be. What does not fit is refused before Celery looks at it: logged, counted, gone.

Redis' lists hold whatever anybody with the rights to write put there: junk, other tasks, an argument of the wrong kind,
a time in the year 3000. Celery ends the worker over the one, runs the second and holds the third for ever. Here such a
message is dropped; a job that it stood for still waits in its record, and the reaper sends it again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import redis
from kombu.transport import redis as kombu_redis
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from coop import metrics
from coop.jobs import STAGES
from coop.logs import get_logger
from workers.process import this_process

log = get_logger(__name__)

MAX_BODY_CHARS = 16_384
"""Of a message's body, in base64; a real one has less than 4,000."""

_QUEUE_OF = {stage.task: stage.queue for stage in STAGES}
_QUEUES = frozenset(_QUEUE_OF.values())
# What reading a message can raise, beside the errors of the connection: JSON, UTF-8, and kombu's own typed values.
_UNREADABLE = (ValueError, TypeError, ArithmeticError, AttributeError, RecursionError)

JobId = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Run = Annotated[int, Field(strict=True, ge=1, lt=2**53)]
Nothing = Annotated[dict[str, None], Field(max_length=0)]


class _Envelope(BaseModel):
    """The part of a message that Celery acts on before it reads the body."""

    model_config = ConfigDict(extra="allow", strict=True)

    task: str
    id: Annotated[str, StringConstraints(min_length=1, max_length=600)]
    eta: None = None
    expires: None = None
    group: None = None
    compression: None = None
    stamped_headers: None = None


class _StepOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    queue: str
    priority: int
    task_id: str
    reply_to: str | None = None


class _Step(BaseModel):
    """A later stage of the same chain."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task: str
    args: Annotated[list[Any], Field(max_length=2)]
    kwargs: Nothing
    options: _StepOptions
    subtask_type: None
    immutable: Literal[True]


class _Embedded(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    callbacks: None
    errbacks: None
    chord: None
    chain: Annotated[list[_Step], Field(max_length=len(STAGES))] | None


class _Body(BaseModel):
    content: tuple[tuple[JobId, Run], Nothing, _Embedded]


def refusal_of(message: Any, queue: str) -> str | None:
    """Why `message`, as it was found in `queue`, is not taken: `unknown_task` or `malformed`. None: it fits."""
    if not isinstance(message, dict) or not isinstance(headers := message.get("headers"), dict):
        return "malformed"
    if _QUEUE_OF.get(str(headers.get("task"))) != queue:
        return "unknown_task"
    try:
        _Envelope.model_validate(headers)
        body = _Body(content=_content_of(message))
    except (*_UNREADABLE, KeyError):  # pydantic's own error is a ValueError
        return "malformed"
    arguments, _, embedded = body.content
    steps = embedded.chain or ()
    return None if all(_goes_on(step, arguments) for step in steps) else "malformed"


def _content_of(message: Mapping[str, Any]) -> Any:
    """The body, which is JSON in base64 and nothing else. Raises ValueError and others."""
    properties, body = message["properties"], message["body"]
    declared = (message["content-type"], message["content-encoding"], properties["body_encoding"])
    if declared != ("application/json", "utf-8", "base64") or not isinstance(properties["delivery_tag"], str):
        raise ValueError("not a JSON message")
    if len(body) > MAX_BODY_CHARS:
        raise ValueError("too large")
    return json.loads(base64.b64decode(body, validate=True))


def _goes_on(step: _Step, arguments: tuple[str, int]) -> bool:
    """Whether a step of the chain is a stage of the very same job and run, in that stage's queue."""
    return _QUEUE_OF.get(step.task) == step.options.queue and step.args == list(arguments)


def _refuse(reason: str, queue: str, size: int) -> None:
    # Not its content: nobody knows what it holds.
    log.warning("message refused", reason=reason, queue=queue, characters=size)
    ((field, amount),) = metrics.count("coop_messages_refused_total", reason=reason).items()
    try:
        this_process().redis.hincrbyfloat(metrics.METRICS_KEY, field, amount)
    except redis.RedisError as error:
        log.warning("a refused message could not be counted", error=str(error))


class _GuardedChannel:
    """Over one of kombu's: a message that cannot be read is dropped and does not end the worker."""

    connection: Any

    def _brpop_read(self, **options: Any) -> Any:
        return self._read_or_drop(partial(super()._brpop_read, **options))  # type: ignore[misc]  # kombu's channel has it

    def _receive_one(self, subscription: Any) -> Any:
        return self._read_or_drop(partial(super()._receive_one, subscription))  # type: ignore[misc]  # as above

    def _read_or_drop(self, read: Callable[[], Any]) -> Any:
        self.connection.has_arrived = False
        try:
            return read()
        except _UNREADABLE:
            if self.connection.has_arrived:
                raise
            _refuse("unreadable", "unknown", 0)
            return True


class _GuardedTransport:
    """Over one of kombu's: what does not fit its queue is dropped. Other queues than the stages' are remote control."""

    has_arrived = False

    def _deliver(self, message: Any, queue: str) -> None:
        self.has_arrived = True
        reason = refusal_of(message, queue) if queue in _QUEUES else None if _is_message(message) else "malformed"
        if reason:
            _refuse(reason, queue, len(str(message)))
            return
        super()._deliver(message, queue)  # type: ignore[misc]  # kombu's transport has it


class Channel(_GuardedChannel, kombu_redis.Channel):
    pass


class SentinelChannel(_GuardedChannel, kombu_redis.SentinelChannel):
    pass


class Transport(_GuardedTransport, kombu_redis.Transport):
    Channel = Channel


class SentinelTransport(_GuardedTransport, kombu_redis.SentinelTransport):
    Channel = SentinelChannel


def transport_for(broker_url: str) -> str:
    """Which of the two `workers.app` has Celery use, as kombu wants it named."""
    kind = SentinelTransport if broker_url.startswith("sentinel://") else Transport
    return f"{__name__}:{kind.__name__}"


def _is_message(message: Any) -> bool:
    """Whether kombu can make a message of it."""
    try:
        properties, headers = message["properties"], message["headers"]
        tag, encoding, body = properties["delivery_tag"], properties["body_encoding"], message["body"]
        base64.b64decode(body, validate=True)
    except (*_UNREADABLE, KeyError):
        return False
    return isinstance(tag, str) and encoding == "base64" and isinstance(headers, dict) and "compression" not in headers
