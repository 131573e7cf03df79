#!/usr/bin/python3
"""The messages of broker v1: what Belay reads and writes, held against the protobuf library's reading of the same bytes.

The library follows the reference's decoder but in five classes of bytes, which the reference refuses and the library does
not; Belay must refuse them as well. In a sixth, keys and lengths of six to ten bytes, it is the library that refuses; it is
given the same bytes with short ones. A scanner of our own finds them, and they are counted by name.
"""
import random

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from broker_codec import *
from harness import *

DUMP = os.environ.get("BELAY_BROKER_DUMP", "")
# In the order of broker_dump.c.
TYPES = (pb.Frame, pb.Hello, pb.HelloReply, pb.Negotiated, pb.Refused, pb.HandoffOffer, pb.HandoffAck, pb.Endpoint,
         pb.DaemonProcess, pb.AdminRequest, pb.AdminReply, pb.ServiceDefinition, pb.CacheManifest, pb.CacheRoot,
         pb.LifecycleEvent)
SEED = 20261121
TALK = os.dup(1)  # a case's own output is shown only when it fails, counts always are
U64 = 2**64 - 1


def ask(records):
    """What Belay says to each (type, bytes)."""
    data = b"".join(struct.pack("<BI", TYPES.index(kind), len(body)) + body for kind, body in records)
    done = subprocess.run([DUMP], input=data, stdout=subprocess.PIPE, check=True)
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(records), (len(lines), len(records))
    return lines


# --- what the library reads -----------------------------------------------------------------------------------------

def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def show_value(field, value):
    if field.type == FieldDescriptor.TYPE_STRING:
        return "x" + value.encode().hex()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "x" + value.hex()
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return "{" + show(value) + "}"
    return str(int(value))


def show(message):
    """As broker_dump.c shows it, but for maps, which have no order: see in_order()."""
    text = ""
    for field, value in sorted(message.ListFields(), key=lambda pair: pair[0].number):
        if is_map(field):
            entries = (((1, name), (2, said)) for name, said in value.items())
            shown = "<" + ",".join("{" + "".join(f"{number}:x{part.encode().hex()};" for number, part in entry if part) + "}"
                                   for entry in entries) + ">"
        elif field.label == FieldDescriptor.LABEL_REPEATED:
            shown = "[" + ",".join(show_value(field, one) for one in value) + "]"
        else:
            shown = show_value(field, value)
        text += f"{field.number}:{shown};"
    return text


def last_wins(entries):
    """The entries of a map as they were written: of equal keys the last counts."""
    found = {}
    for entry in entries:
        name = re.match(r"\{1:(x[0-9a-f]*);", entry)
        found[name.group(1) if name else "x"] = entry
    return sorted(found.values())


def in_order(shown):
    """SHOWN with each of its maps in the order of its keys and without what was overwritten."""
    return re.sub(r"<([^>]*)>", lambda found: "<" + ",".join(last_wins(found.group(1).split(","))) + ">", shown)


def written(message):
    """The bytes that a peer of today writes for MESSAGE: by number, but the old hash of a DaemonProcess behind all."""
    fields = split(message.SerializeToString(deterministic=True))
    if isinstance(message, pb.DaemonProcess):
        fields.sort(key=lambda field: field[0] == 3)
    if isinstance(message, pb.CacheManifest):
        fields = [(number, wire_type, written(message.current_daemon) if number == 20 else value)
                  for number, wire_type, value in fields]
    return join(fields)


# --- the scanner ----------------------------------------------------------------------------------------------------

class Differs(Exception):
    """These bytes belong to a class in which the library is no judge: the reference refuses them."""


class Broken(Exception):
    """These are no fields at all; both see that."""


WIRE_TYPES = {FieldDescriptor.TYPE_STRING: BYTES, FieldDescriptor.TYPE_BYTES: BYTES, FieldDescriptor.TYPE_MESSAGE: BYTES}


