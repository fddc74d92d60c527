"""Promises of the job store, against a real Redis."""

from __future__ import annotations

import json

import pytest
import redis

from coop import job_store
from coop.artifacts import RedisArtifacts
from coop.errors import JobError, Problem
from coop.job_store import JobStore, Refusal
from coop.jobs import DeliveryAttempt, DeliveryStatus, JobStatus, Priority, Stage, StageStatus
from coop.queue import first_message, oldest_message
from coop.webhooks import Spending
from tests.support.jobs import CLIENT, OUTPUTS, accepted, advance_to, claimed, cost_of, new_job, store_of

JOB = f"{CLIENT}:r1"


@pytest.fixture
def store(redis_client: redis.Redis) -> JobStore:
    return store_of(redis_client)


def refusal(store: JobStore, run: int, stage: Stage) -> str:
    answer = store.claim(JOB, run, stage, "mill")
    assert isinstance(answer, Refusal)
    return answer.reason


def let_lease_end(client: redis.Redis, stage: Stage) -> None:
    client.zadd(f"coop:leases:{stage}", {JOB: 1})


def test_the_same_request_again_is_the_same_job_with_the_same_answer(store: JobStore) -> None:
    first, again = accepted(store), accepted(store)

    assert again.is_replay
    assert not first.is_replay
    assert (again.job.id, again.queue_position, again.estimated_seconds) == (
        first.job.id,
        first.queue_position,
        first.estimated_seconds,
    )


def test_a_new_job_is_told_as_its_record_says(store: JobStore) -> None:
    first = accepted(store, callback_url=None)

    assert first.job == store.get(JOB)


def test_a_job_and_its_first_message_are_one_step_and_a_replay_sends_none(
    store: JobStore, redis_client: redis.Redis
) -> None:
    posting = first_message(new_job())
    first, again = (store.accept(new_job(), posting) for _ in range(2))

    assert (first.is_replay, again.is_replay) == (False, True)
    assert redis_client.lrange(posting.list_name, 0, -1) == [posting.message]
    assert oldest_message(redis_client, Stage.METADATA, Priority.NORMAL) == (JOB, 1)


def test_a_used_signature_keeps_no_job(store: JobStore) -> None:
    store.accept(new_job(), spending=Spending(CLIENT, "msg_1"))

    with pytest.raises(Problem, match="replayed"):
        store.accept(new_job("r2"), spending=Spending(CLIENT, "msg_1"))
    assert store.get(f"{CLIENT}:r2") is None
    assert not store.accept(new_job("r2"), spending=Spending("other", "msg_1")).is_replay


def test_a_call_repeated_for_its_lost_answer_is_no_second_use_of_its_signature(
    store: JobStore, redis_client: redis.Redis
) -> None:
    sent: list[tuple[object, ...]] = []
    once = redis_client.execute_command

    def twice(*command: object, **options: object) -> object:
        sent.append(command)
        if command[0] == "EVALSHA":
            once(*command, **options)
        return once(*command, **options)

    redis_client.execute_command = twice  # type: ignore[method-assign]
    kept = store.accept(new_job(), spending=Spending(CLIENT, "msg_1"))

    assert "EVALSHA" in {command[0] for command in sent}
    assert kept.job == store.get(JOB)


def test_the_same_request_id_with_another_body_is_a_conflict(store: JobStore) -> None:
    accepted(store)

    with pytest.raises(Problem, match="request_id_conflict"):
        accepted(store, fingerprint="other")


def test_a_full_queue_refuses_and_keeps_nothing(redis_client: redis.Redis) -> None:
    store = store_of(redis_client, max_queue="1")
    accepted(store)

    with pytest.raises(Problem, match="queue_full"):
        accepted(store, "r2")
    assert store.get(f"{CLIENT}:r2") is None


def test_a_high_job_stands_before_the_normal_ones(store: JobStore) -> None:
    accepted(store)
    accepted(store, "r2")

    assert accepted(store, "r3", priority=Priority.HIGH).queue_position == 0
    assert accepted(store, "r4").queue_position == 3


def test_of_five_messages_for_one_stage_one_is_acted_on(store: JobStore) -> None:
    accepted(store)
    claimed(store)

    assert [refusal(store, 1, Stage.METADATA) for _ in range(4)] == ["running"] * 4


def test_a_stage_that_was_done_is_not_done_again(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.DOWNLOAD)

    assert refusal(store, 1, Stage.METADATA) == "done"


def test_a_stage_whose_turn_has_not_come_is_refused(store: JobStore) -> None:
    accepted(store)

    assert refusal(store, 1, Stage.IDEAS) == "elsewhere"


def test_a_worker_of_an_older_run_can_write_nothing(store: JobStore, redis_client: redis.Redis) -> None:
    accepted(store)
    old = claimed(store)
    let_lease_end(redis_client, Stage.METADATA)
    assert store.take_over(JOB, 1, "crashed") == (2, 1)
    new = claimed(store, run=2)

    assert not store.advance(old, OUTPUTS[Stage.METADATA], {})
    assert not store.fail(old, JobError("internal"), {})
    assert not store.postpone(old, JobError("internal"), 1, {})
    assert store.renew([old, new]) == {old.token}
    assert store.advance(new, OUTPUTS[Stage.METADATA], {})


