// Command findings reads what govulncheck -format json prints and writes a line for each
// vulnerability. It exits with status 1 if a newer version of a dependency fixes one of
// them. Vulnerabilities of the standard library are fixed by a newer Go, which a go.mod
// cannot give to those who build with an older one, so they are listed only.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	found, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "findings:", err)
		os.Exit(2)
	}
	outdated := false
	for _, v := range found {
		fmt.Println(v)
		outdated = outdated || v.outdated()
	}
	if outdated {
		fmt.Fprintln(os.Stderr, "findings: go get the newer versions of the dependencies above")
		os.Exit(1)
	}
}

// vulnerability is one vulnerability of one module.
type vulnerability struct {
	id, summary    string
	module         string
	version, fixed string // fixed is empty if no version fixes it
	reach          reach
}

// reach is how close the code gets to a vulnerability.
type reach int

const (
	required reach = iota
	imported
	called
)

func (r reach) String() string { return [...]string{"required", "imported", "called"}[r] }

// outdated reports whether a newer version of a dependency fixes the vulnerability.
func (v vulnerability) outdated() bool {
	return v.fixed != "" && v.module != "stdlib" && v.module != "toolchain"
}

func (v vulnerability) String() string {
	fix := "not fixed in any version"
	if v.fixed != "" {
		fix = "fixed in " + v.fixed
	}
	return fmt.Sprintf("%s: %s %s, %s, %s: %s", v.id, v.module, v.version, v.reach, fix, v.summary)
}

// message is one message of govulncheck, of which other kinds are ignored.
type message struct {
	Config *struct{}
	OSV    *struct{ ID, Summary string }
	// Finding is a trace from the vulnerable symbol, package or module to the code.
	Finding *struct {
		OSV   string
		Fixed string `json:"fixed_version"`
		Trace []struct{ Module, Version, Package, Function string }
	}
}

// read returns the vulnerabilities, those of dependencies first.
func read(r io.Reader) ([]vulnerability, error) {
	type key struct{ id, module string }
	found, summaries := map[key]vulnerability{}, map[string]string{}
	complete := false
	for decoder := json.NewDecoder(r); ; {
		var m message
		if err := decoder.Decode(&m); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading what govulncheck found: %w", err)
		}
		switch {
		case m.Config != nil:
			complete = true
		case m.OSV != nil:
			summaries[m.OSV.ID] = strings.Join(strings.Fields(m.OSV.Summary), " ")
		case m.Finding != nil:
			f := m.Finding
			if len(f.Trace) == 0 {
				return nil, fmt.Errorf("a finding of %s has no trace", f.OSV)
			}
			at := f.Trace[0]
			v := vulnerability{id: f.OSV, module: at.Module, version: at.Version, fixed: f.Fixed}
			switch {
			case at.Function != "":
				v.reach = called
			case at.Package != "":
				v.reach = imported
			}
			k := key{v.id, v.module}
			if old, ok := found[k]; !ok || v.reach > old.reach {
				found[k] = v
			}
		}
	}
	if !complete {
		return nil, errors.New("govulncheck printed nothing")
	}
	var list []vulnerability
	for _, v := range found {
		v.summary = summaries[v.id]
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b vulnerability) int {
		if a.outdated() != b.outdated() {
			if a.outdated() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.id+" "+a.module, b.id+" "+b.module)
	})
	return list, nil
}
