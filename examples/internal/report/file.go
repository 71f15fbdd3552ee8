package report

import (
	"fmt"
	"io"

	"github.com/x/afl/internal/atomicfile"
)

func writeFile(path string, write func(io.Writer) error) error {
	if err := atomicfile.Write(path, write); err != nil {
		return fmt.Errorf("report: write %s: %w", path, err)
	}
	return nil
}
