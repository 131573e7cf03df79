#!/usr/bin/python3
"""What the options about beats of other hosts demand of each other, what is said at the start, and keys that change."""
import os
import signal

from harness import *
from sealed import *

KEY, OTHER, MASTER = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
SECURE = "--secure-udp-i-accept-recovery-on-unauthenticated-transport"
PLAINTEXT = "--plaintext-udp-i-accept-recovery-on-unauthenticated-transport"


def key_file(room, name="k.keys", *lines):
    return room.write(name, key_lines(*(lines or (KEY,))))


@case("each gate is an error with exit code 2 that names the flag and leaves nothing behind")
def _(room):
    key, port = f"--key-file={key_file(room)}", f"--udp-port={free_port()}"
    config = room.write("c.conf", "[process web]\nhost = web*\non-stall = report, command /bin/true\n")
    for number, (words, wanted) in enumerate((
            (["--udp-bind-addr=127.0.0.1"], "--udp-port"),
            ([key, port, "--udp-bind-addr=localhost"], "no IP address"),
            ([port], "--i-accept-plaintext-udp"),
            ([port, "--i-accept-secure-udp-non-loopback"], "--i-accept-plaintext-udp"),
            ([port, key, "--udp-bind-addr=0.0.0.0"], "--i-accept-secure-udp-non-loopback"),
            ([port, key, "--udp-bind-addr=::", "--i-accept-plaintext-udp"], "--i-accept-secure-udp-non-loopback"),
            ([port, key, "--recovery-exec=/bin/true"], SECURE),
            ([port, key, "--recovery-exec=/bin/true", PLAINTEXT], SECURE),
            ([port, key, "--on-stall=report, command /bin/true"], SECURE),
            ([port, key, "--on-exit=/bin/true"], SECURE),
            ([port, key, f"--config={config}"], SECURE),
            ([port, "--i-accept-plaintext-udp", "--recovery-exec=/bin/true"], PLAINTEXT),
            ([port, "--i-accept-plaintext-udp", "--recovery-exec=/bin/true", SECURE], PLAINTEXT),
            (["--udp-port=65536"], "65535"),
            (["--sealed-senders=0"], "--sealed-senders"),
            (["--sealed-senders=65537"], "--sealed-senders"),
            (["--user=no-such-user-here"], "--user"))):
        observer = Observer(room, start=False, arguments=words, name=f"g{number}")
        code, said = observer.refuse()
        assert code == 2 and wanted in said and said.count("\n") == 1, (words, code, said)
        assert not os.path.exists(observer.socket) and not os.path.exists(observer.socket + ".crash"), words


@case("flags of the original that took secrets from the environment are gone, and say what to use")
def _(room):
    for number, (words, wanted) in enumerate(((["--key-env", "K"], "--key-file"), (["--master-key-env=K"], "--master-key-file"),
                                               (["--accepted-key-env=K"], "--accepted-key-file"))):
        code, said = Observer(room, start=False, arguments=words, name=f"r{number}").refuse()
        assert code == 2 and wanted in said and "unknown" not in said, (words, code, said)
    config = room.write("c.conf", "[observe]\nkey-env = K\n")
    code, said = Observer(room, start=False, config=config).refuse()
    assert code == 2 and f"{config}:2" in said and "--key-file" in said, (code, said)


