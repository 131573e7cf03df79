"""Connections that move from one process into another: the two programs of examples/pass-a-connection/, and either of
them against a peer of Python's that can be stopped, and killed, between every pair of steps.

A client counts what it sends and checks each answer, so nothing can be lost, doubled or swapped unseen; and an answer says
which process gave it, so two owners would show.
"""
import contextlib
import errno
import hashlib
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import threading
import time

from harness import PATIENCE, Child, case, clean_environment, main, read_file, until

SERVER = os.environ.get("BELAY_PASS_SERVER", "")
BACKEND = os.environ.get("BELAY_PASS_BACKEND", "")
READY_PEER = os.environ.get("BELAY_READY_PEER", "")
SERVICE = "echo"
ACK_LIMIT = 5  # seconds until a sender gives up on an answer
READY_LIMIT = 2  # seconds until a client gives up on the ready frame
PROBE, HANDOFF = 0xB232, 0xD0FF
REQUEST, RESPONSE = 0, 1


# --- frames --------------------------------------------------------------------------------------------------------

def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    """A number, or bytes; zero and empty are left out."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value if value else b""


def fields(data):
    """{number: value} of a message: the last of each."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        tag = number()
        value = number()
        if tag & 7 == 2:
            at, value = at + value, data[at:at + value]
        found[tag >> 3] = value
    return found


def frame(kind, protocol, payload, request_id):
    body = field(1, 1) + field(2, kind) + field(3, protocol) + field(4, payload) + field(5, request_id)
    return b"\x01" + struct.pack("<I", len(body)) + body


def read_exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError("hung up")
        data += more
    return data


def read_frame(connection):
    header = read_exactly(connection, 5)
    assert header[0] == 1
    return fields(read_exactly(connection, struct.unpack("<I", header[1:])[0]))


def offer(token, correlation, service=SERVICE):
    return frame(REQUEST, HANDOFF, field(2, token) + field(3, service) + field(4, correlation), correlation)


def ack(token, correlation, accepted=True, detail=""):
    payload = field(1, token) + field(2, int(accepted)) + field(3, detail) + field(4, correlation)
    return frame(RESPONSE, HANDOFF, payload, correlation)


# --- the programs --------------------------------------------------------------------------------------------------

def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Program:
    """One of the two, started and ready."""

    def __init__(self, room, name, *command, **popen):
        self.log = os.path.join(room.path, name + ".log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                                            env=clean_environment(XDG_RUNTIME_DIR=room.path), **popen)
        self.pid = self.process.pid
        line = self.process.stdout.readline()
        assert line.startswith("ready"), f"{name} said {line!r} and {read_file(self.log)}"
        self.path = line.split()[-1]
        self.idle_fds = fd_count(self.pid)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self):
        """Ends it nicely; what it says then."""
        self.process.terminate()
        said = self.process.communicate(timeout=PATIENCE)[0]
        assert self.process.returncode == 0, (self.process.returncode, read_file(self.log))
        return said

    def alive(self):
        return self.process.poll() is None

    def settled(self, more=0):
        """Waits until it has no descriptor but those that it started with, and MORE."""
        until(lambda: fd_count(self.pid) == self.idle_fds + more,
              lambda: f"{self.idle_fds + more} descriptors of {self.pid}, not {os.listdir(f'/proc/{self.pid}/fd')}")


def run_backend(room, **popen):
    return Program(room, "backend", BACKEND, SERVICE, **popen)


def run_server(room, *options):
    server = Program(room, "server", SERVER, *options, room.file("client.sock"), SERVICE)
    # Besides standard ones: the listener, its lock and its reserve, and two epolls. A probe may be on its way already.
    server.idle_fds = 3 + 3 + 2
    # While there is a backend: its pidfd, and the connection that is kept to it.
    server.kept_fds = 1 if options else 2
    return server


def handoff_path(backend):
    return backend.path[:-len(".sock")] + ".handoff.sock"


