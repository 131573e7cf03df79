#!/usr/bin/python3
"""Sealed frames: what opens is a beat, once; whatever else comes is counted and nothing more."""
import os
import re
import signal
import time

from harness import *
from sealed import *

PID = 4711
KEY, OTHER, THIRD, MASTER = (bytes([n]) * 31 + b"\1" for n in (0x11, 0x22, 0x33, 0x44))
ONE = "key0"


def flipped(data, bit):
    return data[:bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1:]


def alpha_and_beta(room, **options):
    """(observer, alpha's sender, beta's sender): two hosts with a key each, the senders with equal pids."""
    observer = far(room, accepted=[(KEY, "alpha"), (OTHER, "beta")], **options)
    return observer, Sealer(observer.udp, PID, KEY), Sealer(observer.udp, PID, OTHER)


# --- what is let in ------------------------------------------------------------------------------------------------

@case("a frame under the shared key is a beat of that key's host")
def _(room):
    observer = far(room, key=KEY)
    sender = Sealer(observer.udp, PID, KEY)
    sender.beat(payload=9)
    found = wait_beats(observer, ONE, PID, 1)
    assert found["name"] == f"{ONE}/{PID}" and found["origin"] == "network-unverified" and found["payload"] == 9, found
    assert observer.events.wait("first-beat", pid=PID)["host"] == ONE
    sender.beat()
    wait_beats(observer, ONE, PID, 2)
    assert observer.counter(FAILURES) == 0 and observer.counter(REPLAYS) == 0


@case("frames under the master key are beats of as many processes as there are")
def _(room):
    observer = far(room, master=MASTER, threshold="10s")
    for pid in (PID, PID + 1, 2, 32000):
        Sealer(observer.udp, pid, MASTER, master=True).beat()
        wait_beats(observer, "master", pid, 1)
    assert observer.counter(FAILURES) == 0


@case("every key is tried, whichever form the frame has")
def _(room):
    observer = far(room, key=KEY, accepted=[OTHER, (THIRD, "gamma")], master=MASTER, threshold="10s")
    for count, (host, key) in enumerate(((ONE, KEY), ("key1", OTHER), ("gamma", THIRD)), 1):
        Sealer(observer.udp, PID, key).beat()
        wait_beats(observer, host, PID, 1)
        assert observer.counter(ATTEMPTS) == 3 * count, "all of them, or the time tells which one fits"
    Sealer(observer.udp, PID, MASTER, master=True).beat()
    wait_beats(observer, "master", PID, 1)
    assert observer.counter(ATTEMPTS) == 3 * 3 + 4
    # The longer form under a shared key: nothing vouches for the pid before it, so the one inside is who beats.
    sender = Sealer(observer.udp, PID + 1, OTHER)
    for count, pid in enumerate((PID + 1, PID + 2), 1):
        sender.put(struct.pack("<I", pid) + sender.make())
        wait_beats(observer, "key1", PID + 1, count)
    assert observer.counter(ATTEMPTS) == 3 * 3 + 4 * 3 and observer.counter("beats_total") == 6
    assert not row(observer, "key1", PID + 2) and observer.counter(FAILURES) == 0


@case("the operator may vouch for sealed beats")
def _(room):
    observer = far(room, key=KEY, recovery_exec="/bin/true {pid}", threshold="10s",
                   arguments=["--secure-udp-i-accept-recovery-on-unauthenticated-transport"])
    Sealer(observer.udp, PID, KEY).beat()
    assert wait_beats(observer, ONE, PID, 1)["origin"] == "operator-attested"
    code, said = far(room, start=False, key=KEY, recovery_exec="/bin/true {pid}", name="other").refuse()
    assert code > 0 and "recovery-on-unauthenticated-transport" in said, (code, said)


@case("a process goes on through its prefixes, and at the last counter of one")
def _(room):
    observer = far(room, key=KEY, threshold="10s")
    sender = Sealer(observer.udp, PID, KEY)
    for _ in range(4):
        sender.beat()
        sender.rotate()
        sender.beat()
    sender.counter = COUNTER_LAST - 1
    for _ in range(3):
        sender.beat()
    wait_beats(observer, ONE, PID, 11)
    assert sender.index == 5 and observer.counter(REPLAYS) == 0


@case("what was sent before the prefix changed may still come, and nothing of it twice")
def _(room):
    observer = far(room, key=KEY, threshold="10s")
    sender = Sealer(observer.udp, PID, KEY)
    first = sender.beat()
    late = sender.make()
    sender.rotate()
    second = sender.beat()
    wait_beats(observer, ONE, PID, 2)
    sender.put(late)  # its seal is fresh, its nonce is not
    wait_counter(observer, "out_of_order_total", 1)
    assert observer.counter(REPLAYS) == 0
    for count, data in enumerate((late, first, second), 1):
        sender.put(data)
        wait_counter(observer, REPLAYS, count)
    assert observer.counter("out_of_order_total") == 1 and beats(observer, ONE, PID) == 2


@case("clocks of sealed senders are their own")
def _(room):
    observer = far(room, accepted=[(KEY, "alpha"), (OTHER, "beta")], threshold="10s")
    for host, key, stamps in (("alpha", KEY, [0, 0, 1]), ("beta", OTHER, [2**64 - 2, 5, 2**63, 0])):
        sender = Sealer(observer.udp, PID, key)
        for timestamp in stamps:
            sender.beat(timestamp=timestamp)
        wait_beats(observer, host, PID, len(stamps))
    assert observer.counter("observer_clock_regression_total") == 0


# --- what is not ---------------------------------------------------------------------------------------------------

