package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A node: its namespace, its data, its process while it runs.
type node struct {
	id      int
	world   *world
	ns      *netns
	control *control
	dir     string // data directory
	log     string // what it writes to standard error
	isTmpfs bool   // the data directory is a small disk of its own
	http    *http.Client

	mu       sync.Mutex
	cmd      *exec.Cmd
	gone     chan struct{} // closed when the process has ended
	isAsked  bool          // its end is wanted
	isSick   bool          // its disk does not do what it should
	bornSick bool          // and did not when the process started
	isPaused bool
	isFreed  bool // it never starts again
	starts   int
	joins    string // the cluster id, where it was not there from the start
	peers    string
}

// The size of a data directory that is a disk of its own, while it is not full.
const tmpfsBytes = 8 << 30

func newNode(w *world, id int, isTmpfs bool) (*node, error) {
	ns, err := newNetns(id)
	if err != nil {
		return nil, err
	}
	n := &node{id: id, world: w, ns: ns, isTmpfs: isTmpfs,
		dir: filepath.Join(w.out, fmt.Sprintf("n%d", id)),
		log: filepath.Join(w.out, fmt.Sprintf("n%d.log", id))}
	if n.control, err = newControl(filepath.Join(w.out, fmt.Sprintf("n%d.control", id))); err != nil {
		return nil, err
	}
	w.authority.issue(id)
	if err = os.Mkdir(n.dir, 0o700); err != nil {
		return nil, err
	}
	if isTmpfs {
		if err = syscall.Mount("chaos", n.dir, "tmpfs", 0,
			fmt.Sprintf("size=%d,mode=0700", tmpfsBytes)); err != nil {
			return nil, fmt.Errorf("mount tmpfs at %s: %w", n.dir, err)
		}
	}
	n.http = &http.Client{Transport: w.transport()}
	return n, w.proxy.listen(id)
}

func (w *world) transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: w.authority.pool, MinVersion: tls.VersionTLS13},
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
		TLSHandshakeTimeout: 2 * time.Second,
	}
}

func (n *node) url(path string) string { return "https://" + at(host(n.id), httpPort) + path }

func (n *node) words() []string {
	cert, key := n.world.authority.files(n.id)
	words := n.ns.in(filepath.Join(n.world.bin, "confluxd"),
		"--data-dir", n.dir,
		"--listen", at(host(n.id), httpPort),
		"--tls-cert-file", cert, "--tls-key-file", key,
		"--node-id", fmt.Sprint(n.id),
		"--raft-listen", at(host(n.id), raftPort),
		"--peers", n.peers,
		"--cluster-cert-file", cert, "--cluster-key-file", key,
		"--cluster-ca-file", n.world.authority.ca(),
		// Checkpoints all the time, and resumes that were compacted.
		"--storage-checkpoint-log", "1MiB",
		"--storage-events-count", "20000",
		"--storage-audit-count", "20000",
		"--storage-versions-max", "100000",
		"--storage-blob-idle", "1m",
		// A node that joins knows no token yet, and is asked all the same.
		"--limits-address-rate", "0",
		"--storage-map-size", "4GiB")
	if n.joins != "" {
		words = append(words, "--cluster-join", n.joins)
	}
	return append(words, n.world.extra...)
}

// What makes it wrong, where a mistake is planted.
func (n *node) env() []string {
	if n.world.isFirstWrong && n.id != 1 {
		return nil
	}
	return n.world.env
}

func (n *node) isRunning() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cmd != nil
}

// Starts it where it does not run.
func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil || n.isFreed {
		return nil
	}
	out, err := os.OpenFile(n.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	words := n.words()
	cmd := exec.Command(words[0], words[1:]...)
	preload := n.world.shim
	if n.world.asan != "" { // its run time has to come first
		preload = n.world.asan + ":" + preload
	}
	// Of the shell's environment nothing but what names no node.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LD_PRELOAD=" + preload,
		"CHAOS_CONTROL=" + n.control.file.Name(), "CHAOS_DIR=" + n.dir,
		"ASAN_OPTIONS=abort_on_error=1:detect_leaks=0"}, n.env()...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	fmt.Fprintf(out, "--- start %d at %s\n", n.starts, n.world.at())
	if err := cmd.Start(); err != nil {
		return err
	}
	n.starts++
	n.cmd, n.gone, n.isAsked, n.isPaused = cmd, make(chan struct{}), false, false
	n.bornSick = n.isSick
	go n.watch(cmd, n.gone)
	return nil
}

// Waits for the end of a process; one that nobody asked for is a finding.
func (n *node) watch(cmd *exec.Cmd, gone chan struct{}) {
	err := cmd.Wait()
	n.mu.Lock()
	asked, sick := n.isAsked, n.bornSick
	n.cmd = nil
	n.mu.Unlock()
	close(gone)
	// What cannot write does not start, and says so.
	if sick && !asked && cmd.ProcessState.ExitCode() > 0 {
		n.world.say("node %d did not start on its disk: %v", n.id, err)
	} else if !asked {
		n.world.find("node %d ended by itself: %v; see %s", n.id, err, n.log)
	}
}

