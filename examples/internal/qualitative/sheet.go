package qualitative

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"

	"gonum.org/v1/plot/vg/vgimg"

	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/render"
	"github.com/x/afl/examples/internal/surface"
)

// Lengths in pixels.
const (
	panel       = 320 // side of a picture
	gap         = 8   // between the surface and the slice
	columnGap   = 36
	captionSize = 40 // of the line below a row of predictions
	rowGap      = 16
	leftMargin  = 70
	margin      = 24
	titleSize   = 60
	headingSize = 132
	noteSize    = 34 // of a line below the figure
	pair        = 2*panel + gap
	rowStep     = panel + captionSize + rowGap

	dpi = 200
)

var (
	// truthColor is the yellow of Okabe and Ito, which the curves do not use.
	truthColor = color.RGBA{0xF0, 0xE4, 0x42, 0xFF}
	paper      = color.RGBA{0xFF, 0xFF, 0xFF, 0xFF}
	backdrop   = color.RGBA{0xF4, 0xF5, 0xF7, 0xFF} // behind the surfaces
	ink        = color.RGBA{0x11, 0x11, 0x11, 0xFF}
	faint      = color.RGBA{0x66, 0x66, 0x66, 0xFF}
)

// sheet is a figure being drawn.
type sheet struct {
	*Figure
	canvas *vgimg.Canvas
	pixels draw.Image
	top    int // of the first row
}

func newSheet(f *Figure) *sheet {
	s := &sheet{Figure: f, top: margin + headingSize}
	if f.Title != "" {
		s.top += titleSize
	}
	columns, rows := len(f.Columns), 1+len(f.Rows)
	width := leftMargin + columns*pair + (columns-1)*columnGap + margin
	height := s.rowTop(rows) + len(s.notes())*noteSize + margin
	s.canvas = vgimg.NewWith(vgimg.UseImage(image.NewRGBA(image.Rect(0, 0, width, height))), vgimg.UseDPI(dpi))
	s.pixels = s.canvas.Image()
	return s
}

// rowTop returns where a row begins. That of the ground truth has no caption.
func (s *sheet) rowTop(row int) int {
	if row == 0 {
		return s.top
	}
	return s.top + row*rowStep - captionSize
}

func (s *sheet) left(column int) int { return leftMargin + column*(pair+columnGap) }

func (s *sheet) place(img image.Image, x, y int) {
	draw.Draw(s.pixels, img.Bounds().Add(image.Pt(x, y)), img, image.Point{}, draw.Src)
}

// column draws a case.
func (s *sheet) column(index int) error {
	c := &s.Columns[index]
	lesion, err := measure.Reference(c.Label)
	if err != nil {
		return err
	}
	v := newView(c.Label)
	s.heading(index, lesion)
	left := s.left(index)
	background := drawSlice(c.Image, c.Label, v, panel)
	for row := range 1 + len(s.Rows) {
		mask, paint := c.Label, color.Color(truthColor)
		if row > 0 {
			mask.Voxels, paint = c.Masks[row-1], s.Rows[row-1].Color
		}
		y := s.rowTop(row)
		part, camera := v.crop(mask)
		mesh, err := surface.Of(part)
		if err != nil {
			return fmt.Errorf("qualitative: case %s: %w", c.ID, err)
		}
		picture, err := render.Mesh(mesh, camera, panel, paint, backdrop)
		if err != nil {
			return fmt.Errorf("qualitative: case %s: %w", c.ID, err)
		}
		s.place(picture, left, y)
		slice := image.NewRGBA(background.Rect)
		copy(slice.Pix, background.Pix)
		if row == 0 {
			drawOutline(slice, mask, v, 3, paint)
		} else {
			drawOutline(slice, c.Label, v, 1.6, truthColor)
			drawOutline(slice, mask, v, 3, paint)
		}
		s.place(slice, left+panel+gap, y)
		switch shown, whole := part.Count(), mask.Count(); {
		case whole == 0:
			s.text("empty mask", left+panel/2, y+panel/2, 10, faint, centered)
		case shown == 0:
			s.text("outside of the view", left+panel/2, y+panel/2, 10, faint, centered)
		}
		if row == 0 {
			s.scaleBar(v, left, y, faint)
			s.scaleBar(v, left+panel+gap, y, paper)
		} else {
			s.text(caption(c.Label, mask, part), left+pair/2, y+panel+captionSize/2, 9, ink, centered)
		}
	}
	return nil
}

