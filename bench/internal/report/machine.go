package report

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	host "github.com/x/afl/internal/machine"
)

// Machine describes the machine and the program that results are from.
type Machine struct {
	CPU    string // model
	Cores  int
	Memory int64 // bytes, 0 if unknown
	System string
	Go     string // version
	Commit string // empty if unknown
}

// ThisMachine describes this machine and the commit of the working folder.
func ThisMachine() Machine {
	m := Machine{CPU: host.CPU(), Memory: host.Memory(), Cores: runtime.NumCPU(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	// A program that `go run` built does not know its commit.
	if commit, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(commit))
	}
	return m
}

// Rows writes the machine as rows of a Markdown table of two columns.
func (m Machine) Rows(b *strings.Builder) {
	fmt.Fprintf(b, "| CPU | %s, %s |\n", m.CPU, Plural(m.Cores, "core"))
	if m.Memory > 0 {
		fmt.Fprintf(b, "| Memory | %.1f GiB |\n", float64(m.Memory)/(1<<30))
	}
	fmt.Fprintf(b, "| System | %s |\n| Go | %s |\n", m.System, m.Go)
	if m.Commit != "" {
		fmt.Fprintf(b, "| Commit | %s |\n", m.Commit)
	}
}

// Load is the system's load average over one minute, or "unknown".
func Load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

// Slug turns a name into lower-case words joined by hyphens, for use in a folder's name.
func Slug(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), "-")
}
