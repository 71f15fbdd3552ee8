package dataset

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ReadCases reads a list of cases whose files may have any names and be anywhere. Paths are
// relative to the folder of the list. As with [Find], every case must have its images and a
// label on the same grid, and the error names every wrong one, up to 20.
//
// # CSV
//
// The first row names the columns, in any order; commas, semicolons or tabs separate them:
//
//	case,image.t2w,image.adc,image.hbv,label,split
//	10000,mri/10000_t2.mha,mri/10000_adc.mha,mri/10000_dwi.mha,masks/10000.nii.gz,train
//
// image is the file of all channels. Instead, image.<channel> is the file of one channel; the
// network receives the channels in the order of the columns, and the first one defines the
// grid of the case, which must be the label's. case is a unique name; without
// this column it is that of the first image, less its extension and channel. split is train
// or valid, or test for a case that is not used; without this column, or with all of it empty,
// every fifth case is held out for validation. Other columns are not read, which Set.Notes
// says.
//
// # JSON
//
// A list of objects with the same keys, in which image may also be a list of files, one for
// each channel. Or an object with such lists under training and, if any, validation, as in
// the dataset.json of the Medical Segmentation Decathlon and the data lists of MONAI. Or the
// dataset.json of nnU-Net with "dataset": {"<case>": {"images": […], "label": …}}. The object
// may name channels and labels like a dataset.json (see [Description]).
func ReadCases(path string) (*Set, error) { return Reading{}.ReadCases(path) }

// ReadCases is like [ReadCases], except that with ResampleLabels labels may be on other grids.
func (r Reading) ReadCases(path string) (*Set, error) { return r.readCases(path, false) }

// ReadAllCases is like ReadCases, except that all labeled cases are in Set.Train, sorted by ID,
// but for those with split test.
func (r Reading) ReadAllCases(path string) (*Set, error) { return r.readCases(path, true) }

func (r Reading) readCases(path string, undivided bool) (*Set, error) {
	l, err := openList(path)
	if err != nil {
		return nil, err
	}
	if l.unlabeled {
		return nil, fmt.Errorf("dataset: %s: there is no column label, which training needs", path)
	}
	f := &finder{dir: filepath.Dir(path), from: path, reading: r, undivided: undivided}
	l.split(f)
	return f.finish(l.set)
}

// openList reads a list.
func openList(path string) (*caseList, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	l := &caseList{set: &Set{Layout: CaseListLayout, from: path}}
	raw = bytes.TrimPrefix(raw, []byte("\uFEFF"))
	if start := bytes.TrimSpace(raw); len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		err = l.readJSON(raw)
	} else {
		err = l.readCSV(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	return l, nil
}

// listedCase is a case as a list has it.
type listedCase struct {
	where    string // line or position, for messages
	id       string
	images   []string
	channels []string // names of the channels, if the keys give them
	label    string
	split    string
}

// caseList is a list while it is read.
type caseList struct {
	set     *Set
	cases   []listedCase
	ignored []string // columns or keys that are not read
	// unlabeled is true if the list has no column label.
	unlabeled bool
}

// assign sets what a key of the list, a column or a key of an object, says about a case.
func (l *caseList) assign(c *listedCase, key string, values []string) error {
	switch column := strings.ToLower(key); {
	case (column == "image" || column == "images") && c.images == nil:
		c.images = values
	case strings.HasPrefix(column, "image.") && len(column) > len("image.") && len(values) == 1 && len(c.channels) == len(c.images):
		name := key[len("image."):]
		if slices.Contains(c.channels, name) {
			return fmt.Errorf("%s: %s is given twice", c.where, key)
		}
		c.images, c.channels = append(c.images, values[0]), append(c.channels, name)
	case column == "image" || column == "images" || strings.HasPrefix(column, "image."):
		return fmt.Errorf("%s: want either image, for all channels, or image.<channel> for each of them, such as image.t2w", c.where)
	case column == "label" || column == "case" || column == "split":
		if len(values) != 1 {
			return fmt.Errorf("%s: %s has %d values, want 1", c.where, key, len(values))
		}
		*map[string]*string{"label": &c.label, "case": &c.id, "split": &c.split}[column] = values[0]
	default:
		if !slices.Contains(l.ignored, key) {
			l.ignored = append(l.ignored, key)
		}
	}
	return nil
}

// newCSVReader returns a reader for commas, semicolons or tabs, whichever the first row has.
func newCSVReader(raw []byte) *csv.Reader {
	r := csv.NewReader(bytes.NewReader(raw))
	r.TrimLeadingSpace = true
	header, _, _ := bytes.Cut(raw, []byte("\n"))
	switch {
	case bytes.ContainsRune(header, '\t'):
		r.Comma, r.TrimLeadingSpace = '\t', false // a cell may be empty
	case bytes.ContainsRune(header, ';') && !bytes.ContainsRune(header, ','):
		r.Comma = ';'
	}
	return r
}

func (l *caseList) readCSV(raw []byte) error {
	r := newCSVReader(raw)
	columns, err := r.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("is empty; want a row of column names (case, image or image.<channel>, label, split) and a row for each case")
	}
	if err != nil {
		return err
	}
	for i, name := range columns {
		columns[i] = strings.TrimSpace(name)
		if slices.Contains(columns[:i], columns[i]) {
			return fmt.Errorf("the column %q appears twice", columns[i])
		}
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(columns, func(c string) bool {
			c, _, _ = strings.Cut(strings.ToLower(c), ".")
			return slices.Contains(names, c)
		})
	}
	if !has("image", "images") {
		return fmt.Errorf("the columns are %s; want image or image.<channel>, and label", strings.Join(columns, ", "))
	}
	l.unlabeled = !has("label")
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line, _ := r.FieldPos(0)
		c := listedCase{where: fmt.Sprintf("line %d", line)}
		for i, value := range row {
			if err := l.assign(&c, columns[i], []string{strings.TrimSpace(value)}); err != nil {
				return err
			}
		}
		l.cases = append(l.cases, c)
	}
}

