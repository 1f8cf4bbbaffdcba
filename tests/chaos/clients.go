package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A configuration that clients write and read; what is known of it is only for
// making requests that have a chance.
type config struct {
	address string
	id      string

	mu           sync.Mutex
	version, rev uint64
}

func (k *config) saw(version, rev uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if version > k.version {
		k.version, k.rev = version, rev
	}
}

func (k *config) newest() (version, rev uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.version, k.rev
}

func isUnsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// A client: one request at a time, at whatever node.
type client struct {
	id    int
	world *world
	rng   *rand.Rand
	http  *http.Client
	serial,
	seen uint64 // the newest revision that it was told
}

func newClient(w *world, id int, seed int64) *client {
	return &client{id: id, world: w, rng: rand.New(rand.NewSource(seed)),
		http: &http.Client{Transport: w.transport()}}
}

// Works until the world stops; between two operations it can be held.
func (c *client) run(done *sync.WaitGroup) {
	defer done.Done()
	for !c.world.isStopping() {
		c.world.gate.RLock()
		keys := c.world.keys
		if !c.world.isStopping() {
			c.operate(keys[c.rng.Intn(len(keys))])
		}
		c.world.gate.RUnlock()
		time.Sleep(time.Duration(c.rng.Intn(20000)) * time.Microsecond)
	}
}

func (c *client) operate(k *config) {
	switch n := c.rng.Intn(100); {
	case n < 40:
		c.write(publish, k)
	case n < 60:
		c.write(cas, k)
	case n < 85:
		c.read(k, c.anyNode())
	default:
		c.localRead(k, c.anyNode())
	}
}

func (c *client) anyNode() *node {
	nodes := c.world.members()
	return nodes[c.rng.Intn(len(nodes))]
}

// Most wait as people's tools do, some are in a hurry.
func (c *client) patience() time.Duration {
	if c.rng.Intn(10) == 0 {
		return c.world.patience(200 * time.Millisecond)
	}
	return c.world.patience(3 * time.Second)
}

func (c *client) saw(rev uint64) {
	if rev > c.seen {
		c.seen = rev
	}
}

// ---- reading ----

func (c *client) fetch(n *node, k *config, query string, r *record) {
	ctx, cancel := context.WithTimeout(context.Background(), c.patience())
	defer cancel()
	r.Client, r.Node, r.Key = c.id, n.id, k.address
	r.Call = c.world.history.now()
	a := n.ask(ctx, c.http, "GET", "/api/v1/fetch/config/"+k.address+"?"+query, nil)
	r.Return = c.world.history.now()
	r.Outcome = failed
	switch a.status {
	case 200:
		r.Outcome, r.Value = ok, digest(a.body)
		r.Version = header(a.header, "X-Conflux-Version")
		r.Rev = header(a.header, "X-Conflux-Revision")
		k.saw(r.Version, r.Rev)
		c.saw(r.Rev)
	case 404:
		r.Outcome = ok
	}
	c.world.count(r, &a)
	c.world.history.add(*r)
}

func header(h http.Header, name string) uint64 {
	n, _ := strconv.ParseUint(h.Get(name), 10, 64)
	return n
}

func (c *client) read(k *config, n *node) bool {
	r := record{Kind: read}
	c.fetch(n, k, "consistency=linearizable", &r)
	return r.Outcome == ok
}

func (c *client) localRead(k *config, n *node) {
	r := record{Kind: local, MinRev: c.seen}
	c.fetch(n, k, fmt.Sprint("min_revision=", c.seen), &r)
}

// ---- writing ----

// Nobody else writes the same.
func (c *client) content() []byte {
	n := 100 + c.rng.Intn(400)
	switch c.rng.Intn(20) {
	case 0:
		n = 100<<10 + c.rng.Intn(100<<10)
	case 1, 2, 3, 4:
		n = 4<<10 + c.rng.Intn(12<<10)
	}
	c.serial++
	head := fmt.Sprintf("%s client %d write %d ", c.world.run, c.id, c.serial)
	if n < len(head) {
		n = len(head)
	}
	return []byte(head + strings.Repeat("x", n-len(head)))
}

