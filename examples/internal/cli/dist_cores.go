package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/dist"
)

// seat is where a process runs.
type seat struct {
	Host  string
	Cores []int // on which the operating system may run it; empty if unknown
	All   int   // cores of the machine
}

// threads returns how many threads process i should use so that all processes use each core once:
// each gets its part of the cores that it shares with others, and at least one.
func threads(seats []seat, i int) int {
	users := map[int]int{}
	neighbors := 0
	for _, s := range seats {
		if s.Host == seats[i].Host {
			neighbors++
			for _, c := range s.Cores {
				users[c]++
			}
		}
	}
	if len(seats[i].Cores) == 0 {
		return max(1, seats[i].All/neighbors)
	}
	share := 0.0
	for _, c := range seats[i].Cores {
		share += 1 / float64(users[c])
	}
	return max(1, int(share+1e-6))
}

// shareCores sets the number of threads of this process unless GOMAXPROCS is in the environment,
// describes the processes and their cores, and returns the number of processes on its host.
func shareCores(g *dist.Group) (text string, here int, err error) {
	host, err := os.Hostname()
	if err != nil {
		return "", 0, err
	}
	own := seat{Host: host, Cores: affinity(), All: runtime.NumCPU()}
	if n := machineCores(); n > 0 {
		own.All = n
	}
	message, err := json.Marshal(own)
	if err != nil {
		return "", 0, err
	}
	all, err := g.Gather("cores", message)
	if err != nil {
		return "", 0, err
	}
	seats := make([]seat, len(all))
	var hosts []string
	for r, raw := range all {
		if err := json.Unmarshal(raw, &seats[r]); err != nil {
			return "", 0, err
		}
		if !slices.Contains(hosts, seats[r].Host) {
			hosts = append(hosts, seats[r].Host)
		}
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(threads(seats, g.Rank()))
	}
	return describeSeats(seats, hosts), countOn(seats, host), nil
}

// describeSeats says what shareCores has done.
func describeSeats(seats []seat, hosts []string) string {
	least, most := threads(seats, 0), threads(seats, 0)
	for i := range seats {
		least, most = min(least, threads(seats, i)), max(most, threads(seats, i))
	}
	each := fmt.Sprint(least)
	if most > least {
		each = fmt.Sprintf("%d to %d", least, most)
	}
	unit := "threads"
	if most == 1 {
		unit = "thread"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Cores: %d %s, %s %s for each process (GOMAXPROCS overrides it)", len(hosts), map[bool]string{true: "host", false: "hosts"}[len(hosts) == 1], each, unit)
	first := seats[0]
	switch {
	case len(first.Cores) == 0:
	case len(first.Cores) == first.All:
		fmt.Fprintf(&b, "; the launcher has bound none to cores, all share the %d of their machine", first.All)
	default:
		fmt.Fprintf(&b, "; the launcher has bound process 0 to %d of the %d cores of its machine", len(first.Cores), first.All)
		if len(first.Cores) < first.All/countOn(seats, first.Host) {
			b.WriteString(", fewer than its share: give it more with --bind-to none (Open MPI), -bind-to none (MPICH) or --cpus-per-task (Slurm)")
		}
	}
	if users := countOn(seats, first.Host); users > first.All {
		fmt.Fprintf(&b, "; %d processes on %d cores: they slow each other down", users, first.All)
	}
	return b.String() + "."
}

// countOn returns the number of processes on a host.
func countOn(seats []seat, host string) int {
	n := 0
	for _, s := range seats {
		if s.Host == host {
			n++
		}
	}
	return n
}
