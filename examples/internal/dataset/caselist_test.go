package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listTree writes the images and masks of ten cases under names that no layout has.
func listTree(t *testing.T) string {
	var files []string
	for i := range 10 {
		files = append(files, fmt.Sprintf("scans/p%d t2.nii", i), fmt.Sprintf("scans/p%d-diffusion.nii", i), fmt.Sprintf("label/p%d.nii", i))
	}
	return tree(t, files...)
}

func writeList(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// rowsOf returns a list with one line for each of the first n cases.
func rowsOf(n int, line string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(line, "#", fmt.Sprint(i)) + "\n")
	}
	return b.String()
}

func TestReadCases(t *testing.T) {
	dir := listTree(t)
	absolute := filepath.ToSlash(dir)
	for name, c := range map[string]struct {
		text         string
		train, valid []string
		names        []string
		held         bool
		notes        []string
	}{
		"channels": {
			"case,image.t2w,image.dwi,label,split\n" + rowsOf(3, "c#,scans/p# t2.nii,scans/p#-diffusion.nii,label/p#.nii,train") + rowsOf(1, "v#,scans/p# t2.nii,scans/p#-diffusion.nii,label/p#.nii,valid"),
			[]string{"c0", "c1", "c2"}, []string{"v0"}, []string{"t2w", "dwi"}, false, nil,
		},
		"other order of columns, semicolons, absolute paths, byte order mark": {
			"\uFEFFLabel;Image.dwi;Image.t2w;Case\r\n" + strings.ReplaceAll(rowsOf(5, absolute+"/label/p#.nii;"+absolute+"/scans/p#-diffusion.nii; scans/p# t2.nii ;c#"), "\n", "\r\n"),
			[]string{"c0", "c1", "c2", "c3"}, []string{"c4"}, []string{"dwi", "t2w"}, true, nil,
		},
		"one image, tabs, other columns": {
			"image\tlabel\tage\tgrade\n" + rowsOf(5, "scans/p# t2.nii\tlabel/p#.nii\t7#\t"),
			[]string{"p0 t2", "p1 t2", "p2 t2", "p3 t2"}, []string{"p4 t2"}, nil, true, []string{"Not read from list: age, grade."},
		},
		"empty split, test": {
			"case,image,label,split\n" + rowsOf(5, "c#,scans/p# t2.nii,label/p#.nii,"),
			[]string{"c0", "c1", "c2", "c3"}, []string{"c4"}, nil, true, nil,
		},
		"cases for a test": {
			"case,image,label,split\n" + rowsOf(2, "c#,scans/p# t2.nii,label/p#.nii,Training") + rowsOf(1, "v#,scans/p# t2.nii,label/p#.nii,val") + rowsOf(2, "t#,scans/p# t2.nii,,test"),
			[]string{"c0", "c1"}, []string{"v0"}, nil, false, []string{"2 cases with split test are not used."},
		},
		"JSON list": {
			`[{"case": "b", "image.t2w": "scans/p1 t2.nii", "image.dwi": "scans/p1-diffusion.nii", "label": "label/p1.nii", "split": "valid", "age": 50},
			  {"case": "a", "image.t2w": "scans/p0 t2.nii", "image.dwi": "scans/p0-diffusion.nii", "label": "label/p0.nii", "split": "train"}]`,
			[]string{"a"}, []string{"b"}, []string{"t2w", "dwi"}, false, []string{"Not read from list: age."},
		},
		"training and validation": {
			`{"training": [{"image": ["scans/p0 t2.nii", "./scans/p0-diffusion.nii"], "label": "label/p0.nii", "fold": 0}],
			  "validation": [{"image": ["scans/p1 t2.nii", "scans/p1-diffusion.nii"], "label": ["label/p1.nii"], "fold": 1}],
			  "channel_names": {"0": "T2", "1": "DWI"}, "labels": {"background": 0, "lesion": 1}}`,
			[]string{"p0 t2"}, []string{"p1 t2"}, []string{"T2", "DWI"}, false, []string{"Not read from list: fold."},
		},
		"training alone": {
			`{"training": [` + strings.TrimSuffix(strings.TrimSpace(rowsOf(5, `{"image": "./scans/p# t2.nii", "label": "./label/p#.nii"},`)), ",") + `], "test": ["x"]}`,
			[]string{"p0 t2", "p1 t2", "p2 t2", "p3 t2"}, []string{"p4 t2"}, nil, true, nil,
		},
		"dataset": {
			`{"labels": {"background": 0, "lesion": 1}, "dataset": {` + strings.TrimSuffix(strings.TrimSpace(rowsOf(5, `"k#": {"images": ["scans/p# t2.nii", "scans/p#-diffusion.nii"], "label": "label/p#.nii"},`)), ",") + `}}`,
			[]string{"k0", "k1", "k2", "k3"}, []string{"k4"}, nil, true, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ReadCases(writeList(t, dir, "list", c.text))
			require.NoError(t, err)
			assert.Equal(t, CaseListLayout, s.Layout)
			assert.Equal(t, c.train, caseIDs(s.Train))
			assert.Equal(t, c.valid, caseIDs(s.Valid))
			assert.Equal(t, c.names, s.ChannelNames)
			assert.Equal(t, c.held, s.HeldOut)
			assert.Equal(t, c.notes, s.Notes)
			for _, k := range slices.Concat(s.Train, s.Valid) {
				assert.Len(t, k.Images, s.Channels)
				for _, path := range append(slices.Clone(k.Images), k.Label) {
					assert.FileExists(t, path)
				}
			}
			if len(c.names) > 0 && c.names[0] == "dwi" {
				assert.Contains(t, s.Train[0].Images[0], "diffusion")
			}
			assert.Equal(t, strings.Contains(c.text, `"labels"`), s.Description.LabelNames() != nil)
		})
	}
}

