#!/usr/bin/python3
"""The door: who may say what, and that lying clients hold up nobody."""
import errno
import os
import random
import signal
import socket
import struct

from harness import *


def refused(answer, *codes):
    code, sentence, rows = answer
    assert code in [-c for c in codes] and sentence and rows == [], answer


def shell_child(observer, of=None, name=b"", uid=None, status=0, progress=0):
    """What a child is answered that beats for its parent (this process) or for OF."""
    def run(tell, told):
        with Door(observer.socket) as door:
            code, sentence, _ = door.ask(BEAT, name=name, of=of or 0, status=status, progress=progress)
        tell(f"{code} {sentence}")
        return 0
    child = Child(run, uid=uid)
    code, _, sentence = child.hear().partition(" ")
    child.wait()
    return int(code), sentence, []


@case("PING is answered")
def _(room):
    observer = Observer(room)
    code, _, rows = ask(observer.socket, PING)
    assert code == 0 and isinstance(rows[0], dict)


@case("SELF tells where the observer is and how it is")
def _(room):
    observer = Observer(room, threshold="750ms", capacity=123)
    row = ask(observer.socket, SELF)[2][0]
    assert row["pid"] == observer.pid and row["socket"] == observer.socket, row
    assert row["uid"] == os.geteuid() and row["threshold_s"] == 0.75 and row["capacity"] == 123, row
    assert row["events_file"] == observer.events_path, row
    assert {role["name"] for role in row["roles"]} == {"gate", "prober", "exporter"}, row
    assert row["queue_frames"] >= 1 and row["tracked"] == 0, row


@case("a beat at the door counts for the sender's parent")
def _(room):
    observer = Observer(room, max_beat_rate=0)
    assert shell_child(observer, name=b"script", progress=7)[0] == 0
    event = observer.events.wait("first-beat", pid=os.getpid())
    assert event["name"] == "script", event
    row = observer.rows("script")[0]
    assert row["pid"] == os.getpid() and row["payload"] == 7 and row["origin"] == "kernel-attested", row
    for _ in range(3):
        assert shell_child(observer, name=b"script")[0] == 0
    assert observer.rows("script")[0]["beats"] == 4
    assert observer.counter("door_beats_total") == 4


@case("a process that beats both by itself and at the door keeps its own count")
def _(room):
    observer = Observer(room, max_beat_rate=0)
    sender = Sender(observer.socket)

    def beats(number):
        until(lambda: observer.rows(str(os.getpid())) and observer.rows(str(os.getpid()))[0]["beats"] == number,
              lambda: f"{number} beats: {observer.rows()}")
    for number in range(1, 4):
        assert shell_child(observer)[0] == 0
        beats(number)
    for nonce in range(1, 4):
        sender.send(frame(nonce))
        beats(2 + 2 * nonce)
        assert shell_child(observer)[0] == 0
        beats(3 + 2 * nonce)
    assert observer.counter("out_of_order_total") == 0


@case("a beat at the door counts for an ancestor")
def _(room):
    observer = Observer(room)
    grandparent = os.getpid()

    def run(tell, told):
        answer = shell_child(observer, of=grandparent, name=b"grand", status=1)
        tell(str(answer[0]))
    child = Child(run)
    assert child.hear() == "0"
    event = observer.events.wait("first-beat", pid=grandparent)
    assert event["name"] == "grand" and event["status"] == "degraded", event


@case("a beat at the door for who is no ancestor is refused")
def _(room):
    observer = Observer(room)
    stranger = subprocess.Popen(["sleep", "60"])
    refused(shell_child(observer, of=stranger.pid), errno.EPERM)
    refused(shell_child(observer, of=observer.pid), errno.EPERM)
    refused(shell_child(observer, of=2**31 - 1), errno.EPERM, errno.ESRCH)
    refused(shell_child(observer, of=2**32 - 1), errno.EPERM, errno.ESRCH)
    assert observer.rows() == []


