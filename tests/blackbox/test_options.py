#!/usr/bin/python3
"""Options, their sources, and what is said on a terminal."""
import os
import pty
import select
import signal

from harness import *


def at_terminal(room, *arguments):
    """An observer whose standard error is a terminal, and that terminal."""
    master, slave = pty.openpty()
    observer = Observer(room, start=False, arguments=list(arguments))
    observer.process = subprocess.Popen(observer.command(), stdin=slave, stdout=slave, stderr=slave, env=clean_environment(TERM="dumb"),
                                        start_new_session=True)
    os.close(slave)
    return observer, master


def read_until(master, text, condition):
    def more():
        nonlocal text
        if select.select([master], [], [], 0)[0]:
            with contextlib.suppress(OSError):
                text += os.read(master, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
        return condition(text)
    until(more, lambda: f"something else on the terminal than {text!r}")
    return text


@case("on a terminal it says where it listens and what to do next, then a line for each transition and none for a beat")
def _(room):
    observer, master = at_terminal(room)
    text = read_until(master, "", lambda t: "--of $$" in t)
    assert observer.socket in text and ("500ms" in text or "0.5s" in text), text
    assert "belay beat demo --of $$" in text and "4096" in text, text
    observer.events.wait("observer", what="started")
    worker = Worker(observer.socket, 20)
    until(lambda: observer.rows(str(worker.pid)) and observer.rows(str(worker.pid))[0]["beats"] > 20, "beats")
    worker.tell("exit 3")
    observer.events.wait("end", pid=worker.pid)
    text = read_until(master, text, lambda t: "exited 3" in t or "ended" in t)
    about = [line for line in text.splitlines() if f"pid {worker.pid}" in line]
    assert 2 <= len(about) <= 3, about
    observer.process.send_signal(signal.SIGINT)
    observer.process.wait(PATIENCE)


@case("options take their value in the next word or behind an equals sign")
def _(room):
    for number, words in enumerate((["--capacity", "17"], ["--capacity=17"], ["--tracker-capacity", "17"])):
        observer = Observer(room, arguments=words, name=f"o{number}")
        assert ask(observer.socket, SELF)[2][0]["capacity"] == 17, words
    for number, (words, seconds) in enumerate(((["--threshold", "1500ms"], 1.5), (["--threshold-ms", "250"], 0.25),
                                               (["--threshold=2m"], 120), (["--threshold-ms=250", "--threshold=3s"], 3))):
        observer = Observer(room, threshold=None, arguments=words, name=f"t{number}")
        assert ask(observer.socket, SELF)[2][0]["threshold_s"] == seconds, words


@case("without any option the threshold is 5 seconds and the capacity 4096")
def _(room):
    observer = Observer(room, threshold=None)
    row = ask(observer.socket, SELF)[2][0]
    assert row["threshold_s"] == 5 and row["capacity"] == 4096, row


@case("values outside of their limits are refused")
def _(room):
    for words in (["--threshold=9ms"], ["--threshold=0"], ["--threshold-ms=9"], ["--threshold=-1s"], ["--threshold=5"],
                  ["--capacity=65537"], ["--capacity=0"], ["--eviction-scan-window=0"], ["--eviction-scan-window=4097"],
                  ["--uds-rcvbuf-bytes=2147483648"], ["--socket-mode=1777"], ["--socket-mode=8"], ["--clock-source=sundial"],
                  ["--tracker-eviction-policy=lax"], ["--log-format=xml"], ["--threshold"], ["--nonsense"], ["word"],
                  ["--max-beat-rate=many"], ["--threshold="]):
        observer = Observer(room, start=False, threshold=None, arguments=words)
        code, said = observer.refuse()
        assert code == 2 and said.startswith("belay"), (words, code, said)
        assert not os.path.exists(observer.socket), words


@case("a flag beats the file, and the file beats the default")
def _(room):
    config = room.write("c.conf", "[observe]\nthreshold = 7s\ncapacity = 70\n")
    observer = Observer(room, config=config, threshold=None, capacity=80)
    row = ask(observer.socket, SELF)[2][0]
    assert row["threshold_s"] == 7 and row["capacity"] == 80, row


@case("help and version are printed on standard output and end with 0")
def _(room):
    for word, text in (("--help", "--threshold"), ("-h", "--socket"), ("--version", "belay")):
        done = subprocess.run([OBSERVE, word], capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert done.returncode == 0 and text in done.stdout and done.stderr == "", (word, done)


@case("boottime as the clock works the same")
def _(room):
    room.need_tmpfs()
    observer = Observer(room, clock_source="boottime", threshold="300ms")
    silent, fine = Worker(observer.socket, 50), Worker(observer.socket, 50)
    for worker in (silent, fine):
        observer.events.wait("first-beat", pid=worker.pid)
    silent.stop()
    stall = observer.events.wait("stall", pid=silent.pid)
    assert stall["verdict"] == "stopped" and stall["silent_s"] < 5, stall
    observer.kill()
    observer.start()
    until(lambda: observer.rows(str(fine.pid))[0]["beats"] > 5, "beats")
    assert not observer.stalls(pid=fine.pid)


@case("whoever joins is collected on a tick when many beat, and nobody stalls for it")
def _(room):
    if not os.access("/proc/sys/net/unix/max_dgram_qlen", os.W_OK):
        raise Skip("the queue cannot be made longer here")
    observer = Observer(room, dgram_qlen=512, threshold="1s", max_beat_rate=0)
    workers = [Worker(observer.socket, 10) for _ in range(6)]
    until(lambda: ask(observer.socket, SELF)[2][0]["collecting"], "collecting")
    silent = Worker(observer.socket, 50)
    observer.events.wait("first-beat", pid=silent.pid)
    silent.stop()
    stall = observer.events.wait("stall", pid=silent.pid)
    assert stall["late_s"] < 0.5, stall
    assert {stall["pid"] for stall in observer.stalls()} == {silent.pid}
    for worker in workers:
        worker.tell("exit 0")
    until(lambda: not ask(observer.socket, SELF)[2][0]["collecting"], "the end of collecting")


if __name__ == "__main__":
    main()
