"""The scripts of Redis alone: what they decide from what nodes say, without nodes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import components.redis

FILES = Path(components.redis.__file__).parent / "files"


def fake_id(node: int) -> str:
    return f"{node:040x}"


def view(
    node: int,
    table: Sequence[tuple[int, str, str]],
    keys: int = 0,
    state: str = "ok",
    *,
    place: str = "",
    marks: str = "",
    keys_in_slots: str = "",
) -> str:
    """What one node says. `table`: number, role (`master`, or its master's number) and slots of all that it knows.

    `place` is its Kubernetes node, `marks` are its slots on the move, `keys_in_slots` those that it has keys of.
    """
    lines = [f"NODE host{node}:6379", str(keys), f"cluster_state:{state}", "cluster_slots_ok:16384"]
    lines += ["cluster-announce-human-nodename", place, f"keys_in_slots: {keys_in_slots}"]
    for other, role, slots in table:
        flags, master = ("master", "-") if role == "master" else ("slave", fake_id(int(role)))
        me = "myself," if other == node else ""
        lines.append(
            f"{fake_id(other)} 10.0.0.{other}:6379@16379,host{other} {me}{flags} {master} 0 0 1 connected {slots}"
            f"{' ' + marks if other == node else ''}"
        )
    return "\n".join(lines).replace(" \n", "\n") + "\n"


WHOLE = [(1, "master", "0-5460"), (2, "master", "5461-10921"), (3, "master", "10922-16383")]
AWKS = [awk for awk in (["awk"], ["mawk"], ["gawk"], ["busybox", "awk"]) if shutil.which(awk[0])]


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
@pytest.mark.parametrize(
    ("views", "plan"),
    [
        pytest.param([view(n, WHOLE) for n in (1, 2, 3)], "done 3 masters, 0 replicas, 16384 slots", id="whole"),
        pytest.param(
            [view(1, WHOLE), "NODE host2:6379\nLOADING Redis is loading the dataset in memory\n", view(3, WHOLE)],
            "wait host2:6379 does not answer yet",
            id="loading",
        ),
        pytest.param(
            [view(n, [(n, "master", "")]) for n in (1, 2, 3)],
            "run host1:6379 cluster meet 10.0.0.2 6379\nrun host1:6379 cluster meet 10.0.0.3 6379\nwait until all",
            id="strangers",
        ),
        pytest.param(
            [view(1, [(1, "master", "")]), "NODE host2:6379\n", view(3, [(3, "master", "")])],
            "wait host2:6379 does not answer yet\nwait until all",
            id="strangers and a silent node",
        ),
        pytest.param(
            [view(1, WHOLE), "NODE host2:6379\n", view(3, WHOLE).replace("10.0.0.3:", "10.0.0.9:")],
            "wait host2:6379 does not answer yet\nrun host1:6379 cluster meet 10.0.0.9 6379\nwait until all",
            id="a silent node and one with a new address",
        ),
        pytest.param(
            [view(1, WHOLE), "NODE host2:6379\n" + view(3, WHOLE).partition("\n")[2], view(3, WHOLE)],
            "wait host2:6379 still has the address of host3:6379\n",
            id="a name that is cached",
        ),
        pytest.param(
            [
                *(view(n, [*WHOLE, (4, "3", "")]) for n in (1, 2, 3)),
                view(4, [*WHOLE, (4, "3", "")]) + "master_host:10.0.0.2\nmaster_port:6379\nmaster_link_status:up\n",
            ],
            f"run host4:6379 cluster replicate {fake_id(3)}\n",
            id="a replica that copies from another's master",
        ),
        pytest.param(
            [view(1, [(1, "master", "")]), view(2, [(2, "master", "")], keys=7), view(3, [(3, "master", "")])],
            "refuse host2:6379 holds 7 keys but knows no other node",
            id="keys without nodes.conf",
        ),
        pytest.param(
            [
                view(1, [(1, "master", "0-16383"), (8, "1", "")]),
                *(view(n, [(n, "master", "9-99"), (9, "2", "")]) for n in (2, 3)),
            ],
            "refuse host1:6379 and host2:6379 both own slot 9 and do not know each other",
            id="two clusters",
        ),
        pytest.param(
            [view(n, [(1, "master", "0-99"), (2, "master", ""), (3, "master", "")], state="fail") for n in (1, 2, 3)],
            "refuse 5361 of the slots 0-5460 are unassigned, and no node is free to take them",
            id="partly assigned",
        ),
        pytest.param(
            [view(n, [(1, "master", ""), (2, "1", ""), (3, "master", "")], state="fail") for n in (1, 2, 3)],
            "refuse 5462 of the slots 10922-16383 are unassigned, and no node is free to take them",
            id="a replica in place of a master",
        ),
        pytest.param(
            [view(n, [(1, "master", "0-5460"), (2, "master", ""), (3, "master", "")], state="fail") for n in (1, 2, 3)],
            "run host2:6379 cluster addslotsrange 5461 10921\nrun host3:6379 cluster addslotsrange 10922 16383\n",
            id="one range assigned",
        ),
        pytest.param(
            [view(n, [*WHOLE[:2], (3, "master", ""), (9, "master", "10922-16383")]) for n in (1, 2, 3)],
            f"refuse slot 10922 belongs to the node {fake_id(9)} at 10.0.0.9:6379, which is none of these",
            id="a lost master without replica",
        ),
        pytest.param(
            [view(n, [*WHOLE[:2], (3, "9", ""), (9, "master", "10922-16383")]) for n in (1, 2, 3)],
            f"wait host3:6379 is to take over from its lost master {fake_id(9)}",
            id="a lost master with a replica",
        ),
        pytest.param(
            [
                view(n, [*WHOLE[:2], (3, "9", ""), (9, "master", "10922-16383")]).replace(
                    "host9 master", "host9 master,noaddr"
                )
                for n in (1, 2, 3)
            ],
            f"refuse host3:6379 follows the lost master {fake_id(9)}, whose address is another node's now",
            id="a lost master whose address is in use",
        ),
        pytest.param(
            [view(n, [*WHOLE, (4, "1", ""), (5, "master", ""), (6, "master", "")]) for n in range(1, 7)],
            f"run host5:6379 cluster replicate {fake_id(2)}\nrun host6:6379 cluster replicate {fake_id(3)}\n",
            id="replicas spread",
        ),
    ],
)
def test_the_plan(awk: list[str], views: list[str], plan: str) -> None:
    assert run_plan(views, awk=awk).startswith(plan)


def run_plan(views: Sequence[str], shards: int = 3, awk: Sequence[str] = ("awk",)) -> str:
    command = [*awk, "-v", f"shards={shards}", "-v", "thorough=1", "-f", str(FILES / "plan.awk")]
    return subprocess.run(command, input="".join(views), capture_output=True, text=True, check=True).stdout


MOVE = f"move 7 10.0.0.1:6379 {fake_id(1)} 10.0.0.2:6379 {fake_id(2)}\n"


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
@pytest.mark.parametrize(
    ("said", "plan"),
    [
        pytest.param({1: f"[7->-{fake_id(2)}]", 2: f"[7-<-{fake_id(1)}]"}, MOVE, id="under way"),
        pytest.param({2: f"[7-<-{fake_id(1)}]"}, MOVE, id="only just begun, or the source failed over"),
        pytest.param({1: f"[7->-{fake_id(2)}]"}, MOVE, id="the target failed over"),
        pytest.param({1: f"[7->-{fake_id(4)}]"}, MOVE, id="the target handed over to the node that it follows now"),
        pytest.param({2: "keys 7 6000"}, MOVE, id="both failed over"),
        pytest.param({1: f"[7->-{fake_id(9)}]"}, "run host1:6379 cluster setslot 7 stable\n", id="to nobody known"),
        pytest.param({1: f"[7-<-{fake_id(2)}]"}, "run host1:6379 cluster setslot 7 stable\n", id="arrived, but marked"),
        pytest.param({2: f"[7->-{fake_id(1)}]"}, "run host2:6379 cluster setslot 7 stable\n", id="gone, but marked"),
        pytest.param({4: f"[7-<-{fake_id(1)}]"}, "run host2:6379 cluster setslot 7 stable\n", id="marked on a replica"),
    ],
)
def test_a_move_cut_short_is_finished(awk: list[str], said: dict[int, str], plan: str) -> None:
    table = [*WHOLE, (4, "2", "")]
    views = [
        view(n, table, keys_in_slots=said[n].removeprefix("keys "))
        if said.get(n, "").startswith("keys")
        else view(n, table, marks=said.get(n, ""))
        for n in (1, 2, 3, 4)
    ]
    assert run_plan(views, awk=awk) == plan


def test_nothing_moves_before_all_nodes_agree() -> None:
    later = [(1, "master", "0-5461"), (2, "master", "5462-10921"), WHOLE[2]]
    marked = view(1, WHOLE, marks=f"[7->-{fake_id(2)}]")
    assert (
        run_plan([marked, view(2, WHOLE), view(3, later)])
        == "wait until host3:6379 has heard which slots host1:6379 has\n"
    )


def test_more_masters_than_shards_are_left_alone() -> None:
    table = [(1, "master", "0-99"), (2, "master", "100-10921"), WHOLE[2], (4, "1", "")]
    more = [*table[:2], (3, "master", "10922-12000"), (5, "master", "12001-16383")]
    views = [view(n, more) for n in (1, 2, 3, 5)]
    assert run_plan(views) == "done 4 masters, 0 replicas, 16384 slots, not moved: there shall be 3 masters\n"


def replicas_chosen(planned: str) -> dict[str, int]:
    lines = [line.split() for line in planned.splitlines()]
    assert all(line[2:4] == ["cluster", "replicate"] for line in lines), planned
    return {line[1].removeprefix("host").partition(":")[0]: int(line[4], 16) for line in lines}


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
def test_new_masters_get_their_replicas_before_slots(awk: list[str]) -> None:
    table = [*WHOLE, (4, "1", ""), (5, "2", ""), (6, "3", ""), *((n, "master", "") for n in (7, 8, 9, 10))]
    planned = run_plan([view(n, table) for n in range(1, 11)], shards=5, awk=awk)
    assert replicas_chosen(planned) == {"9": 7, "10": 8}
    # Half of that done, then killed: the other half, and the same masters.
    table[8] = (9, "7", "")
    planned = run_plan([view(n, table) for n in range(1, 11)], shards=5, awk=awk)
    assert replicas_chosen(planned) == {"10": 8}
    # As ever many copies as the shard should have, before it gets a slot.
    table[9] = (10, "8", "")
    views = [view(n, table) for n in range(1, 11)]
    assert run_plan(views, shards=5, awk=awk).startswith("reshard ")
    behind = [*views[:9], views[9] + "master_link_status:down\n"]
    assert run_plan(behind, shards=5, awk=awk) == "wait host10:6379 copies from its master\n"


def test_more_replicas_are_spread() -> None:
    table = [*WHOLE, (4, "1", ""), (5, "2", ""), (6, "3", ""), *((n, "master", "") for n in (7, 8, 9))]
    planned = run_plan([view(n, table) for n in range(1, 10)])
    assert replicas_chosen(planned) == {"7": 1, "8": 2, "9": 3}


def test_a_replica_of_a_replica_gets_a_master() -> None:
    table = [*WHOLE, (4, "1", ""), (5, "4", "")]
    assert run_plan([view(n, table) for n in range(1, 6)]) == f"run host5:6379 cluster replicate {fake_id(2)}\n"


def test_a_replica_of_a_lost_master_without_slots_gets_another() -> None:
    table = [*WHOLE, (4, "1", ""), (5, "9", ""), (9, "master", "")]
    assert replicas_chosen(run_plan([view(n, table) for n in range(1, 6)])) == {"5": 2}


def ranges(slots: list[int]) -> str:
    """As CLUSTER NODES writes them."""
    known = set(slots)
    starts = sorted(slot for slot in slots if slot - 1 not in known)
    lasts = sorted(slot for slot in slots if slot + 1 not in known)
    return " ".join(f"{start}-{last}" for start, last in zip(starts, lasts, strict=True))


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
@pytest.mark.parametrize(("before", "after"), [(3, 4), (3, 7), (4, 5), (20, 21)])
def test_slots_become_even_and_stay(awk: list[str], before: int, after: int) -> None:
    slots = [list(range(i * 16384 // before, (i + 1) * 16384 // before)) for i in range(before)]
    slots += [[] for _ in range(before, after)]
    for _ in range(500):
        table = [(n + 1, "master", ranges(slots[n])) for n in range(after)]
        planned = run_plan([view(n + 1, table) for n in range(after)], shards=after, awk=awk)
        if planned.startswith("done"):
            break
        verb, address, source, target, count = planned.split()
        assert (verb, address) == ("reshard", f"10.0.0.{int(source, 16)}:6379")
        moved, slots[int(source, 16) - 1] = (
            slots[int(source, 16) - 1][: int(count)],
            slots[int(source, 16) - 1][int(count) :],
        )
        slots[int(target, 16) - 1] += moved
    sizes = [len(of_master) for of_master in slots]
    assert sum(sizes) == 16384
    assert all(abs(size - 16384 / after) <= 16384 / after / 50 for size in sizes), sizes


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
def test_masters_and_replicas_are_spread_over_kubernetes_nodes(awk: list[str]) -> None:
    places = "aabbcc"
    new = [(n, "master", "") for n in range(1, 7)]
    planned = run_plan([view(n, new, place=places[n - 1], state="fail") for n in range(1, 7)], awk=awk)
    assert [line.split()[1] for line in planned.splitlines()] == ["host1:6379", "host3:6379", "host5:6379"]

    table = [(n, "master", {1: "0-5460", 3: "5461-10921", 5: "10922-16383"}.get(n, "")) for n in range(1, 7)]
    chosen = replicas_chosen(run_plan([view(n, table, place=places[n - 1]) for n in range(1, 7)], awk=awk))
    assert sorted(chosen.values()) == [1, 3, 5]
    assert all(places[int(replica) - 1] != places[master - 1] for replica, master in chosen.items())

    # Rather beside its master than with uneven counts.
    table = [*WHOLE, (4, "1", ""), (5, "3", ""), (6, "master", "")]
    views = [view(n, table, place="abcbab"[n - 1]) for n in range(1, 7)]
    assert replicas_chosen(run_plan(views, awk=awk)) == {"6": 2}


def test_a_refusal_needs_two_looks(tmp_path: Path) -> None:
    # As between the two halves of a slot's move: nobody owns slot 5460, at the first look.
    moving = [(1, "master", "0-5459"), *WHOLE[1:]]
    for look, table in (("early", moving), ("late", WHOLE)):
        for node in (1, 2, 3):
            (tmp_path / f"{look}-host{node}").write_text(view(node, table).partition("\n")[2])
    (tmp_path / "redis-cli").write_text(
        f"#!/bin/sh\ncd {tmp_path}\necho >>calls\n"
        '[ "$(wc -l <calls)" -le 3 ] && exec cat "early-$2"\n'
        'exec cat "late-$2"\n'
    )
    (tmp_path / "redis-cli").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "REDIS_NODES": "host1:6379 host2:6379 host3:6379",
        "REDIS_SHARDS": "3",
        "STATE_DIR": str(tmp_path),
        "ONCE": "1",
    }
    done = subprocess.run(["sh", FILES / "keep.sh"], env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "done: 3 masters, 0 replicas, 16384 slots\n")
    early = [f"NODE host{n}:6379\n" + (tmp_path / f"early-host{n}").read_text() for n in (1, 2, 3)]
    assert run_plan(early).startswith("refuse 1 of the slots")


@pytest.mark.parametrize(
    ("reply", "alive"),
    [
        ("PONG", True),
        ("LOADING Redis is loading the dataset in memory", True),
        ("MASTERDOWN Link with MASTER is down", True),
        ("AUTH failed: WRONGPASS invalid username-password pair\nNOAUTH Authentication required.", True),
        ("NOPERM User worker has no permissions to run the 'ping' command", True),
        ("Could not connect to Redis", False),
        ("", False),
    ],
)
def test_liveness_takes_any_answer(tmp_path: Path, reply: str, alive: bool) -> None:
    (tmp_path / "redis-cli").write_text(f"#!/bin/sh\necho '{reply}'\n")
    (tmp_path / "redis-cli").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert (subprocess.run(["sh", FILES / "live.sh"], env=environment).returncode == 0) is alive


def replies(*lines: str) -> str:
    return "\n".join(["PONG", *lines])


@pytest.mark.parametrize(
    ("reply", "ready"),
    [
        pytest.param(replies("cluster_state:fail", "cluster_slots_assigned:0", "role:master"), True, id="new"),
        pytest.param(replies("cluster_state:fail", "cluster_slots_assigned:5461", "role:master"), True, id="half-made"),
        pytest.param(replies("cluster_state:fail", "cluster_slots_assigned:16384", "role:master"), False, id="failed"),
        pytest.param(replies("cluster_state:ok", "cluster_slots_assigned:16384", "role:master"), True, id="master"),
        pytest.param(
            replies("cluster_state:ok", "cluster_slots_assigned:16384", "master_link_status:down"), False, id="behind"
        ),
        pytest.param(
            replies("cluster_state:ok", "cluster_slots_assigned:16384", "master_link_status:up"), True, id="replica"
        ),
        pytest.param("LOADING Redis is loading the dataset in memory", False, id="loading"),
    ],
)
def test_readiness(tmp_path: Path, reply: str, ready: bool) -> None:
    (tmp_path / "reply").write_text(reply.replace("\n", "\r\n"))
    (tmp_path / "redis-cli").write_text(f"#!/bin/sh\ncat {tmp_path}/reply\n")
    (tmp_path / "redis-cli").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert (subprocess.run(["sh", FILES / "ready.sh"], env=environment).returncode == 0) is ready
