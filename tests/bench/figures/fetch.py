"""A configuration that is fetched, beside nginx."""
import os
import tempfile
import urllib.request

from .base import alternate, free_port, report, start, stop, until
from .clients import wrk
from .conflux import Conflux

NGINX = """worker_processes 1;
error_log {dir}/error.log;
pid {dir}/pid;
daemon off;
events {{ worker_connections 1024; }}
http {{
	access_log off;
	default_type text/plain;
	keepalive_requests 1000000000;
	sendfile on;
	tcp_nopush on;
	open_file_cache max=100;
	client_body_temp_path {dir}/1; proxy_temp_path {dir}/2;
	fastcgi_temp_path {dir}/3; uwsgi_temp_path {dir}/4;
	scgi_temp_path {dir}/5;
	server {{ listen 127.0.0.1:{port}; root {dir}/html; }}
}}
"""


def fetch(work):
    content = "x" * 215 + "\n"
    folder = tempfile.mkdtemp(dir=work)
    os.chmod(folder, 0o755)
    os.chmod(work, 0o755)
    os.mkdir(folder + "/html")
    with open(folder + "/html/c.txt", "w") as f:
        f.write(content)
    port = free_port()
    with open(folder + "/nginx.conf", "w") as f:
        f.write(NGINX.format(dir=folder, port=port))
    nginx = start(["nginx", "-c", folder + "/nginx.conf"])
    theirs = f"http://127.0.0.1:{port}/c.txt"
    until("nginx", lambda: urllib.request.urlopen(theirs).read())
    c = Conflux(work)
    c.config("c.txt", content)
    ours = c.url + "/api/v1/fetch/config/acme/shop/prod/c.txt"
    assert c.ask("GET", ours[len(c.url):]).decode() == content
    wrk(ours, 64, c.token), wrk(theirs, 64)          # warm
    a, b = alternate(lambda: wrk(ours, 64, c.token),
                     lambda: wrk(theirs, 64, c.token))
    report("fetch_http1_64c", a[0], "requests/s", "nginx", b[0],
           "ratio >= 1.0", a[0] >= b[0])
    report("fetch_http1_64c_p99", a[1], "us", "nginx", b[1],
           "ratio <= 1.5", a[1] <= 1.5 * b[1])
    c.close()
    stop(nginx)
