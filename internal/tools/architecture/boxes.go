package main

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

const modulePath = "github.com/x/afl"

// box is a part of the picture: packages that belong together.
type box struct {
	title    string
	group    string   // names its color
	patterns []string // of paths below the module, as path.Match takes them
	packages []string // that are there
}

// boxes returns the parts of the module, without packages. A package belongs to the first
// one that has a pattern for it.
func boxes() []*box {
	return []*box{
		{title: "benchmarks and study", group: "bench", patterns: []string{"bench", "bench/*", "bench/internal/*", "examples/internal/stepbench", "examples/internal/scalebench", "examples/internal/study", "internal/workload", "internal/workload/*", "internal/pytorch"}},
		{title: "programs", group: "programs", patterns: []string{"examples/*"}},
		{title: "command line", group: "programs", patterns: []string{"examples/internal/cli", "examples/internal/runlock", "examples/internal/fingerprint", "examples/internal/disk", "examples/internal/memory"}},
		{title: "training", group: "training", patterns: []string{"examples/internal/train", "examples/internal/dist", "examples/internal/mpi"}},
		{title: "prediction", group: "training", patterns: []string{"examples/internal/infer", "examples/internal/settings"}},
		{title: "reports", group: "results", patterns: []string{"examples/internal/report", "examples/internal/page", "examples/internal/qualitative"}},
		{title: "surfaces", group: "results", patterns: []string{"examples/internal/surface", "examples/internal/render"}},
		{title: "results", group: "results", patterns: []string{"examples/internal/outcome", "examples/internal/statistics", "examples/internal/measure"}},
		{title: "networks", group: "training", patterns: []string{"examples/internal/models", "examples/internal/weights", "examples/internal/onnx"}},
		{title: "training engine", group: "training", patterns: []string{"examples/internal/nn", "examples/internal/nn/*", "examples/internal/nn/*/*", "examples/internal/backends"}},
		{title: "images", group: "results", patterns: []string{"examples/internal/dataset", "examples/internal/volume", "examples/internal/phantom", "examples/internal/segment"}},
		{title: "losses and metrics", group: "library", patterns: []string{".", "internal/planof"}},
		{title: "lesion detection", group: "library", patterns: []string{"detection"}},
		{title: "GPU backend", group: "library", patterns: []string{"cuda", "cuda/*", "internal/cuda/*"}},
		{title: "distances", group: "library", patterns: []string{"internal/edt"}},
		{title: "CPU backend", group: "library", patterns: []string{"internal/cpu", "internal/cpu/*"}},
		{title: "plans", group: "library", patterns: []string{"internal/plan"}},
		{title: "shared", group: "shared", patterns: []string{"internal/*"}},
	}
}

// forTests are the packages that only tests import.
var forTests = []string{
	"docs", "internal/golden", "internal/losstest", "bench/internal/benchtest", "cuda/cudatest", "internal/cuda/emulator",
	"examples/internal/nn/nntest", "examples/internal/nn/cuda/emulated", "examples/internal/*/*test",
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		if err != nil {
			panic(err) // a pattern of this file
		}
		return ok
	})
}

// read returns the boxes with the packages of the module in root, and for each box those
// that it imports.
func read(root string) ([]*box, map[*box]map[*box]bool, error) {
	list := exec.Command("go", "list", "-tags", "onednn", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = root
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=1") // the same picture everywhere
	out, err := list.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("listing the packages: %w", err)
	}
	all := boxes()
	of := map[string]*box{}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines {
		name := relative(strings.Fields(line)[0])
		if matches(forTests, name) {
			continue
		}
		at := slices.IndexFunc(all, func(b *box) bool { return matches(b.patterns, name) })
		if at < 0 {
			return nil, nil, fmt.Errorf("package %s is in no box: add it to boxes.go", name)
		}
		of[name], all[at].packages = all[at], append(all[at].packages, name)
	}
	imports := map[*box]map[*box]bool{}
	for _, line := range lines {
		words := strings.Fields(line)
		from := of[relative(words[0])]
		for _, word := range words[1:] {
			to := of[relative(word)]
			if from == nil || to == nil || from == to {
				continue
			}
			if imports[from] == nil {
				imports[from] = map[*box]bool{}
			}
			imports[from][to] = true
		}
	}
	all = slices.DeleteFunc(all, func(b *box) bool { return len(b.packages) == 0 })
	return all, imports, nil
}

// relative returns the path of a package below the module, or one that is in no box.
func relative(importPath string) string {
	if importPath == modulePath {
		return "."
	}
	name, ok := strings.CutPrefix(importPath, modulePath+"/")
	if !ok {
		return "//" + importPath
	}
	return name
}
