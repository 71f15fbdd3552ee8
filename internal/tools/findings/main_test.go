package main

import (
	"strings"
	"testing"
)

const config = `{"config": {"scanner_name": "govulncheck"}}`

func finding(osv, fixed, trace string) string {
	return `{"finding": {"osv": "` + osv + `", "fixed_version": "` + fixed + `", "trace": [` + trace + `]}}`
}

// TestRead: one line for each vulnerability and module, by its closest reach, those that
// a newer dependency fixes first.
func TestRead(t *testing.T) {
	input := config + `{"progress": {"message": "Scanning"}}
{"osv": {"id": "GO-1", "summary": "Panic in\n  a parser"}}
{"osv": {"id": "GO-2", "summary": "Loop"}}
{"osv": {"id": "GO-3", "summary": "Leak"}}` +
		finding("GO-1", "v1.26.9", `{"module": "stdlib", "version": "v1.26.8"}`) +
		finding("GO-1", "v1.26.9", `{"module": "stdlib", "version": "v1.26.8", "package": "os", "function": "Open"}, {"module": "a"}`) +
		finding("GO-1", "v1.26.9", `{"module": "stdlib", "version": "v1.26.8", "package": "os"}`) +
		finding("GO-2", "", `{"module": "example.com/b", "version": "v1.0.0", "package": "example.com/b"}`) +
		finding("GO-3", "v1.0.1", `{"module": "example.com/b", "version": "v1.0.0"}`)
	found, err := read(strings.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GO-3: example.com/b v1.0.0, required, fixed in v1.0.1: Leak",
		"GO-1: stdlib v1.26.8, called, fixed in v1.26.9: Panic in a parser",
		"GO-2: example.com/b v1.0.0, imported, not fixed in any version: Loop",
	}
	if len(found) != len(want) {
		t.Fatalf("%d vulnerabilities, want %d: %v", len(found), len(want), found)
	}
	for i, v := range found {
		if v.String() != want[i] {
			t.Errorf("%v, want %s", v, want[i])
		}
		if v.outdated() != (i == 0) {
			t.Errorf("%v: outdated %t", v, v.outdated())
		}
	}
}

// TestReadRefuses: output that is empty, cut off or of another shape is an error, so that
// a scan that failed does not pass for one that found nothing.
func TestReadRefuses(t *testing.T) {
	for _, input := range []string{"", config + `{"osv": {"id"`, "no JSON", config + finding("GO-1", "", "")} {
		if _, err := read(strings.NewReader(input)); err == nil {
			t.Errorf("%q is accepted", input)
		}
	}
}