func caseIDs(cases []Case) (ids []string) {
	for _, c := range cases {
		ids = append(ids, c.ID)
	}
	return ids
}

func TestReadCasesErrors(t *testing.T) {
	dir := listTree(t)
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "is empty; want a row of column names"},
		"no label":         {"case,image,lable\n", "there is no column label, which training needs"},
		"no image":         {"case,label\n", "want image or image.<channel>, and label"},
		"column twice":     {"image,label,label\n", `the column "label" appears twice`},
		"short row":        {"case,image,label\na,scans/p0 t2.nii\n", "record on line 2: wrong number of fields"},
		"both":             {"image,image.t2w,label\nscans/p0 t2.nii,scans/p0 t2.nii,label/p0.nii\n", "line 2: want either image, for all channels, or image.<channel>"},
		"no channel name":  {"image.,label\nscans/p0 t2.nii,label/p0.nii\n", "line 2: want either image"},
		"no row":           {"image,label\n", "0 training and 0 validation cases"},
		"empty image":      {"image,label\n,label/p0.nii\n", "line 2 has no image"},
		"empty channel":    {"image.a,image.b,label\nscans/p0 t2.nii,,label/p0.nii\n", "line 2 has no image in one of its channels"},
		"empty label":      {"image,label\nscans/p0 t2.nii,\n", "line 2 has no label"},
		"split":            {"image,label,split\nscans/p0 t2.nii,label/p0.nii,third\n", `line 2: split is "third", want train, valid or test`},
		"some without":     {"case,image,label,split\n" + rowsOf(1, "a#,scans/p# t2.nii,label/p#.nii,train") + rowsOf(1, "b#,scans/p# t2.nii,label/p#.nii,"), `line 3: split is "", want`},
		"same name":        {"image,label\n" + rowsOf(1, "scans/p# t2.nii,label/p#.nii") + rowsOf(1, "scans/p# t2.nii,label/p#.nii"), "line 2 and line 3 are both case p0 t2; give each a unique name under case"},
		"no such file":     {"image,label\n" + rowsOf(5, "scans/p#.nii,label/p#.nii"), "5 of 5 cases are wrong: volume: open " + filepath.Join(dir, "scans", "p0.nii")},
		"neither":          {`{"labels": {"a": 1}}`, "want a list of cases, or an object with a list of them"},
		"not JSON":         {`[{"image": `, "case: unexpected end of JSON input"},
		"not an object":    {`["a.nii"]`, `case 1: is "a.nii", want a JSON object`},
		"number":           {`[{"image": 3, "label": "x"}]`, "case 1: image is 3, want a string or, for image, a list of strings"},
		"null":             {`[{"image": "a", "label": null}]`, "case 1: label is null, want a string"},
		"two labels":       {`[{"image": "a", "label": ["x", "y"]}]`, "case 1: label has 2 values, want 1"},
		"list of lists":    {`{"training": {"a": 1}}`, "training: json: cannot unmarshal object"},
		"other channels":   {`[{"image.a": "scans/p0 t2.nii", "label": "label/p0.nii"}, {"image.b": "scans/p1 t2.nii", "label": "label/p1.nii"}]`, "case 2 has the channels b, but case 1 has a"},
		"order of columns": {"image.t2w,image.adc,label\na_adc.nii,a_t2w.nii,label/p0.nii\n", "line 2: by their names the images are adc, t2w, but they are listed as t2w, adc"},
		"order of files":   {`[{"case": "a", "image": ["a_t1.nii", "a_t2.nii"], "label": "l"}, {"case": "b", "image": ["a_t2.nii", "a_t1.nii"], "label": "l"}]`, "case 2: by their names the images are t2, t1, but they are listed as t1, t2"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ReadCases(writeList(t, dir, "list.csv", c.text))
			assert.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, filepath.Join(dir, "list.csv"))
			assert.Nil(t, s)
		})
	}
	_, err := ReadCases(filepath.Join(dir, "absent"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestListCases(t *testing.T) {
	dir := listTree(t)
	cases, err := ListCases(writeList(t, dir, "l.csv", "case,image.a,image.b\n"+rowsOf(2, "c#,scans/p# t2.nii,scans/p#-diffusion.nii")))
	require.NoError(t, err)
	assert.Equal(t, []string{"c0", "c1"}, caseIDs(cases))
	assert.Equal(t, filepath.Join(dir, "scans", "p1-diffusion.nii"), cases[1].Images[1])
	assert.Empty(t, cases[0].Label)
	cases, err = ListCases(writeList(t, dir, "l.csv", "case,image,label,split\nb,x.nii,y.nii,train\na,x.nii,,test\n"))
	require.NoError(t, err)
	assert.Equal(t, []string{"b", "a"}, caseIDs(cases))
	assert.Equal(t, filepath.Join(dir, "y.nii"), cases[0].Label)
	for text, want := range map[string]string{
		"case,image\na,x.nii\na,y.nii\n": "line 2 and line 3 are both case a", "image\n": "lists no cases", "label\nx\n": "the columns are label", "image\n\"\"\n": "line 2 has no image",
	} {
		_, err := ListCases(writeList(t, dir, "l.csv", text))
		assert.ErrorContains(t, err, want)
	}
	_, err = ListCases(filepath.Join(dir, "absent"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzCaseList(f *testing.F) {
	f.Add("case,image.t2w,image.adc,label,split\na,b,c,d,train\n")
	f.Add("image;label;age\na.nii;b.nii;3\n")
	f.Add(`[{"case": "b", "image.t2w": "a", "label": "b", "split": "valid"}]`)
	f.Add(`{"training": [{"image": ["a", "b"], "label": "c"}], "validation": [], "labels": {"0": "background"}}`)
	f.Add(`{"dataset": {"k": {"images": ["a"], "label": "c"}}}`)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "list")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		s, err := ReadCases(path)
		// Nothing that is listed exists, except by a path to elsewhere.
		if err == nil {
			require.NotEmpty(t, s.Train)
			require.NotEmpty(t, s.Valid)
		}
	})
}
