"""What may be asked of a worker over Celery's remote control: to look, and nothing that changes it.

`celery inspect` and Flower need the looking. The commands that stop a worker, take queues away from it, change its
limits or end its tasks are taken out of Celery's table, so that whoever may write to the control channel gains nothing;
the operator has `coop cancel`, `coop worker --stages` and the service manager instead.
"""

from __future__ import annotations

from celery.worker.control import Panel

ALLOWED = frozenset(
    {
        *("ping", "clock", "stats", "report", "conf", "dump_conf"),
        *(
            "active",
            "dump_active",
            "reserved",
            "dump_reserved",
            "scheduled",
            "dump_schedule",
            "revoked",
            "dump_revoked",
        ),
        *("registered", "dump_tasks", "active_queues", "query_task", "heartbeat", "enable_events"),
    }
)


def restrict() -> None:
    """Leave only ALLOWED in this process' table of remote control commands."""
    for table in (Panel.data, Panel.meta):
        for name in set(table) - ALLOWED:
            del table[name]
