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
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Case{}, fmt.Errorf("dataset: %w", err)
	}
	// The files of every case, by channel.
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
			return Case{}, fmt.Errorf("dataset: %s and %s in %s are the same image", filepath.Base(other), e.Name(), dir)
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
		return Case{}, fmt.Errorf("dataset: %s contains %d cases, including %s and %s; append the beginning of one's file names", path, len(ids), ids[0], ids[1])
	}
	c := Case{ID: ids[0], Images: complete(cases[ids[0]])}
	if c.ID == "" {
		c.ID = filepath.Base(dir)
	}
	if c.Images == nil {
		return Case{}, fmt.Errorf("dataset: %s: case %s has the images %s, want one complete set of %s",
			path, c.ID, strings.Join(sortedKeys(cases[ids[0]]), ", "), endings())
	}
	return c, nil
}

// splitChannel splits a name into the case and the channel. The channel is empty if the
// name has no channel ending.
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

// complete returns the files of the largest complete set of channels, or nil if there
// is none.
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
