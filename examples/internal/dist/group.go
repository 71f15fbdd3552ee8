package dist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Transport moves bytes between processes. Its operations are collective: every process calls
// the same ones in the same order with equal sizes, one at a time. Their buffers come from
// Alloc.
type Transport interface {
	// Rank is the number of this process, from 0, and Size the number of processes.
	Rank() int
	Size() int
	// Alloc returns zeroed memory, aligned to 8 bytes, and Free frees it.
	Alloc(bytes int) []byte
	Free(memory []byte)
	// Alltoall sends block r of send to process r and stores the block of process r in block
	// r of receive; the blocks have equal sizes.
	Alltoall(send, receive []byte) error
	// Allgather stores send of process r in block r of receive, in every process.
	Allgather(send, receive []byte) error
	// Broadcast copies the data of process 0 to the others.
	Broadcast(data []byte) error
	// Hurry says whether a computation waits for the operations.
	Hurry(on bool)
}

// Group is the group of processes that train together. A nil *Group is a single process. Its
// methods are collective and must be called by one goroutine.
type Group struct {
	transport Transport
	sequence  uint64
	// own and all are the records of a Gather, staged the buffers of longer messages.
	own, all             []byte
	stagedOwn, stagedAll []byte
	exchange             *exchanger
}

// NewGroup returns the group of all processes of a transport.
func NewGroup(t Transport) *Group {
	return &Group{transport: t, own: t.Alloc(recordSize), all: t.Alloc(recordSize * t.Size()), exchange: newExchanger(t)}
}

// Rank returns the number of this process, from 0.
func (g *Group) Rank() int {
	if g == nil {
		return 0
	}
	return g.transport.Rank()
}

// Size returns the number of processes.
func (g *Group) Size() int {
	if g == nil {
		return 1
	}
	return g.transport.Size()
}

// Root reports whether this process is the one that reads and writes the files of a run.
func (g *Group) Root() bool { return g.Rank() == 0 }

// A record of Gather is: label, sequence number, length of the message, and the message
// itself if it is short.
const (
	labelSize  = 32
	headerSize = labelSize + 16
	recordSize = 256
	inlineSize = recordSize - headerSize
	// largest is the largest message of Gather; MPI counts bytes by an int.
	largest = 1 << 30
)

// Gather returns the messages of all processes by rank. label names the exchange, and is the
// same in all processes.
func (g *Group) Gather(label string, message []byte) ([][]byte, error) {
	if g.Size() == 1 {
		return [][]byte{message}, nil
	}
	if len(message) > largest {
		return nil, fmt.Errorf("dist: %s: message of %d bytes, want at most %d", label, len(message), largest)
	}
	g.sequence++
	clear(g.own)
	copy(g.own[:labelSize], label)
	binary.LittleEndian.PutUint64(g.own[labelSize:], g.sequence)
	binary.LittleEndian.PutUint64(g.own[labelSize+8:], uint64(len(message)))
	if len(message) <= inlineSize {
		copy(g.own[headerSize:], message)
	}
	if err := g.exchange.do(func(t Transport) error { return t.Allgather(g.own, g.all) }); err != nil {
		return nil, fmt.Errorf("dist: %s: %w", label, err)
	}
	record := func(r int) []byte { return g.all[r*recordSize : (r+1)*recordSize] }
	size := func(r int) int { return int(binary.LittleEndian.Uint64(record(r)[labelSize+8:])) }
	longest := 0
	for r := range g.Size() {
		if !bytes.Equal(record(r)[:labelSize+8], g.own[:labelSize+8]) {
			return nil, fmt.Errorf("dist: the processes are out of step: process %d is at %q, process %d at %q", g.Rank(), label, r, bytes.TrimRight(record(r)[:labelSize], "\x00"))
		}
		longest = max(longest, size(r))
	}
	messages := make([][]byte, g.Size())
	if longest <= inlineSize {
		for r := range messages {
			messages[r] = bytes.Clone(record(r)[headerSize : headerSize+size(r)])
		}
		return messages, nil
	}
	each := (longest + 7) &^ 7
	if each*g.Size() > largest {
		return nil, fmt.Errorf("dist: %s: messages of up to %d bytes of %d processes, want at most %d bytes together", label, longest, g.Size(), largest)
	}
	g.grow(&g.stagedOwn, each)
	g.grow(&g.stagedAll, each*g.Size())
	own, all := g.stagedOwn[:each], g.stagedAll[:each*g.Size()]
	copy(own, message)
	if err := g.exchange.do(func(t Transport) error { return t.Allgather(own, all) }); err != nil {
		return nil, fmt.Errorf("dist: %s: %w", label, err)
	}
	for r := range messages {
		messages[r] = bytes.Clone(all[r*each : r*each+size(r)])
	}
	return messages, nil
}