@case("a frame under another key does not open")
def _(room):
    observer = far(room, key=KEY, master=MASTER)
    Sealer(observer.udp, PID, OTHER).beat()
    wait_counter(observer, FAILURES, 1)
    Sealer(observer.udp, PID, OTHER, master=True).beat()
    wait_counter(observer, FAILURES, 2)
    Sealer(observer.udp, PID, MASTER).beat()  # the master key itself is no shared key
    wait_counter(observer, FAILURES, 3)
    Sealer(observer.udp, PID, agent_key(MASTER, PID)).beat()  # nor is a derived one
    wait_counter(observer, FAILURES, 4)
    assert observer.counter("beats_total") == 0 and observer.rows() == []


@case("a shared key opens nothing in the form of the master key")
def _(room):
    observer = far(room, key=KEY)
    Sealer(observer.udp, PID, KEY, master=True).beat()
    wait_counter(observer, FAILURES, 1)
    assert observer.counter(ATTEMPTS) == 1 and observer.rows() == []


@case("a frame with any bit changed does not open")
def _(room):
    observer = far(room, key=KEY, master=MASTER)
    count = 0
    for sender in (Sealer(observer.udp, PID, KEY), Sealer(observer.udp, PID, MASTER, master=True)):
        good = sender.make()
        for bit in range(len(good) * 8):
            sender.put(flipped(good, bit))
            count += 1
            if count % 64 == 0:  # never more than the queue has room for
                wait_counter(observer, FAILURES, count)
        wait_counter(observer, FAILURES, count)
        assert observer.counter("beats_total") == (1 if sender.master else 0)
        sender.put(good)
        until(lambda n=1 + sender.master: observer.counter("beats_total") == n, "the unchanged one")


@case("every other length is counted and is never opened")
def _(room):
    observer = far(room, key=KEY, master=MASTER)
    sender = Sealer(observer.udp, PID, KEY)
    good = sender.make()
    lengths = [0, 1, 12, 28, 32, 59, 61, 62, 63, 65, 66, 120, 1400, 60000]
    for count, length in enumerate(lengths, 1):
        sender.put((good * 1100)[:length])
        wait_counter(observer, TRUNCATED, count)
    sender.put(frame(1, pid=PID))  # a plain frame, where there are keys
    wait_counter(observer, TRUNCATED, len(lengths) + 1)
    assert observer.counter(ATTEMPTS) == 0 and observer.counter("beats_total") == 0
    sender.put(good)
    wait_beats(observer, ONE, PID, 1)


@case("the pid inside has to be the one that the master key was derived for")
def _(room):
    observer = far(room, master=MASTER)
    liar = Sealer(observer.udp, PID + 1, MASTER, master=True, as_pid=PID)
    liar.beat()
    wait_counter(observer, FAILURES, 1)
    # With the key of one process nobody can speak for another: the pid outside chooses the key.
    sender = Sealer(observer.udp, PID, MASTER, master=True)
    data = sender.make()
    sender.put(struct.pack("<I", PID + 1) + data[4:])
    wait_counter(observer, FAILURES, 2)
    sender.put(data)
    wait_beats(observer, "master", PID, 1)
    assert len(observer.rows()) == 1


@case("what opens but is no frame is a decode error and takes no sender's place")
def _(room):
    observer = far(room, key=KEY, sealed_senders=1, threshold="10s")
    bad = {"bad_magic": dict(magic=b"AV"), "bad_version": dict(version=1), "bad_crc": dict(crc=1), "bad_status": dict(status=9),
           "stall_on_wire": dict(status=STALL), "bad_pid": dict(pid=1), "bad_timestamp": dict(timestamp=2**64 - 1),
           "bad_nonce": dict(nonce=TERMINAL)}
    for number, (kind, fields) in enumerate(bad.items()):
        Sealer(observer.udp, PID + 1 + number, KEY).beat(**fields)
        wait_counter(observer, f'decode_errors_total{{kind="{kind}"}}', 1)
    Sealer(observer.udp, PID, KEY).beat()
    wait_beats(observer, ONE, PID, 1)
    assert observer.counter(FULL) == 0 and observer.counter(FAILURES) == 0


# --- replays -------------------------------------------------------------------------------------------------------

@case("a captured frame counts once, wherever it comes from")
def _(room):
    observer = far(room, key=KEY, master=MASTER, threshold="10s")
    count = 0
    here = ("127.0.0.1", 0)
    for host, sender in ((ONE, Sealer(observer.udp, PID, KEY, source=here)), ("master", Sealer(observer.udp, PID, MASTER, master=True, source=here))):
        captured = [sender.beat(), sender.beat()]
        wait_beats(observer, host, PID, 2)
        there = sender.socket.getsockname()[1]
        others = [UdpSender(observer.udp, PID), UdpSender(observer.udp, PID, ("127.0.0.2", 0)), UdpSender(observer.udp, PID, ("127.9.9.9", there))]
        for replayer in [sender] + others:
            for data in captured:
                replayer.put(data)
                count += 1
                wait_counter(observer, REPLAYS, count)
        assert beats(observer, host, PID) == 2
        sender.beat()
        wait_beats(observer, host, PID, 3)


@case("a replayed frame does not end a silence, however long it lasts")
def _(room):
    observer = far(room, key=KEY, threshold="300ms")
    sender = Sealer(observer.udp, PID, KEY)
    captured = [sender.beat() for _ in range(2)]
    sender.rotate()
    captured += [sender.beat() for _ in range(2)]
    wait_beats(observer, ONE, PID, 4)
    stall = observer.events.wait("stall", pid=PID)
    assert stall["host"] == ONE and stall["verdict"] == "silent", stall
    began, count = time.monotonic(), 0
    while time.monotonic() - began < 1:  # three thresholds
        for data in captured:
            sender.put(data)
            count += 1
        wait_counter(observer, REPLAYS, count)
    assert row(observer, ONE, PID, "stalled")["beats"] == 4 and not observer.events.matching("recovered")
    sender.beat()
    observer.events.wait("recovered", pid=PID)


