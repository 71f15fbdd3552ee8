#!/bin/sh
# Makes a module of PTX from each .cu file with clang; no NVIDIA software is
# needed. The first line of the PTX holds the hash of the sources it was made from,
# so that a test can tell without clang that it is not out of date.
#
#	generate.sh [folder]    writes the modules beside their sources, or there
#
# CLANG names the compiler, clang-19 by default: the committed files are those of
# clang 19.1.7.
set -eu
out=$(cd "${1:-$(dirname "$0")}" && pwd)
cd "$(dirname "$0")"

new=$(mktemp "$out/new.XXXXXX")
trap 'rm -f "$new"' EXIT
for source in *.cu; do
	hash=$(LC_ALL=C ls "$source" *.h | grep -v '^emulator.h$' | xargs cat | sha256sum | cut -d ' ' -f 1)
	{
		echo "// SHA-256 of the sources: $hash"
		"${CLANG:-clang-19}" -x cuda --cuda-device-only -nocudainc -nocudalib \
			--cuda-gpu-arch=sm_75 --cuda-feature=+ptx70 -O3 -std=c++20 -Wall -Wextra -Werror \
			-S -o - "$source"
	} >"$new"
	chmod 644 "$new"
	mv "$new" "$out/${source%.cu}.ptx"
done
