#!/usr/bin/python3
"""Whoever floods, replays, forges or bombs: nobody else's beat is lost beyond the queue's share, nothing is let in,
and the gate does not grow.

Floods last two seconds and go to an observer of the case's own, on the loopback or in network namespaces that the case
made; each is told apart by exact counts: what was sent is what the observer counted and what the kernel's queue dropped.
"""
import os
import random
import resource
import signal
import time

import harness
from harness import *
from sealed import *

PID = 4711
KEY, OTHER, MASTER = (bytes([n]) * 31 + b"\7" for n in (0x51, 0x62, 0x73))
FLOOD_S, FLOOD_MAX = 2.0, 1000000
LOCALS = 50
GROWTH_KIB = 512
CLONE_NEWNET = 0x40000000


# --- what is counted -----------------------------------------------------------------------------------------------

def dropped(port):
    """What the kernel's queue of the UDP socket at PORT had no room for, in this network namespace."""
    total = 0
    for line in (read_file("/proc/self/net/udp") + read_file("/proc/self/net/udp6")).splitlines():
        fields = line.split()
        if len(fields) > 12 and fields[1].endswith(f":{port:04X}"):
            total += int(fields[-1])
    return total


def queued(port):
    """Bytes that wait in that queue."""
    for line in read_file("/proc/self/net/udp").splitlines():
        fields = line.split()
        if len(fields) > 12 and fields[1].endswith(f":{port:04X}"):
            return int(fields[4].split(":")[1], 16)
    return 0


def size(pid):
    """(resident KiB, open descriptors)"""
    resident = [line.split()[1] for line in read_file(f"/proc/{pid}/status").splitlines() if line.startswith("VmRSS")]
    try:
        return int(resident[0]), len(os.listdir(f"/proc/{pid}/fd"))
    except (OSError, IndexError):
        raise Skip("the gate's size cannot be seen by this user") from None


def refused(now):
    """How many datagrams over UDP the observer counted, but for the beats that it accepted."""
    names = [TRUNCATED, FAILURES, REPLAYS, FULL, "out_of_order_total", "tracker_capacity_exceeded_total",
             "frame_rejected_pid_above_max_total", 'rate_limited_total{reason="per_pid"}', 'rate_limited_total{reason="global"}']
    names += [name for name in now if name.startswith("decode_errors_total")]
    return sum(now[name] for name in names)


class Flood:
    """A process that sends the datagrams that MAKE gives at full speed, round after round, and says how many were sent."""

    def __init__(self, address, make, seconds=FLOOD_S, most=FLOOD_MAX):
        def run(tell, told):
            data = make()
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.connect(address)
            tell("ready")
            told()
            sent, end = 0, time.monotonic() + seconds
            while sent < most and time.monotonic() < end:
                for at in range(0, len(data), 500):
                    for datagram in data[at:at + 500]:
                        with contextlib.suppress(ConnectionRefusedError):
                            sock.send(datagram)
                            sent += 1
                    if time.monotonic() > end:
                        break
            tell(sent)
        self.child = Child(run)
        self.child.socket.settimeout(PATIENCE + seconds)
        assert self.child.hear() == "ready"

    def go(self):
        self.child.say()
        return self

    def sent(self):
        return int(self.child.hear())


class Crowd:
    """Local processes that beat while something goes on."""

    def __init__(self, observer, count=LOCALS, interval=100):
        self.observer = observer
        self.workers = [Worker(observer.socket, interval) for _ in range(count)]
        for worker in self.workers:
            observer.events.wait("first-beat", pid=worker.pid)

    def rows(self):
        pids = {worker.pid for worker in self.workers}
        return {r["pid"]: r for r in self.observer.rows() if r["pid"] in pids and not r.get("host")}

    def unharmed(self):
        """Each goes on; what the kernel took of it the observer counted; nobody was called silent."""
        before = self.rows()
        assert len(before) == len(self.workers), before
        until(lambda: all(self.rows()[pid]["nonce"] > r["nonce"] for pid, r in before.items()), "a beat of each")
        lost = {pid: (r["nonce"], r["beats"]) for pid, r in self.rows().items() if r["nonce"] != r["beats"]}
        assert not lost, ("local beats (nonce, accepted) were lost by the observer", lost)
        pids = {worker.pid for worker in self.workers}
        false = [stall for stall in self.observer.stalls() if stall["pid"] in pids and not stall.get("host")]
        assert not false, false
        assert not self.observer.ends()

    def quiet(self):
        """Lets them beat no more; how many beats they have sent."""
        for worker in self.workers:
            worker.do("interval 0")
        return sum(r["beats"] for r in self.rows().values())


