"""What a power loss may leave of a folder: power.py's disk.

The journal of a process's calls (tests/preload/journal.c) is read, played on the folder
as it was when the process began, and one folder is built of those that are possible:
power.py says which these are.
"""

import fnmatch
import mmap
import os
import shutil
import struct


class Finding(Exception):
    """What must not be."""


# ---- the journal ----

(DONE, OPEN, WRITE, SIZE, ROOM, SYNC, SYNC_DIR, RENAME, LINK, UNLINK, MKDIR,
 RMDIR, MAP) = range(13)
CREATE, CUT, DURABLE, ZEROS = 1, 2, 4, 8
HEAD = struct.Struct("<IIQQqqIHHQ")
MAGIC = 0x4C4E524A
MAGIC_BYTES = struct.pack("<I", MAGIC)


class Record:
    """One call: what it was to do, and where its data is in the journal."""

    __slots__ = ("id", "kind", "ino", "at", "n", "flags", "path", "other", "data",
                 "data_n", "begin", "done", "answer", "answer_ino")


def begins_record(raw, at, size):
    """Is 'at' the end, or a place where a record begins?"""
    if at + HEAD.size > size:
        return at == size
    magic, kind, _, _, _, _, flags, path_n, other_n, _ = HEAD.unpack_from(raw, at)
    return magic == MAGIC and kind <= MAP and flags < 16 and \
        path_n < 4096 and other_n < 4096


def read_journal(path):
    """The calls in the order in which they began, and the bytes they name."""
    if not os.path.exists(path):            # it ended before it did anything
        return [], b""
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        raw = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) if size else b""
    calls, by_id, at, n = [], {}, 0, 0
    while at + HEAD.size <= size:
        (magic, kind, id_, ino, off, length, flags, path_n, other_n,
         data_n) = HEAD.unpack_from(raw, at)
        assert magic == MAGIC, f"{path}: no record at {at}"
        end = at + HEAD.size + path_n + other_n + data_n
        if not begins_record(raw, end, size):
            # The process was killed while it wrote this, before it made the call or
            # saw its answer; others may have written behind it.
            at = raw.find(MAGIC_BYTES, at + 4)
            while at >= 0 and not begins_record(raw, at, size):
                at = raw.find(MAGIC_BYTES, at + 4)
            if at < 0:
                break
            continue
        n += 1
        if kind == DONE:
            call = by_id.pop(id_, None)
            if call is None:
                raise ValueError(f"{path}: the answer at {at} is of no call")
            call.done, call.answer, call.answer_ino = n, length, ino
        else:
            call = Record()
            text = at + HEAD.size
            call.id, call.kind, call.ino, call.at, call.n = id_, kind, ino, off, length
            call.flags, call.begin, call.done = flags, n, None
            call.path = raw[text:text + path_n].decode()
            call.other = raw[text + path_n:text + path_n + other_n].decode()
            call.data, call.data_n = text + path_n + other_n, data_n
            call.answer = call.answer_ino = None
            by_id[id_] = call
            calls.append(call)
        at = end
    return calls, raw


# ---- what a folder is made of ----

class File:
    """A file: where its bytes came from and what was done to them."""

    def __init__(self, base=None):
        self.base, self.calls, self.synced = base, [], 0
        self.is_mapped = False
        self.live = None        # where it is, if it is written through a mapping


class Folder:
    """A folder; its names are the model's, which keeps their history."""

    def __init__(self):
        self.synced = 0


class Change:
    """Names that got other contents, at once: [(folder, name, File/Folder/None)]."""

    def __init__(self, sets, begin, done):
        self.sets, self.begin, self.done = sets, begin, done


