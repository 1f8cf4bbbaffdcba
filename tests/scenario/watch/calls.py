"""Watches over gRPC that do not go well, by grpcio and nothing else: the messages are few,
and written out.

	calls.py STORY    of those below; URL, TOKEN, TOKEN2 in the environment
"""
import os
import sys
import urllib.parse

import grpc

CHANNEL = grpc.insecure_channel(urllib.parse.urlsplit(os.environ["URL"]).netloc)
CODE = grpc.StatusCode
# WatchRequest: prefixes is 2, since 4, from_now 5.
ALL_FROM_NOW = b"\x12\x05acme/\x28\x01"
ALL_SINCE_1 = b"\x12\x00\x20\x01"


def watch(request, token):
    call = CHANNEL.unary_stream("/conflux.v1.WatcherService/Watch",
                                request_serializer=None,
                                response_deserializer=None)
    return call(request, timeout=30, metadata=(("authorization", "Bearer " + token),))


def ends(w):
    """How it ends, and how many messages came before."""
    n = 0
    try:
        for _ in w:
            n += 1
    except grpc.RpcError as e:
        return e.code(), n
    return CODE.OK, n


def address(tenant, name):
    """addresses is 1: tenant 1, application 2, environment 3, name 4."""
    return b"".join(bytes([i << 3 | 2, len(part)]) + part.encode()
                    for i, part in enumerate((tenant, "shop", "prod", name), 1))


def compacted():
    assert (end := ends(watch(ALL_SINCE_1, os.environ["TOKEN"]))) == (
        CODE.OUT_OF_RANGE, 0), end


def tenant():
    """The tenant blue is asked for more often than it may be."""
    at = address("blue", "main")
    for _ in range(100):
        w = watch(b"\x0a" + bytes([len(at)]) + at + b"\x28\x01",
                  os.environ["TOKEN"])
        try:
            next(w)
        except grpc.RpcError as e:
            assert e.code() == CODE.RESOURCE_EXHAUSTED, e
            assert "tenant blue" in e.details(), e
            return
    raise SystemExit("never refused")


def still():
    """It has not changed since STILL, which is compacted."""
    since, varint = int(os.environ["STILL"]), b""
    while since > 127:
        varint, since = varint + bytes([since & 127 | 128]), since >> 7
    at = address("acme", "still")
    w = watch(b"\x0a" + bytes([len(at)]) + at + b"\x20" + varint + bytes([since]),
              os.environ["TOKEN"])
    next(w)
    print("ready", flush=True)
    # A bookmark (kind and revision) may come before; a change names the address.
    while at not in (told := next(w)):
        pass
    w.cancel()


def revoked():
    """TOKEN2 is revoked once this says that it is ready."""
    w = watch(ALL_FROM_NOW, os.environ["TOKEN2"])
    next(w)
    print("ready", flush=True)
    assert (end := ends(w))[0] == CODE.UNAUTHENTICATED, end
    assert (end := ends(watch(ALL_FROM_NOW, os.environ["TOKEN2"]))) == (
        CODE.UNAUTHENTICATED, 0), end


def exhausted():
    """Its subject has no watch left, or no request: one a second may still go."""
    begun = []
    for _ in range(100):
        w = watch(ALL_FROM_NOW, os.environ["TOKEN"])
        try:
            next(w)
        except grpc.RpcError as e:
            assert e.code() == CODE.RESOURCE_EXHAUSTED, e
            assert len(begun) <= int(sys.argv[2]), len(begun)
            return
        begun.append(w)
    raise SystemExit("never refused")


def there_exhausted():
    """Its subject has no watch left for one that begins with what there is."""
    assert (end := ends(watch(b"\x12\x05acme/\x30\x01", os.environ["TOKEN"]))) == (
        CODE.RESOURCE_EXHAUSTED, 0), end


def there():
    """Says of which release the instance web-9 is given what there is, until a line comes."""
    call = CHANNEL.unary_stream("/conflux.v1.WatcherService/Watch",
                                request_serializer=None, response_deserializer=None)
    # Since 0, and not from now on: what there is comes first.
    w = call(b"\x12\x05acme/", timeout=60, metadata=(
        ("authorization", "Bearer " + os.environ["TOKEN"]),
        ("x-conflux-instance", "web-9")))
    # STARTED comes before; the name is release, 13.
    while b"\x12\x04shop" not in (told := next(w)):
        pass
    assert (at := told.find(b"\x6a\x0er-")) > 0, told
    print(told[at + 2:at + 16].decode(), flush=True)
    sys.stdin.readline()
    w.cancel()


def room():
    """There is a place for one watch."""
    w = watch(ALL_FROM_NOW, os.environ["TOKEN"])
    next(w)
    w.cancel()


{"compacted": compacted, "still": still, "tenant": tenant, "revoked": revoked, "exhausted": exhausted,
 "there": there, "there_exhausted": there_exhausted, "room": room}[sys.argv[1]]()