@case("files that hold no keys are refused by name, and nothing of them is said")
def _(room):
    port, good = free_port(), key_file(room)
    link = room.file("link")
    os.symlink(good, link)
    for number, (option, path, code, wanted) in enumerate((
            ("key_file", room.file("absent"), 1, "absent"),
            ("key_file", link, 1, "link"),
            ("key_file", room.write("open", KEY.hex(), 0o644), 77, "chmod 600"),
            ("key_file", room.write("short", KEY.hex()[:-1]), 2, "line 1"),
            ("key_file", room.write("empty", ""), 2, "belay key new"),
            ("key_file", room.write("several", key_lines(KEY, OTHER)), 2, "--accepted-key-file"),
            ("key_file", room.write("reserved", key_lines((KEY, "key7"))), 2, "no host can be called"),
            ("master_key_file", room.write("long", KEY.hex() + OTHER.hex()), 2, "line 1"),
            ("accepted_key_file", room.write("name", f"# two\n{KEY.hex()} a/b\n"), 2, "line 2"),
            ("accepted_key_file", room.write("none", "# nothing\n"), 2, "none"),
            ("accepted_key_file", room.write("twice", key_lines((KEY, "a"), (OTHER, "b"), (KEY, "c"))), 2, "twice"))):
        observer = Observer(room, start=False, udp_port=port, name=f"f{number}", **{option: path})
        got, said = observer.refuse()
        assert got == code and wanted in said, (option, path, got, said)
        assert KEY.hex()[:16] not in said, said
    got, said = Observer(room, start=False, udp_port=port, key_file=good, accepted_key_file=good).refuse()
    assert got == 2 and f"key 1 of {good}" in said, (got, said)


@case("the address by default is loopback with keys and any without")
def _(room):
    for number, (words, wanted) in enumerate((([f"--key-file={key_file(room)}"], "127.0.0.1"),
                                              (["--i-accept-plaintext-udp"], "0.0.0.0"))):
        port = free_port()
        observer = Observer(room, arguments=words, udp_port=port, name=f"d{number}")
        assert f"beats over UDP at {wanted}:{port}, " in observer.log(), observer.log()
        assert ask(observer.socket, SELF)[2][0]["udp"]["address"] == f"{wanted}:{port}"


@case("a port that is taken is an error that names it")
def _(room):
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        code, said = Observer(room, start=False, udp_port=port, key_file=key_file(room)).refuse()
    assert code == 1 and "--udp-port" in said and str(port) in said, (code, said)


@case("who opens a way in is warned at the start, and who does not is not")
def _(room):
    key = f"--key-file={key_file(room)}"
    far_words = ["--udp-bind-addr=0.0.0.0", "--i-accept-secure-udp-non-loopback"]
    warnings = ("WITHOUT authentication", "other hosts can reach UDP", "can lead to commands", "of no use without --udp-port")
    for number, (words, port, wanted) in enumerate((
            ([], False, ()),
            ([key], False, (3,)),
            ([key], True, ()),
            ([key] + far_words, True, (1,)),
            ([key, SECURE, "--recovery-exec=/bin/true"], True, (2,)),
            (["--i-accept-plaintext-udp"], True, (0,)),
            (["--i-accept-plaintext-udp", PLAINTEXT, "--on-exit=/bin/true"], True, (0, 2)))):
        options = {"udp_port": free_port()} if port else {}
        observer = Observer(room, arguments=words, name=f"w{number}", **options)
        until(lambda: all(warnings[i] in observer.log() for i in wanted), lambda: f"warnings {wanted}: {observer.log()}")
        for i, warning in enumerate(warnings):
            assert (warning in observer.log()) == (i in wanted), (words, warning, observer.log())
        observer.stop()


@case("no socket for UDP is opened when none is wanted")
def _(room):
    observer = Observer(room)
    assert ask(observer.socket, SELF)[2][0]["udp"] is None
    assert "over UDP" not in observer.log()


@case("signals of ladders and commands of rules about this host need nobody to vouch for UDP")
def _(room):
    config = room.write("c.conf", "[process web]\non-stall = report, command /bin/true\n")
    observer = far(room, key=KEY, on_stall="report, term 10s, kill", config=config)
    assert "can lead to commands" not in observer.log()


