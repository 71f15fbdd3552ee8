// Package cudatest opens an engine on an emulated GPU, to test code that uses package
// cuda on machines without a GPU. The emulator runs the real kernels on the CPU, which is
// slow, and needs a C++20 compiler: $CXX, c++, g++ or clang++. The first use compiles the
// kernels, which takes some seconds, into the folder afl-cuda-emulator of the user's cache
// ([os.UserCacheDir]). Tests built with -trimpath cannot find the sources and fail.
package cudatest
