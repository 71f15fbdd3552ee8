#!/bin/sh
# Compiles each .cu file of a folder to a PTX module with clang; no NVIDIA software is
# needed. The first line of the PTX is a hash of its sources, by which a test detects
# outdated PTX without clang.
#
#	generate.sh [sources [folder]]    compiles the sources, by default those next to this
#	                                  file, and writes the modules to the folder, by
#	                                  default next to the sources
#
# The headers next to this file are found from any folder. A line "// target: sm_80 ptx70"
# in a source names the oldest GPU and PTX version that its module is for; without one they
# are sm_75 and ptx70.
#
# CLANG is the compiler, by default clang-19. The committed files are built with clang
# 19.1.7.
set -eu
headers=$(cd "$(dirname "$0")" && pwd)
sources=$(cd "${1:-$headers}" && pwd)
out=$(cd "${2:-$sources}" && pwd)
cd "$sources"

new=$(mktemp "$out/new.XXXXXX")
trap 'rm -f "$new"' EXIT
for source in *.cu; do
	target=$(sed -n 's|^// target: ||p' "$source")
	target=${target:-sm_75 ptx70}
	compile() {
		"${CLANG:-clang-19}" -x cuda --cuda-device-only -nocudainc -nocudalib -I "$headers" \
			"--cuda-gpu-arch=${target% *}" "--cuda-feature=+${target#* }" -O3 -std=c++20 -Wall -Wextra -Werror "$@" "$source"
	}
	# The source and the headers that it includes, in the order in which they are first included.
	files=$(compile -MM -MT x | tr -d '\\' | tr -s ' \n' ' ' | cut -d ' ' -f 2-)
	hash=$(cat $files | sha256sum | cut -d ' ' -f 1)
	{
		echo "// SHA-256 of the sources: $hash"
		compile -S -o -
	} >"$new"
	chmod 644 "$new"
	mv "$new" "$out/${source%.cu}.ptx"
done