def scan_varint(data, at):
    number = 0
    for place in range(10):
        if at + place >= len(data):
            raise Broken
        byte = data[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if place == 9 and byte >= 2:
                raise Differs("a tenth varint byte of 2 or more")
            return number, at + place + 1
    raise Broken


def scan_value(data, at, wire_type):
    """(the value's bytes if it has a length, where it ends)"""
    if wire_type == VARINT:
        return None, scan_varint(data, at)[1]
    if wire_type == BYTES:
        length, at = scan_varint(data, at)
        if length > len(data) - at:
            raise Broken
        return data[at:at + length], at + length
    size = {FIXED64: 8, FIXED32: 4}.get(wire_type)
    if size is None or size > len(data) - at:
        raise Broken
    return None, at + size


def scan(data, descriptor):
    """Raises Differs at the first of the classes, Broken where the bytes end or make no sense before. Returns the same with
    keys and lengths as short as they can be."""
    short, at, open_groups = b"", 0, []
    while at < len(data):
        tag, at = scan_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if tag >= 2**32:
            raise Differs("a key of more than 32 bits")
        if number == 0:
            raise Differs("field number 0")
        field = None if open_groups else descriptor.fields_by_number.get(number)
        if field is not None and wire_type <= FIXED32 and wire_type != WIRE_TYPES.get(field.type, VARINT):
            raise Differs("a wire type that the field cannot have")
        short += varint(tag)
        if wire_type == END_GROUP:
            if not open_groups or open_groups.pop() != number:
                raise Differs("an end of a group that was not begun")
        elif wire_type == GROUP:
            open_groups.append(number)
        else:
            start = at
            value, at = scan_value(data, at, wire_type)
            if field is not None and field.type == FieldDescriptor.TYPE_MESSAGE:
                value = scan(value, field.message_type)
            short += data[start:at] if value is None else varint(len(value)) + value
    if open_groups:
        raise Broken
    return short


# --- the comparison -------------------------------------------------------------------------------------------------

def judge(kind, body, line):
    """Compares what both made of BODY. The class in which it was not comparable, or "accepted" or "refused"."""
    context = (kind.DESCRIPTOR.name, body.hex(), line)
    verdict = "accepted"
    try:
        short = scan(body, kind.DESCRIPTOR)
        if refuses(kind, body) and not refuses(kind, short):
            body, verdict = short, "a key or a length of more than five bytes"
    except Differs as difference:
        assert line == "error", ("must be refused: " + str(difference), context)
        return str(difference)
    except Broken:
        pass
    try:
        message = kind.FromString(body)
    except DecodeError:
        assert line == "error", ("only the library refuses", context)
        return "refused"
    assert line != "error", ("only Belay refuses", context)
    shown, _, again = line.partition(" ")
    assert in_order(shown) == in_order(show(message)), (show(message), context)
    # What Belay wrote means the same, and without a map of several entries it is the same byte by byte.
    again = bytes.fromhex(again)
    assert in_order(show(kind.FromString(again))) == in_order(show(message)), (again.hex(), context)
    if not has_map(message):
        message.DiscardUnknownFields()
        assert again == written(message), (written(message).hex(), context)
    return verdict


def refuses(kind, body):
    try:
        kind.FromString(body)
    except DecodeError:
        return True
    return False


def has_map(message):
    return any(is_map(field) and value or field.type == FieldDescriptor.TYPE_MESSAGE and not is_map(field) and
               any(has_map(one) for one in (value if field.label == FieldDescriptor.LABEL_REPEATED else [value]))
               for field, value in message.ListFields())


@contextlib.contextmanager
def quiet_library():
    """The library writes a line to standard error for each text that is no UTF-8."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def compare(records, wanted=()):
    counts = {}
    lines = ask(records)
    with quiet_library():
        for (kind, body), line in zip(records, lines):
            verdict = judge(kind, body, line)
            counts[verdict] = counts.get(verdict, 0) + 1
    shown = ", ".join(f"{verdict}: {count}" for verdict, count in sorted(counts.items()))
    os.write(TALK, f"# {len(records)} messages, {shown}\n".encode())
    for verdict in wanted:
        assert counts.get(verdict, 0) > 0, f"nothing was tried that is {verdict}"
    return counts


# --- messages and their mutations -----------------------------------------------------------------------------------

def number_of(rng, field):
    bits = {FieldDescriptor.TYPE_UINT32: 32, FieldDescriptor.TYPE_UINT64: 64, FieldDescriptor.TYPE_BOOL: 1}.get(field.type, 31)
    number = rng.choice((0, 1, 2**bits - 1, rng.getrandbits(rng.randint(1, bits))))
    return -number if field.type == FieldDescriptor.TYPE_ENUM and rng.random() < 0.1 else number


def text_of(rng):
    return "".join(rng.choice("ab/-.01 \x00\x7fé€😀") for _ in range(rng.choice((0, 1, 3, 8, 20, 130))))


def fill(rng, message, share=0.6):
    """Sets about SHARE of the fields of MESSAGE."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() > share:
            continue
        if is_map(field):
            for _ in range(rng.randint(1, 3)):
                getattr(message, field.name)[text_of(rng)] = text_of(rng)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and field.label == FieldDescriptor.LABEL_REPEATED:
            for _ in range(rng.randint(1, 3)):
                fill(rng, getattr(message, field.name).add())
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(message, field.name).SetInParent()
            fill(rng, getattr(message, field.name))
        elif field.label == FieldDescriptor.LABEL_REPEATED:
            getattr(message, field.name).extend(text_of(rng) for _ in range(rng.randint(1, 3)))
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, text_of(rng))
        elif field.type == FieldDescriptor.TYPE_BYTES:
            setattr(message, field.name, rng.randbytes(rng.choice((0, 1, 16, 32, 200))))
        else:
            setattr(message, field.name, number_of(rng, field))
    return message