@case("a new prefix has to bring a new nonce")
def _(room):
    observer = far(room, key=KEY, threshold="30s")
    sender = Sealer(observer.udp, PID, KEY)
    for nonce in (10, 11, 12):
        sender.beat(nonce)
    wait_beats(observer, ONE, PID, 3)
    for count, nonce in enumerate((0, 1, 11, 12), 1):
        sender.session()
        sender.beat(nonce)
        wait_counter(observer, REPLAYS, count)
    sender.session()
    sender.beat(13)
    wait_beats(observer, ONE, PID, 4)
    # The prefix before the last two is nobody's any more; its frames are judged by their nonce, and refused.
    old = Sealer(observer.udp, PID, KEY)
    early = [old.beat(14), old.make(15)]
    wait_beats(observer, ONE, PID, 5)
    for nonce in (16, 17):
        sender.session()
        sender.beat(nonce)
    wait_beats(observer, ONE, PID, 7)
    for count, data in enumerate(early, 5):
        sender.put(data)
        wait_counter(observer, REPLAYS, count)


@case("after a silence of the threshold a process with the same pid may begin anew")
def _(room):
    observer = far(room, key=KEY, threshold="500ms")
    sender = Sealer(observer.udp, PID, KEY)
    for _ in range(5):
        sender.beat()
    wait_beats(observer, ONE, PID, 5)
    captured = sender.make(nonce=5)  # what nobody has seen, but old
    sender.restart()
    sender.beat()
    wait_counter(observer, REPLAYS, 1)
    observer.events.wait("stall", pid=PID)
    sender.nonce = 0
    wire = sender.beat()
    until(lambda: row(observer, ONE, PID, "healthy") and row(observer, ONE, PID)["nonce"] == 1, "the new session")
    sender.beat()
    until(lambda: row(observer, ONE, PID)["nonce"] == 2, "its second beat")
    sender.put(wire)
    wait_counter(observer, REPLAYS, 2)
    sender.nonce = 4
    sender.beat()
    sender.put(captured)
    until(lambda: observer.counter(REPLAYS) + observer.counter("out_of_order_total") >= 3, "a frame of the session before refused")
    assert row(observer, ONE, PID)["nonce"] == 5 and not observer.ends()


@case("the session restart follows the threshold, not a fixed time")
def _(room):
    observer = far(room, key=KEY, threshold="3s")
    sender = Sealer(observer.udp, PID, KEY)
    sender.beat(5)
    wait_beats(observer, ONE, PID, 1)
    began, count = time.monotonic(), 0
    while time.monotonic() - began < 2:
        sender.session()
        sender.beat(1)
        count += 1
        time.sleep(0.1)
    wait_counter(observer, REPLAYS, count)
    until(lambda: sender.session() or sender.beat(1) and row(observer, ONE, PID)["nonce"] == 1, "a new session")
    assert time.monotonic() - began >= 2.9


@case("last words count once, and never begin anything anew")
def _(room):
    observer = far(room, key=KEY, threshold="400ms")
    sender = Sealer(observer.udp, PID, KEY)
    sender.beat()
    crash = Sealer(observer.udp, PID, KEY)  # the hook has a salt of its own
    last = crash.last_words(timestamp=1000)
    told = observer.events.wait("status", pid=PID, status="critical")
    assert told["host"] == ONE, told
    wait_beats(observer, ONE, PID, 2)
    sender.put(last)
    wait_counter(observer, REPLAYS, 1)
    count = 1
    for timestamp in (1000, 999, 0):
        crash.session()
        crash.last_words(timestamp=timestamp)
        count += 1
        wait_counter(observer, REPLAYS, count)
    observer.events.wait("stall", pid=PID)
    time.sleep(0.5)  # another threshold
    for data in (last, crash.make(TERMINAL, status=CRITICAL, timestamp=1000)):
        sender.put(data)
    crash.session()
    crash.last_words(timestamp=1000)
    wait_counter(observer, REPLAYS, count + 3)
    assert row(observer, ONE, PID, "stalled")["beats"] == 2, "an old last word is no sign of life"
    crash.session()
    crash.last_words(timestamp=1001)
    wait_beats(observer, ONE, PID, 3)


# --- hosts and keys ------------------------------------------------------------------------------------------------

@case("equal pids of two hosts are two processes")
def _(room):
    observer, alpha, beta = alpha_and_beta(room, threshold="500ms")
    a_wire, b_wire = alpha.beat(), beta.beat(status=DEGRADED)
    wait_beats(observer, "alpha", PID, 1)
    wait_beats(observer, "beta", PID, 1)
    assert observer.counter(REPLAYS) == 0 and observer.counter("out_of_order_total") == 0
    with Steady(alpha):
        stall = observer.events.wait("stall", pid=PID)
        assert stall["host"] == "beta" and stall["name"] == f"beta/{PID}" and stall["status"] == "degraded", stall
        assert not observer.stalls(host="alpha")
        alpha.put(b_wire)
        beta.put(a_wire)
        until(lambda: observer.counter(REPLAYS) >= 2, "both refused")
        assert row(observer, "beta", PID, "stalled")["beats"] == 1
        assert row(observer, "alpha", PID)["beats"] > 1
    beta.beat()
    observer.events.wait("recovered", host="beta")


