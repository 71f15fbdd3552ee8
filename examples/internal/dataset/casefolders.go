package dataset

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// labelEndings are the endings of a label's name in a case's folder, after "_" or "-".
var labelEndings = []string{"seg", "gt", "label"}

// maxDepth is the number of folders below the data set's in which cases are looked for.
const maxDepth = 3

// folderCase holds the files of one case.
type folderCase struct {
	folder, id string
	channels   map[string]string
	label      string
}

// caseFolders lists the cases of CaseFolderLayout.
func (f *finder) caseFolders(s *Set) {
	found := f.folderCases()
	if len(found) == 0 {
		f.problem("it contains none of the folders TrainImage, TrainVolumes, image_Tr and imagesTr, and no folder of a case, with images whose names end in %s; list other files with -cases", endings())
		return
	}
	var names []string
	for _, c := range found {
		if n := completeNames(c.channels); len(n) > len(names) {
			names = n
		}
	}
	if names == nil {
		c := found[0]
		f.problem("case %s has the images %s, want one complete set of %s", c.id, strings.Join(sortedKeys(c.channels), ", "), endings())
		return
	}
	if len(names) > 1 {
		s.ChannelNames = names
	}
	folders := map[string]string{}
	for _, c := range found {
		if other, twice := folders[c.id]; twice {
			f.problem("case %s is in the folders %s and %s", c.id, f.rel(other), f.rel(c.folder))
			continue
		}
		folders[c.id] = c.folder
		k := Case{ID: c.id, Label: c.label}
		var missing []string
		for _, name := range names {
			if path, ok := c.channels[name]; ok {
				k.Images = append(k.Images, path)
			} else {
				missing = append(missing, name)
			}
		}
		switch {
		case len(missing) > 0:
			f.problem("case %s in %s has no image %s", c.id, f.rel(c.folder), strings.Join(missing, " and no "))
		case c.label == "":
			f.problem("case %s in %s has no label ending in %s", c.id, f.rel(c.folder), strings.Join(labelEndings, ", "))
		case f.forValidation(c.folder):
			s.Valid = append(s.Valid, k)
		default:
			s.Train = append(s.Train, k)
		}
	}
	byID := func(a, b Case) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(s.Train, byID)
	slices.SortFunc(s.Valid, byID)
	if len(s.Valid) == 0 && !f.undivided {
		s.holdOut()
	}
}

// forValidation reports whether a case's folder is below one of validation cases.
func (f *finder) forValidation(folder string) bool {
	top, _, _ := strings.Cut(f.rel(folder), "/")
	return slices.Contains([]string{"valid", "validation", "val"}, strings.ToLower(top))
}

// folderCases returns the cases in the folders below dir that have a file of a channel, in
// lexical order of the folders.
func (f *finder) folderCases() []*folderCase {
	var found []*folderCase
	err := filepath.WalkDir(f.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() || path == f.dir {
			return nil
		}
		if strings.HasPrefix(entry.Name(), ".") || strings.Count(f.rel(path), "/") >= maxDepth {
			return filepath.SkipDir
		}
		found = append(found, f.folderCase(path)...)
		return nil
	})
	if err != nil {
		f.problem("%v", err)
	}
	return found
}

// folderCase returns the cases in one folder. A file whose ending is unknown is ignored.
func (f *finder) folderCase(folder string) []*folderCase {
	cases := map[string]*folderCase{}
	of := func(id string) *folderCase {
		if id == "" {
			id = filepath.Base(folder)
		}
		if cases[id] == nil {
			cases[id] = &folderCase{folder: folder, id: id, channels: map[string]string{}}
		}
		return cases[id]
	}
	files := f.files(f.rel(folder))
	for _, stem := range sortedKeys(files) {
		path := files[stem]
		if id, channel := splitChannel(stem); channel != "" {
			c := of(id)
			if other, twice := c.channels[channel]; twice {
				f.problem("%s and %s are the same image", f.rel(other), f.rel(path))
			}
			c.channels[channel] = path
		} else if id, ending := splitEnding(stem, labelEndings); ending != "" {
			c := of(id)
			if c.label != "" {
				f.problem("%s and %s are labels of the same case", f.rel(c.label), f.rel(path))
			}
			c.label = path
		}
	}
	var found []*folderCase
	for _, id := range sortedKeys(cases) {
		if len(cases[id].channels) > 0 { // a label alone is no case
			found = append(found, cases[id])
		}
	}
	return found
}
