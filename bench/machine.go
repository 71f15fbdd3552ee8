package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	host "github.com/x/afl/internal/machine"
)

// machine describes where results come from.
type machine struct {
	cpu    string // model
	cores  int
	memory int64 // bytes, 0 where unknown
	system string
	goes   string // version of Go
	build  string // commit, where known
}

func thisMachine() machine {
	m := machine{cpu: host.CPU(), memory: host.Memory(), cores: runtime.NumCPU(),
		system: runtime.GOOS + "/" + runtime.GOARCH, goes: runtime.Version()}
	// A program that `go run` built does not know its commit.
	if commit, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.build = strings.TrimSpace(string(commit))
	}
	return m
}

// load is the system's load average over one minute, or "unknown". Others at
// work on the machine make every time longer.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

// slug is the CPU's name as a part of a folder's name.
func (m machine) slug() string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(strings.ToLower(m.cpu), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		if b.Len() > 0 {
			b.WriteByte('-')
		}
		b.WriteString(word)
	}
	return fmt.Sprintf("%s-%d", b.String(), m.cores)
}
