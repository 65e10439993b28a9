"""Puts the rooms of one process together from the configuration: sources, targets, mappings.

The only place that knows every room; nothing here does any work.
"""

from __future__ import annotations

from collections.abc import Mapping

from connector.config import Config
from connector.mapping.load import MappingSet, load_set, set_from_texts
from connector.mapping.published import InForce
from connector.reconcile import Reconciler
from connector.redisdb import Redis
from connector.sources import open_source
from connector.sources.base import Source
from connector.targets.target import Target


def open_sources(config: Config) -> dict[str, Source]:
    """The configured senders by name."""
    return {name: open_source(source) for name, source in config.sources.items()}


def open_targets(config: Config) -> dict[str, Target]:
    """The configured CRMs by name."""
    return {name: Target(target) for name, target in config.targets.items()}


def source_kinds(config: Config) -> dict[str, str]:
    """Configured source name → vendor, as the mapping room wants them."""
    return {name: source.kind for name, source in config.sources.items()}


def folder_set(config: Config) -> MappingSet:
    """The mapping set in the configured folder. Raises MappingInvalid with all that is wrong."""
    return load_set(
        config.mappings,
        sources=source_kinds(config),
        targets=list(config.targets),
        timezone=config.timezone,
    )


def build_set(config: Config, texts: Mapping[str, str]) -> MappingSet:
    """A mapping set of its texts, as Redis keeps them, compiled for this installation."""
    return set_from_texts(
        texts,
        sources=source_kinds(config),
        targets=list(config.targets),
        timezone=config.timezone,
    )


def in_force(config: Config) -> InForce:
    """The set in force, read from Redis when its number changes."""
    return InForce(lambda texts: build_set(config, texts))


def reconciler(config: Config, client: Redis) -> Reconciler:
    """Everything that an event needs on its way."""
    return Reconciler(config, client, open_sources(config), open_targets(config), in_force(config))
