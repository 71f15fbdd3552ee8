package page

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	screenshots = flag.String("screenshots", "", "`folder` into which TestBrowser writes pictures of the page")
	shown       = flag.String("page", "", "report.html whose pictures -screenshots writes, instead of those of the test's own page")
)

// TestBrowser opens a page in a browser and uses it by mouse and keyboard.
func TestBrowser(t *testing.T) {
	b := newTab(t)
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, sample(t).Write(path))
	b.window(1280, 900, "light")
	b.open(path)
	for _, part := range []struct {
		name string
		test func(*testing.T, *tab)
	}{
		{"tables", testTables}, {"charts", testCharts}, {"cases", testCases}, {"viewer", testViewer},
		{"surfaces", testSurfaces}, {"figure", testFigure}, {"themes", testThemes}, {"phone", testPhone},
	} {
		t.Run(part.name, func(t *testing.T) {
			b.t = t
			part.test(t, b)
		})
	}
	b.t = t
	assert.Empty(t, b.complaints(), "the console")
	assert.Equal(t, []string{"file://" + filepath.ToSlash(path)}, b.requests(), "nothing but the page is requested")
	if *screenshots != "" {
		if *shown != "" {
			b.open(*shown)
		}
		b.pictures(*screenshots)
	}
}

// pictures writes pictures of the page for a desktop, light and dark, and for a phone.
func (b *tab) pictures(dir string) {
	require.NoError(b.t, os.MkdirAll(dir, 0o755))
	for _, v := range []struct {
		name, theme   string
		width, height int
	}{{"light", "light", 1280, 900}, {"dark", "dark", 1280, 900}, {"phone", "light", 390, 844}} {
		b.window(v.width, v.height, v.theme)
		b.settle()
		b.screenshot(filepath.Join(dir, v.name+".png"))
	}
}

// texts returns the texts of the elements that match a selector.
func (b *tab) texts(selector string) []string {
	b.t.Helper()
	return eval[[]string](b, fmt.Sprintf("[...document.querySelectorAll(%q)].map(e => e.textContent)", selector))
}

// text returns the text of an element.
func (b *tab) text(selector string) string {
	b.t.Helper()
	texts := b.texts(selector)
	require.Len(b.t, texts, 1, selector)
	return texts[0]
}

// waitText waits until an element has a text.
func (b *tab) waitText(selector, text string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("document.querySelector(%q).textContent === %q", selector, text))
}

// picture returns what a canvas shows, as a URL.
func (b *tab) picture(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q).toDataURL()", selector))
}

// pixels returns the number of pixels of a canvas that have about the given color.
func (b *tab) pixels(selector string, color Color) int {
	b.t.Helper()
	return eval[int](b, fmt.Sprintf(`(() => {
		const c = document.querySelector(%q), copy = new OffscreenCanvas(c.width, c.height), g = copy.getContext('2d');
		g.drawImage(c, 0, 0);
		const want = [1, 3, 5].map(at => parseInt(%q.slice(at, at + 2), 16)), {data} = g.getImageData(0, 0, c.width, c.height);
		let n = 0;
		for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 128 && want.every((w, k) => Math.abs(data[i + k] - w) < 24)) n++;
		return n;
	})()`, selector, color))
}

func testTables(t *testing.T, b *tab) {
	page := sample(t)
	for i, named := range page.Tables {
		id := fmt.Sprintf("#table-%d", i+1)
		assert.Equal(t, named.Title, b.text(id+" h2"))
		assert.Equal(t, named.Table.Header, b.texts(id+" th"))
		var cells []string
		for _, row := range named.Table.Rows {
			cells = append(cells, row...)
			for range len(named.Table.Header) - len(row) {
				cells = append(cells, "")
			}
		}
		assert.Equal(t, cells, b.texts(id+" td"))
	}
	assert.Equal(t, []string{"A note."}, b.texts("#table-1 li"))
	assert.Equal(t, page.Notes, b.texts("#notes li"))
	assert.Equal(t, page.Facts, b.texts("#run li"))
	assert.Contains(t, b.text(".synthetic"), "Synthetic data.")
	assert.Equal(t, "This page contains images of the phantom: 2 cases, and slices in the figure.", b.text(".holds"))

	first := func() []string { return b.texts("#table-1 td:first-child") }
	original := first()
	dice := "#table-1 th:nth-child(2) button"
	b.click(dice)
	assert.Equal(t, []string{"Dice", "A-FL", hostile, "FL"}, first(), "by Dice, ascending; no value is last")
	assert.Equal(t, "ascending", eval[string](b, `document.querySelector('#table-1 th:nth-child(2)').getAttribute('aria-sort')`))
	eval[any](b, fmt.Sprintf("document.querySelector(%q).focus()", dice))
	b.press("Enter")
	assert.Equal(t, []string{hostile, "A-FL", "Dice", "FL"}, first(), "descending, by the keyboard")
	b.press("Enter")
	assert.Equal(t, original, first())
	b.click("#table-1 th:nth-child(3) button")
	assert.Equal(t, []string{"FL", "A-FL", hostile, "Dice"}, first(), "9 before 10 before 100")
	b.click("#table-2 th:nth-child(3) button")
	assert.Equal(t, []string{"FL", "A-FL"}, b.texts("#table-2 td:first-child"), "∞ is the largest")
}

