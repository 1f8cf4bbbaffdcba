package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// Outcomes of an operation.  An uncertain one may take effect at any time from
// its call on, or never.
const (
	ok        = "ok"
	refused   = "refused"   // answered: it does not hold, nothing was done
	failed    = "failed"    // nothing was done
	uncertain = "uncertain" // no answer, or one that says so
)

// Kinds of records.
const (
	create  = "create"
	publish = "publish"
	cas     = "cas"   // publish if the version is still Expect
	read    = "read"  // linearizable
	local   = "local" // at least MinRev
	again   = "again" // a write that was answered, sent again with its key
	event   = "event" // of a watch
	start   = "start" // of a watch: events behind Rev are told
	fault   = "fault"
)

// A record of the history; times are nanoseconds of the driver's monotonic
// clock since the start.  Content is named by its SHA-256, in hex.
type record struct {
	Kind    string `json:"kind"`
	Client  int    `json:"client"`
	Node    int    `json:"node,omitempty"`
	Key     string `json:"key,omitempty"`
	Value   string `json:"value,omitempty"`
	Expect  uint64 `json:"expect,omitempty"`
	MinRev  uint64 `json:"min_rev,omitempty"`
	Call    int64  `json:"call"`
	Return  int64  `json:"return,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	Version uint64 `json:"version,omitempty"` // 0: no such object
	Rev     uint64 `json:"rev,omitempty"`
	Text    string `json:"text,omitempty"`
}

func (r *record) isWrite() bool {
	return r.Kind == create || r.Kind == publish || r.Kind == cas
}

func (r *record) String() string {
	s := fmt.Sprintf("client %d %s", r.Client, r.Kind)
	if r.Node > 0 {
		s += fmt.Sprintf(" at node %d", r.Node)
	}
	if r.Key != "" {
		s += " " + r.Key
	}
	if r.Expect > 0 {
		s += fmt.Sprintf(" if version %d", r.Expect)
	}
	if len(r.Value) >= 8 {
		s += " value " + r.Value[:8]
	}
	s += fmt.Sprintf(" [%.6fs, %.6fs] %s", sec(r.Call), sec(r.Return), r.Outcome)
	if r.Version > 0 || r.Rev > 0 {
		s += fmt.Sprintf(": version %d, revision %d", r.Version, r.Rev)
	}
	return s
}

func sec(ns int64) float64 { return float64(ns) / 1e9 }

// The history of a run: in memory for the checks, in a file for people and for
// CHECK=.
type history struct {
	mu      sync.Mutex
	began   time.Time
	records []record
	file    *os.File
	out     *bufio.Writer
	json    *json.Encoder
}

func newHistory(path string) (*history, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	h := &history{began: time.Now(), file: f, out: bufio.NewWriterSize(f, 1<<20)}
	h.json = json.NewEncoder(h.out)
	return h, nil
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) add(r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.records = append(h.records, r)
	must(h.json.Encode(&r))
}

// The records from 'from' on, and where the next ones begin.
func (h *history) since(from int) ([]record, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.records[from:len(h.records):len(h.records)], len(h.records)
}

func (h *history) flush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	must(h.out.Flush())
}

func readHistory(path string) ([]record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []record
	d := json.NewDecoder(bufio.NewReaderSize(f, 1<<20))
	for d.More() {
		var r record
		if err := d.Decode(&r); err != nil {
			return nil, fmt.Errorf("%s: record %d: %w", path, len(all)+1, err)
		}
		all = append(all, r)
	}
	return all, nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
