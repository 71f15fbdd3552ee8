// Command apichanges compares the public API of the module in the folder NEW with that of
// a released version in the folder OLD:
//
//	apichanges -since VERSION OLD NEW
//
// It prints what changed and the lowest version that the next release may have. It exits
// with status 1 if an incompatible change is not named in the section Unreleased of NEW's
// CHANGELOG.md, or would need another major version than VERSION has.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/mod/semver"
	"golang.org/x/tools/go/packages"
)

func main() {
	since := flag.String("since", "", "the version in the folder OLD, such as v0.1.0")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: apichanges -since VERSION OLD NEW")
		os.Exit(2)
	}
	report, err := compare(*since, flag.Arg(0), flag.Arg(1))
	fmt.Print(report)
	if err != nil {
		fmt.Fprintln(os.Stderr, "apichanges:", err)
		os.Exit(1)
	}
}

// compare reports the changes between the modules in two folders.
func compare(since, oldFolder, newFolder string) (string, error) {
	if !semver.IsValid(since) {
		return "", fmt.Errorf("version is %q, want one such as v0.1.0", since)
	}
	released, err := load(oldFolder)
	if err != nil {
		return "", err
	}
	current, err := load(newFolder)
	if err != nil {
		return "", err
	}
	changelog, err := os.ReadFile(filepath.Join(newFolder, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	unreleased, err := section(string(changelog), "[Unreleased]")
	if err != nil {
		return "", err
	}
	changes := apidiff.ModuleChanges(released, current).Changes
	var report strings.Builder
	var missing []error
	incompatible := false
	for _, c := range changes {
		kind := "compatible"
		if !c.Compatible {
			kind, incompatible = "incompatible", true
			if name := changed(c.Message); !names(unreleased, name) {
				missing = append(missing, fmt.Errorf("CHANGELOG.md does not name %s, which changed incompatibly", name))
			}
		}
		fmt.Fprintf(&report, "%s: %s\n", kind, c.Message)
	}
	next, err := nextVersion(since, incompatible, len(changes) > 0)
	if err == nil {
		fmt.Fprintf(&report, "%d changes since %s; the next version is %s or later\n", len(changes), since, next)
	}
	return report.String(), errors.Join(append(missing, err)...)
}

// load returns the importable packages of the module in a folder.
func load(folder string) (*apidiff.Module, error) {
	config := &packages.Config{Dir: folder, Fset: token.NewFileSet(), Mode: packages.NeedName | packages.NeedModule}
	listed, err := packages.Load(config, "./...")
	if err != nil {
		return nil, err
	}
	module := &apidiff.Module{}
	var public []string
	for _, p := range listed {
		for _, e := range p.Errors {
			return nil, e
		}
		module.Path = p.Module.Path
		if p.Name != "main" && !slices.Contains(strings.Split(p.PkgPath, "/"), "internal") {
			public = append(public, p.PkgPath)
		}
	}
	if len(public) == 0 {
		return nil, fmt.Errorf("%s holds no package that can be imported", folder)
	}
	config.Mode |= packages.NeedTypes // which compiles, so of these alone
	loaded, err := packages.Load(config, public...)
	if err != nil {
		return nil, err
	}
	for _, p := range loaded {
		for _, e := range p.Errors {
			return nil, e
		}
		module.Packages = append(module.Packages, p.Types)
	}
	return module, nil
}

// section returns the text beneath a heading of the second level.
func section(text, heading string) (string, error) {
	_, rest, ok := strings.Cut("\n"+text, "\n## "+heading)
	if !ok {
		return "", fmt.Errorf("CHANGELOG.md has no section %s", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest, nil
}

var typeParameters = regexp.MustCompile(`\[[^\]]*\]`)

// changed returns the name that a message of apidiff is about, without its package and type.
func changed(message string) string {
	name, _, _ := strings.Cut(typeParameters.ReplaceAllString(message, ""), ": ")
	name, _, _ = strings.Cut(name, ",")
	return name[strings.LastIndexAny(name, "./ ")+1:]
}

// names reports whether a text has the name as a word.
func names(text, name string) bool {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(text)
}

// nextVersion returns the lowest version that may follow. Version 0 gets a new minor
// version for every change of the API, later ones for additions.
func nextVersion(since string, incompatible, any bool) (string, error) {
	if incompatible && semver.Major(since) != "v0" {
		return "", fmt.Errorf("incompatible changes are for a new major version, with a module path of its own; the last one is %s", since)
	}
	core := strings.TrimPrefix(strings.TrimSuffix(semver.Canonical(since), semver.Prerelease(since)), "v")
	if semver.Prerelease(since) != "" { // its own release may have them all
		return "v" + core, nil
	}
	var numbers [3]int
	for i, s := range strings.Split(core, ".") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return "", err
		}
		numbers[i] = n
	}
	if any {
		return fmt.Sprintf("v%d.%d.0", numbers[0], numbers[1]+1), nil
	}
	return fmt.Sprintf("v%d.%d.%d", numbers[0], numbers[1], numbers[2]+1), nil
}
