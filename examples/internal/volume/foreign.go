package volume

import (
	"bufio"
	"strings"
)

// foreignFormats are formats that are mistaken for those of this package, by the text at an
// offset of the file.
var foreignFormats = []struct {
	name, magic string
	offset      int
}{
	{"DICOM", "DICM", 128},
	{"NRRD", "NRRD000", 0},
	{"bzip2", "BZh", 0},
	{"Zstandard", "\x28\xb5\x2f\xfd", 0},
	{"xz", "\xfd7zXZ\x00", 0},
	{"ZIP", "PK\x03\x04", 0},
	{"HDF5 or MINC 2", "\x89HDF\r\n\x1a\n", 0},
	{"MINC 1", "CDF\x01", 0},
	{"NumPy", "\x93NUMPY", 0},
	{"PNG", "\x89PNG\r\n", 0},
	{"JPEG", "\xff\xd8\xff", 0},
	{"TIFF", "II*\x00", 0},
	{"TIFF", "MM\x00*", 0},
	{"HTML", "<!DOCTYPE", 0},
	{"HTML", "<html", 0},
}

// foreignFormat returns the name of the format that a file begins with, or "" if it is none
// of foreignFormats.
func foreignFormat(r *bufio.Reader) string {
	start, _ := r.Peek(132) // less for a short file
	for _, f := range foreignFormats {
		if len(start) > f.offset && strings.HasPrefix(string(start[f.offset:]), f.magic) {
			return f.name
		}
	}
	return ""
}
