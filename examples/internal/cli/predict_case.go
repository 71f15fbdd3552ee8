package cli

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/volume"
)

// predictor predicts cases with one network or an ensemble.
type predictor struct {
	options  *predictOptions
	members  []*member
	backend  nn.Backend
	cases    int // number of cases
	progress *report.Progress

	described bool // the rule for masks has been printed
}

func (p *predictor) printf(format string, args ...any) {
	p.progress.Println(fmt.Sprintf(format, args...))
}

func (p *predictor) scheme() segment.Scheme { return p.members[0].use.Protocol.Scheme }

// outputs returns the files that are written for a case. Without members it leaves out the
// probabilities, whose names depend on the classes.
func (o *predictOptions) outputs(c dataset.Case, members []*member) outputs {
	mask := o.maskPath(c)
	stem := mask[:len(mask)-len(niftiExtension(mask))]
	out := outputs{record: stem + ".json", files: []string{mask}}
	if members != nil && o.probabilities {
		out.files = append(out.files, probabilityPaths(mask, members[0].use.Protocol.Scheme)...)
	}
	if o.detects() {
		out.files = append(out.files, detectionMapPath(mask))
		if c.Label != "" {
			out.files = append(out.files, detectionCSVPath(mask))
		}
	}
	if c.Label != "" {
		out.files = append(out.files, stem+".csv")
	}
	return out
}

// probabilityPaths returns the file of the foreground, or of each class or region.
func probabilityPaths(mask string, scheme segment.Scheme) []string {
	ext := niftiExtension(mask)
	stem := mask[:len(mask)-len(ext)]
	if scheme.Kind == segment.Binary {
		return []string{stem + "_prob" + ext}
	}
	var paths []string
	for _, s := range scheme.Segments {
		paths = append(paths, stem+"_prob_"+s.FileName()+ext)
	}
	return paths
}

// predict predicts one case and writes its files. The result holds the measures, if there is
// a label.
func (p *predictor) predict(ctx context.Context, c dataset.Case) (*report.Prediction, error) {
	scan, err := volume.ReadHeader(c.Images[0])
	if err != nil {
		return nil, err
	}
	for _, text := range scan.Notes {
		p.printf("Note: in %s %s.", c.Images[0], text)
	}
	mean := infer.NewMean(p.scheme(), scan.Dims, scan.Affine)
	result := &report.Prediction{}
	var sample *dataset.Sample
	for i, m := range p.members {
		// Networks of one protocol share the sample.
		if i == 0 || !reflect.DeepEqual(m.use.Protocol, p.members[i-1].use.Protocol) {
			if sample, err = m.use.Protocol.Valid(c); err != nil {
				return nil, err
			}
		}
		if i == 0 {
			p.printf("Case: %s, image channels: %d, %s voxels of %s mm.", c.ID, sample.Image.Shape()[1], times(scan.Dims), formatSpacing(scan.Spacing()))
		}
		if err := m.load(p, c.ID, sample.Image.Shape()[1]); err != nil {
			return nil, err
		}
		passes, err := p.passes(ctx, i, sample)
		if err != nil {
			return nil, err
		}
		if err := mean.Add(m.use.rule, sample.Affine, passes...); err != nil {
			return nil, err
		}
		if c.Label != "" && len(p.members) == 1 && len(passes) == 1 {
			values, segments, err := measure.Case(p.scheme(), passes[0], sample.Label, sample.Spacing, m.use.rule, measure.Everything)
			if err != nil {
				return nil, err
			}
			result.Grids = append(result.Grids, report.GridValues{Grid: "network", Values: values, Segments: segments})
		}
	}
	mask, err := mean.LabelMap()
	if err != nil {
		return nil, err
	}
	var label *volume.Volume
	if c.Label != "" {
		if label, err = dataset.ReadLabel(c, p.options.reading.reading()); err != nil {
			return nil, err
		}
		values, segments, err := measure.LabelMaps(p.scheme(), mask, label)
		if err != nil {
			return nil, err
		}
		result.Grids = append([]report.GridValues{{Grid: "scan", Values: values, Segments: segments}}, result.Grids...)
	}
	var probabilities []*volume.Volume
	if p.options.probabilities || p.options.detects() {
		if probabilities, err = mean.Probabilities(); err != nil {
			return nil, err
		}
	}
	var detectionMap *volume.Volume
	if p.options.detects() {
		if detectionMap, result.Detection, err = p.detect(c, probabilities[0], label); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, errStopped
	}
	return result, p.write(c, mask, probabilities, detectionMap, result)
}

