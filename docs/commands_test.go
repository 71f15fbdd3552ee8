package docs_test

import (
	"bytes"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// small are the flags that turn documented trainings into ones of seconds.
const small = " -epochs 1 -steps 2 -phantom_valid 2 -phantom_size 32,32,32"

// executed are the documented commands that the test runs, with the flags that it adds. They
// run in their documents' order in one folder, so that one may use the files of another.
var executed = map[string]string{
	"go run ./examples/brats -epochs 3 -loss afl,fl,dice":                 small + " -patch 32,32,32", // the phantom of 24 + 2 cases is what predict reads
	"go run ./examples/picai -epochs 12 -loss afl,fl,dice -size 80,64,24": small + " -phantom_train 3 -size 32,32,16",
	"go run ./examples/picai -folds 3 -seeds 2 -report next_fold -epochs 2 -loss afl,fl -size 48,48,16": small +
		" -phantom_train 3 -seeds 1 -loss afl -model_dir runs/folds",
	"go run ./examples/predict -weights runs/brats/unet/afl/best.safetensors -case runs/brats/phantom/ValidImage/phantom_025 " +
		"-label runs/brats/phantom/ValidLabel/phantom_025_gt.nii.gz -out runs/mask.nii.gz": "",
	"go run ./examples/brats -epochs 2 -patch 48,48,32 -foreground 0.33 -batch 2 -model_dir runs/patches": small + " -phantom_train 4 -patch 32,16,16",
	"go run ./examples/export -weights runs/brats/unet/afl/best.safetensors -out unet.onnx":               "",
	"go doc github.com/x/afl.AdaptiveFocal":                                                               "",
}

// notExecuted are patterns of the other commands, each with the reason. Their flags, packages
// and files are checked.
var notExecuted = []struct{ pattern, reason string }{
	{`^\./check\.sh`, "it runs this test"},
	{`\bgo test\b`, "check.sh runs all tests, and benchmarks take minutes"},
	{`^go (get|install) `, "the tests of internal/tools install from a module proxy"},
	{`^go generate |run \./architecture$`, "it writes to the repository; check.sh compares what is generated"},
	{`\b(DATA|DIR|FOLDER|FILE|REPORT|RUN)\b|\.pth\b|10000_1000000|runs/(picai|mine|prostate)/`, "it reads files of the reader's"},
	{` -backend cuda\b`, "it needs a GPU"},
	{`^pip install `, "it installs NVIDIA's libraries"},
	{` -tags onednn `, "it needs oneDNN; check.sh trains with it where it is there"},
	{`/stepbench (kernels|repeats|convolutions)\b`, "it needs a GPU"},
	{`\./bench\b`, "it takes minutes, and compares with PyTorch or measures a GPU"},
	{`^mpirun `, "it needs MPI"},
}

// command is a documented command: its words without a comment, and where it stands.
type command struct{ text, document string }

// documentedCommands returns the commands in the blocks marked sh and, where a line of text
// has one as code, beginning with go or ./check.sh.
func documentedCommands(t *testing.T) []command {
	t.Helper()
	var commands []command
	inline := regexp.MustCompile("`((?:go (?:-C \\S+ )?(?:run|test|doc|generate|get|install|tool)|\\./check\\.sh)[^`]*)`")
	comment := regexp.MustCompile(`(^|\s)#.*`)
	texts := documents(t)
	delete(texts, filepath.Join(root, "CHANGELOG.md")) // tells of what there was
	for _, path := range slices.Sorted(maps.Keys(texts)) {
		block, continued := "", ""
		for line := range strings.Lines(texts[path]) {
			if fence, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
				if block == "" {
					block = fence + "\n"
				} else {
					block = ""
				}
				continue
			}
			switch block {
			case "":
				for _, m := range inline.FindAllStringSubmatch(line, -1) {
					commands = append(commands, command{m[1], path})
				}
			case "sh\n":
				line = continued + strings.TrimSpace(comment.ReplaceAllString(line, ""))
				if before, ok := strings.CutSuffix(line, "\\"); ok {
					continued = before
					continue
				}
				if continued = ""; line != "" {
					commands = append(commands, command{strings.Join(strings.Fields(line), " "), path})
				}
			}
		}
		require.Empty(t, block, "%s: a block does not end", path)
	}
	return commands
}