class Model:
    """A folder, from what it was and what was done to it."""

    def __init__(self, base, top, forget=()):
        self.top, self.forget, self.changes = top, forget, []
        self.root, self.by_ino = Folder(), {}
        self.names = {}                     # (folder, name) -> now
        self.base_names = {}
        self._scan(base, top, self.root)

    def _scan(self, base, live, folder):
        """'live' is where the process had it: its inodes count."""
        for e in sorted(os.scandir(base), key=lambda e: e.name):
            if e.is_dir(follow_symlinks=False):
                what = Folder()
                self._scan(e.path, os.path.join(live, e.name), what)
            else:
                what = File(e.path)
            self.base_names[folder, e.name] = self.names[folder, e.name] = what

    def know(self, inos):
        """Inode numbers of the files that were there, by path."""
        for path, ino in inos.items():
            self.by_ino[ino] = self._look(path)

    def _parent(self, path):
        at = self.root
        parts = os.path.relpath(path, self.top).split("/")
        for part in parts[:-1]:
            at = self.names[at, part]
        return at, parts[-1]

    def _look(self, path):
        if os.path.normpath(path) == self.top:
            return self.root
        return self.names.get(self._parent(path))

    def _change(self, sets, call):
        """Counts as happened where it is known to have."""
        self.changes.append(Change(sets, call.begin, call.done))
        if call.done is not None:
            for folder, name, what in sets:
                self.names[folder, name] = what

    def _is_forgotten(self, path):
        rel = os.path.relpath(path, self.top)
        return any(fnmatch.fnmatch(rel, g) for g in self.forget)

    def _opened(self, call):
        folder, name = self._parent(call.path)
        what = self.names.get((folder, name))
        if what is None and call.flags & CREATE:
            what = File()
            self._change([(folder, name, what)], call)
        elif what is not None and call.flags & CUT:
            call.kind, call.n = SIZE, 0
            what.calls.append(call)
        if call.answer_ino:
            self.by_ino[call.answer_ino] = what

    def _synced(self, call):
        if call.done is None or self._is_forgotten(call.path):
            return
        if call.kind == SYNC_DIR:
            self._look(call.path).synced = call.begin
        else:
            self.by_ino[call.ino].synced = call.begin

    def _named(self, call):
        at, name = self._parent(call.path)
        what = self.names.get((at, name))
        if call.kind == MKDIR:
            self._change([(at, name, Folder())], call)
        elif call.kind in (UNLINK, RMDIR):
            self._change([(at, name, None)], call)
        else:
            assert isinstance(what, File), f"{call.path}: a folder got another name"
            to, other = self._parent(call.other)
            sets = [(to, other, what)]
            if call.kind == RENAME:
                sets.insert(0, (at, name, None))
            self._change(sets, call)

    def play(self, calls):
        for call in calls:
            if call.answer is not None and call.answer < 0:
                continue
            if call.kind == OPEN:
                self._opened(call)
            elif call.kind in (SYNC, SYNC_DIR):
                self._synced(call)
            elif call.kind in (WRITE, SIZE, ROOM):
                self.by_ino[call.ino].calls.append(call)
            elif call.kind == MAP:
                self.by_ino[call.ino].is_mapped = True
            else:
                self._named(call)

    def find_mapped(self):
        """What is in them and was not synced was written through the mapping."""
        for path, ino in inodes(self.top).items():
            what = self.by_ino.get(ino)
            if what and what.is_mapped:
                what.live = path

    def synced_in_vain(self):
        """Folders whose names were synced and whose own was not; the state, which is
        made anew, apart."""
        names = dict(self.base_names)
        for change in filter(self.is_certain, self.changes):
            self._apply(names, change)
        return [name for (at, name), what in self.names.items()
                if isinstance(what, Folder) and what.synced and name != "state" and
                names.get((at, name)) is not what]

    # ---- what is left of it ----

    def is_certain(self, change):
        return change.done is not None and all(
            folder.synced > change.done for folder, _, _ in change.sets)

    def left(self, rng, mode):
        """Names that are there, and how many changes are not."""
        names, groups = dict(self.base_names), {}
        lost = 0
        for change in self.changes:
            if self.is_certain(change):
                self._apply(names, change)
        for change in self.changes:
            if self.is_certain(change):
                continue
            group = {"keys": set(), "changes": []}
            for folder, name, _ in change.sets:
                other = groups.get((folder, name))
                if other and other is not group:
                    group["keys"] |= other["keys"]
                    group["changes"] += other["changes"]
                group["keys"].add((folder, name))
            group["changes"].append(change)
            for key in group["keys"]:
                groups[key] = group
        seen = []
        for group in groups.values():
            if any(group is s for s in seen):
                continue
            seen.append(group)
            todo = sorted(group["changes"], key=lambda c: c.begin)
            n = {"none": 0, "all": len(todo)}.get(
                mode, rng.randint(0, len(todo)))
            lost += len(todo) - n
            for change in todo[:n]:
                self._apply(names, change)
        return names, lost

    @staticmethod
    def _apply(names, change):
        for folder, name, what in change.sets:
            names[folder, name] = what


