#!/usr/bin/python3
"""belay backend: what probe proves and what not, and what conform says of backends that break one rule"""
import os
import signal
import threading

from backends import Backend, sidecar
from harness import *

DAEMON = os.environ.get("BELAY_BACKEND_DAEMON", "")
PROOFS = ["endpoint", "process", "nonce", "record", "credentials", "still"]


class Daemon:
    """Our own backend."""

    def __init__(self, room, program=DAEMON, name="d"):
        self.socket, self.handoff, self.sidecar = (room.file(name + end) for end in (".sock", ".handoff.sock", ".json"))
        with open(room.file(name + ".log"), "wb") as log:
            self.process = subprocess.Popen([program, self.socket, self.handoff, self.sidecar], stdout=subprocess.PIPE,
                                            stderr=log, stdin=subprocess.DEVNULL, env=clean_environment())
        assert self.process.stdout.readline() == b"ready\n", read_file(room.file(name + ".log"))

    @property
    def pid(self):
        return self.process.pid


def python_backend(room, faults=(), handoff=True, name="p", **said):
    """(child, endpoint, hand-over endpoint): a backend of Python's, with its faults."""
    path, other = room.file(name + ".sock"), room.file(name + ".handoff.sock") if handoff else None

    def run(tell, _):
        backend = Backend(path, other, faults, **said)
        tell("ready")
        backend.run()
    child = Child(run)
    assert child.hear() == "ready"
    return child, path, other


def probe(*arguments, **options):
    """(exit status, object, stderr)"""
    code, out, err = belay("backend", "probe", "--json", *arguments, **options)
    return code, json.loads(out) if out else None, err


def conform(*arguments):
    """(exit status, {rule: verdict}, {rule: why})"""
    code, out, err = belay("backend", "conform", "--json", *arguments)
    rules = json.loads(out) if out else []
    return code, {rule["rule"]: rule["verdict"] for rule in rules}, {rule["rule"]: rule["why"] for rule in rules} if out else err


def proved(found):
    return [name for name in PROOFS if found["proofs"][name]]


def write_sidecar(room, about, name="s.json"):
    return room.write(name, json.dumps(about))


# --- probe -----------------------------------------------------------------------------------------------------------

@case("probe proves our own daemon by its sidecar, and by what it claims")
def _(room):
    daemon = Daemon(room)
    code, found, err = probe(daemon.sidecar)
    assert code == 0 and err == "", (code, found, err)
    assert found["proved"] and not found["claimed"] and proved(found) == PROOFS, found
    assert found["record"]["pid"] == daemon.pid and found["record"]["hashes"] == ["blake3", "sha256"], found
    assert found["answered_by"] == {"pid": daemon.pid, "uid": os.geteuid(), "descendant": False}, found
    assert found["listener"] == daemon.pid and found["error"] is None and found["why"] is None, found
    code, found, _ = probe(daemon.socket)
    assert code == 0 and found["proved"] and found["claimed"] and proved(found) == PROOFS, found


@case("probe prints a line for each thing that is proved")
def _(room):
    daemon = Daemon(room)
    code, out, err = belay("backend", "probe", daemon.sidecar)
    assert code == 0 and err == "", (code, out, err)
    for name in PROOFS:
        assert re.search(rf"^{name} +proved +\S", out, re.M), (name, out)
    assert re.search(rf"^answered by +process {daemon.pid}, uid", out, re.M), out
    assert re.search(r"^hash +blake3 and sha256$", out, re.M) and re.search(r"^took +\d+\.\d{3} ms$", out, re.M), out
    code, out, _ = belay("backend", "probe", daemon.socket)
    assert code == 0 and "its sidecar" in out, out


