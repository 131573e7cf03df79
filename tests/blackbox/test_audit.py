#!/usr/bin/python3
"""`belay audit verify` from end to end, on logs written here from docs/records.md alone."""
import hashlib
import os

from harness import *

HEADER = "# varta-watch recovery audit v2\n"


class Log:
    """What a log of records looks like, its chain computed by hashlib."""

    def __init__(self):
        self.seq, self.chain, self.text = 0, None, HEADER

    def add(self, kind, *columns):
        self.seq += 1
        body = "\t".join(map(str, (self.seq, 1700000000000 + self.seq, self.seq * 1000, kind) + columns))
        previous = bytes(32) if self.chain is None else bytes.fromhex(self.chain)
        self.chain = hashlib.sha256(b"\0".join((b"VARTA-AUDIT-v2", kind.encode(), previous, body.encode()))).hexdigest()
        self.text += f"{body}\t{self.chain}\n"
        return self

    def boot(self, reason):
        return self.add("boot", 42, self.chain or "-", reason)

    def some(self, count):
        for i in range(count):
            self.add("spawn", 100 + i, 200 + i, "exec", "/bin/restart it", "inline", 12)
            self.add("complete", 100 + i, 200 + i, "reaped", 0, "-", 1234, 5, 6, "false")
            self.add("refused", 100 + i, "debounced")
        return self

    def rotate(self):
        """The text of the file so far; a new one begins."""
        text, self.text = self.text, HEADER
        self.boot("rotation")
        return text


def verify(*arguments):
    done = subprocess.run([BELAY, "audit", "verify", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False,
                          env=clean_environment(), stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


@case("a log of several generations is whole, and its head is the last chain")
def _(room):
    log = Log().boot("fresh").some(3)
    room.write("audit.2", log.rotate())
    log.some(2).boot("resume").some(1)
    room.write("audit.1", log.rotate())
    path = room.write("audit", log.some(1).text)
    code, out, err = verify(path)
    assert (code, err) == (0, "") and out.endswith(f"sequence 1 to {log.seq}, head {log.chain}\n"), (code, out, err)
    code, out, err = verify("--json", path)
    answer = json.loads(out)
    assert code == 0 and answer["whole"] and answer["files"] == 3 and answer["records"] == log.seq, out
    assert answer["head"] == log.chain and answer["broken"] is None and answer["torn"] is None, out


@case("a changed byte, a line that is gone and a torn end are named with file and line")
def _(room):
    log = Log().boot("fresh").some(3)
    path = room.write("audit", log.text.replace("102\t202\treaped", "102\t202\tkilled"))
    code, out, err = verify(path)
    assert code == 1 and out == "" and f"{path}, line 10: " in err and err.count("\n") == 1, (code, out, err)
    lines = log.text.splitlines(keepends=True)
    room.write("audit", "".join(lines[:4] + lines[5:]))
    code, out, err = verify("--json", path)
    broken = json.loads(out)["broken"]
    assert code == 1 and broken["file"] == path and broken["line"] == 5 and "chain" in broken["why"], out
    room.write("audit", log.text[:-20])
    code, out, err = verify("--json", path)
    answer = json.loads(out)
    assert code == 1 and answer["torn"] == {"file": path, "line": 11} and answer["records"] == log.seq - 1, out


@case("no file, what cannot be read, and a wrong command line are told apart")
def _(room):
    path = room.write("-audit", Log().boot("fresh").text)
    assert verify(path)[0] == 0
    missing = room.file("missing")
    code, out, err = verify(missing)
    assert code == 66 and out == "" and missing in err, (code, out, err)
    os.symlink(path, room.file("link"))
    assert verify(room.file("link"))[0] == 66
    assert verify(room.path)[0] == 66
    for arguments in ((), (path, path), ("--loud", path)):
        code, out, err = verify(*arguments)
        assert code == 2 and out == "" and err.count("\n") == 1, (arguments, code, out, err)
    os.chdir(room.path)
    assert verify("--", "-audit")[0] == 0
    code, out, _ = verify("--help")
    assert code == 0 and "belay audit" in out, out


if __name__ == "__main__":
    main()
