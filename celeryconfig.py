"""Celery's settings, all of them, each with the reason for its value.

Celery ignores names it does not know without a word, so a test compares these with Celery's own list. What is about
this installation (where Redis is) comes from `coop.settings`.
"""

from kombu import Queue

from coop.jobs import STAGES, Priority
from coop.redis_address import broker_of
from coop.redis_client import redis_url
from coop.settings import read_settings

broker_url, _place = broker_of(redis_url(read_settings()))

broker_transport_options = {
    # Without a timeout a connection that died on the way (a home router that forgot it) is waited for until the end
    # of time. It must be longer than the one second that a worker waits for a message.
    "socket_timeout": 15,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    # A half-open connection is noticed after about twice this.
    "health_check_interval": 10,
    # Without it a message that was just popped is lost when the write after it finds a dead connection.
    "retry_on_timeout": True,
    # Messages are acknowledged early, so this only guards what a dying worker had popped and not yet begun; the reaper
    # has long sent another by then, and the old one is refused by its run.
    "visibility_timeout": 3600,
    # The queues are asked in the order a worker names them: later stages first.
    "queue_order_strategy": "priority",
    # On Redis 0 is the highest. One list per priority that exists, so that a worker's poll stays short.
    "priority_steps": sorted(priority.message_priority for priority in Priority),
    # With Sentinels: the name of the service that they watch.
    **_place,
}
visibility_timeout = 3600

# A worker that starts before Redis, or outlives it, waits for it; the supervisor ends one that hangs.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_connection_timeout = 5

# One queue per stage, so that a machine can be given some stages only.
task_queues = [Queue(stage.queue) for stage in STAGES]
task_default_queue = STAGES[0].queue
# A mistyped queue name is an error, not a queue that nobody reads.
task_create_missing_queues = False

# JSON only: a message is data, and never code.
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]

# Early acknowledgement: the lease in the job's record, and not Celery, says who works on it. Late acknowledgement runs
# a stage twice at every connection reset, and on workers without an event loop (Windows) redelivers nothing.
task_acks_late = False
task_reject_on_worker_lost = False

# The job's record is the result.
task_ignore_result = True
task_store_errors_even_if_ignored = False

# A message that waits in a worker's memory is out of the reach of priorities and of other machines: take one when a
# slot is free.
worker_prefetch_multiplier = 1
worker_disable_prefetch = True

# The threads pool runs on every system; what must be killable runs in child processes of its own.
worker_pool = "threads"
worker_cancel_long_running_tasks_on_connection_loss = False

# Flower and `celery events` see what happens.
worker_send_task_events = True
task_send_sent_event = False

# structlog formats the log (coop/logs.py), Celery's own handlers would double it.
worker_hijack_root_logger = False
worker_redirect_stdouts = False

enable_utc = True
timezone = "UTC"