func (l *caseList) readJSON(raw []byte) (err error) {
	if bytes.TrimSpace(raw)[0] == '[' {
		return l.readObjects("", "case", raw)
	}
	if l.set.Description, err = parseDescription(raw); err != nil {
		return err
	}
	members, err := jsonObject(raw)
	if err != nil {
		return err
	}
	known := false
	for _, m := range members {
		switch m.key {
		case "training":
			err = l.readObjects("train", m.key, m.value)
		case "validation":
			err = l.readObjects("valid", m.key, m.value)
		case "dataset":
			err = l.readNamed(m)
		default:
			continue
		}
		if err != nil {
			return err
		}
		known = true
	}
	if !known {
		return errors.New("want a list of cases, or an object with a list of them under training (and validation) or with dataset")
	}
	// A training list alone leaves the split open.
	if !slices.ContainsFunc(l.cases, func(c listedCase) bool { return c.split == "valid" }) {
		for i := range l.cases {
			if l.cases[i].split == "train" {
				l.cases[i].split = ""
			}
		}
	}
	return nil
}

// readObjects reads a list of cases. A split in an object overrides the given one.
func (l *caseList) readObjects(split, name string, raw []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for i, raw := range list {
		c := listedCase{where: fmt.Sprintf("%s %d", name, i+1), split: split}
		members, err := jsonObject(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", c.where, err)
		}
		if err := l.readMembers(&c, members); err != nil {
			return err
		}
		l.cases = append(l.cases, c)
	}
	return nil
}

// readNamed reads the object of nnU-Net that maps cases to their files.
func (l *caseList) readNamed(m member) error {
	cases, err := jsonObject(m.value)
	if err != nil {
		return fmt.Errorf("%s: %w", m.key, err)
	}
	for _, of := range cases {
		c := listedCase{where: fmt.Sprintf("%s %q", m.key, of.key), id: of.key}
		members, err := jsonObject(of.value)
		if err != nil {
			return fmt.Errorf("%s: %w", c.where, err)
		}
		if err := l.readMembers(&c, members); err != nil {
			return err
		}
		l.cases = append(l.cases, c)
	}
	return nil
}

func (l *caseList) readMembers(c *listedCase, members []member) error {
	for _, m := range members {
		var one string
		var several []string
		if json.Unmarshal(m.value, &one) == nil {
			several = []string{one}
		} else if json.Unmarshal(m.value, &several) != nil {
			several = nil
		}
		if several == nil || string(m.value) == "null" {
			if key, _, _ := strings.Cut(strings.ToLower(m.key), "."); slices.Contains([]string{"case", "image", "images", "label", "split"}, key) {
				return fmt.Errorf("%s: %s is %.40s, want a string or, for image, a list of strings", c.where, m.key, m.value)
			}
			several = []string{""} // an unknown key
		}
		if err := l.assign(c, m.key, several); err != nil {
			return err
		}
	}
	return nil
}