@case("whoever has the key of one host speaks for that host only, whatever he says")
def _(room):
    observer, alpha, beta = alpha_and_beta(room, threshold="10s")
    beta.beat()
    wait_beats(observer, "beta", PID, 1)
    for pid in (PID, os.getpid(), observer.pid, observer.gate()):
        Sealer(observer.udp, pid, KEY).beat(100)
        wait_beats(observer, "alpha", pid, 1)
    assert row(observer, "beta", PID)["nonce"] == 1
    # The other's prefix and counters are no secret, and no way to hinder him.
    alpha.salt, alpha.prefix, alpha.counter = beta.salt, beta.prefix, 2**31
    alpha.beat(TERMINAL - 1)
    beta.beat()
    wait_beats(observer, "beta", PID, 2)
    assert observer.counter(REPLAYS) == 0


@case("a local process and one of each host may all have one pid")
def _(room):
    observer, *senders = alpha_and_beta(room, threshold="10s")
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    for sender in senders:
        sender.pid = worker.pid
        sender.beat()
    wait_beats(observer, "alpha", worker.pid, 1)
    wait_beats(observer, "beta", worker.pid, 1)
    worker.tell("exit 3")
    ended = observer.events.wait("end", pid=worker.pid)
    assert not ended.get("host") and ended["code"] == 3, ended
    for sender in senders:
        sender.beat()
    wait_beats(observer, "alpha", worker.pid, 2)
    assert len(observer.ends()) == 1


@case("two keys of one name are one host: a process may change from one to the other")
def _(room):
    observer = far(room, accepted=[(KEY, "alpha"), (THIRD, "alpha"), (OTHER, "beta")], threshold="10s")
    sender = Sealer(observer.udp, PID, KEY)
    captured = sender.beat()
    wait_beats(observer, "alpha", PID, 1)
    sender.key = sender.derived = THIRD
    sender.session()
    sender.beat()
    wait_beats(observer, "alpha", PID, 2)
    assert len(observer.rows()) == 1
    sender.put(captured)
    wait_counter(observer, REPLAYS, 1)
    # The captured one under the key that the process never used here since is refused by its nonce at the latest.
    assert beats(observer, "alpha", PID) == 2


@case("a rule about a host names its processes")
def _(room):
    config = room.write("belay.conf", "[process web]\nhost = al*\nthreshold = 300ms\n")
    observer, alpha, beta = alpha_and_beta(room, config=config, threshold="20s")
    alpha.beat()
    beta.beat()
    assert wait_beats(observer, "alpha", PID, 1)["name"] == "alpha/web"
    assert wait_beats(observer, "beta", PID, 1)["name"] == f"beta/{PID}"
    assert observer.events.wait("stall", pid=PID)["name"] == "alpha/web"
    Sealer(observer.udp, PID + 1, KEY).beat()
    assert wait_beats(observer, "alpha", PID + 1, 1)["name"] == "alpha/web"
    assert len(observer.rows()) == 3


# --- rotation ------------------------------------------------------------------------------------------------------

@case("keys are changed without a gap: old, old and new, new", limit=60)
def _(room):
    observer, alpha, beta = alpha_and_beta(room, threshold="5s")
    path = observer.options["accepted_key_file"]
    with Steady(beta) as live:
        old = alpha.beat()
        wait_beats(observer, "alpha", PID, 1)
        room.write(os.path.basename(path), key_lines((THIRD, "alpha"), (KEY, "alpha"), (OTHER, "beta")))
        reload(observer)
        alpha.beat()  # under the old one still
        wait_beats(observer, "alpha", PID, 2)
        renewed = Sealer(observer.udp, PID, THIRD)
        renewed.nonce = alpha.nonce
        renewed.beat()
        wait_beats(observer, "alpha", PID, 3)
        replays = observer.counter(REPLAYS)
        alpha.put(old)
        wait_counter(observer, REPLAYS, replays + 1)
        room.write(os.path.basename(path), key_lines((OTHER, "beta"), (THIRD, "alpha")))
        reload(observer)
        alpha.nonce = renewed.nonce
        for count, data in enumerate((alpha.make(), old, alpha.make()), 1):
            alpha.put(data)
            wait_counter(observer, FAILURES, count)
        renewed.beat()
        wait_beats(observer, "alpha", PID, 4)
        # What was known of those whose keys stayed is known still, although the keys changed places.
        replays = observer.counter(REPLAYS)
        for count, data in enumerate(live.wire[:5], 1):
            alpha.put(data)
            wait_counter(observer, REPLAYS, replays + count)
    until(lambda: row(observer, "beta", PID)["nonce"] == beta.nonce, "all beats of beta")
    found = row(observer, "beta", PID)
    assert found["beats"] == found["nonce"], ("beats of a host whose key stayed were lost", found)
    assert not observer.stalls() and not observer.ends()


@case("a key that comes back is of the host that it was of, and old captures are no use once it is heard", limit=60)
def _(room):
    observer, alpha, beta = alpha_and_beta(room, threshold="20s")
    name = os.path.basename(observer.options["accepted_key_file"])
    captured = [alpha.beat() for _ in range(3)]
    beta.beat()
    wait_beats(observer, "alpha", PID, 3)
    wait_beats(observer, "beta", PID, 1)
    room.write(name, key_lines((OTHER, "beta")))
    reload(observer)
    alpha.beat()
    wait_counter(observer, FAILURES, 1)
    room.write(name, key_lines((OTHER, "beta"), (KEY, "alpha")))
    reload(observer)
    alpha.beat()
    wait_beats(observer, "alpha", PID, 1)
    for count, data in enumerate(captured, 1):
        alpha.put(data)
        wait_counter(observer, REPLAYS, count)
    assert beats(observer, "alpha", PID) == 1
    beta.beat()
    wait_beats(observer, "beta", PID, 2)