def test_a_write_whose_answer_was_lost_may_be_sent_again(store: JobStore) -> None:
    accepted(store)
    claim = claimed(store)

    assert store.advance(claim, OUTPUTS[Stage.METADATA], {"n": 1})
    assert store.advance(claim, OUTPUTS[Stage.METADATA], {"n": 1})
    assert store.redis.hget("coop:metrics", "n") == b"1"


def test_a_job_that_ran_through_has_one_outcome_and_a_delivery_pending(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.DELIVER)

    job, document = store.get(JOB), json.loads(store.outcome(JOB) or b"")
    assert job is not None
    assert (job.status, job.stage, job.progress) == (JobStatus.SUCCEEDED, Stage.DELIVER, 1.0)
    assert job.delivery.status is DeliveryStatus.PENDING
    assert document["success"] is True
    assert document["result"]["transcript"] == "Hello there."
    assert cost_of(store, JOB) == 0.25


def test_a_job_without_a_callback_url_has_nothing_to_deliver(store: JobStore) -> None:
    accepted(store, callback_url=None)
    advance_to(store, Stage.DELIVER)

    job = store.get(JOB)
    assert job is not None
    assert (job.delivery.status, job.stages[-1].status) == (DeliveryStatus.NONE, StageStatus.SKIPPED)


def test_a_postponed_stage_is_due_after_its_delay_and_not_before(store: JobStore) -> None:
    accepted(store)
    store.postpone(claimed(store), JobError("source_error"), 60, {})

    assert store.due(store.now_ms(), 10) == []
    assert store.due(store.now_ms() + 61_000, 10) == [JOB]
    assert store.take_over(JOB, 1, "due") is None


def test_a_due_stage_goes_on_in_a_new_run_and_counts_its_failure(store: JobStore) -> None:
    accepted(store)
    store.postpone(claimed(store), JobError("source_error"), 0, {})

    assert store.take_over(JOB, 1, "due") == (2, 0)
    assert claimed(store, run=2).failures == 1
    assert refusal(store, 1, Stage.METADATA) == "stale"


def test_a_job_handed_back_counts_no_failure(store: JobStore) -> None:
    accepted(store)
    store.hand_back(claimed(store), JobError("internal"))
    store.take_over(JOB, 1, "due")

    assert claimed(store, run=2).failures == 0


def test_a_cancelled_job_takes_nothing_from_its_worker_and_is_delivered(store: JobStore) -> None:
    accepted(store)
    claim = claimed(store)

    job = store.cancel(JOB)

    assert (job.status, job.stage) == (JobStatus.CANCELLED, Stage.DELIVER)
    assert store.renew([claim]) == {claim.token}
    assert not store.advance(claim, OUTPUTS[Stage.METADATA], {})
    assert json.loads(store.outcome(JOB) or b"")["error"]["code"] == "cancelled"


def test_a_job_that_has_ended_cannot_be_cancelled(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.DELIVER)

    with pytest.raises(Problem, match="not_cancellable"):
        store.cancel(JOB)


def test_a_failed_job_starts_again_at_the_stage_that_failed(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.ANALYZE)
    store.fail(claimed(store, stage=Stage.ANALYZE), JobError("engine_quota"), {})

    job = store.retry(JOB)

    assert (job.status, job.stage, job.run) == (JobStatus.QUEUED, Stage.ANALYZE, 2)
    assert store.outcome(JOB) is None
    claim = claimed(store, stage=Stage.ANALYZE, run=2)
    assert claim.found.transcribe == OUTPUTS[Stage.TRANSCRIBE]


def test_transcription_whose_audio_is_gone_starts_again_with_the_download(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.TRANSCRIBE)
    store.fail(claimed(store, stage=Stage.TRANSCRIBE), JobError("engine_quota"), {})

    assert store.retry(JOB).stage is Stage.DOWNLOAD


def test_a_job_that_succeeded_is_not_driven_again(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.DELIVER)

    with pytest.raises(Problem, match="not_retryable"):
        store.retry(JOB)


def test_a_failed_callback_waits_for_its_time_with_body_and_id_unchanged(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.DELIVER)
    first = claimed(store, stage=Stage.DELIVER)
    attempt = DeliveryAttempt(at=1, status=500, error="HTTP 500", milliseconds=3)

    store.record_delivery(first, attempt, DeliveryStatus.PENDING, 0, {})
    store.take_over(JOB, 1, "due")
    second = claimed(store, stage=Stage.DELIVER, run=2)

    assert (second.outcome, second.delivery_id) == (first.outcome, first.delivery_id)
    assert second.delivery_tries == 1
    assert second.job.delivery.attempts == (attempt,)


