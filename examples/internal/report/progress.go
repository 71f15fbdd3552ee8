package report

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// Progress shows the progress of a run. On a terminal it updates a single line in place;
// otherwise (to a file or a pipe) it prints the line at most every ten seconds, which
// limits the size of a log. It must not be used concurrently.
type Progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	last     time.Time // time of the last write
	shown    bool      // the terminal shows a line without a line break
}

const (
	terminalEvery = 100 * time.Millisecond
	logEvery      = 10 * time.Second
	lineWidth     = 79
)

// NewProgress returns a Progress that writes to w.
func NewProgress(w io.Writer) *Progress {
	f, ok := w.(*os.File)
	terminal := false
	if ok {
		info, err := f.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	p := &Progress{w: w, terminal: terminal, now: time.Now}
	p.last = p.now()
	return p
}

// Update shows line as the current state. It limits the rate of writes, so it may be
// called after every step.
func (p *Progress) Update(line string) {
	now := p.now()
	every := logEvery
	if p.terminal {
		every = terminalEvery
	}
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	if utf8.RuneCountInString(line) > lineWidth {
		line = string([]rune(line)[:lineWidth])
	}
	// Return to the first column, write, and erase the rest of the old line.
	fmt.Fprint(p.w, "\r"+line+"\x1b[K")
	p.shown = true
}

// Println writes a permanent line in place of the current state.
func (p *Progress) Println(line string) {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
	fmt.Fprintln(p.w, strings.TrimRight(line, "\n"))
	p.last = p.now()
}

// Duration formats d for a progress line, as in "42s", "7m05s" and "3h20m".
func Duration(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	default:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
}