@case("the one key and the master key are read again, too")
def _(room):
    observer = far(room, key=KEY, master=MASTER, threshold="10s")
    shared, derived = Sealer(observer.udp, PID, KEY), Sealer(observer.udp, PID, MASTER, master=True)
    shared.beat()
    derived.beat()
    wait_beats(observer, ONE, PID, 1)
    wait_beats(observer, "master", PID, 1)
    room.write(os.path.basename(observer.options["key_file"]), key_lines(OTHER))
    room.write(os.path.basename(observer.options["master_key_file"]), key_lines(THIRD))
    reload(observer)
    shared.beat()
    wait_counter(observer, FAILURES, 1)
    derived.beat()
    wait_counter(observer, FAILURES, 2)
    Sealer(observer.udp, PID + 1, OTHER).beat()
    wait_beats(observer, "key1", PID + 1, 1)
    Sealer(observer.udp, PID + 1, THIRD, master=True).beat()
    wait_beats(observer, "master", PID + 1, 1)
    # A key without a name that is replaced is another host; whose was the first is forgotten.
    assert row(observer, ONE, PID) is None and beats(observer, "master", PID) == 1


@case("the one key and the master keys are replaced without a gap: old, old and new, new")
def _(room):
    observer = far(room, key=(KEY, "alpha"), master=MASTER, threshold="10s")
    accepted = room.write("accepted_key.keys", key_lines((THIRD, "spare")))
    config = room.write("c.conf", f"[observe]\naccepted-key-file = {accepted}\n")
    observer.stop()
    observer.options["config"] = config
    observer.start()
    newer = bytes(31) + b"\5"
    shared, derived = Sealer(observer.udp, PID, KEY), Sealer(observer.udp, PID, MASTER, master=True)
    shared.beat()
    derived.beat()
    wait_beats(observer, "alpha", PID, 1)
    wait_beats(observer, "master", PID, 1)

    room.write("key.keys", key_lines((OTHER, "alpha")))
    room.write("accepted_key.keys", key_lines((KEY, "alpha")))
    room.write("master_key.keys", key_lines(newer, MASTER))
    reload(observer)
    shared.beat()
    derived.beat()
    wait_beats(observer, "alpha", PID, 2)
    wait_beats(observer, "master", PID, 2)
    renewed = Sealer(observer.udp, PID, OTHER), Sealer(observer.udp, PID, newer, master=True)
    for sender, host in zip(renewed, ("alpha", "master")):
        sender.nonce = 2
        sender.beat()
        wait_beats(observer, host, PID, 3)

    room.write("accepted_key.keys", key_lines((THIRD, "spare")))
    room.write("master_key.keys", key_lines(newer))
    reload(observer)
    shared.beat()
    wait_counter(observer, FAILURES, 1)
    derived.beat()
    wait_counter(observer, FAILURES, 2)
    for sender, host in zip(renewed, ("alpha", "master")):
        sender.beat()
        wait_beats(observer, host, PID, 4)
    assert not observer.stalls() and not observer.events.matching("observer", what="host-removed")


@case("master keys of several names are several hosts")
def _(room):
    observer = far(room, master=[(KEY, "rack1"), (OTHER, "rack2"), THIRD], threshold="10s")
    for key, host in ((KEY, "rack1"), (OTHER, "rack2"), (THIRD, "master")):
        Sealer(observer.udp, PID, key, master=True).beat()
        wait_beats(observer, host, PID, 1)
    assert len(observer.rows()) == 3


# --- hosts without keys --------------------------------------------------------------------------------------------

@case("a new key without a name never speaks for the processes of one that was taken away, nor after a killed gate", limit=60)
def _(room):
    room.need_tmpfs()
    observer = far(room, accepted=[KEY, OTHER], threshold="20s")
    revoked, stays, fresh = (Sealer(observer.udp, PID, key) for key in (KEY, OTHER, THIRD))
    revoked.beat()
    stays.beat()
    wait_beats(observer, "key0", PID, 1)
    wait_beats(observer, "key1", PID, 1)
    room.write("accepted_key.keys", key_lines(OTHER, THIRD))
    reload(observer)
    fresh.beat()
    stays.beat()
    wait_beats(observer, "key2", PID, 1)
    wait_beats(observer, "key1", PID, 2)
    assert row(observer, "key0", PID) is None
    observer.replace_role("gate")
    for sender, host, count in ((stays, "key1", 3), (fresh, "key2", 2)):
        assert row(observer, host, PID)["nonce"] == sender.nonce, (host, observer.rows())
        sender.beat()
        until(lambda h=host, s=sender: row(observer, h, PID)["nonce"] == s.nonce, f"the next beat of {host}")
    assert {r["host"] for r in observer.rows()} == {"key1", "key2"} and not observer.stalls()


@case("processes of a host whose keys were taken away are forgotten at once, and it is said how many")
def _(room):
    command = room.file("ran")
    observer = far(room, accepted=[(KEY, "alpha"), (OTHER, "beta")], threshold="500ms", recovery_exec=f"/bin/touch {command}",
                   arguments=["--secure-udp-i-accept-recovery-on-unauthenticated-transport"])
    for pid in (PID, PID + 1, PID + 2):
        Sealer(observer.udp, pid, KEY).beat()
    with Steady(Sealer(observer.udp, PID, OTHER)):
        until(lambda: len(observer.rows()) == 4, "four processes")
        room.write("accepted_key.keys", key_lines((OTHER, "beta")))
        mark = observer.events.mark()
        reload(observer)
        removed = observer.events.wait("observer", since=mark, what="host-removed")["text"]
        assert "alpha" in removed and "3 processes" in removed, removed
        assert [r["host"] for r in observer.rows()] == ["beta"]
        before = beats(observer, "beta", PID)
        until(lambda: beats(observer, "beta", PID) > before + 20, "more than two thresholds of beta's beats")
    assert not observer.stalls(host="alpha") and not observer.events.matching("action", host="alpha")
    # Its name is its own still: it is heard again when it has a key again.
    room.write("accepted_key.keys", key_lines((OTHER, "beta"), (THIRD, "alpha")))
    reload(observer)
    Sealer(observer.udp, PID, THIRD).beat()
    wait_beats(observer, "alpha", PID, 1)


