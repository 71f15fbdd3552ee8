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

// Layout is a naming scheme for the files of a data set.
type Layout string

// The layouts that [Find] recognizes. All files have one of the extensions of
// images (volume.Extensions); files with other extensions, hidden files and folders are
// ignored.
const (
	// TrainImageLayout is the layout of the paper's README:
	//
	//	TrainImage/<case>_t2w, TrainImage/<case>_adc, TrainImage/<case>_hbv   (PI-CAI)
	//	TrainImage/<case>_image                                               (BraTS, all channels)
	//	TrainLabel/<case>_gt
	//	ValidImage, ValidLabel                                                (the same)
	TrainImageLayout Layout = "TrainImage"

	// TrainVolumesLayout is the layout of PI-CAI in the paper's code:
	//
	//	TrainVolumes/t2w/<case>, TrainVolumes/adc/<case>, TrainVolumes/hbv/<case>
	//	Binary_TrainSegmentation/<case>
	//	ValidVolumes/…, Binary_ValidSegmentation/<case>
	//
	// A file name may also end in _t2w or _0000 in the t2w folder, _adc or _0001 in adc,
	// _hbv or _0002 in hbv, and _gt, _seg or _label for a label.
	TrainVolumesLayout Layout = "TrainVolumes"

	// ImageTrLayout is the layout of BraTS in the paper's code, with one file for all
	// channels:
	//
	//	image_Tr/<case>, label_Tr/<case>
	//	image_Vl/<case>, label_Vl/<case>   (or _Val, _Va, _Ts)
	//
	// The name of an image may also end in _image, _img or _0000, that of a label in
	// _gt, _seg or _label.
	ImageTrLayout Layout = "image_Tr"

	// NNUNetLayout is the layout of nnU-Net and of PI-CAI's own preprocessing:
	//
	//	imagesTr/<case>_0000, imagesTr/<case>_0001, …   one file per channel
	//	labelsTr/<case>
	//	imagesTs, labelsTs                              (the same)
	//
	// Without a labelsTs folder, every fifth training case (the fifth, the tenth, … by
	// name) is held out for validation.
	NNUNetLayout Layout = "nnU-Net"

	// DecathlonLayout is the layout of the Medical Segmentation Decathlon, with one file
	// for all channels:
	//
	//	imagesTr/<case>, labelsTr/<case>
	//	imagesTs, labelsTs                              (the same)
	//
	// It is told from NNUNetLayout by the labels, which here have the names of the images.
	// Without a labelsTs folder, every fifth training case is held out.
	DecathlonLayout Layout = "Decathlon"

	// CaseFolderLayout is the layout of BraTS as it is published, with a folder for every
	// case, at most three levels deep:
	//
	//	<case>/<case>_flair, <case>_t1, <case>_t1ce, <case>_t2, <case>_seg   (to 2021)
	//	<case>/<case>-t1c, <case>-t1n, <case>-t2f, <case>-t2w, <case>-seg    (from 2023)
	//
	// The channels are those of [FindCase], in its order; the label ends in seg, gt or
	// label. Cases below a top folder named train or training are for training, those below
	// valid, validation or val for validation. If there is no such folder for validation,
	// every fifth case is held out.
	CaseFolderLayout Layout = "folder per case"

	// CaseListLayout stands for a list of files; see [ReadCases].
	CaseListLayout Layout = "list of cases"
)

// holdOut is n if every n-th case is held out.
const holdOut = 5

// maxProblems limits the number of missing or mismatched files that one error names.
const maxProblems = 20

// Find lists the cases under dir. It recognizes the layout by the folder of the
// training images; see the [Layout] constants for the names.
//
// Every training and validation case must have all of its channels and a label, no
// file may be left unmatched, no case may be in both parts, each label must be on the
// grid of its case's first image, up to the order and direction of the axes, and all cases
// must have the same number of channels. The error names every offending file, up to 20.
// Only headers are read.
//
// A dataset.json in dir, in any layout, names the channels and labels
// (Set.Description); if it names channels, their number must be that of the images.
func Find(dir string) (*Set, error) { return Reading{}.Find(dir) }

