"""A client of Conflux made with grpcio and nothing of ours: what messages look like it
learns by reflection.

    client.py TARGET TOKEN [CA_FILE PUBLIC_KEY_FILE]

With a CA file it speaks TLS, and looks only whether that goes.  Else it
runs one check after the other; the first that fails ends it with what was seen.  A line
`ready` on standard output and a line on standard input are how it waits for what only
others can do (the node is stopped meanwhile).
"""
import base64
import subprocess
import sys
import tempfile
import time
import urllib.request

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

TARGET, TOKEN = sys.argv[1:3]
POOL = descriptor_pool.DescriptorPool()
CODE = grpc.StatusCode


def channel(**options):
    opts = [(f"grpc.{k}", v) for k, v in options.items()]
    if len(sys.argv) > 3:
        with open(sys.argv[3], "rb") as f:
            creds = grpc.ssl_channel_credentials(f.read())
        return grpc.secure_channel(TARGET, creds, opts)
    return grpc.insecure_channel(TARGET, opts)


# Its windows stay as they are: it makes them larger by what it measures, up to where all
# that "does not read" is to leave unread fits in.
CHANNEL = channel(**{"http2.bdp_probe": 0})
AUTH = (("authorization", f"Bearer {TOKEN}"),)


# ---- messages by reflection: its own are the only ones that are written here ----

def reflection_file():
    """As much of grpc.reflection.v1alpha as asking needs."""
    f = descriptor_pb2.FileDescriptorProto(
        name="own.proto", package="own", syntax="proto3")
    string, message, data = 9, 11, 12

    def add(name, *fields):
        m = f.message_type.add(name=name)
        for number, (fname, ftype, many, tname) in fields:
            m.field.add(name=fname, number=number, type=ftype,
                        label=3 if many else 1, type_name=tname)

    add("Request", (3, ("by_name", string, False, None)),
        (4, ("by_symbol", string, False, None)),
        (6, ("numbers_of", string, False, None)),
        (7, ("services", string, False, None)))
    add("Files", (1, ("file", data, True, None)))
    add("Service", (1, ("name", string, False, None)))
    add("Services", (1, ("service", message, True, ".own.Service")))
    add("Error", (1, ("code", 5, False, None)),
        (2, ("text", string, False, None)))
    add("Response", (1, ("host", string, False, None)),
        (4, ("files", message, False, ".own.Files")),
        (6, ("services", message, False, ".own.Services")),
        (7, ("error", message, False, ".own.Error")))
    return f


def message(name):
    return message_factory.MessageFactory(POOL).GetPrototype(
        POOL.FindMessageTypeByName(name))


def reflect(version, *requests):
    call = CHANNEL.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=message("own.Response").FromString)
    return list(call(iter(requests), metadata=AUTH))


def learn():
    POOL.Add(reflection_file())
    ask = message("own.Request")
    listed = reflect("v1alpha", ask(services="*"))[0]
    names = [s.name for s in listed.services.service]
    is_(names, ["conflux.v1.ConfigService", "conflux.v1.WatcherService",
                "conflux.v1.ManagementService", "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection"])
    known = set()
    for answer in reflect("v1", *[ask(by_symbol=n) for n in names]):
        for data in answer.files.file:
            f = descriptor_pb2.FileDescriptorProto.FromString(data)
            if f.name not in known:
                known.add(f.name)
                POOL.Add(f)
    is_(sorted(known)[0], "conflux.proto")
    wrong = reflect("v1", ask(by_name="nothing.proto"), ask(by_symbol="a.b"),
                    ask(numbers_of="conflux.v1.Address"), ask())
    is_([w.error.code for w in wrong], [5, 5, 0, 3])


# ---- checks ----

def is_(have, want, what=""):
    if have != want:
        sys.exit(f"{what}: {have!r} is not {want!r}")


def step(text):
    print(f"  . {text}", flush=True)


