"""A model of the job store, driven through random interleavings against a real Redis.

The model is small: who holds which lease, which outcome was written first, which run was the last. What must hold after
every step is in the invariants: no job is stuck, none has two outcomes, none leaves an end by itself, runs only grow.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from coop.errors import JobError, Problem
from coop.job_store import Claim, JobStore
from coop.jobs import STAGES, DeliveryAttempt, DeliveryStatus, Job, JobStatus, Stage, job_id_of
from tests.support.jobs import CLIENT, OUTPUTS, new_job, store_of

NAMES = ("a", "b")
names = st.sampled_from(NAMES)
URLS = {"a": "https://example.org/callback", "b": None}


class JobStoreMachine(RuleBasedStateMachine):
    """Workers that claim, end, fail, crash and come back late; callers that cancel and retry; a reaper."""

    client: redis.Redis

    @initialize()
    def begin(self) -> None:
        self.client.flushall()
        self.store: JobStore = store_of(self.client)
        self.claims: list[Claim] = []
        self.outcomes: dict[str, bytes] = {}
        self.runs: dict[str, int] = {}
        self.ends: dict[str, JobStatus] = {}

    def job(self, name: str) -> Job | None:
        return self.store.get(job_id_of(CLIENT, name))

    # What callers do

    @rule(name=names)
    def accept(self, name: str) -> None:
        known = self.job(name)
        acceptance = self.store.accept(new_job(name, callback_url=URLS[name]))
        assert acceptance.is_replay == (known is not None)

    @rule(name=names)
    def cancel(self, name: str) -> None:
        before = self.job(name)
        try:
            job = self.store.cancel(job_id_of(CLIENT, name))
        except Problem:
            assert before is None or before.status.is_final
        else:
            assert job.status is JobStatus.CANCELLED

    @rule(name=names)
    def condemn(self, name: str) -> None:
        """The reaper ends a job; it may have looked at it a while ago."""
        job = self.job(name)
        if job:
            assert self.store.abort(job, JobError("internal")) == (not job.status.is_final)

    @rule(name=names)
    def retry(self, name: str) -> None:
        before = self.job(name)
        try:
            after = self.store.retry(job_id_of(CLIENT, name))
        except Problem:
            assert before is None or before.status not in (JobStatus.FAILED, JobStatus.CANCELLED)
        else:
            assert before
            assert after.run == before.run + 1
            self.outcomes.pop(name, None)
            self.ends.pop(name, None)

    @rule(name=names)
    def redeliver(self, name: str) -> None:
        before = self.job(name)
        try:
            after = self.store.redeliver(job_id_of(CLIENT, name))
        except Problem:
            assert before is None or not before.status.is_final or URLS[name] is None
        else:
            assert before
            assert (after.run, after.delivery.status) == (before.run + 1, DeliveryStatus.PENDING)

    # What workers do, with right or wrong messages

    @rule(name=names, stage=st.sampled_from(STAGES), behind=st.integers(0, 1))
    def claim(self, name: str, stage: Stage, behind: int) -> None:
        job = self.job(name)
        answer = self.store.claim(job_id_of(CLIENT, name), (job.run if job else 1) - behind, stage, "mill")
        if isinstance(answer, Claim):
            assert job
            assert (answer.job.stage, answer.job.run, behind) == (stage, job.run, 0)
            self.claims.append(answer)

    @rule(name=names, behind=st.integers(0, 1))
    def claim_what_is_next(self, name: str, behind: int) -> None:
        job = self.job(name)
        if job and job.stage:
            self.claim(name, job.stage, behind)

    @rule(name=names, stages=st.integers(1, 6))
    def work_on(self, name: str, stages: int) -> None:
        """A healthy worker takes the job through some of its stages."""
        for _ in range(stages):
            job = self.job(name)
            answer = job and job.stage and self.store.claim(job.id, job.run, job.stage, "mill")
            if not isinstance(answer, Claim):
                return
            self.claims.append(answer)
            assert self.write(answer, "well")

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=st.sampled_from(["well", "well", "well", "fail", "postpone", "hand back", "silence"]))
    def end_stage(self, data: st.DataObject, end: str) -> None:
        """A worker writes its last word, perhaps long after it lost its lease, and perhaps twice."""
        claim = data.draw(st.sampled_from(self.claims))
        was_held = self.holds(claim)
        before = self.job(claim.job.request_id)
        is_written = self.write(claim, end)
        if is_written is not None and not was_held:
            # Either refused, or the repetition of its own write: nothing changes.
            assert self.job(claim.job.request_id) == before
        if is_written is not None and was_held:
            assert is_written

    def write(self, claim: Claim, end: str) -> bool | None:
        if end == "silence":
            return None
        if claim.stage is Stage.DELIVER:
            status = DeliveryStatus.PENDING if end == "fail" else DeliveryStatus.DELIVERED
            attempt = DeliveryAttempt(1, 500 if end == "fail" else 204, None, 1)
            return self.store.record_delivery(claim, attempt, status, 0, {})
        if end == "fail":
            return self.store.fail(claim, JobError("internal"), {})
        if end == "postpone":
            return self.store.postpone(claim, JobError("internal"), 0, {})
        if end == "hand back":
            return self.store.hand_back(claim, JobError("internal"))
        write = self.store.succeed if claim.stage is Stage.IDEAS else self.store.advance
        return write(claim, OUTPUTS[claim.stage], {})

    def holds(self, claim: Claim) -> bool:
        return self.client.hget(f"coop:job:{claim.job.id}", "lease") == claim.token.encode()

    # What time and the reaper do

    @rule(name=names, crash=st.booleans())
    def reap(self, name: str, crash: bool) -> None:
        """Whatever the reaper may see the job as: due, crashed (its lease has ended) or lost."""
        job = self.job(name)
        if job is None or job.stage is None:
            return
        if crash:
            self.client.zadd(f"coop:leases:{job.stage}", {job.id: 1}, xx=True)
        for reason in ("due", "crashed", "lost"):
            taken = self.store.take_over(job.id, job.run, reason)  # type: ignore[arg-type]  # one of its literals
            if taken:
                assert taken[0] == job.run + 1
                return

    @rule()
    def renew(self) -> None:
        if self.claims:
            lost = self.store.renew(self.claims)
            assert lost == {claim.token for claim in self.claims if not self.holds(claim)}

    @rule(name=names)
    def forget_audio(self, name: str) -> None:
        self.client.delete(f"coop:artifact:{job_id_of(CLIENT, name)}:audio")

    # What must hold

    @invariant()
    def no_job_is_stuck(self) -> None:
        for name, job in self.known():
            places = [*self.client.keys("coop:waiting:*"), *self.client.keys("coop:leases:*"), b"coop:due"]
            found = [place for place in places if self.client.zscore(place, job.id) is not None]
            assert len(found) == (1 if job.stage else 0), (name, found)
            if job.stage is None:
                assert job.status.is_final
                assert job.delivery.status is not DeliveryStatus.PENDING
            else:
                assert b"coop:due" in found or str(job.stage).encode() in found[0]

    @invariant()
    def an_end_is_one_outcome_and_stays(self) -> None:
        for name, job in self.known():
            outcome = self.store.outcome(job.id)
            assert (outcome is not None) == job.status.is_final
            if outcome is not None:
                assert self.outcomes.setdefault(name, outcome) == outcome
                assert self.ends.setdefault(name, job.status) is job.status
            else:
                assert name not in self.outcomes

    @invariant()
    def runs_only_grow(self) -> None:
        for name, job in self.known():
            assert job.run >= self.runs.get(name, 1)
            self.runs[name] = job.run

    @invariant()
    def every_list_says_what_the_record_says(self) -> None:
        for _, job in self.known():
            for status in JobStatus:
                listed = self.client.zscore(f"coop:jobs:all:{status}", job.id) is not None
                assert listed == (status is job.status)

    def known(self) -> Iterator[tuple[str, Job]]:
        for name in NAMES:
            job = self.job(name)
            if job:
                yield name, job


def test_no_interleaving_loses_doubles_or_revives_a_job(redis_client: redis.Redis) -> None:
    machine = type("Machine", (JobStoreMachine,), {"client": redis_client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_no_interleaving_loses_doubles_or_revives_a_job_at_length(redis_client: redis.Redis) -> None:
    machine = type("Machine", (JobStoreMachine,), {"client": redis_client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=1000, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
