package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/x/afl/examples/internal/volume"
)

// Layout is a way of naming the files of a data set.
type Layout string

// The layouts that Find recognises. Extension stands for .nii.gz, .nii or .mha;
// files with another extension, hidden files and folders are passed over.
const (
	// TrainImageLayout is the layout of the paper's README:
	//
	//	TrainImage/<case>_t2w, TrainImage/<case>_adc, TrainImage/<case>_hbv   (PI-CAI)
	//	TrainImage/<case>_image                                               (BraTS, all channels)
	//	TrainLabel/<case>_gt
	//	ValidImage, ValidLabel                                                (the same)
	TrainImageLayout Layout = "TrainImage"

	// TrainVolumesLayout is how the paper's code lays out PI-CAI:
	//
	//	TrainVolumes/t2w/<case>, TrainVolumes/adc/<case>, TrainVolumes/hbv/<case>
	//	Binary_TrainSegmentation/<case>
	//	ValidVolumes/…, Binary_ValidSegmentation/<case>
	//
	// A file of the t2w folder may also end in _t2w or _0000, of adc in _adc or
	// _0001, of hbv in _hbv or _0002, a label in _gt, _seg or _label.
	TrainVolumesLayout Layout = "TrainVolumes"

	// ImageTrLayout is how the paper's code lays out BraTS, one file for all
	// channels:
	//
	//	image_Tr/<case>, label_Tr/<case>
	//	image_Vl/<case>, label_Vl/<case>   (or _Val, _Va, _Ts)
	//
	// An image may also end in _image, _img or _0000, a label in _gt, _seg or _label.
	ImageTrLayout Layout = "image_Tr"

	// NNUNetLayout is that of nnU-Net and of PI-CAI's own preparation:
	//
	//	imagesTr/<case>_0000, imagesTr/<case>_0001, …   one file per channel
	//	labelsTr/<case>
	//	imagesTs, labelsTs                              (the same)
	//
	// Where there is no labelsTs folder, every fifth training case (the fifth,
	// the tenth, … by name) is held out for validation.
	NNUNetLayout Layout = "nnU-Net"
)

// holdOut is the n of "every n-th case is held out".
const holdOut = 5

// maxProblems bounds how many missing or mismatched files one error names.
const maxProblems = 20

