// Command chaos runs a cluster of real processes while faults befall them, and
// checks what its clients saw: `make chaos` (docs/reliability.md).
//
//	inside.go	namespaces: whatever is made here ends with the run
//	node.go, certs.go	the processes
//	proxy.go, shim.go	slow links; slow and failing disks, clocks
//	clients.go, watch.go	who writes, reads and watches
//	nemesis.go	the faults
//	record.go, check.go	the history, and what must hold of it
//	world.go	a run: phases, and what must hold between two of them
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type options struct {
	bin, shim, out, faults, plant, check string
	minutes                              float64
	seed                                 int64
	nodes, clients, keys                 int
}

func parse() *options {
	o := &options{}
	flag.StringVar(&o.bin, "bin", "", "folder of confluxd")
	flag.StringVar(&o.shim, "shim", "", "the library that is preloaded into it")
	flag.StringVar(&o.out, "out", "", "folder for data, logs, history and pictures; made empty")
	flag.Float64Var(&o.minutes, "minutes", 1, "how long faults are made")
	flag.Int64Var(&o.seed, "seed", 0, "of faults and clients; 0: any")
	flag.StringVar(&o.faults, "faults", "", "which faults, commas between: all of "+names())
	flag.StringVar(&o.plant, "plant", "", "a mistake that has to be found: "+
		strings.Join(sortedPlants(), ", "))
	flag.StringVar(&o.check, "check", "", "checks this history again, and no more")
	flag.IntVar(&o.nodes, "nodes", 3, "nodes of the cluster")
	flag.IntVar(&o.clients, "clients", 8, "clients that write and read")
	flag.IntVar(&o.keys, "keys", 5, "configurations at a time")
	flag.Parse()
	if o.seed == 0 {
		o.seed = time.Now().UnixNano()%1000000 + 1
	}
	return o
}

func names() string {
	var all []string
	for _, k := range faultKinds {
		all = append(all, k.name)
	}
	return strings.Join(all, ",")
}

// A planted mistake: the failpoint that makes confluxd wrong, faults under which it
// shows, and the text of the check that has to find it ("": any).
type planted struct {
	failpoint, faults, found string
	nodes                    int  // 0: as many as are asked for
	isFirst                  bool // the first node alone is wrong
}

var plants = map[string]planted{
	"stale-read": {failpoint: "read.barrier=error", faults: "pause,stall,one-way"},
	"twice":      {failpoint: "apply.once=error", faults: "kill-leader,pause-leader,link"},
	"watch-skip": {failpoint: "watch.since=error", faults: "kill,term,link"},
	"forget":     {faults: "kill-all"},
	// Of three one would be outvoted, and not be ready: that is another check.
	"diverge": {failpoint: "apply.effect=error@200", faults: "link,pause",
		found: "the nodes are equal", nodes: 2, isFirst: true},
	"die":  {failpoint: "wal.write=crash@300", faults: "link", found: "ended by itself", isFirst: true},
	"hang": {failpoint: "wal.write=stop@300", faults: "link", found: "the cluster comes together", isFirst: true},
}

func sortedPlants() []string {
	m := map[string]int{}
	for name := range plants {
		m[name] = 0
	}
	return sorted(m)
}