@case("probe proves a backend of another make, which knows one hash")
def _(room):
    child, path, _ = python_backend(room)
    about = sidecar(path, pid=child.pid)
    code, found, err = probe(write_sidecar(room, about))
    assert code == 0 and proved(found) == PROOFS and found["record"]["hashes"] == ["sha256"], (code, found, err)
    code, found, err = probe(path)
    assert code == 0 and proved(found) == PROOFS and found["answered_by"]["pid"] == child.pid, (code, found, err)


@case("probe of a descendant that serves says so")
def _(room):
    path, go = room.file("p.sock"), os.getpid()
    child, path, _ = python_backend(room, pid=go)
    code, found, err = probe(write_sidecar(room, sidecar(path)))
    assert code == 0 and found["answered_by"] == {"pid": child.pid, "uid": os.geteuid(), "descendant": True}, (code, found, err)


@case("a sidecar that is missing or no record is 66, one that others can write 77")
def _(room):
    missing = room.file("none.json")
    code, out, err = belay("backend", "probe", missing)
    assert code == 66 and out == "" and missing in err, (code, out, err)
    for number, text in enumerate(("", "{", "[]", '{"pid": 1}', "\0" * 70000)):
        path = room.write(f"bad{number}.json", text)
        code, out, err = belay("backend", "probe", path)
        assert code == 66 and out == "" and path in err, (number, code, out, err)
    path = write_sidecar(room, sidecar(room.file("x.sock")), "open.json")
    os.chmod(path, 0o666)
    code, out, err = belay("backend", "probe", path)
    assert code == 77 and out == "" and path in err, (code, out, err)


@case("a sidecar of another user is 77")
def _(room):
    need_root()
    path = write_sidecar(room, sidecar(room.file("x.sock")))
    os.chown(path, NOBODY, NOBODY)
    code, out, err = belay("backend", "probe", path)
    assert code == 77 and out == "" and path in err, (code, out, err)


@case("a daemon that ended is not proved, and nobody is asked")
def _(room):
    daemon = Daemon(room)
    daemon.process.kill()
    daemon.process.wait()
    code, found, err = probe(daemon.sidecar)
    assert code == 1 and found["error"] == "VerifyPid" and found["verify_error"] == "NotFound", (code, found, err)
    assert proved(found) == ["endpoint"] and found["answered_by"] is None and daemon.sidecar in err, (found, err)


@case("nobody at the endpoint is 69")
def _(room):
    path = room.file("gone.sock")
    code, found, err = probe(write_sidecar(room, sidecar(path)))
    assert code == 69 and found["error"] == "Connect" and proved(found) == ["endpoint", "process"], (code, found, err)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    dead.close()
    code, found, err = probe(path)
    assert code == 69 and found["error"] == "Connect" and found["claimed"], (code, found, err)


@case("an endpoint that lets nobody in is 77")
def _(room):
    ordinary(room)
    daemon = Daemon(room)
    os.chmod(daemon.socket, 0)
    assert probe(daemon.sidecar)[0] == 77
    assert probe(daemon.socket)[0] == 77
    assert belay("backend", "conform", daemon.socket)[0] == 77


@case("an executable that was swapped is another: its path, or its content")
def _(room):
    path = room.file("p.sock")
    child, path, _ = python_backend(room)
    for change, error in (({"exe": "/bin/sh"}, "ExePathMismatch"), ({"sha256": bytes(range(32))}, "ExecutableHashMismatch"),
                          ({"boot_id": "another"}, "BootIdMismatch")):
        code, found, err = probe(write_sidecar(room, sidecar(path, pid=child.pid, **change)))
        assert code == 1 and found["error"] == "VerifyPid" and found["verify_error"] == error, (code, found, err)
        assert proved(found) == ["endpoint"], found


@case("a pid that was recycled is another process, also of the same executable")
def _(room):
    daemon = Daemon(room)
    about = json.loads(read_file(daemon.sidecar))
    about["start_ticks"] -= 1
    code, found, err = probe(write_sidecar(room, about))
    assert code == 1 and found["error"] == "VerifyPid" and found["verify_error"] == "StartTimeMismatch", (code, found, err)
    assert proved(found) == ["endpoint"] and found["answered_by"] is None, found