// Find lists the cases under dir. It recognises the layout by the folder of the
// training images; see the Layout constants for the names.
//
// Every training and validation case needs each of its channels and a label;
// no file may be left over, no case may be in both parts, each label must lie
// on the grid of its case's first image, and all cases must have the same
// number of channels. The error names every file at fault (the first 20). Only
// headers are read.
func Find(dir string) (*Set, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("dataset: %s is a file; expected the folder of a data set", dir)
	}
	var found []Layout
	for _, l := range []struct {
		layout Layout
		folder string
	}{{TrainImageLayout, "TrainImage"}, {TrainVolumesLayout, "TrainVolumes"}, {ImageTrLayout, "image_Tr"}, {NNUNetLayout, "imagesTr"}} {
		if isDir(filepath.Join(dir, l.folder)) {
			found = append(found, l.layout)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("dataset: %s has none of the folders TrainImage, TrainVolumes, image_Tr, imagesTr", dir)
	case 1:
	default:
		return nil, fmt.Errorf("dataset: %s holds more than one layout (%v); give each a folder of its own", dir, found)
	}

	f := &finder{dir: dir}
	s := &Set{Layout: found[0]}
	switch s.Layout {
	case TrainImageLayout:
		f.single = f.holds("TrainImage", imageSuffix) || f.holds("ValidImage", imageSuffix)
		s.Train = f.trainImage("Train")
		s.Valid = f.trainImage("Valid")
	case TrainVolumesLayout:
		s.Train = f.trainVolumes("Train")
		s.Valid = f.trainVolumes("Valid")
	case ImageTrLayout:
		s.Train = f.imageTr("Tr")
		s.Valid = f.imageTr(f.first("image_", "Vl", "Val", "Va", "Ts"))
	case NNUNetLayout:
		s.Train = f.nnUNet("Tr")
		if isDir(filepath.Join(dir, "labelsTs")) {
			s.Valid = f.nnUNet("Ts")
		} else {
			s.HeldOut = true
			s.Train, s.Valid = split(s.Train)
		}
	}
	f.disjoint(s)
	if f.err() == nil && (len(s.Train) == 0 || len(s.Valid) == 0) {
		f.problem("%d training and %d validation cases; at least one of each is needed", len(s.Train), len(s.Valid))
	}
	if f.err() == nil {
		s.Channels = f.grids(s)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return s, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func split(cases []Case) (train, valid []Case) {
	for i, c := range cases {
		if i%holdOut == holdOut-1 {
			valid = append(valid, c)
		} else {
			train = append(train, c)
		}
	}
	return train, valid
}

// finder gathers what is wrong, so that one run names all of it.
type finder struct {
	dir      string
	problems []string
	single   bool // TrainImageLayout: one file per case, not one per channel
	channels int  // nnU-Net: of the training images
}

func (f *finder) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

func (f *finder) err() error {
	if len(f.problems) == 0 {
		return nil
	}
	shown, more := f.problems, ""
	if n := len(shown); n > maxProblems {
		shown, more = shown[:maxProblems], fmt.Sprintf("; and %d more", n-maxProblems)
	}
	return fmt.Errorf("dataset: %s: %s%s", f.dir, strings.Join(shown, "; "), more)
}

// first returns the first of the endings for which the folder prefix+ending is
// there, or the first ending, whose absence is then reported.
func (f *finder) first(prefix string, endings ...string) string {
	for _, e := range endings {
		if isDir(filepath.Join(f.dir, prefix+e)) {
			return e
		}
	}
	return endings[0]
}

// part is one kind of file of every case: a channel, or the label.
type part struct {
	// name is how a missing file is named, with %s for the case.
	name string
	// paths maps a case to its file.
	paths map[string]string
}

// files lists the image files of a folder as stem → path.
func (f *finder) files(folder string) map[string]string {
	entries, err := os.ReadDir(filepath.Join(f.dir, filepath.FromSlash(folder)))
	if err != nil {
		f.problem("folder %s is needed: %v", folder, err)
		return nil
	}
	stems := map[string]string{}
	for _, e := range entries {
		name := e.Name()
		stem, ok := trimExtension(name)
		if !ok || strings.HasPrefix(name, ".") || e.IsDir() {
			continue
		}
		if other, ok := stems[stem]; ok {
			f.problem("%s and %s/%s are the same image twice", f.rel(other), folder, name)
			continue
		}
		stems[stem] = filepath.Join(f.dir, filepath.FromSlash(folder), name)
	}
	return stems
}

// trimExtension returns the file name without the extension of an image format.
func trimExtension(name string) (stem string, ok bool) {
	for _, ext := range []string{".nii.gz", ".nii", ".mha"} {
		if stem, ok := strings.CutSuffix(name, ext); ok && stem != "" {
			return stem, true
		}
	}
	return "", false
}

// endsIn returns the index of the first suffix that a stem ends in and is longer
// than, or -1.
func endsIn(stem string, suffixes []string) int {
	return slices.IndexFunc(suffixes, func(s string) bool { return strings.HasSuffix(stem, s) && len(stem) > len(s) })
}

// suffixed returns the part of the folder whose file names end in the first
// suffix that fits; the empty suffix fits every name.
func (f *finder) suffixed(folder string, suffixes ...string) part {
	p := part{name: folder + "/%s" + suffixes[0], paths: map[string]string{}}
	files := f.files(folder)
	for _, stem := range sortedKeys(files) {
		i := endsIn(stem, suffixes)
		if i < 0 {
			f.problem("%s does not end in %s", f.rel(files[stem]), strings.Join(suffixes, ", "))
			continue
		}
		id := strings.TrimSuffix(stem, suffixes[i])
		if other, ok := p.paths[id]; ok {
			f.problem("%s and %s are the same image twice", f.rel(other), f.rel(files[stem]))
			continue
		}
		p.paths[id] = files[stem]
	}
	return p
}

// cases joins the channels and the label of every case.
func (f *finder) cases(channels []part, label part) []Case {
	ids := map[string]string{}
	for _, p := range append(slices.Clone(channels), label) {
		for id, path := range p.paths {
			ids[id] = path
		}
	}
	var cases []Case
	for _, id := range sortedKeys(ids) {
		c := Case{ID: id, Label: label.paths[id]}
		var missing []string
		for _, p := range channels {
			path, ok := p.paths[id]
			if !ok {
				missing = append(missing, fmt.Sprintf(p.name, id))
				continue
			}
			c.Images = append(c.Images, path)
		}
		switch {
		case len(c.Images) == 0:
			f.problem("label %s has no image %s", f.rel(c.Label), missing[0])
		case len(missing) > 0:
			if n := len(missing); n > 4 {
				missing = append(missing[:4], fmt.Sprintf("%d more channels", n-4))
			}
			f.problem("case %s has no %s", id, strings.Join(missing, " and no "))
		case c.Label == "":
			f.problem("image %s has no label %s", f.rel(c.Images[0]), fmt.Sprintf(label.name, id))
		default:
			cases = append(cases, c)
		}
	}
	return cases
}

func (f *finder) rel(path string) string {
	if r, err := filepath.Rel(f.dir, path); err == nil {
		return filepath.ToSlash(r)
	}
	return path
}

const imageSuffix = "_image"

var channelSuffixes = []string{"_t2w", "_adc", "_hbv"}

// holds reports whether a folder has an image whose name ends in suffix.
func (f *finder) holds(folder, suffix string) bool {
	entries, _ := os.ReadDir(filepath.Join(f.dir, folder)) // its absence is reported by files
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		stem, ok := trimExtension(e.Name())
		return ok && !strings.HasPrefix(stem, ".") && strings.HasSuffix(stem, suffix)
	})
}

