//go:build unix

package cli

import (
	"context"
	"os/signal"
	"syscall"
)

// alsoBySignal returns a context that SIGUSR1 cancels too. Launchers forward it to all processes,
// and Slurm can send it some time before the end of a job.
func alsoBySignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGUSR1)
}