class Gate:
    """A gate as it was at one moment, to see whether it grew."""

    def __init__(self, observer):
        self.observer, self.pid = observer, observer.gate()
        self.was = size(self.pid)
        self.sanitized = "asan" in read_file(f"/proc/{self.pid}/maps")

    def same(self):
        assert self.observer.gate() == self.pid, "the gate was replaced: " + self.observer.log()[-2000:]
        now = size(self.pid)
        assert now[1] <= self.was[1] + 1, ("descriptors", self.was, now)
        assert self.sanitized or now[0] <= self.was[0] + GROWTH_KIB, ("the gate grew (KiB, descriptors)", self.was, now)


def withstand(observer, *makes, earlier=0, meanwhile=None):
    """Floods OBSERVER, to which EARLIER datagrams were sent over UDP, with all of MAKES at once while local processes
    beat. Every datagram is accounted for in the end, and the counters are returned."""
    crowd, port = Crowd(observer), observer.udp[1]
    # What is used for the first time by such datagrams is used now.
    sent = earlier + sum(Flood(observer.udp, make, 0.05, 500).go().sent() for make in makes)
    until(lambda: queued(port) == 0, "an empty queue")
    gate = Gate(observer)
    floods = [Flood(observer.udp, make) for make in makes]
    for flood in floods:
        flood.go()
    answers, began = 0, time.monotonic()
    while time.monotonic() - began < FLOOD_S - 0.3:
        assert ask(observer.socket, PING)[0] == 0, "the door is open meanwhile"
        answers += 1
        if meanwhile is not None:
            meanwhile()
        time.sleep(0.05)
    assert answers >= 3, f"only {answers} answers of the door in {FLOOD_S} s"
    sent += sum(flood.sent() for flood in floods)
    until(lambda: queued(port) == 0, "an empty queue")
    crowd.unharmed()
    gate.same()
    local = crowd.quiet()
    until(lambda: refused(observer.counters()) + observer.counter("beats_total") - local + dropped(port) >= sent,
          lambda: f"{sent} datagrams to be accounted for: {dropped(port)} dropped by the kernel, {local} local beats, "
          f"{ {k: v for k, v in observer.counters().items() if v} }")
    now = observer.counters()
    assert refused(now) + now["beats_total"] - local + dropped(port) == sent, (sent, dropped(port), local, now)
    now["far"], now["sent"], now["dropped"] = now["beats_total"] - local, sent, dropped(port)
    print(f"# sent {sent}, dropped by the kernel {now['dropped']}, accepted {now['far']}, refused {refused(now)}")
    return now


def garbage():
    """Of the right lengths, and of others; made the same way each time."""
    generator = random.Random(9)
    lengths = [60, 64, 60, 64, 60, 64, 0, 1, 32, 65, 500, 1400]
    return [generator.randbytes(lengths[n % len(lengths)]) for n in range(1200)]


def keyed(room, **options):
    """An observer with two hosts and a master key. Local processes have time on a loaded machine."""
    options.setdefault("threshold", "6s")
    if ROOT:
        options.setdefault("dgram_qlen", 512)
    return far(room, accepted=[(KEY, "alpha"), (OTHER, "beta")], master=MASTER, **options)


# --- floods --------------------------------------------------------------------------------------------------------

@case("a flood of garbage opens nothing and takes no local beat", limit=90)
def _(room):
    observer = keyed(room)
    now = withstand(observer, garbage)
    assert now["far"] == 0 and now[FAILURES] > 0 and now[TRUNCATED] > 0 and now[REPLAYS] == 0, now
    assert not [r for r in observer.rows() if r.get("host")]


