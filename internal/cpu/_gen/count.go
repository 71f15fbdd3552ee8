package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// counts are the instructions of each kind for 16 elements.
type counts struct{ multiply, divide, scale, add, other, load, store float64 }

// slots is the number of cycles for which one of a core's multipliers is busy: one
// for a product or a fused multiply-add, two for a scaling by a power of two and
// three for a division, as measured on Zen 5.
func (c counts) slots() float64 { return c.multiply + 2*c.scale + 3*c.divide }

var (
	routineLine = regexp.MustCompile(`^TEXT ·(\w+AVX512)\(SB\)`)
	labelLine   = regexp.MustCompile(`^(\w+):$`)
	jumpLine    = regexp.MustCompile(`^\s+(J\w+)\s+(\w+)$`)
	stepLine    = regexp.MustCompile(`^\s+ADDQ\s+\$0x([0-9a-f]+), \w+$`)
	vectorLine  = regexp.MustCompile(`^\s+(V\w+|PREFETCH\w+)(?:\.\w+)*\s+(.*)$`)
)

// printCounts writes a Markdown table of the instructions in the loops of every
// logistic AVX-512 routine. Where a loop branches the shorter branch counts: stores
// through the cache, and the power for a small γ.
func printCounts(w io.Writer, assembly string) error {
	f, err := os.Open(assembly)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintln(w, "| routine | products | divisions | scalings | sums, comparisons | moves, logic | loads | stores | multiplier slots |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	var (
		name    string
		total   counts // of the routine
		body    counts // since begin
		begin   string // the last label that a loop may start at
		step    float64
		skip    string // label at which the branch not taken ends
		vectors bool   // the routine has a loop
	)
	finish := func() {
		if vectors {
			fmt.Fprintf(w, "| %s | %.4g | %.4g | %.4g | %.4g | %.4g | %.4g | %.4g | %.4g |\n", strings.TrimSuffix(name, "AVX512"),
				total.multiply, total.divide, total.scale, total.add, total.other, total.load, total.store, total.slots())
		}
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if m := routineLine.FindStringSubmatch(line); m != nil {
			finish()
			name, total, vectors = m[1], counts{}, false
			continue
		}
		if strings.HasPrefix(line, "TEXT") {
			finish()
			name, vectors = "", false
			continue
		}
		if name == "" || strings.HasPrefix(name, "softmax") || strings.HasPrefix(name, "row") {
			continue
		}
		if m := labelLine.FindStringSubmatch(line); m != nil {
			switch {
			case m[1] == skip:
				skip = ""
			case strings.HasSuffix(m[1], "Past"):
				skip = strings.TrimSuffix(m[1], "Past") + "Stored"
			case !strings.HasSuffix(m[1], "Stored") && m[1] != "power" && m[1] != "small":
				begin, body = m[1], counts{}
			}
			continue
		}
		if m := stepLine.FindStringSubmatch(line); m != nil {
			n, err := strconv.ParseUint(m[1], 16, 64)
			if err != nil {
				return err
			}
			step = float64(n)
		}
		if m := jumpLine.FindStringSubmatch(line); m != nil {
			switch {
			case m[1] == "JCS" && m[2] == "small":
				skip = "small"
			case m[2] == begin && begin != "turn":
				total.add16(body, step)
				vectors = true
			}
			continue
		}
		if m := vectorLine.FindStringSubmatch(line); m != nil && skip == "" {
			body.one(m[1], m[2])
		}
	}
	finish()
	return lines.Err()
}

// one counts an instruction. Moves between registers need no execution unit.
func (c *counts) one(name, operands string) {
	list := strings.Split(operands, ", ")
	switch last := list[len(list)-1]; {
	case strings.HasPrefix(name, "PREFETCH"):
		c.load++
		return
	case strings.HasPrefix(name, "VMOV") && strings.Contains(last, "("):
		c.store++
		return
	case strings.Contains(operands, "("):
		c.load++
	}
	switch {
	case strings.HasPrefix(name, "VMUL"), strings.HasPrefix(name, "VFMADD"), strings.HasPrefix(name, "VFNMADD"):
		c.multiply++
	case strings.HasPrefix(name, "VDIV"):
		c.divide++
	case strings.HasPrefix(name, "VSCALEF"):
		c.scale++
	case strings.HasPrefix(name, "VADD"), strings.HasPrefix(name, "VSUB"), strings.HasPrefix(name, "VMAX"), strings.HasPrefix(name, "VMIN"),
		strings.HasPrefix(name, "VRND"), strings.HasPrefix(name, "VCMP"), strings.HasPrefix(name, "VPCMP"), strings.HasPrefix(name, "VPMOVD2M"):
		c.add++
	case strings.HasPrefix(name, "VBROADCAST"):
	default:
		c.other++
	}
}

// add16 adds the instructions of a loop body, which handles step elements, scaled
// to 16.
func (c *counts) add16(body counts, step float64) {
	k := 16 / step
	c.multiply += k * body.multiply
	c.divide += k * body.divide
	c.scale += k * body.scale
	c.add += k * body.add
	c.other += k * body.other
	c.load += k * body.load
	c.store += k * body.store
}
