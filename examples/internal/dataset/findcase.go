package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/volume"
)

// channelNames lists the sets of name endings that identify the channel files of one
// case, each in channel order.
var channelNames = [][]string{
	{"t2w", "adc", "hbv"},                                                                  // PI-CAI
	{"flair", "t1", "t1ce", "t2"},                                                          // BraTS to 2021
	{"t2f", "t1n", "t1c", "t2w"},                                                           // BraTS from 2023
	{"0000"}, {"0000", "0001"}, {"0000", "0001", "0002"}, {"0000", "0001", "0002", "0003"}, // nnU-Net
	{"image"}, // one file for all channels
}

// FindCase finds the image files of one case, without a label. path is the folder that
// contains them or, if the folder contains several cases, the folder followed by the
// common prefix of their names, such as TrainImage/10000_1000000.
//
// The end of a file name, after "_" or "-", identifies the channel: t2w, adc, hbv
// (PI-CAI); flair, t1, t1ce, t2 or t2f, t1n, t1c, t2w (BraTS); 0000, 0001, …
// (nnU-Net); image (one file for all channels). The network receives the channels in
// that order. Files with other endings are ignored.
func FindCase(path string) (Case, error) {
	dir, prefix := path, ""
	if !isDir(path) {
		dir, prefix = filepath.Split(path)
		if dir == "" {
			dir = "."
		}
	}
	cases, err := caseFiles(dir, prefix)
	if err != nil {
		return Case{}, err
	}
	ids := sortedKeys(cases)
	if slices.Contains(ids, prefix) {
		ids = []string{prefix}
	}
	switch {
	case len(ids) == 0:
		return Case{}, noChannels(dir, prefix, []string{dir})
	case len(ids) > 1:
		return Case{}, fmt.Errorf("dataset: %s contains %d cases, including %s and %s; append the beginning of one's file names", path, len(ids), ids[0], ids[1])
	}
	return caseOf(ids[0], dir, cases[ids[0]])
}

// caseFiles returns the image files of a folder whose names begin with prefix, by case and
// channel.
func caseFiles(dir, prefix string) (map[string]map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	cases := map[string]map[string]string{}
	for _, e := range entries {
		stem, ok := volume.TrimExtension(e.Name())
		if !ok || e.IsDir() || strings.HasPrefix(stem, ".") || !strings.HasPrefix(stem, prefix) {
			continue
		}
		id, channel := splitChannel(stem)
		if channel == "" {
			continue
		}
		if cases[id] == nil {
			cases[id] = map[string]string{}
		}
		if other, ok := cases[id][channel]; ok {
			return nil, fmt.Errorf("dataset: %s and %s in %s are the same image", filepath.Base(other), e.Name(), dir)
		}
		cases[id][channel] = filepath.Join(dir, e.Name())
	}
	return cases, nil
}

// noChannels is the error for folders, dir and perhaps those directly below it, without an image
// file whose name begins with prefix and ends in a channel. It says what is there instead.
func noChannels(dir, prefix string, searched []string) error {
	where := filepath.Clean(dir)
	if len(searched) > 1 {
		where += " and the folders directly below it"
	}
	begins := ""
	if prefix != "" {
		begins = fmt.Sprintf("begins with %s and ", prefix)
	}
	var images, others []string
	for _, d := range searched {
		entries, err := os.ReadDir(d)
		if err != nil {
			return fmt.Errorf("dataset: %w", err)
		}
		for _, e := range entries {
			path := filepath.Join(d, e.Name())
			name, err := filepath.Rel(dir, path)
			if err != nil {
				name = path
			}
			switch _, ok := volume.TrimExtension(e.Name()); {
			case strings.HasPrefix(e.Name(), ".") || slices.Contains(searched, path):
			case ok && !isDir(path):
				images = append(images, name)
			default:
				others = append(others, name)
			}
		}
	}
	found := "nothing"
	if len(images) > 0 {
		found = "the images " + few(images)
	} else if len(others) > 0 {
		found = "no image, but " + few(others)
	}
	return fmt.Errorf("dataset: %s: found %s; want images (%s) whose name %sends in %s", where, found, volume.Extensions(), begins, endings())
}

// few lists up to three names, and says how many others there are.
func few(names []string) string {
	const most = 3
	if n := len(names) - most; n > 0 {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:most], ", "), n)
	}
	return strings.Join(names, ", ")
}

// caseOf returns the case with the given files by channel.
func caseOf(id, dir string, files map[string]string) (Case, error) {
	c := Case{ID: id, Images: complete(files)}
	if c.ID == "" {
		c.ID = filepath.Base(dir)
	}
	if c.Images == nil {
		return Case{}, fmt.Errorf("dataset: %s: case %s has the images %s, want one complete set of %s",
			dir, c.ID, strings.Join(sortedKeys(files), ", "), endings())
	}
	return c, nil
}

