"""An authority, and certificates of it for nodes on loopback."""
import tempfile

from .base import run

CURVE = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Certs:
    def __init__(self, work):
        self.dir = tempfile.mkdtemp(dir=work)
        run(["openssl", "req", "-x509", "-newkey", *CURVE, "-days", "2",
             "-subj", "/CN=authority", "-keyout", self.dir + "/ca.key",
             "-out", self.dir + "/ca.pem"])

    def of(self, number):
        """(certificate, key, authority) of a node, made when first asked."""
        at = f"{self.dir}/{number}"
        run(["openssl", "req", "-newkey", *CURVE, "-subj", f"/CN=node {number}",
             "-keyout", at + ".key", "-out", at + ".csr"])
        with open(at + ".ext", "w") as f:
            f.write(f"subjectAltName=URI:conflux://node/{number},"
                    "IP:127.0.0.1\n")
        run(["openssl", "x509", "-req", "-in", at + ".csr",
             "-CA", self.dir + "/ca.pem", "-CAkey", self.dir + "/ca.key",
             "-CAcreateserial", "-days", "2", "-extfile", at + ".ext",
             "-out", at + ".pem"])
        return at + ".pem", at + ".key", self.dir + "/ca.pem"
