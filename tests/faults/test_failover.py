"""The master dies while jobs run, and Sentinel puts its replica in its place."""

from __future__ import annotations

from pathlib import Path

import redis

from coop.jobs import JobStatus, StageStatus
from tests.support.fleet import eventually, fleet_on
from tests.support.redis_server import RedisServer, Sentinel


def test_jobs_go_on_when_sentinel_replaces_the_master(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "first") as first:
        follow = ("--replicaof", "127.0.0.1", str(first.port))
        with RedisServer(tmp_path / "second", *follow) as second, Sentinel(tmp_path / "sentinel", first) as sentinel:
            with redis.Redis(port=sentinel.port, decode_responses=True) as watcher:
                eventually(lambda: watcher.sentinel_slaves("mymaster"), what="a replica that Sentinel knows")
            with fleet_on(sentinel.url, tmp_path) as fleet:
                fleet.start(supervised=True, lease_seconds="3")
                fleet.submit("before")
                fleet.ended("before")
                fleet.submit("during", "https://stub/?ideas.seconds=6")
                fleet.when(lambda job: job.stages[4].status is StageStatus.RUNNING, "during")
                eventually(lambda: replica_is_level(first, second))
                first.kill()
                eventually(lambda: fleet_answers(fleet.redis), 40, "a new master")
                fleet.submit("after")

                jobs = [fleet.ended(name, 90) for name in ("during", "after", "before")]
                assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}
                assert fleet.redis.connection_pool.get_master_address()[1] == second.port


def replica_is_level(master: RedisServer, replica: RedisServer) -> bool:
    with redis.Redis.from_url(master.url) as one, redis.Redis.from_url(replica.url) as other:
        sent, received = one.info("replication")["master_repl_offset"], other.info("replication")["slave_repl_offset"]
        return bool(sent == received)


def fleet_answers(client: redis.Redis) -> bool:
    try:
        return bool(client.set("probe", 1))
    except redis.RedisError:
        return False