// heading says what a column shows.
func (s *sheet) heading(index int, l outcome.Reference) {
	c := &s.Columns[index]
	x, y := s.left(index)+pair/2, s.top-headingSize
	s.fitted(kindsInWords(c.Kinds), x, y+22, 12, ink, pair)
	s.fitted(reasons(c.Kinds, len(s.Columns)), x, y+62, 9, faint, pair)
	facts := fmt.Sprintf("%s: %s ml, %s %.3f", c.ID, milliliters(l.Volume), subscripted, l.Smoothness)
	s.fitted(facts, x, y+100, 9, ink, pair)
}

// kindsInWords returns "Large" and the like.
func kindsInWords(all []Kind) string {
	var words []string
	for _, k := range all {
		words = append(words, k.String())
	}
	if len(words) == 0 {
		return "Lesion"
	}
	words[0] = strings.ToUpper(words[0][:1]) + words[0][1:]
	return strings.Join(words, " and ")
}

// reasons says why a case with the kinds was chosen for a figure with a number of columns.
func reasons(all []Kind, columns int) string {
	if len(all) == 0 {
		return "the only one"
	}
	var words []string
	for _, k := range all {
		word := [kinds]string{"largest volume", "smallest volume", "lowest " + subscripted, "highest " + subscripted}[k]
		if k >= LowGamma && columns == int(kinds) {
			word += " of the others"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// milliliters formats a volume with three significant digits.
func milliliters(ml float64) string {
	decimals := 0
	if ml > 0 {
		decimals = min(max(2-int(math.Floor(math.Log10(ml))), 0), 6)
	}
	return fmt.Sprintf("%.*f", decimals, ml)
}

// caption compares a mask with the label and says how much of it is not shown.
func caption(label, mask, part surface.Mask) string {
	shared, foreground := 0, 0
	for i, v := range mask.Voxels {
		if v {
			foreground++
			if label.Voxels[i] {
				shared++
			}
		}
	}
	dice := "–"
	if n := foreground + label.Count(); n > 0 {
		dice = fmt.Sprintf("%.3f", 2*float64(shared)/float64(n))
	}
	text := fmt.Sprintf("Dice %s, %s ml", dice, milliliters(mask.Volume()/1000))
	if hidden := mask.Volume() - part.Volume(); foreground > part.Count() {
		text += fmt.Sprintf(" (%s ml beyond the view)", milliliters(hidden/1000))
	}
	return text
}

// scaleBar draws the scale of a column into a panel, with a dark rim where it is white, for
// bright tissue.
func (s *sheet) scaleBar(v view, left, top int, c color.Color) {
	mm := math.Pow(10, math.Floor(math.Log10(v.side/3)))
	for _, f := range []float64{5, 2} {
		if f*mm <= v.side/3 {
			mm *= f
			break
		}
	}
	length := int(math.Round(mm / v.side * panel))
	x, y := left+14, top+panel-18
	if c == paper {
		draw.Draw(s.pixels, image.Rect(x-2, y-2, x+length+2, y+6), image.NewUniform(ink), image.Point{}, draw.Src)
	}
	draw.Draw(s.pixels, image.Rect(x, y, x+length, y+4), image.NewUniform(c), image.Point{}, draw.Src)
	label := fmt.Sprintf("%g mm", mm)
	if c == paper {
		for dx := -2; dx <= 2; dx++ {
			for dy := -2; dy <= 2; dy++ {
				s.text(label, x+length+10+dx, y+1+dy, 8, ink, leftAligned)
			}
		}
	}
	s.text(label, x+length+10, y+1, 8, c, leftAligned)
}

// rowNames writes the names of the rows beside them.
func (s *sheet) rowNames() {
	for row := range 1 + len(s.Rows) {
		name := "Ground truth"
		if row > 0 {
			name = s.Rows[row-1].Name
		}
		s.vertical(name, leftMargin/2, s.rowTop(row)+panel/2, 12, panel)
	}
}

// frame writes the title and the note below the figure.
func (s *sheet) frame() {
	bounds := s.pixels.Bounds()
	width := bounds.Dx()
	if s.Title != "" {
		s.fitted(s.Title, width/2, margin+titleSize/2-8, 13, ink, width-2*margin)
	}
	for i, note := range s.notes() {
		y := s.rowTop(1+len(s.Rows)) + i*noteSize + noteSize/2
		s.fitted(note, width/2, y, 9, faint, width-2*margin)
	}
}

// notes returns the lines below the figure.
func (s *sheet) notes() []string {
	notes := []string{
		"Slices: the prediction in its row's color over the ground truth in yellow.",
		subscripted + ": mean over the boundary.",
		"All pictures of a case have the same scale.",
	}
	if len(s.Columns) > 1 {
		return []string{strings.Join(notes, " ")}
	}
	return notes
}
