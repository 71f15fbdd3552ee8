package onnx

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestTooLarge counts the bytes of a model of more than 2 GiB, whose tensors share memory.
func TestTooLarge(t *testing.T) {
	values := make([]float32, 16<<20)
	m := &Model{}
	for i := range 31 {
		m.initializers = append(m.initializers, initializer{name: fmt.Sprint(i), dims: []int{len(values)}, floats: values})
	}
	assert.NoError(t, m.checkBytes())
	m.initializers = append(m.initializers, initializer{name: "31", dims: []int{len(values)}, floats: values})
	assert.ErrorContains(t, m.checkBytes(), "can have at most 2147483647")
}

func TestNamesAreUnique(t *testing.T) {
	m := &Model{initializers: []initializer{{name: "a"}}, nodes: []node{{op: "Relu", output: "a"}}}
	assert.ErrorContains(t, m.rename("b"), `two values have the name "a"`)
	m = &Model{}
	assert.ErrorContains(t, m.rename(InputName), "returns its input")
}
