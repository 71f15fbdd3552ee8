package fingerprint

import (
	"fmt"
	"slices"
)

// Equal reports whether two files have the same content.
func (f File) Equal(g File) bool { return f.content() == g.content() }

// Compare returns an error that names the first difference between the content of the data
// then, when a run started, and now. The cases may be in any order.
func Compare(then, now *Data) error {
	for _, part := range []struct {
		name      string
		then, now []Case
	}{{"training", then.Train, now.Train}, {"validation", then.Valid, now.Valid}, {"test", then.Test, now.Test}} {
		found := map[string]Case{}
		for _, c := range part.now {
			found[c.ID] = c
		}
		for _, c := range part.then {
			n, ok := found[c.ID]
			if !ok {
				return fmt.Errorf("the %s case %s, which the run started with, is missing", part.name, c.ID)
			}
			delete(found, c.ID)
			if err := c.compare(n); err != nil {
				return fmt.Errorf("the %s case %s has changed since the run started: %w", part.name, c.ID, err)
			}
		}
		for _, c := range part.now {
			if _, extra := found[c.ID]; extra {
				return fmt.Errorf("the %s case %s did not exist when the run started", part.name, c.ID)
			}
		}
	}
	return nil
}

func (c Case) compare(now Case) error {
	if len(c.Images) != len(now.Images) {
		return fmt.Errorf("it had %d image files and has %d", len(c.Images), len(now.Images))
	}
	for i, f := range c.Images {
		if g := now.Images[i]; !f.Equal(g) {
			return fmt.Errorf("image file %d of %d had %s and has %s", i+1, len(c.Images), f.describe(), g.describe())
		}
	}
	if !slices.EqualFunc(c.Voxels, now.Voxels, File.Equal) {
		return fmt.Errorf("a file of voxels beside a header is another one")
	}
	if !c.Label.Equal(now.Label) {
		return fmt.Errorf("the label had %s and has %s", c.Label.describe(), now.Label.describe())
	}
	return nil
}

func (f File) describe() string {
	return fmt.Sprintf("%d bytes with SHA-256 %.12s…", f.Size, f.SHA256)
}
