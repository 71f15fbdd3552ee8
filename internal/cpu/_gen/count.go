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

// kind is a class of instructions.
type kind int

const (
	products kind = iota // products and fused multiply-adds
	divisions
	scalings  // by a power of two
	additions // sums, comparisons and conversions
	roundings // to a whole number
	logic     // logic, shifts, blends, masks
	loads
	stores
	moves    // between registers
	generals // on general registers
	kinds    = iota
)

// counts are the instructions of each kind.
type counts [kinds]float64

// instructionSet says how the assembly of an instruction set is read.
type instructionSet struct {
	file, suffix     string
	kinds            []kind // of the table
	jump, step, line *regexp.Regexp
	toSmall          string // the jump to the power for a small γ
	one              func(c *counts, name, operands string)
	// extra are columns computed from the counts.
	extra []column
}

type column struct {
	name  string
	value func(c *counts) float64
}

var kindNames = [kinds]string{"products", "divisions", "scalings", "sums, comparisons", "roundings", "logic, blends", "loads", "stores", "moves", "general"}

// instructionSets are those whose routines can be counted.
var instructionSets = map[string]instructionSet{
	"avx512": {
		file: "kernels_amd64.s", suffix: "AVX512",
		kinds:   []kind{products, divisions, scalings, additions, roundings, logic, loads, stores},
		jump:    regexp.MustCompile(`^\s+(J\w+)\s+(\w+)$`),
		step:    regexp.MustCompile(`^\s+ADDQ\s+\$0x([0-9a-f]+), \w+$`),
		line:    regexp.MustCompile(`^\s+([VK]\w+|PREFETCH\w+)(?:\.\w+)*\s+(.*)$`),
		toSmall: "JCS",
		one:     (*counts).avx512,
		extra: []column{
			// The cycles for which one of Zen 5's two multipliers is busy: one for a product
			// or a fused multiply-add, two for a scaling by a power of two and three for a
			// division, as measured.
			{"Zen 5 multiplier slots", func(c *counts) float64 { return c[products] + 2*c[scalings] + 3*c[divisions] }},
			// Those for which one of the two 512-bit pipelines of an Intel Xeon is busy: one
			// for each instruction, but three for a division and two to round, as measured.
			{"Xeon slots", func(c *counts) float64 {
				return c[products] + 3*c[divisions] + c[scalings] + c[additions] + 2*c[roundings] + c[logic]
			}},
		},
	},
	"neon": {
		file: "kernels_arm64.s", suffix: "NEON",
		kinds:   []kind{products, divisions, additions, roundings, logic, moves, loads, stores, generals},
		jump:    regexp.MustCompile(`^\s+(B\w*)\s+(\w+)$`),
		step:    regexp.MustCompile(`^\s+ADD \$([0-9]+), (R\d+), R\d+$`),
		line:    regexp.MustCompile(`^\s+(?:WORD \$0x[0-9a-f]+ // (\w+)|[A-Z]\w*)\s(.*)$`),
		toSmall: "BEQ",
		one:     (*counts).neon,
		extra: []column{{"vector instructions", func(c *counts) float64 {
			return c[products] + c[divisions] + c[additions] + c[roundings] + c[logic] + c[moves]
		}}},
	},
}

var (
	routineLine = regexp.MustCompile(`^TEXT ·(\w+)\(SB\)`)
	labelLine   = regexp.MustCompile(`^(\w+):$`)
)

// counted reports whether a routine is in the table: the fused kernels of one channel or
// two, the tile kernels and the row kernels of float32.
func counted(name string) bool {
	return hasPrefix(name, "logistic", "pair", "tile") || strings.HasPrefix(name, "row") && strings.HasSuffix(name, "32")
}