func (f *finder) trainImage(prefix string) []Case {
	folder := prefix + "Image"
	suffixes := channelSuffixes
	if f.single {
		suffixes = []string{imageSuffix}
	}
	var channels []part
	for _, s := range suffixes {
		channels = append(channels, part{name: folder + "/%s" + s, paths: map[string]string{}})
	}
	files := f.files(folder)
	for _, stem := range sortedKeys(files) {
		name := f.rel(files[stem])
		if i := endsIn(stem, suffixes); i >= 0 {
			channels[i].paths[strings.TrimSuffix(stem, suffixes[i])] = files[stem]
		} else if f.single && endsIn(stem, channelSuffixes) >= 0 {
			f.problem("%s: other images of this set end in %s and hold all channels, so there can be no file per channel", name, imageSuffix)
		} else {
			f.problem("%s does not end in %s", name, strings.Join(append(slices.Clone(channelSuffixes), imageSuffix), ", "))
		}
	}
	return f.cases(channels, f.suffixed(prefix+"Label", "_gt"))
}

func (f *finder) trainVolumes(prefix string) []Case {
	folder := prefix + "Volumes/"
	return f.cases([]part{
		f.suffixed(folder+"t2w", "_t2w", "_0000", ""),
		f.suffixed(folder+"adc", "_adc", "_0001", ""),
		f.suffixed(folder+"hbv", "_hbv", "_0002", ""),
	}, f.suffixed("Binary_"+prefix+"Segmentation", "_gt", "_seg", "_label", ""))
}

func (f *finder) imageTr(ending string) []Case {
	return f.cases([]part{f.suffixed("image_"+ending, "_image", "_img", "_0000", "")},
		f.suffixed("label_"+ending, "_gt", "_seg", "_label", ""))
}

var channelSuffix = regexp.MustCompile(`^(.+)_(\d{4})$`)

func (f *finder) nnUNet(ending string) []Case {
	folder := "images" + ending
	files := f.files(folder)
	type key struct {
		channel int
		id      string
	}
	paths := map[key]string{}
	for _, stem := range sortedKeys(files) {
		m := channelSuffix.FindStringSubmatch(stem)
		if m == nil {
			f.problem("%s does not end in a channel number such as _0000", f.rel(files[stem]))
			continue
		}
		channel, _ := strconv.Atoi(m[2]) // four digits
		paths[key{channel, m[1]}] = files[stem]
		f.channels = max(f.channels, channel+1)
	}
	channels := make([]part, max(f.channels, 1))
	for i := range channels {
		channels[i] = part{name: fmt.Sprintf("%s/%%s_%04d", folder, i), paths: map[string]string{}}
	}
	for k, path := range paths {
		channels[k.channel].paths[k.id] = path
	}
	return f.cases(channels, f.suffixed("labels"+ending, ""))
}

// disjoint reports the cases that are in both parts: a network scored on what
// it has seen.
func (f *finder) disjoint(s *Set) {
	train := map[string]bool{}
	for _, c := range s.Train {
		train[c.ID] = true
	}
	for _, c := range s.Valid {
		if train[c.ID] {
			f.problem("case %s is in both the training and the validation part", c.ID)
		}
	}
}

// grids checks the headers of every case and returns the number of channels.
func (f *finder) grids(s *Set) int {
	var first Case
	channels := 0
	for _, c := range slices.Concat(s.Train, s.Valid) {
		label, err := volume.ReadHeader(c.Label)
		if err != nil {
			f.problem("%v", err)
			continue
		}
		if label.Channels != 1 {
			f.problem("label %s has %d channels; expected 1", f.rel(c.Label), label.Channels)
		}
		sum := f.caseGrids(c, label)
		switch {
		case sum == 0: // reported already
		case channels == 0:
			first, channels = c, sum
		case sum != channels:
			f.problem("case %s has %d channels, but case %s has %d", c.ID, sum, first.ID, channels)
		}
	}
	return channels
}

// caseGrids checks the headers of one case's images and returns the number of
// channels, 0 where a header could not be read.
func (f *finder) caseGrids(c Case, label *volume.Header) (channels int) {
	var first *volume.Header
	for i, path := range c.Images {
		h, err := volume.ReadHeader(path)
		if err != nil {
			f.problem("%v", err)
			return 0
		}
		if len(c.Images) > 1 && h.Channels != 1 {
			f.problem("%s has %d channels; expected 1, as there is one file per channel", f.rel(path), h.Channels)
		}
		channels += h.Channels
		if i > 0 {
			if err := imagesMeet(f.rel(c.Images[0]), first.Affine, first.Dims, f.rel(path), h.Affine, h.Dims); err != nil {
				f.problem("%v", err)
			}
			continue
		}
		first = h
		if err := gridsMatch(f.rel(path), h.Dims, h.Affine, f.rel(c.Label), label.Dims, label.Affine); err != nil {
			f.problem("%v", err)
		}
	}
	return channels
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