@case("a process that became another program is another")
def _(room):
    script = room.write("x.py", "import os, sys\nprint('ready', flush=True)\nsys.stdin.readline()\nos.execv('/bin/sleep', ['sleep', '60'])\n")
    process = subprocess.Popen([PYTHON, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    about = write_sidecar(room, sidecar(room.file("x.sock"), pid=process.pid))
    assert probe(about)[1]["error"] == "Connect"
    process.stdin.write(b"go\n")
    process.stdin.close()
    until(lambda: comm(process.pid) == "sleep", "another program")
    code, found, err = probe(about)
    assert code == 1 and found["verify_error"] == "ExePathMismatch" and "sleep" in found["why"], (code, found, err)


@case("a daemon whose executable was replaced on disk is still what it was when it began")
def _(room):
    program = room.file("daemon")
    shutil.copy(DAEMON, program)
    os.chmod(program, 0o755)
    try:
        daemon = Daemon(room, program)
    except PermissionError as error:
        raise Skip("nothing may be executed there") from error
    shutil.copy("/bin/true", program + ".new")
    os.rename(program + ".new", program)
    code, found, err = probe(daemon.sidecar)
    assert code == 0 and proved(found) == PROOFS, (code, found, err)


@case("a copied identity that another process serves is not proved")
def _(room):
    daemon = Daemon(room)
    path = room.file("p.sock")
    # Same executable as the thief: only the kernel can tell them apart.
    victim = Child(lambda tell, told: told() and 0)
    thief, _, _ = python_backend(room, pid=victim.pid)
    about = write_sidecar(room, sidecar(path, pid=victim.pid))
    for target in (about, path):
        code, found, err = probe(target)
        assert code == 1 and found["error"] == "AnotherAnswered" and err.endswith(f"-p {thief.pid}\n"), (target, code, found, err)
        assert "credentials" not in proved(found) and "nonce" in proved(found), found
        code, out, _ = belay("backend", "probe", target)
        assert code == 1 and re.search(r"^credentials +not proved +\S", out, re.M), out
    # And of a daemon whose endpoint was taken.
    os.unlink(daemon.socket)
    os.symlink(path, daemon.socket)
    code, found, err = probe(daemon.sidecar)
    assert code == 1 and found["error"] in ("IdentityMismatch", "AnotherAnswered"), (code, found, err)
    victim.say()


@case("a daemon that is stopped does not answer in time, which is said")
def _(room):
    daemon = Daemon(room)
    os.kill(daemon.pid, signal.SIGSTOP)
    for target in (daemon.sidecar, daemon.socket):
        began = time.monotonic()
        code, found, err = probe(target, "--timeout", "100ms")
        assert code == 69 and found["error"] == "Timeout" and "--timeout" in err, (code, found, err)
        assert 0.09 < time.monotonic() - began < 5, found
    os.kill(daemon.pid, signal.SIGCONT)
    assert probe(daemon.sidecar, "--timeout", "10s")[0] == 0


@case("whatever else answers is 76, each by its name")
def _(room):
    path, answers = room.file("liar.sock"), [
        (b"", "Io"), (b"\x01\x05", "Io"), (b"HTTP/1.0 400 Bad Request\r\n", "UnsupportedFramingVersion"),
        (b"\x01\xff\xff\xff\xff", "FrameTooLarge"), (b"\x01\x02\0\0\0\xff\xff", "DecodeFrame"), (b"\x01\0\0\0\0", "UnexpectedFrame")]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def lie(*_):
        for answer, _ in answers * 2:
            connection = listener.accept()[0]
            connection.recv(4096)
            connection.send(answer)
            connection.close()
    liar = Child(lie)
    about = write_sidecar(room, sidecar(path, pid=liar.pid))
    for target in (about, path):
        for answer, error in answers:
            code, found, err = probe(target)
            assert code == 76 and found["error"] == error and path in found["why"], (answer, code, found, err)
            assert "nonce" not in proved(found) and "conform" in err, (answer, found, err)


@case("probe tells apart what of an answer is wrong")
def _(room):
    for number, (fault, error, exit_code) in enumerate((("nonce", "UnexpectedFrame", 76), ("request-id", "UnexpectedFrame", 76),
                                                        ("kind", "UnexpectedFrame", 76), ("no-hash", "Identity", 76),
                                                        ("hash", "IdentityMismatch", 1))):
        child, path, _ = python_backend(room, [fault], name=f"p{number}")
        code, found, err = probe(write_sidecar(room, sidecar(path, pid=child.pid)))
        assert code == exit_code and found["error"] == error, (fault, code, found, err)
        code, found, err = probe(path)
        assert code != 0 and not found["proved"], (fault, code, found, err)


@case("a record of another endpoint than the one that was asked is not proved")
def _(room):
    _, other, _ = python_backend(room, name="q")
    child, path, _ = python_backend(room, endpoint=other)
    code, found, err = probe(path)
    assert code == 1 and found["error"] == "EndpointMismatch" and proved(found) == [], (code, found, err)
    code, found, err = probe(write_sidecar(room, sidecar(path, pid=child.pid)))
    assert code == 1 and found["error"] == "IdentityMismatch", (code, found, err)


@case("probe keeps what others wrote off the terminal")
def _(room):
    evil = "/tmp/\x1b]0;evil\x07\x9b31m"
    _, path, _ = python_backend(room, exe=evil)
    code, out, err = belay("backend", "probe", path)
    assert code == 1 and "evil" in out and not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out + err), (code, out, err)
    code, found, err = probe(path)
    assert code == 1 and found["record"]["exe"] == evil, (code, found, err)


@case("command lines that are wrong are usage, and say what is right")
def _(room):
    for arguments, word in (((), "probe"), (("prob",), "probe"), (("probe",), "SIDECAR"), (("conform",), "SOCKET"),
                            (("probe", "a", "b"), "b"), (("probe", "a", "--handoff", "b"), "--handoff"),
                            (("probe", "a", "--sidecar", "b"), "--sidecar"), (("probe", "a", "--timeout", "5"), "--timeout"),
                            (("probe", "a", "--jsn"), "--json")):
        code, out, err = belay("backend", *arguments)
        assert code == 2 and out == "" and word in err and err.startswith("belay: "), (arguments, code, out, err)
    for arguments in (("backend", "--help"), ("backend", "probe", "-h"), ("help", "backend")):
        code, out, err = belay(*arguments)
        assert code == 0 and "--sidecar FILE" in out and err == "", (arguments, code, out, err)


# --- conform ---------------------------------------------------------------------------------------------------------

def all_pass(verdicts, but=()):
    return {rule: verdict for rule, verdict in verdicts.items() if verdict != ("skip" if rule in but else "pass")} == {}


@case("our own daemon keeps every rule")
def _(room):
    daemon = Daemon(room)
    fds = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    code, verdicts, whys = conform(daemon.socket, "--handoff", daemon.handoff, "--sidecar", daemon.sidecar)
    assert code == 0 and len(verdicts) > 35 and all_pass(verdicts), (code, verdicts, whys)
    until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) == fds, "the end of all that was handed over")
    # A second time: nothing of the first one is in the way.
    code, verdicts, whys = conform(daemon.socket, "--handoff", daemon.handoff)
    assert code == 0 and all_pass(verdicts, ["probe-sidecar"]), (code, verdicts, whys)