// Sends a signal that ends it, and waits until it is gone; SIGTERM has a
// deadline.
func (n *node) end(sig syscall.Signal) {
	n.mu.Lock()
	cmd, gone := n.cmd, n.gone
	if cmd == nil {
		n.mu.Unlock()
		return
	}
	n.isAsked = true
	_ = cmd.Process.Signal(sig)
	if n.isPaused && sig != syscall.SIGKILL {
		_ = cmd.Process.Signal(syscall.SIGCONT)
	}
	n.mu.Unlock()
	select {
	case <-gone:
	case <-time.After(n.world.patience(60 * time.Second)):
		n.world.find("node %d was not gone a minute after %v; see %s", n.id, sig, n.log)
		_ = cmd.Process.Kill()
		<-gone
	}
}

func (n *node) pause(stop bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil || n.isPaused == stop {
		return
	}
	n.isPaused = stop
	sig := syscall.SIGCONT
	if stop {
		sig = syscall.SIGSTOP
	}
	_ = n.cmd.Process.Signal(sig)
}

// Its disk begins, or ends, to fail.
func (n *node) setSick(yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.isSick = yes
}

// The small disk becomes as large as what is on it, or as large as it was.
func (n *node) setFull(yes bool) error {
	for i := 0; ; i++ {
		size := uint64(tmpfsBytes)
		if yes {
			var s syscall.Statfs_t
			if err := syscall.Statfs(n.dir, &s); err != nil {
				return err
			}
			size = (s.Blocks - s.Bfree) * uint64(s.Bsize)
		}
		// What is written meanwhile makes it too small.
		err := syscall.Mount("chaos", n.dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", size))
		if err == nil || i == 100 {
			return err
		}
	}
}

// For good: the node, its data and its namespace.
func (n *node) free() {
	n.mu.Lock()
	n.isFreed = true
	n.mu.Unlock()
	n.end(syscall.SIGKILL)
	n.world.proxy.unlisten(n.id)
	n.ns.free()
	if n.isTmpfs {
		_ = syscall.Unmount(n.dir, 0)
	}
	must(os.RemoveAll(n.dir))
}

// ---- questions ----

// What a request of the API answered; status 0: there was no answer.
type answer struct {
	status   int
	body     []byte
	header   http.Header
	unsent   bool // no connection: the request did not leave
	err      error
	duration time.Duration
}

// The last part of a problem's type.
func (a *answer) problem() string {
	var p struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(a.body, &p)
	return p.Type[strings.LastIndexAny(p.Type, "/#:")+1:]
}

func (a *answer) text() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d %s", a.status, strings.TrimSpace(string(a.body)))
}

func (n *node) ask(ctx context.Context, client *http.Client, method, path string,
	body []byte, headers ...string) answer {
	var in io.Reader
	if body != nil {
		in = strings.NewReader(string(body))
	}
	began := time.Now()
	r, err := http.NewRequestWithContext(ctx, method, n.url(path), in)
	must(err)
	r.Header.Set("Authorization", "Bearer "+n.world.token())
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	// Go sends what it deems safe again by itself; what is sent again here is
	// decided here.
	r.GetBody = nil
	resp, err := client.Do(r)
	if err != nil {
		return answer{err: err, unsent: isUnsent(err), duration: time.Since(began)}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return answer{err: err, duration: time.Since(began)}
	}
	return answer{status: resp.StatusCode, body: b, header: resp.Header, duration: time.Since(began)}
}

func (n *node) get(path string, timeout time.Duration, out interface{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	a := n.ask(ctx, n.http, "GET", path, nil)
	if a.err == nil && a.status == 200 {
		return json.Unmarshal(a.body, out)
	}
	return fmt.Errorf("node %d: GET %s: %s", n.id, path, a.text())
}

type status struct {
	ClusterID  string `json:"cluster_id"`
	LeaderID   int    `json:"leader_id"`
	IsLeader   bool   `json:"is_leader"`
	IsReady    bool   `json:"is_ready"`
	Term       uint64 `json:"term"`
	Commit     uint64 `json:"commit_index"`
	Applied    uint64 `json:"applied_index"`
	Checkpoint uint64 `json:"checkpoint_index"`
	Revision   uint64 `json:"revision"`
	Compacted  uint64 `json:"compacted_revision"`
	Failure    string `json:"failure"`
}

func (n *node) status() (s status, err error) {
	err = n.get("/api/v1/status", 2*time.Second, &s)
	return
}

// The last lines of its log.
func (n *node) tail(lines int) string {
	f, err := os.Open(n.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	var last []string
	for in := bufio.NewScanner(f); in.Scan(); {
		if last = append(last, "    "+in.Text()); len(last) > lines {
			last = last[1:]
		}
	}
	return strings.Join(last, "\n")
}
