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

func named(ids ...string) []Case {
	cases := make([]Case, len(ids))
	for i, id := range ids {
		cases[i].ID = id
	}
	return cases
}

// TestDealFolds checks sizes, determinism and that only the IDs and the seed count.
func TestDealFolds(t *testing.T) {
	for n := 2; n < 40; n += 3 {
		for _, k := range []int{2, 3, 5, 7} {
			cases := ids(n)
			folds, err := DealFolds(cases, k, 7)
			if n < k {
				assert.ErrorContains(t, err, fmt.Sprintf("%d cases cannot be divided into %d folds", n, k))
				continue
			}
			require.NoError(t, err)
			require.Len(t, folds, n)
			assert.Equal(t, k, folds.Count())
			sizes := make([]int, k)
			for _, f := range folds {
				sizes[f]++
			}
			assert.LessOrEqual(t, slices.Max(sizes)-slices.Min(sizes), 1)
			slices.Reverse(cases)
			again, err := DealFolds(cases, k, 7)
			require.NoError(t, err)
			assert.Equal(t, folds, again)
			if n > 20 {
				other, err := DealFolds(cases, k, 8)
				require.NoError(t, err)
				assert.NotEqual(t, folds, other)
			}
		}
	}
	_, err := DealFolds(ids(5), 1, 0)
	assert.ErrorContains(t, err, "1 folds, want at least 2")
}

// TestPatientsStayTogether deals cases of patients with one to four studies.
func TestPatientsStayTogether(t *testing.T) {
	for form, patient := range map[string]string{"%d_%d": "10003", "BraTS-GLI-%05d-%03d": "BraTS-GLI-10003"} {
		var cases []Case
		for p := range 20 {
			for study := range 1 + p%4 {
				cases = append(cases, Case{ID: fmt.Sprintf(form, 10000+p, study)})
			}
		}
		assert.Equal(t, patient, Patient(fmt.Sprintf(form, 10003, 2)))
		assert.Equal(t, 20, Patients(cases))
		folds, err := DealFolds(cases, 5, 3)
		require.NoError(t, err)
		assert.Empty(t, folds.Divided())
		sizes := make([]int, 5)
		for _, f := range folds {
			sizes[f]++
		}
		assert.LessOrEqual(t, slices.Max(sizes)-slices.Min(sizes), 1, "there are enough patients with one study to fill up")
		folds[cases[1].ID], folds[cases[2].ID] = 0, 1
		assert.Equal(t, []string{Patient(cases[1].ID)}, folds.Divided())
		_, err = DealFolds(cases[1:3], 2, 0)
		assert.ErrorContains(t, err, "the cases of 1 patients, by the IDs, cannot be divided into 2 folds")
	}
	for _, id := range []string{"phantom_001", "hippocampus_367", "BraTS20_Training_001", "patient_7_2", "12", "1_2_3"} {
		assert.Equal(t, id, Patient(id))
	}
}

// TestSplits checks that every case is validated once, is tested once with the next fold, and
// is nowhere twice in a split.
func TestSplits(t *testing.T) {
	cases, test := ids(11), named("t1", "t2")
	for _, c := range []struct {
		k    int
		next bool
		test []Case
	}{{2, false, nil}, {5, false, nil}, {3, true, nil}, {5, true, nil}, {4, false, test}} {
		folds, err := DealFolds(cases, c.k, 1)
		require.NoError(t, err)
		splits, err := folds.Splits(cases, c.next, c.test)
		require.NoError(t, err)
		require.Len(t, splits, c.k)
		validated, reported := map[string]int{}, map[string]int{}
		for fold, s := range splits {
			var all []string
			for _, part := range [][]Case{s.Train, s.Valid, s.Test} {
				var order []string
				for _, k := range part {
					all = append(all, k.ID)
					order = append(order, k.ID)
				}
				assert.True(t, slices.IsSorted(order), "the order of the cases")
			}
			slices.Sort(all)
			assert.Len(t, slices.Compact(slices.Clone(all)), len(all), "no case is in two parts")
			assert.Len(t, all, len(cases)+len(c.test))
			for _, k := range s.Valid {
				validated[k.ID]++
				assert.Equal(t, fold, folds[k.ID])
			}
			for _, k := range s.Reported() {
				reported[k.ID]++
				if c.next {
					assert.Equal(t, (fold+1)%c.k, folds[k.ID])
				}
			}
		}
		for _, k := range cases {
			assert.Equal(t, 1, validated[k.ID])
			assert.Equal(t, c.test == nil, reported[k.ID] == 1)
		}
		assert.Equal(t, len(c.test) > 0, reported["t1"] == c.k)
	}
	folds, err := DealFolds(cases, 2, 1)
	require.NoError(t, err)
	_, err = folds.Splits(cases, true, nil)
	assert.ErrorContains(t, err, "at least 3 folds, not 2")
	_, err = folds.Splits(named("else"), false, nil)
	assert.ErrorContains(t, err, "case else is in no fold")
	folds = Folds{"a": 0, "b": 1, "c": 2}
	_, err = folds.Splits(named("a", "c"), false, nil)
	assert.ErrorContains(t, err, "fold 1 of 3 has none of the 2 cases")
}