@case("a backend of another make keeps every rule, without knowing Belay")
def _(room):
    child, path, handoff = python_backend(room)
    about = write_sidecar(room, sidecar(path, pid=child.pid))
    code, verdicts, whys = conform(path, "--handoff", handoff, "--sidecar", about, "--service", "build-cache")
    assert code == 0 and all_pass(verdicts), (code, verdicts, whys)
    code, out, err = belay("backend", "conform", path)
    assert code == 0 and err == "", (code, out, err)
    assert re.search(r"^pass +probe-nonce +\S", out, re.M) and re.search(r"^skip +handoff-accept +.*--handoff", out, re.M), out
    assert re.search(r"^\d+ passed, 0 failed, \d+ skipped$", out, re.M), out


ANSWERS = [("nonce", "probe-nonce"), ("request-id", "probe-request-id"), ("trace", "probe-trace"), ("kind", "probe-envelope"),
           ("hash", "probe-process"), ("no-hash", "probe-record")]
QUESTIONS = [("any-kind", "probe-kind"), ("any-version", "probe-version"), ("any-encoding", "probe-encoding"),
             ("short-nonce", "probe-nonce-short"), ("long-nonce", "probe-nonce-long"), ("any-framing", "framing-version"),
             ("any-protocol", "mixed-protocol"), ("no-cap", "framing-too-large"), ("one-read", "framing-byte-by-byte"),
             ("one-frame", "framing-back-to-back"), ("strict-fields", "framing-unknown-fields")]
