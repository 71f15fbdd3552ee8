package report

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// Progress shows how far a run is. On a terminal it keeps one line up to
// date; elsewhere (a file, a pipe) it prints that line every ten seconds at
// most, so that a log stays short. It is for one goroutine.
type Progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	last     time.Time // when the line was last written
	shown    bool      // whether an unfinished line stands on the terminal
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

// Update shows line as the present state. It writes only as often as a
// reader can follow, so it may be called after every step.
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
	// Return to the first column, write, clear what is left of the old line.
	fmt.Fprint(p.w, "\r"+line+"\x1b[K")
	p.shown = true
}

// Println writes a line that stays, in place of the running one.
func (p *Progress) Println(line string) {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
	fmt.Fprintln(p.w, strings.TrimRight(line, "\n"))
	p.last = p.now()
}

// Duration writes d the way a waiting person reads it: "42s", "7m05s",
// "3h20m".
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
