package page

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/klauspost/compress/zlib"
)

// Viewer shows validation cases with masks.
type Viewer struct {
	// Layers are the masks: the ground truth, then those of each training.
	Layers []Layer
	Cases  []*Scan
}

// Layer describes a mask of every case.
type Layer struct {
	// Name is, for a training, that in the Comparison.
	Name  string `json:"name"`
	Color Color  `json:"color"`
}

// GroundTruth is the first Layer of every Viewer, in the color of the figure.
var GroundTruth = Layer{"Ground truth", "#f0e442"}

func (v *Viewer) empty() bool { return v == nil || len(v.Cases) == 0 }

// storedViewer is a Viewer in the page.
type storedViewer struct {
	Layers []Layer      `json:"layers"`
	Cases  []storedCase `json:"cases"`
}

// storedCase is a case in the page. Image has a byte for each voxel and each mask a bit, the
// lowest of a byte first; both are compressed by zlib and written in base64. A mask is null if
// the case was not predicted. Voxel (i,j,k) is at (i·dims[1]+j)·dims[2]+k.
type storedCase struct {
	ID      string     `json:"id"`
	Dims    [3]int     `json:"dims"`
	Spacing [3]float64 `json:"spacing"`
	Note    string     `json:"note,omitempty"` // what the image lacks
	Image   []byte     `json:"image"`
	Masks   [][]byte   `json:"masks"`
}

// store returns the cases in at most limit bytes: whole if they fit, otherwise each in at most
// an equal part of them.
func (v *Viewer) store(limit int) (*storedViewer, error) {
	stored := &storedViewer{Layers: v.Layers}
	total := 0
	for _, s := range v.Cases {
		if len(s.masks) != len(v.Layers) {
			return nil, fmt.Errorf("page: case %s has %d masks, want %d, one for each layer", s.ID, len(s.masks), len(v.Layers))
		}
		c, err := s.stored()
		if err != nil {
			return nil, err
		}
		total += c.size()
		stored.Cases = append(stored.Cases, c)
	}
	if total <= limit {
		return stored, nil
	}
	for i, s := range v.Cases {
		part := limit / len(v.Cases)
		if stored.Cases[i].size() <= part {
			continue
		}
		c, err := s.fit(part)
		if err != nil {
			return nil, err
		}
		stored.Cases[i] = c
	}
	return stored, nil
}

// size returns about the number of bytes of the case in the page.
func (c *storedCase) size() int {
	n := 512 + base64.StdEncoding.EncodedLen(len(c.Image))
	for _, m := range c.Masks {
		n += base64.StdEncoding.EncodedLen(len(m)) + len(`"",`)
	}
	return n
}

// compress returns raw compressed by zlib.
func compress(raw []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, 6)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
