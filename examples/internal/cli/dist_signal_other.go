//go:build !unix

package cli

import "context"

func alsoBySignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