// Find is like [Find], except that with ResampleLabels labels may be on other grids.
func (r Reading) Find(dir string) (*Set, error) { return r.find(dir, false) }

// FindAll is like Find, except that all labeled cases are in Set.Train, sorted by ID: those of
// both parts of a layout, of which one may be absent.
func (r Reading) FindAll(dir string) (*Set, error) { return r.find(dir, true) }

func (r Reading) find(dir string, undivided bool) (*Set, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("dataset: %s is a file, want the folder of a data set (or a list of cases, -cases)", dir)
	}
	var found []Layout
	f := &finder{dir: dir, reading: r, undivided: undivided}
	for _, l := range []struct {
		layout  Layout
		folders []string // of training images, then those of validation images
	}{
		{TrainImageLayout, []string{"TrainImage", "ValidImage"}},
		{TrainVolumesLayout, []string{"TrainVolumes", "ValidVolumes"}},
		{ImageTrLayout, []string{"image_Tr", "image_Vl", "image_Val", "image_Va", "image_Ts"}},
		{NNUNetLayout, []string{"imagesTr", "imagesTs"}},
	} {
		if !undivided {
			l.folders = l.folders[:1]
		}
		if slices.ContainsFunc(l.folders, func(folder string) bool { return isDir(filepath.Join(dir, folder)) }) {
			found = append(found, l.layout)
		}
	}
	s := &Set{from: dir}
	switch len(found) {
	case 0:
		s.Layout = CaseFolderLayout
	case 1:
		s.Layout = found[0]
	default:
		return nil, fmt.Errorf("dataset: %s contains more than one layout (%v); put each in its own folder", dir, found)
	}
	if path := filepath.Join(dir, DescriptionName); isFile(path) {
		if s.Description, err = ReadDescription(path); err != nil {
			return nil, err
		}
	}
	switch s.Layout {
	case TrainImageLayout:
		f.single = f.contains("TrainImage", imageSuffix) || f.contains("ValidImage", imageSuffix)
		s.Train, s.Valid = f.parts("TrainImage", "Train", "ValidImage", "Valid", f.trainImage)
		if !f.single {
			s.ChannelNames = prostateChannels
		}
	case TrainVolumesLayout:
		s.Train, s.Valid = f.parts("TrainVolumes", "Train", "ValidVolumes", "Valid", f.trainVolumes)
		s.ChannelNames = prostateChannels
	case ImageTrLayout:
		valid := f.first("image_", "Vl", "Val", "Va", "Ts")
		s.Train, s.Valid = f.parts("image_Tr", "Tr", "image_"+valid, valid, f.imageTr)
	case NNUNetLayout:
		list := f.nnUNet
		if f.decathlon() {
			s.Layout, list = DecathlonLayout, f.oneFile
		}
		if undivided || isDir(filepath.Join(dir, "labelsTs")) {
			// imagesTs may have no labels.
			s.Train, s.Valid = f.parts("imagesTr", "Tr", "labelsTs", "Ts", list)
		} else {
			s.Train = list("Tr")
			s.holdOut()
		}
	case CaseFolderLayout:
		f.caseFolders(s)
	}
	return f.finish(s)
}

// parts lists both parts of a layout with list, by the names of the parts. For an undivided set,
// one whose folder is absent is left out.
func (f *finder) parts(trainFolder, train, validFolder, valid string, list func(part string) []Case) (training, validation []Case) {
	present := func(folder string) bool { return !f.undivided || isDir(filepath.Join(f.dir, folder)) }
	if present(trainFolder) {
		training = list(train)
	}
	if present(validFolder) {
		validation = list(valid)
	}
	return training, validation
}

