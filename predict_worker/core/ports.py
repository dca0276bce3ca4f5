"""The ports: what the upper floors need from the outside, as Protocols with their contracts.

Every port has an in-memory twin; the same contract tests run against both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from .errors import PredictionError
from .hooks import HookStore
from .job import Job, JobError, JobState, NewJob, Timings
from .rates import Rate, Taken
from .spec import ModelSpec

# ---------------------------------------------------------------- jobs


@dataclass(frozen=True, slots=True)
class Accepted:
    """Answer to a submit. ``wakeup`` is a token that must be published now, or None."""

    job: Job
    wakeup: str | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One claimed (job, row range).

    ``payload`` is None when its bytes are gone (the job was deleted meanwhile).
    ``version`` is what submit resolved, None if the worker must resolve.
    """

    id: str  # opaque to all but the store
    job_id: str
    range_index: int
    rows: int
    version: int | None
    pinned: bool
    signature_name: str
    outputs: tuple[str, ...]
    attempt: int  # 1 for the first run
    queue_ms: float
    payload: bytes | None
    digest: str | None = None  # of that version, if submit knew it
    retries: int = 0  # how many of the attempts before came to a retryable error
    postponed: int = 0  # how often it was handed back, its model not loaded yet


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry: a payload, or an error.

    Of an error that is marked retryable either ``retry_in_s`` (the entry runs again so much later) or
    ``given_up`` (it has, often enough: the job becomes a dead letter). ``postponed``: it did not run at
    all and does so later, which is no retry and no part of its history.
    """

    entry: Entry
    payload: bytes | None = None
    error: JobError | None = None
    timings: Timings = field(default_factory=Timings)
    # What ran; None if nothing did. It may be a newer version than submit resolved.
    version: int | None = None
    digest: str | None = None
    artefact: str | None = None
    retry_in_s: float | None = None
    given_up: bool = False
    postponed: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """One child at work for one model: who, on what, holding which wake-up."""

    model: str
    consumer: str  # "<node>:<pid>"
    token: str


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """How much one step may claim; at least one entry is always claimed if any waits. ``holding``: it
    adds to what the lane has claimed before, so that its wake-up stays where nothing waits."""

    max_rows: int
    max_bytes: int
    holding: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What a step gave. Empty ``entries``: nothing waits (or nothing was asked for) and the
    wake-up is released. ``wakeup``: a token to publish, for one more child or for oneself later."""

    entries: tuple[Entry, ...] = ()
    wakeup: str | None = None
    listening: bool = False  # nothing waits, and the store will ring: see JobStore.listen
    hooks_wakeup: str | None = None  # a token to publish: an outcome has made deliveries due


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The facts that a final state adds to a job."""

    state: JobState
    started_us: int
    finished_us: int
    attempts: int
    timings: Timings
    error: JobError | None = None
    version: int | None = None
    digest: str | None = None
    artefact: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """One final job on a reply channel.

    ``job_id`` alone (``end`` None) means: read the store. ``payload`` is the single
    range's outputs, None for a failed job.
    """

    job_id: str
    end: JobEnd | None = None
    payload: bytes | None = None


class Mode(StrEnum):
    """What an operator wants of a model's queue."""

    SERVING = "serving"
    PAUSED = "paused"  # jobs are accepted, none is run
    DRAINING = "draining"  # no job is accepted, what is queued runs


