#!/usr/bin/python3
"""The commands from end to end: what they print, where, and how they exit."""
import os
import signal

from harness import *


def belay(*arguments, env=None, **options):
    """(exit status, stdout, stderr) of one command."""
    done = subprocess.run([BELAY, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, check=False,
                          env=clean_environment(**(env or {})), stdin=subprocess.DEVNULL, **options)
    assert done.returncode >= 0, (arguments, done.returncode, done.stderr)
    return done.returncode, done.stdout, done.stderr


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


@case("belay observe runs the observer")
def _(room):
    observer = Observer(room, start=False)
    command = [BELAY, "observe"] + observer.command()[1:]
    observer.command = lambda: command
    observer.start()
    worker = Worker(observer.socket)
    observer.events.wait("first-beat", pid=worker.pid)
    assert observer.stop() == 0


@case("status exits 0 when all are healthy, 1 when not, 3 when ended, 4 when unknown, 69 without an observer")
def _(room):
    observer = Observer(room, threshold="300ms")
    at = ("--socket", observer.socket)
    worker = Worker(observer.socket, 40, env={"BELAY_NAME": "web"})
    observer.events.wait("first-beat", pid=worker.pid)
    assert belay("status", *at)[0] == 0
    code, out, _ = belay("status", "web", *at)
    assert code == 0 and "web" in out and str(worker.pid) in out, (code, out)
    worker.stop()
    observer.events.wait("stall", pid=worker.pid)
    code, out, _ = belay("status", "web", *at)
    assert code == 1 and "stopped" in out, (code, out)
    worker.send_signal(signal.SIGKILL)
    observer.events.wait("end", pid=worker.pid)
    assert belay("status", "web", *at)[0] == 3
    assert belay("status", "nobody", *at)[0] == 4
    observer.stop()
    code, out, err = belay("status", *at)
    assert code == 69 and out == "" and observer.socket in err, (code, err)


@case("status --json prints one object a line")
def _(room):
    observer = Observer(room)
    workers = [Worker(observer.socket, env={"BELAY_NAME": f"w{i}"}) for i in range(3)]
    for worker in workers:
        observer.events.wait("first-beat", pid=worker.pid)
    code, out, _ = belay("status", "--json", "--socket", observer.socket)
    assert code == 0 and {row["pid"] for row in rows(out)} == {worker.pid for worker in workers}, out


@case("status --counters prints every counter, also as JSON")
def _(room):
    observer = Observer(room)
    Sender(observer.socket).send(b"x" * 32)
    until(lambda: observer.counter('decode_errors_total{kind="bad_magic"}') == 1, "a refusal")
    code, out, _ = belay("status", "--counters", "--socket", observer.socket)
    assert code == 0, out
    for name in observer.counters():
        assert name.split("{")[0] in out, name
    assert re.search(r'decode_errors_total\{kind="bad_magic"\}\s+1$', out, re.M), out
    code, out, _ = belay("status", "--counters", "--json", "--socket", observer.socket)
    assert code == 0 and json.loads(out)["decode_errors_total"]['kind="bad_magic"'] == 1, out


@case("status --live goes on until it is interrupted, over a change of observers")
def _(room):
    observer = Observer(room)
    worker = Worker(observer.socket, env={"BELAY_NAME": "web"})
    observer.events.wait("first-beat", pid=worker.pid)
    live = subprocess.Popen([BELAY, "status", "--live", "--socket", observer.socket], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env=clean_environment(TERM="dumb"), stdin=subprocess.DEVNULL)
    os.set_blocking(live.stdout.fileno(), False)
    text = b""

    def shows(word):
        nonlocal text
        with contextlib.suppress(BlockingIOError):
            text += os.read(live.stdout.fileno(), 65536)
        return word in text
    until(lambda: shows(b"web"), lambda: f"web in {text!r}")
    observer.stop()
    observer.start()
    text = b""
    until(lambda: shows(b"web"), lambda: f"web in {text!r}")
    live.send_signal(signal.SIGINT)
    live.wait(PATIENCE)


@case("beat counts for the shell that calls it")
def _(room):
    observer = Observer(room)
    script = room.write("job.sh", f'"{BELAY}" beat job --socket "$1" --progress 5 || exit 1\nread line\n')
    shell = subprocess.Popen(["/bin/sh", script, observer.socket], stdin=subprocess.PIPE, env=clean_environment())
    event = observer.events.wait("first-beat", pid=shell.pid)
    assert event["name"] == "job", event
    assert observer.rows("job")[0]["payload"] == 5
    shell.communicate(b"go\n")
    assert observer.events.wait("end", pid=shell.pid)["end"] in ("exited", "unknown")


@case("beat --of names an ancestor, and refuses who is none")
def _(room):
    observer = Observer(room)
    at = ("--socket", observer.socket)
    assert belay("beat", "me", "--of", os.getpid(), "--status", "degraded", *at)[0] == 0
    event = observer.events.wait("first-beat", pid=os.getpid())
    assert event["name"] == "me" and event["status"] == "degraded", event
    code, _, err = belay("beat", "init", "--of", 1, *at)
    assert code in (2, 77) and err, (code, err)
    other = subprocess.Popen(["sleep", "60"])
    code, _, err = belay("beat", "other", "--of", other.pid, *at)
    assert code == 77 and err, (code, err)


@case("beat without an observer says so in one line and exits 0, or 69 when strict")
def _(room):
    for path in (room.file("nobody.sock"), "/etc/passwd/nobody.sock"):
        code, out, err = belay("beat", "x", "--socket", path)
        assert code == 0 and out == "" and err.count("\n") == 1 and path in err, (code, err)
        code, out, err = belay("beat", "x", "--strict", "--socket", path)
        assert code == 69 and err.count("\n") == 1, (code, err)


@case("beat at an observer that hangs takes a moment, not longer")
def _(room):
    observer = Observer(room)
    os.kill(observer.gate(), signal.SIGSTOP)
    began = time.monotonic()
    code, _, err = belay("beat", "x", "--of", os.getpid(), "--socket", observer.socket)
    assert code == 0 and time.monotonic() - began < 3, (code, err)
    assert belay("beat", "x", "--strict", "--of", os.getpid(), "--socket", observer.socket)[0] == 69


@case("beat refuses bad names, statuses and numbers as usage")
def _(room):
    for arguments in (("beat", "a b"), ("beat", "x", "--status", "stall"), ("beat", "x", "--progress", "-1"),
                      ("beat", "x", "--of", "abc"), ("beat", "x", "y", "z"), ("beat", "x" * 65)):
        code, out, err = belay(*arguments, "--socket", room.file("x.sock"))
        assert code == 2 and out == "" and err, (arguments, code, err)


@case("events prints what happened, before a restart, too")
def _(room):
    observer = Observer(room, threshold="300ms")
    worker = Worker(observer.socket, 40, env={"BELAY_NAME": "web"})
    worker.stop()
    observer.events.wait("stall", pid=worker.pid)
    observer.stop()
    observer.start()
    at = ("--socket", observer.socket)
    code, out, _ = belay("events", "-n", 50, *at)
    assert code == 0 and "web" in out and "stopped" in out, out
    code, out, _ = belay("events", "-n", 50, "--json", *at)
    events = rows(out)
    assert code == 0 and any(event["event"] == "stall" for event in events), out
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert len(rows(belay("events", "-n", 1, "--json", *at)[1])) == 1
    observer.stop()
    code, out, _ = belay("events", "--events", observer.events_path, "--json", "-n", 50)
    assert code == 0 and any(event["event"] == "stall" for event in rows(out))


@case("events -f goes on with what happens, also when the observer is replaced")
def _(room):
    observer = Observer(room)
    follower = subprocess.Popen([BELAY, "events", "-f", "-n", "0", "--json", "--socket", observer.socket], stdout=subprocess.PIPE,
                                env=clean_environment(), stdin=subprocess.DEVNULL)
    os.set_blocking(follower.stdout.fileno(), False)
    told = b""

    def end_is_told():
        # It may begin to follow later than the first of these ends.
        nonlocal told
        child = beating_child(observer.socket)
        child.say("exit")
        child.wait()
        observer.events.wait("end", pid=child.pid)
        with contextlib.suppress(BlockingIOError):
            told += os.read(follower.stdout.fileno(), 65536)
        return any(json.loads(line)["event"] == "end" for line in told.split(b"\n")[:-1])
    for _ in range(2):
        until(end_is_told, "an end told by the follower")
        told = b""
        observer.stop()
        observer.start()
    follower.send_signal(signal.SIGINT)
    follower.wait(PATIENCE)


@case("a hostile name in an event does not reach the terminal")
def _(room):
    path = room.write("e.jsonl", json.dumps({
        "seq": 1, "time": "2026-01-02T03:04:05.678Z", "mono_ns": 1, "event": "stall", "name": "\x1b]0;evil\x07\x1b[31m", "uid": 0,
        "pid": 5, "start_ticks": 1, "verdict": "blocked\x1b[0m", "evidence": "in \x07futex\n\x9b", "silent_s": 5.0,
        "threshold_s": 5.0, "late_s": 0.001, "status": "ok", "nonce": 1, "origin": "kernel-attested"}) + "\n")
    code, out, err = belay("events", "--events", path, "-n", 5)
    assert code == 0 and out, (code, err)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x9b]", out), repr(out)


