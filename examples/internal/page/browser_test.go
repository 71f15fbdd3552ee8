package page

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var screenshots = flag.String("screenshots", "", "folder into which the browser test writes pictures of the page")
var shown = flag.String("page", "", "report.html of which -screenshots shows pictures, instead of the test's own")

func TestShots(t *testing.T) {
	b := newTab(t)
	path := *shown
	if path == "" {
		path = filepath.Join(t.TempDir(), "report.html")
		require.NoError(t, sample(t).Write(path))
	}
	b.window(1280, 900, "light")
	b.open(path)
	b.screenshot(filepath.Join(*screenshots, "light.png"))
	b.window(1280, 900, "dark")
	b.screenshot(filepath.Join(*screenshots, "dark.png"))
	b.window(390, 844, "light")
	b.wait("new Promise(done => setTimeout(() => done(true), 500))")
	b.screenshot(filepath.Join(*screenshots, "phone.png"))
	assert.Empty(t, b.complaints())
	t.Log(eval[[]string](b, `[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth && !e.closest('.frame,nav')).map(e => e.tagName + '.' + e.className + ' ' + e.getBoundingClientRect().right)`), eval[[]float64](b, "[innerWidth, document.documentElement.scrollWidth]"))
	t.Log(b.requests())
	info, err := os.Stat(path)
	require.NoError(t, err)
	t.Log(info.Size())
}
