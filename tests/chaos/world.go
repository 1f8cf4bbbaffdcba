package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Everything of one run.
type world struct {
	bin, shim, asan, out string
	run                  string // names what this run writes
	extra, env           []string
	isFirstWrong         bool          // env is of node 1 alone
	slow                 time.Duration // how much longer things may take: 1 or more
	authority            *authority
	proxy                *proxy
	history              *history
	clients              []*client
	watches              []*watch
	clusterID            string

	gate     sync.RWMutex // clients hold it for an operation
	keys     []*config
	stopping int32

	mu         sync.Mutex
	nodes      []*node
	nextID     int
	rootToken  string
	violations []string
	counts     map[string]int // operations by kind and outcome
	reasons    map[string]int // what was answered where it was not done
	faults     map[string]int
	lastOK     int64 // when the last operation succeeded
	longest    int64 // between two of these
	healTimes  []time.Duration
	undecided  []string
	keysDone,
	opsDone int
}

func (w *world) patience(d time.Duration) time.Duration { return d * w.slow }

// The time of the run, for people.
func (w *world) at() string { return fmt.Sprintf("%.3fs", sec(w.history.now())) }

func (w *world) say(format string, args ...interface{}) {
	fmt.Printf("%9s  %s\n", w.at(), fmt.Sprintf(format, args...))
}

// A finding: the run goes on to its end and fails.
func (w *world) find(format string, args ...interface{}) {
	text := fmt.Sprintf(format, args...)
	w.mu.Lock()
	if len(w.violations) < 100 {
		w.violations = append(w.violations, text)
	}
	w.mu.Unlock()
	w.say("VIOLATION %s", text)
}

func (w *world) hasFailed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.violations) > 0
}

func (w *world) isStopping() bool { return atomic.LoadInt32(&w.stopping) != 0 }

func (w *world) members() []*node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[:len(w.nodes):len(w.nodes)]
}

func (w *world) byID(id int) *node {
	for _, n := range w.members() {
		if n.id == id {
			return n
		}
	}
	return nil
}

// The cluster's root token: the first node's whose proposal was applied.
func (w *world) token() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rootToken
}

func (w *world) findToken() bool {
	files, _ := filepath.Glob(filepath.Join(w.out, "n*", "root.token"))
	if len(files) != 1 {
		return false
	}
	b, err := os.ReadFile(files[0])
	if err != nil || len(b) == 0 {
		return false
	}
	w.mu.Lock()
	w.rootToken = strings.TrimSpace(string(b))
	w.mu.Unlock()
	return true
}

// Counts an operation that ended.
func (w *world) count(r *record, a *answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[r.Kind+" "+r.Outcome]++
	if r.Outcome == failed || r.Outcome == uncertain {
		why := "no answer"
		if a.unsent {
			why = "no connection"
		} else if a.status > 0 {
			why = fmt.Sprint(a.status, " ", a.problem())
		}
		w.reasons[why]++
	}
	if r.Outcome == ok && r.Kind != local {
		if gap := r.Return - w.lastOK; w.lastOK > 0 && gap > w.longest {
			w.longest = gap
		}
		w.lastOK = r.Return
	}
}

// Waits until a condition holds; the last error says why it does not.
func (w *world) until(limit time.Duration, what string, holds func() error) error {
	end := time.Now().Add(w.patience(limit))
	for {
		err := holds()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v: %w", what, w.patience(limit), err)
		}
		if w.isStopping() {
			return fmt.Errorf("%s: interrupted: %w", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ---- beginning ----

func (w *world) addNode(isTmpfs bool) (*node, error) {
	w.mu.Lock()
	w.nextID++
	id := w.nextID
	w.mu.Unlock()
	if id > idsMax {
		return nil, fmt.Errorf("no more than %d nodes in a run", idsMax)
	}
	return newNode(w, id, isTmpfs)
}

func peersOf(nodes []*node) string {
	var words []string
	for _, n := range nodes {
		words = append(words, fmt.Sprintf("%d=%s", n.id, at(alias(n.id), raftPort)))
	}
	return strings.Join(words, ",")
}

// A cluster of n nodes that is ready, one of them on a small disk of its own.
func (w *world) begin(n int, rng *rand.Rand) error {
	small := rng.Intn(n)
	for i := 0; i < n; i++ {
		node, err := w.addNode(i == small)
		if err != nil {
			return err
		}
		w.nodes = append(w.nodes, node)
	}
	for _, node := range w.nodes {
		node.peers = peersOf(w.nodes)
		if err := node.start(); err != nil {
			return err
		}
	}
	// Each node proposes a token; those that are not the first take theirs away.
	if err := w.until(30*time.Second, "a cluster and its token", func() error {
		if !w.findToken() {
			return fmt.Errorf("not one root.token")
		}
		return w.isWhole()
	}); err != nil {
		return err
	}
	s, err := w.nodes[0].status()
	if err != nil {
		return err
	}
	w.clusterID = s.ClusterID
	return w.makeTenant()
}

func (w *world) makeTenant() error {
	body := []byte(`{"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "Tenant",
		"metadata": {"name": "acme"}}`)
	return w.until(20*time.Second, "a tenant", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), w.patience(3*time.Second))
		defer cancel()
		n := w.nodes[0]
		a := n.ask(ctx, n.http, "POST", "/apis/gitops.conflux.io/v1alpha1/tenants", body)
		if a.status == 201 || a.status == 409 {
			return nil
		}
		return fmt.Errorf("%s", a.text())
	})
}

