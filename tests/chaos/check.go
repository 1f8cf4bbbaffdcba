package main

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// What is checked of a history:
//
//   - each key's writes and linearizable reads, by porcupine, as a register with
//     versions: a write makes the next version, a conditional one only over the
//     version that it names, a read sees the newest;
//   - a version of a key has one content and one revision, whoever tells it, and
//     its content is one that a client wrote and was not told to have failed;
//   - revisions of acknowledged writes are distinct and follow real time over
//     all keys;
//   - a read that names a revision sees at least that, a client's own reads do
//     not go backwards;
//   - a write sent again with its key makes no second version;
//   - a watch tells all that was acknowledged, once, in order, from where it
//     (re)started.

// A mistake of the system under test.
type violation struct {
	what string
	html string // porcupine's picture, where there is one
}

func (v violation) String() string {
	if v.html != "" {
		return v.what + "\n  picture: " + v.html
	}
	return v.what
}

// How long porcupine may think about one key.
const checkTime = 60 * time.Second

// Most findings of one kind that are told.
const findingsMax = 10

type checker struct {
	out        string // folder of pictures; "": none are made
	violations []violation
	keys, ops  int
	undecided  []string
}

func (c *checker) find(format string, args ...interface{}) {
	if len(c.violations) < findingsMax*5 {
		c.violations = append(c.violations, violation{what: fmt.Sprintf(format, args...)})
	}
}

// ---- linearizability ----

// The state of a key; version 0: there is none.
type register struct {
	version uint64
	value   string
}

func step(state, input, output interface{}) (bool, interface{}) {
	s, r := state.(register), input.(record)
	next := register{s.version + 1, r.Value}

	switch r.Kind {
	case read:
		return r.Version == s.version && r.Value == s.value, s
	case create:
		if r.Outcome == uncertain && s.version > 0 {
			return true, s
		}
		return s.version == 0 && isNext(r, next), next
	case publish:
		if r.Outcome == uncertain && s.version == 0 {
			return true, s
		}
		return s.version > 0 && isNext(r, next), next
	case cas:
		if r.Outcome == refused || (r.Outcome == uncertain && s.version != r.Expect) {
			return s.version != r.Expect, s
		}
		return s.version == r.Expect && isNext(r, next), next
	}
	panic("no step for " + r.Kind)
}

func isNext(r record, next register) bool {
	return r.Outcome == uncertain || r.Version == next.version
}

var model = porcupine.Model{
	Init: func() interface{} { return register{} },
	Step: step,
	DescribeOperation: func(input, output interface{}) string {
		r := input.(record)
		return r.String()
	},
	DescribeState: func(state interface{}) string {
		s := state.(register)
		return fmt.Sprintf("version %d, %.8s", s.version, s.value)
	},
}

// The records that the model knows, by key.
func byKey(all []record) map[string][]porcupine.Operation {
	end := int64(0)
	keys := map[string][]porcupine.Operation{}

	for i := range all {
		if all[i].Return > end {
			end = all[i].Return
		}
	}
	for _, r := range all {
		if !(r.isWrite() || r.Kind == read) || r.Outcome == failed ||
			(r.Kind != cas && r.Outcome == refused) ||
			(r.Kind == read && r.Outcome != ok) {
			continue
		}
		op := porcupine.Operation{ClientId: r.Client, Input: r,
			Call: r.Call, Return: r.Return}
		if r.Outcome == uncertain {
			op.Return = end + 1
		}
		keys[r.Key] = append(keys[r.Key], op)
	}
	return keys
}

func (c *checker) linearizability(all []record) {
	for key, ops := range byKey(all) {
		c.keys++
		c.ops += len(ops)
		result, info := porcupine.CheckOperationsVerbose(model, ops, checkTime)
		switch result {
		case porcupine.Unknown:
			c.undecided = append(c.undecided, fmt.Sprintf(
				"%s (%d operations)", key, len(ops)))
		case porcupine.Illegal:
			v := violation{what: fmt.Sprintf("%s: its %d operations are not "+
				"linearizable%s", key, len(ops), around(info, ops))}
			if c.out != "" {
				v.html = filepath.Join(c.out, strings.ReplaceAll(key, "/", "_")+".html")
				if err := porcupine.VisualizePath(model, info, v.html); err != nil {
					v.html = err.Error()
				}
			}
			c.violations = append(c.violations, v)
		}
	}
}

// Where the longest linearizable part of a history ends: the first operations
// that returned and are in none.
func around(info porcupine.LinearizationInfo, ops []porcupine.Operation) string {
	longest := map[int]bool{}

	for _, parts := range info.PartialLinearizations() {
		for _, part := range parts {
			if len(part) > len(longest) {
				longest = map[int]bool{}
				for _, id := range part {
					longest[id] = true
				}
			}
		}
	}
	var left []record
	for id, op := range ops {
		if r := op.Input.(record); !longest[id] && r.Outcome != uncertain {
			left = append(left, r)
		}
	}
	sort.Slice(left, func(i, j int) bool { return left[i].Return < left[j].Return })
	s := ""
	for i := range left {
		if i == 3 {
			break
		}
		s += "\n  no place for " + left[i].String()
	}
	return s
}

// ---- versions ----

type version struct {
	key string
	n   uint64
}

// Who wrote what: outcomes by content.
func writesOf(all []record) map[string]*record {
	m := map[string]*record{}
	for i := range all {
		if all[i].isWrite() {
			m[all[i].Value] = &all[i]
		}
	}
	return m
}

