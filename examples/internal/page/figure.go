package page

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
)

// Figure is a picture of the page.
type Figure struct {
	Title, Text string
	Image       image.Image
}

// figureElement is what the template needs of a Figure.
type figureElement struct {
	Title, Text   string
	Source        template.HTMLAttr
	Width, Height int
}

// element encodes the figure as a JPEG, which is several times smaller than a PNG.
func (f *Figure) element() (*figureElement, error) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, f.Image, &jpeg.Options{Quality: 88}); err != nil {
		return nil, fmt.Errorf("page: %s: %w", f.Title, err)
	}
	size := f.Image.Bounds().Size()
	return &figureElement{
		Title: f.Title, Text: f.Text, Width: size.X, Height: size.Y,
		// As a HTMLAttr, because the template would escape every + of another kind of text.
		Source: template.HTMLAttr(`src="data:image/jpeg;base64,` + base64.StdEncoding.EncodeToString(b.Bytes()) + `"`),
	}, nil
}
