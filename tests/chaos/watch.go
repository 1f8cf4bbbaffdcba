package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A watch of everything: at one node, or at whichever answers.  It goes on
// behind what it has told after a lost connection; where that was compacted it
// begins anew.
type watch struct {
	id     int
	world  *world
	slot   int // of the world's nodes; -1: whichever
	http   *http.Client
	cursor uint64 // atomic: told up to here
	resumes, restarts,
	events uint64 // atomic
}

func newWatch(w *world, id, slot int) *watch {
	return &watch{id: id, world: w, slot: slot, http: &http.Client{Transport: w.transport()}}
}

func (w *watch) told() uint64 { return atomic.LoadUint64(&w.cursor) }

func (w *watch) node(attempt int) *node {
	nodes := w.world.members()
	if w.slot >= 0 {
		return nodes[w.slot%len(nodes)]
	}
	return nodes[attempt%len(nodes)]
}

// A stream on which nothing comes is dead: the server says that it lives every
// 15 seconds.  One that may be anywhere is impatient.
func (w *watch) silence() time.Duration {
	if w.slot < 0 {
		return 4 * time.Second
	}
	return 20 * time.Second
}

func (w *watch) run(stop context.Context) {
	isNew := true
	for attempt := 0; stop.Err() == nil; attempt++ {
		isNew = w.follow(stop, w.node(attempt), isNew)
		select {
		case <-stop.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// One connection; true: the next one has to begin anew.
func (w *watch) follow(stop context.Context, n *node, isNew bool) bool {
	ctx, cancel := context.WithCancel(stop)
	defer cancel()
	alive := time.AfterFunc(w.silence(), cancel)
	defer alive.Stop()
	r, err := http.NewRequestWithContext(ctx, "GET", n.url("/api/v1/watch?prefix=acme/"), nil)
	must(err)
	r.Header.Set("Authorization", "Bearer "+w.world.token())
	if !isNew {
		r.Header.Set("Last-Event-ID", fmt.Sprint(w.told()))
		atomic.AddUint64(&w.resumes, 1)
	}
	resp, err := w.http.Do(r)
	if err != nil {
		return isNew
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return isNew || resp.StatusCode == 410
	}
	if isNew {
		at := header(resp.Header, "X-Conflux-Revision")
		atomic.StoreUint64(&w.cursor, at)
		atomic.AddUint64(&w.restarts, 1)
		w.world.history.add(record{Kind: start, Client: w.id, Node: n.id, Rev: at,
			Call: w.world.history.now()})
	}
	return w.read(bufio.NewReaderSize(resp.Body, 64<<10), n, alive)
}

// Tells what a stream tells; true: what comes next was compacted.
func (w *watch) read(in *bufio.Reader, n *node, alive *time.Timer) bool {
	kind := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		alive.Reset(w.silence())
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "event: "):
			kind = line[7:]
		case strings.HasPrefix(line, "data: ") && kind == "error":
			return true
		case strings.HasPrefix(line, "data: ") && kind == "bookmark":
			w.bookmark(line[6:])
		case strings.HasPrefix(line, "data: ") && kind == "end":
			return false
		case strings.HasPrefix(line, "data: "):
			w.tell(n, line[6:])
		}
	}
}

// All up to there was told: what it goes on from.
func (w *watch) bookmark(data string) {
	var e struct {
		Revision uint64 `json:"revision"`
	}
	if err := json.Unmarshal([]byte(data), &e); err == nil {
		atomic.StoreUint64(&w.cursor, e.Revision)
	}
}

func (w *watch) tell(n *node, data string) {
	var e struct {
		Key      string          `json:"key"`
		Version  json.RawMessage `json:"version"`
		Sha256   string          `json:"sha256"`
		Revision uint64          `json:"revision"`
		Deleted  bool            `json:"deleted"`
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		w.world.find("watch %d at node %d told %q: %v", w.id, n.id, data, err)
		return
	}
	version, _ := strconv.ParseUint(string(e.Version), 10, 64)
	if !e.Deleted {
		w.world.history.add(record{Kind: event, Client: w.id, Node: n.id, Key: e.Key,
			Value: e.Sha256, Version: version, Rev: e.Revision, Outcome: ok,
			Call: w.world.history.now()})
	}
	atomic.AddUint64(&w.events, 1)
	atomic.StoreUint64(&w.cursor, e.Revision)
}
