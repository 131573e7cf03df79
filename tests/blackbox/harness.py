"""harness.py - what the black-box tests share

A test file names its cases with @case("a sentence") and ends with main(). Each case runs in a process of its own, with
a directory of its own on a memory file system, and is ended, with everything that it started, when it takes too long.
Nothing here uses Belay's code: frames, the door and event lines are read and written from their documents.
"""
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import traceback

OBSERVE = os.environ.get("BELAY_OBSERVE", "")
WORKER = os.environ.get("BELAY_WORKER", "")
BELAY = os.environ.get("BELAY_COMMAND", "")
PATIENCE = 20  # seconds until something that must happen counts as not happening
CASE_LIMIT = float(os.environ.get("BELAY_CASE_LIMIT", "50"))
AT_ONCE = int(os.environ.get("BELAY_CASES_AT_ONCE", "3"))
NOBODY = 65534
ROOT = os.geteuid() == 0
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable  # for any user
libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """This case cannot be tried here."""


# --- waiting -------------------------------------------------------------------------------------------------------

def until(condition, what, patience=PATIENCE):
    """What CONDITION returns once it is true; looks again every 5 ms."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience} s for {what() if callable(what) else what}")
        time.sleep(0.005)


# --- frames --------------------------------------------------------------------------------------------------------

def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()
OK, DEGRADED, CRITICAL, STALL = range(4)
TERMINAL = 2**64 - 1


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def frame(nonce, pid=None, status=OK, payload=0, timestamp=0, magic=b"VA", version=2, crc=None):
    """The 32 bytes of one beat."""
    body = struct.pack("<2sBBIQQI", magic, version, status, os.getpid() if pid is None else pid, timestamp, nonce, payload)
    return body + struct.pack("<I", crc32c(body) if crc is None else crc)


class Sender:
    """A socket that sends datagrams to the observer at PATH."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.nonce = 0

    def send(self, data, fds=()):
        """Sends DATA, waiting while the queue is full."""
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        return self.socket.sendmsg([data], control)

    def beat(self, **fields):
        self.nonce += 1
        return self.send(frame(self.nonce, **fields))


# --- the door ------------------------------------------------------------------------------------------------------

WITHIN, GOODBYE, BEAT, PING, STATUS, COUNTERS, EVENTS, SELF = range(1, 9)
DONE, LINES = 1, 2


def request(kind, name=b"", status=0, of=0, progress=0, nonce=0, value=0, magic=0x4842, version=1, flags=0, reserved=0):
    if isinstance(name, str):
        name = name.encode()
    return struct.pack("=HBBBBHIIQQ72s", magic, version, kind, status, flags, reserved, of, progress, nonce, value, name)


class Door:
    """A connection to the observer's door."""

    def __init__(self, path, patience=PATIENCE):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(patience)
        until(lambda: self._connect(path + ".hello"), "a place in the door's queue")

    def _connect(self, path):
        with contextlib.suppress(BlockingIOError):
            self.socket.connect(path)
            return True
        return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def packet(self):
        """(part, code, text, version) of the next packet, or None at the end."""
        data = self.socket.recv(16384 + 64)
        if not data:
            return None
        magic, version, part, code, size, reserved = struct.unpack("=HBBiII", data[:16])
        assert magic == 0x4842 and reserved == 0, data[:16]
        assert size == len(data) - 16 and len(data) <= 16384, (size, len(data))
        return part, code, data[16:].decode(), version

    def ask(self, *args, **fields):
        """(code, sentence, rows): the whole answer."""
        self.socket.send(request(*args, **fields))
        text = ""
        while True:
            packet = self.packet()
            assert packet is not None, "the door closed in the middle of an answer"
            if packet[0] == DONE:
                return packet[1], packet[2], [json.loads(line) for line in text.splitlines()]
            assert packet[0] == LINES
            text += packet[2]


def ask(path, *args, **fields):
    with Door(path) as door:
        return door.ask(*args, **fields)


def status_rows(path, name=""):
    return ask(path, STATUS, name=name)[2]


def counters(path):
    """All counters: a labelled one is named `name{label}`."""
    flat = {}
    for row in ask(path, COUNTERS)[2]:
        for name, value in row.items():
            if isinstance(value, dict):
                flat.update({f"{name}{{{label}}}": number for label, number in value.items()})
            else:
                flat[name] = value
    return flat


# --- events --------------------------------------------------------------------------------------------------------

