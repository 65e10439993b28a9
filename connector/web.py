"""The web process: receiver, health, metrics, dashboard; one process with threads.

`create_app` is a plain WSGI factory; `serve` runs it under gunicorn. Nothing here waits for Redis:
it starts without, says so, and goes on when it is there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, jsonify
from redis.exceptions import RedisError

from connector import assemble, dashboard, flow, metrics, receiver, series, serving
from connector.alive import live_workers
from connector.config import Config
from connector.config import load as load_config
from connector.errors import MappingInvalid
from connector.exposition import CONTENT_TYPE, Exposition, standing
from connector.known_paths import Application
from connector.mapping import published
from connector.receiver import Intake
from connector.records import store
from connector.redisdb import Redis, connect
from connector.series import Sampler
from connector.spool import Spool
from connector.telemetry import Telemetry

log = logging.getLogger(__name__)

REDIS_SECONDS = 0.3
"""How long a request waits for Redis before its events go to the spool."""

THREADS = 8
FLUSH_SECONDS = 1.0


def create_app(config: Config | None = None) -> Flask:
    """The WSGI application; reads `CONNECTOR_CONFIG` when no configuration is given.

    Raises ConfigInvalid.
    """
    config = config or load_config()
    client = connect(config.redis_url, timeout=REDIS_SECONDS)
    telemetry = Telemetry("web", config)
    spool = Spool(config.spool, most_bytes=config.receiver.max_spool) if config.spool else None
    intake = Intake(client, spool, telemetry)
    webhooks = [f"/webhooks/{name}" for name in config.sources]
    app = Application("connector", static_folder=None, template_folder=None, known=webhooks)
    app.register_blueprint(
        receiver.blueprint(assemble.open_sources(config), intake, config.receiver.max_body)
    )
    _add_health(app, config, client, spool)
    pages = dashboard.beside(app.wsgi_app, config, lambda: None if spool is None else len(spool))
    app.wsgi_app = pages  # type: ignore[method-assign]
    _add_metrics(app, Exposition(client, config, telemetry.meter, lambda: _spooled(spool)))
    _in_background(intake.drain_forever, "spool")
    _in_background(lambda: _look_after(config, client, spool, telemetry, intake.ended), "upkeep")
    app.extensions["connector"] = intake
    return app


def close(app: Flask) -> None:
    """End the threads that `create_app` began; for who makes applications and drops them."""
    app.extensions["connector"].end()


def serve(config: Config, host: str, port: int) -> None:
    """Run the web process until a signal ends it."""
    serving.serve(
        lambda: create_app(config),
        host,
        port,
        threads=THREADS,
        most_body=config.receiver.max_body,
        momentary=("POST /webhooks/",),
        settings={
            "timeout": 30,
            "graceful_timeout": 25,
            "limit_request_line": 4094,
            "proc_name": "connector-web",
        },
    )


# --- health


def _add_health(app: Flask, config: Config, client: Redis, spool: Spool | None) -> None:
    @app.get("/healthz")
    def health() -> Response:
        return jsonify(alive=True)

    @app.get("/readyz")
    def ready() -> Response:
        parts = _parts(config, client, spool)
        response = jsonify(ready=all(part["ok"] for part in parts.values()), **parts)
        response.status_code = 200 if all(part["ok"] for part in parts.values()) else 503
        return response


def _add_metrics(app: Flask, exposition: Exposition) -> None:
    @app.get("/metrics")
    def show_metrics() -> Response:
        return Response(exposition.text(), content_type=CONTENT_TYPE)


def _parts(config: Config, client: Redis, spool: Spool | None) -> dict[str, dict[str, Any]]:
    """The state of each part. Ready means: events are taken and brought on. Without Redis or a
    worker they are still taken (`/healthz` tells); a paused target does not make it unready."""
    spooled = _spooled(spool)
    try:
        number = published.number_in_force(client)
        workers = live_workers(client)
        waiting = {name: store.waiting(client, name) for name in config.targets}
        flows = [flow.flow(client, name) for name in config.targets]
        states = {now.name: now.state for now in flows}
        redis_part: dict[str, Any] = {"ok": True}
    except RedisError as error:
        number, workers, waiting, states = None, [], {}, {}
        redis_part = {"ok": False, "why": type(error).__name__}
    return {
        "redis": redis_part,
        "spool": {
            "ok": True,
            "configured": spool is not None,
            "events": spooled,
            "bytes": None if spool is None else spool.size(),
        },
        "mappings": {"ok": number is not None, "set": number},
        "targets": {"ok": True, "waiting": waiting, "states": states},
        "workers": {"ok": bool(workers), "alive": len(workers)},
    }


def _spooled(spool: Spool | None) -> int | None:
    return None if spool is None else len(spool)


# --- upkeep


def _in_background(run: Callable[[], None], name: str) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()


def _look_after(
    config: Config,
    client: Redis,
    spool: Spool | None,
    telemetry: Telemetry,
    ended: threading.Event,
) -> None:
    """Put the folder's mappings into force as soon as Redis is there; then hand over metrics."""
    in_force = False
    sampler = Sampler(
        client, lambda: series.values(metrics.totals(client), standing(client, config))
    )
    while True:
        try:
            if not in_force:
                assemble.ensure_in_force(config, client)
                in_force = True
            sampler.turn()  # first: what this process counts comes after its first sample
            telemetry.publish(client, _spooled(spool))
        except RedisError as error:
            log.warning("Redis is away (%s); events go to the spool", type(error).__name__)
        except MappingInvalid as error:
            log.error("no mappings are in force, and the folder's cannot be used: %s", error)
            in_force = True  # said once; the folder is read again at the next start
        except Exception:  # upkeep goes on whatever happens to one turn of it
            log.exception("upkeep")
        if ended.wait(FLUSH_SECONDS):
            return
