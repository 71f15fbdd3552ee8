package fingerprint

import (
	"fmt"
	"strings"
)

// Overlap returns an error if a test case is also a training or validation case: if it has the
// same ID, or the same content in one of its images. Labels do not count, as those of cases
// without a lesion can be equal.
func (d *Data) Overlap() error {
	type use struct{ part, id, file string }
	ids, images := map[string]string{}, map[string]use{}
	for _, part := range []struct {
		name  string
		cases []Case
	}{{"training", d.Train}, {"validation", d.Valid}} {
		for _, c := range part.cases {
			ids[c.ID] = part.name
			for i, content := range c.imageContents() {
				images[content] = use{part.name, c.ID, c.imageName(i)}
			}
		}
	}
	for _, c := range d.Test {
		if part, ok := ids[c.ID]; ok {
			return fmt.Errorf("the test case %s is also a %s case", c.ID, part)
		}
		for i, content := range c.imageContents() {
			if u, ok := images[content]; ok {
				return fmt.Errorf("%s of the test case %s has the same content as %s of the %s case %s", c.imageName(i), c.ID, u.file, u.part, u.id)
			}
		}
	}
	return nil
}

// imageContents identifies the content of each image, or of all images together if there are
// files of voxels: then the headers of different cases can be equal.
func (c Case) imageContents() []string {
	var contents []string
	for _, f := range c.Images {
		contents = append(contents, f.SHA256)
	}
	if len(c.Voxels) == 0 {
		return contents
	}
	for _, f := range c.Voxels {
		contents = append(contents, f.SHA256)
	}
	return []string{strings.Join(contents, " ")}
}

func (c Case) imageName(i int) string {
	if len(c.Voxels) > 0 {
		return "the image"
	}
	return fmt.Sprintf("image file %d of %d", i+1, len(c.Images))
}
