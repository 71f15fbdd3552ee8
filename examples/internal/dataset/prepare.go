package dataset

import (
	"fmt"
	"strings"
)

// prepared is a case after steps 1 to 4 of Protocol.
type prepared struct {
	image   array[float32]
	label   array[uint8] // codes of Protocol.Scheme
	labeled bool
	found   contents
}

func (p *prepared) bytes() int64 { return 4*int64(len(p.image.data)) + int64(len(p.label.data)) }

// key identifies a case by its files.
func (c Case) key() string { return strings.Join(c.Images, "\x00") + "\x00\x00" + c.Label }

func (p Protocol) prepare(c Case) (*prepared, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	prep, err := p.load(c)
	if err != nil {
		return nil, fmt.Errorf("dataset: case %s: %w", c.ID, err)
	}
	if p.Spacing != [3]float64{} {
		dims, m := spacingGrid(prep.image.affine, prep.image.dims, p.Spacing)
		if m != prep.image.affine {
			prep.image = resample(prep.image, dims, m, Linear)
			if prep.labeled {
				prep.label = resample(prep.label, dims, m, Nearest)
			}
		}
	}
	r := toRAS(prep.image.affine, prep.image.dims)
	prep.image = rearrange(prep.image, r)
	if prep.labeled {
		prep.label = rearrange(prep.label, r)
	}
	if p.Size != [3]int{} {
		prep.image = resizeArea(prep.image, p.Size)
		if prep.labeled && p.LabelArea {
			prep.label = resizeAreaLabel(prep.label, p.Size)
		} else if prep.labeled {
			prep.label = resizeNearest(prep.label, p.Size)
		}
	}
	return prep, nil
}

// load reads a case's files onto the grid of the first image.
func (p Protocol) load(c Case) (*prepared, error) {
	if len(c.Images) == 0 {
		return nil, fmt.Errorf("no images")
	}
	var prep prepared
	for i, path := range c.Images {
		a, constant, err := p.Reading.image(path)
		if err != nil {
			return nil, err
		}
		for _, channel := range constant {
			prep.found.constant = append(prep.found.constant, prep.image.channels+channel)
		}
		if i == 0 {
			prep.image = a
			continue
		}
		ref := prep.image
		if r, ok := onGrid(ref.affine, ref.dims, a.affine, a.dims, channelTolerance); ok {
			a = rearrange(a, r)
		} else {
			if err := checkOverlap(c.Images[0], ref.affine, ref.dims, path, a.affine, a.dims); err != nil {
				return nil, err
			}
			a = resample(a, ref.dims, ref.affine, Linear)
		}
		prep.image.data = append(prep.image.data, a.data...)
		prep.image.channels += a.channels
	}
	if c.Label == "" {
		return &prep, nil
	}
	label, values, err := readLabel(c.Label, p.Scheme)
	if err != nil {
		return nil, err
	}
	prep.found.labels = values
	if label, err = place(c.Images[0], prep.image.dims, prep.image.affine, c.Label, label, p.Reading.ResampleLabels); err != nil {
		return nil, err
	}
	prep.label, prep.labeled = label, true
	return &prep, nil
}
