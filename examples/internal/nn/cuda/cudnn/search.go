package cudnn

import (
	"os"
	"path/filepath"
	"slices"
)

// Variable is the environment variable that names the library's file or folder. Where it is
// set, the library is searched nowhere else.
const Variable = "AFL_CUDNN"

const (
	libraryName = "libcudnn.so.9"
	wheelFolder = "nvidia/cudnn/lib"
)

// candidates returns the names to try, in this order: the file or folder of [Variable] alone,
// or the loader's own search, NVIDIA's folders and those of Python packages.
func candidates() []string {
	if given := os.Getenv(Variable); given != "" {
		if info, err := os.Stat(given); err == nil && info.IsDir() {
			given = filepath.Join(given, libraryName)
		}
		return []string{given}
	}
	names := []string{libraryName}
	for _, pattern := range append(systemFolders(), pythonFolders()...) {
		found, _ := filepath.Glob(filepath.Join(pattern, libraryName)) // the patterns are well-formed
		slices.Sort(found)
		names = append(names, found...)
	}
	return names
}

// systemFolders returns patterns of the folders of NVIDIA's packages and archives.
func systemFolders() []string {
	return []string{
		"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
		"/usr/local/cuda/lib64", "/usr/local/cuda/targets/*/lib", "/usr/local/cudnn*/lib", "/opt/nvidia/cudnn*/lib",
	}
}

// pythonFolders returns patterns of the folders into which pip installs nvidia-cudnn-cu12 and
// nvidia-cudnn-cu13: of the active virtual or Conda environment, the user and the system.
func pythonFolders() []string {
	var roots []string
	for _, variable := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if root := os.Getenv(variable); root != "" {
			roots = append(roots, filepath.Join(root, "lib", "python3*", "site-packages"))
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, ".local", "lib", "python3*", "site-packages"))
	}
	roots = append(roots, "/usr/local/lib/python3*/dist-packages", "/usr/local/lib/python3*/site-packages", "/usr/lib/python3*/site-packages")
	for i, root := range roots {
		roots[i] = filepath.Join(root, wheelFolder)
	}
	return roots
}

// cuBLASLt returns the names of the library without which cuDNN ends the process: as the loader
// finds them, and beside a wheel's folder.
func cuBLASLt(library string) []string {
	var names []string
	for _, name := range []string{"libcublasLt.so.13", "libcublasLt.so.12"} {
		names = append(names, name)
		if filepath.IsAbs(library) {
			folder := filepath.Dir(library)
			for _, beside := range []string{".", "../../cublas/lib", "../../cu13/lib"} {
				names = append(names, filepath.Join(folder, beside, name))
			}
		}
	}
	return names
}
