package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// The driver runs itself again in namespaces of its own for network, processes
// and mounts (and users, where it is not root).  All that a run makes lives in
// them: when the inner driver ends, however it ends, the kernel ends its
// processes and takes links, mounts and namespaces away.  Nothing of the
// machine's own is touched, and nothing is left over.

const insideMark = "CHAOS_INSIDE"

func isInside() bool { return os.Getenv(insideMark) != "" }

// Runs this program again inside; answers its exit code.
func runInside() int {
	self, err := os.Executable()
	must(err)
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideMark+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "chaos: no namespaces of its own: %v\n"+
			"  hint: run it as root, or allow unprivileged user namespaces\n", err)
		return 2
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	if err == nil {
		return 0
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code
	}
	fmt.Fprintln(os.Stderr, "chaos: the driver ended:", err)
	return 2
}

// The first thing inside: no mount made here is seen outside, /proc shows the
// processes of this namespace, and shared memory is its own.
func settleInside() error {
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	// Where ip and nft are, also for who is not root.
	must(os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"))
	return run("ip", "link", "set", "lo", "up")
}

func run(name string, args ...string) error { return runWith("", name, args...) }

func runWith(stdin, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err,
			strings.TrimSpace(string(out)))
	}
	return nil
}

// ---- links ----

// Every node has a network namespace with one link to a bridge in the driver's.
// Its own address is host(id); the other nodes know it as alias(id), where the
// driver's proxy listens (proxy.go) and from where it dials on the node's
// behalf, so that packets between two nodes are known by these addresses.

const bridge = "chaos0"

func host(id int) string  { return fmt.Sprintf("10.91.0.%d", 10+id) }
func alias(id int) string { return fmt.Sprintf("10.91.1.%d", 10+id) }

func at(address string, port int) string { return fmt.Sprint(address, ":", port) }

const (
	raftPort = 9000
	httpPort = 8080
	idsMax   = 200
)

func makeBridge() error {
	if err := run("ip", "link", "add", bridge, "type", "bridge"); err != nil {
		return err
	}
	if err := run("ip", "addr", "add", "10.91.0.1/16", "dev", bridge); err != nil {
		return err
	}
	return run("ip", "link", "set", bridge, "up")
}

// A network namespace, kept by a process that does nothing else.
type netns struct {
	id     int
	holder *exec.Cmd
	mu     sync.Mutex
	isGone bool // what is asked of it then is not done
}

// The program of the holder: waits until its standard input ends.
func hold() {
	b := make([]byte, 1)
	_, _ = os.Stdin.Read(b)
}

func newNetns(id int) (*netns, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n := &netns{id: id, holder: exec.Command(self, "hold")}
	if _, err = n.holder.StdinPipe(); err != nil {
		return nil, err
	}
	n.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET,
		Pdeathsig: syscall.SIGKILL}
	if err = n.holder.Start(); err != nil {
		return nil, err
	}
	for _, c := range [][]string{
		{"ip", "link", "add", n.link(), "type", "veth", "peer", "name", "eth0",
			"netns", fmt.Sprint(n.holder.Process.Pid)},
		{"ip", "link", "set", n.link(), "master", bridge, "up"},
		{"ip", "addr", "add", alias(id) + "/16", "dev", bridge},
		n.in("ip", "addr", "add", host(id)+"/16", "dev", "eth0"),
		n.in("ip", "link", "set", "eth0", "up"),
		n.in("ip", "link", "set", "lo", "up"),
	} {
		if err = run(c[0], c[1:]...); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *netns) link() string { return fmt.Sprintf("chaos-n%d", n.id) }

// The words that run a command in the namespace.
func (n *netns) in(words ...string) []string {
	return append([]string{"nsenter", "--net=" + filepath.Join("/proc",
		fmt.Sprint(n.holder.Process.Pid), "ns/net")}, words...)
}

func (n *netns) setLink(up bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isGone {
		return nil
	}
	state := map[bool]string{true: "up", false: "down"}[up]
	return run("ip", "link", "set", n.link(), state)
}

// Drops the packets that come from, and go to, these nodes; none: lets all pass.
func (n *netns) drop(from, to []int) error {
	rules := "table inet chaos\ndelete table inet chaos\n"
	if len(from)+len(to) > 0 {
		rules += "table inet chaos {\n" +
			"chain in { type filter hook input priority 0;\n"
		for _, id := range from {
			rules += "ip saddr " + alias(id) + " drop\n"
		}
		rules += "}\nchain out { type filter hook output priority 0;\n"
		for _, id := range to {
			rules += "ip daddr " + alias(id) + " drop\n"
		}
		rules += "}\n}\n"
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isGone {
		return nil
	}
	words := n.in("nft", "-f", "-")
	return runWith(rules, words[0], words[1:]...)
}

func (n *netns) free() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.isGone = true
	_ = run("ip", "link", "del", n.link())
	_ = run("ip", "addr", "del", alias(n.id)+"/16", "dev", bridge)
	_ = n.holder.Process.Kill()
	_ = n.holder.Wait()
}