// finish checks the cases that were listed.
func (f *finder) finish(s *Set) (*Set, error) {
	f.disjoint(s)
	if f.undivided {
		s.Train, s.Valid = slices.Concat(s.Train, s.Valid), nil
		slices.SortFunc(s.Train, func(a, b Case) int { return strings.Compare(a.ID, b.ID) })
		if f.err() == nil && len(s.Train) == 0 {
			f.problem("found no case with a label")
		}
	} else if f.err() == nil && (len(s.Train) == 0 || len(s.Valid) == 0) {
		f.problem("found %d training and %d validation cases, want at least one of each", len(s.Train), len(s.Valid))
	}
	if f.err() == nil {
		f.grids(s)
	}
	if d := s.Description; f.err() == nil && d != nil && d.Channels != nil {
		if len(d.Channels) != s.Channels {
			f.problem("%s names %d channels (%s), but the images have %d", DescriptionName, len(d.Channels), strings.Join(d.Channels, ", "), s.Channels)
		} else if s.ChannelNames == nil {
			s.ChannelNames = d.Channels
		}
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

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// holdOut moves every fifth training case to the validation cases.
func (s *Set) holdOut() {
	s.HeldOut = true
	var train []Case
	for i, c := range s.Train {
		if i%holdOut == holdOut-1 {
			s.Valid = append(s.Valid, c)
		} else {
			train = append(train, c)
		}
	}
	s.Train = train
}

// finder collects problems, so that one error names all of them.
type finder struct {
	dir      string
	from     string // name of the data set for messages, dir if it is empty
	reading  Reading
	problems []string
	// undivided is true if training and validation cases are not told apart.
	undivided bool
	wrong     string // how many cases have problems, if that is known
	single    bool   // TrainImageLayout: one file per case, not one per channel
	channels  int    // nnU-Net: the number of channels seen so far
}

func (f *finder) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

func (f *finder) err() error {
	if len(f.problems) == 0 {
		return nil
	}
	from := f.from
	if from == "" {
		from = f.dir
	}
	return fmt.Errorf("dataset: %s: %s%s", from, f.wrong, listed(f.problems))
}

// first returns the first ending for which the folder prefix+ending exists. If there is
// none, it returns endings[0], and reading that folder reports it as missing.
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
	// name is the name of a missing file for messages, with %s for the case.
	name string
	// paths maps a case to its file.
	paths map[string]string
}

// files lists the image files of a folder as stem → path.
func (f *finder) files(folder string) map[string]string {
	entries, err := os.ReadDir(filepath.Join(f.dir, filepath.FromSlash(folder)))
	if err != nil {
		f.problem("cannot read folder %s: %v", folder, err)
		return nil
	}
	stems := map[string]string{}
	for _, e := range entries {
		name := e.Name()
		stem, ok := volume.TrimExtension(name)
		if !ok || strings.HasPrefix(name, ".") || e.IsDir() {
			continue
		}
		if other, ok := stems[stem]; ok {
			f.problem("%s and %s/%s are the same image", f.rel(other), folder, name)
			continue
		}
		stems[stem] = filepath.Join(f.dir, filepath.FromSlash(folder), name)
	}
	return stems
}

// endsIn returns the index of the first suffix that stem ends in and is longer than, or
// -1 if there is none.
func endsIn(stem string, suffixes []string) int {
	return slices.IndexFunc(suffixes, func(s string) bool { return strings.HasSuffix(stem, s) && len(stem) > len(s) })
}

// suffixed returns the files of a folder as a part. The case of a file is its stem
// without the first matching suffix; the empty suffix matches every name.
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
			f.problem("%s and %s are the same image", f.rel(other), f.rel(files[stem]))
			continue
		}
		p.paths[id] = files[stem]
	}
	return p
}

// cases combines the channels and the label of every case.
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

var (
	prostateChannels = []string{"t2w", "adc", "hbv"}
	channelSuffixes  = []string{"_t2w", "_adc", "_hbv"}
)