func (c *checker) versions(all []record) {
	seen := map[version]*record{}
	writes := writesOf(all)
	n := 0

	for i := range all {
		r := &all[i]
		if r.Version == 0 || n >= findingsMax || r.Kind == again ||
			(r.Kind != event && r.Outcome != ok) {
			continue
		}
		w := writes[r.Value]
		if w == nil || w.Key != r.Key {
			c.find("%s saw a content that nobody wrote there", r)
			n++
		} else if w.Outcome == failed || w.Outcome == refused {
			c.find("%s saw what was answered as not done: %s", r, w)
			n++
		}
		v := version{r.Key, r.Version}
		first := seen[v]
		if first == nil {
			seen[v] = r
		} else if first.Value != r.Value || first.Rev != r.Rev {
			c.find("%s version %d is two: %s, and %s", r.Key, r.Version, first, r)
			n++
		}
	}
}

// ---- revisions ----

func (c *checker) revisions(all []record) {
	var acked []*record
	byRev := map[uint64]*record{}

	for i := range all {
		r := &all[i]
		if !r.isWrite() || r.Outcome != ok {
			continue
		}
		if other := byRev[r.Rev]; other != nil {
			c.find("revision %d was given twice: %s, and %s", r.Rev, other, r)
		}
		byRev[r.Rev] = r
		acked = append(acked, r)
	}
	calls := append([]*record(nil), acked...)
	sort.Slice(calls, func(i, j int) bool { return calls[i].Call < calls[j].Call })
	sort.Slice(acked, func(i, j int) bool { return acked[i].Return < acked[j].Return })
	var newest *record
	done, n := 0, 0
	for _, r := range calls {
		for ; done < len(acked) && acked[done].Return < r.Call; done++ {
			if newest == nil || acked[done].Rev > newest.Rev {
				newest = acked[done]
			}
		}
		if newest != nil && newest.Rev >= r.Rev && n < findingsMax {
			c.find("revisions go backwards: %s, and later %s", newest, r)
			n++
		}
	}
}

// ---- sessions ----

type place struct {
	client int
	key    string
}

// Local reads name the newest revision that their client has seen.
func (c *checker) sessions(all []record) {
	seen := map[place]*record{}
	n := 0

	for i := range all {
		r := &all[i]
		if r.Outcome != ok || r.Kind == again || r.Kind == event {
			continue
		}
		p := place{r.Client, r.Key}
		before := seen[p]
		if r.Kind == local && before != nil && before.Rev <= r.MinRev &&
			before.Rev > r.Rev && n < findingsMax {
			c.find("a client's reads go backwards: %s, and later %s", before, r)
			n++
		}
		if before == nil || r.Rev > before.Rev {
			seen[p] = r
		}
	}
}

// A write that was answered answers the same when it is sent again.
func (c *checker) repeats(all []record) {
	writes := writesOf(all)

	for i := range all {
		r := &all[i]
		if r.Kind != again || r.Outcome != ok {
			continue
		}
		w := writes[r.Value]
		if w == nil || w.Version != r.Version {
			c.find("a write sent again was done again: %s, and then %s", w, r)
		}
	}
}

// ---- watches ----

// What one watch told, in pieces without gap: since its start, or since it had
// to start anew because the revision that it wanted was compacted.
type piece struct {
	after uint64
	told  []*record
}

func watches(all []record) map[int][]piece {
	m := map[int][]piece{}
	for i := range all {
		r := &all[i]
		switch r.Kind {
		case start:
			m[r.Client] = append(m[r.Client], piece{after: r.Rev})
		case event:
			p := m[r.Client]
			if len(p) > 0 {
				p[len(p)-1].told = append(p[len(p)-1].told, r)
			}
		}
	}
	return m
}

func (c *checker) watches(all []record) {
	var acked []*record

	for i := range all {
		if all[i].isWrite() && all[i].Outcome == ok {
			acked = append(acked, &all[i])
		}
	}
	sort.Slice(acked, func(i, j int) bool { return acked[i].Rev < acked[j].Rev })
	for watch, pieces := range watches(all) {
		for i := range pieces {
			c.order(watch, &pieces[i])
			c.complete(watch, &pieces[i], acked)
		}
	}
}

func (c *checker) order(watch int, p *piece) {
	last := p.after
	for _, e := range p.told {
		if e.Rev <= last {
			c.find("watch %d told revision %d after %d: %s", watch, e.Rev, last, e)
			return
		}
		last = e.Rev
	}
}

func (c *checker) complete(watch int, p *piece, acked []*record) {
	if len(p.told) == 0 {
		return
	}
	end := p.told[len(p.told)-1].Rev
	at := sort.Search(len(acked), func(i int) bool { return acked[i].Rev > p.after })
	told := map[uint64]*record{}
	for _, e := range p.told {
		told[e.Rev] = e
	}
	n := 0
	for ; at < len(acked) && acked[at].Rev <= end && n < findingsMax; at++ {
		e := told[acked[at].Rev]
		if e == nil {
			c.find("watch %d (%d, %d] did not tell %s", watch, p.after, end, acked[at])
			n++
		} else if e.Key != acked[at].Key || e.Value != acked[at].Value {
			c.find("watch %d told %s for %s", watch, e, acked[at])
			n++
		}
	}
}

// All of it.
func checkAll(all []record, out string) *checker {
	c := &checker{out: out}
	c.linearizability(all)
	c.rest(all)
	return c
}

func (c *checker) rest(all []record) {
	c.versions(all)
	c.revisions(all)
	c.sessions(all)
	c.repeats(all)
	c.watches(all)
}
