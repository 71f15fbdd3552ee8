package main

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/cli"
)

func TestPhantomRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var out, errs bytes.Buffer
	code := cli.Run(context.Background(), program, []string{
		"-model_dir", dir, "-epochs", "1", "-loss", "fl", "-size", "32,32,24",
		"-phantom_train", "3", "-phantom_valid", "2", "-phantom_size", "32,32,16",
	}, &out, &errs)
	require.Zero(t, code, errs.String())
	assert.Contains(t, out.String(), "SYNTHETIC phantom")
	assert.Contains(t, out.String(), "| FL   |")
	assert.FileExists(t, filepath.Join(dir, "unet", "fl", "best.safetensors"))
	assert.Contains(t, out.String(), "Lesion candidates: dynamic-fast")
	assert.Contains(t, out.String(), "## Lesion detection, same weights")
	assert.Contains(t, out.String(), "detection.csv, detection_curves.csv")
	assert.FileExists(t, filepath.Join(dir, "detection.csv"))
	assert.FileExists(t, filepath.Join(dir, "unet", "detection.png"))
}