// The faults of a list of names.
func chosen(list string) ([]faultKind, error) {
	if list == "" {
		return faultKinds, nil
	}
	var kinds []faultKind
	for _, name := range strings.Split(list, ",") {
		found := false
		for _, k := range faultKinds {
			if k.name == name {
				kinds, found = append(kinds, k), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no fault is named %q; there are %s", name, names())
		}
	}
	return kinds, nil
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "hold" {
		hold()
		return
	}
	o := parse()
	if o.check != "" {
		os.Exit(checkFile(o.check))
	}
	kinds, err := chosen(o.faults)
	if plant, known := plants[o.plant]; err == nil && o.plant != "" {
		if !known {
			err = fmt.Errorf("no plant is named %q; there are %s", o.plant,
				strings.Join(sortedPlants(), ", "))
		} else if o.faults == "" {
			kinds, err = chosen(plant.faults)
		}
		if plant.nodes > 0 {
			o.nodes = plant.nodes
		}
	}
	if err == nil && (o.bin == "" || o.shim == "" || o.out == "" || o.nodes < 2) {
		err = fmt.Errorf("-bin, -shim and -out are wanted, and two nodes at least")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	}
	if !isInside() {
		os.Exit(runInside())
	}
	os.Exit(chaos(o, kinds))
}

// Checks a history of another run again.
func checkFile(path string) int {
	all, err := readHistory(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 2
	}
	c := checkAll(all, filepath.Dir(path))
	for _, v := range c.violations {
		fmt.Println("VIOLATION", v)
	}
	for _, u := range c.undecided {
		fmt.Println("undecided:", u)
	}
	fmt.Printf("%d records, %d operations of %d keys, %d violations\n", len(all), c.ops,
		c.keys, len(c.violations))
	if len(c.violations)+len(c.undecided) > 0 {
		return 1
	}
	return 0
}

func newWorld(o *options) (*world, error) {
	w := &world{bin: o.bin, shim: o.shim, out: o.out, slow: 1,
		run: fmt.Sprintf("run%d", o.seed), counts: map[string]int{},
		reasons: map[string]int{}, faults: map[string]int{}}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	old, err := filepath.Glob(filepath.Join(o.out, "*"))
	must(err)
	for _, path := range old {
		if err := os.RemoveAll(path); err != nil {
			return nil, err
		}
	}
	if w.asan = sanitizerOf(filepath.Join(o.bin, "confluxd")); w.asan != "" {
		w.slow = 3
	}
	p := plants[o.plant]
	if p.failpoint != "" {
		w.env = []string{"CONFLUX_FAILPOINTS=" + p.failpoint}
	}
	w.isFirstWrong = p.isFirst
	if w.history, err = newHistory(filepath.Join(o.out, "history.jsonl")); err != nil {
		return nil, err
	}
	w.authority = newAuthority(o.out)
	jitter := rand.New(rand.NewSource(o.seed))
	var mu sync.Mutex
	w.proxy = newProxy(func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return jitter.Float64()
	})
	return w, nil
}

