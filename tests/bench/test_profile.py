"""Collapsed stacks become shares of functions."""

from __future__ import annotations

from bench.profile import place, read, rooms

STACKS = [
    "run (connector/worker.py:10);merge (/x/connector/records/merge.py:40) 6",
    "run (connector/worker.py:12);merge (/x/connector/records/merge.py:44) 1",
    "run (connector/worker.py:11);dumps (/usr/lib/python3.11/json/encoder.py:3) 3",
]


def test_share_with_calls_holds_what_is_called() -> None:
    shares = {share.where: share for share in read(STACKS)}
    run = shares["connector/worker.py run"]
    assert (run.itself, run.with_calls) == (0.0, 1.0)
    merge = shares["/x/connector/records/merge.py merge"]
    assert (merge.itself, merge.with_calls) == (0.7, 0.7)


def test_recursion_counts_once() -> None:
    (share,) = read(["f (a.py:1);f (a.py:2);f (a.py:2) 4"])
    assert (share.itself, share.with_calls) == (1.0, 1.0)


def test_rooms_are_ours_by_folder_and_others_by_package() -> None:
    shares = [{"where": share.where, "itself": share.itself} for share in read(STACKS)]
    assert rooms(shares) == {"connector/records": 0.7, "json": 0.3, "connector/worker.py": 0.0}


def test_a_frame_without_a_file_stays_as_it_is() -> None:
    assert place("[native]") == "[native]"
    assert place("<module> (<string>:4)") == "<string> <module>"
