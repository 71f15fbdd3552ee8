package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// part is a check or a measurement.
type part struct {
	name, about string
	least, most time.Duration // it is not begun with less time, and stopped after more

	program string   // of the pack
	args    []string // of a measurement; options that several have are added by words

	// Of a check: a package whose tests run on the device, those that have to pass, those that may
	// be skipped, and a tool of compute-sanitizer or none.
	pkg                string
	required, optional []string
	tool               string

	peer, folder, timed bool // it takes -python, -out and -budget
}

// Tests of the packages that run on the device. Under compute-sanitizer, which makes kernels
// slow, fewer run, on the smallest networks: every loss, every option that has a golden number,
// and every kernel of the training engine.
var (
	lossTests        = []string{"TestLosses", "TestGoldenLosses", "TestCPU", "TestGrad", "TestCapture", "TestConcurrentLosses"}
	engineTests      = []string{"TestBackend", "TestOperations", "TestHostileValues", "TestConvolutions", "TestConvolutionsKeepNaN", "TestPrecisionOfNetworks", "TestLoadKernels"}
	networkTests     = []string{"TestGolden", "TestTrainingRuns"}
	sanitizedLosses  = []string{"TestLosses", "TestGoldenLosses", "TestCPU", "TestGrad", "TestCapture"}
	sanitizedEngine  = []string{"TestOperations", "TestConvolutions"}
	sanitizedNetwork = []string{"TestGolden"}
)

const (
	lossPackage    = "cuda"
	enginePackage  = "examples/internal/nn/cuda"
	networkPackage = "examples/internal/models"
)

// stepOrder has the largest network last, so that one that takes too long leaves out no other.
const stepOrder = "unet,attunet,regunet,unet_resnet50,segresnet,vnet_authors,mrrn,r2unet"

// volume is an input on which steps and convolutions are measured.
type volume struct{ name, size, channels string }

var (
	picai = volume{"picai", "160,128,24", "3"}
	brats = volume{"brats", "224,224,144", "4"}
)

func (v volume) args() []string { return []string{"-size", v.size, "-channels", v.channels} }

// String returns the shape, 1×C×X×Y×Z.
func (v volume) String() string {
	return "1×" + v.channels + "×" + strings.ReplaceAll(v.size, ",", "×")
}

