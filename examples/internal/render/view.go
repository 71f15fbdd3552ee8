// Package render draws triangle meshes without a display or a GPU.
package render

import (
	"fmt"
	"math"
)

// View is an orthographic camera.
type View struct {
	// Center is the point in millimeters at the center of the picture.
	Center [3]float64
	// Side is the length in millimeters of a side of the square picture.
	Side float64
	// Right and Up are the directions of the picture's axes, of any length; Up need not be
	// perpendicular to Right. The camera looks along Up × Right.
	Right, Up [3]float64
}

// axes returns the orthonormal directions to the right, up and toward the camera.
func (v View) axes() (right, up, toward [3]float64, err error) {
	right = unit(v.Right)
	toward = unit(cross(right, v.Up))
	up = cross(toward, right)
	if !(v.Side > 0) || math.IsInf(v.Side, 1) {
		return right, up, toward, fmt.Errorf("render: View.Side is %v mm, want a positive number", v.Side)
	}
	if !(math.Abs(dot(toward, toward)-1) < 1e-6) || !(math.Abs(dot(right, right)-1) < 1e-6) {
		return right, up, toward, fmt.Errorf("render: View.Right is %v and Up is %v, want directions that differ", v.Right, v.Up)
	}
	return right, up, toward, nil
}

func dot(a, b [3]float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }

func cross(a, b [3]float64) [3]float64 {
	return [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

func unit(a [3]float64) [3]float64 {
	l := math.Sqrt(dot(a, a))
	return [3]float64{a[0] / l, a[1] / l, a[2] / l}
}
