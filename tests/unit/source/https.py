"""A Git server over https for one test: https.py ROOT CERT KEY TOKEN PUSHES.

Serves the repositories below ROOT by git http-backend to who sends TOKEN (empty: to
all), and prints its port.  PUSHES is the status that answers who asks to push; 200: he may.
Ends with its standard input.
"""
import base64
import http.server
import os
import ssl
import subprocess
import sys
import threading

root, cert, key, token, pushes = sys.argv[1:6]
want = "Basic " + base64.b64encode(f"git:{token}".encode()).decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        if token and self.headers.get("Authorization") != want:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if "git-receive-pack" in self.path and pushes != "200":
            self.send_response(int(pushes))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        out = subprocess.run(
            ["git", "-c", "safe.directory=*", "http-backend"], input=body,
            stdout=subprocess.PIPE, check=True, env={
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": root,
                "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
                "QUERY_STRING": query, "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type") or "",
                "CONTENT_LENGTH": str(len(body)),
            }).stdout
        head, _, content = out.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