@case("SIGHUP puts other keys in force, and both count while both are there")
def _(room):
    observer = far(room, accepted=[(KEY, "web")])
    old, new = Sealer(observer.udp, 11, KEY), Sealer(observer.udp, 12, OTHER)
    old.beat()
    wait_beats(observer, "web", 11, 1)
    new.beat()
    wait_counter(observer, FAILURES, 1)
    room.write("accepted_key.keys", key_lines((OTHER, "web"), (KEY, "web")))
    assert "keys: 2 read again" in reload(observer)["text"]
    old.beat()
    new.beat()
    wait_beats(observer, "web", 11, 2)
    wait_beats(observer, "web", 12, 1)
    room.write("accepted_key.keys", key_lines((OTHER, "web")))
    assert "keys: 1 read again" in reload(observer)["text"]
    assert ask(observer.socket, SELF)[2][0]["udp"]["keys"] == 1
    old.beat()
    new.beat()
    wait_beats(observer, "web", 12, 2)
    wait_counter(observer, FAILURES, 2)
    attempts = observer.counter(ATTEMPTS)
    until(lambda: f"belay_{FAILURES} 2\n" in (text := belay("metrics", "--socket", observer.socket)[1]) and
          f"belay_{ATTEMPTS} {attempts}\n" in text, "both counters in the metrics")


@case("keys that cannot be read at SIGHUP leave those in force, and that is said")
def _(room):
    observer = far(room, key=KEY)
    sender = Sealer(observer.udp, 11, KEY)
    sender.beat()
    wait_beats(observer, "key0", 11, 1)
    path = observer.options["key_file"]
    for count, spoil in enumerate((lambda: os.chmod(path, 0o644), lambda: room.write("key.keys", "no key"), lambda: os.unlink(path))):
        mark = observer.events.mark()
        spoil()
        assert "read again" not in reload(observer)["text"]
        text = observer.events.wait("observer", since=mark, what="keys-kept")["text"]
        assert path in text and "stay" in text, text
        until(lambda: text in observer.log(), "a line in the log")
        sender.beat()
        wait_beats(observer, "key0", 11, count + 2)
        if os.path.exists(path):
            os.chmod(path, 0o600)
    assert observer.counter(FAILURES) == 0


@case("a new gate reads the keys, and without them lets nothing in until they are mended")
def _(room):
    observer = far(room, key=KEY)
    sender = Sealer(observer.udp, 11, KEY)
    sender.beat()
    wait_beats(observer, "key0", 11, 1)
    observer.replace_role("gate")
    sender.beat()
    until(lambda: beats(observer, "key0", 11) > 0, "a beat at the new gate")

    path, mark = observer.options["key_file"], observer.events.mark()
    os.rename(path, path + ".away")
    observer.replace_role("gate")
    text = observer.events.wait("observer", since=mark, what="keys-missing")["text"]
    assert path in text, text
    before = beats(observer, "key0", 11)
    # Neither what is sealed nor what is plain gets in.
    sender.beat()
    UdpSender(observer.udp, 12).beat()
    wait_counter(observer, FAILURES, 1)
    wait_counter(observer, TRUNCATED, 1)
    assert beats(observer, "key0", 11) == before and row(observer, "udp", 12) is None
    reload(observer)
    observer.events.wait("observer", since=mark, what="keys-missing", count=2)
    os.rename(path + ".away", path)
    reload(observer)
    sender.beat()
    until(lambda: beats(observer, "key0", 11) > before, "a beat")


@case("names for which there are no numbers change nothing, and it is said why")
def _(room):
    def keys_of(turn):
        return [(hashlib.sha256(b"%d %d" % (turn, n)).digest(), f"host-{turn}-{n}") for n in range(500)]
    observer = far(room, accepted=keys_of(0))
    room.write("accepted_key.keys", key_lines(*keys_of(1)))
    mark = observer.events.mark()
    reload(observer)
    text = observer.events.wait("observer", since=mark, what="keys-kept")["text"]
    assert "511" in text and "last hour" in text, text
    Sealer(observer.udp, 11, keys_of(0)[499][0]).beat()
    wait_beats(observer, "host-0-499", 11, 1)