@case("a beat at the door for pid 1 is refused")
def _(room):
    observer = Observer(room)
    refused(shell_child(observer, of=1), errno.EPERM)
    # An orphan whose parent is pid 1 of a pid namespace or the subreaper: its parent is asked for only when there is one.
    assert observer.rows() == []


@case("a beat at the door for an ancestor of another user is refused")
def _(room):
    need_root()
    os.chmod(room.path, 0o755)
    observer = Observer(room, start=False, user=NOBODY, state="none", events="none")
    os.chown(room.path, NOBODY, NOBODY)
    observer.launch()
    until(lambda: "started" in observer.log(), observer.log)
    # Its user's child beats for this process, which is root's.
    refused(shell_child(observer, uid=NOBODY), errno.EPERM)
    refused(shell_child(observer, of=os.getpid(), uid=NOBODY), errno.EPERM)


@case("another user gets no answer from the door but a refusal")
def _(room):
    need_root()
    os.chmod(room.path, 0o755)
    observer = Observer(room, socket_mode="0666")
    for kind in (PING, STATUS, COUNTERS, EVENTS, SELF, BEAT, GOODBYE, WITHIN):
        def run(tell, told, kind=kind):
            with Door(observer.socket) as door:
                code, _, rows = door.ask(kind)
            tell(f"{code} {len(rows)}")
        child = Child(run, uid=NOBODY)
        assert child.hear() == f"-{errno.EPERM} 0", kind
        child.wait()
    assert observer.counter("door_refused_total") == 8


@case("root may ask an ordinary user's observer")
def _(room):
    need_root()
    os.chown(room.path, NOBODY, NOBODY)
    observer = Observer(room, start=False, user=NOBODY, state="none", events="none")
    observer.launch()
    until(lambda: "started" in observer.log(), observer.log)
    child = beating_child(observer.socket, uid=NOBODY)
    row = observer.rows(str(child.pid))[0]
    assert row["uid"] == NOBODY and row["name"].startswith(f"{NOBODY}/"), row


@case("a name or a status outside of the grammar is refused")
def _(room):
    observer = Observer(room)
    for name in (b"-x", b"a b", b"a/b", b"x" * 65, b"\xff", b"\x1b[31m", b"a\nb"):
        refused(shell_child(observer, name=name), errno.EINVAL)
    for status in (3, 4, 255):
        refused(shell_child(observer, name=b"x", status=status), errno.EINVAL)
    refused(shell_child(observer, name=b"x" * 72), errno.EINVAL, errno.EBADMSG)
    assert observer.rows() == []


@case("what is no request is refused and counted, and others are answered")
def _(room):
    observer = Observer(room)
    good = request(PING)
    bad = [b"x", b"\0" * 104, good[:-1], good + b"\0", good * 20, b"\xff" * 104, request(PING, magic=0x4242), request(99), request(0),
           request(STATUS, name=b"x" * 72)]
    for count, data in enumerate(bad, 1):
        with Door(observer.socket) as door:
            door.socket.send(data)
            packet = door.packet()
            assert packet is None or (packet[0] == DONE and packet[1] < 0), (data, packet)
        until(lambda c=count: observer.counter("door_refused_total") == c, lambda d=data: f"a refusal of {d}")
    with Door(observer.socket) as door:
        door.socket.send(request(PING, version=2))
        part, code, _, version = door.packet()
        assert part == DONE and code == -errno.EPROTONOSUPPORT and version == 1
    assert ask(observer.socket, PING)[0] == 0


@case("garbage at the door never ends it")
def _(room):
    observer = Observer(room)
    generator = random.Random(9)
    gate = observer.roles()["gate"]
    for turn in range(300):
        data = bytearray(request(generator.randrange(12), name=generator.randbytes(generator.randrange(72)),
                                 nonce=generator.getrandbits(64), value=generator.getrandbits(64),
                                 of=generator.getrandbits(32), status=generator.randrange(256)))
        if turn % 3 == 0:
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        with Door(observer.socket) as door:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                door.socket.send(bytes(data))
                if turn % 5 == 0:
                    door.socket.send(generator.randbytes(generator.randrange(1, 300)))
    assert ask(observer.socket, PING)[0] == 0
    assert observer.roles()["gate"] == gate