@case("a gate that begins without keys goes on with processes of other hosts, and tells their silence")
def _(room):
    room.need_tmpfs()
    observer = far(room, accepted=[(KEY, "alpha")], threshold="1s")
    sender = Sealer(observer.udp, PID, KEY)
    sender.beat()
    wait_beats(observer, "alpha", PID, 1)
    path = observer.options["accepted_key_file"]
    os.rename(path, path + ".away")
    mark = observer.events.mark()
    observer.replace_role("gate")
    observer.events.wait("observer", since=mark, what="keys-missing")
    assert ask(observer.socket, SELF)[2][0]["udp"]["keys"] == 0
    observer.events.wait("stall", pid=PID, host="alpha")
    os.rename(path + ".away", path)
    reload(observer)
    sender.beat()
    observer.events.wait("recovered", pid=PID, host="alpha")


@case("processes of hosts that another observer has no key for are forgotten, and it is said how many")
def _(room):
    room.need_tmpfs()
    observer, alpha, beta = alpha_and_beta(room, threshold="20s")
    alpha.beat()
    beta.beat()
    wait_beats(observer, "alpha", PID, 1)
    wait_beats(observer, "beta", PID, 1)
    observer.kill()
    room.write("accepted_key.keys", key_lines((OTHER, "beta")))
    mark = observer.events.mark()
    observer.start()
    removed = observer.events.wait("observer", since=mark, what="host-removed")["text"]
    assert "alpha" in removed and "1 process " in removed, removed
    assert [r["host"] for r in observer.rows()] == ["beta"] and not observer.ends()


@case("keys that cannot be read again stay as they were, and it is said why")
def _(room):
    observer = far(room, key=KEY, threshold="10s")
    sender, path = Sealer(observer.udp, PID, KEY), observer.options["key_file"]
    sender.beat()
    wait_beats(observer, ONE, PID, 1)
    for count, spoil in enumerate((lambda: room.write("key.keys", OTHER.hex()[:-1]), lambda: os.chmod(path, 0o644), lambda: os.unlink(path),
                                   lambda: os.symlink("/dev/null", path)), 2):
        before = len(observer.log())
        spoil()
        observer.process.send_signal(signal.SIGHUP)
        until(lambda b=before: "key.keys" in observer.log()[b:], lambda b=before: f"a word about it: {observer.log()[b:]}")
        assert OTHER.hex()[:16] not in observer.log() and observer.alive()
        sender.beat()
        wait_beats(observer, ONE, PID, count)
    assert observer.counter(FAILURES) == 0


# --- key files -----------------------------------------------------------------------------------------------------

@case("a key file that others could have read or made is refused, and nothing of it is said")
def _(room):
    digits = KEY.hex()
    good = room.write("good", digits + "\n")
    os.symlink(good, room.file("link"))
    os.mkfifo(room.file("pipe"), 0o600)
    os.mkdir(room.file("dir"), 0o700)
    bad = {"open": (digits + "\n", 0o644), "group": (digits + "\n", 0o640), "short": (digits[:-1] + "\n", 0o600), "long": (digits + "0\n", 0o600),
           "empty": ("", 0o600), "letters": ("x" + digits[1:] + "\n", 0o600), "two": (digits + "\n" + digits + "\n", 0o600)}
    for name, (text, mode) in bad.items():
        room.write(name, text, mode)
        os.chmod(room.file(name), mode)
    for name in [*bad, "link", "pipe", "dir", "absent"]:
        for option in ("key_file", "master_key_file", "accepted_key_file"):
            if name == "two" and option != "key_file":
                continue  # one key twice: below
            observer = Observer(room, start=False, name=f"{name}-{option}", udp_port=free_port(), **{option: room.file(name)})
            code, said = observer.refuse()
            assert code > 0 and room.file(name) in said, (name, option, code, said)
            assert digits[1:20] not in said, (name, option, said)
    assert far(room, key=KEY, name="fine").alive()


@case("a file of keys with a wrong name, or with one key twice, is refused")
def _(room):
    lines = {"mark first": "-web", "dot first": ".web", "slash": "a/b", "long": "h" * 32, "control": "a\x01b", "letter": "w\u00e9b",
             "two words": "a b", "star": "a*"}
    for number, (what, host) in enumerate(lines.items()):
        observer = far(room, start=False, accepted=[(KEY, "fine"), (OTHER, host)], name=f"n{number}")
        code, said = observer.refuse()
        assert code > 0 and observer.options["accepted_key_file"] in said and OTHER.hex()[:20] not in said, (what, code, said)
    for number, twice in enumerate(([KEY, KEY], [(KEY, "alpha"), OTHER, (KEY, "beta")])):
        observer = far(room, start=False, accepted=twice, name=f"t{number}")
        code, said = observer.refuse()
        assert code > 0 and observer.options["accepted_key_file"] in said and KEY.hex()[:20] not in said, (code, said)
    longest = "Host-1.example_" + "x" * 16
    observer = far(room, accepted=[(KEY, longest)])
    Sealer(observer.udp, PID, KEY).beat()
    wait_beats(observer, longest, PID, 1)


def many_keys(count):
    return [struct.pack("<I", n) * 8 for n in range(1, count + 1)]


