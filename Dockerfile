# syntax=docker/dockerfile:1
# One build, two targets: `docker build --target gateway .` and `docker build --target worker .`
ARG PYTHON=3.13

# What is downloaded and built stays in these stages.
FROM python:${PYTHON}-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# The pinned setuptools builds coop: its line and its two hashes.
COPY requirements-dev.txt ./
RUN grep --after-context=2 '^setuptools==' requirements-dev.txt > build.txt \
    && python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r build.txt
COPY pyproject.toml requirements.in celeryconfig.py ./
COPY coop ./coop
COPY workers ./workers
COPY api ./api
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM build AS build-gateway
COPY requirements-gateway.txt ./
RUN python -m venv /opt/coop \
    && /opt/coop/bin/pip install --require-hashes -r requirements-gateway.txt \
    && /opt/coop/bin/pip install --no-deps /wheels/*.whl

FROM build AS build-worker
COPY requirements.txt ./
RUN python -m venv /opt/coop \
    && /opt/coop/bin/pip install --require-hashes -r requirements.txt \
    && /opt/coop/bin/pip install --no-deps /wheels/*.whl

FROM python:${PYTHON}-slim AS base
ENV PATH=/opt/coop/bin:$PATH \
    HOME=/data \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    COOP_DATA_DIR=/data
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin coop \
    && install --directory --owner=coop --mode=0700 /data
# The root file system may be read-only: all that is written goes to /data and /tmp.
WORKDIR /data
VOLUME /data

FROM base AS gateway
COPY --from=build-gateway /opt/coop /opt/coop
ENV COOP_HOST=0.0.0.0 COOP_PORT=8080
USER 10001
EXPOSE 8080 5555
CMD ["coop", "gateway"]

FROM base AS worker
COPY --from=build-worker /opt/coop /opt/coop
USER 10001
CMD ["coop", "worker"]
