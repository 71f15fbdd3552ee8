package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// instruction is one line of a disassembly.
type instruction struct {
	opcode string // with its suffixes: LDG.E.128.CONSTANT
	target string // label that it may branch to, else empty
	ends   bool   // the next instruction does not follow
}

// is reports whether the opcode is one of names, without suffixes.
func (i instruction) is(names ...string) bool {
	name, _, _ := strings.Cut(i.opcode, ".")
	return slices.Contains(names, name)
}

// wideLoad reports whether the instruction loads sixteen bytes of global memory.
func (i instruction) wideLoad() bool { return i.is("LDG") && strings.Contains(i.opcode, ".128") }

// special reports whether the instruction runs on the special function unit.
func (i instruction) special() bool {
	return i.is("MUFU", "POPC") || i.is("F2F") && strings.Contains(i.opcode, "F64") || i.is("I2F") && strings.Contains(i.opcode, "F64")
}

// block is a run of instructions that is entered at its start and left at its end.
type block struct {
	instructions []instruction
	next         []int // blocks that may follow
	part         int   // strongly connected component
}

// function is a kernel.
type function struct {
	name   string
	blocks []block
}

var (
	section = regexp.MustCompile(`^\.text\.(\w+):`)
	label   = regexp.MustCompile(`^(\.L_\w+):`)
	code    = regexp.MustCompile(`^/\*[0-9a-f]+\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)(.*?);`)
	branch  = regexp.MustCompile("`\\((\\.L_\\w+)\\)")
)

// parse reads the output of nvdisasm -c.
func parse(r io.Reader) ([]function, error) {
	var all []function
	var labels map[string]int
	finish := func() error {
		if len(all) == 0 {
			return nil
		}
		return all[len(all)-1].link(labels)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	open := false // the last block may grow
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if m := section.FindStringSubmatch(text); m != nil {
			if err := finish(); err != nil {
				return nil, err
			}
			all, labels, open = append(all, function{name: m[1]}), map[string]int{}, false
			continue
		}
		if len(all) == 0 {
			continue
		}
		f := &all[len(all)-1]
		if m := label.FindStringSubmatch(text); m != nil {
			labels[m[1]] = len(f.blocks)
			open = false
			continue
		}
		m := code.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		i := instruction{opcode: m[2]}
		always := m[1] == ""
		switch {
		case i.is("BRA", "BRX", "JMP"):
			if to := branch.FindStringSubmatch(m[3]); to != nil {
				i.target = to[1]
			}
			// A branch with a predicate among its operands may fall through as well.
			i.ends = always && !strings.Contains(m[3], "UP") && !strings.HasPrefix(i.opcode, "BRA.DIV")
		case i.is("EXIT", "RET", "BPT"):
			i.ends = always
		}
		if !open {
			f.blocks = append(f.blocks, block{})
		}
		last := &f.blocks[len(f.blocks)-1]
		last.instructions = append(last.instructions, i)
		open = i.target == "" && !i.ends
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return all, finish()
}

// link sets the edges and the strongly connected components of the blocks.
func (f *function) link(labels map[string]int) error {
	for i := range f.blocks {
		b := &f.blocks[i]
		last := b.instructions[len(b.instructions)-1]
		if last.target != "" {
			to, found := labels[last.target]
			if !found {
				return fmt.Errorf("%s: no label %s", f.name, last.target)
			}
			if to < len(f.blocks) {
				b.next = append(b.next, to)
			}
		}
		if !last.ends && i+1 < len(f.blocks) {
			b.next = append(b.next, i+1)
		}
	}
	f.components()
	return nil
}

// components numbers the strongly connected components, by Tarjan's algorithm.
func (f *function) components() {
	index, low := make([]int, len(f.blocks)), make([]int, len(f.blocks))
	onStack := make([]bool, len(f.blocks))
	var stack []int
	count, parts := 0, 0
	var visit func(i int)
	visit = func(i int) {
		count++
		index[i], low[i] = count, count
		stack, onStack[i] = append(stack, i), true
		for _, j := range f.blocks[i].next {
			switch {
			case index[j] == 0:
				visit(j)
				low[i] = min(low[i], low[j])
			case onStack[j]:
				low[i] = min(low[i], index[j])
			}
		}
		if low[i] != index[i] {
			return
		}
		for {
			j := stack[len(stack)-1]
			stack, onStack[j] = stack[:len(stack)-1], false
			f.blocks[j].part = parts
			if j == i {
				break
			}
		}
		parts++
	}
	for i := range f.blocks {
		if index[i] == 0 {
			visit(i)
		}
	}
}
