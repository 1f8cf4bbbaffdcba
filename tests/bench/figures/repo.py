"""A Git repository that is made quickly."""
import tempfile

from .base import run


class Repo:
    """A bare repository of n files, written with git fast-import."""

    def __init__(self, work, n):
        self.bare = tempfile.mkdtemp(dir=work, suffix=".git")
        self.n = n
        run(["git", "init", "-q", "--bare", "-b", "main", self.bare])
        lines = ["commit refs/heads/main",
                 "committer B <b@example.invalid> 1700000000 +0000",
                 "data 5", "first"]
        for i in range(n):
            text = f"value = {i}\n"
            lines += [f"M 100644 inline {self.path(i)}",
                      f"data {len(text)}", text]
        self.feed("\n".join(lines) + "\n")

    @staticmethod
    def path(i):
        return f"app{i // 1000}/env{i // 100 % 10}/c{i % 100}.toml"

    def feed(self, text):
        run(["git", "-C", self.bare, "fast-import", "--quiet"], input=text)

    def change(self, i, value):
        text = f"value = {value}\n"
        self.feed("commit refs/heads/main\n"
                  "committer B <b@example.invalid> 1700000001 +0000\n"
                  "data 6\nchange\n"
                  "from refs/heads/main^0\n"
                  f"M 100644 inline {self.path(i)}\ndata {len(text)}\n{text}\n")
