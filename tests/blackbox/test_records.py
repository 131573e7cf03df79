#!/usr/bin/python3
"""The original's event file, as docs/records.md describes it. The audit log's own tests are test_audit.py and test_actions.py."""
import os
import re
import signal

from harness import *

LINE = re.compile(
    r"(\d+)\t(?:beat\t\d+\t\d+\t(?:ok|degraded|critical)\t\d+|stall\t\d+\t\d+\tstall\t-|(?:decode|io|ctrunc)\t-\t-\t-\t[^\t]+"
    r"|mismatch\t\d+\t-\t-\t(?:auth_failure|origin_conflict|namespace_conflict)|eviction\t\d+\t-\t-\t-)")


def lines_of(path):
    """The whole lines of the file and its older generations, oldest first."""
    paths = [f"{path}.{number}" for number in range(5, 0, -1)] + [path]
    text = "".join(read_file(part) for part in paths if os.path.exists(part))
    lines = text.split("\n")
    return lines[:-1]


def exporting(room, **options):
    path = os.path.join(room.path, "original.tsv")
    return path, Observer(room, export_file=path, **options)


@case("beats, silences and refusals are lines of six columns in the order of the observer's clock")
def _(room):
    path, observer = exporting(room, threshold="200ms", max_beat_rate=0)
    worker = Worker(observer.socket, 0)
    worker.do("payload 7")
    worker.do("status 1")
    worker.do("beat")
    observer.events.wait("stall", pid=worker.pid)
    sender = Sender(observer.socket)
    sender.send(b"XX" + frame(1)[2:])
    sender.send(frame(1, pid=worker.pid))
    until(lambda: any("\tmismatch\t" in line for line in lines_of(path)), lambda: read_file(path))
    lines = lines_of(path)
    assert all(LINE.fullmatch(line) for line in lines), lines
    assert any(re.fullmatch(rf"\d+\tbeat\t{worker.pid}\t\d+\tdegraded\t7", line) for line in lines), lines
    assert any(re.fullmatch(rf"\d+\tstall\t{worker.pid}\t\d+\tstall\t-", line) for line in lines), lines
    assert any(line.endswith("\tdecode\t-\t-\t-\tBadMagic") for line in lines), lines
    assert any(line.endswith(f"\tmismatch\t{worker.pid}\t-\t-\tauth_failure") for line in lines), lines
    clock = [int(line.split("\t")[0]) for line in lines]
    assert clock == sorted(clock), clock
    assert os.stat(path).st_mode & 0o777 == 0o600


@case("a full file becomes an older generation, five are kept, and no line is cut")
def _(room):
    path, observer = exporting(room, threshold="30s", export_file_max_bytes=4096, export_file_sync_every=1, max_beat_rate=0)
    worker = Worker(observer.socket, 2)
    until(lambda: os.path.exists(path + ".5"), "five generations", 40)
    worker.do("interval 0")
    observer.stop()
    assert not os.path.exists(path + ".6")
    for number in range(1, 6):
        assert 4096 <= os.stat(f"{path}.{number}").st_size < 4096 + 256
    lines = lines_of(path)
    assert all(LINE.fullmatch(line) for line in lines), lines[:3]
    nonces = [int(line.split("\t")[3]) for line in lines if "\tbeat\t" in line]
    assert nonces == list(range(nonces[0], nonces[0] + len(nonces))), "a line was lost between two files"


@case("the next observer and the next gate go on in the same file")
def _(room):
    path, observer = exporting(room, threshold="10s")
    worker = Worker(observer.socket, 20)
    until(lambda: lines_of(path), "the first lines")
    os.kill(observer.gate(), signal.SIGKILL)
    observer.events.wait("observer", what="role-restarted")
    before = len(lines_of(path))
    until(lambda: len(lines_of(path)) > before, "lines of the next gate")
    observer.stop()
    with open(path, "a", encoding="ascii") as file:
        file.write("123\tbeat\t4")  # torn, as by a crash
    before = len(lines_of(path))
    observer.start()
    until(lambda: len(lines_of(path)) > before, "lines of the next observer")
    assert alive(worker.pid)
    assert all(LINE.fullmatch(line) for line in lines_of(path)), lines_of(path)


@case("after SIGHUP both records go on in new files where the old ones were moved away")
def _(room):
    audit = os.path.join(room.path, "audit.log")
    path, observer = exporting(room, recovery_audit_file=audit, on_stall="report", threshold="30s")
    Worker(observer.socket, 20)
    until(lambda: lines_of(path) and os.path.exists(audit), "both files")
    for file in (path, audit):
        os.rename(file, file + ".away")
    observer.process.send_signal(signal.SIGHUP)
    until(lambda: lines_of(path), "lines in the new file")
    until(lambda: "boot" in read_file(audit), "the new audit log's first record")
    assert all(LINE.fullmatch(line) for line in lines_of(path) + lines_of(path + ".away"))
    assert belay("audit", "verify", audit)[0] == 0 and belay("audit", "verify", audit + ".away")[0] == 0


@case("a file that others could have planted is refused")
def _(room):
    path = os.path.join(room.path, "original.tsv")
    other = os.path.join(room.path, "other")
    for plant in (lambda: os.symlink(other, path), lambda: os.mkfifo(path, 0o600),
                  lambda: (open(path, "w", encoding="ascii").close(), os.chmod(path, 0o666))):
        plant()
        code, said = Observer(room, start=False, export_file=path).refuse()
        assert code in (1, 77) and "original.tsv" in said, (code, said)
        os.unlink(path)


if __name__ == "__main__":
    main()