// split checks the list and distributes its cases.
func (l *caseList) split(f *finder) {
	s := l.set
	if len(l.ignored) > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("Not read from %s: %s.", filepath.Base(s.from), strings.Join(l.ignored, ", ")))
	}
	open := !slices.ContainsFunc(l.cases, func(c listedCase) bool { return c.split != "" })
	where := map[string]string{}
	unused := 0
	var first *listedCase
	for i := range l.cases {
		c := &l.cases[i]
		k, ok := l.check(f, c, !strings.EqualFold(c.split, "test"))
		if !ok || l.twice(f, where, k.ID, c) {
			continue
		}
		switch strings.ToLower(c.split) {
		case "train", "training":
			s.Train = append(s.Train, k)
		case "valid", "validation", "val":
			s.Valid = append(s.Valid, k)
		case "test":
			unused++
			continue
		case "":
			if open {
				s.Train = append(s.Train, k)
				break
			}
			fallthrough
		default:
			f.problem("%s: split is %q, want train, valid or test", c.where, c.split)
			continue
		}
		if first == nil {
			first = c
			s.ChannelNames = c.channels
		}
		f.sameOrder(first, c)
	}
	if unused > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("%d cases with split test are not used.", unused))
	}
	byID := func(a, b Case) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(s.Train, byID)
	slices.SortFunc(s.Valid, byID)
	if open && !f.undivided {
		s.holdOut()
	}
}

// twice notes where the case with an ID is listed, and reports whether that is the second time.
func (l *caseList) twice(f *finder, where map[string]string, id string, c *listedCase) bool {
	other, twice := where[id]
	if twice {
		f.problem("%s and %s are both case %s; give each a unique name under case", other, c.where, id)
	}
	where[id] = c.where
	return twice
}

// check returns a case with its paths, or false after reporting what is wrong.
func (l *caseList) check(f *finder, c *listedCase, labeled bool) (Case, bool) {
	if len(c.images) == 0 || slices.Contains(c.images, "") {
		f.problem("%s has no image%s", c.where, map[bool]string{true: " in one of its channels"}[len(c.images) > 1])
		return Case{}, false
	}
	if c.label == "" && labeled {
		f.problem("%s has no label", c.where)
		return Case{}, false
	}
	absolute := func(path string) string {
		if path = filepath.FromSlash(path); path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(f.dir, path)
	}
	images := make([]string, len(c.images))
	for i, path := range c.images {
		images[i] = absolute(path)
	}
	k := CaseOf(images)
	k.Label = absolute(c.label)
	if c.id != "" {
		k.ID = c.id
	}
	return k, true
}

// sameOrder reports a case whose channels are in another order than its keys or the first
// case of the list say.
func (f *finder) sameOrder(first, c *listedCase) {
	if c.channels != nil || first.channels != nil {
		if !slices.Equal(c.channels, first.channels) {
			f.problem("%s has the channels %s, but %s has %s", c.where, strings.Join(c.channels, ", "), first.where, strings.Join(first.channels, ", "))
			return
		}
	}
	want, given := first.channels, ChannelNames(c.images)
	if want == nil {
		want = ChannelNames(first.images)
	}
	same := func(a, b []string) bool { return slices.EqualFunc(a, b, strings.EqualFold) }
	if same(given, want) || !same(slices.Sorted(slices.Values(given)), sortedFold(want)) {
		return // the names say nothing, or that all is right
	}
	f.problem("%s: by their names the images are %s, but they are listed as %s", c.where, strings.Join(given, ", "), strings.Join(want, ", "))
}

// sortedFold returns the names in lower case and sorted.
func sortedFold(names []string) []string {
	low := make([]string, len(names))
	for i, name := range names {
		low[i] = strings.ToLower(name)
	}
	slices.Sort(low)
	return low
}

// ListCases reads a list of cases like [ReadCases], for prediction: it returns all of them in
// the order of the list, whatever their split, and with or without a label.
func ListCases(path string) ([]Case, error) {
	l, err := openList(path)
	if err != nil {
		return nil, err
	}
	f := &finder{dir: filepath.Dir(path), from: path}
	where := map[string]string{}
	var cases []Case
	for i := range l.cases {
		c := &l.cases[i]
		k, ok := l.check(f, c, false)
		if !ok || l.twice(f, where, k.ID, c) {
			continue
		}
		f.sameOrder(&l.cases[0], c)
		cases = append(cases, k)
	}
	if len(cases) == 0 && f.err() == nil {
		f.problem("it lists no cases")
	}
	return cases, f.err()
}

// ListedChannels returns the names of the channels by which a list of cases, read like that of
// [ReadCases], gives its images, in their order, or nil if it gives one file for all.
func ListedChannels(path string) ([]string, error) {
	l, err := openList(path)
	if err != nil || len(l.cases) == 0 {
		return nil, err
	}
	return l.cases[0].channels, nil
}
