package main

import (
	"fmt"
	"slices"
)

// Registers that may be allocated. Of the general ones R16 to R18 and R26 to R30 are
// the linker's, the assembler's, the runtime's and the system's.
var (
	allVectors = numbers(0, 31)
	allGeneral = append(numbers(0, 15), numbers(19, 25)...)
)

func numbers(from, to int) []int {
	var list []int
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

// allocate assigns a register to every virtual one by coloring the graph of those
// that are live at once. Where vectors do not suffice a constant that is held in one
// is loaded anew for each use.
func (l *lowering) allocate() map[register]int {
	for {
		colors, spill := l.color()
		if spill == none {
			return colors
		}
		l.reload(spill)
	}
}

// color returns the registers' numbers, or a constant that should be reloaded.
func (l *lowering) color() (colors map[register]int, spill register) {
	live := l.liveAfter()
	adjacent := make([]map[register]bool, len(l.vectors))
	for i := range adjacent {
		adjacent[i] = map[register]bool{}
	}
	used := make([]bool, len(l.vectors))
	partners := make([][]register, len(l.vectors))
	loaded := map[register]int{} // constants and the steps for which they are live
	writes := make([]int, len(l.vectors))
	for i, s := range l.steps {
		for _, d := range s.defs {
			used[d] = true
			writes[d]++
			for other := range live[i] {
				if other == d || l.vectors[other] != l.vectors[d] || s.moves && other == s.uses[0] {
					continue
				}
				adjacent[d][other], adjacent[other][d] = true, true
			}
			if s.constant > 0 {
				loaded[d] = 0
			}
		}
		if s.moves {
			a, b := s.defs[0], s.uses[0]
			partners[a], partners[b] = append(partners[a], b), append(partners[b], a)
		}
	}
	for i := range live {
		for r := range live[i] {
			if _, ok := loaded[r]; ok {
				loaded[r]++
			}
		}
	}
	// Take away, again and again, a register with fewer neighbors than there are colors,
	// or the one with the most neighbors.
	degree := make([]int, len(l.vectors))
	var left, order []register
	for r := range l.vectors {
		if used[r] {
			left = append(left, register(r))
			degree[r] = len(adjacent[r])
		}
	}
	palette := func(r register) []int {
		if l.vectors[r] {
			return allVectors
		}
		return allGeneral
	}
	for len(left) > 0 {
		at := slices.IndexFunc(left, func(r register) bool { return degree[r] < len(palette(r)) })
		if at < 0 {
			at = 0
			for i, r := range left {
				if degree[r] > degree[left[at]] {
					at = i
				}
			}
		}
		r := left[at]
		left = slices.Delete(left, at, at+1)
		order = append(order, r)
		for other := range adjacent[r] {
			degree[other]--
		}
	}
	colors = map[register]int{}
	for _, r := range slices.Backward(order) {
		taken := map[int]bool{}
		for other := range adjacent[r] {
			if c, ok := colors[other]; ok {
				taken[c] = true
			}
		}
		color := -1
		for _, p := range partners[r] {
			if c, ok := colors[p]; ok && !taken[c] {
				color = c
				break
			}
		}
		if color < 0 {
			for _, c := range palette(r) {
				if !taken[c] {
					color = c
					break
				}
			}
		}
		if color < 0 {
			spill = none
			for c, steps := range loaded { // the one that lives longest
				if writes[c] == 1 && steps > 2 && (spill == none || steps > loaded[spill] || steps == loaded[spill] && c < spill) {
					spill = c
				}
			}
			if spill == none {
				panic(fmt.Sprintf("%s: too many registers are live", l.name))
			}
			return nil, spill
		}
		colors[r] = color
	}
	return colors, none
}

// liveAfter returns for every step the registers whose value is needed after it.
func (l *lowering) liveAfter() []map[register]bool {
	labels := map[string]int{}
	for i, s := range l.steps {
		if s.label != "" {
			labels[s.label] = i
		}
	}
	before, after := make([]map[register]bool, len(l.steps)), make([]map[register]bool, len(l.steps))
	for i := range l.steps {
		before[i], after[i] = map[register]bool{}, map[register]bool{}
	}
	for changed := true; changed; {
		changed = false
		for i, s := range slices.Backward(l.steps) {
			join := func(next int) {
				for r := range before[next] {
					if !after[i][r] {
						after[i][r] = true
						changed = true
					}
				}
			}
			if s.target != "" {
				join(labels[s.target])
			}
			if !s.ends {
				join(i + 1)
			}
			for r := range after[i] {
				if !slices.Contains(s.defs, r) && !before[i][r] {
					before[i][r] = true
					changed = true
				}
			}
			for _, r := range s.uses {
				if !before[i][r] {
					before[i][r] = true
					changed = true
				}
			}
		}
	}
	return after
}

// reload loads a constant right before each use of it instead of once.
func (l *lowering) reload(constant register) {
	var steps []step
	offset := 0
	for _, s := range l.steps {
		if s.constant > 0 && s.defs[0] == constant {
			offset = s.constant - 1
		}
	}
	for _, s := range l.steps {
		if s.constant > 0 && s.defs[0] == constant {
			continue
		}
		if !slices.Contains(s.uses, constant) {
			steps = append(steps, s)
			continue
		}
		if slices.Contains(s.defs, constant) {
			panic(l.name + ": a constant is overwritten")
		}
		fresh := l.newVector()
		table := l.table
		steps = append(steps, step{defs: []register{fresh}, uses: []register{table}, constant: offset + 1, text: func(r func(register) int) string {
			return encodeLoad(r(fresh), r(table), offset).text()
		}})
		s.uses = slices.Clone(s.uses)
		for i, u := range s.uses {
			if u == constant {
				s.uses[i] = fresh
			}
		}
		text := s.text
		s.text = func(r func(register) int) string {
			return text(func(v register) int {
				if v == constant {
					v = fresh
				}
				return r(v)
			})
		}
		steps = append(steps, s)
	}
	l.steps = steps
}
