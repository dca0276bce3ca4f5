"""What operators ask of a model's queue in Redis."""

from __future__ import annotations

from ..core.job import Priority
from ..core.ports import Mode, QueueStats
from .redis_listing import RedisListing


class RedisModes(RedisListing):
    """See :class:`predict_worker.core.ports.JobStore`."""

    def stats(self, model: str) -> QueueStats:
        answers = [self._scripts.call("stats", b, [model], repeatable=True)[0] for b in range(self._buckets)]
        waiting, entries = sum(a[0] for a in answers), sum(a[1] for a in answers)
        entry_ms = max(int(a[2]) for a in answers) / 1000  # 0 in a bucket that has measured nothing yet
        mode = Mode(answers[0][4].decode() or Mode.SERVING)
        return QueueStats(waiting, entries - waiting, entry_ms, answers[0][3], mode)

    def set_mode(self, model: str, mode: Mode) -> tuple[str, ...]:
        calls = [(bucket, [model, mode]) for bucket in range(self._buckets)]
        tokens = [self._scripts.call("mode", *call, repeatable=True)[0] for call in calls]
        return tuple(token.decode() for token in tokens if token)

    def purge(self, model: str) -> int:
        queues = [(bucket, priority) for bucket in range(self._buckets) for priority in Priority]
        return sum(self._purge(model, *queue) for queue in queues)

    def _purge(self, model: str, bucket: int, priority: Priority) -> int:
        cancelled, first, last = 0, "-", ""
        while first:
            answer, _ = self._scripts.call("purge", bucket, [model, priority, first, last], repeatable=True)
            cancelled, first, last = cancelled + answer[0], answer[1].decode(), answer[2].decode()
        return cancelled