func chaos(o *options, kinds []faultKind) int {
	err := settleInside()
	if err == nil {
		err = makeBridge()
	}
	var w *world
	if err == nil {
		w, err = newWorld(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 2
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		w.say("interrupted")
		atomic.StoreInt32(&w.stopping, 1)
		<-signals
		os.Exit(130)
	}()
	w.say("chaos for %g minutes, SEED=%d", o.minutes, o.seed)
	err = w.live(o, kinds)
	for _, n := range w.members() {
		n.end(syscall.SIGKILL)
	}
	w.history.flush()
	return w.verdict(o, err)
}

// The run: phases of faults, and all has to be right after each.
func (w *world) live(o *options, kinds []faultKind) error {
	rng := rand.New(rand.NewSource(o.seed))
	if err := w.begin(o.nodes, rng); err != nil {
		return fmt.Errorf("%w\n%s", err, w.tails())
	}
	for i := 0; i < o.clients; i++ {
		w.clients = append(w.clients, newClient(w, 1+i, rng.Int63()))
	}
	stop, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := 0; i <= o.nodes; i++ { // the last is at whichever node
		slot := i
		if i == o.nodes {
			slot = -1
		}
		x := newWatch(w, 1000+i, slot)
		w.watches = append(w.watches, x)
		go x.run(stop)
	}
	if err := w.newKeys(0, o.keys); err != nil {
		return err
	}
	var busy sync.WaitGroup
	for _, c := range w.clients {
		busy.Add(1)
		go c.run(&busy)
	}
	n := newNemesis(w, rng.Int63(), kinds, o.plant)
	end := time.Now().Add(time.Duration(o.minutes * float64(time.Minute)))
	from := 0
	for phase := 1; ; phase++ {
		w.sleep(between(n.rng, 500*time.Millisecond, 2*time.Second))
		n.phase()
		w.sleep(between(n.rng, 500*time.Millisecond, 2*time.Second))
		var isGood bool
		if from, isGood = w.settle(from); !isGood || w.isStopping() || w.hasFailed() ||
			!time.Now().Before(end) {
			break
		}
		old := w.keys
		if err := w.newKeys(phase, o.keys); err != nil {
			return err
		}
		w.gate.Unlock()
		w.dropKeys(old)
	}
	atomic.StoreInt32(&w.stopping, 1)
	w.gate.Unlock()
	busy.Wait()
	cancel()
	all, _ := w.history.since(0)
	c := &checker{out: w.out}
	c.rest(all)
	w.took(c)
	return nil
}

// ---- the end ----

func (w *world) verdict(o *options, err error) int {
	w.table()
	found := len(w.violations) > 0
	how, isPlantFound := w.foundBy(plants[o.plant].found)
	switch {
	case o.plant != "" && isPlantFound:
		fmt.Printf("planted %s: found: %s\n", o.plant, how)
		return 0
	case err != nil:
		fmt.Printf("FAILED: %v\n", err)
	case o.plant != "" && found:
		fmt.Printf("FAILED: planted %s was found by another check than its own\n", o.plant)
	case o.plant != "":
		fmt.Printf("FAILED: planted %s was not found (SEED=%d)\n", o.plant, o.seed)
	case found:
		for _, v := range w.violations {
			fmt.Println("VIOLATION", v)
		}
	case len(w.undecided) > 0:
		fmt.Printf("FAILED: undecided in %v: %s\n", checkTime, strings.Join(w.undecided, ", "))
	default:
		fmt.Println("PASSED: linearizable by key, nothing acknowledged was lost, watches are complete")
		return 0
	}
	fmt.Printf("SEED=%d; logs and history.jsonl are in %s; CHECK=%s checks it again\n", o.seed,
		o.out, filepath.Join(o.out, "history.jsonl"))
	return 1
}

// The first finding with this text, in one line.
func (w *world) foundBy(text string) (string, bool) {
	for _, v := range w.violations {
		if strings.Contains(v, text) {
			return strings.SplitN(v, "\n", 2)[0], true
		}
	}
	return "", false
}

func (w *world) table() {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Println("\noperations")
	total := 0
	for _, k := range sorted(w.counts) {
		fmt.Printf("  %-28s %8d\n", k, w.counts[k])
		total += w.counts[k]
	}
	fmt.Printf("  %-28s %8d\n", "all", total)
	fmt.Println("why not")
	for _, k := range sorted(w.reasons) {
		fmt.Printf("  %-28s %8d\n", k, w.reasons[k])
	}
	fmt.Println("faults")
	total = 0
	for _, k := range sorted(w.faults) {
		fmt.Printf("  %-28s %8d\n", k, w.faults[k])
		total += w.faults[k]
	}
	fmt.Printf("  %-28s %8d\n", "all", total)
	var resumes, restarts, events uint64
	for _, x := range w.watches {
		resumes += atomic.LoadUint64(&x.resumes)
		restarts += atomic.LoadUint64(&x.restarts)
		events += atomic.LoadUint64(&x.events)
	}
	longest := time.Duration(0)
	for _, d := range w.healTimes {
		if d > longest {
			longest = d
		}
	}
	fmt.Println("what came of it")
	for _, row := range []struct {
		what string
		n    interface{}
	}{
		{"phases", len(w.healTimes)},
		{"times a node led", w.inLogs("this node leads")},
		{"checkpoints installed", w.inLogs("checkpoint is installed")},
		{"events watched", events},
		{"watches resumed", resumes},
		{"watches begun anew", restarts},
		{"operations checked", w.opsDone},
		{"keys checked", w.keysDone},
		{"longest without success", fmt.Sprintf("%.1fs", sec(w.longest))},
		{"longest until whole", fmt.Sprintf("%.1fs", longest.Seconds())},
	} {
		fmt.Printf("  %-28s %8v\n", row.what, row.n)
	}
}
