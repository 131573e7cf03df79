#!/usr/bin/python3
"""What bad datagrams get: each its counter and event, and no other process suffers."""
import os
import random
import signal
import socket
import struct
import time

from harness import *


def after(observer, count, name):
    """Waits until the counter NAME is COUNT."""
    until(lambda: observer.counter(name) >= count, lambda: f"{name} = {count}; it is {observer.counter(name)}")
    assert observer.counter(name) == count, (name, observer.counter(name), count)


@case("each class of decode error is counted and told")
def _(room):
    observer = Observer(room, max_beat_rate=0)
    sender = Sender(observer.socket)
    bad = {
        "bad_magic": frame(1, magic=b"AV"),
        "bad_version": frame(1, version=1),
        "bad_crc": frame(1, crc=0x12345678),
        "bad_status": frame(1, status=4),
        "stall_on_wire": frame(1, status=STALL),
        "bad_pid": frame(1, pid=1),
        "bad_timestamp": frame(1, timestamp=2**64 - 1),
        "bad_nonce": frame(TERMINAL, status=OK),
    }
    for count in (1, 2):
        for kind, data in bad.items():
            sender.send(data)
            after(observer, count, f'decode_errors_total{{kind="{kind}"}}')
    for kind in bad:
        assert observer.events.wait("refused", reason=kind)["count"] >= 1
    assert observer.counter("beats_total") == 0 and observer.rows() == []


@case("the first error in the order of the checks is the one that counts")
def _(room):
    observer = Observer(room)
    sender = Sender(observer.socket)
    order = [("bad_magic", dict(magic=b"xx")), ("bad_version", dict(version=9)), ("bad_crc", dict(crc=1)),
             ("bad_status", dict(status=77)), ("bad_pid", dict(pid=0)), ("bad_timestamp", dict(timestamp=2**64 - 1)),
             ("bad_nonce", dict(nonce=TERMINAL))]
    for first in range(len(order)):
        fields = {}
        for _, field in order[first:]:
            fields.update(field)
        fields.setdefault("nonce", 1)
        sender.send(frame(**fields))
        after(observer, 1, f'decode_errors_total{{kind="{order[first][0]}"}}')


@case("a datagram of a wrong length is counted and nothing else")
def _(room):
    observer = Observer(room)
    sender = Sender(observer.socket)
    good = frame(1)
    lengths = [0, 1, 31, 33, 64, 4096, 65536]
    for count, length in enumerate(lengths, 1):
        sender.send((good * 2049)[:length])
        after(observer, count, "truncated_datagrams_total")
    sender.send(good)
    after(observer, 1, "beats_total")