class Events:
    """Follows an event file from its start, across appends of one observer after the other."""

    def __init__(self, path):
        self.path, self.offset, self.seen, self.rest, self.torn = path, 0, [], b"", 0

    def read(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read()
            self.offset += len(data)
            lines = (self.rest + data).split(b"\n")
            self.rest = lines.pop()
            for line in lines:
                try:
                    self.seen.append(json.loads(line))
                except ValueError:
                    self.torn += 1
        return self.seen

    def matching(self, event=None, since=0, **members):
        self.read()
        if event is not None:
            members["event"] = event
        return [e for e in self.seen[since:] if all(k in e and e[k] == v for k, v in members.items())]

    def wait(self, event=None, since=0, count=1, patience=PATIENCE, **members):
        """The COUNTth matching event at or after the index SINCE."""
        def what():
            return f"event {event} {members}; seen: " + "\n".join(map(str, self.seen[since:][-30:]))
        return until(lambda: self.matching(event, since, **members)[count - 1:count], what, patience)[0]

    def mark(self):
        """An index: events that come from now on are at or behind it."""
        return len(self.read())


# --- the observer --------------------------------------------------------------------------------------------------

def clean_environment(**more):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("BELAY") and k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM",
                                                      "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "XDG_CONFIG_HOME")}
    env.update(more)
    return env


class Observer:
    """`belay-observe` in the room's directory. Options as keywords: max_beat_rate=5 is --max-beat-rate=5."""

    def __init__(self, room, start=True, env=None, arguments=(), name="beat", preexec=None, pass_fds=(), user=None, **options):
        self.room = room
        self.socket = os.path.join(room.path, name + ".sock")
        self.state = os.path.join(room.path, name + ".state")
        self.events_path = os.path.join(room.path, name + ".jsonl")
        self.log_path = os.path.join(room.path, name + ".log")
        self.options = dict(socket=self.socket, state=self.state, events=self.events_path, threshold="500ms", config="none")
        self.options.update(options)
        self.arguments, self.env, self.preexec, self.pass_fds = list(arguments), env or {}, preexec, pass_fds
        self.user = user
        self.events = Events(self.options["events"])
        self.process = None
        if start:
            self.start()

    def command(self):
        given = [f"--{k.replace('_', '-')}={v}" for k, v in self.options.items() if v is not None]
        return [OBSERVE] + given + self.arguments

    def launch(self):
        log = os.open(self.log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        credentials = {"user": self.user, "group": self.user, "extra_groups": []} if self.user is not None else {}
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        env=clean_environment(**self.env), preexec_fn=self.preexec,
                                        pass_fds=self.pass_fds, start_new_session=True, **credentials)
        os.close(log)
        return self.process

    def start(self):
        """Starts it and waits until it says so in its event file."""
        since = self.events.mark()
        self.launch()

        def started():
            if self.process.poll() is not None:
                raise AssertionError(f"the observer ended at once with {self.process.returncode}: {self.log()}")
            return self.events.matching("observer", since, what="started")
        until(started, lambda: "the observer's start; its log: " + self.log())
        return self

    def refuse(self):
        """Starts it, expecting that it refuses to; returns (exit status, what it said)."""
        before = len(self.log())
        self.launch()
        code = self.process.wait(PATIENCE)
        return code, self.log()[before:]

    def log(self):
        return read_file(self.log_path)

    @property
    def pid(self):
        return self.process.pid

    def roles(self):
        """pid of each role, by name."""
        rows = ask(self.socket, SELF)[2]
        return {role["name"]: role["pid"] for role in rows[0]["roles"]}

    def gate(self):
        """The gate's pid, asked of /proc: works while nobody answers the door."""
        return next((pid for pid in children_of(self.pid) if comm(pid) == "belay-gate"), 0)

    def counters(self):
        return counters(self.socket)

    def counter(self, name):
        return counters(self.socket)[name]

    def rows(self, name=""):
        return status_rows(self.socket, name)

    def alive(self):
        return self.process.poll() is None

    def stop(self, number=signal.SIGTERM):
        """Ends it nicely; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def kill(self):
        """Kills the parent and waits until its roles are gone, too."""
        roles = children_of(self.pid)
        self.process.kill()
        self.process.wait(PATIENCE)
        until(lambda: not any(alive(pid) for pid in roles), "the end of orphaned roles")

    def stalls(self, **members):
        return self.events.matching("stall", **members)

    def ends(self, **members):
        return self.events.matching("end", **members)

    def actions(self, **members):
        return self.events.matching("action", **members)

    def withheld(self, **members):
        return self.events.matching("withheld", **members)

    def role(self, name):
        """The pid of a role, asked of /proc: works while nobody answers the door; 0: there is none."""
        return next((pid for pid in children_of(self.pid) if comm(pid) == "belay-" + name), 0)

    def replace_role(self, name):
        """Kills a role and waits until there is another, and until the gate answers again; the new pid."""
        mark, old = self.events.mark(), until(lambda: self.role(name), f"a {name}")
        os.kill(old, signal.SIGKILL)
        new = until(lambda: self.role(name) not in (0, old) and self.role(name), f"another {name}")
        self.events.wait("observer", since=mark, what="role-restarted")

        def answers():
            with contextlib.suppress(OSError, AssertionError):
                return ask(self.socket, PING)[0] == 0
            return False
        until(answers, "an answer of the gate")
        return new


# --- commands of ours ----------------------------------------------------------------------------------------------

def belay(*arguments, **options):
    """(exit status, stdout, stderr) of one `belay` command."""
    done = subprocess.run([BELAY, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, check=False,
                          env=clean_environment(), stdin=subprocess.DEVNULL, **options)
    assert done.returncode >= 0, (arguments, done.returncode, done.stderr)
    return done.returncode, done.stdout, done.stderr


# --- commands that the observer runs -------------------------------------------------------------------------------

class Lines:
    """A file that commands add whole lines to, one each time they run."""

    def __init__(self, room, name):
        self.path = room.file(name)

    def seen(self):
        return [line for line in read_file(self.path).split("\n")[:-1]]

    def wait(self, count=1, patience=PATIENCE):
        """The first COUNT lines."""
        return until(lambda: self.seen()[:count] if len(self.seen()) >= count else None,
                     lambda: f"{count} lines in {self.path}; there are {self.seen()}", patience)


class Probe:
    """A command that writes down as what it runs; its script lies where nothing need be executable."""
    SCRIPT = """
import json, os, sys
fds = {}
for number in os.listdir("/proc/self/fd"):
    try:
        fds[number] = os.readlink("/proc/self/fd/" + number)
    except OSError:
        pass
def text(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError as error:
        return "error: %s" % error
about = {"argv": sys.argv[2:], "environ": dict(entry.split("=", 1) for entry in text("/proc/self/environ").split("\\0") if entry),
         "fds": fds, "fd3": text("/proc/self/fdinfo/3"), "cwd": os.getcwd(), "pid": os.getpid(), "pgid": os.getpgid(0),
         "uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups()), "status": text("/proc/self/status")}
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
os.write(out, (json.dumps(about) + "\\n").encode())
"""

    def __init__(self, room, name="probe"):
        self.script = room.write(name + ".py", self.SCRIPT, 0o644)
        self.lines = Lines(room, name + ".ran")

    def command(self, *words):
        return " ".join([PYTHON, "-I", self.script, self.lines.path, *words])

    def seen(self):
        return [json.loads(line) for line in self.lines.seen()]

    def wait(self, count=1):
        """What the COUNTth run wrote."""
        return json.loads(self.lines.wait(count)[count - 1])


class Held:
    """A command that writes "TARGET OWN-PID" and ends when it is let go."""

    def __init__(self, room, name="held"):
        self.lines, self.gate = Lines(room, name + ".ran"), room.file(name + ".go")
        script = room.write(name + ".sh", f'echo "$1 $$" >>{self.lines.path}\n'
                            f"while [ ! -e {self.gate} ]; do sleep 0.05; done\n", 0o644)
        self.command = f"/bin/sh {script} {{pid}}"

    def seen(self):
        return [tuple(map(int, line.split())) for line in self.lines.seen()]

    def wait(self, count=1):
        self.lines.wait(count)
        return self.seen()[count - 1]

    def let_go(self):
        with open(self.gate, "w", encoding="utf-8"):
            pass


class Calls:
    """A command that keeps its stdin: what each call of an alert command was given. FAILURES: so many calls fail first."""

    def __init__(self, room, name="calls", failures=0):
        self.path = room.file(name)
        os.mkdir(self.path)
        script = room.write(name + ".sh", f"""cd {self.path} || exit 70
cat >part.$$
{{ echo "$BELAY_ALERTS"; cat part.$$; }} >whole.$$
rm part.$$
n=1
until ln whole.$$ call.$n 2>/dev/null; do n=$((n + 1)); done
rm whole.$$
[ $n -gt {failures} ]
""", 0o644)
        self.command = f"/bin/sh {script}"

    def seen(self):
        """A list for each call, of the objects that it was given."""
        calls = []
        while os.path.exists(name := os.path.join(self.path, f"call.{len(calls) + 1}")):
            count, *lines = read_file(name).splitlines()
            assert count == str(len(lines)), (count, lines)
            calls.append([json.loads(line) for line in lines])
        return calls

    def lines(self, **members):
        return [line for call in self.seen() for line in call if all(line.get(k) == v for k, v in members.items())]

    def wait(self, count=1, patience=30, **members):
        """The COUNTth line that has MEMBERS."""
        def what():
            return f"an alert {members}; seen: {self.seen()}"
        return until(lambda: self.lines(**members)[count - 1:count], what, patience)[0]


def ordinary(room):
    """From here on this case is an ordinary user's, also when root runs it: what root's own processes get of an observer
    that root runs is a different matter."""
    if not ROOT:
        return
    os.chown(room.path, NOBODY, NOBODY)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    libc.prctl(4, 1, 0, 0, 0)  # dumpable again: /proc belongs to the new uid
    if not (os.access(OBSERVE, os.X_OK) and os.access(WORKER, os.X_OK)):
        raise Skip("an ordinary user cannot reach the programs")


# --- processes -----------------------------------------------------------------------------------------------------

def read_file(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def stat_fields(pid):
    """Field 3 (state) and on of /proc/PID/stat."""
    text = read_file(f"/proc/{pid}/stat")
    return text[text.rindex(")") + 2:].split() if ")" in text else []


def comm(pid):
    return read_file(f"/proc/{pid}/comm").strip()


def children_of(pid):
    return [int(child) for child in read_file(f"/proc/{pid}/task/{pid}/children").split()]


def alive(pid):
    fields = stat_fields(pid)
    return bool(fields) and fields[0] not in "ZX"


def process_state(pid):
    fields = stat_fields(pid)
    return fields[0] if fields else ""


class Worker:
    """tests/blackbox/worker.c: beats every INTERVAL ms and does what its standard input says."""

    def __init__(self, path, interval=50, env=None, program=None, **popen):
        self.process = subprocess.Popen([program or WORKER, path, str(interval)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=clean_environment(**(env or {})), text=True, bufsize=1, **popen)
        self.pid = self.process.pid
        self.expect("ready")

    def expect(self, word):
        line = self.process.stdout.readline().split()
        assert line[:1] == [word], f"the worker said {line}, not {word}"
        return line[1:]

    def tell(self, line):
        """A command that does not come back (deadlock, spin, exit ...)."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def do(self, line):
        """A command that answers `done`."""
        self.tell(line)
        return self.expect("done")

    def send_signal(self, number):
        os.kill(self.pid, number)

    def stop(self):
        """Stops it and returns when it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: process_state(self.pid) == "T", "a stopped worker")

    def wait(self):
        return self.process.wait(PATIENCE)


class Child:
    """A forked process that runs FUNCTION(tell, told): words go both ways over a socket pair."""

    def __init__(self, function, uid=None):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                ours.close()
                signal.alarm(0)
                if uid is not None:
                    os.setgroups([])
                    os.setresgid(uid, uid, uid)
                    os.setresuid(uid, uid, uid)
                    libc.prctl(4, 1, 0, 0, 0)  # dumpable again: /proc belongs to the new uid
                code = function(lambda word: theirs.send(str(word).encode()), lambda: theirs.recv(4096).decode()) or 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()
        self.socket = ours
        self.socket.settimeout(PATIENCE)
        self.status = None

    def hear(self):
        return self.socket.recv(4096).decode()

    def say(self, word="go"):
        self.socket.send(word.encode())

    def wait(self):
        """Its exit status; a negative one is a signal."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status


def beating_child(path, uid=None):
    """A child that beats once at each word said to it and tells `beat`; ends at the word `exit`."""
    def run(tell, told):
        sender = Sender(path)
        sender.beat()
        tell("beat")
        while True:
            word = told()
            if word in ("", "exit"):
                return 0
            sender.beat()
            tell("beat")
    child = Child(run, uid)
    assert child.hear() == "beat"
    return child


# --- cases ---------------------------------------------------------------------------------------------------------

class Room:
    """A case's directory."""

    def __init__(self):
        base = "/dev/shm" if on_tmpfs("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
        self.path = tempfile.mkdtemp(prefix="belay-bb-", dir=base)
        self.tmpfs = on_tmpfs(self.path)
        self.crash_expected = False
        self.mounted = []

    def file(self, name):
        return os.path.join(self.path, name)

    def write(self, name, text, mode=0o600):
        path = self.file(name)
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
        with os.fdopen(fd, "w") as file:
            file.write(text)
        return path

    def need_tmpfs(self):
        if not self.tmpfs:
            raise Skip("no memory file system to keep state on")


def on_tmpfs(path):
    best, kind = "", ""
    for line in read_file("/proc/self/mounts").splitlines():
        fields = line.split()
        if len(fields) > 2 and (path + "/").startswith(fields[1].rstrip("/") + "/") and len(fields[1]) >= len(best):
            best, kind = fields[1], fields[2]
    return kind in ("tmpfs", "ramfs")


def need_root():
    if not ROOT:
        raise Skip("needs root")


CASES = []


def case(name, limit=None):
    def add(function):
        CASES.append((name, function, limit or CASE_LIMIT))
        return function
    return add


def _descendants(pid):
    found = []
    for child in children_of(pid):
        found += [child] + _descendants(child)
    return found


def _sweep():
    """Ends everything that this case started and that is still there: they are our children, or become so."""
    for _ in range(200):
        left = _descendants(os.getpid())
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not left:
            return
        time.sleep(0.005)


def _too_late(*_):
    raise AssertionError("the case took too long")


def _run(function, limit, output):
    libc.prctl(36, 1, 0, 0, 0)  # child subreaper: orphans come to us
    os.setsid()
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, limit)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code, room = 1, Room()
    try:
        function(room)
        code = 0
    except Skip as skip:
        print(f"skip: {skip}")
        code = 77
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        for name in sorted(os.listdir(room.path)):
            if name.endswith(".log"):
                print(f"--- {name}\n{read_file(room.file(name))[-4000:]}")
    with contextlib.suppress(BaseException):
        signal.setitimer(signal.ITIMER_REAL, 0)
        _sweep()
        # A crash of ours, whatever else was seen, is a failure.
        for name in os.listdir(room.path):
            text = read_file(room.file(name)) if name.endswith(".log") else ""
            if code == 0 and not room.crash_expected and re.search(r"ERROR: \w+Sanitizer|runtime error:|Assertion .* failed", text):
                print(f"--- {name}\n{text[-6000:]}")
                code = 1
        for path in room.mounted:
            libc.umount2(path.encode(), 2)  # MNT_DETACH
        shutil.rmtree(room.path, ignore_errors=True)
    sys.stdout.flush()
    os._exit(code)


def main():
    """Runs the cases, a few at once, and prints TAP."""
    wanted = sys.argv[1:]
    chosen = [c for c in CASES if not wanted or any(word in c[0] for word in wanted)]
    print(f"1..{len(chosen)}", flush=True)
    waiting, running, done, failed = list(enumerate(chosen)), {}, {}, 0
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number, (name, function, limit) = waiting.pop(0)
            with tempfile.TemporaryFile() as output:
                fd = os.dup(output.fileno())
            pid = os.fork()
            if pid == 0:
                _run(function, limit, fd)
            running[pid] = (number, name, fd, time.monotonic() + limit + 20, time.monotonic())
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            for late, (_, _, _, deadline, _) in running.items():
                if time.monotonic() > deadline:
                    os.kill(late, signal.SIGKILL)
            time.sleep(0.005)
            continue
        if pid not in running:
            continue
        number, name, fd, _, began = running.pop(pid)
        os.lseek(fd, 0, os.SEEK_SET)
        with os.fdopen(fd, "rb") as file:
            text = file.read().decode("utf-8", "replace")
        code = os.waitstatus_to_exitcode(status)
        note = ""
        if code == 77:
            reason = re.search(r"^skip: (.*)", text, re.M)
            note = f" # SKIP {reason.group(1) if reason else ''}"
        failed += code not in (0, 77)
        line = f"{'ok' if code in (0, 77) else 'not ok'} {number + 1} - {name.replace('#', ' ')}{note}"
        done[number] = line + f"\n# {time.monotonic() - began:.2f} s"
        if code not in (0, 77):
            done[number] += f"\n# ended with {code}\n" + "".join(f"# {l}\n" for l in text.splitlines())
        while done:
            first = min(done)
            if any(n < first for n, *_ in running.values()) or any(n < first for n, _ in waiting):
                break
            print(done.pop(first), flush=True)
    sys.exit(1 if failed else 0)
