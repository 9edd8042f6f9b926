"""What every store of state does: the same tests for the one in memory and for Redis."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest

from agentstack_runtime.state import JSON, Conflict, Fenced, Lease, State, update

LEASE = timedelta(seconds=2)


def fresh() -> str:
    return f"c-{uuid.uuid4().hex}"


class StateContract:
    """Derive from it, with a fixture `state`."""

    async def test_messages_are_in_order_and_known_by_their_ids(self, state: State) -> None:
        c = fresh()
        assert await state.messages(c) == []
        assert await state.append(c, "a", {"text": "ä"}) == 1
        assert await state.append(c, "b", [1, None, True, 1.5]) == 2
        assert await state.append(c, "a", {"text": "again"}) == 1
        assert await state.messages(c) == [{"text": "ä"}, [1, None, True, 1.5]]
        assert await state.messages(c, after=1) == [[1, None, True, 1.5]]
        assert await state.messages(c, limit=1) == [{"text": "ä"}]
        assert await state.messages(c, after=1, limit=0) == []
        assert await state.messages(fresh()) == []

    async def test_an_append_can_expect(self, state: State) -> None:
        c = fresh()
        assert await state.append(c, "a", 1, expected=0) == 1
        with pytest.raises(Conflict):
            await state.append(c, "b", 2, expected=0)
        assert await state.append(c, "a", 1, expected=0) == 1, "what is there already is no conflict"
        assert await state.append(c, "b", 2, expected=1) == 2

    async def test_writers_at_one_time_lose_nothing(self, state: State) -> None:
        c = fresh()
        await asyncio.gather(*(state.append(c, f"{n % 40}", n % 40) for n in range(80)))
        assert sorted(await state.messages(c)) == list(range(40))  # type: ignore[type-var]

    async def test_values_have_versions(self, state: State) -> None:
        c = fresh()
        assert await state.get(c, "x") is None
        assert await state.put(c, "x", {"a": 1}) == 1
        assert await state.put(c, "x", {"a": 2}, expected=1) == 2
        for expected in (0, 1, 3):
            with pytest.raises(Conflict):
                await state.put(c, "x", {"a": 3}, expected=expected)
        got = await state.get(c, "x")
        assert got is not None
        assert (got.value, got.version) == ({"a": 2}, 2)
        assert await state.put(c, "y", None, expected=0) == 1
        other = await state.get(c, "y")
        assert other is not None
        assert other.value is None

    async def test_of_many_that_expect_one_version_one_wins(self, state: State) -> None:
        c = fresh()
        outcomes = await asyncio.gather(*(state.save(c, n, expected=0) for n in range(20)), return_exceptions=True)
        assert sum(outcome == 1 for outcome in outcomes) == 1
        assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 19
        saved = await state.load(c)
        assert saved is not None
        assert saved.value == outcomes.index(1)
        assert await state.get(c, "x") is None, "a checkpoint is no value"

    @pytest.mark.parametrize("name", ["", "a b", "a/b", "{a}", "a" * 129, "a\n"])
    async def test_names_are_checked(self, state: State, name: str) -> None:
        with pytest.raises(ValueError, match="1 to 128"):
            await state.get(name, "x")
        with pytest.raises(ValueError, match="1 to 128"):
            await state.put("c", name, 1)

    @pytest.mark.parametrize("message_id", ["", "a" * 1025, "ä" * 513, "\ud800"])
    async def test_ids_of_messages_are_checked(self, state: State, message_id: str) -> None:
        with pytest.raises(ValueError, match="1 to 1,024 bytes"):
            await state.append("c", message_id, 1)

    async def test_an_id_of_a_message_may_be_any_text(self, state: State) -> None:
        c = fresh()
        for position, message_id in enumerate(["ä {b}\n", "a" * 1024, "0"], start=1):
            assert await state.append(c, message_id, 1) == position
            assert await state.append(c, message_id, 2) == position

    async def test_places_and_leases_are_checked(self, state: State) -> None:
        for after, limit in ((-1, None), (0, -1)):
            with pytest.raises(ValueError, match="from 0 up"):
                await state.messages("c", after=after, limit=limit)
        with pytest.raises(ValueError, match="1 ms"):
            async with state.lock("c", "l", lease=timedelta()):
                pass

    async def test_a_lock_guards_its_own_conversation_only(self, state: State) -> None:
        c = fresh()
        async with state.lock(c, "l", lease=LEASE) as lease:
            with pytest.raises(ValueError, match="another conversation"):
                await state.put(fresh(), "x", 1, fence=lease)
            with pytest.raises(ValueError, match="another conversation"):
                await state.save(fresh(), 1, expected=0, fence=lease)

    async def test_values_are_bounded(self, state: State) -> None:
        c = fresh()
        with pytest.raises(ValueError, match="more than 1048576 bytes"):
            await state.put(c, "x", "ä" * 600_000)
        with pytest.raises(ValueError, match="no JSON"):
            await state.append(c, "a", object())  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no JSON"):
            await state.append(c, "a", "\ud800")
        assert await state.put(c, "x", "a" * 1_000_000) == 1

    async def test_a_lock_has_one_holder(self, state: State) -> None:
        c, inside, most, tokens = fresh(), 0, 0, []

        async def work() -> None:
            nonlocal inside, most
            async with state.lock(c, "l", lease=LEASE) as lease:
                inside += 1
                most = max(most, inside)
                tokens.append(lease.token)
                await asyncio.sleep(0.01)
                inside -= 1

        await asyncio.gather(*(work() for _ in range(5)))
        assert most == 1
        assert tokens == sorted(set(tokens))

    async def test_an_old_holder_is_fenced(self, state: State) -> None:
        c = fresh()
        async with state.lock(c, "l", lease=LEASE) as first:
            assert await state.put(c, "x", 1, fence=first) == 1
            assert await state.save(c, 1, expected=0, fence=first) == 1
        async with state.lock(c, "l", lease=LEASE) as second:
            # Even before the second one has written anything.
            with pytest.raises(Fenced):
                await state.put(c, "x", 2, fence=first)
            assert await state.put(c, "x", 3, fence=second) == 2
        with pytest.raises(Fenced):
            await state.save(c, 2, expected=1, fence=first)
        forged = Lease(c, "l", first.token)
        with pytest.raises(Fenced):
            await state.put(c, "x", 4, fence=forged)

    async def test_a_lock_is_renewed_while_it_is_held(self, state: State) -> None:
        c = fresh()
        async with state.lock(c, "l", lease=timedelta(milliseconds=300)) as lease:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1), state.lock(c, "l", lease=LEASE):
                    pass
            assert not lease.lost.is_set()
        async with asyncio.timeout(2), state.lock(c, "l", lease=LEASE):
            pass

    async def test_whoever_is_cancelled_leaves_no_lock_behind(self, state: State) -> None:
        async def take(c: str) -> None:
            async with state.lock(c, "l", lease=timedelta(minutes=1)):
                await asyncio.sleep(0.001)

        for number in range(60):
            c = fresh()
            taking = asyncio.create_task(take(c))
            await asyncio.sleep(number / 10_000)  # Before, while and after it is granted, and while it is given back.
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            async with asyncio.timeout(2), state.lock(c, "l", lease=LEASE):
                pass

    async def test_a_lease_ends_with_its_block(self, state: State) -> None:
        async with state.lock(fresh(), "l", lease=LEASE) as lease:
            assert not lease.lost.is_set()
        await asyncio.sleep(0)
        assert lease.lost.is_set(), "what goes on behind the block holds nothing"

    async def test_changes_wake_whoever_waits(self, state: State) -> None:
        c = fresh()
        async with state.changes(c) as one, state.changes(c) as two, state.changes(fresh()) as other:
            for changes in (one, two, other):  # What a connection that was just made may have missed.
                await changes.wait(0.5)
            waiting = asyncio.create_task(one.wait(5))
            await asyncio.sleep(0.05)
            await state.put(c, "x", 1)
            assert not await two.wait(0.2), "not without notify"
            await state.put(c, "x", 2, notify=True)
            assert await waiting
            assert await two.wait(5)
            assert not await two.wait(0.1)
            assert not await other.wait(0.1)

    async def test_an_update_sees_what_others_wrote(self, state: State) -> None:
        c, seen = fresh(), []

        def more(value: JSON) -> JSON:
            seen.append(value)
            return (value if isinstance(value, int) else 0) + 1

        versions = await asyncio.gather(*(update(state, c, "x", more) for _ in range(8)))
        assert sorted(versions) == list(range(1, 9))
        got = await state.get(c, "x")
        assert got is not None
        assert (got.value, got.version) == (8, 8)
        assert await update(state, c, "x", lambda value: None) == 8
        assert await update(state, fresh(), "x", lambda value: value) == 0
