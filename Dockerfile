# One image for web, worker and release; what it runs is the command. See docs/deploy/docker.md.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md ./
COPY connector/ connector/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check \
      --constraint requirements.lock . \
 && /venv/bin/python -m compileall -q /venv

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 connector \
 && useradd --uid 10001 --gid connector --no-create-home --shell /usr/sbin/nologin connector \
 && install -d -o connector -g connector /app /app/var
COPY --from=build /venv /venv
COPY mappings/ /app/mappings/
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CONNECTOR_CONFIG=/app/config.yaml
USER connector
VOLUME /app/var
EXPOSE 8000
STOPSIGNAL SIGTERM
# Of web. A worker has no port; whether workers live is told by /readyz.
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["connector", "web", "--host", "0.0.0.0", "--port", "8000"]
