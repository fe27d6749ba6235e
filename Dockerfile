# syntax=docker/dockerfile:1.7
# Two stages: the first has pip and the sources, the second an interpreter, what was installed and nothing to build with.
# The interpreter's minor version is the one whose wheels requirements.lock holds by hash (CPython 3.11, Linux x86-64).
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_CACHE_DIR=/var/cache/pip
WORKDIR /src
# For the DWA, which is compiled. Whichever version this Debian has: it leaves nothing in the image but what it made.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/build && python -m venv --without-pip /opt/steelyard
COPY deploy/build.lock requirements.lock ./
# First what changes seldom: this layer lasts until a version changes.
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/build/bin/pip install --require-hashes --no-deps --requirement build.lock \
    && /opt/build/bin/pip --python /opt/steelyard/bin/python install --require-hashes --no-deps --only-binary :all: --requirement requirements.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY gateway gateway
COPY providers providers
COPY dwa dwa
COPY cache cache
COPY migrations migrations
# Without isolation: the backend is the one above, whose hash is known.
RUN HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheel . \
    && /opt/build/bin/pip --python /opt/steelyard/bin/python install --no-deps --no-index /wheel/*.whl \
    && /opt/steelyard/bin/steelyard version \
    && /opt/steelyard/bin/python -c 'import sys, dwa.native; sys.exit(not dwa.native.is_compiled())'

FROM ${PYTHON_IMAGE} AS run
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Steelyard" \
      org.opencontainers.image.description="A multi-LLM routing gateway that weighs its providers." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A number that no account of the host is likely to have; by number, since Kubernetes cannot tell that a name is not root.
RUN groupadd --gid 10001 steelyard \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin steelyard \
    && install --directory --owner 10001 --group 10001 --mode 0750 /var/lib/steelyard
COPY --from=build /opt/steelyard /opt/steelyard
COPY deploy/healthy.py /opt/steelyard/healthy.py
# Bytecode is there already, and the root file system may be read-only. Beyond 127.0.0.1 it takes a key to start.
ENV PATH=/opt/steelyard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    STEELYARD_HOST=0.0.0.0
USER 10001:10001
# All that is ever written, but for /tmp: SQLite's file unless DATABASE_URL says otherwise, the log's spill, artifacts.
WORKDIR /var/lib/steelyard
VOLUME /var/lib/steelyard
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --retries=3 \
    CMD ["/opt/steelyard/bin/python", "-IS", "/opt/steelyard/healthy.py"]
ENTRYPOINT ["steelyard"]
CMD ["serve"]