class Client:
    """Sends numbered lines and checks what comes back."""

    def __init__(self, connection, name="c"):
        self.socket, self.name, self.sent, self.answered, self.rest = connection, name, 0, 0, b""
        self.owners = []  # (word, pid) of those that answered, in turn
        self.socket.settimeout(PATIENCE)

    @classmethod
    def of(cls, server, name="c"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(server.path)
        return cls(connection, name)

    def send(self, count=1):
        data = b"".join(b"%s %d\n" % (self.name.encode(), self.sent + i) for i in range(count))
        self.sent += count
        self.socket.sendall(data)

    def hear(self):
        """Reads once. False at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            who, _, text = line.decode().partition(": ")
            assert text == f"{self.name} {self.answered}", (line, self.name, self.answered)
            self.answered += 1
            owner = tuple(who.split())
            if not self.owners or self.owners[-1] != owner:
                self.owners.append(owner)
        return bool(data)

    def talk(self, count=1):
        """Sends COUNT lines and waits for all answers; who gave the last one."""
        self.send(count)
        while self.answered < self.sent:
            assert self.hear(), f"hung up after {self.answered} of {self.sent} answers by {self.owners}"
        return self.owners[-1][0]

    def moves(self):
        """Talks until the backend answers."""
        until(lambda: self.talk() == "backend", lambda: f"a client that moves; served by {self.owners}")

    def ended(self):
        """Waits for the end of the connection."""
        while self.hear():
            pass

    def close(self):
        self.socket.close()


def never_two_owners(client):
    """Once it was the backend's it is nobody else's."""
    words = [word for word, _ in client.owners]
    assert words in ([], ["server"], ["backend"], ["server", "backend"]), client.owners


# --- the two programs ----------------------------------------------------------------------------------------------

def load(server, count, lines, clients):
    """COUNT clients at once, each with LINES lines, as fast as they go."""
    chosen = [Client.of(server, f"client{i}") for i in range(count)]
    clients += chosen
    waiting = {client.socket.fileno(): client for client in chosen}
    while waiting:
        for client in waiting.values():
            if client.sent < lines and client.sent - client.answered < 30:
                client.send(min(10, lines - client.sent))
        for fd in select.select(list(waiting), [], [], PATIENCE)[0]:
            client = waiting[fd]
            assert client.hear(), f"{client.name} was hung up on after {client.answered} answers"
            if client.answered == lines:
                del waiting[fd]


def move_under_load(room, *options):
    backend, clients = run_backend(room), []
    server = run_server(room, *options)
    first = Client.of(server)
    first.moves()
    load(server, 60, 300, clients)
    for client in clients:
        never_two_owners(client)
        assert client.owners[-1][0] == "backend", client.owners
    server.settled(more=server.kept_fds)
    backend.settled(more=len(clients) + 1 + (0 if options else 1))
    # The sender is not needed any more, and the receiver knows nothing but its clients.
    assert server.end().startswith("answered")
    for client in clients:
        assert client.talk(3) == "backend"
        client.close()
    first.close()
    backend.settled()
    assert f"adopted {len(clients) + 1}," in backend.end()


@case("sixty clients under load move over one kept connection, and no line is lost")
def _(room):
    move_under_load(room)


@case("sixty clients under load move over a fresh connection each, and no line is lost")
def _(room):
    move_under_load(room, "--dial")


@case("a client moves when it asks, and what it sent in advance moves with it")
def _(room):
    backend, server = run_backend(room), run_server(room, "--after", "0")
    client = Client.of(server)
    assert client.talk(20) == "server"
    for _ in range(1000):  # until the backend is proved
        client.socket.sendall(b"move\nwho\n")
        answers = b""
        while answers.count(b"\n") < 2:
            answers += client.socket.recv(4096)
        assert answers.startswith(b"server") or answers.startswith(b"backend"), answers
        assert [line.partition(b": ")[2] for line in answers.splitlines()] == [b"move", b"who"], answers
        if answers.splitlines()[1].startswith(b"backend"):
            break
    else:
        raise AssertionError("it never moved")
    # Half a line is no line, wherever it lies.
    client.socket.sendall(b"c 2")
    client.socket.sendall(b"0\n")
    client.sent += 1
    assert client.talk(0) == "backend"
    assert backend.alive() and server.alive()


def system_calls_after(server, talk):
    """What SERVER calls while TALK runs, by strace."""
    output = server.log + ".strace"
    try:
        tracer = subprocess.Popen(["strace", "-f", "-o", output, "-p", str(server.pid)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        return None
    line = tracer.stderr.readline()
    if "attached" not in line:
        return None
    # Attaching wakes it once.
    until(lambda: "epoll" in read_file(output), "the sender's epoll", 5)
    before = read_file(output)
    talk()
    # What it might have been woken by is looked for once more when strace has written all of its.
    tracer.terminate()
    tracer.wait(PATIENCE)
    return "".join(line for line in read_file(output)[len(before):].splitlines(True) if "detached" not in line)


@case("after a client moved, the sender makes no system call while client and backend talk")
def _(room):
    for options in ((), ("--dial",)):
        backend, server = run_backend(room), run_server(room, *options)
        client = Client.of(server)
        client.moves()
        server.settled(more=server.kept_fds)

        def switches(pid=server.pid):
            return [line for line in read_file(f"/proc/{pid}/status").splitlines() if "ctxt_switches" in line]
        before = switches()
        assert client.talk(500) == "backend"
        assert switches() == before, (before, switches())

        def talk_and_go(client=client, backend=backend, options=options):
            client.talk(500)
            client.close()
            backend.settled(more=0 if options else 1)
        # And none when the client goes.
        calls = system_calls_after(server, talk_and_go)
        if calls is None:
            talk_and_go()
            assert switches() == before, (before, switches())
        assert not calls, calls
        server.end()
        backend.end()


@case("without a backend the server serves its clients itself, and moves them when there is one")
def _(room):
    server = run_server(room)
    client = Client.of(server)
    assert client.talk(200) == "server"
    server.settled(more=1)
    backend = run_backend(room)
    client.moves()
    never_two_owners(client)
    backend.kill()
    client.ended()
    # Another one, proved anew.
    again = Client.of(server)
    assert again.talk(10) == "server"
    server.settled(more=1)
    other = run_backend(room)
    again.moves()
    assert again.owners[-1] == ("backend", str(other.pid))


class Stranger:
    """Listens where the backend would take connections over, and is another process."""

    def __init__(self, backend):
        os.unlink(handoff_path(backend))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(handoff_path(backend))
        self.listener.listen(64)
        self.listener.setblocking(False)

    def got(self):
        """Bytes and descriptors that somebody passed to it."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = self.listener.accept()
                connection.settimeout(PATIENCE)
                # Who came has hung up, or will not before it has passed something.
                data, fds, _, _ = socket.recv_fds(connection, 4096, 4)
                found += [data] * bool(data) + fds
                connection.close()
        return found


@case("a client is passed to nobody but the process that was proved, whoever listens there")
def _(room):
    for options in ((), ("--dial",)):
        for dies in (False, True):
            backend, server = run_backend(room), run_server(room, *options)
            Client.of(server).moves()
            # Another one takes its place; what is kept goes on, until the backend goes.
            stranger = Stranger(backend)
            if dies:
                backend.kill()
            client = Client.of(server)
            began = time.monotonic()
            while time.monotonic() - began < 0.7 or client.answered < 20:
                who = client.talk(2)
                if not dies and not options:
                    client.moves()
                    break
                assert who == "server", client.owners
            assert stranger.got() == []
            never_two_owners(client)
            client.close()
            stranger.listener.close()
            server.end()
            backend.kill()


@case("a backend that answers its probe while another takes its connections gets no client, nor does he")
def _(room):
    for options in ((), ("--dial",)):
        backend = run_backend(room)
        stranger = Stranger(backend)
        server = run_server(room, *options)
        client = Client.of(server)
        until(lambda s=server, c=client: c.talk() == "server" and "no backend" in read_file(s.log), "a look at who listens")
        assert client.talk(20) == "server" and stranger.got() == []
        client.close()
        stranger.listener.close()
        server.end()
        backend.kill()
        os.unlink(server.log)


@case("clients for whom the backend has no descriptor left stay where they are")
def _(room):
    for options in ((), ("--dial",)):
        backend = run_backend(room, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (22, 22)))
        server = run_server(room, *options)
        clients = []
        Client.of(server).moves()
        for i in range(30):
            clients.append(Client.of(server, f"c{i}"))
            clients[-1].talk(3)
        owners = [client.owners[-1][0] for client in clients]
        assert "backend" in owners and "server" in owners, owners
        # Once there is room again, they can go.
        for client, owner in zip(clients, owners):
            if owner == "backend":
                client.close()
        stayed = [client for client, owner in zip(clients, owners) if owner == "server"]
        stayed[0].moves()
        for client in stayed:
            client.talk(3)
            never_two_owners(client)
            client.close()
        assert backend.alive() and server.alive()
        server.end()
        backend.end()