func TestReadFolds(t *testing.T) {
	cases := named("a", "b", "c")
	read := func(text string) (Folds, error) {
		path := filepath.Join(t.TempDir(), "folds.csv")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return ReadFolds(path, cases)
	}
	for _, text := range []string{
		"case,fold\na,0\nb,2\nc,1\n", "\uFEFFFold;age;Case\r\n0;9;a\r\n2;;b\r\n1;7;c\r\n", "case\tfold\n c\t1\na\t0\nb\t 2",
	} {
		folds, err := read(text)
		require.NoError(t, err, text)
		assert.Equal(t, Folds{"a": 0, "b": 2, "c": 1}, folds)
	}
	for text, want := range map[string]string{
		"":                                     "is empty",
		"case,part\na,0":                       "the columns are case, part; want case and fold",
		"case,fold\na,x":                       `line 2: the fold of case a is "x", want a whole number from 0 on`,
		"case,fold\na,-1":                      `the fold of case a is "-1"`,
		"case,fold\na,0.5":                     `the fold of case a is "0.5"`,
		"case,fold\na,0\nb,1\na,1":             "lines 2 and 4: case a is listed twice",
		"case,fold\na,0\nb,1":                  "case c of the data is not listed",
		"case,fold":                            "case a, b, c of the data is not listed",
		"case,fold\na,0\nb,1\nc,0\nx,1\nd,1":   "the data have no case d, x",
		"case,fold\na,0\nb,1\nd,1":             "the data have no case d; and case c of the data is not listed",
		"case,fold\na,1\nb,2\nc,3":             "no case is in fold 0; want at least two folds, numbered from 0",
		"case,fold\na,0\nb,0\nc,0":             "no case is in fold 1",
		"case,fold\na,0\nb,1\nc,9000000000000": "no case is in fold 2",
		"case,fold\na,0,1":                     "wrong number of fields",
		"case,fold\n" + strings.Join([]string{"d,0", "e,0", "f,0", "g,0", "h,0", "i,0", "j,0"}, "\n"): "the data have no case d, e, f, g, h and 2 more; and case a, b, c of the data",
	} {
		_, err := read(text)
		assert.ErrorContains(t, err, want, text)
		assert.ErrorContains(t, err, "folds.csv")
	}
	_, err := ReadFolds(filepath.Join(t.TempDir(), "absent"), cases)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// TestFindAll finds the cases of both parts of every layout, and those of one part alone.
func TestFindAll(t *testing.T) {
	for name, l := range layouts {
		divided, err := Find(tree(t, l.files...))
		require.NoError(t, err)
		s, err := Reading{}.FindAll(tree(t, l.files...))
		require.NoError(t, err, name)
		assert.Equal(t, l.layout, s.Layout)
		assert.Empty(t, s.Valid)
		assert.Equal(t, append(caseIDs(divided.Train), caseIDs(divided.Valid)...), caseIDs(s.Train))
		for _, part := range [][]Case{divided.Train, divided.Valid} {
			var files []string
			for _, file := range l.files {
				if slices.ContainsFunc(part, func(c Case) bool { return strings.HasPrefix(filepath.Base(file), c.ID) }) {
					files = append(files, file)
				}
			}
			s, err := Reading{}.FindAll(tree(t, files...))
			require.NoError(t, err, name)
			assert.Equal(t, l.layout, s.Layout)
			assert.Equal(t, caseIDs(part), caseIDs(s.Train), name)
			assert.False(t, s.HeldOut)
		}
	}
	_, err := Reading{}.FindAll(tree(t, "imagesTs/a_0000.nii.gz"))
	assert.ErrorContains(t, err, "found no case with a label")
}

// TestReadAllCases lists training and validation cases, but not those for testing.
func TestReadAllCases(t *testing.T) {
	dir := tree(t, "a.nii.gz", "b.nii.gz", "c.nii.gz", "l.nii.gz")
	path := filepath.Join(dir, "list.csv")
	for rows, want := range map[string][]string{"c,train;a,valid;b,test": {"a", "c"}, "c,;b,;a,": {"a", "b", "c"}, "b,train": {"b"}} {
		text := "image,split,label\n"
		for row := range strings.SplitSeq(rows, ";") {
			id, split, _ := strings.Cut(row, ",")
			text += id + ".nii.gz," + split + ",l.nii.gz\n"
		}
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		s, err := Reading{}.ReadAllCases(path)
		require.NoError(t, err)
		assert.Equal(t, want, caseIDs(s.Train))
		assert.Empty(t, s.Valid)
	}
}