// contains reports whether a folder has an image whose name ends in suffix.
func (f *finder) contains(folder, suffix string) bool {
	for name := range f.names(folder) {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
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
			f.problem("%s holds one channel, but other images of this set end in %s and hold all channels", name, imageSuffix)
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

// names returns the names, without extension, of the images in a folder that may not exist.
func (f *finder) names(folder string) map[string]bool {
	names := map[string]bool{}
	entries, _ := os.ReadDir(filepath.Join(f.dir, folder)) // finder.files reports errors
	for _, e := range entries {
		if stem, ok := volume.TrimExtension(e.Name()); ok && !e.IsDir() && !strings.HasPrefix(stem, ".") {
			names[stem] = true
		}
	}
	return names
}

// decathlon reports whether imagesTr, or imagesTs if there is no imagesTr, has an image named as
// its label and none named as its label with a channel number.
func (f *finder) decathlon() bool {
	part := f.first("images", "Tr", "Ts")
	images, found := f.names("images"+part), false
	for label := range f.names("labels" + part) {
		if images[label+"_0000"] {
			return false
		}
		found = found || images[label]
	}
	return found
}

func (f *finder) oneFile(ending string) []Case {
	return f.cases([]part{f.suffixed("images"+ending, "")}, f.suffixed("labels"+ending, ""))
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

// disjoint reports cases that are in both parts, on which a network would be evaluated
// after being trained on them.
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

// grids checks the headers of every case and sets the number of channels.
func (f *finder) grids(s *Set) {
	var first Case
	notes := map[string]*occurrences{}
	wrong, total := 0, 0
	for _, c := range slices.Concat(s.Train, s.Valid) {
		total++
		before := len(f.problems)
		sum, found := f.caseGrids(c)
		switch {
		case sum == 0: // reported already
		case s.Channels == 0:
			first, s.Channels = c, sum
		case sum != s.Channels:
			f.problem("case %s has %d channels, but case %s has %d", c.ID, sum, first.ID, s.Channels)
		}
		if len(f.problems) > before {
			wrong++
		}
		for _, text := range found {
			note(notes, text, c.ID)
		}
	}
	if wrong > 0 {
		f.wrong = wrongCases(wrong, total)
	}
	for _, text := range sortedKeys(notes) {
		s.Notes = append(s.Notes, fmt.Sprintf("In %s %s.", notes[text].of(total), text))
	}
}

// caseGrids checks the headers of one case and returns the number of channels, or 0 if a
// header could not be read, and the notes on the headers.
func (f *finder) caseGrids(c Case) (channels int, notes []string) {
	label, err := volume.ReadHeader(c.Label)
	if err != nil {
		f.problem("%v", err)
		return 0, nil
	}
	if label.Channels != 1 {
		f.problem("label %s has %d channels, want 1", f.rel(c.Label), label.Channels)
	}
	var first *volume.Header
	for i, path := range c.Images {
		h, err := volume.ReadHeader(path)
		if err != nil {
			f.problem("%v", err)
			return 0, nil
		}
		for _, text := range h.Notes {
			if !slices.Contains(notes, text) {
				notes = append(notes, text)
			}
		}
		if len(c.Images) > 1 && h.Channels != 1 {
			f.problem("%s has %d channels, want 1 because there is one file per channel", f.rel(path), h.Channels)
		}
		channels += h.Channels
		if i > 0 {
			if err := checkOverlap(f.rel(c.Images[0]), first.Affine, first.Dims, f.rel(path), h.Affine, h.Dims); err != nil {
				f.problem("%v", err)
			}
			continue
		}
		first = h
		if err := checkLabelGrid(f.rel(path), h.Dims, h.Affine, f.rel(c.Label), label.Dims, label.Affine, f.reading.ResampleLabels); err != nil {
			f.problem("%v", err)
		}
	}
	return channels, notes
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
