package afl

import (
	"fmt"
	"reflect"
)

// SetOptions returns a loss whose [Options] were changed by set: those of both terms
// of a [Compound], and those of every term of a [Sum]; of a [Blob] its own. It is for losses that were
// chosen by name:
//
//	l, err = afl.SetOptions(l, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
//
// A loss defined in another package is a copy of itself with the Options in its exported
// fields changed. One that has none is refused.
func SetOptions(l Loss, set func(*Options)) (Loss, error) {
	if err := checkLoss("loss", l); err != nil {
		return nil, err
	}
	if set == nil {
		return nil, refuse("set", "nil", "a function")
	}
	if blob, ok := l.(Blob); ok { // whose loss has none of its own
		set(&blob.Options)
		return blob, nil
	}
	if sum, ok := l.(Sum); ok {
		terms := make([]Term, len(sum.Terms))
		for i, term := range sum.Terms {
			changed, err := SetOptions(term.Loss, set)
			if err != nil {
				return nil, fmt.Errorf("term %d of the sum: %w", i, err)
			}
			terms[i] = Term{term.Weight, changed}
		}
		return Sum{terms}, nil
	}
	v := reflect.New(reflect.TypeOf(l)).Elem()
	v.Set(reflect.ValueOf(l))
	if !setOptions(v, set) {
		return nil, refuse("loss", fmt.Sprintf("a %T", l), "one with Options in an exported field")
	}
	return v.Interface().(Loss), nil
}

// setOptions changes every Options in the exported fields of v, which is settable,
// and reports whether there was one. What v refers to is copied before it changes.
func setOptions(v reflect.Value, set func(*Options)) (found bool) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Options]() {
			set(v.Addr().Interface().(*Options))
			return true
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				found = setOptions(f, set) || found
			}
		}
	case reflect.Pointer:
		if v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
			return false
		}
		to := reflect.New(v.Type().Elem())
		to.Elem().Set(v.Elem())
		if found = setOptions(to.Elem(), set); found {
			v.Set(to)
		}
	case reflect.Interface:
		if v.IsNil() {
			return false
		}
		to := reflect.New(v.Elem().Type()).Elem()
		to.Set(v.Elem())
		if found = setOptions(to, set); found {
			v.Set(to)
		}
	case reflect.Slice:
		to := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(to, v)
		for i := range to.Len() {
			found = setOptions(to.Index(i), set) || found
		}
		if found {
			v.Set(to)
		}
	}
	return found
}