@case("killed backends lose their own clients and no others, under load")
def _(room):
    for options in ((), ("--dial",)):
        backend, server, done, problems = run_backend(room), run_server(room, *options), threading.Event(), []

        def visit(client, done=done):
            """Talks until there is enough, or it is hung up on."""
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while not done.is_set() and client.sent < 200:
                    client.send()
                    if not client.hear():
                        break
            never_two_owners(client)
            client.close()

        def customer(number, server=server, done=done, problems=problems, visit=visit):
            """Comes again and again."""
            try:
                while not done.is_set():
                    visit(Client.of(server, f"customer{number}"))
            except BaseException as problem:  # pylint: disable=broad-except
                problems.append(repr(problem))
        customers = [threading.Thread(target=customer, args=(i,)) for i in range(10)]
        for thread in customers:
            thread.start()
        for _ in range(3):
            until(lambda b=backend: fd_count(b.pid) > b.idle_fds + 2, "clients that move")
            backend.kill()
            backend = run_backend(room)
        until(lambda b=backend: fd_count(b.pid) > b.idle_fds + 2, "clients that move again")
        done.set()
        for thread in customers:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a client hangs"
        assert not problems, problems
        server.settled(more=server.kept_fds)
        backend.settled(more=0 if options else 1)
        server.end()
        backend.end()


# --- a sender of ours against the backend --------------------------------------------------------------------------

SENDER_STEPS = ["dial", "token", "offer", "ack", "close"]


def send_in_steps(path, fd, before_step):
    """Hands FD over as broker v1 does; calls BEFORE_STEP with the name of each step."""
    token, correlation = os.urandom(16), 7
    before_step("dial")
    channel = socket.socket(socket.AF_UNIX)
    channel.settimeout(PATIENCE)
    channel.connect(path)
    before_step("token")
    socket.send_fds(channel, [token], [fd])
    before_step("offer")
    channel.sendall(offer(token, correlation))
    before_step("ack")
    answer = read_frame(channel)
    assert answer[2] == RESPONSE and answer[3] == HANDOFF and answer[5] == correlation, answer
    answer = fields(answer[4])
    assert answer[1] == token and answer[4] == correlation and answer.get(2) == 1, answer
    before_step("close")
    channel.close()