def test_a_redelivery_begins_the_time_table_again_and_keeps_the_attempts(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.DELIVER)
    attempt = DeliveryAttempt(at=1, status=410, error="HTTP 410", milliseconds=3)
    store.record_delivery(claimed(store, stage=Stage.DELIVER), attempt, DeliveryStatus.EXHAUSTED, 0, {})

    job = store.redeliver(JOB)

    assert (job.delivery.status, len(job.delivery.attempts)) == (DeliveryStatus.PENDING, 1)
    assert claimed(store, stage=Stage.DELIVER, run=2).delivery_tries == 0


def test_a_redelivery_takes_the_lease_from_the_attempt_that_runs(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.DELIVER)
    running = claimed(store, stage=Stage.DELIVER)

    store.redeliver(JOB)

    assert store.expired_leases(store.now_ms() + 10**9, 10) == []
    attempt = DeliveryAttempt(at=1, status=500, error=None, milliseconds=3)
    assert not store.record_delivery(running, attempt, DeliveryStatus.EXHAUSTED, 0, {})


def test_jobs_are_listed_newest_first_page_by_page(store: JobStore) -> None:
    for number in range(5):
        accepted(store, f"r{number}")

    pages, cursor = [], None
    while not pages or cursor:
        jobs, cursor = store.list_jobs(CLIENT, None, 2, cursor)
        pages.append([job.request_id for job in jobs])

    assert pages == [["r4", "r3"], ["r2", "r1"], ["r0"]]


def test_a_list_holds_one_client_and_one_status_only(store: JobStore) -> None:
    accepted(store)
    accepted(store, client="other")
    accepted(store, "r2")
    claimed(store, "r2")

    assert [job.request_id for job in store.list_jobs(CLIENT, JobStatus.QUEUED, 10, None)[0]] == ["r1"]
    assert len(store.list_jobs(None, None, 10, None)[0]) == 3


def test_a_field_of_a_newer_version_survives_every_transition(store: JobStore, redis_client: redis.Redis) -> None:
    accepted(store)
    redis_client.hset(f"coop:job:{JOB}", "of_tomorrow", "x")
    advance_to(store, Stage.DELIVER)

    assert redis_client.hget(f"coop:job:{JOB}", "of_tomorrow") == b"x"


def test_an_ended_job_leaves_no_audio_behind(store: JobStore, redis_client: redis.Redis) -> None:
    accepted(store)
    RedisArtifacts(redis_client, JOB, 60).save("audio", b"x")
    advance_to(store, Stage.DELIVER)

    assert redis_client.keys("coop:artifact:*") == []


def test_a_forgotten_job_leaves_nothing_behind(redis_client: redis.Redis) -> None:
    store = store_of(redis_client, retention_days="0.0000001")
    accepted(store, callback_url=None)
    advance_to(store, Stage.DELIVER)
    redis_client.zadd("coop:ended", {JOB: 1})

    assert store.forget() == 1
    assert sorted(redis_client.keys("*")) == [b"coop:mean_job_ms", b"coop:metrics"]


def test_a_job_whose_callback_is_still_owed_is_not_forgotten(redis_client: redis.Redis) -> None:
    store = store_of(redis_client, retention_days="0.0000001")
    accepted(store)
    advance_to(store, Stage.DELIVER)
    redis_client.zadd("coop:ended", {JOB: 1})

    assert store.forget() == 0
    assert store.get(JOB) is not None


def test_an_acceptance_that_reaches_redis_too_late_keeps_nothing(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_store, "ACCEPT_WITHIN_SECONDS", -1)

    with pytest.raises(redis.TimeoutError):
        accepted(store)
    assert store.get(JOB) is None


def test_progress_clears_a_job_of_the_crashes_before_it(store: JobStore, redis_client: redis.Redis) -> None:
    accepted(store)
    claimed(store)
    let_lease_end(redis_client, Stage.METADATA)
    store.take_over(JOB, 1, "crashed")
    store.advance(claimed(store, run=2), OUTPUTS[Stage.METADATA], {})
    claimed(store, stage=Stage.DOWNLOAD, run=2)
    let_lease_end(redis_client, Stage.DOWNLOAD)

    assert store.take_over(JOB, 2, "crashed") == (3, 1)


def test_the_census_counts_what_runs_and_what_waits(store: JobStore) -> None:
    accepted(store)
    accepted(store, "r2", priority=Priority.LOW)
    claimed(store)
    store.announce_worker("mill@1", 4, 1)
    store.announce_worker("mill@2", 2, 0)

    census = store.census()

    assert census.in_flight[Stage.METADATA] == 1
    assert census.queue_depth == {Priority.HIGH: 0, Priority.NORMAL: 0, Priority.LOW: 1}
    assert (census.machines, census.slots_busy, census.slots_free) == (1, 1, 5)


def test_a_redis_that_may_lose_jobs_is_complained_of(store: JobStore, redis_client: redis.Redis) -> None:
    assert store.check() == []

    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert "evict" in store.check()[0]
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")
