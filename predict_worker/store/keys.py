"""Every key in Redis: its name, type and life. Nothing else spells one, the Lua scripts included
(they get their key functions from :func:`lua_prelude`).

All keys of a job share the hash tag of its bucket, so a script touches one slot of a cluster::

    pw:1:{0}:job:0-0193…        prefix : schema : {bucket} : kind : …

========== ====== =========================================== ==============================
kind       type   holds                                       lives
========== ====== =========================================== ==============================
job        hash   one job                                     record_ttl_s once final
in         string inputs of one row range, if too large for   until the job is final (dead
                  its stream entry                            letters: record_ttl_s)
out        string outputs of one row range                    result_ttl_s once the job is final
                                                              (dead letters: record_ttl_s)
stage      string outputs on their way to ``out``             60 s
once       string job id and fingerprint of an idempotency    record_ttl_s
                  key (hashed with its owner)
owned      stream ids of an owner's jobs, by their submit     record_ttl_s after the last
queue      stream entries of a model and priority             entry: until finished
model      hash   counters and measured times of a model      for ever
slots      zset   wake-ups of a model, by the moment they     for ever
                  lapse (microseconds)
suspects   list   entries that wait for a rerun, alone        until rerun
retries    zset   entries that came to a retryable error, by  until retried
                  the moment from which they may be claimed
deadlines  zset   jobs with a deadline                        until final
dead       zset   dead letters by moment of death             members: record_ttl_s
ready      zset   children that have the model loaded, by     for ever
                  the moment their heartbeat lapses
listeners  zset   children that listen for a ring, by the     for ever
                  moment they stop
bell       list   models that a listening child is rung for   5 s
entries    string number of entries in all queues             for ever
memory     hash   last reading of Redis' own memory use       for ever
rate       string requests of a caller in the window of a     the window
                  rate
delivery   hash   one end of a job for one receiver           record_ttl_s once it is over
receiver   zset   deliveries of an owner to one host, by the  until they are over
                  moment of their next attempt
hold       string nothing: meanwhile a receiver is spared     as it says
due        zset   receivers by the moment of their next       until nothing is pending
                  attempt
deliveries zset   deliveries by the moment they were made     members: deliveries_ttl_s
deliverers zset   wake-ups of hooks workers, by the moment    for ever
                  they lapse
pending    string number of deliveries that are not over      for ever
========== ====== =========================================== ==============================

Outside the buckets: the catalogue's hashes, those of webhooks' endpoints and secrets, the sweeper's lock and
the reply channels.
"""

from __future__ import annotations

SCHEMA = 1
GROUP = "workers"
SUSPECTS = "suspects"
"""The consumer that owns entries between a death and their rerun."""

RETRIES = "retries"
"""The one that owns them between a retryable error and their retry."""

PRIORITIES = ("high", "normal", "low")

_KINDS = {
    "job": ("job_id",),
    "in": ("job_id", "range"),
    "out": ("job_id", "range"),
    "stage": ("name",),
    "once": ("digest",),
    "owned": ("owner",),
    "queue": ("model", "priority"),
    "model": ("model",),
    "slots": ("model",),
    "suspects": ("model",),
    "retries": ("model",),
    "deadlines": ("model",),
    "dead": ("model",),
    "ready": ("model",),
    "listeners": (),
    "bell": ("consumer",),
    "entries": (),
    "memory": (),
    "rate": ("caller", "counter"),
    "delivery": ("delivery_id",),
    "receiver": ("receiver",),
    "hold": ("receiver",),
    "due": (),
    "deliveries": (),
    "deliverers": (),
    "pending": (),
}


class Keys:
    """Key names of one prefix."""

    def __init__(self, prefix: str) -> None:
        self._root = f"{prefix}:{SCHEMA}"

    def base(self, bucket: int) -> str:
        """What every key of a bucket begins with; scripts get it as their one declared key."""
        return f"{self._root}:{{{bucket}}}"

    def job(self, bucket: int, job_id: str) -> str:
        return f"{self.base(bucket)}:job:{job_id}"

    def inputs(self, bucket: int, job_id: str, range_index: int) -> str:
        return f"{self.base(bucket)}:in:{job_id}:{range_index}"

    def outputs(self, bucket: int, job_id: str, range_index: int) -> str:
        return f"{self.base(bucket)}:out:{job_id}:{range_index}"

    def stage(self, bucket: int, name: str) -> str:
        return f"{self.base(bucket)}:stage:{name}"

    def slots(self, bucket: int, model: str) -> str:
        return f"{self.base(bucket)}:slots:{model}"

    def owned(self, bucket: int, owner: str) -> str:
        return f"{self.base(bucket)}:owned:{owner}"

    def delivery(self, bucket: int, delivery_id: str) -> str:
        return f"{self.base(bucket)}:delivery:{delivery_id}"

    def receiver(self, bucket: int, receiver: str) -> str:
        return f"{self.base(bucket)}:receiver:{receiver}"

    def bell(self, bucket: int, consumer: str) -> str:
        return f"{self.base(bucket)}:bell:{consumer}"

    def ready(self, bucket: int, model: str) -> str:
        return f"{self.base(bucket)}:ready:{model}"

    def reply(self, channel: str) -> str:
        return f"{self._root}:reply:{channel}"

    def catalogue(self, part: str) -> str:
        """``models``, ``specs``, ``labels`` (moved ones), ``workers``: hashes; ``nodes``: a zset by the lapse
        in microseconds."""
        return f"{self._root}:catalogue:{part}"

    def hooks(self, part: str) -> str:
        """``endpoints`` by owner and id, ``secrets`` (for URLs that jobs name) by owner: hashes."""
        return f"{self._root}:hooks:{part}"

    @property
    def sweeper(self) -> str:
        """Lock of the one sweeping worker."""
        return f"{self._root}:sweeper"

    def lua_prelude(self) -> str:
        """Local functions ``job_key(job_id)``, ``queue_key(model, priority)``, … for the scripts."""
        lines = ["local base = KEYS[1]", f"local REPLY = '{self._root}:reply:'"]
        lines += [
            f"local GROUP = '{GROUP}'",
            f"local SUSPECTS = '{SUSPECTS}'",
            f"local RETRIES = '{RETRIES}'",
        ]
        for kind, parameters in _KINDS.items():
            name = "".join(f" .. ':' .. {p}" for p in parameters)
            lines.append(
                f"local function {kind}_key({', '.join(parameters)}) return base .. ':{kind}'{name} end"
            )
        return "\n\n".join(lines)
