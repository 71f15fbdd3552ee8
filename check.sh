#!/usr/bin/env bash
# Runs every check of the project: formatting, vet, staticcheck, known vulnerabilities,
# the API beside the last release, all tests, the tests again without assembly, and the
# race detector where goroutines share memory. Needs Go, Git and, for the race detector, a
# C compiler; Go fetches the rest. The GPU's kernels are run where there is a C++ compiler,
# the oneDNN backend where its header is installed, and the PTX is made anew where clang 19
# is.
set -euo pipefail
cd "$(dirname "$0")"

# step names what follows, and says how long the step before it took.
step() {
	[ -z "${started-}" ] || printf '   %d s\n' $((SECONDS - started))
	started=$SECONDS
	printf '\n== %s\n' "$*"
}

step gofmt
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	printf 'gofmt would change:\n%s\n' "$unformatted"
	exit 1
fi

step go mod tidy
go mod tidy -diff
go -C internal/tools mod tidy -diff

step go vet, here and for other architectures
go vet ./...
GOARCH=arm64 go vet ./...
GOARCH=386 go vet . ./detection ./internal/...

step generated assembly is that of its generator
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
go vet -C internal/cpu/_gen .
go test -C internal/cpu/_gen .
command -v aarch64-linux-gnu-objdump >/dev/null ||
	echo 'left out: the encoding of arm64, for want of a disassembler (Debian: binutils-aarch64-linux-gnu)'
