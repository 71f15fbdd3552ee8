// Package runlock reserves the folder of a run for one process.
//
// Two files implement the lock. An operating system lock on .run.lock excludes the other
// processes of this machine, and those of other machines where the file system shares its
// locks; the system releases it when the process ends for whatever reason. run.lock names
// the process and its host. It also excludes machines that do not see each other's locks,
// as on many network file systems, and tells whoever finds the folder locked what to do.
//
// A run.lock that names a process of this host while .run.lock is free was left behind by a
// process that was killed, and is replaced. One that names another host is never replaced:
// whether that process still runs cannot be known from here.
package runlock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/x/afl/internal/atomicfile"
)

const (
	// Name is the name of the file that names the process holding the lock.
	Name = "run.lock"
	// systemName is the name of the file that carries the operating system's lock.
	systemName = ".run.lock"

	// ownerTimeout is how long Acquire waits for a process that holds the operating system's
	// lock to write its name.
	ownerTimeout = 10 * time.Second
	retry        = 10 * time.Millisecond
)

// Owner is the process that holds a lock.
type Owner struct {
	Program string    `json:"program"`
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Since   time.Time `json:"since"`
	// Token distinguishes processes that are equal in all other fields, such as those with
	// the same number in two containers of the same name.
	Token string `json:"token"`
}

// String describes the process.
func (o Owner) String() string {
	return fmt.Sprintf("process %d (%s) on host %s since %s", o.PID, o.Program, o.Host, o.Since.Local().Format(time.DateTime))
}

// HeldError is the error of [Acquire] if another process holds the lock.
type HeldError struct {
	// Dir is the folder.
	Dir string
	// Owner is the process, or nil if it has not written its name.
	Owner *Owner
	// Unverified is set if the process may have ended: it ran on another host, or the file
	// system has no locks.
	Unverified bool
}

func (e *HeldError) Error() string {
	text := fmt.Sprintf("%s is in use by another process", e.Dir)
	if e.Owner != nil {
		text = fmt.Sprintf("%s is in use by %s", e.Dir, e.Owner)
	}
	if e.Unverified {
		text += fmt.Sprintf("; if that process no longer runs, delete %s", filepath.Join(e.Dir, Name))
	}
	return text
}

// Lock is a lock held by this process.
type Lock struct {
	dir    string
	system *flock.Flock // nil if the file system has no locks
	own    []byte       // content of run.lock
}

// Acquire locks the folder dir, which must exist, for this process. If a process of this
// host left the lock behind, Acquire takes it over and returns that process. If another
// process holds it, the error is a [*HeldError].
func Acquire(dir, program string) (lock *Lock, abandoned *Owner, err error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, nil, fmt.Errorf("runlock: %w", err)
	}
	me := Owner{
		Program: program, PID: os.Getpid(), Host: host, Since: time.Now().UTC().Round(time.Second),
		Token: fmt.Sprintf("%016x", rand.Uint64()),
	}
	l := &Lock{dir: dir}
	if l.own, err = json.Marshal(me); err != nil {
		return nil, nil, fmt.Errorf("runlock: %w", err)
	}
	if err := l.lockSystem(host); err != nil {
		return nil, nil, err
	}
	if abandoned, err = l.claim(host); err != nil {
		l.unlockSystem()
		return nil, nil, err
	}
	return l, abandoned, nil
}

// lockSystem takes the operating system's lock, if the file system has locks.
func (l *Lock) lockSystem(host string) error {
	path := filepath.Join(l.dir, systemName)
	for start := time.Now(); ; time.Sleep(retry) {
		system := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o666))
		ok, err := system.TryLock()
		switch {
		case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.ENOLCK):
			os.Remove(path)
			return nil
		case err != nil:
			return fmt.Errorf("runlock: lock %s: %w", path, err)
		case ok && isAt(system, path):
			l.system = system
			return nil
		case ok: // the previous owner deleted the file after it was opened here
			system.Close()
			continue
		}
		// The file may still name the process before the one that holds the lock now.
		owner, err := l.owner()
		if err == nil && (owner.Host != host || alive(owner.PID)) || time.Since(start) > ownerTimeout {
			return &HeldError{Dir: l.dir, Owner: owner}
		}
	}
}

