package dataset_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/phantom"
)

// One epoch over a folder of images, here a synthetic one.
func Example() {
	base, err := os.MkdirTemp("", "dataset")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(base)
	dir := filepath.Join(base, "images")
	if err := phantom.Generate(dir, phantom.Options{Kind: phantom.PICAI, Train: 2, Valid: 1, Size: [3]int{20, 16, 8}}); err != nil {
		log.Fatal(err)
	}

	set, err := dataset.Find(dir)
	if err != nil {
		log.Fatal(err)
	}
	protocol := dataset.PICAI()
	protocol.Size = [3]int{24, 16, 8}
	const budget = 1 << 30 // bytes of cached images
	loader := dataset.Loader{Source: dataset.NewCache(protocol, budget)}
	for sample, err := range loader.Train(context.Background(), set.Train, 0, 1) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%v %v, voxels of %.3g mm\n", sample.Image.Shape(), sample.Label.Shape(), sample.Spacing)
	}
	// Output:
	// (1, 3, 24, 16, 8) (1, 24, 16, 8), voxels of [0.833 1 3] mm
	// (1, 3, 24, 16, 8) (1, 24, 16, 8), voxels of [0.833 1 3] mm
}
