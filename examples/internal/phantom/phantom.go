// Package phantom makes small synthetic data sets, so that the programs can be
// tried and tested where no patient data are at hand.
//
// Two kinds of scan are imitated: prostate MRI as in PI-CAI and brain MRI as in
// BraTS. Lesions are ellipsoids whose surface is moved in and out by noise,
// from smooth to ragged, of sizes that differ by an order of magnitude in
// volume, in textured tissue with noise, uneven coil sensitivity, partial
// volume at every boundary and benign findings that look like a lesion in some
// of the channels. A network that does well on them has learnt
// ellipsoids, not medicine: scores on a phantom say that the programs work, and
// nothing about patients.
package phantom

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/x/afl/examples/internal/volume"
)

// Kind is what a phantom imitates.
type Kind string

const (
	// PICAI imitates PI-CAI: three files a case. T2W has voxels of 1×1×3 mm;
	// ADC and HBV lie on a grid of 2×2×3 mm of their own; the grids are oblique,
	// tilted by 8 to 20 degrees. Labels are 2 to 5, the grade of the lesion.
	// Every fourth case (the second, the sixth, …) has no lesion, every third
	// has two or three.
	PICAI Kind = "picai"
	// BraTS imitates BraTS: one file a case with the channels FLAIR, T1, T1
	// after contrast agent and T2 at 1 mm, zero outside the brain. Labels are 1
	// (necrotic core), 2 (oedema) and 4 (enhancing tumour). Every third case
	// has two tumours.
	BraTS Kind = "brats"
)

// Options says which phantom to make.
type Options struct {
	// Kind is required.
	Kind Kind `json:"kind"`
	// Train and Valid are the numbers of cases. Default 24 and 8.
	Train int `json:"train"`
	Valid int `json:"valid"`
	// Size is the number of voxels of the label's grid, at least 8 along each
	// axis. What is in the scan grows with it. Default 80×64×24 for PICAI and
	// 64×64×48 for BraTS.
	Size [3]int `json:"size"`
	// Seed fixes every random choice: the same options give the same bytes (on
	// one architecture and with one version of Go, whose compressor may change).
	Seed uint64 `json:"seed"`
}

// complete fills in the defaults and checks the options.
func (o Options) complete() (Options, error) {
	if o.Train == 0 {
		o.Train = 24
	}
	if o.Valid == 0 {
		o.Valid = 8
	}
	if o.Train < 0 || o.Valid < 0 {
		return o, fmt.Errorf("phantom: %d training and %d validation cases; neither may be negative", o.Train, o.Valid)
	}
	switch o.Kind {
	case PICAI:
		if o.Size == [3]int{} {
			o.Size = [3]int{80, 64, 24}
		}
	case BraTS:
		if o.Size == [3]int{} {
			o.Size = [3]int{64, 64, 48}
		}
	default:
		return o, fmt.Errorf("phantom: Kind is %q; expected %q or %q", o.Kind, PICAI, BraTS)
	}
	for _, n := range o.Size {
		if n < 8 || n > 1024 {
			return o, fmt.Errorf("phantom: Size is %v; expected 8 to 1024 voxels along each axis", o.Size)
		}
	}
	return o, nil
}

// manifestName is the file that marks a finished phantom.
const manifestName = "phantom.json"

// manifest says what a phantom is made of.
type manifest struct {
	// Version changes whenever the same options give other bytes.
	Version int     `json:"version"`
	Options Options `json:"options"`
	// Files maps each image, by its path with slashes, to its size in bytes.
	Files map[string]int64 `json:"files"`
}

const version = 1