@case("config check finds errors with file and line, and config show says where values come from")
def _(room):
    good = room.write("good.conf", "[observe]\nthreshold = 7s\n[process web]\nexpect = 2\ncomm = web\n")
    bad = room.write("bad.conf", "[observe]\nthreshold = 7s\nthresold = 8s\n")
    assert belay("config", "check", "--config", good)[0] == 0
    code, out, err = belay("config", "check", "--config", bad)
    assert code != 0 and f"{bad}:3" in out + err and "threshold" in out + err, (code, out, err)
    code, out, _ = belay("config", "show", "--config", good, "--capacity", "99")
    assert code == 0, out
    assert re.search(rf"threshold\b.*7s.*{re.escape(good)}", out), out
    assert re.search(r"capacity\b.*99.*", out) and "default" in out, out


@case("doctor looks at a running observer, and says what is wrong without one")
def _(room):
    observer = Observer(room)
    code, out, err = belay("doctor", "--socket", observer.socket)
    assert code in (0, 1) and out, (code, out, err)
    code, out, _ = belay("doctor", "--json", "--socket", observer.socket)
    assert code in (0, 1) and isinstance(json.loads(out), dict), out
    observer.stop()
    code, out, err = belay("doctor", "--socket", observer.socket)
    assert code != 0 and observer.socket in out + err, (code, out, err)


