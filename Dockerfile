# syntax=docker/dockerfile:1
# An exact version. `docker buildx imagetools inspect python:3.13.9-slim` says its digest, to be appended as
# python:3.13.9-slim@sha256:… where not even a tag may be trusted.
FROM python:3.13.9-slim AS build
WORKDIR /source
COPY deploy/requirements.txt ./
# Nothing that was not tried gets in: versions and hashes are those of the file. First, since it changes most rarely.
RUN python -m venv /opt/redrive \
    && /opt/redrive/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY scheduler scheduler
COPY worker worker
COPY redrive redrive
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && /opt/redrive/bin/pip install --no-cache-dir --no-deps --no-index /wheels/redrive-*.whl

FROM python:3.13.9-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/redrive redrive
COPY --from=build /opt/redrive /opt/redrive
ENV PATH=/opt/redrive/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    REDRIVE_CONFIG=/etc/redrive/redrive.toml \
    REDRIVE_HOME=/var/lib/redrive
USER redrive
WORKDIR /var/lib/redrive
# What is healthy differs by part: docker-compose.yml says it for each.
ENTRYPOINT ["redrive"]
CMD ["--help"]