// allParts returns the parts in their order: first what says whether the kernels are right and
// what a training step costs, of which the first call has time for most, then the details. quick
// has all of them on small inputs.
func allParts(quick bool) []part {
	var list []part
	tests := func(name, about, pkg string, most time.Duration, required ...string) *part {
		list = append(list, part{name: name, about: about, least: 20 * time.Second, most: most, program: binaryOf(pkg), pkg: pkg, required: required})
		return &list[len(list)-1]
	}
	steps := func(v volume, precision string) {
		args := append([]string{"-backend", "cuda/" + precision}, v.args()...)
		if quick {
			args = append(args, "-models", "segresnet", "-size", "8,8,8", "-turns", "1", "-steps", "1", "-turn", "0s")
		} else {
			args = append(args, "-models", stepOrder, "-turns", "2", "-steps", "3", "-turn", "300ms")
		}
		list = append(list, part{
			name:  "steps-" + v.name + "-" + precision,
			about: fmt.Sprintf("a training step of each network at %v in %s, by own kernels and cuDNN, beside PyTorch (channels_last_3d, cudnn.benchmark)", v, precision),
			least: 45 * time.Second, most: 150 * time.Second, program: "stepbench",
			args: append(args, "-convolutions", "own,cudnn", "-modes", "channels_last_3d", "-alone", "-resume"), peer: true, folder: true, timed: true,
		})
	}
	convolutions := func(v volume) {
		args := append([]string{"convolutions"}, v.args()...)
		if quick {
			args = append(args, "-models", "segresnet", "-size", "8,8,8", "-shapes", "2", "-least", "1us", "-precisions", "tf32")
		}
		list = append(list, part{
			name:  "convolutions-" + v.name,
			about: "each convolution of the networks at " + v.String() + ", by own kernels, cuDNN and PyTorch",
			least: 30 * time.Second, most: 2 * time.Minute, program: "stepbench", args: args, peer: true, folder: true, timed: true,
		})
	}
	losses := func(size string, args ...string) {
		args = append([]string{"losses", "-sizes", size}, args...)
		if quick {
			args = append(args, "-quick")
		}
		list = append(list, part{
			name: "losses-" + size, about: "every loss on the input " + size + ", beside a copy of the same bytes and PyTorch",
			least: 30 * time.Second, most: 2 * time.Minute, program: "bench", args: args, peer: true, folder: true, timed: true,
		})
	}
	sanitized := func(tool, name, pkg string, tests []string) {
		list = append(list, part{
			name: tool + "-" + name, about: "tests of " + pkg + " under compute-sanitizer " + tool,
			least: 30 * time.Second, most: 90 * time.Second, program: binaryOf(pkg), pkg: pkg, required: tests, tool: tool,
		})
	}

	list = append(list, part{
		name: "kernels", about: "the driver compiles every module of kernels", least: 10 * time.Second, most: 2 * time.Minute,
		program: "stepbench", args: []string{"kernels"},
	})
	tests("tests-engine", "the training engine's tests on the device", enginePackage, 2*time.Minute, engineTests...).optional = []string{"TestConvolutionsByInstalledCuDNN"}
	repeats := func(name, about string, most time.Duration, args ...string) {
		args = append([]string{"repeats"}, args...)
		if quick {
			args = append(args, "-models", "segresnet", "-size", "8,8,8", "-times", "2", "-steps", "1", "-backends", "cuda/tf32")
		}
		list = append(list, part{name: name, about: about, least: 15 * time.Second, most: most, program: "stepbench", args: args, timed: true})
	}
	repeats("repeats", "100 repeats of training steps have equal bits", 90*time.Second, "-models", "segresnet,unet")
	repeats("repeats-cudnn", "100 repeats of training steps with cuDNN's convolutions have equal bits", 30*time.Second,
		"-models", "segresnet", "-backends", "cuda,cuda/tf32", "-convolutions", "cudnn")
	steps(picai, "tf32")
	tests("tests-losses", "the losses' tests on the device", lossPackage, 2*time.Minute, lossTests...)
	steps(brats, "tf32")
	tests("tests-networks", "golden networks and training runs on the device", networkPackage, 90*time.Second, networkTests...)
	losses("brats")
	convolutions(picai)
	sanitized("memcheck", "engine", enginePackage, sanitizedEngine)
	sanitized("racecheck", "engine", enginePackage, sanitizedEngine)
	steps(picai, "bfloat16")
	steps(brats, "bfloat16")
	convolutions(brats)
	losses("picai", "-repeats", "0")
	sanitized("memcheck", "networks", networkPackage, sanitizedNetwork)
	sanitized("racecheck", "networks", networkPackage, sanitizedNetwork)
	for _, tool := range []string{"memcheck", "racecheck", "initcheck"} {
		sanitized(tool, "losses", lossPackage, sanitizedLosses)
	}
	losses("brats8", "-repeats", "0")
	steps(picai, "float32")
	steps(brats, "float32")
	return list
}

// binaryOf names the test binary of a package. Names of packages are not unique.
func binaryOf(pkg string) string { return strings.ReplaceAll(pkg, "/", "-") + ".test" }

// selectParts returns the parts of a list of names in their order, or all.
func selectParts(all []part, names string) ([]part, error) {
	if names == "all" {
		return all, nil
	}
	wanted := strings.Split(names, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(all, func(p part) bool { return p.name == name }) {
			return nil, fmt.Errorf("-parts: there is no part %q, want some of %s", name, strings.Join(namesOf(all), ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p part) bool { return !slices.Contains(wanted, p.name) }), nil
}

func namesOf(parts []part) (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}
