package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Histories made by hand: a right one, and what has to be found in wrong ones.
// A record's times are its place: [10i, 10i+5], so that they follow each other.

const key = "acme/shop/prod/a"

func value(name string) string { return name + strings.Repeat("0", 16) }

func w(kind, name string, expect, version, rev uint64) record {
	return record{Kind: kind, Client: 1, Key: key, Value: value(name), Expect: expect,
		Outcome: ok, Version: version, Rev: rev}
}

func with(r record, change func(r *record)) record {
	change(&r)
	return r
}

func as(outcome string) func(r *record) {
	return func(r *record) { r.Outcome, r.Version, r.Rev = outcome, 0, 0 }
}

func timed(records ...record) []record {
	for i := range records {
		if records[i].Return == 0 {
			records[i].Call, records[i].Return = int64(10*i), int64(10*i+5)
		}
	}
	return records
}

// Created, written, written conditionally, read, sent again, and watched.
func right() []record {
	return timed(
		record{Kind: start, Client: 100, Rev: 4},
		w(create, "a", 0, 1, 5),
		w(publish, "b", 0, 2, 6),
		w(read, "b", 0, 2, 6),
		w(cas, "c", 2, 3, 8),
		with(w(cas, "d", 2, 0, 0), as(refused)),
		with(w(publish, "e", 0, 0, 0), as(uncertain)),
		w(read, "c", 0, 3, 8),
		w(read, "e", 0, 4, 9),
		with(w(publish, "f", 0, 0, 0), as(uncertain)),
		w(again, "c", 0, 3, 8),
		with(w(publish, "g", 0, 0, 0), as(failed)),
		with(w(local, "e", 0, 4, 9), func(r *record) { r.MinRev = 9 }),
		record{Kind: event, Client: 100, Key: key, Value: value("a"), Version: 1, Rev: 5, Outcome: ok},
		record{Kind: event, Client: 100, Key: key, Value: value("b"), Version: 2, Rev: 6, Outcome: ok},
		record{Kind: event, Client: 100, Key: key, Value: value("c"), Version: 3, Rev: 8, Outcome: ok},
		record{Kind: event, Client: 100, Key: key, Value: value("e"), Version: 4, Rev: 9, Outcome: ok},
		w(read, "e", 0, 4, 9),
	)
}

// Finds what in a history, or nothing where 'want' is empty.
func expectFound(t *testing.T, all []record, want string) {
	t.Helper()
	c := checkAll(all, t.TempDir())
	text := ""
	for _, v := range c.violations {
		text += v.String() + "\n"
	}
	if want == "" && text != "" {
		t.Fatalf("a right history was refused:\n%s", text)
	}
	if !strings.Contains(text, want) {
		t.Fatalf("%q was not found; found:\n%s", want, text)
	}
	if len(c.undecided) > 0 {
		t.Fatalf("undecided: %v", c.undecided)
	}
}

func TestRightHistoryPasses(t *testing.T) {
	expectFound(t, right(), "")
}

func TestWrongHistoriesAreFound(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func([]record) []record
	}{
		{"stale read", "not linearizable", func(h []record) []record {
			h[3] = with(w(read, "a", 0, 1, 5), func(r *record) { r.Call, r.Return = h[3].Call, h[3].Return })
			return h
		}},
		{"a read of nothing after a write", "not linearizable", func(h []record) []record {
			h[3].Value, h[3].Version, h[3].Rev = "", 0, 0
			return h
		}},
		{"lost update: two conditional writes over one version", "not linearizable",
			func(h []record) []record {
				h[5].Outcome, h[5].Version, h[5].Rev = ok, 4, 8
				return h
			}},
		{"lost acknowledged write", "not linearizable", func(h []record) []record {
			// The last read finds the version before: c was acknowledged.
			h[17].Value, h[17].Version, h[17].Rev = value("b"), 2, 6
			return h
		}},
		{"a failed write took effect", "answered as not done", func(h []record) []record {
			h[17].Value, h[17].Version, h[17].Rev = value("g"), 5, 10
			return h
		}},
		{"a refused write took effect", "answered as not done", func(h []record) []record {
			h[17].Value, h[17].Version, h[17].Rev = value("d"), 5, 10
			return h
		}},
		{"a conditional write refused without a reason", "not linearizable",
			func(h []record) []record {
				h[5].Expect = 3
				return h
			}},
		{"a conditional write over another version", "not linearizable",
			func(h []record) []record {
				h[4].Expect = 1
				return h
			}},
		{"content from nowhere", "nobody wrote", func(h []record) []record {
			h[17].Value = value("z")
			return h
		}},
		{"one version, two contents", "is two", func(h []record) []record {
			h[16].Value = value("f")
			return h
		}},
		{"one version, two revisions", "is two", func(h []record) []record {
			h[8].Rev = 10
			return h
		}},
		{"one revision twice", "given twice", func(h []record) []record {
			h[4].Rev = 6
			return h
		}},
		{"revisions behind real time", "revisions go backwards", func(h []record) []record {
			h[2].Rev = 9
			return h
		}},
		{"local reads that go backwards", "reads go backwards", func(h []record) []record {
			h[12].Value, h[12].Version, h[12].Rev = value("c"), 3, 8
			return h
		}},
		{"a write sent again makes another version", "done again", func(h []record) []record {
			h[10].Version = 5
			return h
		}},
		{"a watch that skips", "did not tell", func(h []record) []record {
			return append(h[:14], h[15:]...)
		}},
		{"a watch that tells twice", "told revision 6 after 6", func(h []record) []record {
			h[15] = h[14]
			return h
		}},
		{"a watch out of order", "told revision 6 after 8", func(h []record) []record {
			h[14], h[15] = h[15], h[14]
			return h
		}},
		{"a watch that tells another content", "is two", func(h []record) []record {
			h[15].Value = value("b")
			return h
		}},
	} {
		c := c
		t.Run(c.name, func(t *testing.T) { expectFound(t, c.change(right()), c.want) })
	}
}

// An uncertain write may happen long after its client gave up, and only once.
func TestUncertainWriteHappensLater(t *testing.T) {
	h := timed(
		w(create, "a", 0, 1, 5),
		with(w(publish, "b", 0, 0, 0), as(uncertain)),
		w(read, "a", 0, 1, 5),
		w(publish, "c", 0, 2, 6),
		w(read, "b", 0, 3, 7),
	)
	expectFound(t, h, "")
	h = append(h, timed(append(append([]record(nil), h...),
		w(publish, "d", 0, 4, 8), w(read, "b", 0, 5, 9))...)[5:]...)
	expectFound(t, h, "not linearizable")
}

func TestHistoryIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	h, err := newHistory(path)
	must(err)
	for _, r := range right() {
		h.add(r)
	}
	h.flush()
	all, err := readHistory(path)
	must(err)
	if len(all) != len(right()) || all[8] != right()[8] {
		t.Fatal("another history came back")
	}
	expectFound(t, all, "")
	must(os.WriteFile(path, []byte("{\"kind\":\"read\"}\n{"), 0o600))
	if _, err := readHistory(path); err == nil {
		t.Fatal("a torn history was read")
	}
}