HANDOVERS = [("ack-kind", "handoff-ack"), ("ack-token", "handoff-echo"), ("drop-client", "handoff-serve"),
             ("any-token", "handoff-mismatch"), ("no-ack", "handoff-mismatch"), ("replay", "handoff-replay"),
             ("two-fds", "handoff-two-fds"), ("file", "handoff-file"), ("listener", "handoff-listener"),
             ("datagram", "handoff-datagram"), ("keep-refused", "handoff-close"), ("keep-abandoned", "handoff-abandoned"),
             ("one-sender", "handoff-trickle")]


def breaks_exactly(room, broken, handoff=False):
    for number, (fault, rule) in enumerate(broken):
        child, path, other = python_backend(room, [fault], handoff, f"p{number}")
        code, verdicts, whys = conform(path, "--timeout", "2s", *(["--handoff", other] if handoff else []))
        failed = [name for name, verdict in verdicts.items() if verdict == "fail"]
        assert code == 1 and failed == [rule] and whys[rule], (fault, code, failed, whys)
        os.kill(child.pid, signal.SIGKILL)


@case("a backend that breaks one rule about answers fails this one")
def _(room):
    breaks_exactly(room, ANSWERS)


@case("a backend that breaks one rule about questions and frames fails this one")
def _(room):
    breaks_exactly(room, QUESTIONS)


@case("a backend that breaks one rule of hand-overs fails this one")
def _(room):
    breaks_exactly(room, HANDOVERS, True)


UNANSWERABLE = [fault for fault, _ in QUESTIONS[:7]]


@case("a backend that answers what it should not is found out however slow it is")
def _(room):
    _, path, _ = python_backend(room, ["slow", "one-probe"] + UNANSWERABLE, False)
    code, verdicts, whys = conform(path, "--timeout", "2s")
    failed = {name for name, verdict in verdicts.items() if verdict == "fail"}
    assert code == 1 and failed == {rule for _, rule in QUESTIONS[:7]}, (code, failed, whys)


@case("a backend that answers a wrong question with a refusal keeps every rule, with other bytes it does not")
def _(room):
    _, path, _ = python_backend(room, ["refuses"], False)
    code, verdicts, whys = conform(path, "--timeout", "2s")
    assert code == 0, (code, verdicts, whys)
    _, path, _ = python_backend(room, ["noise"], False, "q")
    code, verdicts, whys = conform(path, "--timeout", "2s")
    failed = {name for name, verdict in verdicts.items() if verdict == "fail"}
    # Another framing byte is the beginning of another protocol.
    expected = {rule for fault, rule in QUESTIONS[:8] if fault != "any-framing"}
    assert code == 1 and failed == expected, (code, failed, whys)