def split(body):
    """BODY as a list of (number, wire type, value as written); a length is no part of the value."""
    fields, at = [], 0
    while at < len(body):
        tag, at = scan_varint(body, at)
        start, wire_type = at, tag & 7
        value, at = scan_value(body, at, wire_type)
        fields.append((tag >> 3, wire_type, body[start:at] if value is None else value))
    return fields


def join(fields):
    return b"".join(key(number, wire_type) + (varint(len(value)) if wire_type == BYTES else b"") + value
                    for number, wire_type, value in fields)


def some_group(rng, depth):
    number = rng.choice((1, 4, 20, 2**29 - 1))
    inner = some_field(rng, depth - 1) if depth > 0 and rng.random() < 0.7 else b""
    end = number if rng.random() < 0.9 else number + 1
    return key(number, GROUP) + inner + key(end, END_GROUP)


def some_field(rng, depth=3):
    """An unknown field, or one whose number is known and whose type may be another."""
    number = rng.choice((rng.randint(1, 20), rng.randint(16, 300), 2**29 - 1))
    wire_type = rng.choice((VARINT, VARINT, FIXED64, BYTES, BYTES, GROUP, FIXED32))
    if wire_type == GROUP:
        return some_group(rng, depth)
    value = {VARINT: lambda: varint(rng.getrandbits(rng.randint(1, 64)), rng.randint(1, 10)),
             FIXED64: lambda: rng.randbytes(8), FIXED32: lambda: rng.randbytes(4),
             BYTES: lambda: varint(5) + b"hello"}[wire_type]()
    return key(number, wire_type) + value


def flip(rng, body):
    at = rng.randrange(len(body))
    return body[:at] + bytes([body[at] ^ 1 << rng.randrange(8)]) + body[at + 1:]


def replace(rng, body):
    at = rng.randrange(len(body))
    return body[:at] + rng.choice((b"\x00", b"\xff", b"\x80", b"\x01", b"\x7f", rng.randbytes(1))) + body[at + 1:]


def truncate(rng, body):
    return body[:rng.randrange(len(body))]


def insert(rng, body):
    fields = split(body)
    at = rng.randint(0, len(fields))
    return join(fields[:at]) + some_field(rng) + join(fields[at:])


def repeat(rng, body):
    fields = split(body)
    fields.insert(rng.randint(0, len(fields)), rng.choice(fields))
    return join(fields)


def reorder(rng, body):
    fields = split(body)
    rng.shuffle(fields)
    return join(fields)


def widen(rng, body):
    """A varint of more bytes than it needs, or of more bits than its field has."""
    fields = split(body)
    places = [at for at, field in enumerate(fields) if field[1] == VARINT]
    if not places:
        return insert(rng, body)
    at = rng.choice(places)
    number, wire_type, value = fields[at]
    wide = varint(scan_varint(value, 0)[0] | rng.choice((0, 0, rng.getrandbits(64))), rng.randint(1, 11))
    if rng.random() < 0.2:
        wide = b"\xff" * 9 + bytes([rng.randint(0, 3)])
    fields[at] = number, wire_type, wide
    return join(fields)


def widen_frame(rng, body):
    """A key or a length of more bytes than it needs."""
    fields = split(body)
    at = rng.randrange(len(fields))
    number, wire_type, value = fields[at]
    length = varint(len(value), rng.randint(1, 11)) if wire_type == BYTES else b""
    return join(fields[:at]) + key(number, wire_type, rng.randint(1, 11)) + length + value + join(fields[at + 1:])


def group(rng, body):
    fields = split(body)
    at = rng.randint(0, len(fields))
    return join(fields[:at]) + some_group(rng, 4) + join(fields[at:])