def sender_process(path, ours, theirs):
    """A process that owns THEIRS and hands it over when told to go on, one step at a time."""
    def run(tell, told):
        ours.close()

        def step(name):
            tell(name)
            told()
        send_in_steps(path, theirs.fileno(), step)
        theirs.close()
        tell("done")
        told()
    return Child(run)


@case("a sender that is killed between any two steps leaves a client with one owner or none")
def _(room):
    backend = run_backend(room)
    for last in SENDER_STEPS + ["done"]:
        ours, theirs = socket.socketpair()
        client = Client(ours, last)
        client.send()
        sender = sender_process(handoff_path(backend), ours, theirs)
        theirs.close()
        while (step := sender.hear()) != last:
            sender.say()
        if step in ("close", "done"):
            assert client.talk() == "backend"
        os.kill(sender.pid, signal.SIGKILL)
        assert sender.wait() == -signal.SIGKILL
        sender.socket.close()
        if step in ("close", "done"):
            assert client.talk(10) == "backend"
        elif step == "ack":
            # The offer is there, so the backend may have the client; it is served or hung up on.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while client.answered < client.sent and client.hear():
                    pass
        else:
            client.ended()
            assert client.answered == 0
        never_two_owners(client)
        client.close()
        backend.settled()
    assert backend.alive()


@case("a client that is killed between any two steps leaves nothing behind")
def _(room):
    backend = run_backend(room)
    for last in SENDER_STEPS:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(room.file(f"{last}.sock"))
        listener.listen()

        def talk(tell, told, name=last):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(room.file(f"{name}.sock"))
                connection.sendall(b"first\n")
                tell("there")
                told()
        client = Child(talk)
        accepted, _ = listener.accept()
        assert client.hear() == "there"

        def before(step, client=client, name=last):
            if step == name:
                os.kill(client.pid, signal.SIGKILL)
                assert client.wait() == -signal.SIGKILL
        began = time.monotonic()
        send_in_steps(handoff_path(backend), accepted.fileno(), before)
        assert time.monotonic() - began < ACK_LIMIT
        accepted.close()
        listener.close()
        backend.settled()
    assert backend.alive()


@case("a backend that is killed between any two steps hangs up on its sender and never serves")
def _(room):
    for last in SENDER_STEPS:
        backend = run_backend(room)
        ours, theirs = socket.socketpair()
        client = Client(ours, last)

        def before(step, backend=backend, name=last):
            if step == name:
                backend.kill()
        try:
            send_in_steps(handoff_path(backend), theirs.fileno(), before)
            assert last in ("ack", "close")
        except (OSError, EOFError):
            assert last != "close"
        # The sender alone has it, unless the backend was given it: then nobody.
        if last in ("dial", "token"):
            client.send()
            assert theirs.recv(100) == b"%s 0\n" % last.encode()
        theirs.close()
        client.ended()
        assert client.answered == 0


