package page

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tab is a tab of a headless Chromium. It is driven by the DevTools protocol over two pipes,
// which needs no library: messages are JSON, and each ends with a zero byte.
type tab struct {
	t       *testing.T
	in      *os.File
	session string

	mu     sync.Mutex
	last   int
	answer map[int]chan message
	events []message
}

// message is a command, an answer or an event of the DevTools protocol.
type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// newTab starts Chromium, or skips the test where there is none.
func newTab(t *testing.T) *tab {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("report.html is not tested in a browser: Windows passes no pipes to Chromium")
	}
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("report.html is not tested in a browser: Chromium is missing (Debian: chromium)")
	}
	commands, in, err := os.Pipe()
	require.NoError(t, err)
	out, messages, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars",
		"--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{commands, messages} // file descriptors 3 and 4
	var said bytes.Buffer
	cmd.Stderr = &said
	require.NoError(t, cmd.Start())
	commands.Close()
	messages.Close()
	b := &tab{t: t, in: in, answer: map[int]chan message{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(out)
	}()
	t.Cleanup(func() {
		b.session = ""
		b.send("Browser.close", nil)
		timer := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		defer timer.Stop()
		cmd.Wait() // it reports how the browser ended, which does not matter
		in.Close()
		out.Close()
		<-read
		if t.Failed() {
			t.Logf("Chromium said:\n%s", said.String())
		}
	})
	select {
	case _, ok := <-b.send("Browser.getVersion", nil):
		if !ok {
			t.Skipf("report.html is not tested in a browser: %s does not start here", program)
		}
	case <-time.After(2 * time.Minute):
		require.Fail(t, program+" does not answer in two minutes")
	}
	var target struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// read takes messages from the browser until it ends.
func (b *tab) read(out *os.File) {
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		raw, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, answer := range b.answer {
				close(answer)
			}
			b.answer = nil
			return
		}
		var m message
		var params struct {
			Params json.RawMessage `json:"params"`
		}
		if json.Unmarshal(raw[:len(raw)-1], &m) != nil || json.Unmarshal(raw[:len(raw)-1], &params) != nil {
			continue
		}
		m.Params = params.Params
		b.mu.Lock()
		if answer, ok := b.answer[m.ID]; ok && m.ID != 0 {
			delete(b.answer, m.ID)
			answer <- m
		} else {
			b.events = append(b.events, m)
		}
		b.mu.Unlock()
	}
}

// send sends a command and returns the channel of its answer.
func (b *tab) send(method string, params any) chan message {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	answer := make(chan message, 1)
	if b.answer == nil { // the browser has ended
		close(answer)
		return answer
	}
	b.answer[b.last] = answer
	raw, err := json.Marshal(message{ID: b.last, SessionID: b.session, Method: method, Params: params})
	if err == nil {
		_, err = b.in.Write(append(raw, 0))
	}
	if err != nil {
		delete(b.answer, b.last)
		close(answer)
	}
	return answer
}

// call sends a command and decodes its result into result, if that is not nil.
func (b *tab) call(method string, params, result any) {
	b.t.Helper()
	select {
	case m, ok := <-b.send(method, params):
		require.True(b.t, ok, "%s: the browser has ended", method)
		if m.Error != nil {
			require.Fail(b.t, method+": "+m.Error.Message)
		}
		if result != nil {
			require.NoError(b.t, json.Unmarshal(m.Result, result), method)
		}
	case <-time.After(time.Minute):
		require.Fail(b.t, method+": no answer in a minute")
	}
}

// open opens a file and waits until the page is ready.
func (b *tab) open(path string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()}, nil)
	b.wait("document.documentElement?.dataset.ready === 'yes'")
}