def glue(rng, body):
    return body + rng.choice((body, some_field(rng), body[:len(body) // 2]))


def inside(rng, body):
    """Something of the others within a field that has a length: an inner message, a map's entry, or text."""
    fields = split(body)
    places = [at for at, field in enumerate(fields) if field[1] == BYTES and field[2]]
    if not places:
        return flip(rng, body)
    at = rng.choice(places)
    number, wire_type, value = fields[at]
    try:
        value = rng.choice((flip, insert, repeat, reorder, widen, group, inside))(rng, value)
    except Broken:
        value = flip(rng, value)
    fields[at] = number, wire_type, value
    return join(fields)


MUTATIONS = (flip, replace, truncate, insert, repeat, reorder, widen, widen_frame, group, glue, inside)


def mutants(count):
    rng = random.Random(SEED)
    records = []
    while len(records) < count:
        kind = rng.choice(TYPES)
        body = fill(rng, kind()).SerializeToString(deterministic=True)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            try:
                body = rng.choice(MUTATIONS)(rng, body) if body else some_field(rng)
            except (Broken, Differs):
                body = flip(rng, body)
        records.append((kind, body))
    return records


# --- cases ----------------------------------------------------------------------------------------------------------

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TOKEN = bytes(range(16))
GOLDEN = (
    (pb.Frame(envelope_version=1, kind=1, payload_protocol=0xAD01, payload=b"\xde\xad\xbe\xef", request_id=42, payload_encoding=1,
              deadline_unix_ms=1700000000000, traceparent=TRACE, tracestate="rp=1"),
     "080110011881da022204deadbeef282a30013880d095ffbc314237" + TRACE.encode().hex() + "4a0472703d31"),
    (pb.Hello(client_min_protocol=1, client_max_protocol=3, service_name="build-cache", wanted_version="1.2.3-rc.1",
              client_version="3.0.15", client_capabilities=0x8000000000000001, auth_token=b"\1\2\3", request_id="req-0001",
              peer_pid=4242, client_lib_name="running-process", client_lib_version="3.0.15",
              peer_attestation_nonce=b"\xaa\xbb", capability_token=b"\xcc", client_keepalive_secs=30),
     "080110031a0b6275696c642d6361636865220a312e322e332d72632e312a06332e302e313530818080808080808080013a03010203"
     "42087265712d303030315092215a0f72756e6e696e672d70726f636573736206332e302e31356a02aabb7201cc781e"),
    (pb.Negotiated(negotiated_protocol=2, daemon_version="3.0.15", backend_pipe="rp-backend-7", warnings=["w1", "w2"],
                   server_capabilities=0x8000000000000001, keepalive_interval_secs=60, handle_passed_token=b"\x10\x20\x30",
                   connection_id=99),
     "08021206332e302e31351a0c72702d6261636b656e642d3722027731220277322881808080808080808001303c3a031020304063"),
    (pb.Refused(reason="version below floor", daemon_min_protocol=2, daemon_max_protocol=3, code=8, details={"floor": "2"},
                retry_after_ms=1500),
     "0a1376657273696f6e2062656c6f7720666c6f6f721002180320082a0a0a05666c6f6f7212013230dc0b"),
    (pb.HandoffOffer(handle_value=0xBEC, token=TOKEN, service_name="build-cache", correlation_id=7),
     "08ec171210000102030405060708090a0b0c0d0e0f1a0b6275696c642d63616368652007"),
    (pb.HandoffAck(token=TOKEN, accepted=True, error_detail="ok", correlation_id=7),
     "0a10000102030405060708090a0b0c0d0e0f10011a026f6b2007"),
)


@case("the golden messages are the same bytes to both and to broker v1")
def _(_room):
    records = [(type(message), bytes.fromhex(text)) for message, text in GOLDEN]
    records.append((pb.HelloReply, pb.HelloReply(negotiated=GOLDEN[2][0]).SerializeToString(deterministic=True)))
    records.append((pb.HelloReply, pb.HelloReply(refused=GOLDEN[3][0]).SerializeToString(deterministic=True)))
    # A field of the future, and the explicit zero of newer peers.
    records.append((pb.Hello, bytes.fromhex(GOLDEN[1][1] + "a80101")))
    records.append((pb.HandoffOffer, bytes.fromhex("0800" + GOLDEN[4][1][6:])))
    for message, text in GOLDEN:
        assert message.SerializeToString(deterministic=True) == bytes.fromhex(text), text
    assert compare(records) == {"accepted": len(records)}


@case("what the library writes, both read alike and Belay writes again byte by byte")
def _(_room):
    rng = random.Random(SEED)
    records = [(kind, b"") for kind in TYPES]
    for _ in range(200):
        records += [(kind, fill(rng, kind(), share).SerializeToString(deterministic=True)) for kind in TYPES for share in (0.3, 1)]
    assert compare(records) == {"accepted": len(records)}


@case("whatever is done to messages, both accept, refuse and understand them alike", limit=150)
def _(_room):
    compare(mutants(int(os.environ.get("BELAY_MUTANTS", "20000"))),
            ("accepted", "refused", "a key or a length of more than five bytes", "a key of more than 32 bits", "field number 0",
             "a wire type that the field cannot have", "an end of a group that was not begun",
             "a tenth varint byte of 2 or more"))


@case("every beginning of a message is judged alike")
def _(_room):
    rng = random.Random(SEED)
    bodies = [(type(message), message.SerializeToString(deterministic=True)) for message, _ in GOLDEN]
    bodies += [(kind, fill(rng, kind(), 1).SerializeToString(deterministic=True)) for kind in TYPES]
    compare([(kind, body[:length]) for kind, body in bodies for length in range(min(len(body), 1500))])


@case("a varint has ten bytes at most, and numbers of 32 bits take its low half")
def _(_room):
    values = (0, 1, 127, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63, U64)
    widths = [varint(value, width) for value in values for width in range(1, 13)]
    widths += [b"\xff" * 9 + bytes([last]) for last in range(256)] + [b"\x80" * length for length in range(12)]
    compare([(kind, key(1, VARINT) + wide) for kind in (pb.Frame, pb.HandoffOffer, pb.AdminRequest) for wide in widths] +
            [(kind, key(2, VARINT) + wide) for kind in (pb.HandoffAck, pb.Frame) for wide in widths],
            ("accepted", "refused", "a tenth varint byte of 2 or more"))


@case("text must be UTF-8, bytes need not be")
def _(_room):
    parts = [bytes.fromhex(part) for part in ("00", "80", "c080", "c1bf", "e09fbf", "ed9fbf", "eda080", "efbfbf", "f08fbfbf",
                                              "f48fbfbf", "f4908080", "f5808080", "e282", "ff")]
    parts += [b"plain", "é€😀".encode()]
    records = []
    for part in parts:
        for text in (part, b"seven.." + part, part + b" and more than that", b"x" * 40 + part + b"y" * 40):
            field = varint(len(text)) + text
            records += [(pb.Frame, key(number, BYTES) + field) for number in (4, 8, 9, 12)]
            entry = key(1, BYTES) + field
            records += [(pb.Refused, key(5, BYTES) + varint(len(entry)) + entry), (pb.Negotiated, key(4, BYTES) + field)]
    compare(records, ("accepted", "refused"))


@case("of messages that occur several times the parts are merged, and the last choice of several counts")
def _(_room):
    rng = random.Random(SEED)
    records = []
    for _ in range(300):
        parts = [rng.choice((pb.HelloReply(negotiated=fill(rng, pb.Negotiated(), 0.3)),
                             pb.HelloReply(refused=fill(rng, pb.Refused(), 0.3)))) for _ in range(rng.randint(2, 4))]
        records.append((pb.HelloReply, b"".join(part.SerializeToString(deterministic=True) for part in parts)))
        for kind in (pb.DaemonProcess, pb.CacheManifest, pb.CacheRoot, pb.Refused):
            parts = [fill(rng, kind(), 0.3).SerializeToString(deterministic=True) for _ in range(rng.randint(2, 4))]
            records.append((kind, b"".join(parts)))
    assert compare(records) == {"accepted": len(records)}


@case("unknown groups may be a hundred deep, counted from the outermost message")
def _(_room):
    def nested(depth, inner=b""):
        return key(20, GROUP) * depth + inner + key(20, END_GROUP) * depth

    depths = (1, 2, 50, 98, 99, 100, 101, 102, 1000)
    in_message = [nested(depth) for depth in depths]
    compare([(pb.Frame, body) for body in in_message] +
            [(kind, key(number, BYTES) + varint(len(body)) + body) for body in in_message
             for kind, number in ((pb.DaemonProcess, 4), (pb.Refused, 5), (pb.CacheManifest, 10))], ("accepted", "refused"))
    # Whatever lies in a group is one deeper to the reference; the library counts groups only.
    for depth in depths:
        for inner in (key(1, VARINT) + b"\1", key(5, FIXED32) + b"1234", key(6, BYTES) + b"\0"):
            body = nested(depth, inner)
            line = ask([(pb.Frame, body)])[0]
            assert (line == "error") == (depth >= 100), (depth, line)
            if depth != 100:
                judge(pb.Frame, body, line)


if __name__ == "__main__":
    main()
