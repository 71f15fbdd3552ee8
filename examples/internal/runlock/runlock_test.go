package runlock

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestLockExcludesAndReleases(t *testing.T) {
	dir := t.TempDir()
	lock, abandoned, err := Acquire(dir, "brats")
	require.NoError(t, err)
	assert.Nil(t, abandoned)
	require.NoError(t, lock.Check())
	assert.Equal(t, []string{systemName, Name}, names(t, dir))

	_, _, err = Acquire(dir, "picai")
	var held *HeldError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, os.Getpid(), held.Owner.PID)
	host, err := os.Hostname()
	require.NoError(t, err)
	assert.Regexp(t, `is in use by process \d+ \(brats\) on host `+host+` since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$`, held.Error())
	assert.Contains(t, held.Error(), dir)

	lock.Release()
	assert.Empty(t, names(t, dir), "no file is left")
	lock, abandoned, err = Acquire(dir, "picai")
	require.NoError(t, err)
	assert.Nil(t, abandoned)
	lock.Release()

	_, _, err = Acquire(filepath.Join(dir, "absent"), "brats")
	assert.ErrorContains(t, err, "absent")
}

// leave writes a run.lock as a killed process would.
func leave(t *testing.T, dir string, o Owner) {
	t.Helper()
	raw, err := json.Marshal(o)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, Name), raw, 0o644))
}

// deadProcess returns the number of a process that has ended.
func deadProcess(t *testing.T) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^$")
	require.NoError(t, cmd.Run())
	return cmd.Process.Pid
}

func TestAbandonedLockOfThisHostIsTakenOver(t *testing.T) {
	host, err := os.Hostname()
	require.NoError(t, err)
	// The number of the killed process may belong to another process by now, even this one.
	for _, pid := range []int{deadProcess(t), os.Getpid()} {
		dir := t.TempDir()
		leave(t, dir, Owner{Program: "brats", PID: pid, Host: host, Since: time.Unix(1e9, 0)})
		lock, abandoned, err := Acquire(dir, "brats")
		require.NoError(t, err)
		require.NotNil(t, abandoned)
		assert.Equal(t, pid, abandoned.PID)
		require.NoError(t, lock.Check())
		lock.Release()
		assert.Empty(t, names(t, dir))
	}
}

func TestLockOfAnotherHostIsNeverTakenOver(t *testing.T) {
	dir := t.TempDir()
	leave(t, dir, Owner{Program: "brats", PID: deadProcess(t), Host: "elsewhere", Since: time.Unix(1e9, 0)})
	_, _, err := Acquire(dir, "brats")
	var held *HeldError
	require.ErrorAs(t, err, &held)
	assert.ErrorContains(t, err, "(brats) on host elsewhere since 2001-09-")
	assert.ErrorContains(t, err, "; if that process no longer runs, delete "+filepath.Join(dir, Name))
	assert.Equal(t, []string{Name}, names(t, dir), "nothing but the other host's file")

	for _, damaged := range []string{"", "{", "{}"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, Name), []byte(damaged), 0o644))
		_, _, err = Acquire(dir, "brats")
		assert.ErrorContains(t, err, "does not name a process")
		assert.ErrorContains(t, err, "delete the file")
	}
}

func TestCheckNoticesALostFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	require.NoError(t, os.Mkdir(dir, 0o755))
	first, _, err := Acquire(dir, "brats")
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))
	assert.ErrorContains(t, first.Check(), "no longer belongs to this process")

	// Somebody deletes the folder of a run and starts another one in its place.
	require.NoError(t, os.Mkdir(dir, 0o755))
	second, _, err := Acquire(dir, "picai")
	require.NoError(t, err)
	assert.ErrorContains(t, first.Check(), "but to process")
	first.Release()
	require.NoError(t, second.Check(), "the first owner leaves the lock of the second alone")
	_, _, err = Acquire(dir, "brats")
	assert.ErrorContains(t, err, "(picai)")
	second.Release()
	assert.Empty(t, names(t, dir))
}

// TestOnlyOneOfManyHoldsTheLock lets goroutines lock and unlock the same folder as fast as
// they can. The lock is per opened file, so that they exclude each other as processes do.
func TestOnlyOneOfManyHoldsTheLock(t *testing.T) {
	dir := t.TempDir()
	var holders, acquired atomic.Int32
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 200 {
				lock, _, err := Acquire(dir, "brats")
				if err != nil {
					var held *HeldError
					assert.True(t, errors.As(err, &held), "%v", err)
					continue
				}
				assert.EqualValues(t, 1, holders.Add(1))
				assert.NoError(t, lock.Check())
				acquired.Add(1)
				holders.Add(-1)
				lock.Release()
			}
		})
	}
	group.Wait()
	assert.Positive(t, acquired.Load())
	assert.Empty(t, names(t, dir))
}
