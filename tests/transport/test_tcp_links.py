"""One link between two members, whatever happens to connections, processes and identities."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from logstream.core.effects import Forward, Reply, Send
from logstream.core.events import LinkDown, LinkUp
from logstream.protocol.identity import NO_EPOCH, Epoch, Member, View
from logstream.protocol.messages import (
    Hello,
    Join,
    Message,
    Nack,
    StateExchange,
    StatusRequest,
    StatusResponse,
)
from transport.identity import ForgetMember, IdentityChanged
from transport.tcp_link import LinkSettings


def numbered(number: int) -> Message:
    return Nack(NO_EPOCH, number, number)


def large(size: int) -> Message:
    """A message of about this many bytes."""
    view = View(NO_EPOCH, Member("x" * size, "s"), (), (), 0, "", "all")
    return StateExchange(NO_EPOCH, view)


async def test_messages_arrive_in_order_and_both_ends_hear_that_the_link_is_up(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b")
    said = [numbered(number) for number in range(300)]
    for message in said:
        a.tell(Send(b.member, message))
    await network.until(lambda: len(b.received) == 300)
    assert b.messages == said
    assert {received.sender for received in b.received} == {a.member}
    assert a.ups() == [b.member]
    assert b.ups() == [a.member]
    assert b.ups()[0].address == a.member.address


async def test_an_answer_goes_back_over_the_same_link(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b")
    a.tell(Send(b.member, numbered(1)))
    await network.until(lambda: b.received)
    b.tell(Send(a.member, numbered(2)))
    await network.until(lambda: a.received)
    assert len(a.actor._connections) == len(b.actor._connections) == 1


async def test_a_message_of_several_megabytes_arrives(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b")
    message = large(5_000_000)
    a.tell(Send(b.member, message))
    await network.until(lambda: b.received)
    assert b.messages == [message]


async def test_what_is_sent_to_oneself_is_delivered_here(network: Any) -> None:
    a = network.tcp("a")
    a.tell(Send(a.member, numbered(1)))
    await network.until(lambda: a.received)
    assert (a.received[0].message, a.received[0].sender) == (numbered(1), a.member)
    assert a.facts()["links"] == {}


async def test_when_both_dial_at_once_the_smaller_ones_connection_is_kept_and_nothing_is_lost(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b")
    said = [numbered(number) for number in range(200)]
    for message in said:
        a.tell(Send(b.member, message))
        b.tell(Send(a.member, message))
    await network.until(lambda: len(a.received) >= 200 and len(b.received) >= 200)
    await network.until(lambda: len(a.actor._connections) == len(b.actor._connections) == 1)
    assert sorted(a.messages, key=repr) == sorted(b.messages, key=repr) == sorted(said, key=repr)
    (kept,) = a.actor._connections
    assert kept.dialed_for == b.member
    assert a.announced == [LinkUp(b.member, a.announced[0].at)]
    assert b.announced == [LinkUp(a.member, b.announced[0].at)]


async def test_what_follows_a_double_dial_arrives_while_connections_are_exchanged(network: Any) -> None:
    nodes = [network.tcp(name) for name in "abcd"]
    pairs = [(one, other) for one in nodes for other in nodes if one is not other]
    for number in range(50):
        for one, other in pairs:
            one.tell(Send(other.member, numbered(number)))
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    await network.until(lambda: all(len(node.received) >= 150 for node in nodes))
    for node in nodes:
        assert len(node.received) == 150
        assert len(node.ups()) == 3
        assert node.downs(refused=False) == []


async def test_a_link_that_breaks_is_down_at_once_and_up_again_when_the_member_is_back(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b")
    a.tell(Send(b.member, numbered(1)))
    await network.until(lambda: b.received)
    await b.stop()
    await network.until(lambda: b.member in a.downs(refused=True))
    assert a.announced[1] == LinkDown(b.member, False, a.announced[1].at)
    again = network.tcp("b", address=b.member.address)
    await network.until(lambda: len(a.ups()) == 2)
    a.tell(Send(b.member, numbered(2)))
    await network.until(lambda: again.received)
    assert again.messages == [numbered(2)]


async def test_dialing_again_starts_at_once_and_backs_off_to_the_ceiling(network: Any) -> None:
    a = network.tcp("a", link=LinkSettings(redial_first_s=0.02, redial_max_s=0.08))
    gone = network.nobody("b")
    a.tell(Send(gone, numbered(1)))
    await network.until(lambda: len(a.downs(refused=True)) >= 6)
    times = [event.at for event in a.announced if isinstance(event, LinkDown)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    for gap, expected in zip(gaps, (0.02, 0.04, 0.08, 0.08, 0.08), strict=False):
        assert expected * 0.9 <= gap < expected + 0.5


async def test_a_member_that_never_answered_is_given_up_when_nothing_waits_for_it(network: Any) -> None:
    a = network.tcp("a", link=LinkSettings(redial_first_s=0.01, redial_max_s=0.02, hold_s=0.05))
    a.tell(Send(network.nobody("b"), numbered(1)))
    await network.until(lambda: a.facts()["links"] == {"b": "idle"})
    assert a.facts()["dropped"] == {"waited too long for a connection": 1}


async def test_what_waited_too_long_is_not_sent_when_the_member_comes(network: Any) -> None:
    a = network.tcp("a", link=LinkSettings(hold_s=0.2, redial_first_s=0.05, redial_max_s=0.05))
    late = network.nobody("b")
    a.tell(Send(late, numbered(1)))
    await network.until(lambda: a.facts()["dropped"])
    b = network.tcp("b", address=late.address)
    a.tell(Send(b.member, numbered(2)))
    await network.until(lambda: b.received)
    assert b.messages == [numbered(2)]


async def test_a_link_takes_no_more_than_its_bound_while_the_member_is_away(network: Any) -> None:
    a = network.tcp("a", link=LinkSettings(unsent_max=1_000))
    away = network.nobody("b")
    for _ in range(5):
        a.tell(Send(away, large(600)))
    await network.until(lambda: a.facts()["dropped"])
    assert a.facts()["dropped"] == {"link is full": 3}
    assert 1_000 <= a.facts()["links_unsent"] < 2_000


async def test_a_member_that_reads_nothing_does_not_fill_the_memory(network: Any) -> None:
    a = network.tcp("a", link=LinkSettings(unsent_max=1_000_000))
    deaf = await network.call(a.member.address)
    member = Member("b", "s1", "127.0.0.1:1")
    deaf.introduce(member)
    await network.until(lambda: a.ups() == [member])
    deaf.writer.transport.pause_reading()
    for _ in range(200):
        a.tell(Send(member, large(100_000)))
    await network.until(lambda: a.facts()["dropped"].get("link is full"))
    assert a.facts()["links_unsent"] < 1_200_000


async def test_a_host_that_accepts_and_says_nothing_is_no_link_and_not_refused(network: Any) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    a = network.tcp("a", link=LinkSettings(dial_s=0.05))
    silent = Member("b", "s1", f"{host}:{port}")
    a.tell(Send(silent, numbered(1)))
    await network.until(lambda: a.downs(refused=False) == [silent])
    assert a.ups() == a.downs(refused=True) == []
    server.close()


async def test_an_address_that_is_none_is_a_link_that_is_down(network: Any) -> None:
    a = network.tcp("a")
    for place, address in enumerate(("", "nowhere", "example.org:80", "127.0.0.1:99999", "::1:5")):
        a.tell(Send(Member(f"b{place}", "s", address), numbered(1)))
    await network.until(lambda: len(set(a.downs(refused=False))) == 5)


async def test_another_store_at_the_address_means_that_the_old_member_is_gone(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b", "old")
    a.tell(Send(b.member, numbered(1)))
    await network.until(lambda: b.received)
    await b.stop()
    new = network.tcp("b", "new", address=b.member.address)
    await network.until(lambda: new.member in a.ups())
    assert b.member in a.downs(refused=True)
    a.tell(Send(new.member, numbered(2)))
    await network.until(lambda: new.messages == [numbered(2)])
    assert len(a.actor._connections) == len(new.actor._connections) == 1


async def test_a_member_that_is_known_to_be_gone_is_not_dialed(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b", "new")
    old = Member("b", "old", b.member.address)
    a.tell(Send(b.member, numbered(1)))
    await network.until(lambda: b.received)
    a.tell(Send(old, numbered(2)))
    await network.until(lambda: a.downs(refused=True) == [old])
    assert b.messages == [numbered(1)]
    assert len(b.actor._connections) == 1
    assert a.ups() == [b.member]


async def test_a_new_incarnation_that_introduces_itself_ends_the_link_to_the_old_one(network: Any) -> None:
    a = network.tcp("a")
    old, new = Member("b", "old", "127.0.0.1:1"), Member("b", "new", "127.0.0.1:1")
    (await network.call(a.member.address)).introduce(old)
    await network.until(lambda: a.ups() == [old])
    (await network.call(a.member.address)).introduce(new)
    await network.until(lambda: a.ups() == [old, new])
    assert a.downs(refused=True) == [old]


async def test_a_connection_that_comes_long_after_the_first_replaces_it(network: Any) -> None:
    a = network.tcp("a", link=LinkSettings(dial_s=0.0))
    b = Member("b", "s1", "127.0.0.1:1")
    first, second = await network.call(a.member.address), await network.call(a.member.address)
    first.introduce(b)
    await network.until(lambda: a.ups() == [b])
    second.introduce(b)
    assert await first.is_closed()
    await network.until(lambda: a.ups() == [b, b])
    assert a.downs(refused=False) == [b]


async def test_a_new_identity_is_introduced_on_the_links_that_there_are(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b", "old")
    a.tell(Send(b.member, numbered(1)))
    await network.until(lambda: b.received)
    new = Member("b", "new", b.member.address)
    b.tell(IdentityChanged(new, "c1"))
    b.tell(Send(a.member, numbered(2)))
    await network.until(lambda: a.received)
    assert a.received[0].sender == new
    assert a.received[0].cluster_id == "c1"
    assert [type(event) for event in a.announced] == [LinkUp, LinkDown, LinkUp]
    assert (a.downs(refused=True), a.ups()) == ([b.member], [b.member, new])
    a.tell(Send(new, numbered(3)))
    await network.until(lambda: b.messages == [numbered(1), numbered(3)])
    assert len(a.actor._connections) == 1


async def test_another_cluster_id_is_heard_only_where_clusters_find_out_about_each_other(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b")
    a.tell(IdentityChanged(a.member, "c1"))
    b.tell(IdentityChanged(b.member, "c2"))
    b.tell(Send(a.member, Hello(NO_EPOCH, Epoch(1, "b", "s1"))))
    b.tell(Send(a.member, Join(b.member)))
    b.tell(Forward(a.member, 7, StatusRequest()))
    await network.until(lambda: len(a.received) == 2)
    assert a.messages == [Join(b.member), StatusRequest()]
    assert a.facts()["refused"] == {"another cluster_id": 1}


async def test_a_cluster_id_is_heard_by_whoever_has_none(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b")
    b.tell(IdentityChanged(b.member, "c2"))
    b.tell(Send(a.member, numbered(1)))
    await network.until(lambda: a.received)
    assert a.received[0].cluster_id == "c2"


async def test_another_clusters_node_at_the_address_means_that_the_member_is_gone(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b", "new", cluster="other")
    old = Member("b", "old", b.member.address)
    a.tell(Send(old, numbered(1)))
    await network.until(lambda: old in a.downs(refused=True))
    assert a.ups() == b.ups() == b.received == []
    assert b.facts()["refused"]["another cluster's name"] >= 1


async def test_a_forwarded_request_and_its_answer_keep_their_correlation(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b")
    a.tell(Forward(b.member, 77, StatusRequest()))
    await network.until(lambda: b.received)
    assert (b.received[0].sender, b.received[0].correlation) == (a.member, 77)
    b.tell(Reply(b.received[0].sender, 77, StatusResponse("{}")))
    await network.until(lambda: a.received)
    assert (a.received[0].message, a.received[0].correlation) == (StatusResponse("{}"), 77)


async def test_a_sender_that_the_link_does_not_belong_to_is_refused(network: Any) -> None:
    a = network.tcp("a")
    b = await network.call(a.member.address)
    member = Member("b", "s1", "127.0.0.1:1")
    b.introduce(member)
    b.say(numbered(1), sender=Member("c", "s1"))
    b.say(numbered(2), sender=member)
    await network.until(lambda: a.received)
    assert a.messages == [numbered(2)]
    assert a.facts()["refused"] == {"a sender that the link does not belong to": 1}


async def test_a_forgotten_member_is_not_dialed_any_more(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b")
    a.tell(Send(b.member, numbered(1)))
    await network.until(lambda: b.received)
    await b.stop()
    await network.until(lambda: b.member in a.downs(refused=True))
    a.tell(ForgetMember(b.member))
    await network.until(lambda: a.facts()["links"] == {})


async def test_what_was_written_before_the_stop_still_arrives(network: Any) -> None:
    a, b = network.tcp("a"), network.tcp("b")
    a.tell(Send(b.member, numbered(0)))
    await network.until(lambda: b.received)
    message = large(2_000_000)
    a.tell(Send(b.member, message))
    await a.stop()
    await network.until(lambda: len(b.received) == 2)
    assert b.messages[1] == message