@case("version and completion need no observer")
def _(room):
    code, out, _ = belay("version")
    assert code == 0 and out.startswith("belay "), out
    code, out, _ = belay("version", "--json")
    assert code == 0 and json.loads(out)["version"], out
    code, out, _ = belay("completion", "bash")
    assert code == 0 and subprocess.run(["bash", "-n"], input=out, text=True, check=False).returncode == 0


@case("a command or option that does not exist is usage, with the nearest one named")
def _(room):
    code, out, err = belay("stats")
    assert code == 2 and out == "" and "status" in err, (code, err)
    code, _, err = belay("status", "--jsn")
    assert code == 2 and "--json" in err, (code, err)
    assert belay()[0] == 2


@case("output that cannot be written is an error")
def _(room):
    if not os.path.exists("/dev/full"):
        raise Skip("no /dev/full")
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([BELAY, "version"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=PATIENCE)
    assert done.returncode == 1, done


@case("an answer that is no answer is 76, and a server that says nothing is 69")
def _(room):
    path = room.file("liar.sock")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(path + ".hello")
    server.listen()

    def lie(tell, told):
        for answer in (b"x", b"\0" * 16, struct.pack("=HBBiII", 0x4842, 1, 2, 0, 2**31, 0), struct.pack("=HBBiII", 0x4842, 1, 2, 0, 4, 0) + b"{{{\n",
                       struct.pack("=HBBiII", 0x4842, 1, 77, 0, 0, 0)):
            connection = server.accept()[0]
            connection.recv(4096)
            with contextlib.suppress(OSError):
                connection.send(answer)
                connection.send(struct.pack("=HBBiII", 0x4842, 1, 1, 0, 0, 0))
            connection.close()
        connection = server.accept()[0]
        told()
    liar = Child(lie)
    for number in range(5):
        code, out, err = belay("status", "--socket", path)
        assert code == 76 and out == "" and err, (number, code, out, err)
    code, _, err = belay("status", "--socket", path)
    assert code in (69, 76) and err, (code, err)
    liar.say("exit")


@case("key new makes a private key that key check takes, and never writes over one")
def _(room):
    path = room.file("web.key")
    assert belay("key", "new", path) == (0, "", "")
    text = open(path, encoding="ascii").read()
    assert re.fullmatch(r"[0-9a-f]{64}\n", text), len(text)
    assert os.stat(path).st_mode & 0o7777 == 0o600
    code, out, err = belay("key", "new", path)
    assert code == 1 and out == "" and path in err and open(path, encoding="ascii").read() == text, (code, err)
    code, other, _ = belay("key", "new")
    assert code == 0 and re.fullmatch(r"[0-9a-f]{64}\n", other) and other != text
    keys = room.write("accepted.keys", f"{text.strip()} web\n{other}")
    os.chmod(keys, 0o600)
    code, out, err = belay("key", "check", "--json", path, keys)
    assert code == 0 and err == "" and text.strip() not in out and other.strip() not in out, (code, err)
    assert [(row["keys"], row["hosts"]) for row in rows(out)] == [(1, []), (2, [{"name": "web", "keys": 1}])], out
    os.chmod(keys, 0o644)
    assert belay("key", "check", keys)[0] == 1
    assert belay("key", "check", room.file("none"))[0] == 66


if __name__ == "__main__":
    main()