@case("a flood of captured frames lets none in twice, and their sender goes on", limit=90)
def _(room):
    observer = keyed(room)
    senders = [Sealer(observer.udp, PID, KEY), Sealer(observer.udp, PID, MASTER, master=True)]
    captured = []
    for _ in range(100):
        captured += [sender.beat() for sender in senders]
        wait_beats(observer, "master", PID, senders[0].nonce)
    now = withstand(observer, lambda: captured, earlier=200)
    assert now["far"] == 200 and now[FAILURES] == 0, now
    for host, sender in zip(("alpha", "master"), senders):
        sender.beat()
        wait_beats(observer, host, PID, 101)
    assert observer.counter(REPLAYS) == now[REPLAYS]


@case("whoever has a key and floods as one process is cut to its rate and takes no local beat", limit=90)
def _(room):
    observer = keyed(room, max_beat_rate=100)
    sender = Sealer(observer.udp, PID, KEY)
    began = time.monotonic()
    valid = [sender.make() for _ in range(20000)]
    now = withstand(observer, lambda: valid)
    assert 0 < now["far"] <= 100 * (time.monotonic() - began) + 100, now
    assert now['rate_limited_total{reason="per_pid"}'] > 0 and now['rate_limited_total{reason="global"}'] == 0, now


@case("whoever has a key and floods as many processes takes no local beat either", limit=90)
def _(room):
    # As by default, at a fifth of the rate of all: fifty that beat ten times a second are half of it.
    observer = keyed(room, max_beat_rate=100, global_beat_rate=1000, global_beat_burst=2000)
    senders = [Sealer(observer.udp, PID + n, KEY) for n in range(500)]
    valid = [sender.make() for _ in range(40) for sender in senders]
    now = withstand(observer, lambda: valid)
    assert now["far"] > 0, now


@case("more senders than there is room for are refused at full speed, and the known ones go on", limit=90)
def _(room):
    observer = keyed(room, sealed_senders=16)
    # Two places are each key's own; of the other ten beta has all.
    known = [Sealer(observer.udp, PID + n, OTHER) for n in range(12)] + [Sealer(observer.udp, PID + n, KEY) for n in range(2)]
    known += [Sealer(observer.udp, PID + n, MASTER, master=True) for n in range(2)]
    for sender in known:
        sender.beat()
    until(lambda: observer.counter("beats_total") == 16, "the known")
    strangers = [Sealer(observer.udp, 10000 + n, KEY).make() for n in range(3000)]
    now = withstand(observer, lambda: strangers, earlier=16)
    assert now["far"] == 16 and now[FULL] > 0 and now[REPLAYS] == 0, now
    for sender in known:
        sender.beat()
    until(lambda: [r["beats"] for r in observer.rows() if r.get("host")] == [2] * 16, "the known go on")


@case("garbage, captures and valid frames at once, while keys are read again", limit=100)
def _(room):
    observer = keyed(room, max_beat_rate=100)
    captured_of = Sealer(observer.udp, PID, KEY)
    captured = [captured_of.beat()]
    wait_beats(observer, "alpha", PID, 1)
    flooder = Sealer(observer.udp, PID + 1, OTHER)
    valid = [flooder.make() for _ in range(10000)]
    now = withstand(observer, garbage, lambda: captured * 500 + valid, earlier=1,
                    meanwhile=lambda: observer.process.send_signal(signal.SIGHUP))
    assert now[FAILURES] > 0 and now[REPLAYS] > 0, now
    assert beats(observer, "alpha", PID) == 1


@case("a live sender comes through a flood and goes on after it", limit=90)
def _(room):
    observer = keyed(room)
    live = Sealer(observer.udp, PID, KEY)
    live.beat()
    wait_beats(observer, "alpha", PID, 1)
    floods = [Flood(observer.udp, garbage).go()]
    with Steady(live):
        for flood in floods:
            assert flood.sent() > 1000
    until(lambda: queued(observer.udp[1]) == 0, "an empty queue")
    before = beats(observer, "alpha", PID)
    assert before > 1, "not one beat of two seconds got through"
    live.beat()
    wait_beats(observer, "alpha", PID, before + 1)
    assert row(observer, "alpha", PID)["nonce"] == live.nonce and not observer.ends()


