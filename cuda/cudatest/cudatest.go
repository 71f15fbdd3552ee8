// Package cudatest opens an engine on an emulated GPU, so that what runs on package
// cuda is tested where there is no GPU. The emulator runs the real kernels on the
// CPU, slowly, and needs a C++20 compiler: $CXX, c++, g++ or clang++. The first use
// compiles them, which takes some seconds, into the folder afl-cuda-emulator of the
// user's cache ([os.UserCacheDir]). A test that is built with -trimpath does not find
// their sources and fails.
package cudatest