// Generate makes a phantom in the folder dir, in the layout TrainImage,
// TrainLabel, ValidImage, ValidLabel, with a README.txt that says what it is.
//
// A folder that already holds the phantom of the same options, complete, is
// used as it is. One that holds anything else is an error; nothing is deleted
// or overwritten. The phantom is made in a temporary folder beside dir and
// renamed, so dir is never half of one.
func Generate(dir string, opts Options) (err error) {
	opts, err = opts.complete()
	if err != nil {
		return err
	}
	if done, err := present(dir, opts); done || err != nil {
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	temp, err := os.MkdirTemp(parent, ".phantom-*")
	if err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	defer os.RemoveAll(temp) // after the rename there is nothing left to remove
	if err := write(temp, opts); err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	if err := place(temp, dir); err != nil {
		// Another process may have made the same phantom meanwhile.
		if done, _ := present(dir, opts); done {
			return nil
		}
		return fmt.Errorf("phantom: %w", err)
	}
	return nil
}

// place renames temp to dir. An empty folder gives way; os.Remove refuses any
// other.
func place(temp, dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(temp, dir)
}

// present reports whether dir holds the phantom of opts; an error says what
// else it holds.
func present(dir string, opts Options) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("phantom: %w", err)
	}
	const advice = "choose another folder, or delete it first"
	raw, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return false, fmt.Errorf("phantom: %s is not empty and holds no phantom (%w); %s", dir, err, advice)
	}
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return false, fmt.Errorf("phantom: %s: %s: %w; %s", dir, manifestName, err, advice)
	}
	if m.Version != version || m.Options != opts {
		return false, fmt.Errorf("phantom: %s holds another phantom (version %d, %+v; asked for version %d, %+v); %s",
			dir, m.Version, m.Options, version, opts, advice)
	}
	for name, size := range m.Files {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return false, fmt.Errorf("phantom: %s is not complete: %w; %s", dir, err, advice)
		}
		if info.Size() != size {
			return false, fmt.Errorf("phantom: %s/%s has %d bytes, not the %d that were written; %s", dir, name, info.Size(), size, advice)
		}
	}
	return true, nil
}

// write makes the phantom in an empty folder.
func write(dir string, opts Options) error {
	m := manifest{Version: version, Options: opts, Files: map[string]int64{}}
	for _, folder := range []string{"TrainImage", "TrainLabel", "ValidImage", "ValidLabel"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			return err
		}
	}

	var (
		mu    sync.Mutex
		errs  []error
		group sync.WaitGroup
	)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for n := range opts.Train + opts.Valid {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			part, index := "Train", n
			if n >= opts.Train {
				part, index = "Valid", n-opts.Train
			}
			// Each case has its own generator, so the order of work is free.
			rng := rand.New(rand.NewPCG(opts.Seed, uint64(n)))
			id := fmt.Sprintf("phantom_%03d", n+1)
			for name, v := range scan(opts, rng, part, id, index) {
				err := volume.Write(filepath.Join(dir, filepath.FromSlash(name)), v.Volume, volume.WriteOptions{Type: v.stored})
				var info fs.FileInfo
				if err == nil {
					info, err = os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
				}
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				} else {
					m.Files[name] = info.Size()
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}

	if err := os.WriteFile(filepath.Join(dir, "README.txt"), []byte(readme(opts)), 0o644); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), append(raw, '\n'), 0o644)
}

// image is a volume and the type of its file.
type image struct {
	*volume.Volume
	stored volume.DataType
}

// scan makes the files of one case.
func scan(opts Options, rng *rand.Rand, part, id string, index int) map[string]image {
	images, labels := part+"Image/"+id, part+"Label/"+id
	if opts.Kind == BraTS {
		lesions := 1
		if index%3 == 2 {
			lesions = 2
		}
		g := grid{dims: opts.Size, spacing: point{1, 1, 1}, world: orientation(0, shiftOf(rng))}
		b := newBrain(rng, g, lesions)
		return map[string]image{
			images + "_image.nii.gz": {g.sample(b.values, brainNoise, rng), volume.Int16},
			labels + "_gt.nii.gz":    {g.label(b.label), volume.Uint8},
		}
	}
	lesions := 1
	switch {
	case index%4 == 1:
		lesions = 0
	case index%3 == 2:
		lesions = 2 + rng.IntN(2)
	}
	tilt := (8 + 12*rng.Float64()) * math.Pi / 180
	fine := grid{dims: opts.Size, spacing: point{1, 1, 3}, world: orientation(tilt, shiftOf(rng))}
	p := newProstate(rng, fine, lesions)
	// Half as many voxels in the plane and two to spare, on centres of their own.
	coarse := fine
	coarse.spacing = point{2, 2, 3}
	coarse.dims = [3]int{(fine.dims[0]+1)/2 + 2, (fine.dims[1]+1)/2 + 2, fine.dims[2]}
	coarse.centre = point{0.6 * (2*rng.Float64() - 1), 0.6 * (2*rng.Float64() - 1), 0}

	channel := func(g grid, c int) *volume.Volume {
		one := func(at point) []float64 { return p.values(at)[c : c+1] }
		return g.sample(one, prostateNoise[c:c+1], rng)
	}
	return map[string]image{
		images + "_t2w.nii.gz": {channel(fine, 0), volume.Int16},
		images + "_adc.nii.gz": {channel(coarse, 1), volume.Int16},
		images + "_hbv.nii.gz": {channel(coarse, 2), volume.Int16},
		labels + "_gt.nii.gz":  {fine.label(p.label), volume.Uint8},
	}
}