// Configurations for the next phase.
func (w *world) newKeys(phase, n int) error {
	var keys []*config
	for i := 0; i < n; i++ {
		k, made := w.clients[i%len(w.clients)].create(fmt.Sprintf("acme/shop/prod/p%d-%d", phase, i))
		if !made {
			return fmt.Errorf("%s could not be created", k.address)
		}
		keys = append(keys, k)
	}
	w.keys = keys
	return nil
}

// ---- what holds when nothing is wrong ----

// All nodes are ready, know one leader and have no failure.
func (w *world) isWhole() error {
	leader := 0
	for _, n := range w.members() {
		s, err := n.status()
		if err != nil {
			return err
		}
		if s.Failure != "" {
			return fmt.Errorf("node %d failed: %s", n.id, s.Failure)
		}
		if !s.IsReady || s.LeaderID == 0 {
			return fmt.Errorf("node %d is not ready (leader %d, applied %d of %d)",
				n.id, s.LeaderID, s.Applied, s.Commit)
		}
		if leader == 0 {
			leader = s.LeaderID
		} else if leader != s.LeaderID {
			return fmt.Errorf("node %d follows %d, others %d", n.id, s.LeaderID, leader)
		}
	}
	return nil
}

// The node that leads by its own word; nil: none does.
func (w *world) leader() *node {
	var found *node
	term := uint64(0)
	for _, n := range w.members() {
		if s, err := n.status(); err == nil && s.IsLeader && s.Term >= term {
			found, term = n, s.Term
		}
	}
	return found
}

// What a node found when it compared its effect chain with the others': nodes do so
// when nothing was applied for a moment, at the last entry.
func (n *node) isAlike() error {
	var s struct {
		State    string `json:"state"`
		Applied  uint64 `json:"applied_index"`
		Compared uint64 `json:"compared_index"`
	}
	if err := n.get("/_cluster/status", 5*time.Second, &s); err != nil {
		return err
	}
	if s.State != "alike" || s.Compared != s.Applied {
		return fmt.Errorf("node %d: the effect chain is %s, compared up to entry %d of %d",
			n.id, s.State, s.Compared, s.Applied)
	}
	return nil
}

// All nodes show the same revision, state of the audit chain, and effect chain.
func (w *world) isEqual() error {
	var first string
	for _, n := range w.members() {
		s, err := n.status()
		if err != nil {
			return err
		}
		var audit struct {
			Valid   bool   `json:"valid"`
			Records uint64 `json:"records"`
			Head    string `json:"head"`
			Detail  string `json:"detail"`
		}
		if err = n.get("/api/v1/audit/verify", w.patience(20*time.Second), &audit); err != nil {
			return err
		}
		if err = n.isAlike(); err != nil {
			return err
		}
		if !audit.Valid {
			return fmt.Errorf("node %d: the audit chain is broken: %s", n.id, audit.Detail)
		}
		text := fmt.Sprintf("revision %d, %d audit records, head %s", s.Revision,
			audit.Records, audit.Head)
		if first == "" {
			first = text
		} else if first != text {
			return fmt.Errorf("node %d has %s; node %d has %s", w.members()[0].id,
				first, n.id, text)
		}
	}
	return nil
}

// Watches have told everything up to the newest acknowledged write.
func (w *world) watchesReach(rev uint64) error {
	for _, x := range w.watches {
		if x.told() < rev {
			return fmt.Errorf("watch %d has told up to revision %d of %d", x.id,
				x.told(), rev)
		}
	}
	return nil
}

// Each acknowledged write is a version at each node, with its content.
func (w *world) isFound(records []record) error {
	acked := map[string][]*record{}
	for i := range records {
		if r := &records[i]; r.isWrite() && r.Outcome == ok {
			acked[r.Key] = append(acked[r.Key], r)
		}
	}
	for _, n := range w.members() {
		for _, k := range w.keys {
			have, err := n.versions(k)
			if err != nil {
				return err
			}
			for _, r := range acked[k.address] {
				if have[r.Version] != r.Value {
					return fmt.Errorf("node %d has %.8q for %s", n.id, have[r.Version], r)
				}
			}
		}
	}
	return nil
}