class Builder:
    """Makes files of a model."""

    def __init__(self, model, raw, rng, sector, data, forget=()):
        self.model, self.raw, self.rng = model, raw, rng
        self.sector, self.data = sector, data
        self.some = rng.choice((0.1, 0.5, 0.9))
        self.lost = self.torn = 0
        self.forget = forget

    def is_durable(self, file, call, is_forgotten):
        if call.done is None:
            return False
        if call.kind == WRITE and call.flags & DURABLE and not is_forgotten:
            return True
        return file.synced > call.done

    def chosen(self):
        return self.data == "all" or (self.data == "some" and
                                      self.rng.random() < self.some)

    def put(self, fd, call, at, n):
        size = os.fstat(fd).st_size
        if call.flags & ZEROS:
            if at < size:
                os.pwrite(fd, bytes(min(n, size - at)), at)
            os.truncate(fd, max(size, at + n))
            return
        start = call.data + at - call.at
        os.pwrite(fd, self.raw[start:start + n], at)

    def tear(self, fd, call):
        """Each sector by itself; writes under O_DIRECT are in blocks of 4 KiB."""
        sector = max(self.sector, 4096) if call.flags & DURABLE else self.sector
        at, end, got = call.at, call.at + call.n, 0
        while at < end:
            n = min(end, (at // sector + 1) * sector) - at
            if self.chosen():
                self.put(fd, call, at, n)
                got += n
            at += n
        self.lost += got == 0
        self.torn += 0 < got < call.n

    def fill(self, file, path, is_forgotten):
        if file.base:
            copy_sparse(file.base, path)
            fd = os.open(path, os.O_RDWR)
        else:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        for call in file.calls:
            durable = self.is_durable(file, call, is_forgotten)
            if call.kind == WRITE:
                if durable:
                    self.put(fd, call, call.at, call.answer)
                else:
                    self.tear(fd, call)
            elif durable or self.chosen():
                size = os.fstat(fd).st_size
                os.truncate(fd, call.n if call.kind == SIZE else
                            max(size, call.at + call.n))
            else:
                self.lost += 1
        if file.live:
            self.mix(fd, file.live)
        os.close(fd)

    def mix(self, fd, live):
        """Each sector is as it was synced or as the process left it."""
        with open(live, "rb") as f:
            for at in range(0, os.fstat(f.fileno()).st_size, 1 << 16):
                now = os.pread(f.fileno(), 1 << 16, at)
                was = os.pread(fd, len(now), at)
                if now == was:
                    continue
                for i in range(0, len(now), self.sector):
                    part = now[i:i + self.sector]
                    if part == was[i:i + self.sector] or part == NOTHING[:len(part)] \
                            and at + i >= os.fstat(fd).st_size:
                        continue
                    if self.chosen():
                        os.pwrite(fd, part, at + i)
                    else:
                        self.lost += 1

    def build(self, names, folder, out, rel=""):
        os.mkdir(out, 0o700)
        for (at, name), what in names.items():
            if at is not folder or what is None:
                continue
            path, inner = os.path.join(out, name), os.path.join(rel, name)
            if isinstance(what, Folder):
                self.build(names, what, path, inner)
            else:
                self.fill(what, path, any(fnmatch.fnmatch(inner, g)
                                          for g in self.forget))


NOTHING = bytes(1 << 20)


def copy_sparse(a, b):
    """Holes stay holes, and zeros become some."""
    size = os.stat(a).st_size
    with open(a, "rb") as f, open(b, "wb") as g:
        at = 0
        while at < size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            while at < end:
                piece = os.pread(f.fileno(), min(1 << 20, end - at), at)
                if piece != NOTHING[:len(piece)]:
                    os.pwrite(g.fileno(), piece, at)
                at += len(piece)
        g.truncate(size)
    shutil.copymode(a, b)


def copy_tree(a, b):
    os.mkdir(b, 0o700)
    for e in os.scandir(a):
        if e.is_dir(follow_symlinks=False):
            copy_tree(e.path, os.path.join(b, e.name))
        else:
            copy_sparse(e.path, os.path.join(b, e.name))


VOTE = struct.Struct("<8sQQQI")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def votes(top):
    """What the whole copies of term and vote say: path -> (generation, term)."""
    out = {}
    for name in "vote.0", "vote.1":
        path = os.path.join(top, name)
        if not os.path.exists(path):
            continue
        with open(path, "rb") as f:
            raw = f.read()
        if len(raw) == VOTE.size and crc32c(raw[:-4]) == VOTE.unpack(raw)[4]:
            out[path] = VOTE.unpack(raw)[1:3]
    return out


def inodes(top):
    return {os.path.join(at, name): os.stat(os.path.join(at, name)).st_ino
            for at, _, files in os.walk(top) for name in files}


def make_left(base, top, inos, journal, out, rng, sector=512, forget=(),
              names=None, data=None):
    """Builds 'out'; a line that says what was lost."""
    calls, raw = read_journal(journal)
    model = Model(base, top, forget)
    model.know(inos)
    model.play(calls)
    model.find_mapped()
    names = names or rng.choices(("none", "any", "all"), (7, 9, 4))[0]
    data = data or rng.choices(("none", "some", "all"), (6, 10, 4))[0]
    builder = Builder(model, raw, rng, sector, data, forget)
    vain = model.synced_in_vain()
    if vain and not forget:
        raise Finding(f"{top}: names in {vain} were synced, and its own was not")
    kept, undone = model.left(rng, names)
    builder.build(kept, model.root, out)
    return (f"{len(calls)} calls; names {names}: {undone} undone; data {data}: "
            f"{builder.lost} lost, {builder.torn} torn")


def differences(a, b, calls, since_ns):
    """Files of 'a' that were written since and are not as in 'b', what was under way
    apart."""
    under_way = {c.ino for c in calls if c.done is None}
    has_open = any(c.done is None and c.kind not in (WRITE, SIZE, ROOM, SYNC, SYNC_DIR)
                   for c in calls)
    found, of_a, of_b = [], inodes(a), inodes(b)
    rel_a = {os.path.relpath(p, a) for p in of_a}
    rel_b = {os.path.relpath(p, b) for p in of_b}
    if rel_a != rel_b and not has_open:
        found += sorted(rel_a ^ rel_b)
    for rel in sorted(rel_a & rel_b):
        path = os.path.join(a, rel)
        if of_a[path] in under_way or os.stat(path).st_mtime_ns < since_ns:
            continue
        if not same_bytes(path, os.path.join(b, rel)):
            found.append(rel)
    return found


def same_bytes(a, b):
    with open(a, "rb") as f, open(b, "rb") as g:
        while True:
            x, y = f.read(1 << 20), g.read(1 << 20)
            if x != y:
                return False
            if not x:
                return True
