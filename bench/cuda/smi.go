package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os/exec"
	"strings"
)

// queried are the properties that nvidia-smi is asked for. It changes nothing.
const queried = "name,driver_version,pstate,clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem," +
	"power.draw,power.limit,temperature.gpu,utilization.gpu,memory.used,memory.total,ecc.mode.current,compute_mode,mig.mode.current"

// smi returns the state of the machine's devices according to nvidia-smi.
func smi(ctx context.Context) ([]field, error) {
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu="+queried, "--format=csv").Output()
	if err != nil {
		return nil, fmt.Errorf("nvidia-smi: %w", err)
	}
	return parseSMI(string(out))
}

// parseSMI returns a field for each column of nvidia-smi's table, with the values of all
// devices.
func parseSMI(text string) ([]field, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.TrimLeadingSpace = true
	lines, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("nvidia-smi: %w", err)
	}
	if len(lines) < 2 {
		return nil, fmt.Errorf("nvidia-smi lists no device: %q", text)
	}
	fields := make([]field, len(lines[0]))
	for i, name := range lines[0] {
		var values []string
		for _, line := range lines[1:] {
			values = append(values, line[i])
		}
		fields[i] = field{name, strings.Join(values, "; ")}
	}
	return fields, nil
}