go run -C internal/cpu/_gen . -dir "$generated"
for file in "$generated"/*; do
	diff "internal/cpu/$(basename "$file")" "$file"
done

step PTX is that of the kernels
clang=${CLANG:-clang-19}
if "$clang" --version 2>/dev/null | grep -q 'version 19\.1\.7'; then
	for folder in cuda/kernels examples/internal/nn/cuda/kernels; do
		mkdir -p "$generated/ptx/$folder"
		CLANG=$clang cuda/kernels/generate.sh "$folder" "$generated/ptx/$folder"
		for file in "$generated/ptx/$folder"/*; do
			cmp "$folder/$(basename "$file")" "$file"
		done
	done
else
	echo 'left out: clang 19.1.7 is not there'
fi

step tools of these checks, and installing from a module proxy
go vet -C internal/tools ./...
go test -C internal/tools -count=1 ./... # not from the cache, which does not know what they read
go build -C internal/tools -o "$generated/tools/" tool
PATH=$generated/tools:$PATH

step staticcheck
staticcheck ./...
(cd internal/tools && staticcheck ./...)

step known vulnerabilities
if database=$(cd "$generated" && go mod download -json golang.org/x/vulndb@latest | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p') && [ "$database" ]; then
	govulncheck -format json -db "file://$database/data/osv" ./... | findings
else
	echo 'left out: the module proxy does not serve the database, golang.org/x/vulndb'
fi

step public API since the last release
if tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null); then
	mkdir "$generated/released"
	git archive "$tag" | tar -x -C "$generated/released"
	apichanges -since "$tag" "$generated/released" .
else
	echo 'left out: no version is tagged yet'
fi

step 'the losses for GoMLX, a module of their own'
(
	cd gomlx
	go mod tidy -diff
	go vet ./...
	staticcheck ./...
	go test ./...
)

# tested lists packages: without a C++ compiler, those that need none.
tested() {
	if [ "$cxx" ]; then go list "$@"; else go list "$@" | grep -vE '/cuda(/|$)|/workload/gpu$'; fi
}
cxx=
for name in ${CXX:-c++ g++ clang++}; do
	if command -v "$name" >/dev/null; then cxx=$name && break; fi
done

step all tests, and how many cases of reference numbers they had
[ "$cxx" ] || echo "left out: those that run the GPU's kernels, for want of a C++ compiler (Debian: g++)"
command -v chromium chromium-browser google-chrome chrome >/dev/null ||
	echo 'left out: report.html in a browser, for want of Chromium (Debian: chromium)'
for name in mpirun.openmpi mpirun.mpich; do
	command -v $name >/dev/null || echo "left out: training by $name, which is not there (Debian: openmpi-bin, mpich)"
done
"${AFL_ONNX_PYTHON:-python3}" -c 'import onnxruntime' 2>/dev/null ||
	echo 'left out: exported models in onnxruntime, for want of it (pip install onnxruntime onnx; AFL_ONNX_PYTHON names another interpreter than python3)'
if go test -timeout 20m -v $(tested ./...) >"$generated/tests" 2>&1; then
	grep -E '^ok |\.go:[0-9]+: .*(cases|runs|layers|full set)' "$generated/tests"
else
	grep -vE '^ *(=== [A-Z]+|--- (PASS|SKIP)):? ' "$generated/tests"
	exit 1
fi

step the losses on each instruction set
for off in avx512f avx2; do
	GODEBUG=cpu.$off=off go test -timeout 10m -short . ./internal/cpu
done

step oneDNN backend
if echo '#include <oneapi/dnnl/dnnl.h>' | ${CC:-cc} -E - >/dev/null 2>&1; then
	go vet -tags onednn ./examples/...
	go test -timeout 20m -tags onednn ./examples/internal/nn/onednn
	go test -timeout 20m -tags onednn -short -run '(TestGolden|TestTrainingRuns)//onednn' ./examples/internal/models
	go test -timeout 20m -tags onednn -short ./examples/internal/cli ./examples/internal/stepbench
else
	echo 'left out: oneapi/dnnl/dnnl.h is not there (Debian: libdnnl-dev)'
fi

step tests without assembly
go test -timeout 20m -tags noasm -short . ./internal/cpu $(go list ./examples/internal/nn/... | grep -v /cuda)
go test -timeout 20m -tags noasm -short -run '(TestGolden|TestTrainingRuns)//portable/float32' ./examples/internal/models

step the same bits on other architectures
emulated() { # architecture, emulator, tests, packages
	if command -v "$2" >/dev/null; then
		GOARCH=$1 go test -timeout 20m -short -exec "$2" -run "$3" "${@:4}"
	else
		echo "left out: $2 is not there (Debian: qemu-user-static)"
	fi
}
emulated arm64 qemu-aarch64-static . . ./internal/cpu
emulated s390x qemu-s390x-static 'TestSameBits|TestFMA' ./internal/cpu
if [ "$(go env GOARCH)" = amd64 ]; then
	GOARCH=386 go test -short -run 'TestSameBits|TestFMA' ./internal/cpu
fi
if command -v node >/dev/null; then
	GOOS=js GOARCH=wasm go test -short -exec "$(go env GOROOT)/lib/wasm/go_js_wasm_exec" -run 'TestSameBits|TestFMA' ./internal/cpu
else
	echo 'left out: WebAssembly, for want of node'
fi

# The packages whose own code shares memory among goroutines, without those of their tests
# that compare what runs in one goroutine with its definition or with recorded data. Of the
# programs what is interrupted, of training what workers prepare.
step race detector
concurrent() {
	go list -f '{{range .Imports}}{{if or (eq . "sync") (eq . "sync/atomic") (eq . "github.com/x/afl/internal/parallel")}}{{$.ImportPath}}{{"\n"}}{{end}}{{end}}' $(tested ./...) |
		sort -u | grep -vE '/(bench|cli|train)$'
}
sequential='Functions64|RowKernels|RowSequences|LogisticKernels|SoftmaxKernels|TileTargets'        # internal/cpu
sequential+='|AgainstDefinition|Distribution|SlowInputs|NearestFarApart|NearestAtTheBudgets'        # internal/edt
sequential+='|SmallLesionGradients|SmallLesionHostile|WilcoxonExactAtTheCap|GoldenSurfaceElements' # the root
sequential+='|TestReal'                                                                            # dataset
go test -timeout 20m -race -short -skip "$sequential" $(concurrent) ./examples/internal/dist
go test -timeout 20m -race -short -run 'SecondInterrupt|InterruptWhile|OneRunPerFolder|ErrorInMidEpoch|WorkersChangeNothing|VolumeStatistics' ./examples/internal/train ./examples/internal/cli

step done
printf '\nall checks passed in %d s\n' $SECONDS