@case("what hangs up after one probe is not blamed for it")
def _(room):
    _, path, _ = python_backend(room, ["one-probe"], handoff=False)
    code, verdicts, whys = conform(path)
    assert code == 0 and verdicts["probe-many"] == verdicts["framing-back-to-back"] == "skip", (code, verdicts, whys)


@case("a record of somebody else, or of another endpoint, fails")
def _(room):
    victim = Child(lambda tell, told: told() and 0)
    _, path, _ = python_backend(room, handoff=False, pid=victim.pid)
    code, verdicts, whys = conform(path)
    assert code == 1 and [r for r, v in verdicts.items() if v == "fail"] == ["probe-sender"], (code, verdicts, whys)
    _, path, _ = python_backend(room, handoff=False, name="q", endpoint="/nowhere/at.all")
    code, verdicts, whys = conform(path)
    assert code == 1 and [r for r, v in verdicts.items() if v == "fail"] == ["probe-endpoint"], (code, verdicts, whys)
    child, path, _ = python_backend(room, handoff=False, name="r")
    about = write_sidecar(room, sidecar(path, pid=child.pid, boot_id="another"))
    code, verdicts, whys = conform(path, "--sidecar", about)
    assert code == 1 and [r for r, v in verdicts.items() if v == "fail"] == ["probe-sidecar"], (code, verdicts, whys)
    code, out, err = belay("backend", "conform", path, "--sidecar", about)
    assert code == 1 and re.search(r"^fail +probe-sidecar .*boot_id", out, re.M) and path in err, (code, out, err)


@case("conform needs somebody to look at, and a sidecar that can be read")
def _(room):
    path = room.file("nobody.sock")
    code, out, err = belay("backend", "conform", path)
    assert code == 69 and out == "" and path in err, (code, out, err)
    _, path, _ = python_backend(room, handoff=False)
    code, out, err = belay("backend", "conform", path, "--handoff", room.file("none.sock"))
    assert code == 69 and out == "" and "none.sock" in err, (code, out, err)
    code, out, err = belay("backend", "conform", path, "--sidecar", room.file("none.json"))
    assert code == 66 and out == "" and "none.json" in err, (code, out, err)


def lingering():
    """(a TCP socket whose closing takes ten minutes, its other end)"""
    listener = socket.create_server(("127.0.0.1", 0))
    slow = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    slow.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            slow.send(b"x" * 65536)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    return slow, far


