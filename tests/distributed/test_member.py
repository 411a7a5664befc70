"""Processes that talk, as threads of one: who is let in, what they agree on, whom they wait for."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from jaxrec.distributed.gang import Gang
from jaxrec.distributed.member import Member
from jaxrec.errors import UserError
from tests.distributed.gangs import free_port

VERSIONS = {"jax": "1"}


def together(count, work, **settings):
    """work(member) in every process, in order of the processes."""
    port = free_port()

    def one(process):
        member = Member(Gang("127.0.0.1", port, count, process, **settings), VERSIONS)
        found = work(member)
        member.wait("end")
        member.end()
        return found

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_all_have_what_the_first_says():
    def work(member):
        return [member.say({"process": member.gang.process_id, "number": number}) for number in range(3)]

    said = [{"process": 0, "number": number} for number in range(3)]
    assert together(3, work) == [said] * 3


def test_a_barrier_holds_until_the_last_has_come():
    arrived = []
    lock = threading.Lock()

    def work(member):
        for turn in range(5):
            with lock:
                arrived.append(turn)
            member.wait(f"turn {turn}")
            with lock:
                assert arrived.count(turn) == 3
        return True

    assert together(3, work) == [True] * 3


def test_the_first_hears_of_a_signal_to_another():
    def work(member):
        if member.gang.process_id == 1:
            member.tell_signal(15)
        member.wait("told")
        return member.say(member.signal)

    assert together(2, work) == [15, 15]


def test_who_is_missing_is_named():
    gang = Gang("127.0.0.1", free_port(), 3, 0, join_timeout=0.2)
    with pytest.raises(UserError, match=r"waited 0.2 seconds for all 3 processes; these have not come: 1, 2"):
        Member(gang, VERSIONS)


def test_nobody_answers():
    with pytest.raises(UserError, match=r"process 1: 127.0.0.1:\d+ of process 0 has not answered in 0.2 seconds"):
        Member(Gang("127.0.0.1", free_port(), 2, 1, join_timeout=0.2), VERSIONS)


@pytest.mark.parametrize(
    ("gang", "versions", "reason"),
    [
        ({"num_processes": 3, "process_id": 1}, VERSIONS, "it was told of 3 processes, process 0 of 2"),
        ({"num_processes": 2, "process_id": 0}, VERSIONS, None),
        ({"num_processes": 2, "process_id": 1}, {"jax": "2"}, "it has jax 2, process 0 has 1"),
    ],
)
def test_who_does_not_belong_is_told_why(gang, versions, reason):
    port = free_port()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Member, Gang("127.0.0.1", port, 2, 0), VERSIONS)
        if reason is None:  # two processes of number 0 on one machine want the same port
            reason = r"cannot listen on port \d+"
        while not first.running():
            pass
        with pytest.raises(UserError, match=reason):
            _second(gang, port, versions)
        second = Member(Gang("127.0.0.1", port, 2, 1), VERSIONS)
        members = [first.result(), second]
        with ThreadPoolExecutor(2) as ends:
            list(ends.map(lambda member: (member.wait("end"), member.end()), members))


def _second(gang, port, versions):
    """A process that comes when the first listens."""
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port + 1)).close()
            break
        except OSError:
            continue
    return Member(Gang("127.0.0.1", port, **gang), versions)