@case("a backend that had no descriptor for anybody takes senders once it has, though nobody has left")
def _(room):
    backend = run_backend(room)
    limits = resource.prlimit(backend.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(backend.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    ours, theirs = socket.socketpair()

    def before(step):
        if step == "ack":
            # It has tried even with its reserve.
            until(lambda: fd_count(backend.pid) < backend.idle_fds, "a sender who is not let in")
            resource.prlimit(backend.pid, resource.RLIMIT_NOFILE, limits)
    send_in_steps(handoff_path(backend), theirs.fileno(), before)
    theirs.close()
    client = Client(ours)
    assert client.talk(10) == "backend"


# --- the client, who waits for the ready frame ---------------------------------------------------------------------

READY_STEPS = ["handoff", "ready", "close", "done"]


class Stepper:
    """One side of ready_peer.c, which owns FD: waits before each step."""

    def __init__(self, word, token, connection, *arguments):
        command = [READY_PEER, word, str(connection.fileno()), token.hex(), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, pass_fds=[connection.fileno()], env=clean_environment())
        self.at = self.next()

    def next(self):
        """The name of the next step."""
        if select.select([self.process.stdout], [], [], PATIENCE)[0]:
            return self.process.stdout.readline().strip()
        raise AssertionError("no next step")

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.at = self.next()
        return self.at

    def go_to(self, step):
        while self.at != step:
            self.go()

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


def ready_pair(backend, name):
    """(client, the process that waits for its ready frame, the one that hands it over): both own all that there is of the
    connection, but for what CLIENT has."""
    token, (ours, theirs) = os.urandom(16), socket.socketpair()
    ours.set_inheritable(False)
    waiter = Stepper("wait", token, ours)
    sender = Stepper("send", token, theirs, handoff_path(backend), SERVICE)
    theirs.close()
    return Client(ours, name), waiter, sender


@case("a sender that is killed between ack, ready and close leaves its client to the backend alone")
def _(room):
    backend = run_backend(room)
    for last in READY_STEPS:
        client, waiter, sender = ready_pair(backend, last)
        sender.go_to(last)
        began = time.monotonic()
        sender.kill()
        said = int(waiter.go())
        assert time.monotonic() - began < READY_LIMIT + 2, said
        # Not sent; taken, but not told: it goes to the backend by itself; told.
        expected = {"handoff": -errno.ECONNRESET, "ready": -errno.ETIMEDOUT}.get(last, 0)
        assert said == expected, (last, said)
        waiter.kill()
        if said == 0:
            assert client.talk(10) == "backend"
        elif last == "handoff":
            client.ended()
        never_two_owners(client)
        client.close()
        backend.settled()
    assert backend.alive()


@case("a client that is killed between ack, ready and what follows leaves nothing behind")
def _(room):
    backend = run_backend(room)
    for last in READY_STEPS:
        for told in (False, True) if last in ("close", "done") else (False,):
            client, waiter, sender = ready_pair(backend, last)
            client.close()
            sender.go_to(last)
            assert not told or waiter.go() == "0"
            waiter.kill()
            began = time.monotonic()
            sender.go_to("done")
            assert time.monotonic() - began < ACK_LIMIT
            backend.settled()
            sender.kill()
    assert backend.alive()


@case("a backend that is killed between ack, ready and close leaves its client to nobody, or to itself")
def _(room):
    for last in READY_STEPS:
        backend = run_backend(room)
        client, waiter, sender = ready_pair(backend, last)
        sender.go_to(last)
        backend.kill()
        began = time.monotonic()
        sender.go_to("done")
        said = int(waiter.go())
        assert time.monotonic() - began < READY_LIMIT + 2, said
        # Before it was passed it can be told to connect anew.
        assert said == (-errno.ECONNREFUSED if last == "handoff" else 0), (last, said)
        sender.kill()
        waiter.kill()
        client.ended()
        assert client.answered == 0
        client.close()


@case("the backend takes no connection whose token comes twice, or does not match, and goes on")
def _(room):
    backend = run_backend(room)

    def attempt(token, offered, attached, service=SERVICE):
        """What the backend says: accepted, and why not."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(PATIENCE)
            channel.connect(handoff_path(backend))
            socket.send_fds(channel, [token], attached)
            channel.sendall(offer(offered, 9, service))
            answer = fields(read_frame(channel)[4])
            return answer.get(2, 0), answer.get(3, b"").decode()
    first, other = os.urandom(16), os.urandom(16)
    for token, offered, service, accepted in ((first, first, SERVICE, 1), (first, first, SERVICE, 0),
                                              (other, first, SERVICE, 0), (os.urandom(16),) * 2 + ("another", 0)):
        ours, theirs = socket.socketpair()
        client = Client(ours)
        said, why = attempt(token, offered, [theirs.fileno()], service)
        theirs.close()
        assert said == accepted and bool(why) != bool(accepted), (said, why)
        if accepted:
            assert client.talk() == "backend"
        else:
            client.ended()
        client.close()
    backend.settled()
    with open("/dev/null", "rb") as file:
        assert attempt(os.urandom(16), os.urandom(16), [file.fileno()])[0] == 0
    backend.settled()
    assert backend.alive()


# --- a backend of ours against the server --------------------------------------------------------------------------

class FakeBackend:
    """What is to be probed, and takes hand-overs in steps: this very process."""

    def __init__(self, room):
        self.directory = room.file("running-process/broker")
        os.makedirs(self.directory, 0o700, exist_ok=True)
        os.chmod(os.path.dirname(self.directory), 0o700)
        self.path, self.handoff = os.path.join(self.directory, "fake.sock"), os.path.join(self.directory, "fake.handoff.sock")
        self.endpoint, self.handoff_endpoint = self.listen(self.path), self.listen(self.handoff)
        self.record = self.identify()

    @staticmethod
    def listen(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)
        listener.settimeout(PATIENCE)
        return listener

    def identify(self):
        """Writes the record, as broker v1 wrote it before it had BLAKE3; the same as a message."""
        exe = os.path.realpath("/proc/self/exe")
        with open(exe, "rb") as file:
            digest = hashlib.sha256(file.read()).digest()
        boot = read_file("/proc/sys/kernel/random/boot_id").strip()
        sidecar = os.path.join(self.directory, f"daemon-{SERVICE}.json")
        with open(os.open(sidecar, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump({"pid": os.getpid(), "exe_path": exe, "exe_sha256": list(digest), "boot_id": boot,
                       "ipc_endpoint": {"namespace_id": "shared", "path": self.path}, "started_at_unix_ms": 1}, file)
        return (field(1, os.getpid()) + field(2, exe) + field(3, digest) + field(4, field(1, "shared") + field(2, self.path)) +
                field(5, 1) + field(6, boot))

    def answer_probe(self):
        with self.endpoint.accept()[0] as connection:
            connection.settimeout(PATIENCE)
            request = read_frame(connection)
            assert request[3] == PROBE and len(request[4]) == 32
            connection.sendall(frame(RESPONSE, PROBE, request[4] + self.record, request[5]))

    def close(self):
        self.endpoint.close()
        self.handoff_endpoint.close()


# Each is named when what it takes has come.
TAKER_STEPS = ["accept", "token", "offer", "ack", "serve"]


def take_in_steps(fake, before_step):
    """Takes one hand-over: the client's connection, and its sender's."""
    select.select([fake.handoff_endpoint], [], [], PATIENCE)
    before_step("accept")
    channel, _ = fake.handoff_endpoint.accept()
    channel.settimeout(PATIENCE)
    select.select([channel], [], [], PATIENCE)
    before_step("token")
    token, fds, _, _ = socket.recv_fds(channel, 16, 4)
    if not token:
        raise EOFError("hung up")
    assert len(token) == 16 and len(fds) == 1, (token, fds)
    client = socket.socket(fileno=fds[0])
    before_step("offer")
    request = read_frame(channel)
    assert request.get(2, REQUEST) == REQUEST and request[3] == HANDOFF, request
    message = fields(request[4])
    assert message[2] == token and message[3] == SERVICE.encode() and message[4] == request[5], message
    before_step("ack")
    channel.sendall(ack(token, request[5]))
    before_step("serve")
    return client, channel


def refuse_all(fake, tell):
    """Refuses whatever is handed over, on any connection, and tells of the first."""
    channels, count = [], 0
    while True:
        for ready in select.select([fake.handoff_endpoint] + channels, [], [])[0]:
            if ready is fake.handoff_endpoint:
                channels.append(ready.accept()[0])
                continue
            token, fds, _, _ = socket.recv_fds(ready, 16, 4)
            if not token:
                channels.remove(ready)
                ready.close()
                continue
            request = read_frame(ready)
            for fd in fds:
                os.close(fd)
            ready.sendall(ack(token, request[5], False, "no room"))
            count += 1
            if count == 1:
                tell("refused")


def serve(client):
    """Echoes what comes on CLIENT until it ends."""
    client.setblocking(True)
    rest = b""
    while data := client.recv(4096):
        *lines, rest = (rest + data).split(b"\n")
        client.sendall(b"".join(b"backend %d: %s\n" % (os.getpid(), line) for line in lines))


def fake_backend_process(room):
    """A backend that waits before each step, and serves after the last."""
    def run(tell, told):
        fake = FakeBackend(room)
        tell("ready")
        fake.answer_probe()

        def step(name):
            tell(name)
            told()
        with contextlib.suppress(EOFError, OSError):
            client, _ = take_in_steps(fake, step)
            serve(client)
    child = Child(run)
    assert child.hear() == "ready"
    return child


def offered_client(server, name):
    """A client that has been answered once by the server, which then tries to hand it over."""
    client = Client.of(server, name)
    client.talk()
    return client


def until_offered(server, child, name):
    """A client whose hand-over has begun: CHILD says so before its first step."""
    client = offered_client(server, name)
    child.socket.setblocking(False)

    def begun():
        with contextlib.suppress(BlockingIOError):
            return child.hear()
        if client.answered == client.sent:
            client.send()
        if select.select([client.socket], [], [], 0)[0]:
            client.hear()
        return None
    assert until(begun, "the first step") == "accept"
    child.socket.settimeout(PATIENCE)
    # The last line may have been answered before the backend was proved; this one was not.
    client.send()
    return client


@case("a backend that is killed between any two steps leaves its sender with nothing that leaks or hangs")
def _(room):
    for options in ((), ("--dial",)):
        for last in TAKER_STEPS:
            child = fake_backend_process(room)
            server = run_server(room, *options)
            client = until_offered(server, child, last)
            step = "accept"
            while step != last:
                child.say()
                step = child.hear()
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            child.socket.close()
            began = time.monotonic()
            # Either it was never sent, and the server goes on; or it was, and nobody has it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while client.sent < 50 and (client.answered < client.sent or client.send() is None) and client.hear():
                    pass
            assert time.monotonic() - began < ACK_LIMIT, f"the client hung at {last}"
            never_two_owners(client)
            client.close()
            server.settled()
            other = Client.of(server)
            assert other.talk(3) == "server"
            other.close()
            server.end()


@case("a server that is killed between any two steps leaves the client to the backend alone")
def _(room):
    for options in ((), ("--dial",)):
        for last in TAKER_STEPS:
            child = fake_backend_process(room)
            server = run_server(room, *options)
            client = until_offered(server, child, last)
            step = "accept"
            while step != last:
                child.say()
                step = child.hear()
            server.kill()
            with contextlib.suppress(OSError):
                while step and step != "serve":
                    child.say()
                    step = child.hear()
                child.say()
            # What had been sent is the backend's now, and what had not is nobody's.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.send()
                while client.answered < client.sent and client.hear():
                    pass
            never_two_owners(client)
            client.close()
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            child.socket.close()


@case("a client that is killed between any two steps leaves no descriptor with the server")
def _(room):
    for options in ((), ("--dial",)):
        # A kept connection is there before any client.
        for last in TAKER_STEPS if options else TAKER_STEPS[1:]:
            child = fake_backend_process(room)
            server = run_server(room, *options)
            client = until_offered(server, child, last)
            step = "accept"
            while step != last:
                child.say()
                step = child.hear()
            client.close()
            while step != "serve":
                child.say()
                step = child.hear()
            child.say()
            # It serves nobody, and ends.
            assert child.wait() == 0
            child.socket.close()
            server.settled()
            server.end()


@case("a client that the backend refused in so many words stays the server's")
def _(room):
    for options in ((), ("--dial",)):
        def run(tell, _):
            fake = FakeBackend(room)
            tell("ready")
            fake.answer_probe()
            refuse_all(fake, tell)
        child = Child(run)
        assert child.hear() == "ready"
        server = run_server(room, *options)
        client = Client.of(server)
        child.socket.settimeout(0.001)

        def refused(client=client, child=child):
            # While it is on its way nobody answers it; once it is back, somebody does.
            assert client.talk() == "server"
            with contextlib.suppress(OSError):
                return child.hear()
            return None
        assert until(refused, "a refusal") == "refused"
        assert client.talk(20) == "server"
        assert len(client.owners) == 1
        client.close()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.socket.close()
        server.settled()
        server.end()


@case("a backend that never answers keeps what it was sent, and the server lets go in time", limit=60)
def _(room):
    for options in ((), ("--dial",)):
        child = fake_backend_process(room)
        server = run_server(room, *options)
        client = until_offered(server, child, "c")
        step = "accept"
        while step != "ack":
            child.say()
            step = child.hear()
        began = time.monotonic()
        # The backend's copy is the only one that is left: the server's is closed.
        assert fd_count(server.pid) > server.idle_fds + server.kept_fds
        until(lambda s=server: fd_count(s.pid) <= s.idle_fds + s.kept_fds, "the end of the server's patience", ACK_LIMIT + 5)
        assert time.monotonic() - began < ACK_LIMIT + 3
        if client.answered == client.sent:
            client.send()
        child.say()
        with contextlib.suppress(OSError):
            if child.hear() == "serve":
                child.say()
        while client.answered < client.sent and client.hear():
            pass
        never_two_owners(client)
        client.close()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.socket.close()
        server.end()


@case("a backend that answers none of 32 is given up, proved anew, and asked over another connection", limit=60)
def _(room):
    def run(tell, _):
        fake = FakeBackend(room)
        tell("ready")
        fake.answer_probe()
        # Nothing of what comes here is ever read.
        silent, _ = fake.handoff_endpoint.accept()
        fake.answer_probe()
        client, _ = take_in_steps(fake, lambda step: None)
        serve(client)
        silent.close()
    child = Child(run)
    assert child.hear() == "ready"
    server = run_server(room)
    server.settled(more=server.kept_fds)
    clients = [Client.of(server, f"c{i}") for i in range(32)]
    for client in clients:
        assert client.talk() == "server"
    other = Client.of(server, "other")
    # No place for it; it stays, and the others are on their way.
    assert other.talk(20) == "server"
    assert fd_count(server.pid) >= server.idle_fds + len(clients) + 1
    until(lambda: "timed out" in read_file(server.log), "the end of the server's patience", ACK_LIMIT + 5)
    other.moves()
    assert other.owners[-1] == ("backend", str(child.pid))
    server.settled(more=server.kept_fds)
    for client in clients + [other]:
        client.close()
    assert child.wait() == 0
    child.socket.close()
    server.end()


# --- who does nothing, and who does too much -----------------------------------------------------------------------

@case("connections to the backend on which nothing happens stop no hand-over, however many they are")
def _(room):
    for options in ((), ("--dial",)):
        backend = run_backend(room)
        idle = []
        for _ in range(40):
            idle.append(socket.socket(socket.AF_UNIX))
            idle[-1].connect(handoff_path(backend))
        server = run_server(room, *options)
        clients = [Client.of(server, f"c{i}") for i in range(5)]
        for client in clients:
            client.moves()
            never_two_owners(client)
        # Whoever has something on the way keeps his place; the idlest went, and know it.
        idle[0].settimeout(PATIENCE)
        assert idle[0].recv(1) == b""
        for connection in idle + [client.socket for client in clients]:
            connection.close()
        server.end()
        backend.end()


@case("the backend that makes room takes what the one who goes had sent just before")
def _(room):
    backend = run_backend(room)
    first = socket.socket(socket.AF_UNIX)
    first.connect(handoff_path(backend))
    ours, theirs = socket.socketpair()
    os.kill(backend.pid, signal.SIGSTOP)
    token = os.urandom(16)
    socket.send_fds(first, [token + offer(token, 9)], [theirs.fileno()])
    theirs.close()
    others = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    for other in others:
        other.connect(handoff_path(backend))
    os.kill(backend.pid, signal.SIGCONT)
    first.settimeout(PATIENCE)
    assert read_frame(first)[5] == 9
    client = Client(ours)
    assert client.talk(5) == "backend"
    for connection in others + [first, ours]:
        connection.close()
    backend.settled()


@case("a client that says nothing more moves as soon as there is a backend")
def _(room):
    for options in ((), ("--dial",)):
        server = run_server(room, *options)
        clients = [Client.of(server, f"c{i}") for i in range(50)]
        for client in clients:
            assert client.talk() == "server"
        backend = run_backend(room)
        until(lambda s=server: fd_count(s.pid) == s.idle_fds + s.kept_fds, "clients that go")
        for client in clients:
            assert client.talk() == "backend"
            client.close()
        assert f"moved {len(clients)} clients" in server.end()
        backend.end()


@case("a server that was there first finds its backend in time for the second line")
def _(room):
    server = run_server(room)
    until(lambda: "no backend" in read_file(server.log), "a look for it")
    client = Client.of(server)
    assert client.talk() == "server"
    backend = run_backend(room)
    began = time.monotonic()
    until(lambda: fd_count(server.pid) == server.idle_fds + server.kept_fds, "a client that goes")
    assert time.monotonic() - began < 2 and client.talk() == "backend"
    backend.end()


@case("what the programs say goes nowhere when nobody reads it, and they go on")
def _(room):
    backend = run_backend(room)
    server = run_server(room)
    for program in (backend, server):
        program.end()
    environment = clean_environment(XDG_RUNTIME_DIR=room.path)
    commands = [[BACKEND, SERVICE], [SERVER, room.file("client.sock"), SERVICE]]
    processes = []
    for command in commands:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=environment)
        process.stdout.readline()
        process.stderr.close()
        processes.append(process)
    # Both have something to say: a refusal, and a backend that is gone.
    sender = socket.socket(socket.AF_UNIX)
    sender.connect(handoff_path(backend))
    ours, theirs = socket.socketpair()
    token = os.urandom(16)
    socket.send_fds(sender, [token + offer(token, 7, "another")], [theirs.fileno()])
    sender.settimeout(PATIENCE)
    assert not fields(read_frame(sender)[4]).get(2)
    client = Client(socket.socket(socket.AF_UNIX))
    client.socket.connect(room.file("client.sock"))
    until(lambda: client.talk() == "backend", "a client that moves")
    processes[0].kill()
    processes[0].wait(PATIENCE)
    again = Client(socket.socket(socket.AF_UNIX))
    again.socket.connect(room.file("client.sock"))
    began = time.monotonic()
    while time.monotonic() - began < 1.2:
        assert again.talk() == "server"
    assert processes[1].poll() is None
    ours.close()


@case("refusals are said once a second, however many there are")
def _(room):
    backend = run_backend(room)
    sender = socket.socket(socket.AF_UNIX)
    sender.connect(handoff_path(backend))
    sender.settimeout(PATIENCE)
    began = time.monotonic()
    for number in range(500):
        ours, theirs = socket.socketpair()
        token = os.urandom(16)
        socket.send_fds(sender, [token + offer(token, number + 1, "another")], [theirs.fileno()])
        ours.close()
        theirs.close()
        assert not fields(read_frame(sender)[4]).get(2)
    lines = read_file(backend.log).splitlines()
    assert 1 <= len(lines) <= 2 + (time.monotonic() - began), lines[:5]


@case("a line is answered with all of its bytes, whatever they are")
def _(room):
    server = run_server(room, "--after", "0")
    backend = run_backend(room)
    direct = socket.socket(socket.AF_UNIX)
    direct.connect(backend.path)
    client = socket.socket(socket.AF_UNIX)
    client.connect(server.path)
    for connection in (client, direct):
        connection.settimeout(PATIENCE)
        for line in (b"a\0b\n", b"\0\n", b"\xff\0%s%n\n"):
            connection.sendall(line)
            answer = b""
            while not answer.endswith(b"\n"):
                answer += connection.recv(4096)
            assert answer.partition(b": ")[2] == line, answer
        connection.close()


@case("a program that cannot begin leaves no socket behind")
def _(room):
    room_left = room.file("running-process/broker")
    os.makedirs(room_left, 0o700)
    os.chmod(os.path.dirname(room_left), 0o700)
    # The record is the last thing; where it belongs there is something else.
    os.mkdir(os.path.join(room_left, f"daemon-{SERVICE}.json"))
    done = subprocess.run([BACKEND, SERVICE], capture_output=True, text=True, check=False, timeout=PATIENCE,
                          env=clean_environment(XDG_RUNTIME_DIR=room.path))
    assert done.returncode == 1 and done.stderr.startswith("backend: "), done
    assert not [name for name in os.listdir(room_left) if name.endswith(".sock")], os.listdir(room_left)


@case("a client that queued what takes long to close holds nobody up, at the backend or at the server")
def _(room):
    backend = run_backend(room)
    listener = socket.create_server(("127.0.0.1", 0))
    slow = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    slow.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            slow.send(b"x" * 65536)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    ours, theirs = socket.socketpair()
    socket.send_fds(ours, [b"a line\n"], [slow.fileno()])
    slow.close()
    sender = socket.socket(socket.AF_UNIX)
    sender.connect(handoff_path(backend))
    token = os.urandom(16)
    socket.send_fds(sender, [token + offer(token, 7)], [theirs.fileno()])
    theirs.close()
    sender.settimeout(PATIENCE)
    assert fields(read_frame(sender)[4]).get(2) == 1
    ours.settimeout(PATIENCE)
    assert ours.recv(100).endswith(b": a line\n")
    other = Client(socket.socket(socket.AF_UNIX))
    other.socket.connect(backend.path)
    assert other.talk(3) == "backend"
    far.close()


if not (SERVER and BACKEND and READY_PEER):
    raise SystemExit("BELAY_PASS_SERVER, BELAY_PASS_BACKEND and BELAY_READY_PEER say where the programs are")
main()