def fails(code, call, *args, **kwargs):
    """The call fails with 'code'; what it says is answered."""
    try:
        done = call(*args, **kwargs)
        for _ in done if hasattr(done, "__iter__") else []:
            pass
    except grpc.RpcError as e:
        is_(e.code(), code, e.details())
        return e
    sys.exit(f"{code} was expected, and it went well")


def details(error):
    """The reason in ErrorInfo, its metadata, and the seconds of RetryInfo."""
    POOL_STATUS = descriptor_pool.DescriptorPool()
    f = descriptor_pb2.FileDescriptorProto(name="s.proto", package="s",
                                           syntax="proto3")
    any_ = f.message_type.add(name="Any")
    any_.field.add(name="url", number=1, type=9, label=1)
    any_.field.add(name="value", number=2, type=12, label=1)
    status = f.message_type.add(name="Status")
    status.field.add(name="code", number=1, type=5, label=1)
    status.field.add(name="message", number=2, type=9, label=1)
    status.field.add(name="details", number=3, type=11, label=3,
                     type_name=".s.Any")
    entry = f.message_type.add(name="Info").nested_type.add(name="MetaEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=9, label=1)
    entry.field.add(name="value", number=2, type=9, label=1)
    info = f.message_type[-1]
    info.field.add(name="reason", number=1, type=9, label=1)
    info.field.add(name="domain", number=2, type=9, label=1)
    info.field.add(name="meta", number=3, type=11, label=3,
                   type_name=".s.Info.MetaEntry")
    POOL_STATUS.Add(f)
    made = message_factory.MessageFactory(POOL_STATUS)

    def of(name):
        return made.GetPrototype(POOL_STATUS.FindMessageTypeByName(name))

    raw = dict(error.trailing_metadata())["grpc-status-details-bin"]
    s = of("s.Status").FromString(raw)
    is_(s.code, error.code().value[0])
    is_(s.message, error.details())
    is_(s.details[0].url, "type.googleapis.com/google.rpc.ErrorInfo")
    i = of("s.Info").FromString(s.details[0].value)
    is_(i.domain, "gitops.conflux.io")
    return i.reason, dict(i.meta), len(s.details)


class Service:
    """Its methods as functions; answers are messages or iterators of them."""

    def __init__(self, name, channel=CHANNEL, auth=AUTH):
        self.name, self.channel, self.auth = name, channel, auth

    def __getattr__(self, method):
        d = POOL.FindServiceByName(self.name).methods_by_name[method]
        many = descriptor_pb2.MethodDescriptorProto()
        d.CopyToProto(many)
        make = self.channel.unary_stream if many.server_streaming \
            else self.channel.unary_unary
        call = make(f"/{self.name}/{method}",
                    request_serializer=lambda m: m.SerializeToString(),
                    response_deserializer=message(
                        d.output_type.full_name).FromString)

        def ask(timeout=20, auth=None, **fields):
            return call(message(d.input_type.full_name)(**fields),
                        timeout=timeout, metadata=auth or self.auth)
        return ask


def http(method, path, body=None):
    """What is not there in gRPC."""
    urllib.request.urlopen(urllib.request.Request(
        f"http://{TARGET}{path}", body, {"Authorization": f"Bearer {TOKEN}"},
        method=method)).read()


def address(name, tenant="acme", application="shop", environment="prod"):
    return message("conflux.v1.Address")(
        tenant=tenant, application=application, environment=environment,
        name=name)


KINDS = ["?", "STARTED", "CHANGED", "REMOVED", "BOOKMARK"]


def seen(w, n=1):
    """The next messages of a watch, in short; bookmarks that only keep the
    connection alive are none."""
    out = []
    while len(out) < n:
        m = next(w)
        if m.kind == 4 and out and out[-1] == ("BOOKMARK", "", 0, b""):
            continue
        out.append((KINDS[m.kind], m.address.name, m.version, m.content))
    return out


def main():
    step("reflection tells what there is, in both versions")
    learn()
    config = Service("conflux.v1.ConfigService")
    manage = Service("conflux.v1.ManagementService")
    watcher = Service("conflux.v1.WatcherService")
    health = Service("grpc.health.v1.Health", auth=())

    step("health needs no token")
    is_(health.Check().status, 1)
    is_(health.Check(service="conflux.v1.ConfigService").status, 1)
    fails(CODE.NOT_FOUND, health.Check, service="nothing")
    hw = health.Watch(timeout=None)
    is_(next(hw).status, 1)

    step("fetch: what labels get, byte for byte, and nothing twice")
    a = config.FetchConfig(address=address("a.json"))
    is_((a.content, a.version, a.format, a.size, a.address.name),
        (b'{"a": 1}', 1, "json", 8, "a.json"))
    again = config.FetchConfig(address=address("a.json"),
                               if_not_sha256=a.sha256)
    is_((again.not_modified, again.content, again.version), (True, b"", 1))
    e = fails(CODE.NOT_FOUND, config.FetchConfig, address=address("no.json"))
    reason, meta, n = details(e)
    is_((reason, n), ("NOT_FOUND", 1))
    is_(len(meta["trace"]), 32)
    config.FetchConfig(address=address("a.json"), linearizable=True)
    fails(CODE.INVALID_ARGUMENT, config.FetchConfig)
    fails(CODE.INVALID_ARGUMENT, config.FetchConfig,
          address=address("a.json", tenant="A_"))
    fails(CODE.INVALID_ARGUMENT, config.FetchConfig, address=address("a.json"),
          labels={"a b": "c"})

    step("who has no token, or a wrong one, or may only read")
    e = fails(CODE.UNAUTHENTICATED, config.FetchConfig,
              address=address("a.json"), auth=(("x", "y"),))
    is_(details(e)[0], "UNAUTHORIZED")
    fails(CODE.UNAUTHENTICATED, watcher.Watch, prefixes=[""],
          auth=(("authorization", "Bearer cfx_no"),))

    step("publish and roll back, once for each key")
    p = manage.Publish(address=address("a.json"), content=b'{"a": 2}',
                       idempotency_key="k1", reason="because \u00e4")
    is_(p.version, 2)
    twice = manage.Publish(address=address("a.json"), content=b'{"a": 2}',
                           idempotency_key="k1", reason="because \u00e4")
    is_((twice.version, twice.revision), (2, p.revision))
    e = fails(CODE.FAILED_PRECONDITION, manage.Publish,
              address=address("a.json"), content=b'{"a": 3}',
              idempotency_key="k1")
    is_(details(e)[0], "IDEMPOTENCY_KEY_REUSED")
    a = config.FetchConfig(address=address("a.json"), min_revision=p.revision)
    is_(a.content, b'{"a": 2}')
    fails(CODE.ABORTED, manage.Publish, address=address("a.json"),
          content=b"{}", expected_revision=a.revision - 1)
    p = manage.Publish(address=address("a.json"), content=b"{}",
                       expected_revision=a.revision)
    is_(p.version, 3)
    is_(manage.Publish(address=address("a.json"), version=1).version, 1)
    e = fails(CODE.INVALID_ARGUMENT, manage.Publish, address=address("a.json"),
              content=b"{")
    is_("json" in e.details(), True, e.details())
    fails(CODE.INVALID_ARGUMENT, manage.Publish, address=address("a.json"))
    fails(CODE.INVALID_ARGUMENT, manage.Rollback, address=address("a.json"))
    r = manage.Rollback(address=address("a.json"), mode=1, reason="no good")
    is_(config.FetchConfig(address=address("a.json")).version, r.version)
    r = manage.Rollback(address=address("a.json"), mode=2, version=1)
    is_(r.version, 1)
    fails(CODE.NOT_FOUND, manage.Publish, address=address("no.json"),
          content=b"{}")

    step("large messages, in both directions")
    large = b'"' + b"x" * 3000000 + b'"'
    manage.Publish(address=address("b.json"), content=large)
    is_(config.FetchConfig(address=address("b.json")).content, large)
    e = fails(CODE.RESOURCE_EXHAUSTED, manage.Publish, address=address("b.json"),
              content=b'"' + b"x" * 9000000 + b'"')
    is_("bytes" in e.details(), True, e.details())

    step("acknowledgements")
    state = message("conflux.v1.Acknowledgement")
    ack = state(address=address("a.json"), version=1, sha256=a.sha256, state=2)
    gone = state(address=address("no.json"), version=1, sha256=a.sha256, state=2)
    said = config.Acknowledge(instance="web-7", acknowledgements=[ack, gone])
    is_((said.taken, said.unknown), (1, 1))
    e = fails(CODE.INVALID_ARGUMENT, config.Acknowledge, instance="",
              acknowledgements=[ack])
    is_(e.details().startswith("acknowledgement 1: "), True, e.details())

    step("deadlines: of the client, and on the wire")
    began = time.monotonic()
    fails(CODE.DEADLINE_EXCEEDED, config.FetchConfig, timeout=0.3,
          address=address("a.json"), min_revision=1 << 40)
    is_(time.monotonic() - began < 1.5, True, "a deadline of 0.3 s")
    e = fails(CODE.DEADLINE_EXCEEDED, config.FetchConfig, timeout=20,
              address=address("a.json"), min_revision=1 << 40)
    is_("is not here yet" in e.details(), True, e.details())

    step("a watch begins with what there is, and goes on with what changes")
    # The newest that there is, so that an overlap would show.
    manage.Rollback(address=address("a.json"), mode=1, version=2)
    manage.Rollback(address=address("a.json"), mode=1, version=1)
    w = watcher.Watch(timeout=None, addresses=[address("a.json")],
                      prefixes=["acme/shop/prod/a", "acme/shop/prod/none"],
                      want_content=True)
    is_(seen(w, 3), [("STARTED", "", 0, b""),
                     ("CHANGED", "a.json", 1, b'{"a": 1}'),
                     ("BOOKMARK", "", 0, b"")])
    since = max(config.FetchConfig(address=address(n)).revision
                for n in ("a.json", "b.json"))
    for i in range(4, 24):
        manage.Publish(address=address("a.json"), content=b'{"a": %d}' % i)
        manage.Publish(address=address("b.json"), content=b'%d' % i)
    is_(seen(w, 20), [("CHANGED", "a.json", i, b'{"a": %d}' % i)
                      for i in range(4, 24)])
    late = watcher.Watch(timeout=None, prefixes=["acme/"], since=since)
    got = [next(late) for _ in range(41)]
    is_([m.version for m in got[1::2]], list(range(4, 24)), "a.json")
    is_([m.version for m in got[2::2]], list(range(3, 23)), "b.json")
    revs = [m.revision for m in got[1:]]
    is_(revs, sorted(set(revs)), "in order, none twice")
    is_(all(m.end and not m.has_content for m in got[1:]), True)
    now = watcher.Watch(timeout=None, prefixes=[""], from_now=True)
    is_(seen(now), [("STARTED", "", 0, b"")])
    fails(CODE.INVALID_ARGUMENT, watcher.Watch, prefixes=[""], from_now=True,
          since=1)
    fails(CODE.INVALID_ARGUMENT, watcher.Watch)
    fails(CODE.DEADLINE_EXCEEDED, watcher.Watch, prefixes=[""], timeout=0.3)

    step("much that there is comes once, of one revision")
    many = watcher.Watch(timeout=None, prefixes=["many/small/"],
                         want_content=True)
    started = next(many)
    manage.Publish(address=address("0007.json", "many", "small", "all"),
                   content=b'{"n": 0}', take_over=True)
    got = []
    for m in many:
        if m.kind == 4:
            break
        got.append(m)
    is_(len(got), 4000)
    is_([m.content for m in got], [b'{"n": %d}' % i for i in range(4000)])
    is_([m.address.name for m in got],
        ["%04d.json" % i for i in range(4000)])
    is_((m.revision, max(m.revision for m in got) <= started.revision),
        (started.revision, True))
    is_(seen(many), [("CHANGED", "0007.json", 2, b'{"n": 0}')])
    is_(seen(now), [("CHANGED", "0007.json", 2, b"")])
    many.cancel()
    many = watcher.Watch(timeout=None, prefixes=["many/small/", "many/small/all/1"],
                         addresses=[address("3999.json", "many", "small", "all")])
    twice = [m[1] for m in seen(many, 4002)]
    is_(twice[:3] + twice[-2:], ["", "3999.json", "0000.json", "3998.json", ""])
    many.cancel()

    step("who does not read holds nothing for long")
    idle = [watcher.Watch(timeout=None, prefixes=["many/fat/"],
                          want_content=True) for _ in range(5)]
    for i in idle[:4]:
        is_(KINDS[next(i).kind], "STARTED")
    e = fails(CODE.RESOURCE_EXHAUSTED, lambda: idle[4])
    is_(details(e)[::2], ("BUSY", 2))
    time.sleep(6)
    for i in idle[:4]:
        e = fails(CODE.OUT_OF_RANGE, lambda i=i: i)
        is_("was not read" in e.details(), True, e.details())
    many = watcher.Watch(timeout=None, prefixes=["many/fat/"])
    is_(len(seen(many, 302)), 302)
    many.cancel()

    step("a call that is cancelled ends, and its neighbours go on")
    late.cancel()
    fails(CODE.CANCELLED, lambda: late)
    manage.Publish(address=address("a.json"), content=b'{"a": 99}')
    is_(seen(w), [("CHANGED", "a.json", 24, b'{"a": 99}')])
    is_(seen(now), [("CHANGED", "a.json", 24, b"")])

    step("what is no longer there is told, too")
    gone = manage.Publish(address=address("c.json"), content=b'"C"')
    is_(seen(now), [("CHANGED", "c.json", 2, b"")])
    http("DELETE", f"/api/v1/mgt/configs/{gone.id}")
    m = next(now)
    is_((KINDS[m.kind], m.address.name, m.deleted, m.end),
        ("REMOVED", "c.json", True, True))
    http("PUT", f"/api/v1/mgt/configs/{p.id}/releases",
         b'{"releases": [{"labels": {"x": "y"}, "version_id": 1}]}')
    for watch in (w, now):
        m = next(watch)
        is_((KINDS[m.kind], m.address.name, m.deleted, m.version),
            ("REMOVED", "a.json", False, 0))
    fails(CODE.NOT_FOUND, config.FetchConfig, address=address("a.json"))
    labelled = config.FetchConfig(address=address("a.json"),
                                  labels={"x": "y"})
    is_((labelled.version, labelled.rule), (1, 0))
    http("PUT", f"/api/v1/mgt/configs/{p.id}/releases",
         b'{"releases": [{"labels": {}, "version_id": 24}]}')
    is_(seen(w), [("CHANGED", "a.json", 24, b'{"a": 99}')])
    is_(seen(now), [("CHANGED", "a.json", 24, b"")])

    step("what cannot be: methods, messages, their number, compression")
    raw = {"request_serializer": None, "response_deserializer": None}
    e = fails(CODE.UNIMPLEMENTED, CHANNEL.unary_unary(
        "/conflux.v1.ConfigService/Nothing", **raw), b"", metadata=AUTH)
    is_(details(e)[0], "UNSUPPORTED")
    fails(CODE.UNIMPLEMENTED, CHANNEL.unary_unary("/a.B/C", **raw), b"",
          metadata=AUTH)
    fetch = "/conflux.v1.ConfigService/FetchConfig"
    fails(CODE.INTERNAL, CHANNEL.unary_unary(fetch, **raw), b"\xff\xff",
          metadata=AUTH)
    fails(CODE.INTERNAL, CHANNEL.unary_unary(fetch, **raw),
          b"\x0a\x03\x0a\x01\xc3", metadata=AUTH)
    fails(CODE.UNIMPLEMENTED, CHANNEL.stream_unary(fetch, **raw), iter([]),
          metadata=AUTH)
    fails(CODE.UNIMPLEMENTED, CHANNEL.stream_unary(fetch, **raw),
          iter([b"", b""]), metadata=AUTH)
    fails(CODE.UNIMPLEMENTED, CHANNEL.unary_unary(fetch, **raw),
          b"\x0a\x00" * 100, metadata=AUTH, compression=grpc.Compression.Gzip)

    step("many calls on one connection at once")
    calls = [CHANNEL.unary_unary(fetch, **raw).future(
        message("conflux.v1.FetchConfigRequest")(
            address=address("a.json")).SerializeToString(), metadata=AUTH)
        for _ in range(300)]
    is_({len(c.result()) for c in calls}, {len(calls[0].result())})

    step("a node that stops answers what is asked, and tells streams to move")
    print("ready", flush=True)
    sys.stdin.readline()
    is_(next(hw).status, 2, "health, while it leaves")
    for stream, hint in ((w, "watch at another node"),
                         (now, "watch at another node"),
                         (hw, "go on at another node")):
        e = fails(CODE.UNAVAILABLE, lambda s=stream: s)
        reason, meta, n = details(e)
        is_((reason, meta["hint"], n), ("UNAVAILABLE", hint, 2))


def over_tls():
    step("fetch and watch over TLS")
    learn()
    config = Service("conflux.v1.ConfigService")
    a = config.FetchConfig(address=address("a.json"), want_signature=True)
    is_(a.content, b'{"a": 99}')
    w = Service("conflux.v1.WatcherService").Watch(prefixes=["acme/"])
    is_(seen(w, 4), [("STARTED", "", 0, b""), ("CHANGED", "a.json", 24, b""),
                     ("CHANGED", "b.json", 22, b""), ("BOOKMARK", "", 0, b"")])
    w.cancel()

    step("who is told nothing hears from where to go on")
    w = Service("conflux.v1.WatcherService").Watch(
        prefixes=["acme/shop/prod/none"], from_now=True)
    is_(KINDS[next(w).kind], "STARTED")
    p = Service("conflux.v1.ManagementService").Publish(
        address=address("b.json"), content=b'"other"')
    m = next(w)
    while m.revision < p.revision:
        is_(KINDS[m.kind], "BOOKMARK")
        m = next(w)
    is_((KINDS[m.kind], m.address.name), ("BOOKMARK", ""))
    is_(next(w).revision, m.revision, "a sign of life")

    step("what is signed is what was asked for")
    is_(config.FetchConfig(address=address("a.json")).signature, "")
    w = Service("conflux.v1.WatcherService").Watch(
        prefixes=["acme/shop/prod/a"], want_signature=True)
    is_([next(w), next(w)][1].signature, a.signature)
    text = "conflux-signature-v1\nacme/shop/prod/a.json\n%d\n%s\n" % (
        a.version, a.sha256.hex())
    is_(verifies(text, a.signature), True, a.signature)
    is_(verifies(text.replace("a.json", "b.json"), a.signature), False)


def verifies(text, signature):
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/text", "w") as f:
            f.write(text)
        with open(d + "/sig", "wb") as f:
            f.write(base64.b64decode(signature.split("sig=")[1]))
        return subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", sys.argv[4],
             "-rawin", "-in", d + "/text", "-sigfile", d + "/sig"],
            capture_output=True).returncode == 0


if len(sys.argv) > 3:
    over_tls()
else:
    main()
