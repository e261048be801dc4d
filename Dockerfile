# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY scheduler scheduler
COPY worker worker
COPY redrive redrive
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python -m venv /opt/redrive \
    && /opt/redrive/bin/pip install --no-cache-dir "$(ls /wheels/redrive-*.whl)[postgres]"

FROM python:3.13-slim
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
