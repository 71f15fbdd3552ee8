package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// channelNames are the ways in which the files of one case are told apart by
// the end of their names, in the order of the channels.
var channelNames = [][]string{
	{"t2w", "adc", "hbv"},                                                                  // PI-CAI
	{"flair", "t1", "t1ce", "t2"},                                                          // BraTS to 2021
	{"t2f", "t1n", "t1c", "t2w"},                                                           // BraTS from 2023
	{"0000"}, {"0000", "0001"}, {"0000", "0001", "0002"}, {"0000", "0001", "0002", "0003"}, // nnU-Net
	{"image"}, // one file for all channels
}

// FindCase finds the image files of one case, without a label. path is the
// folder that holds them, or that folder with the beginning of their names, such
// as TrainImage/10000_1000000 where there are more cases in it.
//
// The channels are told apart by the ends of the files' names, after a "_" or
// "-": t2w, adc, hbv (PI-CAI); flair, t1, t1ce, t2 or t2f, t1n, t1c, t2w
// (BraTS); 0000, 0001, … (nnU-Net); image (one file for all channels). That is
// the order in which a network gets them. Files with other endings are passed
// over.
func FindCase(path string) (Case, error) {
	dir, prefix := path, ""
	if !isDir(path) {
		dir, prefix = filepath.Split(path)
		if dir == "" {
			dir = "."
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Case{}, fmt.Errorf("dataset: %w", err)
	}
	// The files of every case, by the end of the name.
	cases := map[string]map[string]string{}
	for _, e := range entries {
		stem, ok := trimExtension(e.Name())
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
			return Case{}, fmt.Errorf("dataset: %s and %s in %s are the same image twice", filepath.Base(other), e.Name(), dir)
		}
		cases[id][channel] = filepath.Join(dir, e.Name())
	}
	ids := sortedKeys(cases)
	if slices.Contains(ids, prefix) {
		ids = []string{prefix}
	}
	switch {
	case len(ids) == 0:
		return Case{}, fmt.Errorf("dataset: %s: no image whose name ends in %s", path, endings())
	case len(ids) > 1:
		return Case{}, fmt.Errorf("dataset: %s holds %d cases, %s and %s among them; add the beginning of the name of one", path, len(ids), ids[0], ids[1])
	}
	c := Case{ID: ids[0], Images: complete(cases[ids[0]])}
	if c.ID == "" {
		c.ID = filepath.Base(dir)
	}
	if c.Images == nil {
		return Case{}, fmt.Errorf("dataset: %s: case %s has the images %s; wanted are all of one of %s",
			path, c.ID, strings.Join(sortedKeys(cases[ids[0]]), ", "), endings())
	}
	return c, nil
}

// splitChannel splits a name into the case and the channel; the channel is empty
// where the name ends in none.
func splitChannel(stem string) (id, channel string) {
	for _, names := range channelNames {
		for _, name := range names {
			if stem == name {
				return "", name
			}
			for _, joint := range []string{"_", "-"} {
				if id, ok := strings.CutSuffix(stem, joint+name); ok && id != "" {
					return id, name
				}
			}
		}
	}
	return "", ""
}

// complete returns the files of the longest list of channels that is there
// whole, nil where none is.
func complete(files map[string]string) []string {
	var best []string
	for _, names := range channelNames {
		var paths []string
		for _, name := range names {
			if path, ok := files[name]; ok {
				paths = append(paths, path)
			}
		}
		if len(paths) == len(names) && len(paths) > len(best) {
			best = paths
		}
	}
	return best
}

func endings() string {
	lists := make([]string, len(channelNames))
	for i, names := range channelNames {
		lists[i] = strings.Join(names, "+")
	}
	return strings.Join(lists, ", ")
}

// CaseOf returns the case of these image files, in the order of the channels.
// Its ID is the first one's name without extension and channel.
func CaseOf(images []string) Case {
	name := filepath.Base(images[0])
	if stem, ok := trimExtension(name); ok {
		name = stem
	}
	if id, channel := splitChannel(name); channel != "" && id != "" {
		name = id
	}
	return Case{ID: name, Images: images}
}
