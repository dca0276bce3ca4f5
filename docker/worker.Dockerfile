# The worker: TensorFlow, LiteRT and ONNX Runtime. Built in the root of the checkout:
#   docker build -f docker/worker.Dockerfile -t predict-worker-worker .
# BASE: a Linux with glibc, a shell, and Python 3.11 or newer with venv.
ARG BASE=python:3.11-slim
FROM ${BASE}

# The headers are for building extensions of TensorFlow: 430 MB.
RUN --mount=type=bind,source=requirements-worker.lock,target=/tmp/requirements.lock \
    --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /tmp/tools \
    && python3 -m venv --without-pip /venv \
    && /tmp/tools/bin/pip --python /venv install --compile --no-deps --require-hashes -r /tmp/requirements.lock \
    && rm -r /tmp/tools /venv/lib/python3.*/site-packages/tensorflow/include \
    && groupadd --gid 10001 predict \
    && useradd --uid 10001 --gid 10001 --no-log-init --home-dir /tmp predict

ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
COPY . .
RUN python3 -m compileall -q . && chmod -R a+rX .

ENV MODEL_REPOSITORY=/models PREDICT_WORKER_HEARTBEAT_FILE=/tmp/heartbeat
USER 10001:10001
# Half a minute without a heartbeat. No Python is started for it, and no Redis asked.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD test -n "$(find "$PREDICT_WORKER_HEARTBEAT_FILE" -mmin -0.5)"
CMD ["docker/start", "worker"]
