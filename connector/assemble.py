"""Puts the rooms of one process together from the configuration: sources, targets, mappings.

The only place that knows every room; nothing here does any work. What each function needs it loads
itself: the web process verifies and keeps, and has no use for what maps and delivers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.config import Config
from connector.mapping import published
from connector.mapping.published import InForce, Kept
from connector.redisdb import Redis
from connector.sources import open_source
from connector.sources.base import Source

if TYPE_CHECKING:
    from connector.mapping.load import MappingSet
    from connector.reconcile import Reconciler
    from connector.targets.target import Target


def open_sources(config: Config) -> dict[str, Source]:
    """The configured senders by name."""
    return {name: open_source(source) for name, source in config.sources.items()}


def open_targets(config: Config, client: Redis) -> dict[str, Target]:
    """The configured CRMs by name; what they log in with is shared by all workers."""
    from connector.targets.target import Target
    from connector.tokens import RedisTokens

    tokens = RedisTokens(client)
    return {name: Target(target, tokens) for name, target in config.targets.items()}


def source_kinds(config: Config) -> dict[str, str]:
    """Configured source name → vendor, as the mapping room wants them."""
    return {name: source.kind for name, source in config.sources.items()}


def folder_set(config: Config) -> MappingSet:
    """The mapping set in the configured folder. Raises MappingInvalid with all that is wrong."""
    from connector.mapping.load import load_set

    return load_set(
        config.mappings,
        sources=source_kinds(config),
        targets=list(config.targets),
        timezone=config.timezone,
    )


def build_set(config: Config, kept: Kept) -> MappingSet:
    """A mapping set as Redis keeps it, compiled for this installation. Raises MappingInvalid."""
    from connector.mapping.load import set_from_texts

    return set_from_texts(
        kept.texts,
        sources=source_kinds(config),
        targets=list(config.targets),
        timezone=kept.timezone,
    )


def in_force(config: Config) -> InForce:
    """The set in force, read from Redis when another is put into force."""
    return InForce(lambda kept: build_set(config, kept), lambda: folder_set(config))


def ensure_in_force(config: Config, client: Redis) -> int:
    """The number of the set in force. The folder's is put into force where Redis has none, and
    only then: what the files say later takes effect when somebody publishes it.

    Raises MappingInvalid when there is no set to work by.
    """
    return published.ensure(client, lambda: folder_set(config))


def reconciler(config: Config, client: Redis) -> Reconciler:
    """Everything that an event needs on its way."""
    from connector.reconcile import Reconciler

    return Reconciler(
        config, client, open_sources(config), open_targets(config, client), in_force(config)
    )
