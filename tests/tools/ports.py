"""A port of 127.0.0.1, as free_port of tests/scenario/lib.bash and of port.h give it."""
import os
import random
import socket
import time

GIVEN = f"/tmp/conflux-ports.{os.getuid()}"


def was_given(port):
    path = f"{GIVEN}/{port}"
    os.makedirs(GIVEN, exist_ok=True)
    try:
        os.mkdir(path)
        return False
    except FileExistsError:
        pass
    try:
        # For the next who draws it.
        if time.time() - os.stat(path).st_mtime > 3600:
            os.rmdir(path)
    except OSError:
        pass
    return True


def free_port():
    while True:
        port = random.randint(20000, 31999)
        if was_given(port):
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
