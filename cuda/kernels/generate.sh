#!/bin/sh
# Compiles each .cu file to a PTX module with clang; no NVIDIA software is needed. The
# first line of the PTX is a hash of its sources, by which a test detects outdated PTX
# without clang.
#
#	generate.sh [folder]    writes the modules to the folder, by default next to the sources
#
# CLANG is the compiler, by default clang-19. The committed files are built with clang
# 19.1.7.
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