// passes predicts a sample with one member and reports the progress.
func (p *predictor) passes(ctx context.Context, index int, sample *dataset.Sample) ([]infer.Pass, error) {
	m := p.members[index]
	size := [3]int(sample.Image.Shape()[2:])
	window := p.options.windows.of(m.use.window)
	plan, err := infer.NewPlan(m.net, size, window)
	if err != nil {
		return nil, err
	}
	m.plan = plan
	p.printf("Network grid: %s voxels of %s mm; windows: %d of %s, overlap %g, %s weights.",
		times(size), formatSpacing(sample.Spacing), plan.Count, times(plan.Size), window.Overlap, window.Blend)
	if !p.described {
		p.describe()
	}
	start, all := time.Now(), plan.Count<<len(p.options.windows.mirror)
	network := ""
	if len(p.members) > 1 {
		network = fmt.Sprintf("  network %d/%d", index+1, len(p.members))
	}
	passes, err := plan.Mirrored(ctx, p.backend, m.net, sample.Image, p.options.windows.mirror, func(done int) {
		left := time.Since(start) / time.Duration(done) * time.Duration(all-done)
		p.progress.Update(fmt.Sprintf("%s%s  window %d/%d  left %s", sample.ID, network, done, all, report.Duration(left)))
	})
	if ctx.Err() != nil {
		return nil, errStopped
	}
	return passes, err
}

// describe prints, once, how masks are made.
func (p *predictor) describe() {
	p.described = true
	if n := len(p.members); n > 1 {
		p.printf("Ensemble: the mean of the probabilities of %d networks.", n)
	}
	if axes := p.options.windows.mirror; len(axes) > 0 {
		p.printf("Mirrored along %s: the mean of the probabilities of %d passes.", axes.String(), 1<<len(axes))
		for _, m := range p.members {
			if m.use.Protocol.FlipProb == 0 {
				p.printf("Warning: the network of %s was not trained on flipped scans.", m.path)
			}
		}
	}
	if p.scheme().Kind != segment.Binary {
		p.printf("Segmented: %v.", p.scheme())
	}
	var rules []string
	for _, m := range p.members {
		rule := measure.InWords(p.scheme(), m.use.rule)
		if p.scheme().Kind == segment.Binary {
			rule = ruleDescriptions[m.use.rule]
		}
		if len(rules) == 0 || rules[len(rules)-1] != rule {
			rules = append(rules, rule)
		}
	}
	p.printf("Mask: %s.", strings.Join(rules, "; "))
}

var ruleDescriptions = map[afl.PredictionRule]string{
	afl.SigmoidChannel1: "sigmoid of channel 1 above 0.5",
	afl.Argmax:          "the larger of the two channels",
}

// networkFacts describes the networks for the record of a mask.
func (p *predictor) networkFacts() []map[string]any {
	var facts []map[string]any
	for _, m := range p.members {
		facts = append(facts, map[string]any{
			"weights": m.path, "settings": m.use.Settings, "prediction_rule": m.use.rule.String(), "window": m.plan.Size, "windows": m.plan.Count,
		})
	}
	return facts
}