@case("garbage of 32 bytes never becomes a beat")
def _(room):
    observer = Observer(room, global_beat_rate=0)
    sender = Sender(observer.socket)
    generator = random.Random(5)
    for _ in range(500):
        sender.send(generator.randbytes(32))
    for position in range(32 * 8):
        data = bytearray(frame(1))
        data[position // 8] ^= 1 << position % 8
        sender.send(bytes(data))
    until(lambda: sum(v for k, v in observer.counters().items() if k.startswith("decode_errors_total")) == 500 + 256, "all of it")
    assert observer.counter("beats_total") == 0


@case("a forged pid is refused, and the process it names is untouched")
def _(room):
    observer = Observer(room, threshold="400ms")
    worker = Worker(observer.socket, 0)
    observer.events.wait("first-beat", pid=worker.pid)
    sender = Sender(observer.socket)
    for nonce in range(2, 100):
        sender.send(frame(nonce, pid=worker.pid))
    after(observer, 98, "frame_auth_failures_total")
    assert observer.events.wait("refused", reason="pid_mismatch")
    observer.events.wait("stall", pid=worker.pid)
    assert observer.rows(str(worker.pid))[0]["beats"] == 1


@case("a pid that cannot exist is refused by itself")
def _(room):
    observer = Observer(room)
    Sender(observer.socket).send(frame(1, pid=2**32 - 1))
    after(observer, 1, "frame_rejected_pid_above_max_total")


@case("another user's beats are refused although he may write to the socket")
def _(room):
    need_root()
    os.chmod(room.path, 0o755)
    observer = Observer(room, socket_mode="0666")

    def run(tell, told):
        sender = Sender(observer.socket)
        for _ in range(3):
            sender.beat()
        tell("sent")
        told()
    child = Child(run, uid=NOBODY)
    assert child.hear() == "sent"
    after(observer, 3, "frame_foreign_uid_total")
    assert observer.events.wait("refused", reason="foreign_uid")
    assert observer.counter("beats_total") == 0 and observer.rows() == []
    child.say()
    child.wait()


@case("another user cannot even send to the socket as it is by default")
def _(room):
    need_root()
    os.chmod(room.path, 0o755)
    observer = Observer(room)

    def run(tell, told):
        for suffix, kind in (("", socket.SOCK_DGRAM), (".hello", socket.SOCK_SEQPACKET)):
            try:
                socket.socket(socket.AF_UNIX, kind).connect(observer.socket + suffix)
                tell("connected")
            except PermissionError:
                tell("refused")
    child = Child(run, uid=NOBODY)
    assert child.hear() == "refused" and child.hear() == "refused"
    assert child.wait() == 0


@case("a replayed nonce is counted and does not end a silence")
def _(room):
    observer = Observer(room, threshold="500ms", max_beat_rate=0)
    sender = Sender(observer.socket)
    for nonce in (5, 6, 6, 5, 1):
        sender.send(frame(nonce))
    after(observer, 3, "out_of_order_total")
    began = time.monotonic()
    while not observer.stalls(pid=os.getpid()):
        sender.send(frame(6))
        assert time.monotonic() - began < PATIENCE
    after_stall = observer.counter("recoveries_total")
    assert after_stall == 0
    sender.send(frame(7))
    observer.events.wait("recovered", pid=os.getpid())


@case("a nonce at its end may start over")
def _(room):
    observer = Observer(room, max_beat_rate=0)
    sender = Sender(observer.socket)
    for nonce in (TERMINAL - 2, TERMINAL - 1, 0, 1, 2):
        sender.send(frame(nonce))
    after(observer, 5, "beats_total")
    after(observer, 1, "nonce_wrap_total")


@case("a terminal beat shows a critical process, and later ones are accepted")
def _(room):
    observer = Observer(room, max_beat_rate=0)
    sender = Sender(observer.socket)
    sender.send(frame(1))
    sender.send(frame(TERMINAL, status=CRITICAL, timestamp=100))
    observer.events.wait("status", pid=os.getpid(), status="critical")
    sender.send(frame(TERMINAL, status=CRITICAL, timestamp=100))
    after(observer, 1, "out_of_order_total")
    sender.send(frame(2))
    observer.events.wait("status", pid=os.getpid(), status="ok")


@case("one process that floods is cut to its rate and takes nothing from the others", limit=60)
def _(room):
    observer = Observer(room, threshold="2s", max_beat_rate=10)
    workers = [Worker(observer.socket, 100) for _ in range(3)]

    def flood(tell, told):
        sender = Sender(observer.socket)
        until_ns = time.monotonic() + 3
        while time.monotonic() < until_ns:
            sender.beat()
        tell("done")
        told()
    child = Child(flood)
    assert child.hear() == "done"
    assert observer.counter('rate_limited_total{reason="per_pid"}') > 100
    row = observer.rows(str(child.pid))[0]
    assert row["beats"] <= 3.5 * 10 + 5, row
    assert not observer.stalls(), observer.stalls()
    for worker in workers:
        assert observer.rows(str(worker.pid))[0]["beats"] > 5


@case("a flood of garbage is cut by the rate of all, and is told at most once a second")
def _(room):
    observer = Observer(room, threshold="3s", global_beat_rate=100, global_beat_burst=100)
    sender = Sender(observer.socket)
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        sender.send(b"x" * 32)
    told = observer.events.matching("refused", reason="bad_magic")
    assert 1 <= len(told) <= 4, told
    assert observer.alive()


@case("fifty processes that flood make nobody else stall", limit=70)
def _(room):
    options = dict(dgram_qlen=512) if ROOT else {}
    observer = Observer(room, threshold="4s", **options)
    workers = [Worker(observer.socket, 50) for _ in range(3)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)

    def flood(tell, told):
        sender = Sender(observer.socket)
        sender.socket.setblocking(False)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                sender.beat()
        tell("done")
        told()
    children = [Child(flood) for _ in range(50)]
    for child in children:
        assert child.hear() == "done"
    stalled = {stall["pid"] for stall in observer.stalls()}
    assert not stalled & {worker.pid for worker in workers}, stalled
    assert observer.counter("observer_late_total") < 50
    for child in children:
        child.say()
    assert observer.alive()


def lingering_socket():
    """A TCP socket whose close blocks as long as its peer does not read."""
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    peer = server.accept()[0]
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.send(b"x" * 65536)
    client.setblocking(True)
    return client, peer


def send_stray(sender, fds):
    """Sends a beat with FDS: True when the kernel let it pass."""
    try:
        sender.nonce += 1
        sender.send(frame(sender.nonce), fds)
        return True
    except PermissionError:
        sender.nonce -= 1
        return False


@case("descriptors that nobody asked for do no harm: 1, 10, 250")
def _(room):
    observer = Observer(room, max_beat_rate=0, threshold="5s")
    sender = Sender(observer.socket)
    null = os.open("/dev/null", os.O_RDONLY)
    sender.beat()
    observer.events.wait("first-beat", pid=os.getpid())
    gate = observer.gate()
    before = len(os.listdir(f"/proc/{gate}/fd"))
    strays = 0
    for count in (1, 10, 250, 1):
        passed = send_stray(sender, [null] * count)
        strays += count * passed
    sender.beat()
    until(lambda: observer.rows(str(os.getpid()))[0]["nonce"] == sender.nonce, "the beat after them")
    if strays == 0:
        assert observer.counter("beats_total") == 2, "the kernel refuses them at the sender: SO_PASSRIGHTS"
    else:
        assert observer.counter("stray_fds_total") + observer.counter("ctrl_truncated_total") > 0
    until(lambda: len(os.listdir(f"/proc/{gate}/fd")) <= before + 2, "descriptors closed")


@case("a lingering TCP socket, sent as a descriptor, does not hold up the gate")
def _(room):
    observer = Observer(room, max_beat_rate=0, threshold="5s")
    sender = Sender(observer.socket)
    client, peer = lingering_socket()
    passed = send_stray(sender, [client.fileno()])
    client.detach()  # ours alone would make the close wait
    began = time.monotonic()
    for _ in range(20):
        sender.beat()
    until(lambda: observer.rows(str(os.getpid()))[0]["nonce"] == sender.nonce, "beats")
    assert time.monotonic() - began < 3, "the gate waited for the socket"
    assert observer.counter("beats_total") == 20 + passed
    peer.close()


@case("descriptors sent to the door do no harm either")
def _(room):
    observer = Observer(room)
    null = os.open("/dev/null", os.O_RDONLY)
    gate = observer.gate()
    before = len(os.listdir(f"/proc/{gate}/fd"))
    for count in (1, 10, 250):
        with Door(observer.socket) as door:
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{count}i", *[null] * count))]
            with contextlib.suppress(PermissionError, BrokenPipeError):
                door.socket.sendmsg([request(PING)], control)
                with contextlib.suppress(ConnectionResetError):
                    door.socket.recv(4096)
    assert ask(observer.socket, PING)[0] == 0
    until(lambda: len(os.listdir(f"/proc/{gate}/fd")) <= before + 2, "descriptors closed")


@case("a sender that is gone before its frame is read is refused, or ends at once")
def _(room):
    observer = Observer(room)
    os.kill(observer.gate(), signal.SIGSTOP)
    pids = []
    for _ in range(5):
        def run(tell, told):
            Sender(observer.socket).beat()
        child = Child(run)
        child.wait()
        pids.append(child.pid)
    os.kill(observer.gate(), signal.SIGCONT)
    Sender(observer.socket).beat()
    observer.events.wait("first-beat", pid=os.getpid())
    other = Worker(observer.socket, 0)
    observer.events.wait("stall", pid=other.pid)
    for pid in pids:
        first = observer.events.matching("first-beat", pid=pid)
        assert len(first) == len(observer.ends(pid=pid)), (first, observer.ends(pid=pid))
        assert not observer.stalls(pid=pid)


if __name__ == "__main__":
    main()