@case("a flood of captures over a killed gate lets nothing in", limit=90)
def _(room):
    room.need_tmpfs()
    observer = keyed(room, threshold="15s")
    sender = Sealer(observer.udp, PID, KEY)
    captured = [sender.beat() for _ in range(50)]
    last = Sealer(observer.udp, PID, KEY).last_words(timestamp=500)
    wait_beats(observer, "alpha", PID, 51)
    before = row(observer, "alpha", PID)
    crowd = Crowd(observer, 10)
    flood = Flood(observer.udp, lambda: captured + [last]).go()
    observer.replace_role("gate")
    flood.sent()
    until(lambda: queued(observer.udp[1]) == 0, "an empty queue")
    now = row(observer, "alpha", PID)
    assert [now[k] for k in ("beats", "nonce", "status")] == [before[k] for k in ("beats", "nonce", "status")], \
        ("captured frames became beats at the next gate", before, now)
    sender.beat()
    wait_beats(observer, "alpha", PID, before["beats"] + 1)
    assert len(crowd.rows()) == 10 and not observer.stalls() and not observer.ends()


@case("what a killed gate had not heard may be let in by the next, once, until the sender's next beat", limit=60)
def _(room):
    # As docs/protocol/sealed.md says: a gate that was replaced knows no prefixes, only what its table has.
    room.need_tmpfs()
    observer = far(room, accepted=[(KEY, "alpha"), (OTHER, "beta")], threshold="15s")
    sender = Sealer(observer.udp, PID, KEY)
    heard = [sender.beat() for _ in range(5)]
    wait_beats(observer, "alpha", PID, 5)
    kept_back = [sender.make() for _ in range(2)]
    observer.replace_role("gate")
    sender.put(heard[4])  # its seal is news to this gate, its nonce is not
    wait_counter(observer, "out_of_order_total", 1)
    sender.put(kept_back[1])
    wait_beats(observer, "alpha", PID, 6)
    for count, data in enumerate((kept_back[1], kept_back[0], heard[4]), 1):
        sender.put(data)
        wait_counter(observer, REPLAYS, count)
    sender.beat()
    wait_beats(observer, "alpha", PID, 7)
    # Of a silent process what came before is none the more alive.
    old = Sealer(observer.udp, PID, OTHER)
    captured = [old.beat() for _ in range(3)]
    wait_beats(observer, "beta", PID, 3)
    observer.replace_role("gate")
    for count, data in enumerate(captured, 1):
        old.put(data)
        wait_counter(observer, "out_of_order_total", count)
    assert row(observer, "beta", PID)["beats"] == 3 and not observer.ends()


@case("plain UDP withstands a flood as well", limit=90)
def _(room):
    observer = far(room, threshold="6s", max_beat_rate=100, **(dict(dgram_qlen=512) if ROOT else {}))
    plain = [frame(nonce, pid=PID) for nonce in range(1, 20000)]
    now = withstand(observer, garbage, lambda: plain)
    assert now["far"] > 0 and now[ATTEMPTS] == 0, now


@case("a threshold of local processes holds under a flood: who is stopped is told in time", limit=90)
def _(room):
    observer = keyed(room, threshold="700ms")
    worker = Worker(observer.socket, 50)
    observer.events.wait("first-beat", pid=worker.pid)
    flood = Flood(observer.udp, garbage).go()
    worker.stop()
    stall = observer.events.wait("stall", pid=worker.pid, patience=5)
    assert stall["verdict"] == "stopped" and stall["silent_s"] < 2, stall
    flood.sent()


# --- the Unix socket -----------------------------------------------------------------------------------------------

def credentials(pid, uid, gid):
    return [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("3i", pid, uid, gid))]