@case("announcements and goodbyes concern their sender alone")
def _(room):
    observer = Observer(room, threshold="400ms")
    worker = Worker(observer.socket, 0)
    observer.events.wait("first-beat", pid=worker.pid)
    with Door(observer.socket) as door:
        door.socket.send(request(GOODBYE, nonce=1))
        door.socket.send(request(WITHIN, nonce=1, value=60000))
        door.ask(PING)
    observer.events.wait("stall", pid=worker.pid)
    assert not observer.ends()


@case("two hundred connections that say nothing hold up nobody", limit=60)
def _(room):
    observer = Observer(room, threshold="2s")
    worker = Worker(observer.socket, 100)
    sockets = []
    for _ in range(200):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(1)
        with contextlib.suppress(OSError):
            connection.connect(observer.socket + ".hello")
        sockets.append(connection)
    for _ in range(3):
        assert ask(observer.socket, PING)[0] == 0
    worker.stop()
    observer.events.wait("stall", pid=worker.pid)
    assert len(os.listdir(f"/proc/{observer.gate()}/fd")) < 150


@case("readers of status and events that read nothing hold up nobody", limit=60)
def _(room):
    observer = Observer(room, threshold="2s", max_beat_rate=0, global_beat_rate=0)
    workers = [Worker(observer.socket, 200, env={"BELAY_NAME": f"{'x' * 50}{number}"}) for number in range(20)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    doors = []
    for number in range(20):
        door = Door(observer.socket)
        door.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        door.socket.send(request(EVENTS))
        other = Door(observer.socket)
        for _ in range(30):
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError, TimeoutError):
                other.socket.settimeout(0.01)
                other.socket.send(request(STATUS))
        doors += [door, other]
    sender = Sender(observer.socket)
    for nonce in range(1, 3000):
        sender.send(frame(nonce, status=nonce % 3))
    assert len(observer.rows()) == 21
    workers[0].stop()
    observer.events.wait("stall", pid=workers[0].pid)
    assert {stall["pid"] for stall in observer.stalls()} <= {workers[0].pid, os.getpid()}, observer.stalls()


@case("EVENTS follows what happens until the asker hangs up")
def _(room):
    observer = Observer(room, threshold="300ms")
    with Door(observer.socket) as door:
        door.socket.send(request(EVENTS))
        # Answered requests on another connection mean that this one was seen, too.
        ask(observer.socket, PING)
        worker = Worker(observer.socket, 50)
        worker.stop()
        seen = []
        while not any(event["event"] == "stall" for event in seen):
            part, code, text, _ = door.packet()
            assert part == LINES and code == 0
            seen += [json.loads(line) for line in text.splitlines()]
        assert seen[0]["event"] == "first-beat" and seen[0]["pid"] == worker.pid, seen
        observer.stop()
        last = None
        with contextlib.suppress(ConnectionResetError):
            while (packet := door.packet()) is not None:
                last = packet
        assert last is None or last[0] in (DONE, LINES)


@case("a status of many processes comes whole, in several packets")
def _(room):
    observer = Observer(room, threshold="1h")
    children = []
    for _ in range(150):
        children.append(beating_child(observer.socket))
    with Door(observer.socket) as door:
        door.socket.send(request(STATUS))
        packets, text = 0, ""
        while (packet := door.packet())[0] == LINES:
            packets += 1
            text += packet[2]
        assert packet[1] == 0
    rows = [json.loads(line) for line in text.splitlines()]
    assert packets > 1 and {row["pid"] for row in rows} == {child.pid for child in children}


if __name__ == "__main__":
    main()