// grow makes a buffer at least as long.
func (g *Group) grow(buffer *[]byte, bytes int) {
	if len(*buffer) < bytes {
		g.transport.Free(*buffer)
		*buffer = g.transport.Alloc(bytes)
	}
}

// broadcastSize is the largest part of a broadcast.
const broadcastSize = 16 << 20

// Broadcast returns the data of process 0; those of the others are ignored. If err of process
// 0 is not nil, Broadcast returns it instead, as [Group.Agree] does.
func (g *Group) Broadcast(label string, data []byte, err error) ([]byte, error) {
	if g.Size() == 1 {
		return data, err
	}
	if !g.Root() {
		err = nil
	}
	if err := g.Agree(label, err); err != nil {
		return nil, err
	}
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(data)))
	lengths, err := g.Gather(label, length[:])
	if err != nil {
		return nil, err
	}
	all := data
	if !g.Root() {
		all = make([]byte, binary.LittleEndian.Uint64(lengths[0]))
	}
	g.grow(&g.stagedOwn, min(broadcastSize, len(all)))
	for rest := all; len(rest) > 0; {
		part := rest[:min(broadcastSize, len(rest))]
		staged := g.stagedOwn[:len(part)]
		copy(staged, part)
		if err := g.exchange.do(func(t Transport) error { return t.Broadcast(staged) }); err != nil {
			return nil, fmt.Errorf("dist: %s: %w", label, err)
		}
		copy(part, staged)
		rest = rest[len(part):]
	}
	return all, nil
}

// Same returns an error in all processes if they have different texts.
func (g *Group) Same(label, text string) error {
	all, err := g.Gather(label, []byte(text))
	if err != nil {
		return err
	}
	for r, other := range all {
		if string(other) != string(all[0]) {
			return Common(fmt.Errorf("dist: %s differ: %.80s in process 0, %.80s in process %d", label, all[0], other, r))
		}
	}
	return nil
}

// AgreedError is an error that every process of the group has returned, so that none of them
// waits for another one.
type AgreedError struct {
	// Rank is the process in which the error occurred, the first if there are several.
	Rank int
	// Err is the error itself in this process, and its text in the others.
	Err error
	own bool
}

func (e *AgreedError) Error() string {
	if e.own {
		return e.Err.Error()
	}
	return fmt.Sprintf("process %d: %v", e.Rank, e.Err)
}

func (e *AgreedError) Unwrap() error { return e.Err }

// Agree returns nil if err is nil in all processes, and otherwise an *[AgreedError] in all of
// them. A single process returns err itself.
func (g *Group) Agree(label string, err error) error {
	if g.Size() == 1 {
		return err
	}
	var message []byte
	if err != nil {
		message = []byte("!" + err.Error())
	}
	all, failed := g.Gather(label, message)
	if failed != nil {
		return errors.Join(err, failed)
	}
	if err != nil {
		return &AgreedError{g.Rank(), err, true}
	}
	for r, m := range all {
		if len(m) > 0 {
			return &AgreedError{Rank: r, Err: errors.New(string(m[1:]))}
		}
	}
	return nil
}

// Do calls f in process 0 alone, and returns its error in all processes.
func (g *Group) Do(label string, f func() error) error {
	var err error
	if g.Root() {
		err = f()
	}
	return g.Agree(label, err)
}

// Common marks an error that follows from what all processes have, so that all return it.
func Common(err error) error { return &AgreedError{Err: err, own: true} }

// Send calls f in process 0 alone, and returns its data, or its error, in all processes.
func (g *Group) Send(label string, f func() ([]byte, error)) ([]byte, error) {
	var data []byte
	var err error
	if g.Root() {
		data, err = f()
	}
	return g.Broadcast(label, data, err)
}

// Agreed reports whether all processes know of err.
func Agreed(err error) bool {
	var agreed *AgreedError
	return errors.As(err, &agreed)
}
