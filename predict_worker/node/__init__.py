"""A node: one Celery worker, that is a parent process and the children it forks."""