// isAt reports whether the locked file is the one at path.
func isAt(system *flock.Flock, path string) bool {
	locked, err := system.Stat()
	if err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && os.SameFile(locked, info)
}

// alive reports whether the process with the given number exists on this host.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH)
}

// claim writes run.lock, while the operating system's lock is held.
func (l *Lock) claim(host string) (abandoned *Owner, err error) {
	path := filepath.Join(l.dir, Name)
	owner, err := l.owner()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("runlock: %s does not name a process (%w); if no run uses the folder, delete the file", path, err)
	case owner.Host != host || l.system == nil:
		return nil, &HeldError{Dir: l.dir, Owner: owner, Unverified: true}
	default:
		if err := atomicfile.WriteString(path, string(l.own)); err != nil {
			return nil, fmt.Errorf("runlock: %w", err)
		}
		return owner, nil
	}
	// A link, unlike a rename, fails if another host has written the file in the meantime.
	temp, err := l.temporary()
	if err != nil {
		return nil, fmt.Errorf("runlock: %w", err)
	}
	defer os.Remove(temp)
	err = os.Link(temp, path)
	if errors.Is(err, fs.ErrExist) {
		owner, _ := l.owner()
		return nil, &HeldError{Dir: l.dir, Owner: owner, Unverified: true}
	}
	if err != nil { // a file system without hard links
		err = os.Rename(temp, path)
	}
	if err != nil {
		return nil, fmt.Errorf("runlock: %w", err)
	}
	return nil, nil
}

// temporary writes the content of run.lock to a temporary file, with a name like those of
// package atomicfile, and returns its path.
func (l *Lock) temporary() (path string, err error) {
	path = filepath.Join(l.dir, fmt.Sprintf(".%s.%016x.tmp", Name, rand.Uint64()))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", err
	}
	_, err = f.Write(l.own)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
		return "", err
	}
	return path, nil
}

// owner reads run.lock.
func (l *Lock) owner() (*Owner, error) {
	raw, err := os.ReadFile(filepath.Join(l.dir, Name))
	if err != nil {
		return nil, err
	}
	var o Owner
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, err
	}
	if o.PID < 1 || o.Host == "" {
		return nil, errors.New("the number of the process or the host is missing")
	}
	return &o, nil
}

// Check returns an error if the folder no longer belongs to this process because somebody
// deleted it or its run.lock. A process that does not hold the folder must not write to it.
func (l *Lock) Check() error {
	path := filepath.Join(l.dir, Name)
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("runlock: the folder %s no longer belongs to this process: %w", l.dir, err)
	}
	if bytes.Equal(raw, l.own) {
		return nil
	}
	if owner, err := l.owner(); err == nil {
		return fmt.Errorf("runlock: the folder %s no longer belongs to this process, but to %s", l.dir, owner)
	}
	return fmt.Errorf("runlock: the folder %s no longer belongs to this process: %s has changed", l.dir, path)
}

// Release unlocks the folder. It leaves the lock of another process alone.
func (l *Lock) Release() {
	if l.Check() == nil {
		os.Remove(filepath.Join(l.dir, Name))
	}
	l.unlockSystem()
}

// unlockSystem deletes the file with the operating system's lock while it is still locked;
// a process that has opened it notices (see isAt).
func (l *Lock) unlockSystem() {
	if l.system == nil {
		return
	}
	if path := filepath.Join(l.dir, systemName); isAt(l.system, path) {
		os.Remove(path) // fails on Windows, where it does no harm that the file remains
	}
	l.system.Close()
}