// write writes the files of a case.
func (p *predictor) write(c dataset.Case, mask *volume.Volume, probabilities []*volume.Volume, detectionMap *volume.Volume, result *report.Prediction) error {
	out := p.options.outputs(c, p.members)
	maskPath := out.files[0]
	floats := map[string]*volume.Volume{}
	if p.options.probabilities {
		for i, path := range probabilityPaths(maskPath, p.scheme()) {
			floats[path] = probabilities[i]
		}
	}
	if detectionMap != nil {
		floats[detectionMapPath(maskPath)] = detectionMap
	}
	facts := map[string]any{
		"case": c.ID, "images": c.Images, "label": c.Label, "mask": maskPath, "segmented": p.scheme().String(),
		"networks": p.networkFacts(), "overlap": p.options.windows.overlap, "blend": p.options.windows.blend.value, "mirror": p.options.windows.mirror.String(),
	}
	err := out.write(result, facts, func(path string) error {
		switch {
		case path == maskPath:
			return volume.Write(path, mask, volume.WriteOptions{Type: maskType(p.scheme())})
		case floats[path] != nil:
			return volume.Write(path, floats[path], volume.WriteOptions{Type: volume.Float32})
		case path == detectionCSVPath(maskPath):
			return report.WriteDetectionEntriesCSV(path, detected([]report.CasePrediction{{ID: c.ID, Prediction: result}}))
		}
		return result.WriteCSV(path)
	})
	if err != nil {
		return err
	}
	p.printf("Written to %s (%s).", maskPath, p.volumes(mask))
	if p.options.probabilities {
		p.printf("Probabilities: %s.", strings.Join(probabilityPaths(maskPath, p.scheme()), ", "))
	}
	if result.Detection != nil {
		p.printf("Detection map: %s (%s).", detectionMapPath(maskPath), result.Detection)
	}
	if c.Label == "" || p.cases > 1 {
		return nil
	}
	text := "- scan: the written mask against the given label. network: on the network's grid, as in\n" +
		"  training; the soft measures need probabilities, which exist only there."
	if len(result.Grids) == 1 {
		text = "- scan: the written mask against the given label. There are no measures on a network's\n" +
			"  grid, as the mask is the mean of several predictions."
	}
	p.printf("\n%s\n%s\n\nWritten to %s and %s.", result.Table(), text, out.files[len(out.files)-1], out.record)
	return nil
}

// maskType returns the type of a mask's voxels.
func maskType(scheme segment.Scheme) volume.DataType {
	for _, s := range scheme.Segments {
		for _, label := range s.Labels {
			if label > math.MaxUint8 {
				return volume.Uint16
			}
		}
	}
	return volume.Uint8
}

// volumes describes the size of the foreground or of each class or region.
func (p *predictor) volumes(mask *volume.Volume) string {
	s := mask.Spacing()
	describe := func(name string, in func(label int) bool) string {
		voxels := 0
		for _, v := range mask.Data {
			if in(int(v)) {
				voxels++
			}
		}
		return fmt.Sprintf("%s: %d voxels, %.3g ml", name, voxels, float64(voxels)*s[0]*s[1]*s[2]/1000)
	}
	if p.scheme().Kind == segment.Binary {
		return describe("tumor", func(label int) bool { return label != 0 })
	}
	var parts []string
	for _, g := range p.scheme().Segments {
		parts = append(parts, describe(p.scheme().Title()+" "+g.Name, g.Has))
	}
	return strings.Join(parts, "; ")
}

// niftiExtension returns the NIfTI extension of a file name, or "" if it has none.
func niftiExtension(path string) string {
	for _, ext := range []string{".nii.gz", ".nii"} {
		if strings.HasSuffix(strings.ToLower(path), ext) && len(filepath.Base(path)) > len(ext) {
			return path[len(path)-len(ext):]
		}
	}
	return ""
}

// formatSpacing formats a spacing as 0.5×0.5×3.
func formatSpacing(s [3]float64) string {
	round := func(v float64) float64 { return math.Round(v*1e4) / 1e4 }
	return fmt.Sprintf("%g×%g×%g", round(s[0]), round(s[1]), round(s[2]))
}