@case("as many keys as there may be reach the gate, with as many rules")
def _(room):
    keys = [hashlib.sha256(bytes([n & 255, n >> 8])).digest() for n in range(511)]
    config = room.write("c.conf", "".join(f"[process r{n}]\ncomm = none-{n}\n" for n in range(64)))
    observer = far(room, accepted=[(keys[0], "web"), *keys[1:-1], (keys[-1], "web")], master=MASTER, config=config)
    assert "512 keys" in observer.log(), observer.log()
    Sealer(observer.udp, 11, keys[-1]).beat()
    Sealer(observer.udp, 12, MASTER, master=True).beat()
    wait_beats(observer, "web", 11, 1)
    wait_beats(observer, "master", 12, 1)
    for _ in range(2):
        assert "512 read again" in reload(observer)["text"]
    observer.replace_role("gate")
    Sealer(observer.udp, 13, keys[0]).beat()
    wait_beats(observer, "web", 13, 1)


@case("from sealed to plain beats, to another port and to another voucher it takes a restart")
def _(room):
    key = key_file(room)
    config = room.write("c.conf", f"[observe]\nkey-file = {key}\nudp-port = {free_port()}\n")
    observer = Observer(room, config=config)
    udp = ask(observer.socket, SELF)[2][0]["udp"]
    room.write("c.conf", f"[observe]\ni-accept-plaintext-udp = yes\nudp-port = {free_port()}\nsealed-senders = 7\n"
               f"{SECURE[2:]} = yes\n{PLAINTEXT[2:]} = yes\non-stall = command /bin/true\n")
    said = [part.strip() for part in reload(observer)["text"].split(";")]
    for name in ("udp-port", "sealed-senders", SECURE[2:], PLAINTEXT[2:]):
        assert f"{name}: needs a restart" in said, (name, said)
    assert any(part.startswith("key-file:") and part.endswith("needs a restart") for part in said), said
    assert ask(observer.socket, SELF)[2][0]["udp"] == udp


@case("the directory of crash notes is private, lives as long as the observer, and is swept")
def _(room):
    observer = Observer(room, start=False)
    crashes = observer.socket + ".crash"
    os.mkdir(crashes, 0o700)
    room.write(os.path.join(crashes, "99999999"), "")
    room.write(os.path.join(crashes, "old"), "stale")
    observer.start()
    status = os.stat(crashes)
    assert stat.S_IMODE(status.st_mode) == 0o700 and status.st_uid == os.geteuid(), status
    assert os.listdir(crashes) == []
    observer.stop()
    assert not os.path.exists(crashes)


@case("without a directory of its own the observer starts and says that no crash notes are kept")
def _(room):
    observer = Observer(room, start=False)
    os.symlink(room.path, observer.socket + ".crash")
    observer.start()
    assert "no crash notes are kept" in observer.log(), observer.log()


@case("keys stand in no argument, no environment and no log, and only the gate keeps them")
def _(room):
    observer = far(room, key=KEY, accepted=[(OTHER, "web")])
    Sealer(observer.udp, 11, KEY).beat()
    wait_beats(observer, "key0", 11, 1)
    reload(observer)
    for pid in [observer.pid, *children_of(observer.pid)]:
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                text = file.read()
            assert KEY not in text and KEY.hex().encode() not in text, (pid, name)
    assert holds(os.getpid(), KEY)  # that it would be found
    assert KEY.hex() not in observer.log() and OTHER.hex() not in observer.log()
    for pid in [observer.pid, *(pid for pid in children_of(observer.pid) if comm(pid) != "belay-gate")]:
        assert not holds(pid, KEY) and not holds(pid, KEY.hex().encode()), comm(pid)


def holds(pid, secret):
    """Whether SECRET is in what PID can write; nothing is known of a process that may not be read."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                bounds, rights = line.split()[:2]
                if not rights.startswith("rw"):
                    continue
                low, high = (int(word, 16) for word in bounds.split("-"))
                if high - low > 1 << 30:  # a sanitizer's own
                    continue
                with contextlib.suppress(OSError, ValueError):
                    memory.seek(low)
                    if secret in memory.read(high - low):
                        return True
    except OSError:
        return False
    return False


if __name__ == "__main__":
    main()
