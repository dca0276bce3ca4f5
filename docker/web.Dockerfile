# The web: Django and what serves it, no TensorFlow. Built in the root of the checkout:
#   docker build -f docker/web.Dockerfile -t predict-worker-web .
# BASE: a Linux with glibc, a shell, and Python 3.11 or newer with venv.
ARG BASE=python:3.11-slim
FROM ${BASE}

RUN --mount=type=bind,source=requirements.lock,target=/tmp/requirements.lock \
    --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /tmp/tools \
    && python3 -m venv --without-pip /venv \
    && /tmp/tools/bin/pip --python /venv install --compile --no-deps --require-hashes -r /tmp/requirements.lock \
    && rm -r /tmp/tools \
    && groupadd --gid 10001 predict \
    && useradd --uid 10001 --gid 10001 --no-log-init --home-dir /tmp predict \
    && install --directory --owner=10001 --group=10001 /data

ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
COPY . .
RUN python3 -m compileall -q . && chmod -R a+rX .

# Users and their passwords are in the volume /data, or in another database that DATABASE_URL names.
ENV HOST=0.0.0.0 PORT=8000 DATABASE_URL=sqlite:////data/db.sqlite3
EXPOSE 8000
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python3", "-IS", "-c", "\
import http.client, os, sys; \
web = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); \
web.request('GET', '/healthz'); \
sys.exit(web.getresponse().status != 200)"]
CMD ["docker/start", "web"]
