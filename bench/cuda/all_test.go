package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseAll(t *testing.T) {
	o, err := parseAll([]string{"-budget", "8m"}, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, namesOf(allParts(false)), namesOf(o.parts))
	assert.False(t, o.named)
	for _, args := range [][]string{{"-parts", "none"}, {"-budget", "-1s"}, {"extra"}} {
		_, err := parseAll(args, &bytes.Buffer{})
		assert.Error(t, err, args)
	}
}

// TestList prints every part with its command.
func TestList(t *testing.T) {
	o, err := parseAll([]string{"-dry", "-parts", "kernels,steps-brats-tf32"}, &bytes.Buffer{})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, o.list(&b))
	assert.Contains(t, b.String(), "kernels, at most 2m0s: ")
	assert.Contains(t, b.String(), "\tDIR/stepbench -backend cuda/tf32 -size 224,224,144 -channels 4 -models unet,")
	assert.Contains(t, b.String(), "-python PYTHON -budget 1m50s -out FOLDER/steps-brats-tf32\n")
}

// stepsScript stands for stepbench: it writes steps of one network, of a second one when it is run
// again, and leaves out a third.
const stepsScript = `
while [ $# -gt 1 ]; do [ "$1" = -out ] && out=$2; shift; done
mkdir -p "$out"
head=network,input,parameters,date,machine,who,peer,step,seconds,failure
if [ ! -f "$out/steps.csv" ]; then
	printf '%s\n' $head unet,1x3,7,d,m,cuda/tf32,false,0,0.004, unet,1x3,7,d,m,cuda/tf32,false,1,0.002, 'unet,1x3,7,d,m,cuda/tf32 cudnn,false,,,missing' 'unet,1x3,7,d,m,PyTorch 2,true,0,0.006,' >"$out/steps.csv"
	echo "mrrn: left out" >&2
	exit 3
fi
printf '%s\n' 'mrrn,1x3,7,d,m,cuda/tf32,false,0,0.01,' >>"$out/steps.csv"
`

// TestRunParts: two runs share the work, a part that fails does not end the others, and the report
// merges everything.
func TestRunParts(t *testing.T) {
	at := fakePlace(t, stepsScript)
	require.NoError(t, os.WriteFile(filepath.Join(at.pack, "fails"), []byte("#!/bin/sh\necho '# Kernels'; echo '## Two'; echo no such kernel >&2; exit 1\n"), 0o777))
	steps := part{name: "steps-picai-tf32", about: "steps", program: "stepbench", folder: true, most: time.Minute, least: time.Second}
	kernels := part{name: "kernels", about: "modules", program: "fails", most: time.Minute, least: time.Second}
	long := part{name: "long", about: "more", program: "fails", most: time.Minute, least: 50 * time.Second}
	o := &allOptions{parts: []part{kernels, steps, long}, budget: time.Minute}
	first, second := call{Date: "day 1", Command: "run 1", Commit: "c", Device: []field{{"GPU", "Loom"}}, PyTorch: "2"}, call{Date: "day 2", Command: "run 2", Commit: "c", Device: []field{{"GPU", "Loom"}}}

	all := &records{Calls: []call{first}}
	var log bytes.Buffer
	assert.EqualError(t, o.runParts(t.Context(), at, all, time.Now(), &log), "failed: kernels")
	text := contents(t, at.folder, "README.md")
	assert.Contains(t, text, "| kernels | modules | **failed** | 0 | [kernels.md](kernels.md), [kernels.log](kernels.log) |")
	assert.Contains(t, text, "no such kernel")
	assert.Contains(t, text, "| steps-picai-tf32 | steps | unfinished: the time was up | 0 |")
	assert.Contains(t, text, "| long | more | unfinished: the time was up before it | 0 |")
	assert.Contains(t, text, "| unet | 1x3 | tf32 | 2.00 | – | 6.00 | 3.00 | – |")
	assert.Contains(t, text, "\n## Kernels\n### Two\n")

	read, err := readRecords(at.folder)
	require.NoError(t, err)
	assert.Equal(t, all, read)
	require.NoError(t, read.continues(second))
	read.Calls = append(read.Calls, second)
	o.budget = 0
	o.parts = []part{kernels, steps}
	require.NoError(t, o.runParts(t.Context(), at, read, time.Now(), &log))
	assert.Contains(t, log.String(), "kernels: failed before")
	text = contents(t, at.folder, "README.md")
	assert.Contains(t, text, "run 1   # day 1\nrun 2   # day 2\n")
	assert.Contains(t, text, "| steps-picai-tf32 | steps | passed | 0 |")
	assert.Contains(t, text, "| mrrn | 1x3 | tf32 | 10.0 | – | – | – | – |")
	assert.FileExists(t, filepath.Join(at.folder, "steps.png"))

	o.named, o.parts = true, []part{kernels}
	assert.EqualError(t, o.runParts(t.Context(), at, read, time.Now(), &log), "failed: kernels", "it is run again")
	assert.Equal(t, 2, read.of(kernels).Runs)

	o.budget, o.parts = time.Second, []part{steps}
	assert.ErrorIs(t, o.runParts(t.Context(), at, read, time.Now(), &log), errUnfinished)

	second.Commit = "d"
	assert.ErrorContains(t, read.continues(second), "results of commit c, and this is d")
	second.Commit, second.Device = "c", []field{{"GPU", "Wheel"}}
	assert.ErrorContains(t, read.continues(second), "results of Loom, and this is Wheel")
	require.NoError(t, os.WriteFile(filepath.Join(at.folder, recordsName), []byte("{"), 0o666))
	_, err = readRecords(at.folder)
	assert.ErrorContains(t, err, recordsName)
}

func TestParseSteps(t *testing.T) {
	for text, want := range map[string]string{
		"":                "empty",
		"network,input\n": "no column who",
		"network,input,who,peer,seconds,failure\nunet,1,cuda,false,fast,\n": `line 2: seconds are "fast"`,
		"network,input\nunet\n": "wrong number of fields",
	} {
		_, err := parseSteps("steps-picai-tf32", []byte(text))
		assert.ErrorContains(t, err, want)
	}
}

// TestFindPython: without PyTorch, or one that runs on a GPU, there is no comparison.
func TestFindPython(t *testing.T) {
	var c call
	at := place{}
	require.NoError(t, at.findPython(t.Context(), "none", &c, &bytes.Buffer{}))
	assert.Equal(t, "none", at.python)
	fake := filepath.Join(t.TempDir(), "python3")
	answer := func(text string) error {
		require.NoError(t, os.WriteFile(fake, []byte("#!/bin/sh\n"+text), 0o777))
		return at.findPython(t.Context(), fake, &c, &bytes.Buffer{})
	}
	require.NoError(t, answer(`case "$2" in *find_spec*) exit 0;; esac; printf '/env\n2.9\nFalse\n'`))
	assert.Equal(t, "none", at.python)
	assert.Contains(t, c.PyTorch, "does not run on the GPU")
	t.Setenv("VIRTUAL_ENV", "")
	require.NoError(t, answer(`case "$2" in *find_spec*) exit 0;; esac; printf '/env\n2.9\nTrue\n'`))
	assert.Equal(t, fake, at.python)
	assert.Equal(t, []string{"VIRTUAL_ENV=/env"}, at.env)
	assert.ErrorContains(t, answer(`case "$2" in *find_spec*) exit 0;; esac; exit 1`), "describing its PyTorch")
	assert.ErrorContains(t, answer(`case "$2" in *find_spec*) exit 0;; esac; echo hello`), "printed")
	assert.Error(t, answer(`exit 1`))
}