// printCounts writes a Markdown table of the instructions for 16 elements in the loops of
// the routines of an instruction set. Where a loop branches the shorter branch counts:
// stores through the cache, and the power for a small γ. Of a row or tile kernel everything
// counts: elements, upstream gradient and gradient.
func printCounts(w io.Writer, set instructionSet, assembly string) error {
	f, err := os.Open(assembly)
	if err != nil {
		return err
	}
	defer f.Close()
	header, line := "| routine |", "|---|"
	for _, k := range set.kinds {
		header, line = header+" "+kindNames[k]+" |", line+"--:|"
	}
	for _, c := range set.extra {
		header, line = header+" "+c.name+" |", line+"--:|"
	}
	fmt.Fprintln(w, header+"\n"+line)
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
		if !vectors {
			return
		}
		fmt.Fprintf(w, "| %s |", name)
		for _, k := range set.kinds {
			fmt.Fprintf(w, " %.4g |", total[k])
		}
		for _, c := range set.extra {
			fmt.Fprintf(w, " %.4g |", c.value(&total))
		}
		fmt.Fprintln(w)
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if m := routineLine.FindStringSubmatch(line); m != nil {
			finish()
			name, total, vectors = "", counts{}, false
			if of, ok := strings.CutSuffix(m[1], set.suffix); ok && counted(of) {
				name = of
			}
			continue
		}
		if name == "" {
			continue
		}
		if m := labelLine.FindStringSubmatch(line); m != nil {
			switch {
			case strings.HasPrefix(name, "row") && m[1] != "loop": // what is left out without an argument
			case strings.HasPrefix(name, "tile") && hasPrefix(m[1], "no", "is"):
			case m[1] == "hard":
				begin = ""
			case m[1] == skip:
				skip = ""
			case strings.HasSuffix(m[1], "Past"):
				skip = strings.TrimSuffix(m[1], "Past") + "Stored"
			case !strings.HasSuffix(m[1], "Stored") && m[1] != "fetched" && m[1] != "power" && m[1] != "small":
				begin, body = m[1], counts{}
			}
			continue
		}
		if m := set.jump.FindStringSubmatch(line); m != nil {
			switch {
			case m[1] == set.toSmall && m[2] == "small":
				skip = "small"
			case m[2] == begin && begin != "turn":
				for k, n := range body {
					total[k] += n * 16 / step
				}
				vectors = true
			}
			continue
		}
		if m := set.step.FindStringSubmatch(line); m != nil {
			n, err := strconv.ParseUint(m[1], set.base(), 64)
			if err != nil {
				return err
			}
			step = float64(n)
		}
		if m := set.line.FindStringSubmatch(line); m != nil && skip == "" {
			set.one(&body, m[1], m[2])
		}
	}
	finish()
	return lines.Err()
}

// base is that of the numbers in the assembly.
func (s instructionSet) base() int {
	if s.suffix == neon.name {
		return 10
	}
	return 16
}

// hasPrefix reports whether s begins with one of the prefixes.
func hasPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

var maskOperand = regexp.MustCompile(`\bK\d\b`)

// avx512 counts an instruction. A load or broadcast under a mask also takes a pipeline;
// a move between registers takes none.
func (c *counts) avx512(name, operands string) {
	list := strings.Split(operands, ", ")
	masked := maskOperand.MatchString(operands)
	switch last := list[len(list)-1]; {
	case strings.HasPrefix(name, "PREFETCH"):
		c[loads]++
		return
	case strings.HasPrefix(name, "VMOV") && strings.Contains(last, "("):
		c[stores]++
		return
	case strings.Contains(operands, "("):
		c[loads]++
		if hasPrefix(name, "VMOV", "VBROADCAST") && !masked {
			return
		}
	case strings.HasPrefix(name, "VMOV") && !masked:
		c[moves]++
		return
	}
	switch {
	case hasPrefix(name, "VMUL", "VFMADD", "VFNMADD"):
		c[products]++
	case hasPrefix(name, "VDIV"):
		c[divisions]++
	case hasPrefix(name, "VSCALEF"):
		c[scalings]++
	case hasPrefix(name, "VRND"):
		c[roundings]++
	case hasPrefix(name, "VADD", "VSUB", "VMAX", "VMIN", "VRANGE", "VCMP", "VPCMP", "VPMOVD2M", "VCVT"):
		c[additions]++
	default:
		c[logic]++
	}
}

// neon counts an instruction.
func (c *counts) neon(name, _ string) {
	switch {
	case name == "": // not encoded as a word
		c[generals]++
	case hasPrefix(name, "fmul", "fmla", "fmls"):
		c[products]++
	case hasPrefix(name, "fdiv"):
		c[divisions]++
	case hasPrefix(name, "frint"):
		c[roundings]++
	case hasPrefix(name, "fadd", "fsub", "fmax", "fmin", "fcm", "cm", "fcvt", "scvtf", "add", "sub"):
		c[additions]++
	case hasPrefix(name, "ldr", "ld1r"):
		c[loads]++
	case hasPrefix(name, "str"):
		c[stores]++
	case name == "mov":
		c[moves]++
	default:
		c[logic]++
	}
}