// How one attempt at a write ended.
func outcomeOf(a *answer) string {
	switch {
	case a.unsent:
		return failed
	case a.err != nil:
		return uncertain
	case a.status >= 200 && a.status < 300:
		return ok
	case a.status == 409 || a.status == 412:
		return refused
	case a.status == 503 && a.problem() == "uncertain", a.status == 504, a.status == 500:
		return uncertain
	}
	return failed
}

type writing struct {
	r       record
	method  string
	path    string
	body    []byte
	headers []string
}

func (c *client) prepare(kind string, k *config) *writing {
	content := c.content()
	body := map[string]interface{}{"content": string(content)}
	w := &writing{method: "POST", path: "/api/v1/mgt/configs/" + k.id + "/publish"}
	w.r = record{Kind: kind, Client: c.id, Key: k.address, Value: digest(content)}
	w.headers = []string{"Idempotency-Key", fmt.Sprintf("%s-%d-%d", c.world.run, c.id, c.serial)}
	if kind == create {
		w.path = "/api/v1/mgt/configs"
		for i, name := range []string{"tenant", "application", "environment", "name"} {
			body[name] = strings.SplitN(k.address, "/", 4)[i]
		}
	}
	if kind == cas {
		version, rev := k.newest()
		w.r.Expect = version
		w.headers = append(w.headers, "If-Match", fmt.Sprint(rev))
	}
	w.body, _ = json.Marshal(body)
	return w
}

func (c *client) try(w *writing, n *node) answer {
	ctx, cancel := context.WithTimeout(context.Background(), c.patience())
	defer cancel()
	return n.ask(ctx, c.http, w.method, w.path, w.body, w.headers...)
}

// Sends a write, and again with the same key while it is not known what became
// of it; some clients give up at once.
func (c *client) write(kind string, k *config) {
	w := c.prepare(kind, k)
	attempts := 1
	if c.rng.Intn(5) > 0 {
		attempts = 4
	}
	c.send(w, k, attempts)
	if w.r.Outcome == ok && c.rng.Intn(20) == 0 {
		c.sendAgain(w)
	}
}

func (c *client) send(w *writing, k *config, attempts int) {
	r := &w.r
	var a answer
	r.Outcome = failed
	r.Call = c.world.history.now()
	for ; attempts > 0 && !c.world.isStopping(); attempts-- {
		n := c.anyNode()
		r.Node = n.id
		a = c.try(w, n)
		switch got := outcomeOf(&a); got {
		case ok, refused:
			r.Outcome = got
			attempts = 1
		case uncertain:
			r.Outcome = uncertain
		}
		if a.status == 422 {
			c.world.find("node %d: a write was refused as invalid: %s", n.id, a.text())
		}
	}
	r.Return = c.world.history.now()
	if r.Outcome == ok {
		c.acknowledged(w, k, &a)
	}
	c.world.count(r, &a)
	c.world.history.add(*r)
}

func (c *client) acknowledged(w *writing, k *config, a *answer) {
	var body struct {
		ID      string `json:"id"`
		Version uint64 `json:"version_id"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil || body.Version == 0 {
		c.world.find("a write was answered with %s", a.text())
		return
	}
	w.r.Version, w.r.Rev = body.Version, header(a.header, "X-Conflux-Revision")
	if w.r.Kind == create {
		k.id = body.ID
	}
	k.saw(w.r.Version, w.r.Rev)
	c.saw(w.r.Rev)
}

func (c *client) sendAgain(w *writing) {
	r := w.r
	r.Kind = again
	n := c.anyNode()
	r.Node, r.Call = n.id, c.world.history.now()
	a := c.try(w, n)
	r.Return, r.Outcome = c.world.history.now(), outcomeOf(&a)
	if r.Outcome == ok {
		var body struct {
			Version uint64 `json:"version_id"`
		}
		_ = json.Unmarshal(a.body, &body)
		r.Version = body.Version
	}
	c.world.count(&r, &a)
	c.world.history.add(r)
}

// Makes a configuration, however long that takes.
func (c *client) create(address string) (*config, bool) {
	k := &config{address: address}
	w := c.prepare(create, k)
	c.send(w, k, 1000)
	return k, w.r.Outcome == ok
}
