"""The message that starts a job's chain: Celery's own, made once and filled in for each job.

Celery takes more than a millisecond of CPU to put a chain together, each time the same but for the job's id and run.
The form is not written down here: Celery sends a chain through kombu's in-memory transport, and what comes out is kept
with holes in it. Left out is what nobody reads: `reply_to`, for no results are kept, and spaces.
"""

from __future__ import annotations

import base64
import json
import threading
import uuid
from functools import cache
from typing import Any

from celery import Celery, chain
from celery.canvas import Signature

from coop.jobs import STAGES, Priority, Stage

# None is a part of anything else in a message. What fills them holds no character that JSON or repr() would escape.
_JOB_ID, _RUN, _TAG, _BODY = "@job@", 2**52 + 1, "@tag@", "@body@"
_HOLES = {_JOB_ID: "%(job_id)s", str(_RUN): "%(run)d", _TAG: "%(tag)s", _BODY: "%(body)s"}

_making = threading.Lock()


def message_of(job_id: str, run: int, stage: Stage, priority: Priority) -> bytes:
    """What is pushed to the list of `stage` to have that run of a job go on from there to its end."""
    with _making:
        head, body = _forms_of(stage, priority)
    content = base64.b64encode((body % {"job_id": job_id, "run": run}).encode()).decode()
    return (head % {"job_id": job_id, "run": run, "tag": uuid.uuid4(), "body": content}).encode()


@cache
def _forms_of(stage: Stage, priority: Priority) -> tuple[str, str]:
    """The message around its body, and its body, for the operator `%`."""
    message = _sent_by_celery(stage, priority)
    content = json.loads(base64.b64decode(message["body"]))
    for step in content[2]["chain"] or ():
        del step["options"]["reply_to"]
    properties = {**message["properties"], "delivery_tag": _TAG}
    del properties["reply_to"]
    head = {**message, "body": _BODY, "properties": properties}
    return _form(head), _form(content)


def _sent_by_celery(stage: Stage, priority: Priority) -> dict[str, Any]:
    """The chain from `stage` on as Celery sends it."""
    app = Celery("coop", set_as_current=False)
    app.config_from_object("celeryconfig")
    app.conf.update(broker_url="memory://", broker_transport_options={})
    steps = [_step(app, each, priority) for each in STAGES[STAGES.index(stage) :]]
    chain(*steps, app=app).apply_async(retry=False)
    with app.connection_for_write() as connection:
        message: dict[str, Any] = connection.default_channel._get(stage.queue)
    app.close()
    return message


def _step(app: Celery, stage: Stage, priority: Priority) -> Signature:
    return app.signature(
        stage.task,
        args=(_JOB_ID, _RUN),
        immutable=True,
        queue=stage.queue,
        priority=priority.message_priority,
        task_id=f"{_JOB_ID}:{_RUN}:{stage}",
    )


def _form(value: object) -> str:
    text = json.dumps(value, separators=(",", ":")).replace("%", "%%")
    for mark, hole in _HOLES.items():
        text = text.replace(mark, hole)
    return text