@case("forged credentials are the kernel's to refuse, and nothing of them gets in")
def _(room):
    ordinary(room)
    observer = far(room, threshold="10s")
    victim = Worker(observer.socket, 0)
    observer.events.wait("first-beat", pid=victim.pid)
    sender = Sender(observer.socket)
    own = (os.getpid(), os.getuid(), os.getgid())
    for forged in ((victim.pid, own[1], own[2]), (own[0], 0, own[2]), (own[0], own[1], 0), (1, 0, 0), (0, 0, 0), (-1, -1, -1)):
        try:
            sender.socket.sendmsg([frame(50, pid=max(forged[0], 2))], credentials(*forged))
        except (PermissionError, OSError):
            continue
        raise AssertionError(f"the kernel let credentials {forged} pass")
    # True credentials, said aloud, with another's pid in the frame.
    for nonce in range(60, 70):
        sender.socket.sendmsg([frame(nonce, pid=victim.pid)], credentials(*own))
    wait_counter(observer, "frame_auth_failures_total", 10)
    sender.socket.sendmsg([frame(1)], credentials(*own))
    observer.events.wait("first-beat", pid=own[0])
    found = {r["pid"]: r["beats"] for r in observer.rows()}
    assert found == {victim.pid: 1, own[0]: 1}, found


@case("forged credentials, even where the kernel lets root forge them, make nobody of another host")
def _(room):
    need_root()
    observer = keyed(room)
    remote = Sealer(observer.udp, PID, KEY)
    remote.beat()
    wait_beats(observer, "alpha", PID, 1)
    sender = Sender(observer.socket)
    with contextlib.suppress(OSError):
        sender.socket.sendmsg([frame(9, pid=PID)], credentials(PID, 0, 0))
    sender.beat()
    until(lambda: observer.rows(str(os.getpid())), "an honest beat")
    assert row(observer, "alpha", PID)["beats"] == 1 and row(observer, "alpha", PID)["nonce"] == 1