// TestDocumentedCommands: every command of the documents runs, or at least names packages,
// files and flags that there are.
func TestDocumentedCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs every program")
	}
	p := programs{t: t, bin: t.TempDir(), work: t.TempDir(), built: map[string]string{}}
	seen := map[string]bool{}
	for _, c := range documentedCommands(t) {
		if seen[c.text] {
			continue
		}
		seen[c.text] = true
		t.Run(c.text, func(t *testing.T) {
			if _, ok := executed[c.text]; !ok {
				at := slices.IndexFunc(notExecuted, func(n struct{ pattern, reason string }) bool {
					return regexp.MustCompile(n.pattern).MatchString(c.text)
				})
				require.GreaterOrEqual(t, at, 0, "%s: add the command to those executed, or say in notExecuted why it cannot be", c.document)
				t.Log("not executed:", notExecuted[at].reason)
			}
			p.t = t
			p.check(c)
		})
	}
	for text := range executed {
		assert.True(t, seen[text], "no document has the command %s", text)
	}
	assert.Greater(t, len(seen), 20)
}

// programs builds what go run names, and runs it in a folder of its own.
type programs struct {
	t         *testing.T
	bin, work string
	built     map[string]string // the executable of each package
}

// check runs a command or checks its parts.
func (p programs) check(c command) {
	words := words(c.text)
	for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
		words = words[1:] // a variable of the environment
	}
	if at := slices.Index(words, "go"); at > 0 { // started by another program, such as mpirun
		words = words[at:]
	}
	require.NotEmpty(p.t, words, c.text)
	folder := root
	if len(words) > 3 && words[1] == "-C" {
		folder = filepath.Join(root, words[2])
		words = slices.Delete(words, 1, 3)
	}
	switch {
	case words[0] == "./check.sh":
		assert.FileExists(p.t, filepath.Join(root, "check.sh"))
	case words[0] != "go" || len(words) < 2:
		p.t.Logf("%s: no command of this repository", c.document)
	case words[1] == "run":
		p.goRun(c.text, folder, words[2:])
	case words[1] == "test":
		p.goTest(words[2:])
	case words[1] == "doc":
		p.output(root, "go", words[1:]...)
	case words[1] == "get", words[1] == "install": // done by the tests of internal/tools/modproxy
		p.goGet(words[2:])
	case words[1] == "generate":
		p.goGenerate(words[2:])
	default:
		p.t.Logf("%s: go %s is not checked", c.document, words[1])
	}
}

// words splits a command, whose quotes are double.
func words(text string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(text, -1) {
		list = append(list, m[1]+m[2])
	}
	return list
}

// goRun runs a program, or has it parse its flags and print its help.
func (p programs) goRun(text, folder string, args []string) {
	for len(args) > 1 && strings.HasPrefix(args[0], "-") { // -tags and -C
		if args[0] == "-C" {
			folder = filepath.Join(root, args[1])
		}
		args = args[2:]
	}
	require.NotEmpty(p.t, args, text)
	name, args := p.build(folder, args[0]), args[1:]
	added, run := executed[text]
	if !run {
		p.output(p.work, name, append(slices.Clone(args), "-h")...)
		return
	}
	p.output(p.work, name, append(slices.Clone(args), strings.Fields(added)...)...)
}

// build returns the executable of a package.
func (p programs) build(folder, path string) string {
	at := filepath.Join(folder, path)
	if name, ok := p.built[at]; ok {
		return name
	}
	name := filepath.Join(p.bin, strings.NewReplacer("/", "_", ".", "").Replace(at))
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	p.output(folder, "go", "build", "-o", name, path)
	p.built[at] = name
	return name
}