func testCharts(t *testing.T, b *tab) {
	page := sample(t)
	assert.Equal(t, []string{"Training loss", "ROC"}, b.texts(".chart figcaption > span:first-child"))
	const canvas, over, outputs = ".chart:first-child canvas", ".chart:first-child .u-over", ".chart:first-child .names output"
	for _, c := range page.Charts[0].Curves {
		assert.Greater(t, b.pixels(canvas, c.Color), 100, c.Name)
	}
	assert.Greater(t, b.pixels(".chart:nth-child(2) canvas", page.Charts[1].Curves[2].Color), 100)

	assert.Equal(t, []string{"0.5134", "0.2636", "0.1353"}, b.texts(outputs), "the last epoch")
	assert.Equal(t, []string{"", "", ""}, b.texts(".chart:nth-child(2) .names output"), "the ends of ROC curves")
	b.mouse("mouseMoved", b.at(over, 0.5, 0.5), nil)
	assert.Equal(t, []string{"0.7165", "0.5134", "0.3679"}, b.texts(outputs), "the epoch under the mouse")
	assert.Equal(t, "epoch 2", b.text(".chart:first-child .at"))

	whole := b.picture(canvas)
	b.drag(b.at(over, 0.1, 0.1), b.at(over, 0.6, 0.7))
	b.settle()
	assert.NotEqual(t, whole, b.picture(canvas), "dragging zooms")
	b.click(".chart:first-child .tools button:nth-child(3)")
	b.settle()
	assert.Equal(t, whole, b.picture(canvas), "and Show all shows all again")
	eval[any](b, "document.querySelector('.chart:first-child .plot').focus()")
	b.press("+")
	b.settle()
	assert.NotEqual(t, whole, b.picture(canvas))
	b.press("0")
	b.settle()
	assert.Equal(t, whole, b.picture(canvas))
	b.press("ArrowLeft")
	assert.Equal(t, "epoch 3", b.text(".chart:first-child .at"))

	color := page.Charts[0].Curves[1].Color
	b.click(".chart:first-child .names button:nth-child(2)")
	b.settle()
	assert.Zero(t, b.pixels(canvas, color), "a name switches its curve off")
	b.click(".chart:first-child .names button:nth-child(2)")
	b.settle()
	assert.Greater(t, b.pixels(canvas, color), 100)
}

// choose selects an option of the drop-down list with a label.
func (b *tab) choose(label, option string) {
	b.t.Helper()
	eval[any](b, fmt.Sprintf(`(() => {
		const select = [...document.querySelectorAll('#cases label')].find(l => l.firstChild.textContent === %q).querySelector('select');
		select.selectedIndex = [...select.options].findIndex(o => o.text === %q);
		select.dispatchEvent(new Event('change'));
	})()`, label, option))
}

func testCases(t *testing.T, b *tab) {
	assert.Len(t, b.texts(".scatter circle"), 5, "a point for each case that both losses have a value for")
	assert.Equal(t, "FL is better in 0, A-FL in 2 of 5 cases, and 3 are equal. Mean difference FL − A-FL: −0.0200. "+
		"Higher is better, so FL is ahead above the diagonal. 1 without a finite value for both is left out.", b.text(".verdict"))
	assert.Equal(t, []string{"Case", "A-FL", "FL", hostile}, b.texts("#cases th"))
	assert.Equal(t, []string{"case_1", "0.5700", "0.5200", "0.4700"}, b.texts("#cases tbody tr:nth-child(2) td"))
	assert.Equal(t, []string{"case_5", "–", "–", "–"}, b.texts("#cases tbody tr:nth-child(6) td"))

	b.choose("Measure", "HD95, mm")
	b.choose("Up", hostile)
	assert.Contains(t, b.text(".verdict"), hostile+" is better in 5, A-FL in 0 of 5 cases. ")
	assert.Contains(t, b.text(".verdict"), "Lower is better")
	assert.Equal(t, []string{"case_5", "∞", "∞", "∞"}, b.texts("#cases tbody tr:nth-child(6) td"))
	b.choose("Measure", "Dice")
	b.choose("Up", "FL")

	b.mouse("mouseMoved", b.at(".scatter circle:nth-of-type(4)", 0.5, 0.5), nil)
	assert.Equal(t, "case_3: A-FL 0.7100, FL 0.6600", b.text(".tip"))
	eval[any](b, "document.querySelector('.scatter').focus()")
	b.press("ArrowLeft")
	b.press("ArrowLeft")
	assert.Contains(t, b.text(".tip"), "case_1: A-FL 0.5700, FL 0.5200 (press it")
	b.press("Enter")
	b.wait("document.querySelector('.viewer select').value === 'case_1'")
	b.waitText(".viewer .names button:nth-child(2)", "A-FLDice 0.570")
	b.click(".viewer .cases button:first-child")
	b.wait("document.querySelector('.viewer select').value === 'case_0'")
	b.waitText(".viewer .names button:nth-child(2)", "A-FLDice 0.500")
}