def bomb(path, tell, told):
    """Sends beats with as many descriptors as a message holds, as fast as it can, for two seconds."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    sender = Sender(path)
    sender.socket.settimeout(0.05)
    ours, theirs = socket.socketpair()
    kinds = [os.open("/dev/null", os.O_RDONLY), ours.fileno(), theirs.fileno(), os.memfd_create("bomb"), sender.socket.fileno()]
    tell("ready")
    told()
    sent, passed, end = 0, 0, time.monotonic() + FLOOD_S
    while time.monotonic() < end:
        fds = [kinds[n % len(kinds)] for n in range((1, 16, 253)[sent % 3])]
        sent += 1
        sender.nonce += 1
        try:
            sender.send(frame(sender.nonce), fds)
            passed += 1
        except OSError as error:
            # Full, too many in flight, or refused at the sender altogether (SO_PASSRIGHTS).
            if error.errno not in (errno.EAGAIN, errno.ETOOMANYREFS, errno.EPERM, errno.ENOBUFS):
                raise
    tell(f"{sent} {passed}")
    told()


@case("descriptors by the thousand are closed, take no place, and hold up nobody", limit=90)
def _(room):
    observer = keyed(room)
    crowd = Crowd(observer)
    gate = Gate(observer)
    children = [Child(lambda tell, told: bomb(observer.socket, tell, told)) for _ in range(2)]
    for child in children:
        assert child.hear() == "ready"
    for child in children:
        child.say()
    remote = Sealer(observer.udp, PID, KEY)
    with Steady(remote):
        said = [child.hear().split() for child in children]
    print("# sent, passed:", said)
    assert all(int(sent) > 10 for sent, _ in said)
    until(lambda: len(os.listdir(f"/proc/{gate.pid}/fd")) <= gate.was[1] + 2 + len(children), "descriptors closed")
    crowd.unharmed()
    until(lambda: row(observer, "alpha", PID)["nonce"] == remote.nonce, "the remote one's beats")
    now = row(observer, "alpha", PID)
    assert now["beats"] == now["nonce"], now
    for child in children:
        child.say()
        child.wait()
    pids = {child.pid for child in children}
    until(lambda: not [r for r in observer.rows() if r["pid"] in pids and r["state"] != "ended"], "their ends")
    gate.same()


@case("a flood at the door hinders neither local nor remote beats", limit=90)
def _(room):
    observer = keyed(room)
    crowd = Crowd(observer, 20)
    gate = Gate(observer)

    def run(tell, told):
        tell("ready")
        told()
        count, end = 0, time.monotonic() + FLOOD_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                client.settimeout(0.05)
                client.connect(observer.socket + ".hello")
                client.send(random.randbytes(104) if count % 2 else request(BEAT, of=os.getpid(), nonce=1))
                client.close()
            count += 1
        tell(count)
        told()
    child = Child(run)
    assert child.hear() == "ready"
    remote = Sealer(observer.udp, PID, KEY)
    child.say()
    with Steady(remote):
        assert int(child.hear()) > 10
    child.say()
    until(lambda: row(observer, "alpha", PID)["nonce"] == remote.nonce, "the remote one's beats")
    assert beats(observer, "alpha", PID) == remote.nonce
    for worker in crowd.workers:
        worker.tell("beat")
        worker.expect("done")
    until(lambda: all(r["nonce"] == r["beats"] for r in crowd.rows().values()), lambda: crowd.rows())
    assert not observer.stalls()
    gate.same()


# --- two hosts -----------------------------------------------------------------------------------------------------

HERE, THERE, ALSO_THERE = "198.51.100.1", "198.51.100.2", "198.51.100.3"


def ip(*words, namespace=None):
    command = ["ip", *words] if namespace is None else ["nsenter", f"--net=/proc/{namespace}/ns/net", "ip", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Skip(f"`{' '.join(command)}` is not permitted here: {done.stderr.strip()}")


class OtherHost:
    """A network namespace that a cable joins to one in which this case is from now on. Both end with the case."""

    def __init__(self):
        need_root()
        if not shutil.which("ip") or not shutil.which("nsenter"):
            raise Skip("no ip or nsenter")
        if libc.unshare(CLONE_NEWNET) != 0:
            raise Skip("network namespaces are not permitted here")

        def run(tell, told):
            if libc.unshare(CLONE_NEWNET) != 0:
                tell("no")
                return
            tell("ready")
            told()
            sources = {}
            while (words := told().split()) and words[0] != "exit":
                if words[0] == "flood":
                    sent, end = 0, time.monotonic() + FLOOD_S
                    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
                        data = [bytes.fromhex(word) for word in words[2:]] or garbage()
                        while time.monotonic() < end and sent < FLOOD_MAX:
                            for datagram in data:
                                with contextlib.suppress(BlockingIOError):
                                    sock.sendto(datagram, (HERE, int(words[1])))
                                    sent += 1
                    tell(sent)
                    continue
                source, port, data = words
                if source not in sources:
                    sources[source] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    sources[source].bind((source, 0))
                try:
                    sources[source].sendto(bytes.fromhex(data), (HERE, int(port)))
                    tell("sent")
                except OSError as error:
                    tell(error.errno)
        self.child = Child(run)
        if self.child.hear() != "ready":
            raise Skip("network namespaces are not permitted here")
        there = self.child.pid
        ip("link", "set", "lo", "up")
        ip("link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(there))
        ip("addr", "add", f"{HERE}/24", "dev", "here")
        ip("link", "set", "here", "up")
        for address in (THERE, ALSO_THERE):
            ip("addr", "add", f"{address}/24", "dev", "there", namespace=there)
        ip("link", "set", "there", "up", namespace=there)
        self.child.say()

    def send(self, port, data, source=THERE):
        """Sends DATA from there: "sent" or an errno."""
        self.child.say(f"{source} {port} {data.hex()}")
        return self.child.hear()

    def flood(self, port, *data):
        self.child.say(" ".join(["flood", str(port), *(datagram.hex() for datagram in data)]))


class Abroad(Sealer):
    """A sealed sender whose frames leave from the other host."""

    def __init__(self, there, address, *args, **fields):
        super().__init__(address, *args, **fields)
        self.there, self.from_address = there, THERE

    def put(self, data):
        self.said = self.there.send(self.address[1], data, self.from_address)
        return data


def between_hosts(room, **options):
    """(observer, other host): they see each other over a cable only."""
    there = OtherHost()
    observer = keyed(room, bind=HERE, arguments=["--i-accept-secure-udp-non-loopback"], **options)
    return observer, there


@case("beats come over a cable from another network namespace, and captures from nowhere")
def _(room):
    observer, there = between_hosts(room)
    alpha, master = Abroad(there, observer.udp, PID, KEY), Abroad(there, observer.udp, PID, MASTER, master=True)
    wire = [alpha.beat(), master.beat(), alpha.beat()]
    assert alpha.said == "sent", alpha.said
    wait_beats(observer, "alpha", PID, 2)
    wait_beats(observer, "master", PID, 1)
    for count, (data, source) in enumerate(((data, source) for source in (THERE, ALSO_THERE) for data in wire), 1):
        assert there.send(observer.udp[1], data, source) == "sent"
        wait_counter(observer, REPLAYS, count)
    local = UdpSender(observer.udp, PID)
    for count, data in enumerate(wire, 7):
        local.put(data)
        wait_counter(observer, REPLAYS, count)
    # Where a process sends from is no matter, as long as it is it.
    alpha.from_address = ALSO_THERE
    alpha.beat()
    wait_beats(observer, "alpha", PID, 3)
    stranger = Abroad(there, observer.udp, PID, bytes(32))
    stranger.beat()
    wait_counter(observer, FAILURES, 1)
    assert {r["origin"] for r in observer.rows()} == {"network-unverified"}


@case("an observer on the cable is acknowledged, or it does not start")
def _(room):
    OtherHost()
    observer = keyed(room, start=False, bind=HERE)
    code, said = observer.refuse()
    assert code > 0 and "--i-accept-secure-udp-non-loopback" in said, (code, said)


@case("a cut cable is a silence and no end, and the beats go on where they were", limit=60)
def _(room):
    observer, there = between_hosts(room, threshold="700ms")
    alpha = Abroad(there, observer.udp, PID, KEY)
    worker = Worker(observer.socket, 50)
    for _ in range(3):
        alpha.beat()
    wait_beats(observer, "alpha", PID, 3)
    ip("link", "set", "here", "down")
    stall = observer.events.wait("stall", pid=PID)
    assert stall["host"] == "alpha" and stall["verdict"] == "silent", stall
    ip("link", "set", "here", "up")

    def again():
        alpha.beat()
        return row(observer, "alpha", PID, "healthy")
    until(again, "a beat over the mended cable")
    observer.events.wait("recovered", pid=PID)
    assert not observer.ends() and not observer.stalls(pid=worker.pid) and observer.counter(REPLAYS) == 0


@case("a flood over the cable opens nothing and takes no local beat", limit=100)
def _(room):
    observer, there = between_hosts(room)
    alpha = Abroad(there, observer.udp, PID, KEY)
    captured = [alpha.beat() for _ in range(20)]
    wait_beats(observer, "alpha", PID, 20)
    crowd = Crowd(observer)
    there.child.socket.settimeout(PATIENCE)
    gate, sent = None, 20
    for data in ((), captured):
        there.flood(observer.udp[1], *data)
        time.sleep(0.3)
        gate = gate or Gate(observer)
        sent += int(there.child.hear())
        until(lambda: queued(observer.udp[1]) == 0, "an empty queue")
    crowd.unharmed()
    gate.same()
    assert beats(observer, "alpha", PID) == 20
    now = observer.counters()
    assert now[FAILURES] > 0 and now[REPLAYS] > 0 and now[TRUNCATED] > 0, now
    assert refused(now) + 20 + dropped(observer.udp[1]) <= sent, (sent, now)
    alpha.beat()
    wait_beats(observer, "alpha", PID, 21)


@case("two hosts whose clocks are years apart are both heard")
def _(room):
    observer, there = between_hosts(room, threshold="2s")
    past, future = Abroad(there, observer.udp, PID, KEY), Abroad(there, observer.udp, PID, OTHER)
    future.timestamp = 2**63
    for _ in range(5):
        past.beat()
        future.beat()
    for host in ("alpha", "beta"):
        wait_beats(observer, host, PID, 5)
    future.last_words()
    past.last_words()
    wait_beats(observer, "alpha", PID, 6)
    wait_beats(observer, "beta", PID, 6)
    stalls = {observer.events.wait("stall", host=host)["verdict"] for host in ("alpha", "beta")}
    assert stalls == {"silent"}, stalls
    assert observer.counter("observer_clock_jump_forward_total") == 0 and observer.counter("out_of_order_total") == 0


if __name__ == "__main__":
    harness.AT_ONCE = 1  # each has the machine for itself
    main()