// output runs a program that has to succeed.
func (p programs) output(folder, name string, args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = folder
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	require.NoError(p.t, err, "%s %s\n%s", name, strings.Join(args, " "), &out)
	return out.String()
}

// goTest checks that the packages of a test command are there, that they define its flags,
// and that its patterns name a test or a benchmark.
func (p programs) goTest(args []string) {
	values := map[string]string{}
	var flags, packages []string
	for i := 0; i < len(args); i++ {
		switch name := strings.TrimPrefix(args[i], "-"); {
		case name == args[i]:
			packages = append(packages, name)
		case slices.Contains([]string{"run", "bench", "tags", "exec", "timeout", "cpu", "C"}, name):
			require.Less(p.t, i+1, len(args), "-%s has no value", name)
			i++
			values[name] = args[i]
		case !slices.Contains([]string{"short", "race", "v"}, name):
			flags = append(flags, name)
		}
	}
	if len(packages) == 0 {
		packages = []string{"."}
	}
	functions, defined := map[string]bool{}, map[string]bool{}
	imported := regexp.MustCompile(`"github\.com/x/afl/(examples/[^"]*/emulated)"`) // defines -gpu for tests
	for _, path := range packages {
		files, err := filepath.Glob(filepath.Join(root, values["C"], path, "*_test.go"))
		require.NoError(p.t, err)
		require.NotEmpty(p.t, files, "%s has no tests", path)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(p.t, err)
			for _, m := range imported.FindAllSubmatch(text, 1) {
				more, err := filepath.Glob(filepath.Join(root, string(m[1]), "*.go"))
				require.NoError(p.t, err)
				files = append(files, more...)
			}
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			require.NoError(p.t, err)
			ast.Inspect(parsed, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					functions[n.Name.Name] = true
				case *ast.CallExpr: // flag.Bool("thorough", …)
					if f, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) == 3 {
						if of, ok := f.X.(*ast.Ident); ok && of.Name == "flag" {
							name, _ := n.Args[0].(*ast.BasicLit)
							require.NotNil(p.t, name, "%s: a flag without a name", file)
							defined[strings.Trim(name.Value, `"`)] = true
						}
					}
				}
				return true
			})
		}
	}
	for _, f := range flags {
		assert.True(p.t, defined[f], "%v define no flag -%s", packages, f)
	}
	for flag, prefix := range map[string]string{"run": "Test", "bench": "Benchmark"} {
		pattern := values[flag]
		if pattern == "" || pattern == "-" {
			continue
		}
		first, _, _ := strings.Cut(pattern, "/") // of a test among its subtests
		match := regexp.MustCompile(first)
		named := slices.ContainsFunc(slices.Collect(maps.Keys(functions)), func(name string) bool {
			return strings.HasPrefix(name, prefix) && match.MatchString(name)
		})
		assert.True(p.t, named, "%v have no %s%s", packages, prefix, pattern)
	}
}

// goGet checks that modules and packages are required or lie in the repository.
func (p programs) goGet(paths []string) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(p.t, err)
	for _, path := range paths {
		path, _, _ = strings.Cut(path, "@")
		if inside, ok := strings.CutPrefix(path, "github.com/x/afl"); ok {
			assert.DirExists(p.t, filepath.Join(root, inside))
			continue
		}
		assert.Contains(p.t, string(mod), "\t"+path+" v")
	}
}

// goGenerate checks that packages say how they are generated.
func (p programs) goGenerate(packages []string) {
	for _, path := range packages {
		files, err := filepath.Glob(filepath.Join(root, path, "*.go"))
		require.NoError(p.t, err)
		generated := slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			require.NoError(p.t, err)
			return bytes.Contains(text, []byte("\n//go:generate "))
		})
		assert.True(p.t, generated, "%s has no go:generate", path)
	}
}
