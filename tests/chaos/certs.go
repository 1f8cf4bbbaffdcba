package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// An authority for one run: it signs what the nodes show each other and their
// clients.
type authority struct {
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	pool   *x509.CertPool
	serial int64
}

func newAuthority(dir string) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	// Clocks are moved by minutes.
	t := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true,
		Subject:   pkix.Name{CommonName: "chaos"},
		NotBefore: time.Now().AddDate(0, 0, -7), NotAfter: time.Now().AddDate(0, 0, 7),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	a := &authority{dir: dir, cert: cert, key: key, pool: x509.NewCertPool(), serial: 1}
	a.pool.AddCert(cert)
	writePEM(a.ca(), "CERTIFICATE", der)
	return a
}

func writePEM(path, kind string, der []byte) {
	must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func (a *authority) ca() string { return filepath.Join(a.dir, "ca.pem") }

// Where certificate and key of a node are; made by issue.
func (a *authority) files(id int) (cert, key string) {
	base := filepath.Join(a.dir, fmt.Sprintf("n%d", id))
	return base + ".pem", base + ".key"
}

func (a *authority) issue(id int) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	a.serial++
	name, err := url.Parse(fmt.Sprintf("conflux://node/%d", id))
	must(err)
	t := &x509.Certificate{SerialNumber: big.NewInt(a.serial),
		Subject:   pkix.Name{CommonName: fmt.Sprintf("node %d", id)},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth,
			x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{name}, IPAddresses: []net.IP{net.ParseIP(host(id))}}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	must(err)
	secret, err := x509.MarshalECPrivateKey(key)
	must(err)
	certFile, keyFile := a.files(id)
	writePEM(certFile, "CERTIFICATE", der)
	writePEM(keyFile, "EC PRIVATE KEY", secret)
}
