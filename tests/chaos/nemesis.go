package main

import (
	"context"
	"fmt"
	"math/rand"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A fault: begins, is in force for a while, and is undone.  'begin' tells what
// it does; a nil undo means that it is over already, "" that it does not apply
// now.
type faultKind struct {
	name  string
	begin func(n *nemesis, rng *rand.Rand) (text string, undo func())
}

// In the order in which FAULTS= names them.
var faultKinds = []faultKind{
	{"kill", (*nemesis).kill},
	{"kill-leader", (*nemesis).killLeader},
	{"kill-all", (*nemesis).killAll},
	{"term", (*nemesis).rollingRestart},
	{"pause", (*nemesis).pause},
	{"pause-leader", (*nemesis).pauseLeader},
	{"link", (*nemesis).link},
	{"one-way", (*nemesis).oneWay},
	{"partition", (*nemesis).partition},
	{"slow-link", (*nemesis).slowLink},
	{"stall", (*nemesis).stall},
	{"slow-disk", (*nemesis).slowDisk},
	{"sync-error", (*nemesis).syncError},
	{"full", (*nemesis).full},
	{"full-disk", (*nemesis).fullDisk},
	{"clock", (*nemesis).clock},
	{"replace", (*nemesis).replace},
	{"transfer", (*nemesis).transfer},
}

type nemesis struct {
	world *world
	rng   *rand.Rand
	kinds []faultKind
	bag   []faultKind // of these, not begun since it was filled
	plant string

	mu          sync.Mutex
	cut         map[int]bool    // links that are down
	filters     map[int]*filter // packets that are dropped, by node
	broken      map[int]bool    // their disk failed a sync: to be restarted
	small       map[int]bool    // disks that are full
	isReplacing bool            // one disk is lost at a time: no majority without it
	replaced    sync.WaitGroup  // replacements under way
	copies      map[int]string  // of data directories, for the plant "forget"
}

type filter struct{ from, to map[int]int }

func newNemesis(w *world, seed int64, kinds []faultKind, plant string) *nemesis {
	return &nemesis{world: w, rng: rand.New(rand.NewSource(seed)), kinds: kinds,
		plant: plant, cut: map[int]bool{}, filters: map[int]*filter{},
		broken: map[int]bool{}, small: map[int]bool{}, copies: map[int]string{}}
}

func (n *nemesis) tell(format string, args ...interface{}) {
	text := fmt.Sprintf(format, args...)
	n.world.say("%s", text)
	n.world.history.add(record{Kind: fault, Call: n.world.history.now(), Text: text})
}

func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int63n(int64(most-least)+1))
}

// One phase: one to three faults that overlap, then everything is made well.
func (n *nemesis) phase() {
	var all sync.WaitGroup
	count := 1 + n.rng.Intn(3)
	if n.plant == "forget" { // copies what nobody may start meanwhile
		count = 1
	}
	for ; count > 0; count-- {
		kind := n.next()
		rng := rand.New(rand.NewSource(n.rng.Int63()))
		after := between(rng, 0, 3*time.Second)
		lasts := between(rng, 300*time.Millisecond, 8*time.Second)
		all.Add(1)
		go func() {
			defer all.Done()
			n.world.sleep(after)
			n.one(kind, rng, lasts)
		}()
	}
	all.Wait()
	n.heal()
}

// Each kind comes once before any comes again.
func (n *nemesis) next() faultKind {
	if len(n.bag) == 0 {
		n.bag = append(n.bag, n.kinds...)
		n.rng.Shuffle(len(n.bag), func(i, j int) { n.bag[i], n.bag[j] = n.bag[j], n.bag[i] })
	}
	kind := n.bag[0]
	n.bag = n.bag[1:]
	return kind
}