@dataclass(frozen=True, slots=True)
class QueueStats:
    """Entries of one model: waiting for a claim or a retry, claimed, and the measured time of one
    (0 = unknown)."""

    waiting: int
    running: int
    entry_ms: float
    ready_children: int
    mode: Mode = Mode.SERVING


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep of one model did. ``wakeups`` must be published."""

    wakeups: tuple[str, ...] = ()
    expired: int = 0
    reclaimed: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """Jobs, newest first. ``cursor`` leads to those that follow; empty where there are none."""

    job_ids: tuple[str, ...] = ()
    cursor: str = ""


class Loss(StrEnum):
    """Why a consumer no longer works on what it holds."""

    CHILD = "child"  # died while its parent lives: a strike if it ran one entry alone
    TIMEOUT = "timeout"  # killed at the hard limit: counts like CHILD
    NODE = "node"  # parent or host gone, or the lease lapsed: has its own, higher bound
    HANDBACK = "handback"  # nobody died, a claim's answer was lost: counts nothing


class Rates(Protocol):
    """How often callers have asked."""

    def take(self, caller: str, rates: Sequence[Rate], model: str) -> Taken:
        """Count one more request of this caller against each rate, or against none where one of them is used
        up. Whether a rate concerns the model has been asked before.

        Raises StoreUnavailable, QueueFull where the store has no room to count.
        """
        ...


class JobStore(Rates, HookStore, Protocol):
    """Single truth of jobs. Every method is atomic and raises ``StoreUnavailable`` when the
    store does not answer in time. Moments come from the store's own clock."""

    def submit(self, new: NewJob) -> Accepted:
        """Admit and store a job, once per (owner, idempotency key).

        Raises QueueFull (nothing stored; DeadlineUnreachable where the measured work ahead takes longer
        than the deadline leaves) and IdempotencyConflict.
        """
        ...

    def submit_many(self, new: Sequence[NewJob]) -> list[Accepted | PredictionError]:
        """:meth:`submit` for each, in one round trip; a refusal stands in the place of its answer.

        Raises StoreUnavailable: then each may have been stored or not.
        """
        ...

    def get(self, job_id: str) -> Job:
        """Raises JobNotFound. A job past its deadline that is not final is expired by this read."""
        ...

    def get_many(self, job_ids: Sequence[str]) -> list[Job | None]:
        """Like :meth:`get` for each, None for an unknown one, in one round trip (one per bucket)."""
        ...

    def result(self, job_id: str) -> tuple[Job, tuple[bytes, ...] | None]:
        """The job, and when it succeeded the outputs of its ranges in row order.

        None instead of outputs: not succeeded, or the outputs have expired.
        """
        ...

    def cancel(self, job_id: str) -> Job:
        """Queued or running becomes cancelled, a running one's result is discarded. Cancelling
        twice is fine; any other final state raises JobConflict. Raises JobNotFound."""
        ...

    def delete(self, job_id: str) -> None:
        """Remove the job and its data; if it runs, its result is discarded. Raises JobNotFound."""
        ...

    def watch(self, job_id: str, reply_to: str) -> Job:
        """Ask for a Finished message on that channel too (the job is returned as it is now)."""
        ...

    def delivered(self, job_ids: Sequence[str]) -> None:
        """A waiter has received these results: they may expire sooner."""
        ...

    def step(
        self,
        lane: Lane,
        done: Sequence[Outcome],
        limits: ClaimLimits | None,
        entry_ms: float = 0.0,
        listen_s: float = 0.0,
    ) -> Claim:
        """Publish a finished batch and claim the next entries, in one transaction.

        An outcome becomes visible only if its entry is still pending, so exactly one result of
        a job is ever seen. With ``limits`` the lane's wake-up is renewed, or released when
        nothing waits. ``limits`` None claims nothing and gives way: the wake-up is released,
        and if work waits ``Claim.wakeup`` is the token of the next one.
        What was claimed when a consumer was lost comes alone: exactly one entry. Cancelled and expired
        jobs are never claimed. An entry that is to be retried waits for its time, unless another consumer
        has taken it meanwhile, the job would be past its deadline then, or fails anyhow.
        ``entry_ms`` is the lane's measured time per entry. With ``listen_s``, where nothing waits,
        the store may promise to ring for that long (``Claim.listening``) instead of issuing a wake-up.
        """
        ...

    def listen(self, lane: Lane, listen_s: float) -> str | None:
        """After a step that said ``listening``: the model that this child is rung for, None if it is
        not rung in time. A ring may be lost: its slot lapses as a wake-up's does."""
        ...

    def renew(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """Extend the lease of entries still owned by the lane, and its wake-up."""
        ...

    def release_wakeup(self, model: str, token: str) -> None:
        """Free a wake-up whose publishing failed."""
        ...

    def recover(self, model: str, consumer: str, loss: Loss) -> int:
        """Make all that this consumer holds wait for a rerun, each alone; returns how many.

        ``consumer`` may be ``"<node>:"`` (all children of a node). A job that reaches its bound
        of strikes fails instead and is kept in the dead letters.
        """
        ...

    def sweep(self, model: str) -> Swept:
        """Re-issue lost wake-ups, wake for retries that are due, expire overdue jobs (running ones too),
        recover entries whose lease lapsed."""
        ...

    def stats(self, model: str) -> QueueStats: ...

    def set_mode(self, model: str, mode: Mode) -> tuple[str, ...]:
        """From now on a paused model's jobs wait: nothing is claimed, no wake-up is issued. A draining one's
        submits and redrives are refused (ModelDraining). Returns wake-ups that must be published."""
        ...

    def purge(self, model: str) -> int:
        """Cancel all jobs of a model that no child is at work on: queued ones, and those that wait for a
        rerun or a retry. What is submitted meanwhile stays. Returns how many."""
        ...

    def jobs(
        self,
        owner: str | None,
        limit: int = 100,
        cursor: str = "",
        state: JobState | None = None,
        model: str | None = None,
    ) -> Listing:
        """An owner's jobs by their submit, for as long as ``record_ttl_s`` after it; of None everybody's,
        which is for operators: it looks through all keys. A page may hold fewer than there are."""
        ...

    def dead(self, model: str, owner: str | None = None, limit: int = 100, cursor: str = "") -> Listing:
        """The dead letters of a model, by their death; an owner's, of None everybody's."""
        ...

    def redrive(self, job_id: str, queue_max_jobs: int = 10_000) -> Accepted:
        """Queue a dead letter again: with its id and history, without strikes and deadline. What other
        ranges of it have answered stays.

        Raises JobNotFound, JobConflict where it is none, InputsGone, QueueFull.
        """
        ...

    def subscribe(self, channel: str, deliver: Callable[[Sequence[Finished]], None]) -> Subscription:
        """Deliver messages of a reply channel, from a thread of the store's, until closed.
        A message may be lost (a reconnect): whoever waits rechecks."""
        ...

    def ping(self) -> None:
        """Raises StoreUnavailable."""
        ...


class Subscription(Protocol):
    def close(self) -> None: ...


# ---------------------------------------------------------------- wake-ups


class Wakeups(Protocol):
    """Tells some worker that work waits for a model. Carries no data."""

    def send(self, model: str, token: str) -> None:
        """Raises StoreUnavailable when the broker does not take it."""
        ...

    def send_hooks(self, token: str) -> None:
        """To a hooks worker: deliveries are due. Raises StoreUnavailable likewise."""
        ...


# ---------------------------------------------------------------- catalogue


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version on one child. ``state`` as TensorFlow Serving names it:
    START, LOADING, AVAILABLE, UNLOADING, END; ``error`` is empty unless it failed."""

    model: str
    version: int
    state: str
    error: str = ""
    load_ms: float | None = None


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """What a child has seen of the version that shadows a model, in its life. ``compared`` answers, of which
    ``different`` are beyond the tolerance; ``failed``: the shadow alone did; ``dropped``: it was too busy.
    ``max_difference`` between two numbers."""

    model: str
    version: int
    compared: int = 0
    different: int = 0
    failed: int = 0
    dropped: int = 0
    max_difference: float = 0.0


@dataclass(frozen=True, slots=True)
class ServedCounts:
    """What a child has answered in a version, in its life: row ranges that ``succeeded`` (with so many
    ``rows``, in so many ``batches``) or ``failed``; of the former their time in the queue and in the model,
    added up; ``last_us`` is the moment of the last batch."""

    model: str
    version: int
    succeeded: int = 0
    failed: int = 0
    rows: int = 0
    batches: int = 0
    queue_ms: float = 0.0
    predict_ms: float = 0.0
    last_us: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One worker child's sign of life; or a parent's, while its children fail to start."""

    consumer: str
    host: str
    pid: int
    state: str  # starting, ready, draining, stopped, unhealthy
    started_us: int
    models: tuple[VersionStatus, ...] = ()
    loads: int = 0  # how often this process has loaded a model
    batches: int = 0
    age_s: float = 0.0  # filled by the reader
    error: str = ""  # of one that is unhealthy
    shadows: tuple[ShadowCounts, ...] = ()
    served: tuple[ServedCounts, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What exists in the repository, loaded or not."""

    name: str
    versions: tuple[int, ...]
    labels: tuple[tuple[str, int], ...] = ()
    queue_max_jobs: int = 10_000
    error: str = ""  # why the repository cannot offer it
    gone: bool = False  # it has left the repository
    canary: tuple[tuple[str, float], ...] = ()  # label, share of the jobs that name no version


@dataclass(frozen=True, slots=True)
class CatalogueView:
    """One consistent reading of the catalogue. ``labels``: those that were moved, by model."""

    models: tuple[ModelEntry, ...] = ()
    specs: tuple[ModelSpec, ...] = ()
    workers: tuple[Heartbeat, ...] = ()
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class CatalogueStore(Protocol):
    """What the workers publish and the web reads. Models and specs stay until they are retracted;
    heartbeats expire."""

    def read(self) -> CatalogueView: ...

    def publish_models(self, models: Sequence[ModelEntry]) -> None:
        """Replace or add these models; others stay (another node's repository may differ)."""
        ...

    def publish_specs(self, specs: Sequence[ModelSpec]) -> None: ...

    def retract_model(self, name: str) -> None:
        """Forget a model, its specs and its moved labels."""
        ...

    def retract_spec(self, name: str, version: int) -> None: ...

    def move_label(self, name: str, label: str, version: int | None) -> None:
        """From now on the label points there, whatever ``model.toml`` says; None: as that says again."""
        ...

    def beat(self, heartbeat: Heartbeat, ttl_s: float) -> None: ...

    def leave(self, consumer: str) -> None:
        """Forget a child's heartbeat at once."""
        ...

    def beat_node(self, node: str, ttl_s: float) -> None:
        """A sign of life of a whole node (a worker's parent process)."""
        ...

    def lapsed_nodes(self) -> tuple[str, ...]:
        """Nodes whose sign of life has lapsed and that nobody has forgotten yet."""
        ...

    def forget_node(self, node: str) -> None:
        """Its entries are recovered, or it left by itself: drop it and its children's heartbeats."""
        ...

    def sweeping(self, node: str, ttl_s: float) -> bool:
        """Whether this node is the one that sweeps now; the right lapses after ``ttl_s``."""
        ...
