// Package disk reports how much space is left on a disk.
package disk

// Free returns the number of bytes that this process can still write to the file system of
// the folder dir, which must exist. ok is false if the number is unknown.
func Free(dir string) (bytes int64, ok bool) { return free(dir) }
