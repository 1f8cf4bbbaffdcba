package main

import (
	"encoding/binary"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// The control file of preload/shim.c: struct control there.
const (
	delayUS = iota
	syncErrno
	syncLost
	fullDisk
	clockNS
	clockPPM
	clockSinceNS
	delayedCount // from here on the shim writes
	failedCount
	refusedCount
	toldCount
	controlWords
)

type control struct{ file *os.File }

func newControl(path string) (*control, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &control{f}, f.Truncate(8 * controlWords)
}

func (c *control) set(word int, value int64) {
	b := make([]byte, 8)
	binary.LittleEndian.PutUint64(b, uint64(value))
	_, err := c.file.WriteAt(b, int64(8*word))
	must(err)
}

func (c *control) get(word int) uint64 {
	b := make([]byte, 8)
	_, err := c.file.ReadAt(b, int64(8*word))
	must(err)
	return binary.LittleEndian.Uint64(b)
}

// The clock is 'by' off from now on, and drifts by so many of a million.
func (c *control) setClock(by time.Duration, ppm int64) {
	var t syscall.Timespec
	_, _, e := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, // CLOCK_MONOTONIC
		uintptr(unsafe.Pointer(&t)), 0)
	if e != 0 {
		panic(e)
	}
	c.set(clockSinceNS, t.Nano())
	c.set(clockNS, int64(by))
	c.set(clockPPM, ppm)
}

// A whole disk again.
func (c *control) heal() {
	for _, w := range []int{delayUS, syncErrno, syncLost, fullDisk} {
		c.set(w, 0)
	}
}