def odd_backend(room, function, name="odd"):
    """The endpoint of somebody who does FUNCTION with each connection, in a process of his own."""
    path = room.file(name + ".sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)

    def run(*_):
        kept = []
        while True:
            kept.append(listener.accept()[0])
            threading.Thread(target=guard, args=(kept[-1], kept), daemon=True).start()

    def guard(connection, kept):
        with contextlib.suppress(OSError):
            function(connection, kept)
    return Child(run), path


@case("a backend that passes what takes long to close holds neither conform nor probe up")
def _(room):
    def linger(connection, kept, flags=0):
        slow, far = lingering()
        kept += [slow, far]
        connection.send(b"\x09")
        connection.sendmsg([b"z"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", slow.fileno()))], flags)
        # What travels is the last one now.
        slow.close()
    for number, flags in enumerate((0, socket.MSG_OOB)):
        _, path = odd_backend(room, lambda connection, kept, flags=flags: linger(connection, kept, flags), f"odd{number}")
        for command in ("conform", "probe"):
            began = time.monotonic()
            code, out, err = belay("backend", command, path, "--timeout", "300ms")
            assert code != 0 and time.monotonic() - began < 10, (command, code, out, err)


@case("conform asks nobody on who answers nothing")
def _(room):
    def trickle(connection, _):
        connection.sendall(b"\x01\xff\x0f\0\0")
        connection.settimeout(0.05)
        for _ in range(20):
            connection.sendall(b"a")
            time.sleep(0.05)
    for number, silent in enumerate((lambda connection, kept: None, trickle)):
        _, path = odd_backend(room, silent, f"odd{number}")
        began = time.monotonic()
        code, out, err = belay("backend", "conform", path, "--timeout", "300ms")
        assert code == 69 and "nobody answers" in err and "--timeout" in err, (code, out, err)
        assert out.count("fail") == 2 and time.monotonic() - began < 4, (out, time.monotonic() - began)
        code, verdicts, _ = conform(path, "--timeout", "300ms")
        assert code == 69 and list(verdicts.values()) == ["fail"], (code, verdicts)


@case("conform that is given another path than the backend's socket says which it is")
def _(room):
    daemon = Daemon(room)
    code, out, err = belay("backend", "conform", daemon.sidecar)
    assert code == 2 and out == "" and "sidecar" in err and daemon.socket in err, (code, out, err)
    code, out, err = belay("backend", "conform", room.write("file", "x"))
    assert code == 2 and out == "" and "no socket" in err, (code, out, err)
    code, out, err = belay("backend", "conform", daemon.handoff, "--timeout", "1s")
    assert code == 2 and "--handoff" in err, (code, out, err)
    _, _, handoff = python_backend(room)
    code, out, err = belay("backend", "conform", handoff, "--timeout", "1s")
    assert code == 2 and "--handoff" in err, (code, out, err)


@case("the object of --json is whole, whatever it has to tell")
def _(room):
    name, deep = "\x01" * 250, room.path
    here = os.open(deep, os.O_PATH)
    for _ in range(14):
        os.mkdir(name, dir_fd=here)
        here, last = os.open(name, os.O_PATH, dir_fd=here), here
        os.close(last)
        deep += "/" + name
    about = sidecar(room.file("x.sock"), pid=1 << 31, exe="/" + "\x01" * 4094, boot_id="\x02" * 127)
    with open(os.open("r.json", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=here), "w", encoding="utf-8") as file:
        json.dump(about, file)
    os.close(here)
    code, found, err = probe(deep + "/r.json")
    assert code == 1 and found["target"] == deep + "/r.json" and found["record"]["exe"] == about["exe_path"], (code, found, err)
    long = "/" + "\x01" * 100000
    code, found, err = probe(long)
    assert code == 66 and found["target"] == long, (code, err)
    missing = room.file("none.json")
    code, found, err = probe(missing)
    assert code == 66 and found["error"] == "Sidecar" and missing in found["why"] and missing in err, (code, found, err)
    assert not found["proved"] and proved(found) == [] and found["record"] is None, found


@case("a lack of descriptors of our own says nothing about the daemon")
def _(room):
    daemon = Daemon(room)
    for limit in range(3, 12):
        done = subprocess.run(["sh", "-c", f"ulimit -n {limit}; exec \"$0\" backend probe --json \"$1\"", BELAY, daemon.sidecar],
                              capture_output=True, text=True, timeout=PATIENCE, check=False, env=clean_environment())
        assert done.returncode in (0, 1, 127) and "start the daemon anew" not in done.stderr, (limit, done)
        if done.returncode == 1 and "not proved" in done.stderr:
            assert "ulimit -n" in done.stderr, (limit, done)


@case("a process that may not be looked at is 77, and its record is not called wrong")
def _(room):
    need_root()
    daemon = Daemon(room)
    about = room.write("theirs.json", read_file(daemon.sidecar))
    os.chown(about, NOBODY, NOBODY)
    os.chmod(room.path, 0o755)
    code, out, err = belay("backend", "probe", about, user=NOBODY, group=NOBODY)
    assert code == 77 and "anew" not in err and "user" in err, (code, out, err)


if __name__ == "__main__":
    main()