func testViewer(t *testing.T, b *tab) {
	const axial = ".axial canvas"
	chips := b.texts(".viewer .names button")
	require.Len(t, chips, 4)
	assert.Regexp(t, `^Ground truth0\.\d+ ml$`, chips[0])
	assert.Equal(t, "A-FLDice 0.500", chips[1])
	assert.Equal(t, []string{"5 / 9", "7 / 18", "6 / 20"}, b.texts(".pane output"), "slices with most of the ball")

	colors := eval[[]Color](b, `[...document.querySelectorAll('.viewer .names button')].map(e => e.style.getPropertyValue('--color'))`)
	on := func() (shown []bool) {
		for _, c := range colors {
			shown = append(shown, b.pixels(axial, c) > 40)
		}
		return shown
	}
	assert.Equal(t, []bool{true, true, false, false}, on())
	b.click(".viewer .names button:nth-child(1)")
	assert.Equal(t, []bool{false, true, false, false}, on(), "a name switches its mask")
	eval[any](b, "document.querySelector('.axial canvas').focus()")
	b.press("0")
	b.press("1")
	b.press("2")
	assert.Equal(t, []bool{true, false, true, false}, on(), "and so does a digit")
	b.press("2")
	b.press("1")

	before := b.picture(axial)
	b.press("ArrowUp")
	assert.Equal(t, "6 / 9", b.text(".axial output"))
	assert.NotEqual(t, before, b.picture(axial))
	b.mouse("mouseWheel", b.at(axial, 0.5, 0.5), map[string]any{"deltaX": 0, "deltaY": 100})
	b.wait("document.querySelector('.axial output').textContent === '5 / 9'")
	assert.Equal(t, before, b.picture(axial), "the wheel goes back")
	b.drag(b.at(axial, 0.2, 0.5), b.at(axial, 0.775, 0.25))
	// The 20 by 18 mm of the slice fill the width of the picture and nine tenths of its height. Right is
	// on the left and anterior at the top.
	assert.Equal(t, []string{"5 / 9", "15 / 18", "5 / 20"}, b.texts(".pane output"), "the other planes follow the mouse")

	b.press("f")
	filled := b.picture(axial)
	b.press("f")
	assert.NotEqual(t, b.picture(axial), filled)
	b.click(".viewer [data-key=close]")
	assert.NotEqual(t, b.picture(axial), filled)
	b.press("z")

	b.press("]")
	b.wait("document.querySelector('.viewer select').value === 'case_1'")
	b.wait("document.querySelectorAll('.viewer .names button')[3].disabled")
	assert.Contains(t, b.texts(".viewer .names button")[3], "not predicted")
	b.press("[")
	b.wait("!document.querySelectorAll('.viewer .names button')[3].disabled")
}

func testSurfaces(t *testing.T, b *tab) {
	const solid = ".solid canvas"
	colored := func() bool { return b.pixels(solid, "#2a6a98") > 100 }
	assert.True(t, colored(), "the surface of A-FL")
	before := b.picture(solid)
	b.drag(b.at(solid, 0.3, 0.5), b.at(solid, 0.7, 0.6))
	turned := b.picture(solid)
	assert.NotEqual(t, before, turned, "dragging turns")
	b.press("ArrowLeft")
	assert.NotEqual(t, turned, b.picture(solid))
	b.click(".solid button")
	assert.Equal(t, before, b.picture(solid), "and the button looks from the front again")
	b.click(".viewer .names button:nth-child(2)")
	assert.False(t, colored(), "masks are switched in the surfaces too")
	b.click(".viewer .names button:nth-child(2)")
	assert.Equal(t, before, b.picture(solid))
}

func testFigure(t *testing.T, b *tab) {
	assert.Equal(t, []int{60, 30}, eval[[]int](b, "(i => [i.naturalWidth, i.naturalHeight])(document.querySelector('#figure img'))"))
}

func testThemes(t *testing.T, b *tab) {
	paper := func() string { return eval[string](b, "getComputedStyle(document.body).backgroundColor") }
	light := paper()
	b.window(1280, 900, "dark")
	dark := paper()
	assert.NotEqual(t, light, dark, "the theme of the system")
	b.click("#theme")
	assert.Equal(t, light, paper(), "the button changes it")
	b.click("#theme")
	assert.Equal(t, dark, paper())
	eval[any](b, "delete document.documentElement.dataset.theme")
	b.window(1280, 900, "light")
}

func testPhone(t *testing.T, b *tab) {
	b.window(390, 844, "light")
	b.settle()
	assert.LessOrEqual(t, eval[int](b, "document.documentElement.scrollWidth"), 390, "the page does not scroll sideways")
	for _, canvas := range []string{".chart canvas", ".axial canvas"} {
		assert.LessOrEqual(t, eval[int](b, fmt.Sprintf("document.querySelector(%q).clientWidth", canvas)), 390, canvas)
	}
	b.window(1280, 900, "light")
	b.settle()
}