@case("of as many keys as there can be each is a host of its own, and of one more none is", limit=60)
def _(room):
    # 511 hosts have a number. Whatever lies beyond is refused at the start: nobody may become one of this host.
    for count, master in ((511, None), (510, MASTER), (512, None), (511, MASTER), (513, None), (600, None)):
        observer = far(room, start=False, accepted=many_keys(count), master=master, name=f"n{count}{bool(master)}", threshold="20s")
        observer.launch()
        until(lambda o=observer: not o.alive() or "started" in o.log(), observer.log)
        if not observer.alive():
            assert observer.process.returncode > 0 and count + bool(master) > 511 and "key" in observer.log(), (count, observer.log())
            continue
        assert count + bool(master) <= 511, (count, master)
        until(lambda o=observer: o.events.matching("observer", what="started"), "a start")
        for n in (1, 2, count - 1, count):
            Sealer(observer.udp, PID, many_keys(count)[n - 1]).beat()
            wait_beats(observer, f"key{n - 1}", PID, 1)
        if master:
            Sealer(observer.udp, PID, MASTER, master=True).beat()
            wait_beats(observer, "master", PID, 1)
        assert observer.counter(ATTEMPTS) == 4 * count + (count + 1 if master else 0)
        assert all(r["host"] for r in observer.rows())
        observer.stop()


@case("names that come and go with reloads never make a host this one, nor one another", limit=90)
def _(room):
    observer = far(room, accepted=[(KEY, "stays")], threshold="60s")
    name = os.path.basename(observer.options["accepted_key_file"])
    steady = Sealer(observer.udp, PID, KEY)
    steady.beat()
    wait_beats(observer, "stays", PID, 1)
    keys, full = many_keys(50), 0
    for turn in range(14):
        room.write(name, key_lines((KEY, "stays"), *[(key, f"host-{turn}-{n}") for n, key in enumerate(keys)]))
        before = len(observer.log())
        observer.process.send_signal(signal.SIGHUP)
        until(lambda b=before: "reload" in observer.log()[b:] or name in observer.log()[b:], lambda: observer.log())
        for n in (0, 49):
            Sealer(observer.udp, 1000 + turn, keys[n]).beat()
        steady.beat()
        until(lambda: row(observer, "stays", PID)["nonce"] == steady.nonce, lambda: f"the steady one's beat: {observer.log()[-500:]}")
        full += not row(observer, f"host-{turn}-49", 1000 + turn)
    rows = observer.rows()
    assert all(re.fullmatch(r"stays|host-\d+-\d+", r["host"]) for r in rows), rows
    assert all(r["beats"] == 1 for r in rows if r["host"] != "stays"), rows
    assert full < 7, "names were refused although there was room"
    print(f"# in {full} of 14 turns new names had no room")


@case("another user's key file is refused")
def _(room):
    need_root()
    path = room.write("key", KEY.hex() + "\n")
    os.chown(path, NOBODY, NOBODY)
    code, said = Observer(room, start=False, udp_port=free_port(), key_file=path).refuse()
    assert code > 0 and path in said, (code, said)


@case("a key that `belay key` makes and finds usable opens what is sealed under it")
def _(room):
    path = room.file("new.key")
    code, out, said = belay("key", "new", path)
    assert code == 0 and stat.S_IMODE(os.stat(path).st_mode) == 0o600, (code, out, said)
    text = read_file(path)
    assert re.fullmatch(r"[0-9a-f]{64}\n", text) and text[:64] not in out + said, (out, said)
    assert belay("key", "new", path)[0] != 0 and read_file(path) == text, "a key is never overwritten"
    code, out, said = belay("key", "check", path)
    assert code == 0 and text[:64] not in out + said, (code, out, said)
    observer = Observer(room, udp_port=free_port(), key_file=path)
    Sealer(("127.0.0.1", int(observer.options["udp_port"])), PID, bytes.fromhex(text)).beat()
    wait_beats(observer, ONE, PID, 1)
    os.chmod(path, 0o644)
    assert belay("key", "check", path)[0] != 0


@case("keys stand nowhere but in their files")
def _(room):
    observer = far(room, key=KEY, accepted=[(OTHER, "alpha")], master=MASTER, threshold="10s")
    Sealer(observer.udp, PID, KEY).beat()
    wait_beats(observer, ONE, PID, 1)
    reload(observer)
    secrets = [key for pair in (KEY, OTHER, MASTER) for key in (pair, pair.hex().encode())]
    places = [f"/proc/{pid}/{what}" for pid in [observer.pid, *observer.roles().values()] for what in ("cmdline", "environ")]
    places += [room.file(name) for name in os.listdir(room.path) if not name.endswith(".keys") and os.path.isfile(room.file(name))]
    for place in places:
        with contextlib.suppress(OSError), open(place, "rb") as file:
            text = file.read()
            assert not any(secret in text for secret in secrets), place


@case("the gate alone knows the keys, in memory that is never swapped", limit=60)
def _(room):
    observer = far(room, key=KEY, master=MASTER, threshold="10s")
    Sealer(observer.udp, PID, KEY).beat()
    wait_beats(observer, ONE, PID, 1)
    gate = observer.gate()

    def holds(pid):
        """Whether a mapping of PID holds a key; the locked ones are left out."""
        found, name, locked = [], "", False
        spans = []
        for line in read_file(f"/proc/{pid}/smaps").splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                name = line
            elif line.startswith("VmFlags:"):
                locked = " lo" in line
                spans.append((name, locked))
        try:
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                for name, locked in spans:
                    start, end = (int(part, 16) for part in name.split()[0].split("-"))
                    if name.split()[1][:1] != "r" or "[v" in name or end - start > 64 << 20:
                        continue
                    memory.seek(start)
                    with contextlib.suppress(OSError):
                        data = memory.read(end - start)
                        if KEY in data or MASTER in data or KEY.hex().encode() in data:
                            found.append((name, locked))
        except OSError as error:
            raise Skip(f"memory of others cannot be read here: {error}") from error
        return found
    found = holds(gate)
    if b"__asan_init" not in open(OBSERVE, "rb").read():  # which makes mlock(2) do nothing
        assert all(locked for _, locked in found), ("keys where they may be swapped out", found)
    for role, pid in observer.roles().items():
        if pid != gate:
            assert not holds(pid), (role, holds(pid))
    assert not holds(observer.pid), ("the parent keeps keys", holds(observer.pid))


