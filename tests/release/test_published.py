"""Sets in Redis: one step, numbers that only grow, and a start without a copy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from zoneinfo import ZoneInfo

import pytest
from office import Office

from connector.assemble import ensure_in_force, in_force
from connector.errors import MappingInvalid
from connector.mapping import published
from connector.mapping.load import MappingSet, set_from_texts
from connector.mapping.published import InForce, Kept, Note, Superseded
from connector.redisdb import Redis, connect

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
TEXT = "source: caresoft\nevents: ['*']\nrecords: [{resource: r, id: a.id, fields: {a: %s}}]\n"


def build(kept: Kept, sources: tuple[str, ...] = ("caresoft",)) -> MappingSet:
    kinds = dict.fromkeys(sources, "caresoft")
    return set_from_texts(kept.texts, sources=kinds, targets=["crm"], timezone=kept.timezone)


def a_set(value: str = "1", zone: ZoneInfo = ZONE) -> MappingSet:
    return build(Kept({"a.yaml": TEXT % value}, zone))


def broken_folder() -> MappingSet:
    return build(Kept({"a.yaml": "source: ["}, ZONE))


@pytest.fixture
def client(redis_url: str) -> Redis:
    return connect(redis_url)


def test_the_number_in_force_is_none_before_the_first_set(client: Redis) -> None:
    assert published.number_in_force(client) is None
    assert published.versions(client) == []
    assert published.read(client, 1) is None


def test_the_same_set_put_into_force_again_changes_nothing(client: Redis) -> None:
    first = published.put_in_force(client, a_set())
    again = published.put_in_force(client, a_set(), Note("somebody", "again"))
    assert (first.number, first.is_new) == (1, True)
    assert (again.number, again.is_new) == (1, False)
    assert [v.number for v in published.versions(client)] == [1]


def test_old_texts_get_a_new_number(client: Redis) -> None:
    for value in ("1", "2", "1"):
        published.put_in_force(client, a_set(value))
    assert [v.number for v in published.versions(client)] == [3, 2, 1]
    first, third = published.version(client, 1), published.version(client, 3)
    assert first
    assert third
    assert first.hash == third.hash == a_set("1").hash


def test_a_set_comes_back_as_it_was_published_with_its_time_zone(client: Redis) -> None:
    published.put_in_force(client, a_set(zone=ZoneInfo("UTC")), Note("lan", "why", back_to=None))
    kept = published.read(client, 1)
    assert kept == Kept({"a.yaml": TEXT % "1"}, ZoneInfo("UTC"))
    assert published.fetch(client, 1, build).hash == a_set(zone=ZoneInfo("UTC")).hash  # type: ignore[union-attr]
    version = published.version(client, 1)
    assert version is not None
    assert version.note == Note("lan", "why")


def test_a_set_is_not_put_over_one_that_its_editor_has_not_seen(client: Redis) -> None:
    published.put_in_force(client, a_set("1"), after=0)
    with pytest.raises(Superseded, match="set 1 came"):
        published.put_in_force(client, a_set("2"), after=0)
    assert published.number_in_force(client) == 1
    assert published.put_in_force(client, a_set("2"), after=1).number == 2


def test_of_many_who_start_at_once_one_puts_its_folder_into_force(client: Redis) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(
            pool.map(lambda n: published.ensure(client, lambda: a_set(str(n))), range(8))
        )
    assert numbers == [1] * 8


def test_a_set_in_force_is_not_replaced_by_a_start(client: Redis) -> None:
    published.put_in_force(client, a_set("1"))
    assert published.ensure(client, lambda: a_set("2")) == 1
    assert published.ensure(client, broken_folder) == 1


def test_where_redis_lost_the_texts_the_folder_takes_over(client: Redis) -> None:
    published.put_in_force(client, a_set("1"))
    client.delete("c:set:texts")
    assert published.ensure(client, lambda: a_set("2")) == 2
    client.delete("c:set:texts")
    assert published.ensure(client, lambda: a_set("2")) == 2
    assert published.read(client, 2)


def test_without_a_set_and_with_a_broken_folder_there_is_nothing_to_work_by(client: Redis) -> None:
    with pytest.raises(MappingInvalid):
        published.ensure(client, broken_folder)
    with pytest.raises(MappingInvalid):
        InForce(build, broken_folder).get(client)


def test_a_process_compiles_a_set_once_and_sees_the_next_at_once(client: Redis) -> None:
    compiled: list[Kept] = []

    def counted(kept: Kept) -> MappingSet:
        compiled.append(kept)
        return build(kept)

    process = InForce(counted, lambda: a_set("1"))
    assert process.get(client)[0] == 1
    for _ in range(3):
        process.get(client)
    before = len(compiled)
    published.put_in_force(client, a_set("2"))
    assert [process.get(client)[0] for _ in range(3)] == [2, 2, 2]
    assert len(compiled) == before + 1


def test_a_set_that_this_process_cannot_use_leaves_the_one_before_at_work(client: Redis) -> None:
    process = InForce(build, lambda: a_set("1"))
    process.get(client)
    other = "source: branch\nevents: ['*']\nrecords: [{resource: r, id: a.id, action: delete}]\n"
    elsewhere = build(Kept({"a.yaml": other}, ZONE), sources=("caresoft", "branch"))
    assert published.put_in_force(client, elsewhere).number == 2
    number, still = process.get(client)
    assert (number, still.hash) == (1, a_set("1").hash)
    assert process.numbered(client, 2) is None
    published.put_in_force(client, a_set("3"))
    assert process.get(client)[0] == 3


def test_a_process_puts_its_set_back_into_a_redis_that_was_emptied(client: Redis) -> None:
    process = InForce(build, lambda: a_set("1"))
    published.put_in_force(client, a_set("2"))
    process.get(client)
    client.flushall()
    assert process.get(client)[1].hash == a_set("2").hash
    assert published.number_in_force(client) == 1


def test_an_emptied_redis_with_another_set_under_the_same_number_is_noticed(client: Redis) -> None:
    process = InForce(build, lambda: a_set("1"))
    assert process.get(client)[0] == 1
    client.flushall()
    published.put_in_force(client, a_set("other"))
    assert process.get(client) == (1, process.get(client)[1])
    assert process.get(client)[1].hash == a_set("other").hash


def test_a_set_that_is_no_more_in_force_can_still_be_asked_for(client: Redis) -> None:
    process = InForce(build, lambda: a_set("1"))
    process.get(client)
    published.put_in_force(client, a_set("2"))
    process.get(client)
    old, now = process.numbered(client, 1), process.numbered(client, 2)
    assert old
    assert now
    assert (old.hash, now.hash) == (a_set("1").hash, a_set("2").hash)
    assert process.numbered(client, 9) is None


def test_an_installation_falls_back_to_its_files_only_when_nothing_is_in_force(
    office: Office,
) -> None:
    assert ensure_in_force(office.config, office.client) == 1
    office.write("tickets.yaml", "source: [")
    assert ensure_in_force(office.config, office.client) == 1
    office.configure(timezone="UTC")
    number, mapping_set = in_force(office.config).get(office.client)
    assert (number, mapping_set.timezone) == (1, ZONE)