func (n *nemesis) one(kind faultKind, rng *rand.Rand, lasts time.Duration) {
	text, undo := kind.begin(n, rng)
	if text == "" {
		return
	}
	n.world.mu.Lock()
	n.world.faults[kind.name]++
	n.world.mu.Unlock()
	n.tell("%s: %s", kind.name, text)
	if undo == nil {
		return
	}
	n.world.sleep(lasts)
	undo()
	n.tell("%s: over", kind.name)
}

func (w *world) sleep(d time.Duration) {
	for end := time.Now().Add(d); !w.isStopping() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

// Makes everything well, whatever was left; a node whose disk failed a sync is
// started anew, as an operator would.
func (n *nemesis) heal() {
	n.well()
	n.replaced.Wait()
	n.well()
	n.tell("all is well")
}

func (n *nemesis) well() {
	n.world.proxy.heal()
	for _, x := range n.world.members() {
		n.setCut(x, false)
		n.mu.Lock()
		delete(n.filters, x.id)
		broken := n.broken[x.id]
		delete(n.broken, x.id)
		n.mu.Unlock()
		must(x.ns.drop(nil, nil))
		n.widen(x)
		x.control.heal()
		x.setSick(false)
		if n.rng.Intn(2) == 0 {
			x.control.setClock(0, 0)
		}
		x.pause(false)
		if s, err := x.status(); broken && (err != nil || s.Failure != "") {
			n.tell("node %d is started anew: %s%v", x.id, s.Failure, errText(err))
			x.end(syscall.SIGKILL)
		}
		must(x.start())
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (n *nemesis) any(rng *rand.Rand) *node {
	nodes := n.world.members()
	return nodes[rng.Intn(len(nodes))]
}

func ids(nodes []*node) []int {
	var all []int
	for _, x := range nodes {
		all = append(all, x.id)
	}
	return all
}

// ---- processes ----

func (n *nemesis) killed(x *node, why string) (string, func()) {
	x.end(syscall.SIGKILL)
	return fmt.Sprintf("SIGKILL to %s %d", why, x.id), func() { must(x.start()) }
}

func (n *nemesis) kill(rng *rand.Rand) (string, func()) {
	return n.killed(n.any(rng), "node")
}

func (n *nemesis) killLeader(rng *rand.Rand) (string, func()) {
	x := n.world.leader()
	if x == nil {
		return "", nil
	}
	return n.killed(x, "the leader,")
}

func (n *nemesis) killAll(rng *rand.Rand) (string, func()) {
	nodes := n.world.members()
	for _, x := range nodes {
		x.end(syscall.SIGKILL)
	}
	if n.plant == "forget" {
		n.forget(nodes)
	}
	return fmt.Sprintf("SIGKILL to all of %v", ids(nodes)), func() {
		for _, x := range nodes {
			must(x.start())
		}
	}
}

// The planted mistake of a disk that goes back to what it held before.
func (n *nemesis) forget(nodes []*node) {
	for _, x := range nodes {
		if old := n.copies[x.id]; old != "" {
			must(run("sh", "-c", "rm -rf \"$1\"/* && cp -a \"$2\"/. \"$1\"", "sh", x.dir, old))
			continue
		}
		n.copies[x.id] = filepath.Join(n.world.out, fmt.Sprintf("n%d.copy", x.id))
		must(run("cp", "-a", x.dir, n.copies[x.id]))
	}
}

func (n *nemesis) rollingRestart(rng *rand.Rand) (string, func()) {
	nodes := n.world.members()
	go n.tell("term: each of %v in turn", ids(nodes))
	for _, x := range nodes {
		if !x.isRunning() {
			continue
		}
		x.pause(false)
		x.end(syscall.SIGTERM)
		must(x.start())
		_ = n.world.until(5*time.Second, "ready", func() error {
			s, err := x.status()
			if err == nil && !s.IsReady {
				err = fmt.Errorf("not ready")
			}
			return err
		})
	}
	return fmt.Sprintf("SIGTERM to each of %v in turn", ids(nodes)), nil
}

// Shorter than the election timeout, about as long, and longer.
func (n *nemesis) paused(x *node, rng *rand.Rand) (string, func()) {
	d := []time.Duration{between(rng, 50*time.Millisecond, 250*time.Millisecond),
		between(rng, 250*time.Millisecond, time.Second),
		between(rng, time.Second, 8*time.Second)}[rng.Intn(3)]
	x.pause(true)
	n.world.sleep(d)
	x.pause(false)
	return fmt.Sprintf("SIGSTOP of node %d was for %v", x.id, d.Round(time.Millisecond)), nil
}

func (n *nemesis) pause(rng *rand.Rand) (string, func()) { return n.paused(n.any(rng), rng) }

func (n *nemesis) pauseLeader(rng *rand.Rand) (string, func()) {
	x := n.world.leader()
	if x == nil {
		return "", nil
	}
	return n.paused(x, rng)
}

// ---- links ----

func (n *nemesis) setCut(x *node, isCut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut[x.id] == isCut {
		return
	}
	n.cut[x.id] = isCut
	must(x.ns.setLink(!isCut))
}

func (n *nemesis) link(rng *rand.Rand) (string, func()) {
	x := n.any(rng)
	n.setCut(x, true)
	return fmt.Sprintf("of node %d is down", x.id), func() { n.setCut(x, false) }
}

// Adds to, or takes from, what a node drops; faults overlap, so it is counted.
func (n *nemesis) filter(x *node, from, to []int, by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.filters[x.id]
	if f == nil {
		if by < 0 { // healed meanwhile
			return
		}
		f = &filter{map[int]int{}, map[int]int{}}
		n.filters[x.id] = f
	}
	list := func(m map[int]int, change []int) (all []int) {
		for _, id := range change {
			m[id] += by
		}
		for id, count := range m {
			if count > 0 {
				all = append(all, id)
			}
		}
		return
	}
	must(x.ns.drop(list(f.from, from), list(f.to, to)))
}

func (n *nemesis) oneWay(rng *rand.Rand) (string, func()) {
	x := n.any(rng)
	var from, to []int
	text := "hears nobody"
	others := make([]int, 0)
	for _, y := range n.world.members() {
		if y != x {
			others = append(others, y.id)
		}
	}
	switch rng.Intn(4) {
	case 0:
		from = others
	case 1:
		to, text = others, "is heard by nobody"
	case 2:
		from = others[:1]
		text = fmt.Sprintf("does not hear %d", others[0])
	case 3:
		to = others[:1]
		text = fmt.Sprintf("is not heard by %d", others[0])
	}
	n.filter(x, from, to, 1)
	return fmt.Sprintf("node %d %s", x.id, text), func() { n.filter(x, from, to, -1) }
}

// Two groups that drop each other's packets.
func (n *nemesis) partition(rng *rand.Rand) (string, func()) {
	nodes := append([]*node(nil), n.world.members()...)
	rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	at := 1 + rng.Intn(len(nodes)-1)
	a, b := nodes[:at], nodes[at:]
	change := func(by int) {
		for _, x := range a {
			n.filter(x, ids(b), ids(b), by)
		}
		for _, x := range b {
			n.filter(x, ids(a), ids(a), by)
		}
	}
	change(1)
	return fmt.Sprintf("%v from %v", ids(a), ids(b)), func() { change(-1) }
}

func (n *nemesis) slowLink(rng *rand.Rand) (string, func()) {
	x := n.any(rng)
	delay := between(rng, time.Millisecond, 150*time.Millisecond)
	jitter := between(rng, 0, 100*time.Millisecond)
	rate := []int{0, 64 << 10, 1 << 20}[rng.Intn(3)]
	for _, y := range n.world.members() {
		if y != x {
			n.world.proxy.way(x.id, y.id).set(delay, jitter, rate, false)
			n.world.proxy.way(y.id, x.id).set(delay, jitter, rate, false)
		}
	}
	return fmt.Sprintf("node %d: %v more each way, up to %v jitter, %d bytes/s", x.id,
		delay.Round(time.Millisecond), jitter.Round(time.Millisecond), rate), n.quiet(x)
}

func (n *nemesis) quiet(x *node) func() {
	return func() {
		for _, y := range n.world.members() {
			n.world.proxy.way(x.id, y.id).set(0, 0, 0, false)
			n.world.proxy.way(y.id, x.id).set(0, 0, 0, false)
		}
	}
}

// Connections stand and carry nothing, in one direction; all comes later.
func (n *nemesis) stall(rng *rand.Rand) (string, func()) {
	x, y := n.any(rng), n.any(rng)
	if x == y {
		return "", nil
	}
	way := n.world.proxy.way(x.id, y.id)
	way.set(0, 0, 0, true)
	return fmt.Sprintf("what %d sends to %d is kept back", x.id, y.id),
		func() { way.set(0, 0, 0, false) }
}

// ---- disks ----

func (n *nemesis) slowDisk(rng *rand.Rand) (string, func()) {
	x := n.any(rng)
	d := between(rng, time.Millisecond, 60*time.Millisecond)
	x.control.set(delayUS, d.Microseconds())
	return fmt.Sprintf("node %d: %v more a write", x.id, d.Round(time.Millisecond)),
		func() { x.control.set(delayUS, 0) }
}

// Every sync fails, and what it was to make durable is there or not.  It ends
// that node's part until it is started anew, and nothing else.
func (n *nemesis) syncError(rng *rand.Rand) (string, func()) {
	x := n.any(rng)
	lost := int64(rng.Intn(2))
	n.mu.Lock()
	n.broken[x.id] = true
	n.mu.Unlock()
	x.setSick(true)
	x.control.set(syncLost, lost)
	x.control.set(syncErrno, int64(syscall.EIO))
	return fmt.Sprintf("EIO for syncs of node %d, writes %s", x.id,
			map[int64]string{0: "done all the same", 1: "not done"}[lost]),
		func() { x.control.set(syncErrno, 0) }
}

// No room, as the preloaded library has it.
func (n *nemesis) full(rng *rand.Rand) (string, func()) {
	x := n.any(rng)
	if l := n.world.leader(); l != nil && rng.Intn(2) == 0 {
		x = l
	}
	x.setSick(true)
	x.control.set(fullDisk, 1)
	return fmt.Sprintf("ENOSPC for what grows at node %d", x.id),
		func() { x.control.set(fullDisk, 0) }
}

// No room for real: the node with a small disk of its own.
func (n *nemesis) fullDisk(rng *rand.Rand) (string, func()) {
	for _, x := range n.world.members() {
		if !x.isTmpfs {
			continue
		}
		x := x
		x.setSick(true)
		if err := x.setFull(true); err != nil {
			return "", nil
		}
		n.mu.Lock()
		n.small[x.id] = true
		n.mu.Unlock()
		return fmt.Sprintf("of node %d: not a byte more", x.id), func() { n.widen(x) }
	}
	return "", nil
}

func (n *nemesis) widen(x *node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.small[x.id] {
		_ = x.setFull(false)
		delete(n.small, x.id)
	}
}

// ---- clocks ----

func (n *nemesis) clock(rng *rand.Rand) (string, func()) {
	x := n.any(rng)
	by := between(rng, -10*time.Minute, 10*time.Minute)
	if rng.Intn(2) == 0 {
		by /= 100
	}
	ppm := int64(rng.Intn(3)) * (rng.Int63n(100000) - 50000)
	x.control.setClock(by, ppm)
	return fmt.Sprintf("of node %d: %v, and %d ppm", x.id, by.Round(time.Millisecond), ppm), nil
}

// ---- who is in the cluster ----

// Asks whichever node answers for a change of the membership.
func (n *nemesis) change(method, path string, body string) error {
	var last error
	for _, x := range n.world.members() {
		ctx, cancel := context.WithTimeout(context.Background(), n.world.patience(5*time.Second))
		a := x.ask(ctx, x.http, method, path, []byte(body))
		cancel()
		if a.status >= 200 && a.status < 300 {
			return nil
		}
		last = fmt.Errorf("node %d: %s %s: %s", x.id, method, path, a.text())
	}
	return last
}

func (n *nemesis) transfer(rng *rand.Rand) (string, func()) {
	x := n.any(rng)
	if x == n.world.leader() {
		return "", nil
	}
	err := n.change("POST", "/_cluster/leader/transfer", fmt.Sprintf(`{"id": %d}`, x.id))
	return fmt.Sprintf("leadership to node %d %s", x.id, errText(err)), nil
}

type memberList struct {
	Nodes []struct {
		ID   int    `json:"id"`
		Role string `json:"role"`
	} `json:"nodes"`
}

// The role of a node as the others tell it; "": it is none of them.
func (n *nemesis) role(id int) (string, error) {
	x := n.world.leader()
	if x == nil {
		return "", fmt.Errorf("no leader")
	}
	var l memberList
	if err := x.get("/_cluster/nodes", 2*time.Second, &l); err != nil {
		return "", err
	}
	for _, m := range l.Nodes {
		if m.ID == id {
			return m.Role, nil
		}
	}
	return "", nil
}

// A node dies for good with its disk; another takes its place: the dead one is
// removed, the new one is added, catches up and is promoted.  The other faults go on meanwhile, so
// each step is tried until it holds.
func (n *nemesis) replace(rng *rand.Rand) (string, func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isReplacing {
		return "", nil
	}
	old := n.any(rng)
	x, err := n.world.addNode(old.isTmpfs)
	if err != nil {
		return "", nil
	}
	x.peers, x.joins = peersOf(n.world.members()), n.world.clusterID
	n.world.swap(old, x)
	old.free()
	must(x.start())
	n.replaced.Add(1)
	n.isReplacing = true
	go func() {
		defer n.replaced.Done()
		defer func() {
			n.mu.Lock()
			n.isReplacing = false
			n.mu.Unlock()
		}()
		if err := n.join(old, x); err != nil {
			n.world.find("replace node %d by %d: %v\n%s", old.id, x.id, err, n.world.tails())
		}
	}()
	return fmt.Sprintf("node %d and its disk are gone, node %d comes", old.id, x.id), nil
}

func (w *world) swap(old, x *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	nodes := append([]*node(nil), w.nodes...)
	for i := range nodes {
		if nodes[i] == old {
			nodes[i] = x
		}
	}
	w.nodes = nodes
}

func (n *nemesis) join(old, x *node) error {
	body := fmt.Sprintf(`{"id": %d, "address": "%s"}`, x.id, at(alias(x.id), raftPort))
	for _, s := range []struct {
		what string
		do   func() error
		id   int
		role func(string) bool
	}{
		{"removed", func() error {
			return n.change("DELETE", fmt.Sprintf("/_cluster/nodes/%d?force=true", old.id), "")
		}, old.id, func(r string) bool { return r == "" }},
		{"added", func() error { return n.change("POST", "/_cluster/nodes", body) },
			x.id, func(r string) bool { return r != "" }},
		{"promoted", func() error {
			return n.change("POST", fmt.Sprintf("/_cluster/nodes/%d/promote", x.id), "")
		}, x.id, func(r string) bool { return r == "voter" || r == "leader" }},
	} {
		// The answer may get lost: what counts is what the leader says then.
		if err := n.world.until(60*time.Second, s.what, func() error {
			did := s.do()
			role, err := n.role(s.id)
			if err != nil {
				return err
			}
			if s.role(role) {
				return nil
			}
			return fmt.Errorf("node %d is %q: %v", s.id, role, did)
		}); err != nil {
			return err
		}
		n.tell("replace: node %d is %s", s.id, s.what)
	}
	return nil
}