@case("sealed beats of other addresses than this host's own are acknowledged first")
def _(room):
    observer = far(room, start=False, bind="0.0.0.0", key=KEY)
    code, said = observer.refuse()
    assert code > 0 and "--i-accept-secure-udp-non-loopback" in said, (code, said)
    observer.arguments.append("--i-accept-secure-udp-non-loopback")
    observer.start()
    Sealer(("127.0.0.1", observer.udp[1]), PID, KEY).beat()
    wait_beats(observer, ONE, PID, 1)


# --- a full table --------------------------------------------------------------------------------------------------

@case("who has one key cannot fill the places of another's senders")
def _(room):
    observer = far(room, accepted=[(KEY, "loud"), (OTHER, "beta")], sealed_senders=16, threshold="10s")
    for pid in range(2, 42):
        Sealer(observer.udp, pid, KEY).beat()
    wait_counter(observer, FULL, 28)
    for pid in range(2, 6):  # a quarter of 16
        Sealer(observer.udp, pid, OTHER).beat()
        wait_beats(observer, "beta", pid, 1)
    Sealer(observer.udp, 6, OTHER).beat()
    wait_counter(observer, FULL, 29)
    assert len(observer.rows()) == 16



@case("when all senders are known nobody new gets in, and the known ones go on")
def _(room):
    observer = far(room, accepted=[(KEY, "alpha"), (OTHER, "beta")], sealed_senders=4, threshold="500ms")
    known = [Sealer(observer.udp, PID + n, KEY) for n in range(3)] + [Sealer(observer.udp, PID, OTHER)]
    for sender in known:
        sender.beat()
    until(lambda: observer.counter("beats_total") == 4, "four beats")
    assert observer.counter(FULL) == 0
    with Steady(*known):
        for count in range(1, 6):
            Sealer(observer.udp, 5000 + count, KEY).beat()
            wait_counter(observer, FULL, count)
        before = observer.counter("beats_total")
        until(lambda: observer.counter("beats_total") > before + 20, "beats of the known")
    assert not observer.stalls() and {r["pid"] for r in observer.rows()} == {PID, PID + 1, PID + 2}
    assert observer.counter(REPLAYS) == 0
    # Even long after their last beat they are not forgotten for a newcomer.
    observer.events.wait("stall", pid=PID, host="beta")
    Sealer(observer.udp, 6000, OTHER).beat()
    wait_counter(observer, FULL, 6)


@case("the number of senders is 1 to 65536")
def _(room):
    for value in ("0", "65537", "-1", "x"):
        code, said = far(room, start=False, key=KEY, name="n" + value, sealed_senders=value).refuse()
        assert code > 0 and "sealed-senders" in said, (value, code, said)
    observer = far(room, key=KEY, name="most", sealed_senders=65536)
    Sealer(observer.udp, PID, KEY).beat()
    wait_beats(observer, ONE, PID, 1)


# --- observers and gates that end ----------------------------------------------------------------------------------

@case("another observer goes on with sealed senders in the midst of their session")
def _(room):
    room.need_tmpfs()
    observer, alpha, beta = alpha_and_beta(room, threshold="10s")
    alpha.beat()
    beta.beat(status=DEGRADED)
    wait_beats(observer, "alpha", PID, 1)
    wait_beats(observer, "beta", PID, 1)
    for end in (observer.stop, observer.kill):
        end()
        mark = observer.events.mark()
        # The order of the keys is not what hosts are known by.
        room.write(os.path.basename(observer.options["accepted_key_file"]), key_lines((OTHER, "beta"), (KEY, "alpha")))
        observer.start()
        assert row(observer, "alpha", PID)["nonce"] == alpha.nonce and row(observer, "beta", PID)["status"] == "degraded", observer.rows()
        for sender, host in ((alpha, "alpha"), (beta, "beta")):
            sender.beat(status=DEGRADED if host == "beta" else OK)
            until(lambda h=host, s=sender: row(observer, h, PID)["nonce"] == s.nonce, f"the next beat of {host}")
        assert not observer.events.matching("first-beat", since=mark) and not observer.events.matching("status", since=mark)
    assert not observer.ends() and not observer.stalls()


@case("after a killed gate live senders go on, and captured frames are still no beats", limit=60)
def _(room):
    room.need_tmpfs()
    observer, alpha, beta = alpha_and_beta(room, threshold="10s")
    captured = [alpha.beat() for _ in range(3)] + [beta.beat()]
    last = Sealer(observer.udp, PID, OTHER).last_words(timestamp=77)
    wait_beats(observer, "alpha", PID, 3)
    wait_beats(observer, "beta", PID, 2)
    observer.replace_role("gate")
    before = [beats(observer, host, PID) for host in ("alpha", "beta")]
    for data in [*captured, last]:
        alpha.put(data)
    until(lambda: observer.counter(REPLAYS) + observer.counter("out_of_order_total") >= 5,
          lambda: f"refusals; rows {observer.rows()}, counters { {k: v for k, v in observer.counters().items() if v} }")
    assert [beats(observer, host, PID) for host in ("alpha", "beta")] == before, observer.rows()
    assert row(observer, "beta", PID, "critical"), observer.rows()
    alpha.beat()
    assert wait_beats(observer, "alpha", PID, before[0] + 1)["nonce"] == 4
    beta.beat()
    assert wait_beats(observer, "beta", PID, before[1] + 1)["nonce"] == 2
    assert not observer.stalls() and not observer.ends()


if __name__ == "__main__":
    main()
