#!/usr/bin/python3
"""sealed.py - frames over UDP and their seals, made from the documents alone

ChaCha20-Poly1305 (RFC 8439), HKDF-SHA256 (RFC 5869) and the two sealed forms of VLP, in Python's own numbers and without
Belay's code; senders of such frames, and observers that hear them. Run by itself it holds all of that against the
vectors of the RFCs and of tests/vectors, as TAP.
"""
import contextlib
import hashlib
import hmac
import json
import os
import random
import signal
import socket
import struct
import sys
import threading

from harness import CRITICAL, OK, TERMINAL, Observer, frame, until

SHARED_LEN, MASTER_LEN = 60, 64
COUNTER_LAST = 2**32 - 1  # never used as a counter: the prefix is changed first


# --- ChaCha20 ------------------------------------------------------------------------------------------------------
# A row of the state, four words for each of the blocks, is one number: a word lies in the lower half of 64 bits, so
# that all of them are added and rotated at once. Words of one column lie at the same place of each row.

def _spread(words):
    return sum(word << 64 * place for place, word in enumerate(words))


def chacha20_blocks(key, counter, nonce, count):
    """COUNT blocks of the key stream, from block COUNTER on, as bytes."""
    lane = 64 * count
    low = _spread([0xFFFFFFFF] * 4 * count)
    width = 4 * lane
    whole = (1 << width) - 1
    rows = [list(struct.unpack("<4I", part)) for part in (b"expand 32-byte k", key[:16], key[16:])]
    rows.append([0, *struct.unpack("<3I", nonce)])
    start = [_spread([word for word in row for _ in range(count)]) for row in rows]
    start[3] |= _spread([(counter + block) & 0xFFFFFFFF for block in range(count)])
    a, b, c, d = start
    for half in range(20):
        a = a + b & low
        d ^= a
        d = (d << 16 | d >> 16) & low
        c = c + d & low
        b ^= c
        b = (b << 12 | b >> 20) & low
        a = a + b & low
        d ^= a
        d = (d << 8 | d >> 24) & low
        c = c + d & low
        b ^= c
        b = (b << 7 | b >> 25) & low
        # Between columns and diagonals the rows move against each other, and back.
        ahead, behind = (lane, 3 * lane) if half % 2 == 0 else (3 * lane, lane)
        b = (b >> ahead | b << width - ahead) & whole
        c = (c >> 2 * lane | c << 2 * lane) & whole
        d = (d >> behind | d << width - behind) & whole
    words = [(row + first & low).to_bytes(width // 8, "little") for row, first in zip((a, b, c, d), start)]
    return b"".join(words[n // 4][(n % 4 * count + block) * 8:][:4] for block in range(count) for n in range(16))


def _xor(data, stream):
    return (int.from_bytes(data, "little") ^ int.from_bytes(stream[:len(data)], "little")).to_bytes(len(data), "little")


def chacha20(key, counter, nonce, data):
    return _xor(data, chacha20_blocks(key, counter, nonce, max(1, -(-len(data) // 64))))


# --- Poly1305 ------------------------------------------------------------------------------------------------------

def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    value = 0
    for at in range(0, len(message), 16):
        value = (value + int.from_bytes(message[at:at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return (value + int.from_bytes(key[16:32], "little") & 2**128 - 1).to_bytes(16, "little")


def _tag(one_time_key, text, aad):
    def padded(data):
        return data + bytes(-len(data) % 16)
    return poly1305(one_time_key, padded(aad) + padded(text) + struct.pack("<QQ", len(aad), len(text)))


def aead_seal(key, nonce, plain, aad=b""):
    """Ciphertext and tag."""
    stream = chacha20_blocks(key, 0, nonce, 1 + -(-len(plain) // 64))
    text = _xor(plain, stream[64:])
    return text + _tag(stream[:32], text, aad)


def aead_open(key, nonce, sealed, aad=b""):
    """The plain text, or None."""
    stream = chacha20_blocks(key, 0, nonce, 1 + -(-(len(sealed) - 16) // 64))
    if not hmac.compare_digest(_tag(stream[:32], sealed[:-16], aad), sealed[-16:]):
        return None
    return _xor(sealed[:-16], stream[64:])


# --- derivations ---------------------------------------------------------------------------------------------------

def hkdf(secret, info, length, salt=b""):
    """HKDF-SHA256 of RFC 5869; VLP never gives a salt."""
    extracted = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    out, last = b"", b""
    while len(out) < length:
        last = hmac.new(extracted, last + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += last
    return out[:length]


def agent_key(master, pid):
    return hkdf(master, b"varta-agent-v1\0" + struct.pack("<I", pid), 32)


def epoch_key(agent, epoch):
    return hkdf(agent, b"varta-epoch-v1\0" + struct.pack("<Q", epoch), 32)


def iv_prefix(salt, index):
    return hkdf(salt, b"varta-iv-prefix-v1\0" + struct.pack("<I", index), 8)


# --- the two forms -------------------------------------------------------------------------------------------------

def seal(key, prefix, counter, plain):
    """The 60 bytes under a shared key."""
    nonce = prefix + struct.pack("<I", counter)
    return nonce + aead_seal(key, nonce, plain)


def seal_for_pid(key, pid, prefix, counter, plain):
    """The 64 bytes under KEY, which was derived from a master key for PID."""
    nonce, aad = prefix + struct.pack("<I", counter), struct.pack("<I", pid)
    return aad + nonce + aead_seal(key, nonce, plain, aad)


def unseal(key, data):
    """What is in 60 bytes, or None."""
    return aead_open(key, data[:12], data[12:]) if len(data) == SHARED_LEN else None


def unseal_for_pid(master, data):
    """What is in 64 bytes, or None."""
    if len(data) != MASTER_LEN:
        return None
    return aead_open(agent_key(master, struct.unpack("<I", data[:4])[0]), data[4:16], data[16:], data[:4])


# --- senders -------------------------------------------------------------------------------------------------------

class UdpSender:
    """Sends plain frames over UDP as the process PID of its host."""

    def __init__(self, address, pid, source=None):
        self.address, self.pid, self.nonce = address, pid, 0
        self.timestamp = 0
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        if source is not None:
            self.socket.bind(source)

    def close(self):
        self.socket.close()

    def put(self, data):
        """Sends DATA as it is; that nobody listened when the last was sent is no error here."""
        try:
            self.socket.sendto(data, self.address)
        except ConnectionRefusedError:
            self.socket.sendto(data, self.address)
        return data

    def wrap(self, plain):
        return plain

    def make(self, nonce=None, **fields):
        """The next frame as it goes on the wire, not sent."""
        if nonce is None:
            self.nonce += 1
            nonce = self.nonce
        self.timestamp = fields.setdefault("timestamp", self.timestamp + 1)
        return self.wrap(frame(nonce, **{"pid": self.pid, **fields}))

    def beat(self, nonce=None, **fields):
        """Sends one frame; returns what was on the wire."""
        return self.put(self.make(nonce, **fields))

    def last_words(self, timestamp=None, **fields):
        """Sends the frame of a crash."""
        if timestamp is not None:
            fields["timestamp"] = timestamp
        return self.beat(TERMINAL, status=CRITICAL, **fields)


class Sealer(UdpSender):
    """Sends sealed frames: a session has a salt; prefixes are counted from it, and frames within a prefix.

    With MASTER the key is a master key and the form the longer one; AS_PID is then what stands before the seal."""

    def __init__(self, address, pid, key, master=False, salt=None, source=None, as_pid=None):
        super().__init__(address, pid, source)
        self.key, self.master = key, master
        self.as_pid = pid if as_pid is None else as_pid
        self.derived = agent_key(key, self.as_pid) if master else key
        self.session(salt)

    def session(self, salt=None):
        """Begins another session: another salt, everything from the start but the nonce."""
        self.salt = os.urandom(16) if salt is None else salt
        self.rotate(0)

    def rotate(self, index=None):
        """Goes on with the next prefix, or that with INDEX."""
        self.index = self.index + 1 if index is None else index
        self.prefix, self.counter = iv_prefix(self.salt, self.index), 0

    def restart(self):
        """What a process does that is started again with the same pid."""
        self.nonce = self.timestamp = 0
        self.session()

    def wrap(self, plain):
        if self.counter == COUNTER_LAST:
            self.rotate()
        if self.master:
            data = seal_for_pid(self.derived, self.as_pid, self.prefix, self.counter, plain)
        else:
            data = seal(self.key, self.prefix, self.counter, plain)
        self.counter += 1
        return data


# --- observers that hear them --------------------------------------------------------------------------------------

def free_port(bind="127.0.0.1"):
    """A UDP port that nobody has: below those that the kernel gives to sockets that ask for none."""
    while True:
        port = random.randrange(12000, 30000)
        with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET, socket.SOCK_DGRAM)) as probe:
            with contextlib.suppress(OSError):
                probe.bind((bind, port))
                return port


def key_lines(*lines):
    """The text of a file of keys: each line a key, or (key, host)."""
    return "".join(line.hex() + "\n" if isinstance(line, bytes) else f"{line[0].hex()} {line[1]}\n" for line in lines)


def far(room, start=True, bind="127.0.0.1", key=None, accepted=None, master=None, arguments=(), **options):
    """An observer that hears beats from other hosts at `observer.udp`; without any key, plain ones. KEY is a key or (key,
    host), MASTER that or a list of such. One process may beat as often as it likes."""
    arguments = list(arguments)
    for name, keys in (("key_file", key and [key]), ("accepted_key_file", accepted), ("master_key_file", master if isinstance(master, list) else master and [master])):
        if keys:
            options[name] = room.write(name.replace("_file", ".keys"), key_lines(*keys))
    if not (key or accepted or master):
        arguments.append("--i-accept-plaintext-udp")
    port = free_port(bind)
    options.setdefault("udp_bind_addr", bind)
    options.setdefault("max_beat_rate", 0)
    observer = Observer(room, start=start, arguments=arguments, udp_port=port, **options)
    observer.udp = (bind, port)
    return observer


def row(observer, host, pid, state=None):
    """The row of the process PID of HOST, or None; with STATE only in that state."""
    for found in observer.rows():
        if found.get("host") == host and found.get("pid") == pid and found["state"] not in ("ended", "missing"):
            return found if state in (None, found["state"]) else None
    return None


def beats(observer, host, pid):
    found = row(observer, host, pid)
    return found["beats"] if found else 0


def wait_beats(observer, host, pid, count):
    """Waits until COUNT beats of that process were accepted, and sees that there are not more."""
    until(lambda: beats(observer, host, pid) >= count, lambda: f"{count} beats of {host}/{pid}; there are {beats(observer, host, pid)}; "
          f"counters: { {k: v for k, v in observer.counters().items() if v} }")
    found = row(observer, host, pid)
    assert found["beats"] == count, found
    return found


def wait_counter(observer, name, count):
    """Waits until the counter is COUNT, and sees that it is not more."""
    until(lambda: observer.counter(name) >= count, lambda: f"{name} = {count}; it is {observer.counter(name)}")
    assert observer.counter(name) == count, (name, observer.counter(name), count)


FAILURES, REPLAYS, FULL = "frame_decrypt_failures_total", "secure_replay_refused_total", "sender_state_full_total"
ATTEMPTS, TRUNCATED = "secure_aead_attempts_total", "truncated_datagrams_total"


def reload(observer):
    """Sends SIGHUP and waits until it was obeyed."""
    mark = observer.events.mark()
    observer.process.send_signal(signal.SIGHUP)
    return observer.events.wait("observer", since=mark, what="reloaded")


class Steady:
    """Threads that let senders beat every INTERVAL seconds until they are told to stop."""

    def __init__(self, *senders, interval=0.05):
        self.senders, self.interval, self.wire = senders, interval, []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            for sender in self.senders:
                self.wire.append(sender.beat())
            self.over.wait(self.interval)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


# --- proof ---------------------------------------------------------------------------------------------------------

def _rfc_vectors():
    """(what, ours, theirs)"""
    key, text = bytes(range(32)), (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
                                   b"the future, sunscreen would be it.")
    yield ("the block function of RFC 8439, 2.3.2", chacha20_blocks(key, 1, bytes.fromhex("000000090000004a00000000"), 1),
           bytes.fromhex("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
                         "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"))
    yield ("the cipher of RFC 8439, 2.4.2", chacha20(key, 1, bytes.fromhex("000000000000004a00000000"), text)[:32],
           bytes.fromhex("6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b"))
    yield ("the tag of RFC 8439, 2.5.2",
           poly1305(bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b"),
                    b"Cryptographic Forum Research Group"), bytes.fromhex("a8061dc1305136c6c22b8baf0c0127a9"))
    sealed = aead_seal(bytes(range(0x80, 0xa0)), bytes.fromhex("070000004041424344454647"), text,
                       bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))
    yield "the tag of RFC 8439, 2.8.2", sealed[-16:], bytes.fromhex("1ae10b594f09e26a7e902ecbd0600691")
    yield ("the text of RFC 8439, 2.8.2", sealed[:32],
           bytes.fromhex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"))
    yield ("RFC 5869, case 1", hkdf(b"\x0b" * 22, bytes(range(0xf0, 0xfa)), 42, bytes(range(13))),
           bytes.fromhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"))
    yield ("RFC 5869, case 3", hkdf(b"\x0b" * 22, b"", 42),
           bytes.fromhex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"))


def _protocol_vectors(path):
    with open(path, encoding="utf-8") as file:
        rows = {row["id"]: row for row in json.load(file)["secure_frame_vectors"]}

    def data(row, name):
        return bytes.fromhex(row[name + "_hex"])
    row = rows["secure-shared-key-seal"]
    yield row["id"], seal(data(row, "key"), data(row, "iv_random"), row["iv_counter"], data(row, "plaintext")), data(row, "expected_wire")
    yield row["id"] + ", opened", unseal(data(row, "key"), data(row, "expected_wire")), data(row, "plaintext")
    row = rows["secure-master-key-seal"]
    derived = agent_key(data(row, "master_key"), row["agent_pid"])
    yield row["id"] + ", key", derived, data(row, "derived_agent_key")
    yield (row["id"], seal_for_pid(derived, row["agent_pid"], data(row, "iv_random"), row["iv_counter"], data(row, "plaintext")),
           data(row, "expected_wire"))
    yield row["id"] + ", opened", unseal_for_pid(data(row, "master_key"), data(row, "expected_wire")), data(row, "plaintext")
    row = rows["kdf-agent-key"]
    yield row["id"], agent_key(data(row, "master_key"), row["agent_id"]), data(row, "expected_okm")
    row = rows["kdf-iv-prefix"]
    yield row["id"], iv_prefix(data(row, "session_salt"), row["prefix_index"]), data(row, "expected_iv_prefix")
    row = rows["kdf-epoch-key"]
    yield row["id"], epoch_key(data(row, "agent_key"), row["epoch"]), data(row, "expected_okm")


def _own_checks():
    key = bytes(range(32))
    plain = frame(1, pid=4711, status=OK)
    for name, sender, opener in (("shared", Sealer(("127.0.0.1", 9), 4711, key), unseal),
                                 ("master", Sealer(("127.0.0.1", 9), 4711, key, master=True), unseal_for_pid)):
        data = sender.wrap(plain)
        yield f"{name}: what was sealed opens", opener(key, data), plain
        changed = [opener(key, data[:n] + bytes([data[n] ^ 1 << n % 8]) + data[n + 1:]) for n in range(len(data))]
        yield f"{name}: what was changed does not", changed, [None] * len(data)
        yield f"{name}: another key does not open it", opener(bytes(32), data), None
        yield f"{name}: counters go up", [sender.wrap(plain)[-52:-48] for _ in range(2)], [b"\1\0\0\0", b"\2\0\0\0"]
        first, sender.counter = sender.prefix, COUNTER_LAST
        data = sender.wrap(plain)
        yield f"{name}: a prefix is left before its counter is used up", (data[-60:-48], sender.prefix != first), (sender.prefix + bytes(4), True)
    # Several blocks at once are what one after the other are, also where the counter wraps.
    for at in (0, 5, 2**32 - 2):
        yield (f"blocks from {at}", chacha20_blocks(key, at, bytes(12), 4),
               b"".join(chacha20_blocks(key, (at + n) % 2**32, bytes(12), 1) for n in range(4)))


def prove():
    vectors = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "vlp-test-vectors.json")
    failed, lines = 0, []
    for what, ours, theirs in [*_rfc_vectors(), *_protocol_vectors(vectors), *_own_checks()]:
        good = ours == theirs
        failed += not good
        lines.append(f"{'ok' if good else 'not ok'} {len(lines) + 1} - {what}")
        if not good:
            lines.append(f"# ours {ours!r}, expected {theirs!r}")
    print(f"1..{sum(not line.startswith('#') for line in lines)}")
    print("\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(prove())