// FindCases finds the image files of every case in a folder and in the folders directly
// below it, as [FindCase] does for a single one. The cases are sorted by ID. A case without a
// complete set of channels and two cases of one ID are errors.
func FindCases(dir string) ([]Case, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	dirs := []string{dir}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); isDir(path) && !strings.HasPrefix(e.Name(), ".") {
			dirs = append(dirs, path)
		}
	}
	found := map[string]Case{}
	for _, dir := range dirs {
		files, err := caseFiles(dir, "")
		if err != nil {
			return nil, err
		}
		for _, id := range sortedKeys(files) {
			c, err := caseOf(id, dir, files[id])
			if err != nil {
				return nil, err
			}
			if other, ok := found[c.ID]; ok {
				return nil, fmt.Errorf("dataset: %s and %s are both of a case named %s", other.Images[0], c.Images[0], c.ID)
			}
			found[c.ID] = c
		}
	}
	if len(found) == 0 {
		return nil, noChannels(dir, "", dirs)
	}
	var cases []Case
	for _, id := range sortedKeys(found) {
		cases = append(cases, found[id])
	}
	return cases, nil
}

// FindLabel returns the label file of a case in a folder or in its folder named as the case:
// <case>, or <case> and, after "_" or "-", seg, gt or label, with the extension of an image.
// If there is none, or several, it returns an error.
func FindLabel(dir, id string) (string, error) {
	label := ""
	for _, folder := range []string{dir, filepath.Join(dir, id)} {
		if folder != dir && !isDir(folder) {
			continue
		}
		entries, err := os.ReadDir(folder)
		if err != nil {
			return "", fmt.Errorf("dataset: %w", err)
		}
		for _, e := range entries {
			stem, ok := volume.TrimExtension(e.Name())
			if rest, ending := splitEnding(stem, labelEndings); ending != "" {
				stem = rest
			}
			if !ok || stem != id || e.IsDir() {
				continue
			}
			path := filepath.Join(folder, e.Name())
			if label != "" {
				return "", fmt.Errorf("dataset: %s and %s are both labels of the case %s", label, path, id)
			}
			label = path
		}
	}
	if label == "" {
		return "", fmt.Errorf("dataset: %s contains no label %s, nor %s with the ending %s", dir, id, id, strings.Join(labelEndings, ", "))
	}
	return label, nil
}

// ChannelNames returns the channel that the end of each file name identifies, as [FindCase]
// reads it, or nil unless every name has one. A name for all channels of a file is none.
func ChannelNames(paths []string) []string {
	var names []string
	for _, path := range paths {
		stem, _ := volume.TrimExtension(filepath.Base(path))
		_, channel := splitChannel(stem)
		if channel == "" || channel == "image" {
			return nil
		}
		names = append(names, channel)
	}
	return names
}

// ChannelOrder returns channel names in the order in which [FindCase] takes their files, or
// nil unless they are a complete set.
func ChannelOrder(names []string) []string {
	for _, order := range channelNames {
		if len(order) == len(names) && !slices.ContainsFunc(order, func(name string) bool { return !slices.Contains(names, name) }) {
			return order
		}
	}
	return nil
}

// splitChannel splits a name into the case and the channel. The channel is empty if the
// name has no channel ending.
func splitChannel(stem string) (id, channel string) {
	for _, names := range channelNames {
		if id, channel = splitEnding(stem, names); channel != "" {
			return id, channel
		}
	}
	return "", ""
}

// splitEnding splits a name into what is before "_" or "-" and one of the given endings. The
// ending is empty if the name has none of them; the rest is empty if the name is an ending.
func splitEnding(stem string, endings []string) (rest, ending string) {
	for _, name := range endings {
		if stem == name {
			return "", name
		}
		for _, joint := range []string{"_", "-"} {
			if rest, ok := strings.CutSuffix(stem, joint+name); ok && rest != "" {
				return rest, name
			}
		}
	}
	return "", ""
}

// completeNames returns the names of the largest complete set of channels, or nil if there
// is none.
func completeNames(files map[string]string) []string {
	var best []string
	for _, names := range channelNames {
		complete := !slices.ContainsFunc(names, func(name string) bool { return files[name] == "" })
		if complete && len(names) > len(best) {
			best = names
		}
	}
	return best
}

// complete returns the files of the largest complete set of channels, or nil if there
// is none.
func complete(files map[string]string) []string {
	var paths []string
	for _, name := range completeNames(files) {
		paths = append(paths, files[name])
	}
	return paths
}

func endings() string {
	lists := make([]string, len(channelNames))
	for i, names := range channelNames {
		lists[i] = strings.Join(names, "+")
	}
	return strings.Join(lists, ", ")
}

// CaseOf returns the case with the given image files, which are in channel order. Its
// ID is the name of the first file without extension and channel.
func CaseOf(images []string) Case {
	name := filepath.Base(images[0])
	name, _ = volume.TrimExtension(name)
	if id, channel := splitChannel(name); channel != "" && id != "" {
		name = id
	}
	return Case{ID: name, Images: images}
}