// eval returns the value of a JavaScript expression, which may be a promise.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	var answer struct {
		Result struct {
			Value T `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &answer)
	if answer.Exception != nil {
		require.Fail(b.t, fmt.Sprintf("%s: %s %s", expression, answer.Exception.Text, answer.Exception.Exception.Description))
	}
	return answer.Result.Value
}

// wait waits until a condition is true.
func (b *tab) wait(condition string) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); !eval[bool](b, condition); time.Sleep(20 * time.Millisecond) {
		require.True(b.t, time.Now().Before(deadline), "not within a minute: %s; the console has %q", condition, b.complaints())
	}
}

// settle waits until the page has drawn what follows from the last event.
func (b *tab) settle() {
	b.t.Helper()
	eval[any](b, "new Promise(done => requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(() => setTimeout(done, 60)), 60)))")
}

// point is a point of the window in pixels.
type point struct{ X, Y float64 }

// at returns the point of the window that is at (x, y), each from 0 to 1, in an element, which is
// scrolled into the window. It waits until the element stays where it is for two frames, as a
// click beside it would be lost.
func (b *tab) at(selector string, x, y float64) point {
	b.t.Helper()
	return eval[point](b, fmt.Sprintf(`(async () => {
		let last = '';
		for (let same = 0; same < 2;) {
			const e = document.querySelector(%q);
			e.scrollIntoView({block: 'center', behavior: 'instant'});
			await new Promise(requestAnimationFrame);
			const r = e.getBoundingClientRect(), now = [r.left, r.top, r.width, r.height].join();
			same = now === last ? same + 1 : 0;
			last = now;
		}
		const r = document.querySelector(%[1]q).getBoundingClientRect();
		return {X: r.left + %[2]g * r.width, Y: r.top + %[3]g * r.height};
	})()`, selector, x, y))
}

// mouse sends an event of the mouse: mousePressed, mouseMoved, mouseReleased or mouseWheel.
func (b *tab) mouse(kind string, p point, more map[string]any) {
	b.t.Helper()
	params := map[string]any{"type": kind, "x": p.X, "y": p.Y}
	for key, value := range more {
		params[key] = value
	}
	b.call("Input.dispatchMouseEvent", params, nil)
}

// drag presses the mouse at from and releases it at to; both may be the same point.
func (b *tab) drag(from, to point) {
	b.t.Helper()
	left := map[string]any{"button": "left", "buttons": 1, "clickCount": 1}
	b.mouse("mouseMoved", from, nil)
	b.mouse("mousePressed", from, left)
	for step := 1.0; step <= 4; step++ {
		b.mouse("mouseMoved", point{from.X + (to.X-from.X)*step/4, from.Y + (to.Y-from.Y)*step/4}, left)
	}
	b.mouse("mouseReleased", to, map[string]any{"button": "left", "clickCount": 1})
}

// click presses the middle of an element.
func (b *tab) click(selector string) {
	b.t.Helper()
	p := b.at(selector, 0.5, 0.5)
	b.drag(p, p)
}

// press presses a key, such as a or ArrowUp.
func (b *tab) press(key string) {
	b.t.Helper()
	down := map[string]any{"type": "keyDown", "key": key}
	if key == "Enter" {
		down["text"] = "\r"
	} else if len(key) == 1 {
		down["text"] = key
	}
	b.call("Input.dispatchKeyEvent", down, nil)
	b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key}, nil)
}

// window sets the size of the window and the theme of the system, which prefers less motion: a
// click must not have to hit what scrolls.
func (b *tab) window(width, height int, theme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]any{
		{"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": "reduce"},
	}}, nil)
}

// screenshot writes a picture of the whole page.
func (b *tab) screenshot(path string) {
	b.t.Helper()
	var answer struct {
		Data string `json:"data"`
	}
	b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &answer)
	raw, err := base64.StdEncoding.DecodeString(answer.Data)
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(path, raw, 0o644))
}

// complaints returns the errors and warnings of the console.
func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, e := range b.events {
		raw := string(e.Params.(json.RawMessage))
		switch e.Method {
		case "Runtime.exceptionThrown", "Log.entryAdded":
			all = append(all, raw)
		case "Runtime.consoleAPICalled":
			if strings.Contains(raw, `"type":"error"`) || strings.Contains(raw, `"type":"warning"`) {
				all = append(all, raw)
			}
		}
	}
	return all
}

// requests returns the URLs that the page asked for, but for those of its own data.
func (b *tab) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, e := range b.events {
		if e.Method != "Network.requestWillBeSent" {
			continue
		}
		var params struct {
			Request struct {
				URL string `json:"url"`
			} `json:"request"`
		}
		if json.Unmarshal(e.Params.(json.RawMessage), &params) == nil && !strings.HasPrefix(params.Request.URL, "data:") {
			all = append(all, params.Request.URL)
		}
	}
	return all
}