func (n *node) versions(k *config) (map[uint64]string, error) {
	all := map[uint64]string{}
	next := ""
	for {
		var page struct {
			Versions []struct {
				ID     uint64 `json:"version_id"`
				Sha256 string `json:"sha256"`
			} `json:"versions"`
			Next string `json:"next"`
		}
		path := "/api/v1/mgt/configs/" + k.id + "/versions?limit=1000" + next
		if err := n.get(path, n.world.patience(20*time.Second), &page); err != nil {
			return nil, err
		}
		for _, v := range page.Versions {
			all[v.ID] = v.Sha256
		}
		if page.Next == "" {
			return all, nil
		}
		next = "&" + page.Next[1:]
	}
}

// ---- between two phases ----

// Nothing is wrong any more: everything has to come together again, and what
// was done since record 'from' is checked.  Clients are held from then on, until
// the caller lets them go; answers where the next phase's records begin.
func (w *world) settle(from int) (int, bool) {
	healed := time.Now()
	err := w.until(40*time.Second, "the cluster comes together", w.isWhole)
	w.gate.Lock()
	if err != nil {
		w.find("%v\n%s", err, w.tails())
		return from, false
	}
	w.mu.Lock()
	w.healTimes = append(w.healTimes, time.Since(healed))
	w.mu.Unlock()

	isGood := w.compare(from)
	records, next := w.history.since(from)
	began := time.Now()
	c := &checker{out: w.out}
	c.linearizability(records)
	w.took(c)
	w.history.flush()
	w.say("settled: %d records, %d operations of %d keys checked in %.1f s",
		len(records), c.ops, c.keys, time.Since(began).Seconds())
	w.mu.Lock()
	w.lastOK = 0 // the pause is ours
	w.mu.Unlock()
	return next, isGood && len(c.violations) == 0
}

// What a checker found belongs to the run.
func (w *world) took(c *checker) {
	for _, v := range c.violations {
		w.find("%s", v.String())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.undecided = append(w.undecided, c.undecided...)
	w.keysDone += c.keys
	w.opsDone += c.ops
}

// Compares the nodes, with the clients held.
func (w *world) compare(from int) bool {
	records, _ := w.history.since(from)
	newest := uint64(0)
	for i := range records {
		if records[i].isWrite() && records[i].Rev > newest {
			newest = records[i].Rev
		}
	}
	finder := w.clients[0]
	for _, step := range []struct {
		limit time.Duration
		what  string
		holds func() error
	}{
		{20 * time.Second, "the nodes are equal", w.isEqual},
		{20 * time.Second, "every acknowledged write is found at every node",
			func() error { return w.isFound(records) }},
		{20 * time.Second, "a read of every key at every node", func() error {
			for _, n := range w.members() {
				for _, k := range w.keys {
					if !finder.read(k, n) {
						return fmt.Errorf("%s at node %d", k.address, n.id)
					}
				}
			}
			return nil
		}},
		{40 * time.Second, "the watches are complete", func() error {
			return w.watchesReach(newest)
		}},
	} {
		if err := w.until(step.limit, step.what, step.holds); err != nil {
			w.find("%v\n%s", err, w.tails())
			return false
		}
	}
	return true
}

// Takes a phase's configurations away, so that the state stays small.
func (w *world) dropKeys(keys []*config) {
	for _, k := range keys {
		k := k
		_ = w.until(20*time.Second, "a delete", func() error {
			n := w.members()[0]
			ctx, cancel := context.WithTimeout(context.Background(), w.patience(3*time.Second))
			defer cancel()
			a := n.ask(ctx, n.http, "DELETE", "/api/v1/mgt/configs/"+k.id, nil)
			if a.status == 204 || a.status == 404 {
				return nil
			}
			return fmt.Errorf("%s", a.text())
		})
	}
}

func (w *world) tails() string {
	var s []string
	for _, n := range w.members() {
		st, err := n.status()
		b, _ := json.Marshal(st)
		if err != nil {
			b = []byte(err.Error())
		}
		s = append(s, fmt.Sprintf("  node %d %s\n%s", n.id, b, n.tail(6)))
	}
	return strings.Join(s, "\n")
}

// How often a text stands in the logs of all nodes that were.
func (w *world) inLogs(text string) int {
	files, _ := filepath.Glob(filepath.Join(w.out, "n*.log"))
	n := 0
	for _, f := range files {
		b, _ := os.ReadFile(f)
		n += strings.Count(string(b), text)
	}
	return n
}

// Where the sanitizer's run time is that a program needs; "": it has none.
func sanitizerOf(program string) string {
	out, _ := exec.Command("ldd", program).Output()
	for _, line := range strings.Split(string(out), "\n") {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[0], "libasan") {
			return f[2]
		}
	}
	return ""
}

func sorted(m map[string]int) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
